-- Registered OAuth clients. A client's keys are stored here or published at jwks_url, never both.
CREATE TABLE clients (
    id               text PRIMARY KEY,
    name             text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('payer', 'provider', 'backend')),
    organization     text NOT NULL DEFAULT '',
    organization_ids text[] NOT NULL DEFAULT '{}',   -- system|value
    scopes           text[] NOT NULL DEFAULT '{}',
    jwks             jsonb,
    jwks_url         text NOT NULL DEFAULT '',
    active           boolean NOT NULL DEFAULT true,
    value_based      boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((jwks IS NULL) = (jwks_url <> ''))
);

-- Assertions that have been used, kept until nobody would take them any more. The primary key is what refuses a replay.
CREATE TABLE used_assertions (
    client_id  text NOT NULL,
    jti        text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, jti)
);
CREATE INDEX used_assertions_expired ON used_assertions (expires_at);

-- The keys access tokens are signed with, shared by every api process.
CREATE TABLE signing_keys (
    kid         text PRIMARY KEY,
    alg         text NOT NULL,
    private_key bytea NOT NULL,                      -- PKCS #8, DER
    created_at  timestamptz NOT NULL,
    not_after   timestamptz NOT NULL
);
