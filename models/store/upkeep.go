package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"pdexbulk/models"
	"pdexbulk/models/segment"
)

// Owners returns, sorted, the members (and shards) that hold one of the resources whose segment.IDHash is in the set. A
// hash may stand for another resource now and then; the caller looks at the ids.
func (s *Store) Owners(ctx context.Context, types []int16, set *segment.HashSet) ([]uuid.UUID, error) {
	rows, err := s.Pool.Query(ctx, `SELECT member_id, id_hashes FROM segment_lines WHERE valid_to = 'infinity' AND type = ANY($1)`, types)
	if err != nil {
		return nil, fmt.Errorf("scan resource ids: %w", err)
	}
	var owners []uuid.UUID
	var id uuid.UUID
	var hashes pgtype.DriverBytes // not copied: the scan reads every segment's ids
	_, err = pgx.ForEachRow(rows, []any{&id, &hashes}, func() error {
		for range set.In(hashes) {
			owners = append(owners, id)
			break
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("scan resource ids: %w", err)
	}
	slices.SortFunc(owners, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(owners), nil
}

// Earlier reports whether an import has merged before the given one, so that what it brings may be held already.
func (s *Store) Earlier(ctx context.Context, imp *models.Import) (bool, error) {
	var earlier bool
	err := s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM imports WHERE effective_at < $1)`, imp.EffectiveAt).Scan(&earlier)
	if err != nil {
		return false, fmt.Errorf("look for earlier imports: %w", err)
	}
	return earlier, nil
}

// EachNews yields what an import brought to members who did not have it, at most limit resources at a time. Resources with
// one hash come together.
func (s *Store) EachNews(ctx context.Context, importID string, limit int, fn func([]News) error) error {
	from, first := int64(0), true
	for {
		rows, err := s.Pool.Query(ctx, `SELECT member_id, type, id_hash, updated, source, version, file, line FROM import_news
			WHERE import_id = $1 AND ($2 OR id_hash > $3) ORDER BY id_hash FETCH FIRST $4 ROWS WITH TIES`, importID, first, from, limit)
		if err != nil {
			return fmt.Errorf("select news: %w", err)
		}
		news, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n News, err error) {
			var hash int64
			err = row.Scan(&n.Member, &n.Type, &hash, &n.Updated, &n.Source, &n.Version, &n.File, &n.Line)
			n.Hash = uint64(hash)
			return n, err
		})
		if err != nil {
			return fmt.Errorf("read news: %w", err)
		}
		if len(news) == 0 {
			return nil
		}
		if err := fn(news); err != nil {
			return err
		}
		from, first = int64(news[len(news)-1].Hash), false
	}
}

// Analyze brings the planner's statistics and the visibility map up to date after a large load: plans of exports are made
// by index-only scans.
func (s *Store) Analyze(ctx context.Context) error {
	for _, table := range []string{"segments", "segment_lines", "segment_refs", "members", "member_parts", "member_keys"} {
		if _, err := s.Pool.Exec(ctx, "VACUUM (ANALYZE, SKIP_LOCKED) "+table); err != nil {
			return fmt.Errorf("vacuum %s: %w", table, err)
		}
	}
	return nil
}

// PurgeSegments deletes superseded segments that no snapshot can see of a job that runs, or may go on after it failed, and returns how
// many. Tombstones and departures of what is back go likewise.
func (s *Store) PurgeSegments(ctx context.Context) (int64, error) {
	var n int64
	for table, end := range map[string]string{"segments": "valid_to", "segment_lines": "valid_to", "segment_refs": "valid_to", "tombstones": "raised_at", "departures": "back_at"} {
		// No snapshot that is in use or still to come lies before the least of these (see snapshotTime).
		tag, err := s.Pool.Exec(ctx, `DELETE FROM `+table+` WHERE `+end+` < 'infinity' AND `+end+` <= (SELECT least(
			(SELECT at FROM clock),
			(SELECT min(transaction_time) FROM jobs WHERE state = 'running'),
			(SELECT min(transaction_time) FROM jobs j WHERE state = 'failed' AND EXISTS (SELECT FROM export_chunks c WHERE c.job_id = j.id)),
			(SELECT min(effective_at) - interval '1 millisecond' FROM imports WHERE state = 'running')))`)
		if err != nil {
			return n, fmt.Errorf("purge %s: %w", table, err)
		}
		if table == "segments" {
			n = tag.RowsAffected()
		}
	}
	return n, nil
}

// OpenJobs returns the jobs that were made before the given moment and have not ended.
func (s *Store) OpenJobs(ctx context.Context, before time.Time) ([]models.Job, error) {
	var rows []models.Job
	err := s.DB.NewSelect().Model(&rows).Where("state IN ('accepted', 'running')").Where("created_at < ?", before).Order("id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("select open jobs: %w", err)
	}
	return rows, nil
}

// JobsToPurge returns the jobs whose files' time was over before the given moment, and that still have rows leading to some. What a
// failed export has written is kept as long as keep says, unless it was deleted.
func (s *Store) JobsToPurge(ctx context.Context, before time.Time, keep time.Duration) ([]string, error) {
	rows, err := s.Pool.Query(ctx, `SELECT id::text FROM jobs j WHERE state NOT IN ('accepted', 'running')
		AND coalesce(deleted_at, CASE WHEN state = 'completed' THEN expires_at
			WHEN state = 'failed' AND operation NOT LIKE '%-member-match' THEN finished_at + $2::interval ELSE finished_at END) < $1
		AND (EXISTS (SELECT FROM job_files f WHERE f.job_id = j.id) OR EXISTS (SELECT FROM export_chunks c WHERE c.job_id = j.id)
			OR EXISTS (SELECT FROM match_slices m WHERE m.job_id = j.id))
		ORDER BY id`, before, keep)
	if err != nil {
		return nil, fmt.Errorf("select jobs to purge: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read jobs to purge: %w", err)
	}
	return ids, nil
}

// JobState returns the state of a job, of a deleted one too. KindNotFound when there never was one.
func (s *Store) JobState(ctx context.Context, id string) (models.State, error) {
	var state models.State
	err := s.Pool.QueryRow(ctx, `SELECT state FROM jobs WHERE id = $1`, id).Scan(&state)
	if noRows(err) {
		return "", errNoJob()
	}
	if err != nil {
		return "", fmt.Errorf("select the state of a job: %w", err)
	}
	return state, nil
}
