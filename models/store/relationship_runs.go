package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
)

// StartRelationshipRun records a run of the claims rule with its parts, under its ids in Temporal, and closes every other that is open.
// Calling it again changes nothing. It returns how the run stands; KindConflict when it has ended.
func (s *Store) StartRelationshipRun(ctx context.Context, id, workflowID string, parts int, now time.Time) (*models.RelationshipRun, error) {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// Two that start together take turns, or each would close the other.
		if _, err := tx.Exec(ctx, `LOCK TABLE relationship_runs IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO relationship_runs (id, workflow_id, state, at, created_at) VALUES ($1, $2, 'running', $3, $3)
			ON CONFLICT (id) DO NOTHING`, id, workflowID, millis(now))
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO relationship_parts (run_id, part) SELECT $1, generate_series(0, $2::int - 1)`, id, parts); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM relationship_npis WHERE run_id <> $1`, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE relationship_runs SET state = 'failed', error = 'another run has begun', finished_at = $2 WHERE state = 'running' AND id <> $1`, id, millis(now))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start a run of the claims rule: %w", err)
	}
	run, err := s.RelationshipRun(ctx, id)
	if err == nil && run.State != models.StateRunning {
		err = runEnded()
	}
	return run, err
}

func runEnded() error { return models.Errorf(models.KindConflict, "the run has ended") }

// FinishRelationshipRun closes a run of the claims rule. One that is closed stays as it is.
func (s *Store) FinishRelationshipRun(ctx context.Context, id string, state models.State, reason string, now time.Time) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE relationship_runs SET state = $2, error = $3, finished_at = $4 WHERE id = $1 AND state = 'running'`, id, state, reason, millis(now)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM relationship_npis WHERE run_id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish a run of the claims rule: %w", err)
	}
	return nil
}

// OpenRelationshipRun is a run of the claims rule that has not ended, by its ids in Temporal.
type OpenRelationshipRun struct{ ID, WorkflowID string }

