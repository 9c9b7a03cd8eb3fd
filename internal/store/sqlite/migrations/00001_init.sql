-- Times are Unix milliseconds; null is no time. Lists and limits are JSON text.

-- +goose Up
CREATE TABLE tenants (
    api        TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    plan       TEXT NOT NULL,
    state      TEXT NOT NULL,
    limits     TEXT NOT NULL,
    created_at INTEGER,
    PRIMARY KEY (api, id)
) STRICT, WITHOUT ROWID;

-- seq is the order of creation, in which credentials are listed.
CREATE TABLE credentials (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    api         TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    principal   TEXT NOT NULL,
    environment TEXT NOT NULL,
    access      TEXT NOT NULL,
    sandbox     INTEGER NOT NULL,
    scopes      TEXT NOT NULL,
    state       TEXT NOT NULL,
    prefix      TEXT NOT NULL,
    last4       TEXT NOT NULL,
    allowed_ips TEXT NOT NULL,
    created_at  INTEGER,
    expires_at  INTEGER,
    FOREIGN KEY (api, tenant) REFERENCES tenants (api, id)
) STRICT;

CREATE INDEX credentials_by_tenant ON credentials (api, tenant, seq);
CREATE INDEX credentials_by_api ON credentials (api, seq);

-- The secrets of a credential: one, and two while it is rolled. expires_at is
-- the secret's own end where that is earlier than its credential's.
CREATE TABLE secrets (
    digest         BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    credential_id  TEXT NOT NULL REFERENCES credentials (id),
    pepper_version INTEGER NOT NULL,
    expires_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX secrets_by_credential ON secrets (credential_id);

CREATE TABLE admin_tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    created_at INTEGER
) STRICT, WITHOUT ROWID;

-- What changed, in order, written in the transaction that changed it.
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    api      TEXT NOT NULL,
    id       TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE changes;
DROP TABLE admin_tokens;
DROP TABLE secrets;
DROP TABLE credentials;
DROP TABLE tenants;
