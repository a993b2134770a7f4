package activities

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/recheck"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// access is what one member's consent lets out of the store.
type access struct {
	withheld bool
	without  models.Class // classes that stay
	narrowed bool         // they would not stay but for what was said since the match
	written  bool
}

// roster decides for every member of the chunk whether, at this moment, data may leave, and of which classes.
func (e *chunkExport) roster(view *store.Snapshot) (map[uuid.UUID]*access, error) {
	if e.chunk.Members == 0 {
		return nil, nil
	}
	entries, err := view.Roster(e.params.GroupID, frozenRoster(e.job, e.params), e.chunk, onlyMembers(e.params))
	if err != nil {
		return nil, err
	}
	if len(entries) != e.chunk.Members {
		return nil, fmt.Errorf("chunk %d: %d members planned, %d found", e.chunk.Chunk, e.chunk.Members, len(entries))
	}
	allowed, err := e.recheck(view, entries)
	if err != nil {
		return nil, err
	}
	roster := make(map[uuid.UUID]*access, len(entries))
	for i, m := range entries {
		roster[m.Member] = &allowed[i]
	}
	e.kept = keptBack(roster)
	return roster, e.leaveOutGone(view, roster)
}

// leaveOutGone keeps back what is left of a Group's members whose Patient is held no more. They are none whom the Group would let out
// more of: that their resources were deleted is told.
func (e *chunkExport) leaveOutGone(view *store.Snapshot, roster map[uuid.UUID]*access) error {
	if e.params.GroupID == "" {
		return nil // a roster of those who are held
	}
	gone, err := view.Gone(slices.Collect(maps.Keys(roster)))
	if err != nil {
		return err
	}
	for _, member := range gone {
		roster[member].withheld = true
	}
	return nil
}

// recheck decides what may leave of each entry's data now: without a Group, all.
func (e *chunkExport) recheck(view *store.Snapshot, entries []store.RosterEntry) ([]access, error) {
	out := make([]access, len(entries))
	if e.params.GroupID == "" {
		return out, nil
	}
	g, err := view.Group(e.params.GroupID)
	if err != nil {
		return nil, err
	}
	allowed, err := recheck.Members(view, g, entries, consent.StoreMode(e.a.Holder.SensitiveData), e.a.now())
	if err != nil {
		return nil, err
	}
	for i, may := range allowed {
		out[i] = access{withheld: may.Withheld || may.Draft && !e.params.Unclinical, without: may.Without, narrowed: may.Narrowed}
	}
	return out, nil
}

// keptBack are the members of whom the Group's row alone would let out more.
func keptBack(roster map[uuid.UUID]*access) []store.Withheld {
	var list []store.Withheld
	for member, who := range roster {
		if who.withheld || who.narrowed {
			list = append(list, store.Withheld{Member: member, Whole: who.withheld})
		}
	}
	return list
}

// read takes in every segment of the chunk. Bytes of a segment that is wanted whole are copied as they are.
func (e *chunkExport) read(ctx context.Context, view *store.Snapshot, roster map[uuid.UUID]*access) error {
	window := e.terms.segments(e.params)
	window.ByMember = e.blocks != nil
	// What of a segment is kept back for its age is counted apart from what the request left out.
	old, class := int64(0), models.Class(0)
	keep := func(l segment.Line) bool {
		if !window.Wants(l.LastUpdated, 0, false) {
			return false
		}
		if e.terms.leaves(class, l) {
			return true
		}
		old++
		return false
	}
	beat := 0
	err := view.Segments(e.chunk, e.listed(roster), e.params.Types, window, func(row *store.Row) (err error) {
		if beat++; beat%512 == 0 {
			activity.RecordHeartbeat(ctx, e.acc.Written)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		who := roster[row.Member]
		if who == nil && roster != nil {
			return nil // belongs to a Patient that is not held; not planned either
		}
		switch fate := e.terms.fate(row.Class, who); {
		case fate == release.StandIn:
			return nil
		case fate == release.Withhold:
			e.acc.Planned += row.Lines
			e.acc.WithheldResources += row.Lines
			return nil
		case row.Cut == store.CutOutside:
			e.acc.Planned += row.Lines
			e.acc.Filtered += row.Lines
			return nil
		case row.Cut == store.CutOld:
			e.acc.Planned += row.Lines
			e.tooOld(row.Class, row.Lines)
			return nil
		}
		if row, err = e.withoutSecret(row); err != nil || row.Lines == 0 {
			return err
		}
		old, class = 0, row.Class
		n, err := e.takeInBlock(row, who, keep)
		if err != nil {
			return err
		}
		e.acc.Planned += row.Lines
		e.acc.Written += n
		e.acc.Filtered += row.Lines - n - old
		e.tooOld(row.Class, old)
		if who != nil && n > 0 {
			who.written = true
		}
		if e.held >= flushPacked {
			return e.write(ctx)
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.endBlock()
	for _, who := range roster {
		e.acc.Members++
		switch {
		case who.withheld:
			e.acc.Withheld++
		case who.written:
			e.acc.Exported++
		default:
			e.acc.Empty++
		}
	}
	return nil
}

// listed returns the members to ask the store for, in the order the table is clustered by; nil when they are all those of the
// chunk's range.
func (e *chunkExport) listed(roster map[uuid.UUID]*access) []uuid.UUID {
	if e.params.GroupID == "" && len(e.params.Patients) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(roster), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}

// take appends what is wanted of a segment to its type's buffer and returns how many lines that was.
func (e *chunkExport) take(row *store.Row, who *access, keep func(segment.Line) bool) (int64, error) {
	b := e.buffer(row.Type)
	sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
	var err error
	if row.Cut == store.CutEdge {
		if e.lines, err = segment.AppendIndex(e.lines[:0], row.Entries); err != nil {
			return 0, err
		}
	}
	switch {
	case e.filter.looksInto(row.Type), e.latest != nil && row.Type == fhir.TypeProvenance, row.Class&models.ClassAttachment != 0 && e.params.Base != "":
		b.data, sum, err = e.sift(b.data, row, who, sum, keep)
	case row.Cut == store.CutWhole:
		b.data = append(b.data, row.Data...)
	case e.refs != nil:
		b.data, sum, err = e.cut(b.data, row, sum, keep)
	default:
		b.data, sum, err = e.packer.Select(b.data, row.Data, sum, e.lines, keep)
	}
	if err != nil {
		return 0, err
	}
	b.sum = b.sum.Add(sum)
	e.held += sum.PackedLen
	return sum.Lines, nil
}

// cut is Packer.Select for an export that takes along what its lines refer to.
func (e *chunkExport) cut(dst []byte, row *store.Row, sum segment.Sum, keep func(segment.Line) bool) ([]byte, segment.Sum, error) {
	if err := e.referLines(row, sum); err != nil {
		return dst, segment.Sum{}, err
	}
	return e.packer.Select(dst, row.Data, sum, e.lines, keep)
}
