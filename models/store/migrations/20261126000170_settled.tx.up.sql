-- When a consent was decided on, which may be long after it was submitted: files that were written before are held against it.
-- Of what is there, and of what a process of the former version writes, now is the latest it can be.
ALTER TABLE consents ADD COLUMN settled_at timestamptz NOT NULL DEFAULT now();
DROP INDEX consents_submitted;
CREATE INDEX consents_settled ON consents (settled_at) WHERE state = 'active';
