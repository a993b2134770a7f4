package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// What comes along because of the other chunks is written in a chunk of its own after them: the shared resources (Practitioner,
// Organization, Location, ...) that exported ones refer to, each once, and who transmitted it all. A system level export has every
// shared resource anyway.

// supports reports whether an export takes the shared resources along that it refers to.
func supports(job *models.Job, p models.ExportParams) bool {
	return job.Operation != models.OpSystemExport && p.OrganizeBy == "" && (len(p.Types) == 0 || slices.ContainsFunc(p.Types, fhir.Shareable))
}

// closingChunk is told from others by its range, which has no member in it, nor at system level any shared resource.
func closingChunk(job *models.Job, number int) store.Chunk {
	if job.Operation == models.OpSystemExport {
		return store.Chunk{JobID: job.ID, Chunk: number, Lo: uuid.Max, Hi: uuid.Max}
	}
	return store.Chunk{JobID: job.ID, Chunk: number, Lo: models.FirstShared, Hi: models.LastShared}
}

func isClosing(job *models.Job, c store.Chunk) bool {
	lo := models.FirstShared
	if job.Operation == models.OpSystemExport {
		lo = uuid.Max
	}
	return c.Lo == lo
}

// close writes the closing chunk. Where nothing else leaves, there is no transmission to tell of.
func (e *chunkExport) close(ctx context.Context, view *store.Snapshot) error {
	attributed, err := e.list(ctx, view)
	if err != nil {
		return err
	}
	if supports(e.job, e.params) {
		if err := e.support(ctx, view, attributed); err != nil {
			return err
		}
	}
	if !transmits(e.params) {
		return nil
	}
	others, _, err := e.a.Store.ChunkAccounting(ctx, e.job.ID)
	if err != nil || others.Written+e.acc.Written == 0 {
		return err
	}
	return e.transmit()
}

// refer notes what the segments that may leave refer to.
func (e *chunkExport) refer(view *store.Snapshot, roster map[uuid.UUID]*access) error {
	if !supports(e.job, e.params) {
		return nil
	}
	e.refs = map[string]bool{}
	byClass := map[models.Class][]uuid.UUID{}
	for id, who := range roster {
		if !who.closed() {
			without := e.terms.audience(who).Without()
			byClass[without] = append(byClass[without], id)
		}
	}
	for without, members := range byClass {
		refs, err := view.References(members, e.params.Types, without, e.terms.segments(e.params))
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if without&models.ClassSensitive == 0 || !e.secret.refs[ref] {
				e.refs[ref] = true
			}
		}
	}
	return nil
}

// referLines notes what the lines of a segment refer to that are not too old. Their index is in e.lines.
func (e *chunkExport) referLines(row *store.Row, sum segment.Sum) (err error) {
	if e.raw, err = segment.InflateSum(e.raw[:0], row.Data, sum); err != nil {
		return err
	}
	for _, l := range e.lines {
		if int64(l.Offset)+int64(l.Length) > sum.RawLen {
			return fmt.Errorf("%w: its index is not its own", segment.ErrCorrupt)
		}
		if e.terms.leaves(row.Class, l) {
			fhir.SharedReferences(e.raw[l.Offset:l.Offset+l.Length], func(_ int16, ref []byte) { note(e.refs, ref) })
		}
	}
	return nil
}

// support writes the shared resources that the job's other chunks refer to, further ones, and those that these refer to in turn.
func (e *chunkExport) support(ctx context.Context, view *store.Snapshot, further []string) error {
	pending, err := e.a.Store.ExportReferences(ctx, e.job.ID)
	if err != nil {
		return err
	}
	window := store.Window{Since: e.params.Since, Until: e.params.Until}
	// What is sensitive comes for those who refer to it and may see it, not because another shared resource does.
	secret, err := view.SensitiveShared()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, ref := range secret {
		seen[ref] = !slices.Contains(pending, ref)
	}
	pending = append(pending, further...)
	for len(pending) > 0 {
		activity.RecordHeartbeat(ctx, len(seen))
		want := map[string]bool{}
		for _, ref := range pending {
			if !seen[ref] {
				seen[ref], want[ref] = true, true
			}
		}
		if len(want) == 0 {
			return nil
		}
		pending = nil
		err := view.Shared(shards(want), func(row *store.Row) error {
			found, err := e.takeShared(row, want, window)
			pending = append(pending, found...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// shards returns where the resources are kept.
func shards(refs map[string]bool) []uuid.UUID {
	set := map[uuid.UUID]bool{}
	for ref := range refs {
		typ, id, _ := strings.Cut(ref, "/")
		set[models.SharedID(typ, id)] = true
	}
	out := make([]uuid.UUID, 0, len(set))
	for id := range set {
		out = append(out, id)
	}
	return out
}

// takeShared takes the wanted resources of a segment and returns what they refer to.
func (e *chunkExport) takeShared(row *store.Row, want map[string]bool, window store.Window) ([]string, error) {
	if e.terms.audience(nil).Fate(row.Class) != release.Leave {
		return nil, nil
	}
	name := fhir.TypeName(row.Type)
	var err error
	if e.lines, err = segment.AppendIndex(e.lines[:0], row.Entries); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(e.lines, func(l segment.Line) bool { return want[name+"/"+l.ID] }) {
		return nil, nil
	}
	sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
	if e.raw, err = segment.InflateSum(e.raw[:0], row.Data, sum); err != nil {
		return nil, err
	}
	var refs []string
	wanted := map[string]bool{}
	for _, l := range e.lines {
		if !want[name+"/"+l.ID] {
			continue
		}
		fhir.SharedReferences(e.raw[l.Offset:l.Offset+l.Length], func(_ int16, ref []byte) {
			refs = append(refs, string(ref))
		})
		if window.Wants(l.LastUpdated, 0, false) && (len(e.params.Types) == 0 || slices.Contains(e.params.Types, row.Type)) {
			wanted[l.ID] = true
		}
	}
	if len(wanted) == 0 {
		return refs, nil
	}
	row.Cut = store.CutEdge
	n, err := e.take(row, nil, func(l segment.Line) bool { return wanted[l.ID] })
	e.acc.Planned += int64(len(wanted))
	e.acc.Written += n
	e.acc.Filtered += int64(len(wanted)) - n
	return refs, err
}
