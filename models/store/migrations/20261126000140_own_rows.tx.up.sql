-- A client's own job or Group is looked for by id and client at once, so that somebody else's takes as long as one that never was. The
-- primary key finds the row and then looks whose it is, which shows in the time it takes.
CREATE UNIQUE INDEX jobs_own ON jobs ((id::text || client_id));
CREATE UNIQUE INDEX groups_own ON groups ((id::text || client_id));
