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
	Asker Asker
	// Listed says that the Group is an attribution list. Then Purposes are its purposes of use, Attributions what it says of the
	// members, and there are no Terms.
	Listed        bool
	Draft         bool // the list is one
	Purposes      []string
	Attributions  map[uuid.UUID][]models.Attribution
	Terms         map[uuid.UUID][]Terms
	OptOuts       map[uuid.UUID][]models.OptOut
	Relationships map[uuid.UUID][]models.Relationship
	Directory     map[string]models.Provider
	Lines         []models.LineOfBusiness // all there are
}

// Claim reads what decides about members of a provider's Group, in a few queries whatever their number. Opt-outs are those of now.
// Relationships and directory have the providers of the Group and those of the given NPIs.
func (s *Store) Claim(ctx context.Context, groupID string, members []uuid.UUID, npis ...string) (Claim, error) {
	return claim(ctx, s.Pool, groupID, members, npis...)
}

// Claim is the Store's, as of when the snapshot was opened.
func (v *Snapshot) Claim(groupID string, members []uuid.UUID) (Claim, error) {
	return claim(v.ctx, v.tx, groupID, members)
}

func claim(ctx context.Context, q querier, groupID string, members []uuid.UUID, npis ...string) (c Claim, err error) {
	// A list is for whoever its client is now.
	rows, err := q.Query(ctx, `SELECT a.organizations || CASE WHEN l.group_id IS NULL THEN '{}' ELSE coalesce(
			(SELECT c.organization_ids FROM groups g JOIN clients c ON c.id = g.client_id WHERE g.id = a.group_id), '{}') END,
		a.holder, l.group_id IS NOT NULL, coalesce(l.status = 'draft', false), l.purposes
		FROM group_askers a LEFT JOIN attribution_lists l USING (group_id) WHERE a.group_id = $1`, groupID)
	if err != nil {
		return c, fmt.Errorf("select asker: %w", err)
	}
	_, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) {
		return struct{}{}, row.Scan(&c.Asker.Organizations, &c.Asker.Holder, &c.Listed, &c.Draft, &c.Purposes)
	})
	if err != nil {
		return c, fmt.Errorf("read asker: %w", err)
	}
	npis = append(models.NPIs(c.Asker.Organizations), npis...)
	if c.Listed {
		c.Attributions, err = attributionsOf(ctx, q, groupID, members)
		for _, list := range c.Attributions {
			for _, a := range list {
				npis = append(npis, models.NPIs([]string{a.NPI})...)
			}
		}
	} else {
		c.Terms, err = termsOf(ctx, q, groupID, members)
		for _, list := range c.Terms {
			for _, t := range list {
				npis = append(npis, t.Named...)
			}
		}
	}
	if err != nil {
		return c, err
	}
	npis = distinct(npis)
	if c.OptOuts, err = optOutsOf(ctx, q, members); err != nil {
		return c, err
	}
	if c.Relationships, err = relationshipsOf(ctx, q, members, npis); err != nil {
		return c, err
	}
	if c.Listed { // whether somebody works for the organisation is in the directory
		for _, list := range c.OptOuts {
			for _, o := range list {
				npis = append(npis, models.NPIs([]string{o.Target})...)
			}
		}
	}
	if c.Directory, err = directory(ctx, q, distinct(npis)); err != nil {
		return c, err
	}
	c.Lines, err = lines(ctx, q, `SELECT `+lineColumns+` FROM lines_of_business ORDER BY code`)
	return c, err
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func termsOf(ctx context.Context, q querier, groupID string, members []uuid.UUID) (map[uuid.UUID][]Terms, error) {
	rows, err := q.Query(ctx, `SELECT t.member_id, t.named, t.vouched, t.purposes, t.lines, t.ends_at
		FROM unnest($2::uuid[]) AS k(id) JOIN group_terms t ON t.group_id = $1 AND t.member_id = k.id`, groupID, members)
	if err != nil {
		return nil, fmt.Errorf("select terms: %w", err)
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
		return nil, fmt.Errorf("read terms: %w", err)
	}
	return out, nil
}
