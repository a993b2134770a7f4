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

// GroupFilter narrows a search of Groups. Every field that is set must hold; a list holds when one of it does.
type GroupFilter struct {
	ClientID string    // the owner, always
	At       time.Time // Groups that have expired by then are not found
	// Organization has the identifiers of whom the owner acts for: Groups that were made for another organisation are not found.
	Organization []string
	IDs          [][]string
	Profiles     [][]string
	// Identifiers are those that Groups have: by the Group's own id, or by what an attribution list has.
	Identifiers []GroupIdentifiers
	// Requesters are organisation identifiers, "system|value": the Group was made for one of them.
	Requesters [][]string
	// Before continues after the Group of that id.
	Before string
}

// GroupIdentifiers are identifiers of which a Group must have one.
type GroupIdentifiers struct {
	IDs     []string // of Groups
	Exact   []string // system|value
	Values  []string // whatever their system
	Systems []string // whatever their value
}

// Groups returns a client's Groups from newest to oldest, at most limit of them, and how many there are in all, whatever
// Before and limit are. Ids must be valid.
func (s *Store) Groups(ctx context.Context, f GroupFilter, limit int) (page []Group, total int64, err error) {
	search := func(q *bun.SelectQuery) *bun.SelectQuery {
		q = q.Where("g.client_id = ?", f.ClientID).Where("(g.expires_at IS NULL OR g.expires_at > ?)", f.At)
		q = q.Where("(g.profile = ? OR g.organizations = '{}' OR g.organizations && ?)", models.AttributionGroupProfile, pgdialect.Array(models.Spellings(f.Organization)))
		for _, any := range f.IDs {
			q = q.Where("g.id IN (?)", orNone(any))
		}
		for _, any := range f.Profiles {
			q = q.Where("g.profile IN (?)", orNone(any))
		}
		for _, any := range f.Identifiers {
			q = q.Where(`(g.id IN (?) OR EXISTS (SELECT FROM attribution_lists l, unnest(l.identifiers) AS i WHERE l.group_id = g.id
				AND (i IN (?) OR substr(i, strpos(i, '|') + 1) IN (?) OR substr(i, 1, strpos(i, '|') - 1) IN (?))))`,
				orNone(any.IDs), orNone(any.Exact), orNone(any.Values), orNone(any.Systems))
		}
		for _, any := range f.Requesters {
			// The Group names the first of the organisation's identifiers, see the match that made it; no match made an attribution list.
			q = q.Where("coalesce((SELECT j.params->'organizations'->>0 FROM jobs j WHERE j.id = g.job_id), g.organizations[1]) IN (?)", orNone(any))
		}
		return q
	}
	total, err = search(s.DB.NewSelect().TableExpr("groups AS g")).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("count groups: %w", err)
	}
	if limit == 0 || total == 0 {
		return nil, total, nil
	}
	q := search(s.DB.NewSelect().Model(&page).ModelTableExpr("groups AS g").ColumnExpr("g.*")).OrderExpr("g.id DESC").Limit(int64(limit))
	if f.Before != "" {
		q = q.Where("g.id < ?", f.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("select groups: %w", err)
	}
	return page, total, nil
}

// AnyGroupFilter narrows a list of everybody's Groups. Empty fields ask for nothing.
type AnyGroupFilter struct {
	Client  string
	Job     string // the match that made it
	Profile string
	Expired *bool // by At
	At      time.Time
	Before  string // continues after the Group of that id
}

// AnyGroups lists the Groups of all clients from newest to oldest, at most limit of them. Ids must be valid.
func (s *Store) AnyGroups(ctx context.Context, f AnyGroupFilter, limit int) ([]Group, error) {
	var page []Group
	q := s.DB.NewSelect().Model(&page).OrderBy("id", bun.OrderDesc).Limit(int64(limit))
	if f.Client != "" {
		q = q.Where("client_id = ?", f.Client)
	}
	if f.Job != "" {
		q = q.Where("job_id = ?", f.Job)
	}
	if f.Profile != "" {
		q = q.Where("profile = ?", f.Profile)
	}
	if f.Expired != nil {
		q = q.Where("coalesce(expires_at <= ?, false) = ?", f.At, *f.Expired)
	}
	if f.Before != "" {
		q = q.Where("id < ?", f.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("select groups: %w", err)
	}
	return page, nil
}

// AnyGroup returns a Group, whosever it is. KindNotFound when there is none.
func (s *Store) AnyGroup(ctx context.Context, id string) (*Group, error) {
	g := new(Group)
	err := s.DB.NewSelect().Model(g).Where("id = ?", id).Scan(ctx)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no Group has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("select group: %w", err)
	}
	return g, nil
}

// GroupMembers returns the members of a Group by id, those behind the given one, at most limit of them.
func (s *Store) GroupMembers(ctx context.Context, groupID string, after *uuid.UUID, limit int) ([]RosterEntry, error) {
	rows, err := s.Pool.Query(ctx, `SELECT member_id, policy, consent_start, consent_end FROM group_members
		WHERE group_id = $1 AND ($2::uuid IS NULL OR member_id > $2) ORDER BY member_id LIMIT $3`, groupID, after, limit)
	if err != nil {
		return nil, fmt.Errorf("select group members: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RosterEntry])
	if err != nil {
		return nil, fmt.Errorf("read group members: %w", err)
	}
	return out, nil
}

// orNone makes a list for IN: an empty one would be no SQL.
func orNone(list []string) any {
	if len(list) == 0 {
		return bun.Safe("NULL")
	}
	return bun.List(list)
}

// Requester are the identifiers, "system|value", of the organisation a Group was made for: those it had then, and those its
// client has now. same is false when the client acts for another organisation now: the Group was not made for that.
func (v *Snapshot) Requester(g *Group) (ids []string, same bool, err error) {
	return requester(v.ctx, v.tx, g)
}

func requester(ctx context.Context, q queryer, g *Group) (ids []string, same bool, err error) {
	rows, err := q.Query(ctx, `SELECT unnest(organization_ids), true FROM clients WHERE id = $1 UNION ALL SELECT '', false FROM clients WHERE id = $1`, g.ClientID)
	if err != nil {
		return nil, false, fmt.Errorf("select the requester: %w", err)
	}
	known := false
	var id string
	var named bool
	_, err = pgx.ForEachRow(rows, []any{&id, &named}, func() error {
		known = true
		if named {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("read the requester: %w", err)
	}
	return distinct(slices.Concat(g.Organizations, ids)), !known || g.For(ids), nil
}

// For reports whether a Group was made for the organisation with the given identifiers. An attribution list is for whoever its client is
// now, and of a Group that does not say nobody can tell.
func (g *Group) For(organization []string) bool {
	return g.Profile == models.AttributionGroupProfile || len(g.Organizations) == 0 || models.SameOrganization(g.Organizations, organization)
}

// MatchedAt is when the match that made a Group was asked for: what is said of its members from then on may be unknown to it.
func (v *Snapshot) MatchedAt(g *Group) (time.Time, error) {
	var at time.Time
	err := v.tx.QueryRow(v.ctx, `SELECT created_at FROM jobs WHERE id = $1`, g.JobID).Scan(&at)
	if noRows(err) {
		return g.CreatedAt, nil
	}
	if err != nil {
		return at, fmt.Errorf("select the match: %w", err)
	}
	return at, nil
}
