-- The SHA-256 of a whole file in each of the forms it is served in; NULL where nobody has computed it yet.
ALTER TABLE job_files ADD COLUMN gzip_sha256 bytea;
ALTER TABLE job_files ADD COLUMN identity_sha256 bytea;

-- Of a file made of other files, known when it has been written.
ALTER TABLE export_files ADD COLUMN sha256 bytea;
