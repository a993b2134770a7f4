package activities

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// The claims rule: who rendered a service to a member within the last months treats the member, until as many months after the
// last service. A relationship ends by itself, then, whether the rule runs again or not.

const (
	// claimsMembers is how many members' relationships are in memory at a time, while their services pass by one by one.
	claimsMembers = 500
	// npiBatch is how many practitioners are noted at once.
	npiBatch = 5000
)

// PartInput names one part of a run of the claims rule.
type PartInput struct {
	RunID string
	Part  int
}

// StartRelationships records a run of the claims rule, under the id of the run in Temporal.
func (a *Activities) StartRelationships(ctx context.Context, id string) error {
	_, err := a.Store.StartRelationshipRun(ctx, id, activity.GetInfo(ctx).WorkflowExecution.ID, models.RelationshipParts, a.now())
	return err
}

// FinishRelationshipsInput closes a run of the claims rule.
type FinishRelationshipsInput struct {
	RunID  string
	State  models.State
	Reason string
}

// FinishRelationships closes a run of the claims rule.
func (a *Activities) FinishRelationships(ctx context.Context, in FinishRelationshipsInput) error {
	return a.Store.FinishRelationshipRun(ctx, in.RunID, in.State, in.Reason, a.now())
}

// IndexProviders notes the NPIs of the practitioners, roles and organisations held, so that services can refer to them.
func (a *Activities) IndexProviders(ctx context.Context, runID string) error {
	var batch []store.ProviderNPI
	var raw []byte
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		activity.RecordHeartbeat(ctx)
		defer func() { batch = batch[:0] }()
		return a.Store.AddProviderNPIs(ctx, runID, batch)
	}
	chunk := store.Chunk{Lo: models.FirstShared, Hi: models.LastShared}
	types := []int16{fhir.TypePractitioner, fhir.TypePractitionerRole, fhir.TypeOrganization}
	err := a.Store.InSnapshot(ctx, a.now(), func(view *store.Snapshot) error {
		return view.Segments(chunk, nil, types, store.Window{Skip: models.ClassViews}, func(row *store.Row) error {
			return eachLine(&raw, row, func(line []byte) error {
				var f fhir.Facts
				if err := fhir.Inspect(line, &f); err != nil {
					return err
				}
				npis, via := fhir.ProviderNPIs(line)
				if len(npis) > 0 || via != "" {
					batch = append(batch, store.ProviderNPI{Ref: fhir.TypeName(row.Type) + "/" + string(f.ID), NPIs: npis, Via: via})
				}
				if len(batch) < npiBatch {
					return nil
				}
				return flush()
			})
		})
	})
	if err != nil {
		return err
	}
	return flush()
}

