-- Idempotency keys of the admin API: what a request that is sent again has made.
CREATE TABLE admin_keys (
    actor      text NOT NULL,               -- credential
    kind       text NOT NULL,               -- of what was made
    key_hash   bytea NOT NULL,
    digest     bytea NOT NULL,              -- of the request
    id         uuid NOT NULL,               -- of what was made
    created_at timestamptz NOT NULL,
    PRIMARY KEY (actor, kind, key_hash)
);
