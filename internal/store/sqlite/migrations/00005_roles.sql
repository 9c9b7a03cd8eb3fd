-- What the roles of an API's configuration permit, as it was when that was last put
-- in force: JSON text as in tenants.roles.

-- +goose Up
CREATE TABLE api_roles (
    api   TEXT NOT NULL PRIMARY KEY,
    roles TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE api_roles;
