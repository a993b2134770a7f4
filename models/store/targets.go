package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"pdexbulk/models"
	"pdexbulk/models/segment"
)

// Homes calls fn for every resource of the given types that is held and whose segment.IDHash is in the set, with the member
// (or shard) who has it. A hash may stand for another resource now and then.
func (s *Store) Homes(ctx context.Context, types []int16, set *segment.HashSet, fn func(member uuid.UUID, hash uint64)) error {
	rows, err := s.Pool.Query(ctx, `SELECT member_id, id_hashes FROM segment_lines WHERE valid_to = 'infinity' AND type = ANY($1)`, types)
	if err != nil {
		return fmt.Errorf("scan resource ids: %w", err)
	}
	var id uuid.UUID
	var hashes pgtype.DriverBytes // not copied: the scan reads every segment's ids
	_, err = pgx.ForEachRow(rows, []any{&id, &hashes}, func() error {
		for _, hash := range set.In(hashes) {
			fn(id, hash)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("scan resource ids: %w", err)
	}
	return nil
}

// Unattributed streams the newest segments of a type whose resources belong to nobody. Data and Entries are valid only during
// the call they are passed to.
func (s *Store) Unattributed(ctx context.Context, typ int16, fn func(SegmentKey, *Row) error) error {
	rows, err := s.Pool.Query(ctx, `SELECT s.member_id, s.type, s.class, s.valid_from, s.part, s.lines, s.raw_len, s.crc, s.data, l.entries
		FROM segments s JOIN segment_lines l USING (member_id, type, class, valid_from, part)
		WHERE s.member_id >= $1 AND s.type = $2 AND s.valid_to = 'infinity' ORDER BY s.member_id`, models.FirstUnattributed, typ)
	if err != nil {
		return fmt.Errorf("select unattributed resources: %w", err)
	}
	var key SegmentKey
	var row Row
	var class int16
	var crc int32
	var data, entries pgtype.DriverBytes
	_, err = pgx.ForEachRow(rows, []any{&key.Member, &key.Type, &class, &key.ValidFrom, &key.Part, &row.Lines, &row.RawLen, &crc, &data, &entries}, func() error {
		key.Class = models.Class(class)
		row.Member, row.Type, row.Class, row.CRC, row.Data, row.Entries = key.Member, key.Type, key.Class, uint32(crc), data, entries
		return fn(key, &row)
	})
	if err != nil {
		return fmt.Errorf("read unattributed resources: %w", err)
	}
	return nil
}

// Unfollowed returns the imports that ended before what they brought had been followed, in the order they merged in.
func (s *Store) Unfollowed(ctx context.Context) ([]string, error) {
	rows, err := s.Pool.Query(ctx, `SELECT id::text FROM imports i WHERE state IN ('failed', 'cancelled') AND EXISTS (SELECT FROM import_news n WHERE n.import_id = i.id)
		ORDER BY effective_at`)
	if err != nil {
		return nil, fmt.Errorf("select imports that were cut short: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read imports that were cut short: %w", err)
	}
	return ids, nil
}

// ClearNews forgets what an import brought, when it has been followed.
func (s *Store) ClearNews(ctx context.Context, importID string) error {
	if _, err := s.Pool.Exec(ctx, `DELETE FROM import_news WHERE import_id = $1`, importID); err != nil {
		return fmt.Errorf("delete news: %w", err)
	}
	return nil
}
