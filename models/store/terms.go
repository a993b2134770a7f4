package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"pdexbulk/models"
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

// Claim is all that decides whether members may still be handed to the provider whose Group they are in.
type Claim struct {
	Asker         Asker
	Terms         map[uuid.UUID][]Terms
	OptOuts       map[uuid.UUID][]models.OptOut
	Relationships map[uuid.UUID][]models.Relationship
	Directory     map[string]models.Provider
	Lines         []models.LineOfBusiness // all there are
}

// Claim reads what decides about members of a provider's Group, in a few queries whatever their number. Opt-outs are those of now.
func (s *Store) Claim(ctx context.Context, groupID string, members []uuid.UUID) (Claim, error) {
	return claim(ctx, s.Pool, groupID, members)
}

// Claim is the Store's, as of when the snapshot was opened.
func (v *Snapshot) Claim(groupID string, members []uuid.UUID) (Claim, error) {
	return claim(v.ctx, v.tx, groupID, members)
}

func claim(ctx context.Context, q querier, groupID string, members []uuid.UUID) (c Claim, err error) {
	rows, err := q.Query(ctx, `SELECT organizations, holder FROM group_askers WHERE group_id = $1`, groupID)
	if err != nil {
		return c, fmt.Errorf("select asker: %w", err)
	}
	if c.Asker, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Asker]); err != nil {
		return c, fmt.Errorf("read asker: %w", err)
	}
	rows, err = q.Query(ctx, `SELECT t.member_id, t.named, t.vouched, t.purposes, t.lines, t.ends_at
		FROM unnest($2::uuid[]) AS k(id) JOIN group_terms t ON t.group_id = $1 AND t.member_id = k.id`, groupID, members)
	if err != nil {
		return c, fmt.Errorf("select terms: %w", err)
	}
	c.Terms = map[uuid.UUID][]Terms{}
	npis := models.NPIs(c.Asker.Organizations)
	var member uuid.UUID
	var t Terms
	_, err = pgx.ForEachRow(rows, []any{&member, &t.Named, &t.Vouched, &t.Purposes, &t.Lines, &t.End}, func() error {
		c.Terms[member] = append(c.Terms[member], t)
		npis = append(npis, t.Named...)
		t = Terms{}
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("read terms: %w", err)
	}
	slices.Sort(npis)
	npis = slices.Compact(npis)
	if c.Directory, err = directory(ctx, q, npis); err != nil {
		return c, err
	}
	if c.OptOuts, err = optOutsOf(ctx, q, members); err != nil {
		return c, err
	}
	if c.Relationships, err = relationshipsOf(ctx, q, members, npis); err != nil {
		return c, err
	}
	c.Lines, err = lines(ctx, q, `SELECT `+lineColumns+` FROM lines_of_business ORDER BY code`)
	return c, err
}
