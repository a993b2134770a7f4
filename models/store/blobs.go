package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Blobs returns the keys of all blobs that count for a job: its stored request, its published chunks and files, its Group; and those of
// a failed export that may go on.
// Whatever else lies beneath the job's folders was left by an attempt that did not get to publish it.
func (s *Store) Blobs(ctx context.Context, jobID string) (map[string]bool, error) {
	rows, err := s.Pool.Query(ctx, `SELECT blob_key FROM export_chunks WHERE job_id = $1 AND blob_key <> ''
			AND (EXISTS (SELECT FROM job_files WHERE job_id = $1 AND blob_key = '') -- else every file has been converted
				OR EXISTS (SELECT FROM jobs WHERE id = $1 AND state = 'failed'))
		UNION ALL SELECT f.blob_key FROM export_files f JOIN jobs j ON j.id = f.job_id WHERE j.id = $1 AND j.state = 'failed'
		UNION ALL SELECT blob_key FROM job_files WHERE job_id = $1 AND blob_key <> ''
		UNION ALL SELECT blob_key FROM groups WHERE job_id = $1
		UNION ALL SELECT params->>'blobKey' FROM jobs WHERE id = $1 AND params ? 'blobKey'`, jobID)
	if err != nil {
		return nil, fmt.Errorf("select blobs: %w", err)
	}
	keys := map[string]bool{}
	var key string
	_, err = pgx.ForEachRow(rows, []any{&key}, func() error {
		keys[key] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read blobs: %w", err)
	}
	return keys, nil
}
