-- The moment of the last import or export that was given one. Whoever needs an instant takes this row's lock, so that
-- imports and exports agree on an order (see snapshotTime).
CREATE TABLE clock (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    at  timestamptz NOT NULL
);
INSERT INTO clock (at) VALUES ('epoch');

-- One row a Patient id seen. A row whose present is false stands for resources whose Patient has not come yet:
-- they are kept, never matched and never exported.
CREATE TABLE members (
    id          uuid PRIMARY KEY,           -- derived from the Patient id, see models.MemberID
    patient_id  text NOT NULL,
    present     boolean NOT NULL DEFAULT false,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX members_patient_id ON members (patient_id);

-- What the matcher blocks on. Everything here is normalised; the original is in the Patient segment.
CREATE TABLE member_names (
    member_id   uuid NOT NULL,
    family      text NOT NULL,
    given       text NOT NULL,
    birth_date  date,
    gender      text NOT NULL DEFAULT '',
    PRIMARY KEY (member_id, family, given)
);
CREATE INDEX member_names_block ON member_names (family, birth_date);

-- source is the segment.IDHash of the Patient or Coverage an identifier came from, so that a newer version of that resource
-- takes its old identifiers away; 0 for a Coverage contained in an ExplanationOfBenefit, which only ever adds.
CREATE TABLE member_cards (
    member_id   uuid NOT NULL,
    source      bigint NOT NULL,
    kind        smallint NOT NULL,          -- models.CardKind
    value       text NOT NULL,
    PRIMARY KEY (member_id, source, kind, value)
);
CREATE INDEX member_cards_value ON member_cards (value, kind);

-- Packed segments. Clustered by member, then type; immutable but for valid_to.
CREATE TABLE segments (
    member_id   uuid NOT NULL,
    type        smallint NOT NULL,          -- fhir.TypeCode
    class       smallint NOT NULL,          -- models.Class
    valid_from  timestamptz NOT NULL,
    part        smallint NOT NULL,
    valid_to    timestamptz NOT NULL DEFAULT 'infinity',
    lines       integer NOT NULL,
    packed_len  integer NOT NULL,
    raw_len     integer NOT NULL,
    crc         integer NOT NULL,           -- CRC-32 of the raw bytes, as a signed 32-bit integer
    updated_min timestamptz NOT NULL,
    updated_max timestamptz NOT NULL,
    service_min date,                       -- NULL when no line has a service date
    service_max date,
    undated     integer NOT NULL,           -- lines without a service date
    data        bytea NOT NULL,
    PRIMARY KEY (member_id, type, class, valid_from, part) INCLUDE (valid_to, lines, packed_len)
) PARTITION BY HASH (member_id);

-- The per-line index of a segment. Apart from the segment, so that an export that copies whole segments reads no byte of it.
CREATE TABLE segment_lines (
    member_id   uuid NOT NULL,
    type        smallint NOT NULL,
    class       smallint NOT NULL,
    valid_from  timestamptz NOT NULL,
    part        smallint NOT NULL,
    valid_to    timestamptz NOT NULL DEFAULT 'infinity',
    id_hashes   bytea NOT NULL,             -- 8 bytes a line, segment.IDHash
    entries     bytea NOT NULL,             -- segment.EncodeIndex
    PRIMARY KEY (member_id, type, class, valid_from, part)
) PARTITION BY HASH (member_id);

DO $$
BEGIN
    FOR i IN 0..7 LOOP
        -- Tuples up to a page stay in the heap: a segment of ordinary size is read without a TOAST look-up.
        EXECUTE format('CREATE TABLE segments_%s PARTITION OF segments FOR VALUES WITH (MODULUS 8, REMAINDER %s)
                        WITH (toast_tuple_target = 8160)', i, i);
        EXECUTE format('ALTER TABLE segments_%s ALTER COLUMN data SET STORAGE EXTERNAL', i);
        EXECUTE format('CREATE TABLE segment_lines_%s PARTITION OF segment_lines FOR VALUES WITH (MODULUS 8, REMAINDER %s)
                        WITH (toast_tuple_target = 8160)', i, i);
        EXECUTE format('ALTER TABLE segment_lines_%s ALTER COLUMN entries SET STORAGE EXTERNAL', i);
        EXECUTE format('ALTER TABLE segment_lines_%s ALTER COLUMN id_hashes SET STORAGE EXTERNAL', i);
    END LOOP;
END $$;

-- Deletes are remembered for manifests with deleted files and so that a late older version does not come back.
CREATE TABLE tombstones (
    type        smallint NOT NULL,
    resource_id text NOT NULL,
    member_id   uuid NOT NULL,
    deleted_at  timestamptz NOT NULL,
    PRIMARY KEY (member_id, type, resource_id)
);

CREATE TABLE imports (
    id           uuid PRIMARY KEY,
    source       text NOT NULL,
    buckets      integer NOT NULL DEFAULT 1,
    mode         text NOT NULL CHECK (mode IN ('live', 'backfill')),
    state        text NOT NULL CHECK (state IN ('accepted', 'running', 'completed', 'failed', 'cancelled')),
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL,
    effective_at timestamptz,               -- lastUpdated of what a live import brings; NULL until it merges
    finished_at  timestamptz,
    error        text NOT NULL DEFAULT '',
    stats        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX imports_running ON imports (effective_at) WHERE state = 'running';

-- Spilled lines of an import, sorted by bucket; dropped when it ends.
CREATE TABLE import_runs (
    import_id   uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    file        integer NOT NULL,           -- ordinal in the sorted list of the source's files
    run         integer NOT NULL,
    blob_key    text NOT NULL,
    directory   bytea NOT NULL,
    PRIMARY KEY (import_id, file, run)
);
CREATE TABLE import_files (
    import_id   uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    file        integer NOT NULL,
    name        text NOT NULL,
    bytes       bigint NOT NULL,
    scanned     boolean NOT NULL DEFAULT false,
    stats       jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (import_id, file)
);
CREATE TABLE import_buckets (
    import_id   uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    bucket      integer NOT NULL,
    lines       bigint NOT NULL,            -- of the bucket that are merged, in the order spill.Merge yields them
    stats       jsonb NOT NULL,
    PRIMARY KEY (import_id, bucket)
);
CREATE TABLE import_rejects (
    import_id   uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    file        integer NOT NULL,
    line        bigint NOT NULL,
    reason      text NOT NULL,              -- a fixed code, never content
    PRIMARY KEY (import_id, file, line)
);
CREATE TABLE import_deletes (
    import_id   uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    type        smallint NOT NULL,
    resource_id text NOT NULL,
    PRIMARY KEY (import_id, type, resource_id)
);

-- One row an asynchronous job of any kind. Outlives what Temporal remembers of it.
CREATE TABLE jobs (
    id               uuid PRIMARY KEY,
    client_id        text NOT NULL,
    operation        text NOT NULL,         -- models.Operation
    request_url      text NOT NULL,
    request_digest   bytea NOT NULL,
    idempotency_key  text NOT NULL DEFAULT '',
    state            text NOT NULL CHECK (state IN ('accepted', 'running', 'completed', 'failed', 'cancelled')),
    stage            text NOT NULL DEFAULT '',
    params           jsonb NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL,
    transaction_time timestamptz,
    finished_at      timestamptz,
    expires_at       timestamptz,
    deleted_at       timestamptz,
    error            text NOT NULL DEFAULT '',
    accounting       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX jobs_by_client ON jobs (client_id, id);
CREATE INDEX jobs_open ON jobs (client_id, operation) WHERE state IN ('accepted', 'running');
CREATE UNIQUE INDEX jobs_idempotency ON jobs (client_id, idempotency_key) WHERE idempotency_key <> '' AND deleted_at IS NULL;

CREATE TABLE match_slices (
    job_id      uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    slice       integer NOT NULL,
    first       integer NOT NULL,           -- index of the first MemberBundle
    members     integer NOT NULL,
    byte_offset bigint NOT NULL,            -- in the stored request, one MemberBundle a line
    byte_length bigint NOT NULL,
    done        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (job_id, slice)
);
CREATE TABLE match_outcomes (
    job_id        uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    idx           integer NOT NULL,         -- index of the MemberBundle in the request
    outcome       text NOT NULL CHECK (outcome IN ('matched', 'nomatch', 'constrained')),
    reason        text NOT NULL,            -- for admins, never disclosed
    member_id     uuid,
    policy        text NOT NULL DEFAULT '',
    consent_start timestamptz,
    consent_end   timestamptz,
    PRIMARY KEY (job_id, idx)
);

CREATE TABLE groups (
    id           uuid PRIMARY KEY,
    client_id    text NOT NULL,
    job_id       uuid NOT NULL,
    profile      text NOT NULL,
    blob_key     text NOT NULL,
    members      integer NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz
);
CREATE INDEX groups_by_client ON groups (client_id, id);
CREATE TABLE group_members (
    group_id      uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    member_id     uuid NOT NULL,
    policy        text NOT NULL DEFAULT '',
    consent_start timestamptz,
    consent_end   timestamptz,
    PRIMARY KEY (group_id, member_id)
);

CREATE TABLE export_chunks (
    job_id     uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    chunk      integer NOT NULL,
    lo         uuid NOT NULL,               -- members of the chunk: lo <= id <= hi
    hi         uuid NOT NULL,
    members    integer NOT NULL,
    planned    bigint NOT NULL,             -- resources
    attempt    uuid,                        -- the attempt whose parts count; NULL until one is published
    blob_key   text,
    accounting jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (job_id, chunk)
);
CREATE TABLE export_parts (
    job_id      uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    chunk       integer NOT NULL,
    type        smallint NOT NULL,
    part        smallint NOT NULL,
    byte_offset bigint NOT NULL,            -- in the chunk's blob
    packed_len  bigint NOT NULL,
    raw_len     bigint NOT NULL,
    lines       bigint NOT NULL,
    crc         integer NOT NULL,
    PRIMARY KEY (job_id, type, chunk, part)
);
-- A file of a manifest: the parts of one type in a run of chunks, or one blob.
CREATE TABLE job_files (
    job_id      uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    file        integer NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('output', 'deleted', 'error')),
    type        text NOT NULL,
    blob_key    text NOT NULL DEFAULT '',   -- set when the file is one blob of packed lines
    first_chunk integer NOT NULL DEFAULT 0,
    last_chunk  integer NOT NULL DEFAULT -1,
    lines       bigint NOT NULL,
    raw_len     bigint NOT NULL,
    packed_len  bigint NOT NULL,
    crc         integer NOT NULL,
    PRIMARY KEY (job_id, file)
);
