-- What administrators do to the run of a job: hold it back, have it go on after it failed, make the same request again.
ALTER TABLE jobs
    ADD COLUMN paused_at  timestamptz,      -- while no new step of the run may begin
    ADD COLUMN retries    integer NOT NULL DEFAULT 0,
    ADD COLUMN reissue_of uuid;             -- the job whose request this one repeats
-- The snapshots and files of failed exports are kept for a while.
CREATE INDEX jobs_failed ON jobs (finished_at) WHERE state = 'failed';
