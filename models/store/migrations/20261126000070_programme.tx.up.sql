-- What members said about sharing their data with providers. A row is never changed but by its revocation, so a member's rows
-- are the history. Nothing caches them: a decision reads what is committed.
CREATE TABLE opt_outs (
    member_id   uuid NOT NULL,
    id          uuid NOT NULL,
    scope       text NOT NULL CHECK (scope IN ('global', 'provider-specific', 'purpose-specific', 'payer-specific', 'provider-category')),
    target      text NOT NULL,              -- models.CanonicalTarget
    reason      text NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL DEFAULT 'infinity',
    source      text NOT NULL CHECK (source IN ('admin', 'import', 'consent')),
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    revoked_by  text NOT NULL DEFAULT '',
    revoked_why text NOT NULL DEFAULT '',
    PRIMARY KEY (member_id, id)
) PARTITION BY HASH (member_id);

-- The treatment relationship list. Each source keeps its own row of a pair, so that the claims rule overwrites nobody's entry.
CREATE TABLE treatment_relationships (
    member_id   uuid NOT NULL,
    npi         text NOT NULL,              -- of an individual or an organisation
    type        text NOT NULL CHECK (type IN ('active', 'past', 'prospective')),
    source      text NOT NULL CHECK (source IN ('admin', 'import', 'claims')),
    id          uuid NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL DEFAULT 'infinity',
    created_by  text NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (member_id, npi, type, source)
) PARTITION BY HASH (member_id);

DO $$
BEGIN
    FOR i IN 0..7 LOOP
        EXECUTE format('CREATE TABLE opt_outs_%s PARTITION OF opt_outs FOR VALUES WITH (MODULUS 8, REMAINDER %s)', i, i);
        EXECUTE format('CREATE TABLE treatment_relationships_%s PARTITION OF treatment_relationships FOR VALUES WITH (MODULUS 8, REMAINDER %s)', i, i);
    END LOOP;
END $$;
-- Saying the same thing twice makes one row.
CREATE UNIQUE INDEX opt_outs_standing ON opt_outs (member_id, scope, target, starts_at, ends_at) WHERE revoked_at IS NULL;
CREATE INDEX opt_outs_id ON opt_outs (id);
CREATE INDEX opt_outs_since ON opt_outs ((greatest(created_at, starts_at))) WHERE revoked_at IS NULL;
CREATE INDEX treatment_relationships_id ON treatment_relationships (id);

CREATE TABLE lines_of_business (
    code          text PRIMARY KEY,
    name          text NOT NULL DEFAULT '',
    payers        text[] NOT NULL DEFAULT '{}',     -- system|value
    selectors     jsonb NOT NULL DEFAULT '[]',      -- models.LineSelector
    hide_opt_outs boolean NOT NULL DEFAULT true,
    treatment     text NOT NULL DEFAULT 'both' CHECK (treatment IN ('list-required', 'attestation-sufficient', 'both')),
    lookback      integer NOT NULL DEFAULT 0,       -- days
    updated_at    timestamptz NOT NULL
);
INSERT INTO lines_of_business (code, name, updated_at) VALUES ('default', 'Everybody else', clock_timestamp());

-- Loads of opt-outs, relationships and directory entries. A load goes on behind line, where its last batch ended.
CREATE TABLE list_imports (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('opt-outs', 'relationships', 'providers', 'network')),
    source      text NOT NULL,              -- a location, '' for an upload
    blob_key    text NOT NULL,              -- of an upload
    format      text NOT NULL CHECK (format IN ('csv', 'ndjson')),
    dry_run     boolean NOT NULL,
    state       text NOT NULL CHECK (state IN ('accepted', 'running', 'completed', 'failed', 'cancelled')),
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz,
    error       text NOT NULL DEFAULT '',
    line        bigint NOT NULL DEFAULT 0,
    added       bigint NOT NULL DEFAULT 0,
    changed     bigint NOT NULL DEFAULT 0,
    unchanged   bigint NOT NULL DEFAULT 0,
    rejected    bigint NOT NULL DEFAULT 0
);
CREATE TABLE list_rejects (
    import_id   uuid NOT NULL REFERENCES list_imports ON DELETE CASCADE,
    line        bigint NOT NULL,
    field       text NOT NULL,
    reason      text NOT NULL,              -- says what is wrong, never what was sent
    PRIMARY KEY (import_id, line)
);

-- What the people of a provider's match were opened under, for the time when their data are about to leave.
CREATE TABLE match_terms (
    job_id    uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    idx       integer NOT NULL,             -- match_outcomes.idx
    named     text[] NOT NULL,              -- consent.Terms
    vouched   text[] NOT NULL,
    purposes  text[] NOT NULL,
    lines     text[] NOT NULL,              -- of business
    ends_at   timestamptz,
    PRIMARY KEY (job_id, idx)
);
CREATE TABLE group_terms (
    group_id  uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    member_id uuid NOT NULL,
    idx       integer NOT NULL,             -- a member may have been asked for more than once
    named     text[] NOT NULL,
    vouched   text[] NOT NULL,
    purposes  text[] NOT NULL,
    lines     text[] NOT NULL,
    ends_at   timestamptz,
    PRIMARY KEY (group_id, member_id, idx)
);
-- For whom a provider's Group was made, which is the same for all its members.
CREATE TABLE group_askers (
    group_id      uuid PRIMARY KEY REFERENCES groups ON DELETE CASCADE,
    organizations text[] NOT NULL,          -- canonical identifiers
    holder        text[] NOT NULL
);

-- Consents (pdex-provider-consent) by which members said through a client whether to share with providers. One of a member is
-- active at a time.
CREATE TABLE member_consents (
    id         uuid PRIMARY KEY,
    member_id  uuid NOT NULL,
    client_id  text NOT NULL,
    active     boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    document   text NOT NULL               -- as it was sent
);
CREATE UNIQUE INDEX member_consents_active ON member_consents (member_id) WHERE active;
CREATE INDEX member_consents_member ON member_consents (member_id, id);
