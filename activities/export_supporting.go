package activities

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// The shared resources (Practitioner, Organization, Location, ...) that exported ones refer to come along, each once, in a
// chunk of their own after all others. A system level export has every shared resource anyway.

// supports reports whether an export takes the shared resources along that it refers to.
func supports(job *models.Job, p models.ExportParams) bool {
	return job.Operation != models.OpSystemExport && (len(p.Types) == 0 || slices.ContainsFunc(p.Types, fhir.Shareable))
}

func supportingChunk(jobID string, number int) store.Chunk {
	return store.Chunk{JobID: jobID, Chunk: number, Lo: models.FirstShared, Hi: models.LastShared}
}

func isSupporting(job *models.Job, c store.Chunk) bool {
	return job.Operation != models.OpSystemExport && c.Lo == models.FirstShared
}

// refer notes what the segments that may leave refer to.
func (e *chunkExport) refer(view *store.Snapshot, roster map[uuid.UUID]*access) error {
	if !supports(e.job, e.params) {
		return nil
	}
	byClass := map[models.Class][]uuid.UUID{}
	for id, who := range roster {
		if !who.withheld {
			byClass[who.without] = append(byClass[who.without], id)
		}
	}
	for without, members := range byClass {
		refs, err := view.References(members, e.params.Types, without)
		if err != nil {
			return err
		}
		e.refs = append(e.refs, refs...)
	}
	slices.Sort(e.refs)
	e.refs = slices.Compact(e.refs)
	return nil
}

// support writes the shared resources that the job's other chunks refer to, and those that these refer to in turn.
func (e *chunkExport) support(ctx context.Context, view *store.Snapshot) error {
	pending, err := e.a.Store.ExportReferences(ctx, e.job.ID)
	if err != nil {
		return err
	}
	window := store.Window{Since: e.params.Since, Until: e.params.Until}
	seen := map[string]bool{}
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
		fhir.SharedReferences(e.raw[l.Offset:l.Offset+l.Length], func(typ int16, id string) {
			refs = append(refs, fhir.TypeName(typ)+"/"+id)
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
