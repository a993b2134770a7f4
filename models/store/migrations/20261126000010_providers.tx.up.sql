-- The provider directory.
CREATE TABLE providers (
    npi           text PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('individual', 'organization')),
    active        boolean NOT NULL,
    in_network    boolean NOT NULL,
    taxonomies    text[] NOT NULL DEFAULT '{}',
    organizations text[] NOT NULL DEFAULT '{}',     -- NPIs
    updated_at    timestamptz NOT NULL
);
