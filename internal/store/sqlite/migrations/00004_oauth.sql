-- Clients, grants and what is exchanged for tokens; signing keys, revoked tokens
-- and senders of webhooks. Epochs count what ended the tokens of a row.

-- +goose Up
ALTER TABLE tenants ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

ALTER TABLE users ADD COLUMN login TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN password TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

CREATE UNIQUE INDEX users_by_login ON users (api, login) WHERE login <> '';

-- client_id is the client of a grant, of the same tenant; client is JSON text of
-- what a client may. Both are '' for all others.
ALTER TABLE credentials ADD COLUMN client_id TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN cause TEXT NOT NULL DEFAULT '';
UPDATE credentials SET client = '{}' WHERE kind = 'client'; -- that were here before, and have been down

CREATE INDEX credentials_by_client ON credentials (api, tenant, client_id) WHERE client_id <> '';
CREATE INDEX grants_by_end ON credentials (expires_at) WHERE client_id <> '' AND expires_at IS NOT NULL;

-- Codes and refresh tokens. They are not among the secrets: none is ever a key. A
-- spent one stays as long as its grant, so that who shows it again is noticed.
-- sweep_at is when it may go, null while nobody knows.
CREATE TABLE grant_secrets (
    digest         BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    grant_id       TEXT NOT NULL REFERENCES credentials (id),
    pepper_version INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    expires_at     INTEGER NOT NULL,
    redirect       TEXT NOT NULL,
    challenge      TEXT NOT NULL,
    spent          INTEGER NOT NULL DEFAULT 0,
    sweep_at       INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX grant_secrets_by_grant ON grant_secrets (grant_id);
CREATE INDEX grant_secrets_to_sweep ON grant_secrets (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE INDEX grant_secrets_unused ON grant_secrets (expires_at) WHERE kind = 'code' AND spent = 0;

-- With a grant that is revoked, each secret goes when it has expired; else when
-- the grant has too. max of anything and null is null: a grant without an end.
-- +goose StatementBegin
CREATE TRIGGER grant_secrets_kept AFTER INSERT ON grant_secrets
BEGIN
    UPDATE grant_secrets SET sweep_at = (
        SELECT CASE WHEN c.state = 'revoked' THEN NEW.expires_at ELSE max(NEW.expires_at, c.expires_at) END
        FROM credentials c WHERE c.id = NEW.grant_id
    ) WHERE digest = NEW.digest;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_changed AFTER UPDATE OF state, expires_at ON credentials
WHEN NEW.client_id <> '' AND (NEW.state IS NOT OLD.state OR NEW.expires_at IS NOT OLD.expires_at)
BEGIN
    UPDATE grant_secrets SET sweep_at = CASE WHEN NEW.state = 'revoked' THEN expires_at ELSE max(expires_at, NEW.expires_at) END
    WHERE grant_id = NEW.id;
END;
-- +goose StatementEnd

CREATE TABLE signing_keys (
    api            TEXT NOT NULL,
    id             TEXT NOT NULL,
    algorithm      TEXT NOT NULL,
    sealed         BLOB NOT NULL,
    pepper_version INTEGER NOT NULL,
    created_at     INTEGER,
    signs_from     INTEGER,
    ends_at        INTEGER,
    PRIMARY KEY (api, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX signing_keys_by_end ON signing_keys (ends_at) WHERE ends_at IS NOT NULL;

CREATE TABLE revoked_tokens (
    api   TEXT NOT NULL,
    id    TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (api, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_tokens_by_end ON revoked_tokens (until);

-- secrets is a JSON list of what is encrypted.
CREATE TABLE senders (
    api        TEXT NOT NULL,
    id         TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    state      TEXT NOT NULL,
    secrets    TEXT NOT NULL,
    created_at INTEGER,
    PRIMARY KEY (api, id),
    FOREIGN KEY (api, tenant) REFERENCES tenants (api, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX senders_by_tenant ON senders (api, tenant, id);

-- +goose Down
-- What only the newer program can hold to its bounds must not outlive them. The
-- older one would take the secret of a client for a key. It counts no epochs, and
-- they begin at 0 again when it has gone: the tokens that had ended end for good
-- with the keys that signed them.
DROP TABLE senders;
DROP TABLE revoked_tokens;
DROP TABLE signing_keys;
DROP TRIGGER grants_changed;
DROP TABLE grant_secrets;
DELETE FROM credentials WHERE client_id <> '';
UPDATE credentials SET state = 'revoked' WHERE kind = 'client';

DROP INDEX grants_by_end;
DROP INDEX credentials_by_client;
ALTER TABLE credentials DROP COLUMN cause;
ALTER TABLE credentials DROP COLUMN epoch;
ALTER TABLE credentials DROP COLUMN client;
ALTER TABLE credentials DROP COLUMN client_id;
DROP INDEX users_by_login;
ALTER TABLE users DROP COLUMN epoch;
ALTER TABLE users DROP COLUMN password;
ALTER TABLE users DROP COLUMN login;
ALTER TABLE tenants DROP COLUMN epoch;
