package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"pdexbulk/models"
)

// tick moves the clock to now, or a millisecond on when it is already there, and returns it. Its row lock is held until
// the transaction ends, which is what puts imports and exports in one order.
func tick(ctx context.Context, db bun.IDB, now time.Time) (time.Time, error) {
	var at time.Time
	err := db.NewRaw(`UPDATE clock SET at = greatest(at + interval '1 millisecond', ?) RETURNING at`, millis(now)).Scan(ctx, &at)
	if err != nil {
		return time.Time{}, fmt.Errorf("advance the clock: %w", err)
	}
	return at.UTC(), nil
}

// CreateImport records an accepted import.
func (s *Store) CreateImport(ctx context.Context, imp *models.Import) error {
	if _, err := s.DB.NewInsert().Model(imp).Exec(ctx); err != nil {
		return fmt.Errorf("insert import: %w", err)
	}
	return nil
}

// Import returns one import. KindNotFound when there is none.
func (s *Store) Import(ctx context.Context, id string) (*models.Import, error) {
	imp := new(models.Import)
	err := s.DB.NewSelect().Model(imp).Where("id = ?", id).Scan(ctx)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no import has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("select import: %w", err)
	}
	return imp, nil
}

// Imports lists imports from newest to oldest, at most limit of them, those older than the id before when it is given.
func (s *Store) Imports(ctx context.Context, before string, limit int) ([]models.Import, error) {
	var rows []models.Import
	q := s.DB.NewSelect().Model(&rows).OrderBy("id", bun.OrderDesc).Limit(int64(limit))
	if before != "" {
		q = q.Where("id < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("select imports: %w", err)
	}
	return rows, nil
}

// OpenImports returns the imports that were made before the given moment and have not ended.
func (s *Store) OpenImports(ctx context.Context, before time.Time) ([]models.Import, error) {
	var rows []models.Import
	err := s.DB.NewSelect().Model(&rows).Where("state IN ('accepted', 'running')").Where("created_at < ?", before).Order("id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("select open imports: %w", err)
	}
	return rows, nil
}

// StartImport moves an accepted import to running and records the files of its source. Calling it again changes nothing.
func (s *Store) StartImport(ctx context.Context, id string, files []models.ImportFile, buckets int) (*models.Import, error) {
	imp := new(models.Import)
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := tx.NewSelect().Model(imp).Where("id = ?", id).For("UPDATE").Scan(ctx)
		if err != nil || imp.State != models.StateAccepted {
			return err
		}
		imp.State, imp.Buckets = models.StateRunning, buckets
		if _, err := tx.NewUpdate().Model(imp).Column("state", "buckets").WherePK().Exec(ctx); err != nil {
			return err
		}
		if len(files) == 0 {
			return nil
		}
		_, err = tx.NewInsert().Model(&files).Exec(ctx)
		return err
	})
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no import has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("start import: %w", err)
	}
	return imp, nil
}

// TakeTurn gives an import the instant it takes effect, unless another import is merging: then it returns that one's id.
// Calling it again changes nothing.
//
// Imports scan side by side but merge one after the other, in the order of their instants. From TakeTurn until
// FinishImport no snapshot (snapshotTime) can be at or after that instant, so that no export sees half of the import and
// no delta chained to an earlier one misses what it brings.
func (s *Store) TakeTurn(ctx context.Context, id string, now time.Time) (imp *models.Import, holder string, err error) {
	imp = new(models.Import)
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		at, err := tick(ctx, tx, now)
		if err != nil {
			return err
		}
		if err := tx.NewSelect().Model(imp).Where("id = ?", id).Scan(ctx); err != nil || imp.EffectiveAt != nil {
			return err
		}
		err = tx.NewRaw(`SELECT id FROM imports WHERE state = 'running' AND effective_at IS NOT NULL LIMIT 1`).Scan(ctx, &holder)
		if !noRows(err) {
			return err
		}
		if imp.State != models.StateRunning {
			return models.Errorf(models.KindConflict, "the import is not running")
		}
		imp.EffectiveAt = &at
		_, err = tx.NewUpdate().Model(imp).Column("effective_at").WherePK().Exec(ctx)
		return err
	})
	if noRows(err) {
		return nil, "", models.Errorf(models.KindNotFound, "no import has this id")
	}
	if err != nil {
		return nil, "", fmt.Errorf("take the turn to merge: %w", err)
	}
	return imp, holder, nil
}

