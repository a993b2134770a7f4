-- Credentials of the admin API. A revoked one stays, since the audit log names it.
CREATE TABLE admin_credentials (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    role        text NOT NULL CHECK (role IN ('operator', 'optout-editor', 'auditor', 'administrator')),
    secret_hash bytea NOT NULL,                     -- SHA-256
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);
