-- How a client came to be registered, what it asked for beside what it was granted, and which of its tokens still count.
ALTER TABLE clients
    ADD COLUMN origin            text NOT NULL DEFAULT 'admin' CHECK (origin IN ('admin', 'oauth', 'udap')),
    ADD COLUMN requested         text[] NOT NULL DEFAULT '{}',  -- scopes a dynamic registration asked for
    ADD COLUMN contacts          text[] NOT NULL DEFAULT '{}',
    ADD COLUMN issuer            text NOT NULL DEFAULT '',      -- udap: the iss of the software statement
    ADD COLUMN community         text NOT NULL DEFAULT '',      -- udap: the trust community that vouches for it
    ADD COLUMN registration_hash bytea,                         -- oauth: SHA-256 of the registration access token
    ADD COLUMN cancelled_at      timestamptz,                   -- by the client; the row stays, so that its id is never used again
    ADD COLUMN generation        bigint NOT NULL DEFAULT 0,     -- tokens of an earlier generation are void
    DROP CONSTRAINT clients_check,
    DROP CONSTRAINT clients_kind_check,
    ADD CHECK (kind IN ('payer', 'provider', 'backend', 'pending') AND NOT (kind = 'pending' AND active)),
    ADD CHECK (CASE origin WHEN 'udap' THEN jwks IS NULL AND jwks_url = '' AND issuer <> '' ELSE (jwks IS NULL) = (jwks_url <> '') END),
    ADD CHECK (cancelled_at IS NULL OR NOT active);
CREATE UNIQUE INDEX clients_udap ON clients (issuer, community) WHERE origin = 'udap' AND cancelled_at IS NULL;

-- Tokens of administrators that let somebody register a client (RFC 7591 initial access tokens), by their hash. What the
-- client may be at most is decided here.
CREATE TABLE initial_tokens (
    id               text PRIMARY KEY,
    hash             bytea NOT NULL UNIQUE,
    note             text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('payer', 'provider', 'backend')),
    organization     text NOT NULL DEFAULT '',
    organization_ids text[] NOT NULL DEFAULT '{}',
    scopes           text[] NOT NULL DEFAULT '{}',
    uses_left        integer NOT NULL CHECK (uses_left >= 0),
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL
);

-- What the token checks of every api process must know of at once: revoked tokens and changed clients, in the order of their
-- commits. Rows are kept as long as a token could outlive them.
CREATE TABLE auth_events (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_id   text,
    client_id  text,
    expires_at timestamptz NOT NULL,
    CHECK ((token_id IS NULL) <> (client_id IS NULL))
);
CREATE UNIQUE INDEX auth_events_token ON auth_events (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX auth_events_expired ON auth_events (expires_at);

-- The api processes that check tokens from memory. One whose lease has run out asks the database about every token.
CREATE TABLE auth_listeners (
    id          text PRIMARY KEY,
    acked       bigint NOT NULL,        -- knows the events up to this one
    lease_until timestamptz NOT NULL
);

-- Events are numbered in the order in which they become visible, so writers take turns: a reader that has seen one has seen
-- all before it.
CREATE FUNCTION auth_event_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1885628790);
    RETURN NULL;
END $$;
CREATE TRIGGER turn BEFORE INSERT ON auth_events FOR EACH STATEMENT EXECUTE FUNCTION auth_event_turn();

CREATE FUNCTION auth_event_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pdex_auth', '');
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT ON auth_events FOR EACH STATEMENT EXECUTE FUNCTION auth_event_tell();

CREATE FUNCTION client_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO auth_events (client_id, expires_at) VALUES (coalesce(NEW.id, OLD.id), clock_timestamp() + interval '1 hour');
    RETURN NULL;
END $$;
CREATE TRIGGER changed AFTER UPDATE OR DELETE ON clients FOR EACH ROW EXECUTE FUNCTION client_changed();
