-- What a tenant or a credential gets in place of what its plan says, and the
-- plan of a credential, '' being its tenant's. Overrides are JSON text.

-- +goose Up
ALTER TABLE tenants ADD COLUMN overrides TEXT NOT NULL DEFAULT '{}';
ALTER TABLE credentials ADD COLUMN plan TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN overrides TEXT NOT NULL DEFAULT '{}';

-- +goose Down
-- Back to what the tenants' plans say. The older program knows windows by their
-- length alone and cannot count one that has none: a period of the calendar
-- becomes a length, which is as near as it comes.
UPDATE tenants SET limits = replace(replace(replace(limits,
    '"seconds":0,"calendar":"day"', '"seconds":86400'),
    '"seconds":0,"calendar":"week"', '"seconds":604800'),
    '"seconds":0,"calendar":"month"', '"seconds":2678400');

ALTER TABLE credentials DROP COLUMN overrides;
ALTER TABLE credentials DROP COLUMN plan;
ALTER TABLE tenants DROP COLUMN overrides;
