-- A tombstone whose resource is back stays while an export may look at what was before.
ALTER TABLE tombstones ADD COLUMN raised_at timestamptz NOT NULL DEFAULT 'infinity';
ALTER TABLE tombstones DROP CONSTRAINT tombstones_pkey;
ALTER TABLE tombstones ADD PRIMARY KEY (member_id, type, resource_id, deleted_at);
CREATE INDEX tombstones_raised_at ON tombstones (raised_at) WHERE raised_at < 'infinity';
