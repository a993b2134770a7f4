-- Runs of the claims rule, which derives treatment relationships from the services held. One is open at a time: a run that starts
-- closes those before it, and what they still do comes too late.
CREATE TABLE relationship_runs (
    id          uuid PRIMARY KEY,           -- of the run in Temporal
    state       text NOT NULL CHECK (state IN ('running', 'completed', 'failed', 'cancelled')),
    error       text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL,       -- the day the window is counted from
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX relationship_runs_open ON relationship_runs (id) WHERE state = 'running';

-- How far a run has come in each part of the members. A part goes on behind done, where its last chunk ended.
CREATE TABLE relationship_parts (
    run_id      uuid NOT NULL REFERENCES relationship_runs ON DELETE CASCADE,
    part        smallint NOT NULL,
    done        uuid,                       -- of a member; NULL before the first chunk
    members     bigint NOT NULL DEFAULT 0,
    services    bigint NOT NULL DEFAULT 0,
    added       bigint NOT NULL DEFAULT 0,
    changed     bigint NOT NULL DEFAULT 0,
    ended       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, part)
);

-- The NPIs of the practitioners, roles and organisations held, as a run found them. They go when it ends.
CREATE TABLE relationship_npis (
    run_id      uuid NOT NULL REFERENCES relationship_runs ON DELETE CASCADE,
    ref         text NOT NULL,              -- Type/id
    npis        text[] NOT NULL,
    via         text NOT NULL,              -- of a role: the practitioner it is of, as Type/id
    PRIMARY KEY (run_id, ref)
);
