package store

import (
	"context"
	"fmt"
)

// SaveDigest keeps the SHA-256 of a finished job's file, in its gzip form or as it is without a content coding. A file never
// changes, so the one that is there already is the same. A file that has been purged meanwhile is no error.
func (s *Store) SaveDigest(ctx context.Context, jobID string, file int, gzip bool, sum []byte) error {
	sql := `UPDATE job_files SET identity_sha256 = $3 WHERE job_id = $1 AND file = $2`
	if gzip {
		sql = `UPDATE job_files SET gzip_sha256 = $3 WHERE job_id = $1 AND file = $2`
	}
	if _, err := s.Pool.Exec(ctx, sql, jobID, file, sum); err != nil {
		return fmt.Errorf("save a digest: %w", err)
	}
	return nil
}