// OpenRelationshipRuns returns the runs of the claims rule that began before the given moment and have not ended.
func (s *Store) OpenRelationshipRuns(ctx context.Context, before time.Time) ([]OpenRelationshipRun, error) {
	rows, err := s.Pool.Query(ctx, `SELECT id::text, workflow_id FROM relationship_runs WHERE state = 'running' AND workflow_id <> '' AND created_at < $1`, before)
	if err != nil {
		return nil, fmt.Errorf("select open runs of the claims rule: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[OpenRelationshipRun])
	if err != nil {
		return nil, fmt.Errorf("read open runs of the claims rule: %w", err)
	}
	return out, nil
}

const runColumns = `r.id, r.state, r.error, r.at, r.created_at, r.finished_at, sum(p.members)::bigint, sum(p.services)::bigint,
	sum(p.added)::bigint, sum(p.changed)::bigint, sum(p.ended)::bigint FROM relationship_runs r JOIN relationship_parts p ON p.run_id = r.id`

// RelationshipRun returns one run of the claims rule with its counts. KindNotFound when there is none.
func (s *Store) RelationshipRun(ctx context.Context, id string) (*models.RelationshipRun, error) {
	found, err := relationshipRuns(ctx, s.Pool, `SELECT `+runColumns+` WHERE r.id = $1 GROUP BY r.id`, id)
	if err == nil && len(found) == 0 {
		err = models.Errorf(models.KindNotFound, "no run has this id")
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// RelationshipRuns lists runs of the claims rule from newest to oldest, at most limit of them, those that began before the run of
// the given id when there is one.
func (s *Store) RelationshipRuns(ctx context.Context, before string, limit int) ([]models.RelationshipRun, error) {
	return relationshipRuns(ctx, s.Pool, `SELECT `+runColumns+` WHERE $1::uuid IS NULL
		OR (r.created_at, r.id) < (SELECT b.created_at, b.id FROM relationship_runs b WHERE b.id = $1)
		GROUP BY r.id ORDER BY r.created_at DESC, r.id DESC LIMIT $2`, nullID(before), limit)
}

func relationshipRuns(ctx context.Context, q querier, sql string, args ...any) ([]models.RelationshipRun, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("select runs of the claims rule: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.RelationshipRun])
	if err != nil {
		return nil, fmt.Errorf("read runs of the claims rule: %w", err)
	}
	return out, nil
}

// ProviderNPI is a Practitioner, PractitionerRole or Organization with its NPIs. Via is the practitioner a role is of.
type ProviderNPI struct {
	Ref  string // Type/id
	NPIs []string
	Via  string // Type/id, or ""
}

// AddProviderNPIs notes whom a run has found. KindConflict when it has ended.
func (s *Store) AddProviderNPIs(ctx context.Context, runID string, list []ProviderNPI) error {
	var refs, npis, via []string
	for _, p := range list {
		for _, npi := range append(slices.Clip(p.NPIs), "") {
			refs, npis, via = append(refs, p.Ref), append(npis, npi), append(via, p.Via)
		}
	}
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := openRun(ctx, tx, runID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO relationship_npis (run_id, ref, npis, via)
			SELECT $1, ref, coalesce(array_agg(DISTINCT npi) FILTER (WHERE npi <> ''), '{}'), max(via)
			FROM unnest($2::text[], $3::text[], $4::text[]) AS k(ref, npi, via) GROUP BY ref
			ON CONFLICT (run_id, ref) DO UPDATE SET npis = excluded.npis, via = excluded.via`, runID, refs, npis, via)
		return err
	})
	if err != nil {
		return fmt.Errorf("note providers: %w", err)
	}
	return nil
}

// openRun keeps a run from being closed until the transaction ends.
func openRun(ctx context.Context, tx pgx.Tx, id string) error {
	var state models.State
	err := tx.QueryRow(ctx, `SELECT state FROM relationship_runs WHERE id = $1 FOR SHARE`, id).Scan(&state)
	if noRows(err) || err == nil && state != models.StateRunning {
		return runEnded()
	}
	return err
}

// NPIsOf returns the NPIs that a run has found of Practitioners, roles and Organizations, by Type/id.
func (s *Store) NPIsOf(ctx context.Context, runID string, refs []string) (map[string][]string, error) {
	rows, err := s.Pool.Query(ctx, `SELECT r.ref, r.npis || coalesce(p.npis, '{}') FROM relationship_npis r
		LEFT JOIN relationship_npis p ON p.run_id = r.run_id AND p.ref = r.via WHERE r.run_id = $1 AND r.ref = ANY($2)`, runID, refs)
	if err != nil {
		return nil, fmt.Errorf("select NPIs: %w", err)
	}
	out := map[string][]string{}
	var ref string
	var npis []string
	_, err = pgx.ForEachRow(rows, []any{&ref, &npis}, func() error {
		out[ref] = npis
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read NPIs: %w", err)
	}
	return out, nil
}

// RelationshipPart returns the member behind whom a part of a run goes on, nil before its first chunk. KindConflict when the run
// has ended.
func (s *Store) RelationshipPart(ctx context.Context, runID string, part int) (done *uuid.UUID, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT p.done FROM relationship_parts p JOIN relationship_runs r ON r.id = p.run_id
		WHERE p.run_id = $1 AND p.part = $2 AND r.state = 'running'`, runID, part).Scan(&done)
	if noRows(err) {
		return nil, runEnded()
	}
	if err != nil {
		return nil, fmt.Errorf("select a part of a run: %w", err)
	}
	return done, nil
}

// MembersBetween returns the last of the first limit members in [lo, hi], and how many they are.
func (s *Store) MembersBetween(ctx context.Context, lo, hi uuid.UUID, limit int) (last uuid.UUID, n int, err error) {
	rows, err := s.Pool.Query(ctx, `SELECT id FROM members WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3`, lo, hi, limit)
	if err != nil {
		return last, 0, fmt.Errorf("select members: %w", err)
	}
	_, err = pgx.ForEachRow(rows, []any{&last}, func() error {
		n++
		return nil
	})
	if err != nil {
		return last, 0, fmt.Errorf("read members: %w", err)
	}
	return last, n, nil
}

// ClaimsChunk is what the claims rule found for the members in [Lo, Hi]: all their relationships, no others.
type ClaimsChunk struct {
	RunID         string
	Part          int
	Done          *uuid.UUID // where the chunk goes on from
	Lo, Hi        uuid.UUID
	Members       int
	Services      int64
	Relationships []models.Relationship
}

// MergeClaims makes the relationships by claims of a chunk's members those that were found, and notes how far the part has come,
// together: new ones are entered, others get their period, and those that nothing held shows any more end at the given moment. A
// chunk that is taken in already changes nothing. Rows of other sources stay as they are. KindConflict when the run has ended.
func (s *Store) MergeClaims(ctx context.Context, c ClaimsChunk, now time.Time) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := openRun(ctx, tx, c.RunID); err != nil {
			return err
		}
		var done *uuid.UUID
		if err := tx.QueryRow(ctx, `SELECT done FROM relationship_parts WHERE run_id = $1 AND part = $2 FOR UPDATE`, c.RunID, c.Part).Scan(&done); err != nil {
			return err
		}
		if (done == nil) != (c.Done == nil) || done != nil && *done != *c.Done {
			return nil
		}
		added, changed, err := putRelationships(ctx, tx, c.Relationships)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE treatment_relationships r SET ends_at = greatest($3, r.starts_at + interval '1 millisecond'), updated_at = clock_timestamp()
			WHERE r.member_id BETWEEN $1 AND $2 AND r.source = 'claims' AND r.ends_at > greatest($3, r.starts_at + interval '1 millisecond')
			AND NOT EXISTS (SELECT FROM unnest($4::uuid[], $5::text[]) AS k(member, npi)
				JOIN members m ON m.id = k.member AND m.present WHERE k.member = r.member_id AND k.npi = r.npi)`,
			c.Lo, c.Hi, millis(now),
			column(c.Relationships, func(r models.Relationship) uuid.UUID { return r.Member }),
			column(c.Relationships, func(r models.Relationship) string { return r.NPI }))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE relationship_parts SET done = $3, members = members + $4, services = services + $5, added = added + $6,
			changed = changed + $7, ended = ended + $8 WHERE run_id = $1 AND part = $2`,
			c.RunID, c.Part, c.Hi, c.Members, c.Services, added, changed, tag.RowsAffected())
		return err
	})
	if err != nil {
		return fmt.Errorf("take in what claims show: %w", err)
	}
	return nil
}