// eachLine calls fn with every line of a segment. raw is where it is inflated to.
func eachLine(raw *[]byte, row *store.Row, fn func(line []byte) error) (err error) {
	sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
	if *raw, err = segment.InflateSum((*raw)[:0], row.Data, sum); err != nil {
		return err
	}
	for line := range bytes.Lines(*raw) {
		if err := fn(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
	return nil
}

// DeriveRelationships derives the relationships of the members of one part, chunk after chunk. Each is committed with how far it
// reaches, so another attempt goes on behind it.
func (a *Activities) DeriveRelationships(ctx context.Context, in PartInput) error {
	run, err := a.Store.RelationshipRun(ctx, in.RunID)
	if err != nil {
		return err
	}
	const each = 256 / models.RelationshipParts
	lo, hi := models.FirstMember, models.FirstShared
	lo[0] = byte(in.Part * each)
	if in.Part < models.RelationshipParts-1 {
		hi = uuid.Max
		hi[0] = byte(in.Part*each + each - 1)
	}
	for {
		done, err := a.Store.RelationshipPart(ctx, in.RunID, in.Part)
		if err != nil {
			return err
		}
		from := lo
		if done != nil {
			if *done == hi {
				return nil
			}
			from = after(*done)
		}
		last, n, err := a.Store.MembersBetween(ctx, from, hi, claimsMembers)
		if err != nil {
			return err
		}
		if n < claimsMembers {
			last = hi
		}
		c := &claimsChunk{a: a, window: claimsWindow(run.At, a.ClaimsMonths), seen: map[pair]days{}, refs: map[string]bool{}}
		c.ClaimsChunk = store.ClaimsChunk{RunID: in.RunID, Part: in.Part, Done: done, Lo: from, Hi: last, Members: n}
		if err := c.read(ctx); err != nil {
			return err
		}
		if err := c.settle(ctx); err != nil {
			return err
		}
		activity.RecordHeartbeat(ctx, n)
		if err := a.Store.MergeClaims(ctx, c.ClaimsChunk, run.At); err != nil {
			return err
		}
	}
}

// after returns the id that follows.
func after(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

// window is the days that the rule looks at, both included, and how many months they are.
type window struct {
	first, last fhir.Day
	months      int
}

func claimsWindow(at time.Time, months int) window {
	at = at.UTC()
	return window{fhir.DayOf(at.AddDate(0, -months, 0)), fhir.DayOf(at), months}
}

// period is that of a relationship that rests on services on the given days: to the end of the day on which the last leaves the
// window.
func (w window) period(d days) (start, end time.Time) {
	return d.first.midnight(), (d.last + 1).midnight().AddDate(0, w.months, 0)
}

type day fhir.Day

func (d day) midnight() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

type days struct{ first, last day }

// pair is a member and one who rendered a service, by NPI or as Type/id.
type pair struct {
	member uuid.UUID
	who    fhir.Renderer
}

// claimsChunk is a chunk of members on its way.
type claimsChunk struct {
	store.ClaimsChunk
	a      *Activities
	window window
	seen   map[pair]days
	refs   map[string]bool
	raw    []byte
}

// read notes who rendered services to the chunk's members, and on which days. Of a resource with several forms only the one that
// came is looked at.
func (c *claimsChunk) read(ctx context.Context) error {
	types := []int16{fhir.TypeExplanationOfBenefit, fhir.TypeEncounter}
	// What supports a prior authorisation has other days in its index than its own; with Day it is looked into anyway.
	wanted := store.Window{ServiceFrom: &c.window.first, Day: &c.window.first, Skip: models.ClassViews}
	var facts fhir.Facts
	beat := 0
	return c.a.Store.InSnapshot(ctx, c.a.now(), func(view *store.Snapshot) error {
		return view.Segments(store.Chunk{Lo: c.Lo, Hi: c.Hi}, nil, types, wanted, func(row *store.Row) error {
			if beat++; beat%512 == 0 {
				activity.RecordHeartbeat(ctx, c.Members)
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			if row.Cut == store.CutOld || row.Cut == store.CutOutside || !models.IsMember(row.Member) {
				return nil
			}
			return eachLine(&c.raw, row, func(line []byte) error {
				if err := fhir.Inspect(line, &facts); err != nil {
					return err
				}
				c.note(row.Member, row.Type, line, &facts)
				return nil
			})
		})
	})
}

// note takes in one service. One without a day of service, or with none that is past, shows nothing.
func (c *claimsChunk) note(member uuid.UUID, typ int16, line []byte, f *fhir.Facts) {
	if !f.Dated || f.BadDate || f.Last < c.window.first || f.First > c.window.last {
		return
	}
	d := days{day(max(f.First, c.window.first)), day(min(f.Last, c.window.last))}
	some := false
	fhir.Renderers(line, typ, func(who fhir.Renderer) {
		some = true
		c.add(pair{member, who}, d)
		if who.Ref != "" {
			c.refs[who.Ref] = true
		}
	})
	if some {
		c.Services++
	}
}

func (c *claimsChunk) add(key pair, d days) {
	if held, ok := c.seen[key]; ok {
		d = days{min(held.first, d.first), max(held.last, d.last)}
	}
	c.seen[key] = d
}

// settle makes relationships of what was noted.
func (c *claimsChunk) settle(ctx context.Context) error {
	npis, err := c.a.Store.NPIsOf(ctx, c.RunID, slices.Collect(maps.Keys(c.refs)))
	if err != nil {
		return err
	}
	for key, d := range maps.Clone(c.seen) {
		for _, npi := range npis[key.who.Ref] {
			c.add(pair{key.member, fhir.Renderer{NPI: npi}}, d)
		}
	}
	for key, d := range c.seen {
		if key.who.NPI == "" {
			continue
		}
		start, end := c.window.period(d)
		c.Relationships = append(c.Relationships, models.Relationship{
			ID: models.NewID(), Member: key.member, NPI: key.who.NPI, Type: models.RelationshipActive, Start: start, End: &end,
			Source: models.RelationshipByClaims, CreatedBy: "claims",
		})
	}
	// All that write rows of members take them in one order.
	slices.SortFunc(c.Relationships, func(x, y models.Relationship) int {
		return cmp.Or(bytes.Compare(x.Member[:], y.Member[:]), cmp.Compare(x.NPI, y.NPI))
	})
	return nil
}
