-- Users, roles, and the life of a key. Lists and attributes are JSON text.

-- +goose Up
ALTER TABLE tenants ADD COLUMN roles TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tenants ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';

CREATE TABLE users (
    api        TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    service    INTEGER NOT NULL,
    name       TEXT NOT NULL,
    roles      TEXT NOT NULL,
    off        TEXT NOT NULL,
    state      TEXT NOT NULL,
    attributes TEXT NOT NULL,
    created_at INTEGER,
    PRIMARY KEY (api, tenant, id),
    FOREIGN KEY (api, tenant) REFERENCES tenants (api, id)
) STRICT, WITHOUT ROWID;

-- user_id '' is nobody; else it is a user of the credential's tenant.
ALTER TABLE credentials ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN roles TEXT NOT NULL DEFAULT '[]';
ALTER TABLE credentials ADD COLUMN unchecked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';

CREATE INDEX credentials_by_user ON credentials (api, tenant, user_id) WHERE user_id <> '';
CREATE INDEX credentials_by_name ON credentials (api, tenant, name);
CREATE INDEX credentials_unchecked ON credentials (api, prefix) WHERE unchecked = 1 AND state <> 'revoked';

ALTER TABLE admin_tokens ADD COLUMN api TEXT NOT NULL DEFAULT '';
ALTER TABLE admin_tokens ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
ALTER TABLE admin_tokens ADD COLUMN expires_at INTEGER;

-- Whose user or credential it is: the id of a user says nothing without.
ALTER TABLE changes ADD COLUMN tenant TEXT NOT NULL DEFAULT '';

-- +goose Down
-- What only the newer program can hold to its bounds must not outlive them.
UPDATE credentials SET state = 'revoked' WHERE user_id <> '';
DELETE FROM admin_tokens WHERE api <> '' OR state <> 'active' OR expires_at IS NOT NULL;

ALTER TABLE changes DROP COLUMN tenant;
ALTER TABLE admin_tokens DROP COLUMN expires_at;
ALTER TABLE admin_tokens DROP COLUMN state;
ALTER TABLE admin_tokens DROP COLUMN api;
DROP INDEX credentials_unchecked;
DROP INDEX credentials_by_name;
DROP INDEX credentials_by_user;
ALTER TABLE credentials DROP COLUMN attributes;
ALTER TABLE credentials DROP COLUMN unchecked;
ALTER TABLE credentials DROP COLUMN roles;
ALTER TABLE credentials DROP COLUMN user_id;
DROP TABLE users;
ALTER TABLE tenants DROP COLUMN attributes;
ALTER TABLE tenants DROP COLUMN roles;
