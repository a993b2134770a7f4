package activities

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"pdexbulk/activities/spill"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// A Provenance need not name the patient: most name what they are about, an Observation or a claim. Such a one comes to the
// shards of what belongs to nobody first, and at the end of the import goes from there to the member who has its targets.

const (
	// targetsBucket is the bucket under which that keeps its counts.
	targetsBucket = -4
	// adoptBytes is how many raw bytes of Provenance are given homes in one transaction.
	adoptBytes = 16 << 20
)

// orphan is a Provenance that belongs to nobody.
type orphan struct {
	rec     spill.Record
	shard   uuid.UUID
	came    bool // with this import
	targets []fhir.Target
}

// followTargets gives every Provenance that belongs to nobody to the member who has all its targets, if there is one.
func (a *Activities) followTargets(ctx context.Context, imp *models.Import) error {
	m := &merger{imp: imp}
	var err error
	if _, m.stats, err = a.Store.ImportBucket(ctx, imp.ID, targetsBucket); err != nil {
		return err
	}
	if m.packer, err = segment.NewPacker(segment.DefaultLevel); err != nil {
		return err
	}
	if m.follow, err = a.Store.Earlier(ctx, imp); err != nil {
		return err
	}
	var some []orphan
	size := 0
	flush := func() error {
		if len(some) == 0 {
			return nil
		}
		activity.RecordHeartbeat(ctx, len(some))
		old := slices.DeleteFunc(slices.Clone(some), func(o orphan) bool { return o.came })
		came := slices.DeleteFunc(some, func(o orphan) bool { return !o.came })
		some, size = nil, 0
		return errors.Join(a.adopt(ctx, m, old), a.adopt(ctx, m, came))
	}
	err = a.Store.Unattributed(ctx, fhir.TypeProvenance, func(key store.SegmentKey, row *store.Row) error {
		found, err := orphans(key, row, *imp)
		if err != nil {
			return err
		}
		some = append(some, found...)
		if size += int(row.RawLen); size < cmp.Or(a.batch, adoptBytes) {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// orphans reads a segment of Provenance.
func orphans(key store.SegmentKey, row *store.Row, imp models.Import) ([]orphan, error) {
	sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
	raw, err := segment.InflateSum(nil, row.Data, sum)
	if err != nil {
		return nil, err
	}
	lines, err := segment.DecodeIndex(row.Entries)
	if err != nil {
		return nil, err
	}
	out := make([]orphan, 0, len(lines))
	var facts fhir.Facts
	for _, l := range lines {
		line := bytes.TrimSuffix(raw[l.Offset:l.Offset+l.Length], []byte("\n"))
		if err := fhir.Inspect(line, &facts); err != nil {
			return nil, fmt.Errorf("a line that was read before: %w", err)
		}
		o := orphan{shard: key.Member, came: key.ValidFrom.Equal(*imp.EffectiveAt)}
		if imp.Mode == models.ImportLive {
			o.came = l.LastUpdated == imp.EffectiveAt.UnixMilli() // the segment may have been written again with older lines
		}
		record(nil, line, &facts, &o.rec)
		if l.Flags&release.FlagSensitive != 0 { // by a code, perhaps
			markSensitive(&o.rec)
		}
		o.rec.ID = bytes.Clone(o.rec.ID)
		if p := fhir.ParseProvenance(line); !p.Loose {
			o.targets = slices.DeleteFunc(p.Targets, func(t fhir.Target) bool { return fhir.Shareable(t.Type) })
		}
		out = append(out, o)
	}
	return out, nil
}

// adopt gives some orphans to the members who have their targets, in one transaction.
func (a *Activities) adopt(ctx context.Context, m *merger, some []orphan) error {
	homes, err := a.findHomes(ctx, some)
	if err != nil {
		return err
	}
	var adopted, left []*orphan
	touched := map[uuid.UUID]bool{}
	for i := range some {
		o := &some[i]
		member, ok := homeOf(homes, o.targets)
		if !ok {
			left = append(left, o)
			touched[o.shard] = touched[o.shard] || m.follow && o.came
			continue
		}
		o.rec.Member = member
		adopted = append(adopted, o)
		touched[o.shard], touched[member] = true, true
	}
	ids := make([]uuid.UUID, 0, len(touched))
	for id, yes := range touched {
		if yes {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.SortFunc(adopted, func(a, b *orphan) int {
		return cmp.Or(bytes.Compare(a.rec.Member[:], b.rec.Member[:]), bytes.Compare(a.rec.ID, b.rec.ID))
	})
	stats := m.stats
	return a.Store.MergeMembers(ctx, ids, *m.imp.EffectiveAt, func(view *store.MergeTx) (*store.Merge, error) {
		m.stats = stats.Add(models.ImportStats{})
		return m.adopt(view, adopted, left)
	}, func(ctx context.Context, tx pgx.Tx) error {
		return store.SaveBucket(ctx, tx, m.imp.ID, targetsBucket, 0, m.stats)
	})
}

// findHomes returns who has the targets, by segment.IDHash.
func (a *Activities) findHomes(ctx context.Context, some []orphan) (map[uint64][]uuid.UUID, error) {
	homes := map[uint64][]uuid.UUID{}
	var types []int16
	var hashes []uint64
	for _, o := range some {
		for _, t := range o.targets {
			types = append(types, t.Type)
			hashes = append(hashes, segment.IDHash(fhir.TypeName(t.Type), t.ID))
		}
	}
	if len(hashes) == 0 {
		return homes, nil
	}
	slices.Sort(types)
	err := a.Store.Homes(ctx, slices.Compact(types), segment.NewHashSet(hashes), func(member uuid.UUID, hash uint64) {
		// A resource of which there are views is found more than once.
		if !slices.Contains(homes[hash], member) {
			homes[hash] = append(homes[hash], member)
		}
	})
	return homes, err
}

// homeOf returns the one member who has all the targets.
func homeOf(homes map[uint64][]uuid.UUID, targets []fhir.Target) (member uuid.UUID, ok bool) {
	for i, t := range targets {
		who := homes[segment.IDHash(fhir.TypeName(t.Type), t.ID)]
		if len(who) != 1 || i > 0 && who[0] != member || !models.IsMember(who[0]) {
			return uuid.Nil, false
		}
		member = who[0]
	}
	return member, len(targets) > 0
}

// adopt makes the change that takes the adopted from their shards to their members. A line of this import then counts as what
// it is to its member; one of an earlier import counts for nothing.
func (m *merger) adopt(view *store.MergeTx, adopted, left []*orphan) (*store.Merge, error) {
	sh, err := readShelf(view, *m.imp.EffectiveAt)
	if err != nil {
		return nil, err
	}
	gone := map[tombKey]bool{}
	before, came := m.stats.Types, int64(0)
	for _, o := range adopted {
		if !sh.holds(o.rec.Member, o.targets) {
			continue // another resource has the hash of a target's id
		}
		rec := o.rec
		stamp(&rec, updatedAt(m.imp, rec.Updated))
		m.recs = append(m.recs, rec)
		gone[tombKey{place{o.shard, fhir.TypeProvenance}, string(rec.ID)}] = true
		if o.came {
			came++
		}
	}
	out, err := m.change(view, func(where place, _ *held, l segment.Line) bool { return gone[tombKey{where, l.ID}] },
		func(*store.Merge, place, *held, segment.Line) {})
	m.recs = nil
	if err != nil {
		return nil, err
	}
	name := fhir.TypeName(fhir.TypeProvenance)
	if came == 0 {
		m.stats.Types = before
	}
	m.stats = m.stats.Add(models.ImportStats{Types: map[string]models.TypeCounts{name: {New: -came, Unattributed: -came}}})
	for _, o := range left {
		if m.follow && o.came {
			out.News = append(out.News, store.News{
				Member: o.shard, Type: fhir.TypeProvenance, Hash: segment.IDHash(name, string(o.rec.ID)), Updated: o.rec.Updated,
			})
		}
	}
	return out, nil
}

// holds reports whether a member has every target.
func (sh *shelf) holds(member uuid.UUID, targets []fhir.Target) bool {
	return !slices.ContainsFunc(targets, func(t fhir.Target) bool {
		return !slices.ContainsFunc(sh.held[place{member, t.Type}], func(h *held) bool {
			return slices.ContainsFunc(h.lines, func(l segment.Line) bool { return l.ID == t.ID })
		})
	})
}
