-- Consents as they came with a match for somebody who was found to be a member. They are for administrators; no FHIR route
-- leads to them.
CREATE TABLE consents (
    id            uuid PRIMARY KEY,         -- of requester, member and document, see consent.ID
    member_id     uuid NOT NULL,
    requester     text NOT NULL,            -- organisation that submitted it, system|value, see models.CanonicalOrganization
    client_id     text NOT NULL,
    job_id        uuid NOT NULL,            -- the last match it came with, and its index there
    idx           integer NOT NULL,
    state         text NOT NULL CHECK (state IN ('active', 'superseded', 'revoked', 'refused')),
    reason        text NOT NULL,            -- consent.Reason; never disclosed
    policy        text NOT NULL DEFAULT '', -- what it grants, when it does
    starts_at     timestamptz,
    ends_at       timestamptz,
    given_at      timestamptz,              -- see consent.Consent
    submitted_at  timestamptz NOT NULL,
    closed_at     timestamptz,              -- when it was superseded, revoked or refused
    revoked_at    timestamptz,
    revoked_by    text NOT NULL DEFAULT '',
    revoke_reason text NOT NULL DEFAULT '',
    document      text NOT NULL             -- as submitted
);
CREATE INDEX consents_member ON consents (member_id, requester);
CREATE INDEX consents_submitted ON consents (submitted_at) WHERE state = 'active';
CREATE INDEX consents_ends ON consents (ends_at) WHERE state = 'active';
CREATE INDEX consents_revoked ON consents (revoked_at) WHERE revoked_at IS NOT NULL;

-- What members told their plan: not to share. It stands above every consent that is submitted.
CREATE TABLE consent_overrides (
    id         uuid PRIMARY KEY,
    member_id  uuid NOT NULL,
    requester  text NOT NULL,               -- with whom not to share, system|value; '' with anybody
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz,
    source     text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_by text NOT NULL DEFAULT ''
);
CREATE INDEX consent_overrides_member ON consent_overrides (member_id) WHERE revoked_at IS NULL;
CREATE INDEX consent_overrides_since ON consent_overrides ((greatest(created_at, starts_at))) WHERE revoked_at IS NULL;

-- Members of whom an export kept back more than their Group's row says: its files hold nothing of them, or nothing sensitive.
CREATE TABLE export_withheld (
    job_id    uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    member_id uuid NOT NULL,
    whole     boolean NOT NULL,
    PRIMARY KEY (job_id, member_id)
);

-- Whom a Group was made for, system|value, see models.CanonicalOrganization.
ALTER TABLE groups ADD COLUMN organizations text[] NOT NULL DEFAULT '{}';
UPDATE groups g SET organizations = ARRAY(SELECT jsonb_array_elements_text(j.params->'organizations')) FROM jobs j
WHERE j.id = g.job_id AND jsonb_typeof(j.params->'organizations') = 'array';

CREATE INDEX group_members_ends ON group_members (group_id, consent_end);
