package activities

import (
	"cmp"
	"math"

	"github.com/google/uuid"

	"pdexbulk/activities/spill"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// smallSegment is the raw size up to which a segment is rewritten together with new lines, so that many small imports do
// not leave many small segments.
const smallSegment = segment.MaxRawLen / 4

// merge decides, line by line, what the batch changes, and makes the new segments. It changes nothing itself.
func (m *merger) merge(view *store.MergeTx) (*store.Merge, error) {
	return m.change(view, func(place, *held, segment.Line) bool { return false }, nil)
}

// change is merge that takes lines away as well: those for which leave says so. dropped is called with each.
func (m *merger) change(view *store.MergeTx, leave func(place, *held, segment.Line) bool, dropped func(*store.Merge, place, *held, segment.Line)) (*store.Merge, error) {
	sh, err := readShelf(view, *m.imp.EffectiveAt)
	if err != nil {
		return nil, err
	}
	if err := m.addUnheld(view, sh); err != nil {
		return nil, err
	}
	out := &store.Merge{At: *m.imp.EffectiveAt, ImportID: m.imp.ID, Members: map[uuid.UUID]string{}, Present: map[uuid.UUID]bool{}}
	fresh := map[place][]entry{}
	for from := 0; from < len(m.recs); {
		to := from
		at := place{m.recs[from].Member, m.recs[from].Type}
		for to < len(m.recs) && m.recs[to].Member == at.member && m.recs[to].Type == at.typ {
			to++
		}
		if at.typ == fhir.TypeBinary {
			if err := m.mergeBinaries(view, sh, m.recs[from:to], out); err != nil {
				return nil, err
			}
		} else if added := m.mergePlace(sh, at, m.recs[from:to], out); len(added) > 0 {
			fresh[at] = added
		}
		from = to
	}
	for id := range out.Members {
		if !sh.changed[id] {
			m.stats.Members++
		}
	}
	sh.drop(out, leave, dropped)
	lines, err := m.release(view, sh, fresh)
	if err != nil {
		return nil, err
	}
	if err := m.rewrite(view, sh, lines, out); err != nil {
		return nil, err
	}
	m.stats.Segments += int64(len(out.Insert))
	return out, nil
}

// buried returns the tombstones of a resource, and until when it is gone, in ms since 1970-01-01.
func (sh *shelf) buried(key tombKey) (tombs []store.Tombstone, until int64) {
	until = math.MinInt64
	for _, some := range []map[tombKey]store.Tombstone{sh.tombs, sh.unheld} {
		if t, ok := some[key]; ok {
			tombs, until = append(tombs, t), max(until, t.DeletedAt.UnixMilli())
		}
	}
	return tombs, until
}

// addUnheld adds the tombstones of what was deleted before anybody had it.
func (m *merger) addUnheld(view *store.MergeTx, sh *shelf) error {
	keys := make([]store.Tombstone, len(m.recs))
	for i := range m.recs {
		rec := &m.recs[i]
		keys[i] = store.Tombstone{Member: models.UnattributedID(fhir.TypeName(rec.Type), string(rec.ID)), Type: rec.Type, ResourceID: string(rec.ID)}
	}
	found, err := view.Unheld(keys)
	if err != nil {
		return err
	}
	for i, t := range found {
		key := tombKey{place{m.recs[i].Member, m.recs[i].Type}, t.ResourceID}
		if m.recs[i].Member != t.Member {
			sh.unheld[key] = t
		}
	}
	return nil
}

// drop marks the lines for which leave says so.
func (sh *shelf) drop(out *store.Merge, leave func(place, *held, segment.Line) bool, dropped func(*store.Merge, place, *held, segment.Line)) {
	for where, all := range sh.held {
		for _, h := range all {
			for i, l := range h.lines {
				if h.dropped[i] || !leave(where, h, l) {
					continue
				}
				h.dropped[i], h.rewrite = true, true
				if h.key.Class&models.ClassViews != 0 {
					continue
				}
				detach(out, h, l.ID)
				if models.IsMember(where.member) {
					out.Sources = append(out.Sources, store.MemberSource{Member: where.member, Hash: segment.IDHash(fhir.TypeName(where.typ), l.ID)})
					if where.typ == fhir.TypeExplanationOfBenefit {
						out.Unsure = append(out.Unsure, where.member)
					}
				}
				dropped(out, where, h, l)
			}
		}
	}
}

// found is where the store holds a resource.
type found struct {
	in   *held
	line int
}

// mergePlace settles the lines of one member and type. It returns those to be written and marks the held ones they replace.
func (m *merger) mergePlace(sh *shelf, at place, recs []spill.Record, out *store.Merge) []entry {
	newest := m.newest(recs)
	counts := models.TypeCounts{}
	stored := map[string]found{}
	for _, h := range sh.held[at] {
		if h.key.Class&models.ClassViews != 0 {
			continue
		}
		for i, l := range h.lines {
			stored[l.ID] = found{h, i}
		}
	}
	var added []entry
	for i := range recs {
		rec := &recs[i]
		if newest[string(rec.ID)] != rec {
			continue
		}
		id := string(rec.ID)
		updated := updatedAt(m.imp, rec.Updated)
		tombs, until := sh.buried(tombKey{at, id})
		if updated <= until {
			counts.Stale++
			continue
		}
		replaced := false
		if old, ok := stored[id]; ok {
			switch l := old.in.lines[old.line]; {
			case l.Hash == rec.Hash && l.Flags&^release.FlagTouched == rec.Flags && old.in.key.Class&models.ClassUnruled == 0 && (m.imp.Mode == models.ImportLive || updated <= l.LastUpdated):
				counts.Unchanged++
				continue
			case updated < l.LastUpdated, rec.Version > 0 && rec.Version < l.Version:
				counts.Stale++
				continue
			}
			counts.Replaced++
			replaced = true
			sh.replace(at, old.in, old.line)
			detach(out, old.in, id)
		} else {
			counts.New++
			if m.follow && !(at.typ == fhir.TypeProvenance && !models.IsMember(at.member)) { // see followTargets
				out.News = append(out.News, store.News{
					Member: at.member, Type: at.typ, Hash: segment.IDHash(fhir.TypeName(at.typ), id), Updated: updated,
					Source: cmp.Or(rec.Updated, math.MaxInt64), Version: rec.Version, File: rec.File, Line: rec.Line,
				})
			}
			if !models.IsMember(at.member) && at.member[14] != models.FirstShared[14] {
				counts.Unattributed++
			}
		}
		out.Raise = append(out.Raise, tombs...)
		if d, ok := sh.departed[tombKey{at, id}]; ok {
			out.Return = append(out.Return, d)
		}
		added = append(added, entry{meta: segment.Line{
			ID: id, Version: rec.Version, LastUpdated: updated, ServiceStart: rec.ServiceStart, ServiceEnd: rec.ServiceEnd,
			Flags: rec.Flags, Hash: rec.Hash,
		}, body: rec.Body, class: models.Class(rec.Class)})
		m.index(at, rec, replaced, out)
		attach(at, rec, out)
	}
	m.stats = m.stats.Add(models.ImportStats{Types: map[string]models.TypeCounts{fhir.TypeName(at.typ): counts}})
	return added
}

// newest returns the newest version of each resource, and counts the others.
func (m *merger) newest(recs []spill.Record) map[string]*spill.Record {
	newest := make(map[string]*spill.Record, len(recs))
	for i := range recs {
		rec := &recs[i]
		if prev, ok := newest[string(rec.ID)]; ok {
			m.stats.Duplicate++
			if newer(prev, rec) {
				continue
			}
		}
		newest[string(rec.ID)] = rec
	}
	return newest
}

// newer reports whether a is a newer version than b of one resource within an import: by its source's lastUpdated, which
// means now when it is missing, then its version, then its place in the source.
func newer(a, b *spill.Record) bool {
	return cmp.Or(cmp.Compare(cmp.Or(a.Updated, math.MaxInt64), cmp.Or(b.Updated, math.MaxInt64)), cmp.Compare(a.Version, b.Version),
		cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) > 0
}

// index notes what a changed line means for the member index. replaced says that it takes another's place.
func (m *merger) index(at place, rec *spill.Record, replaced bool, out *store.Merge) {
	if !models.IsMember(at.member) {
		return
	}
	out.Members[at.member] = string(rec.Patient)
	if at.typ == fhir.TypePatient {
		out.Present[at.member] = true
	}
	source := store.MemberSource{Member: at.member, Hash: segment.IDHash(fhir.TypeName(at.typ), string(rec.ID))}
	switch at.typ {
	case fhir.TypePatient, fhir.TypeCoverage:
		out.Sources = append(out.Sources, source)
	case fhir.TypeExplanationOfBenefit:
		if replaced {
			out.Unsure = append(out.Unsure, at.member)
		}
	}
	m.indexer.add(source, at.typ, rec.Body, string(rec.Patient), func(p store.MemberPart) { out.Parts = append(out.Parts, p) })
}

// rewrite makes the segments of every place that changed: its new lines, with what stays of the segments that lose a line
// and with those small enough to be worth joining.
func (m *merger) rewrite(view *store.MergeTx, sh *shelf, fresh released, out *store.Merge) error {
	var rewritten []*held
	for at, all := range sh.held {
		for _, h := range all {
			if len(fresh[at][h.key.Class]) > 0 && h.raw <= smallSegment {
				h.rewrite = true
			}
			if h.rewrite {
				rewritten = append(rewritten, h)
			}
		}
	}
	if err := loadRewrites(view, rewritten); err != nil {
		return err
	}
	for _, h := range rewritten {
		stay, err := h.survivors()
		if err != nil {
			return err
		}
		out.Close = append(out.Close, h.key)
		for _, e := range stay {
			fresh.add(place{h.key.Member, h.key.Type}, h.key.Class, e)
		}
	}
	for at, classes := range fresh {
		for class, lines := range classes {
			key := store.SegmentKey{Member: at.member, Type: at.typ, Class: class, ValidFrom: out.At}
			segs, err := packSegments(m.packer, sh, key, lines)
			if err != nil {
				return err
			}
			out.Insert = append(out.Insert, segs...)
		}
	}
	sortSegments(out.Insert)
	return nil
}