// ImportFiles returns the files of an import in order.
func (s *Store) ImportFiles(ctx context.Context, id string) ([]models.ImportFile, error) {
	var rows []models.ImportFile
	if err := s.DB.NewSelect().Model(&rows).Where("import_id = ?", id).Order("file").Scan(ctx); err != nil {
		return nil, fmt.Errorf("select import files: %w", err)
	}
	return rows, nil
}

// FinishScan records, at once, everything one file's scan found. The second attempt to record a file changes nothing and
// returns false: its runs are not part of the import. So does one that comes after the import has ended.
func (s *Store) FinishScan(ctx context.Context, file models.ImportFile, runs []models.ImportRun, rejects []models.ImportReject, deletes []models.ImportDelete) (bool, error) {
	won := false
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var state models.State
		err := tx.NewRaw(`SELECT state FROM imports WHERE id = ? FOR SHARE`, file.ImportID).Scan(ctx, &state)
		if err != nil || state != models.StateRunning {
			return err
		}
		res, err := tx.NewUpdate().Model(&file).Set("scanned = true").Set("stats = ?", file.Stats).
			WherePK().Where("NOT scanned").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		won = true
		if len(runs) > 0 {
			if _, err := tx.NewInsert().Model(&runs).Exec(ctx); err != nil {
				return err
			}
		}
		for batch := range slices.Chunk(rejects, 5000) {
			if _, err := tx.NewInsert().Model(&batch).On("CONFLICT DO NOTHING").Exec(ctx); err != nil {
				return err
			}
		}
		for batch := range slices.Chunk(deletes, 5000) {
			if _, err := tx.NewInsert().Model(&batch).On("CONFLICT DO NOTHING").Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("record scanned file: %w", err)
	}
	return won, nil
}

// AddRejects records some of what scans find before FinishScan does the rest, so that nobody has to hold them all. What another
// attempt has found already changes nothing.
func (s *Store) AddRejects(ctx context.Context, importID string, rejects []models.ImportReject) error {
	files, lines, reasons := make([]int, len(rejects)), make([]int64, len(rejects)), make([]string, len(rejects))
	for i, r := range rejects {
		files[i], lines[i], reasons[i] = r.FileNo, r.Line, r.Reason
	}
	_, err := s.Pool.Exec(ctx, `INSERT INTO import_rejects (import_id, file, line, reason)
		SELECT $1, k.file, k.line, k.reason FROM unnest($2::int[], $3::bigint[], $4::text[]) AS k(file, line, reason) ON CONFLICT DO NOTHING`, importID, files, lines, reasons)
	if err != nil {
		return fmt.Errorf("record rejects: %w", err)
	}
	return nil
}

// ImportRuns returns the spilled runs of an import.
func (s *Store) ImportRuns(ctx context.Context, id string) ([]models.ImportRun, error) {
	var rows []models.ImportRun
	if err := s.DB.NewSelect().Model(&rows).Where("import_id = ?", id).Order("file", "run").Scan(ctx); err != nil {
		return nil, fmt.Errorf("select import runs: %w", err)
	}
	return rows, nil
}

