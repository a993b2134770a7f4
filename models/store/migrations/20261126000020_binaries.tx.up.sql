-- The content of Binary resources, in the version that came last. It is apart from the segments because no export has lines
-- of type Binary.
CREATE TABLE binaries (
    id           text PRIMARY KEY,
    content_type text NOT NULL,
    class        smallint NOT NULL,         -- models.Class
    updated_at   timestamptz NOT NULL,
    version      integer NOT NULL,
    hash         bigint NOT NULL,           -- of the line, as segment.Hash
    bound        boolean NOT NULL,          -- it has a securityContext, which is one of:
    member_id    uuid,                      --   a Patient
    patient_id   text NOT NULL DEFAULT '',
    source       bigint,                    --   another resource, as segment.IDHash
    made_for     uuid,                      -- whom a DocumentReference was made for that holds it
    settled      boolean NOT NULL DEFAULT false, -- it has been looked at since it, or what refers to it, changed
    gone         boolean NOT NULL DEFAULT false, -- deleted; the row stays until it is settled
    data         bytea NOT NULL
);
ALTER TABLE binaries ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX binaries_unsettled ON binaries (id) WHERE NOT settled;

-- Which resources of a member have an Attachment that names a Binary.
CREATE TABLE attachments (
    member_id uuid NOT NULL,
    source    bigint NOT NULL,              -- segment.IDHash of the resource
    type      smallint NOT NULL,            -- its fhir.TypeCode
    binary_id text NOT NULL,
    relative  boolean NOT NULL,             -- by a relative url, which can mean no other server's
    PRIMARY KEY (member_id, source, binary_id)
);
CREATE INDEX attachments_binary ON attachments (binary_id);

-- The Binaries that lines of an export refer to, and the member whose they were.
CREATE TABLE export_attachments (
    job_id    uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    binary_id text NOT NULL,
    member_id uuid NOT NULL,
    PRIMARY KEY (job_id, binary_id)
);
