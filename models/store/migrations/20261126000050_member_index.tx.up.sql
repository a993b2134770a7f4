-- The member index, anew: what the matcher compares, and the keys by which it finds whom to compare.
DROP TABLE member_names;
DROP TABLE member_cards;

-- What one resource says of a member: a Patient, a Coverage, or a Coverage that ExplanationOfBenefits contain.
CREATE TABLE member_parts (
    member_id   uuid NOT NULL,
    source      bigint NOT NULL,            -- segment.IDHash of the resource; of the content, for a contained one
    contained   boolean NOT NULL,
    record      bytea NOT NULL,             -- match.Person.Record
    keys        bigint[] NOT NULL,          -- the rows of member_keys
    PRIMARY KEY (member_id, source)
);

-- Blocking keys, hashed. A member is looked at when it has a key in common with the person asked for.
CREATE TABLE member_keys (
    key         bigint NOT NULL,
    member_id   uuid NOT NULL,
    source      bigint NOT NULL,
    PRIMARY KEY (key, member_id, source)
);

-- Members whose parts have to be made again from their resources.
CREATE TABLE member_stale (
    member_id   uuid PRIMARY KEY
);
INSERT INTO member_stale SELECT id FROM members;

-- Weights of the matcher, the newest in use.
CREATE TABLE match_models (
    version     bigint PRIMARY KEY,
    trained_at  timestamptz NOT NULL,
    members     bigint NOT NULL,
    pairs       bigint NOT NULL,
    model       jsonb NOT NULL
);

ALTER TABLE match_outcomes
    ADD COLUMN grade text NOT NULL DEFAULT '',
    ADD COLUMN weights bigint NOT NULL DEFAULT 0,   -- match_models.version
    ADD COLUMN explanation jsonb;                   -- match.Explanation
