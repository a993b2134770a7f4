package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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

// Analyze brings the planner's statistics and the visibility map up to date after a large load: plans of exports are made
// by index-only scans.
func (s *Store) Analyze(ctx context.Context) error {
	for _, table := range []string{"segments", "segment_lines", "segment_refs", "members", "member_names", "member_cards"} {
		if _, err := s.Pool.Exec(ctx, "VACUUM (ANALYZE, SKIP_LOCKED) "+table); err != nil {
			return fmt.Errorf("vacuum %s: %w", table, err)
		}
	}
	return nil
}

// PurgeSegments deletes superseded segments that no running job's snapshot can see, and returns how many.
func (s *Store) PurgeSegments(ctx context.Context) (int64, error) {
	var n int64
	for _, table := range []string{"segments", "segment_lines", "segment_refs"} {
		// No snapshot that is in use or still to come lies before the least of these (see snapshotTime).
		tag, err := s.Pool.Exec(ctx, `DELETE FROM `+table+` WHERE valid_to < 'infinity' AND valid_to <= (SELECT least(
			(SELECT at FROM clock),
			(SELECT min(transaction_time) FROM jobs WHERE state = 'running'),
			(SELECT min(effective_at) - interval '1 millisecond' FROM imports WHERE state = 'running')))`)
		if err != nil {
			return n, fmt.Errorf("purge %s: %w", table, err)
		}
		n = max(n, tag.RowsAffected())
	}
	return n, nil
}
