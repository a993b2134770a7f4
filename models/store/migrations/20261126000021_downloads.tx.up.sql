-- Downloads that are under way when the files of their job are about to expire: until then the files stay.
CREATE TABLE downloads (
    id     uuid PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    until  timestamptz NOT NULL
);
CREATE INDEX downloads_job ON downloads (job_id);
