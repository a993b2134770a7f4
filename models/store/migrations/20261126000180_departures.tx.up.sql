-- Resources that were a member's and are another's now: exports of the former alone tell that they are gone. One that comes back is kept
-- as long as tombstones are.
CREATE TABLE departures (
    member_id   uuid NOT NULL,
    type        smallint NOT NULL,
    resource_id text NOT NULL,
    left_at     timestamptz NOT NULL,
    back_at     timestamptz NOT NULL DEFAULT 'infinity',
    class       smallint NOT NULL,          -- of the resource as it was
    home_id     uuid NOT NULL,              -- who has it now
    PRIMARY KEY (member_id, type, resource_id, left_at)
);
CREATE INDEX departures_left_at ON departures (left_at);
CREATE INDEX departures_resource ON departures (type, resource_id) WHERE back_at = 'infinity';

-- Which of several versions of a resource in one import is the newest: meta.lastUpdated and versionId of the source, and the place in it.
ALTER TABLE import_news ADD COLUMN source bigint NOT NULL DEFAULT 0;
ALTER TABLE import_news ADD COLUMN version integer NOT NULL DEFAULT 0;
ALTER TABLE import_news ADD COLUMN file integer NOT NULL DEFAULT 0;
ALTER TABLE import_news ADD COLUMN line bigint NOT NULL DEFAULT 0;
