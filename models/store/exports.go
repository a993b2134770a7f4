package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Part is a stretch of one type's packed lines in a chunk's blob.
type Part struct {
	Type   int16
	Part   int16
	Offset int64
	Packed int64
	Raw    int64
	Lines  int64
	CRC    uint32
}

// Referred is what the lines of a chunk refer to.
type Referred struct {
	Shared   []string             // shared resources, as Type/id
	Binaries map[string]uuid.UUID // Binaries by id, with the member whose they are
}

// Withheld is a member of whom an export keeps back more than their Group's row says: all, or else what is sensitive.
type Withheld struct {
	Member uuid.UUID
	Whole  bool
}

// PublishChunk makes one attempt's parts the chunk's. It is a single conditional change: of several attempts the first
// wins, and false tells the others that what they wrote does not count.
//
// A supporting chunk, whose size nobody could plan, is planned as large as it turned out. withheld are the members of a Group of
// whom nothing, or nothing sensitive, was written because of what was said since the match.
func (s *Store) PublishChunk(ctx context.Context, jobID string, chunk int, attempt, blobKey string, acc models.Accounting, parts []Part, found Referred, withheld ...Withheld) (bool, error) {
	won := false
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := holdJob(ctx, tx, jobID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE export_chunks SET attempt = $3, blob_key = $4, accounting = $5, planned = greatest(planned, $6)
			WHERE job_id = $1 AND chunk = $2 AND attempt IS NULL`, jobID, chunk, attempt, blobKey, acc, acc.Planned)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		won = true
		// Sorted, so that chunks that name the same resources do not wait for each other in a circle.
		_, err = tx.Exec(ctx, `INSERT INTO export_refs (job_id, ref) SELECT $1, r FROM unnest($2::text[]) AS r ORDER BY r ON CONFLICT DO NOTHING`,
			jobID, slices.Sorted(slices.Values(found.Shared)))
		if err != nil {
			return err
		}
		ids := slices.Sorted(maps.Keys(found.Binaries))
		members := make([]uuid.UUID, len(ids))
		for i, id := range ids {
			members[i] = found.Binaries[id]
		}
		_, err = tx.Exec(ctx, `INSERT INTO export_attachments (job_id, binary_id, member_id)
			SELECT $1, k.id, k.member_id FROM unnest($2::text[], $3::uuid[]) AS k(id, member_id) ON CONFLICT DO NOTHING`, jobID, ids, members)
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"export_parts"},
			[]string{"job_id", "chunk", "type", "part", "byte_offset", "packed_len", "raw_len", "lines", "crc"},
			pgx.CopyFromSlice(len(parts), func(i int) ([]any, error) {
				p := parts[i]
				return []any{uuid.MustParse(jobID), chunk, p.Type, p.Part, p.Offset, p.Packed, p.Raw, p.Lines, int32(p.CRC)}, nil
			}))
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"export_withheld"}, []string{"job_id", "member_id", "whole"},
			pgx.CopyFromSlice(len(withheld), func(i int) ([]any, error) {
				return []any{uuid.MustParse(jobID), withheld[i].Member, withheld[i].Whole}, nil
			}))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("publish chunk: %w", err)
	}
	return won, nil
}

// ChunkAccounting adds up the balances of a job's published chunks and says how many chunks are not published.
func (s *Store) ChunkAccounting(ctx context.Context, jobID string) (acc models.Accounting, missing int, err error) {
	rows, err := s.Pool.Query(ctx, `SELECT accounting, attempt IS NULL FROM export_chunks WHERE job_id = $1`, jobID)
	if err != nil {
		return acc, 0, fmt.Errorf("select balances: %w", err)
	}
	var one models.Accounting
	var open bool
	_, err = pgx.ForEachRow(rows, []any{&one, &open}, func() error {
		acc = acc.Add(one)
		if open {
			missing++
		}
		one = models.Accounting{}
		return nil
	})
	if err != nil {
		return acc, 0, fmt.Errorf("read balances: %w", err)
	}
	return acc, missing, nil
}

// PublishedParts streams a job's published parts by type, then chunk, then part.
func (s *Store) PublishedParts(ctx context.Context, jobID string, fn func(chunk int, p Part) error) error {
	rows, err := s.Pool.Query(ctx, `SELECT chunk, type, part, byte_offset, packed_len, raw_len, lines, crc
		FROM export_parts WHERE job_id = $1 ORDER BY type, chunk, part`, jobID)
	if err != nil {
		return fmt.Errorf("select parts: %w", err)
	}
	var chunk int
	var p Part
	var crc int32
	_, err = pgx.ForEachRow(rows, []any{&chunk, &p.Type, &p.Part, &p.Offset, &p.Packed, &p.Raw, &p.Lines, &crc}, func() error {
		p.CRC = uint32(crc)
		return fn(chunk, p)
	})
	if err != nil {
		return fmt.Errorf("read parts: %w", err)
	}
	return nil
}

func (s *Store) fileParts(ctx context.Context, f *models.JobFile) ([]models.FilePart, error) {
	code, _ := fhir.TypeCode(f.Type)
	rows, err := s.Pool.Query(ctx, `SELECT c.blob_key, p.byte_offset, p.packed_len, p.raw_len, p.lines, p.crc
		FROM export_parts p JOIN export_chunks c USING (job_id, chunk)
		WHERE p.job_id = $1 AND p.type = $2 AND p.chunk BETWEEN $3 AND $4 ORDER BY p.chunk, p.part`, f.JobID, code, f.FirstChunk, f.LastChunk)
	if err != nil {
		return nil, fmt.Errorf("select file parts: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p models.FilePart, err error) {
		var crc int32
		err = row.Scan(&p.BlobKey, &p.Offset, &p.Packed, &p.Raw, &p.Lines, &crc)
		p.CRC = uint32(crc)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read file parts: %w", err)
	}
	return out, nil
}
