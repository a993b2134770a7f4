package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Terms are what a member of a provider's match was opened under, see consent.Terms. Lines are codes of lines of business.
type Terms struct {
	Named, Vouched, Purposes, Lines []string
	End                             *time.Time
}

// saveTerms stores the terms of the outcomes that have any.
func saveTerms(ctx context.Context, tx pgx.Tx, jobID string, outcomes []Outcome) error {
	var rows [][]any
	for _, o := range outcomes {
		if t := o.Terms; t != nil {
			rows = append(rows, []any{uuid.MustParse(jobID), o.Idx, orEmpty(t.Named), orEmpty(t.Vouched), orEmpty(t.Purposes), orEmpty(t.Lines), t.End})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"match_terms"}, []string{"job_id", "idx", "named", "vouched", "purposes", "lines", "ends_at"}, pgx.CopyFromRows(rows))
	return err
}

// Asker is for whom a provider's Group was made: the identifiers of the organisation that asked, and of the payer that holds the
// data.
type Asker struct{ Organizations, Holder []string }

// addTerms gives a Group the terms its members were matched under.
func addTerms(ctx context.Context, tx bun.IDB, g *Group) error {
	if g.Asker == nil {
		return nil
	}
	_, err := tx.NewRaw(`INSERT INTO group_askers (group_id, organizations, holder) VALUES (?, ?, ?)`,
		g.ID, pgdialect.Array(orEmpty(g.Asker.Organizations)), pgdialect.Array(orEmpty(g.Asker.Holder))).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert asker: %w", err)
	}
	_, err = tx.NewRaw(`INSERT INTO group_terms (group_id, member_id, idx, named, vouched, purposes, lines, ends_at)
		SELECT ?, o.member_id, idx, t.named, t.vouched, t.purposes, t.lines, t.ends_at FROM match_terms t JOIN match_outcomes o USING (job_id, idx)
		WHERE o.job_id = ? AND o.outcome = 'matched'`, g.ID, g.JobID).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert terms: %w", err)
	}
	return nil
}

// Terms returns the terms of the members of a chunk of a provider's Group, by member, and for whom the Group was made.
func (v *Snapshot) Terms(groupID string, c Chunk) (Asker, map[uuid.UUID][]Terms, error) {
	var asker Asker
	err := v.tx.QueryRow(v.ctx, `SELECT organizations, holder FROM group_askers WHERE group_id = $1`, groupID).Scan(&asker.Organizations, &asker.Holder)
	if err != nil {
		return asker, nil, fmt.Errorf("select asker: %w", err)
	}
	rows, err := v.tx.Query(v.ctx, `SELECT member_id, named, vouched, purposes, lines, ends_at FROM group_terms
		WHERE group_id = $1 AND member_id BETWEEN $2 AND $3 ORDER BY member_id, idx`, groupID, c.Lo, c.Hi)
	if err != nil {
		return asker, nil, fmt.Errorf("select terms: %w", err)
	}
	out := map[uuid.UUID][]Terms{}
	var member uuid.UUID
	var t Terms
	_, err = pgx.ForEachRow(rows, []any{&member, &t.Named, &t.Vouched, &t.Purposes, &t.Lines, &t.End}, func() error {
		out[member] = append(out[member], t)
		t = Terms{}
		return nil
	})
	if err != nil {
		return asker, nil, fmt.Errorf("read terms: %w", err)
	}
	return asker, out, nil
}
