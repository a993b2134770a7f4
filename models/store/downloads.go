package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// HoldFiles keeps the files of a job from being purged until the given moment, for a download that may call it again to go
// on. It is false when they are being purged already, or when the job was deleted.
func (s *Store) HoldFiles(ctx context.Context, jobID, download string, until time.Time) (bool, error) {
	held := false
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// The purge locks the job too: either it sees this download or this sees no files.
		err := tx.QueryRow(ctx, `SELECT deleted_at IS NULL FROM jobs WHERE id = $1 FOR SHARE`, jobID).Scan(&held)
		if noRows(err) {
			return nil
		}
		if err != nil || !held {
			return err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO downloads (id, job_id, until)
			SELECT $2, $1, $3 WHERE EXISTS (SELECT FROM job_files WHERE job_id = $1)
			ON CONFLICT (id) DO UPDATE SET until = excluded.until`, jobID, download, until)
		held = tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("hold files: %w", err)
	}
	return held, nil
}

// ReleaseFiles ends what HoldFiles began.
func (s *Store) ReleaseFiles(ctx context.Context, download string) error {
	if _, err := s.Pool.Exec(ctx, `DELETE FROM downloads WHERE id = $1`, download); err != nil {
		return fmt.Errorf("release files: %w", err)
	}
	return nil
}
