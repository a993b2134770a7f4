-- The shared resources (Practitioner, Organization, ...) that the lines of a segment refer to, as Type/id. A row of their
-- own, apart from the segment, and only for segments that refer to any.
CREATE TABLE segment_refs (
    member_id   uuid NOT NULL,
    type        smallint NOT NULL,
    class       smallint NOT NULL,
    valid_from  timestamptz NOT NULL,
    part        smallint NOT NULL,
    valid_to    timestamptz NOT NULL DEFAULT 'infinity',
    refs        text[] NOT NULL,
    PRIMARY KEY (member_id, type, class, valid_from, part)
) PARTITION BY HASH (member_id);

DO $$
BEGIN
    FOR i IN 0..7 LOOP
        EXECUTE format('CREATE TABLE segment_refs_%s PARTITION OF segment_refs FOR VALUES WITH (MODULUS 8, REMAINDER %s)', i, i);
    END LOOP;
END $$;

-- Superseded segments, for the purge.
CREATE INDEX segments_superseded ON segments (valid_to) WHERE valid_to < 'infinity';
CREATE INDEX segment_lines_superseded ON segment_lines (valid_to) WHERE valid_to < 'infinity';
CREATE INDEX segment_refs_superseded ON segment_refs (valid_to) WHERE valid_to < 'infinity';

-- Resources that an import brought to a member who did not have them: one that another member has too has moved. Empty
-- but while imports run.
CREATE TABLE import_news (
    import_id   uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    member_id   uuid NOT NULL,
    type        smallint NOT NULL,
    id_hash     bigint NOT NULL,            -- segment.IDHash
    updated     bigint NOT NULL             -- meta.lastUpdated in ms since 1970-01-01
);
CREATE INDEX import_news_import ON import_news (import_id, id_hash);

-- What the published chunks of an export refer to, each once.
CREATE TABLE export_refs (
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    ref    text NOT NULL,
    PRIMARY KEY (job_id, ref)
);

ALTER TABLE tombstones ADD COLUMN class smallint NOT NULL DEFAULT 0; -- of the resource as it was
CREATE INDEX tombstones_deleted_at ON tombstones (deleted_at);

-- How a file is kept: '' is packed lines without a frame, everything else a whole object of that media type.
ALTER TABLE job_files ADD COLUMN format text NOT NULL DEFAULT '';

-- Files made of other files (Parquet, objects for pre-signed URLs), until the job is completed with them.
CREATE TABLE export_files (
    job_id      uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    file        integer NOT NULL,
    attempt     uuid NOT NULL,
    blob_key    text NOT NULL,
    bytes       bigint NOT NULL,
    PRIMARY KEY (job_id, file)
);