// ImportBucket says how many lines of a bucket have been merged, and what that did. Both are zero when none have been.
func (s *Store) ImportBucket(ctx context.Context, id string, bucket int) (lines int64, stats models.ImportStats, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT lines, stats FROM import_buckets WHERE import_id = $1 AND bucket = $2`, id, bucket).
		Scan(&lines, &stats)
	if err != nil && !noRows(err) {
		return 0, models.ImportStats{}, fmt.Errorf("select import bucket: %w", err)
	}
	return lines, stats, nil
}

// SaveBucket moves a bucket's mark in the transaction that merged its lines. It also keeps the import from ending before
// that transaction does, and is KindConflict when it has ended already: an attempt that was given up must not change what
// exports have begun to read.
func SaveBucket(ctx context.Context, tx pgx.Tx, id string, bucket int, lines int64, stats models.ImportStats) error {
	var state models.State
	if err := tx.QueryRow(ctx, `SELECT state FROM imports WHERE id = $1 FOR SHARE`, id).Scan(&state); err != nil {
		return fmt.Errorf("select import: %w", err)
	}
	if state != models.StateRunning {
		return models.Errorf(models.KindConflict, "the import has ended")
	}
	_, err := tx.Exec(ctx, `INSERT INTO import_buckets (import_id, bucket, lines, stats) VALUES ($1, $2, $3, $4)
		ON CONFLICT (import_id, bucket) DO UPDATE SET lines = excluded.lines, stats = excluded.stats`, id, bucket, lines, stats)
	if err != nil {
		return fmt.Errorf("save import bucket: %w", err)
	}
	return nil
}

// ImportDeletes returns the resources an import says are gone.
func (s *Store) ImportDeletes(ctx context.Context, id string) ([]models.ImportDelete, error) {
	var rows []models.ImportDelete
	if err := s.DB.NewSelect().Model(&rows).Where("import_id = ?", id).Order("type", "resource_id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("select import deletes: %w", err)
	}
	return rows, nil
}

// SumImport adds up what the scans and merges of an import have recorded.
func (s *Store) SumImport(ctx context.Context, id string) (models.ImportStats, error) {
	var total models.ImportStats
	rows, err := s.Pool.Query(ctx, `SELECT stats FROM import_files WHERE import_id = $1
		UNION ALL SELECT stats FROM import_buckets WHERE import_id = $1`, id)
	if err != nil {
		return total, fmt.Errorf("select import stats: %w", err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowTo[models.ImportStats])
	if err != nil {
		return total, fmt.Errorf("read import stats: %w", err)
	}
	for _, p := range parts {
		total = total.Add(p)
	}
	return total, nil
}

// FinishImport ends an import; snapshots taken from now on see what it wrote. An import that has ended stays as
// it is.
func (s *Store) FinishImport(ctx context.Context, id string, state models.State, stats models.ImportStats, reason string, now time.Time) error {
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tick(ctx, tx, now); err != nil {
			return err
		}
		_, err := tx.NewUpdate().Model((*models.Import)(nil)).
			Set("state = ?", state).Set("stats = ?", stats).Set("error = ?", reason).Set("finished_at = ?", millis(now)).
			Where("id = ?", id).Where("state IN ('accepted', 'running')").Exec(ctx)
		if err != nil {
			return err
		}
		// What one that was cut short has brought to members is not followed yet, see Unfollowed.
		if state == models.StateCompleted {
			if _, err := tx.NewDelete().Table("import_news").Where("import_id = ?", id).Exec(ctx); err != nil {
				return err
			}
		}
		_, err = tx.NewDelete().Model((*models.ImportRun)(nil)).Where("import_id = ?", id).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish import: %w", err)
	}
	return nil
}

// Rejects lists the lines of an import that could not be taken, in file and line order, from after the given one.
func (s *Store) Rejects(ctx context.Context, id string, afterFile int, afterLine int64, limit int) ([]models.ImportReject, error) {
	rows, err := s.Pool.Query(ctx, `SELECT f.name, r.file, r.line, r.reason
		FROM import_rejects r JOIN import_files f USING (import_id, file)
		WHERE r.import_id = $1 AND (r.file, r.line) > ($2, $3) ORDER BY r.file, r.line LIMIT $4`, id, afterFile, afterLine, limit)
	if err != nil {
		return nil, fmt.Errorf("select rejects: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r models.ImportReject, err error) {
		err = row.Scan(&r.File, &r.FileNo, &r.Line, &r.Reason)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read rejects: %w", err)
	}
	return out, nil
}

// snapshotTime picks the transactionTime of an export: as late as can be, but before every import in flight, and in order
// with those that start later.
func snapshotTime(ctx context.Context, tx bun.IDB, now time.Time) (time.Time, error) {
	at, err := tick(ctx, tx, now)
	if err != nil {
		return time.Time{}, err
	}
	var oldest *time.Time
	err = tx.NewRaw(`SELECT min(effective_at) FROM imports WHERE state = 'running'`).Scan(ctx, &oldest)
	if err != nil {
		return time.Time{}, fmt.Errorf("find the oldest import in flight: %w", err)
	}
	if oldest != nil && !oldest.After(at) {
		at = oldest.Add(-time.Millisecond)
	}
	return at.UTC(), nil
}
