-- Of the run in Temporal, so that a sweep can look whether it goes on. '' of runs from before.
ALTER TABLE relationship_runs ADD COLUMN workflow_id text NOT NULL DEFAULT '';
