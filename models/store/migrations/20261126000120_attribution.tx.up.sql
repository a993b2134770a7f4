-- Attribution lists: Groups that the plan keeps for a provider, instead of a match. The row in groups says whose a list is and when it
-- ends, its job_id is the list's own id, since no job made it, and group_members has those with an attribution that is not inactive.
CREATE TABLE attribution_lists (
    group_id    uuid PRIMARY KEY REFERENCES groups ON DELETE CASCADE,
    name        text NOT NULL,
    status      text NOT NULL CHECK (status IN ('draft', 'open', 'final')),
    identifiers text[] NOT NULL,            -- system|value
    purposes    text[] NOT NULL,            -- of use, for which the provider gets the data
    starts_at   timestamptz NOT NULL,
    version     bigint NOT NULL DEFAULT 1,
    updated_at  timestamptz NOT NULL        -- changes with what is on the list, too
);
CREATE TABLE attributions (
    group_id    uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    member_id   uuid NOT NULL,
    npi         text NOT NULL,              -- of the provider, '' for the one whose list it is
    coverage    text NOT NULL,              -- id of the Coverage that puts the member on the list, '' for none
    provider    text NOT NULL,              -- as Type/id, '' when known by NPI alone
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL DEFAULT 'infinity',
    inactive    boolean NOT NULL,
    asked       boolean NOT NULL,           -- by the provider whose list it is, and not put there by the plan
    change      text NOT NULL CHECK (change IN ('new', 'changed', 'nochange', 'dropped')),
    PRIMARY KEY (group_id, member_id, npi, coverage)
);
CREATE INDEX attributions_ends ON attributions (group_id, ends_at);
CREATE INDEX attribution_lists_identifiers ON attribution_lists USING gin (identifiers);

-- Whom an export of an attribution list is of: the list goes on changing while it runs, and afterwards. It stays when the files are
-- gone, for whoever asks to whom a member's data went.
CREATE TABLE export_rosters (
    job_id    uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    member_id uuid NOT NULL,
    PRIMARY KEY (job_id, member_id)
);
CREATE INDEX export_rosters_member ON export_rosters (member_id);
