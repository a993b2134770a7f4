package activities

import (
	"context"
	"maps"
	"slices"

	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/attribution"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// frozenRoster is the job whose roster says whom an export is of, "" when the Group's members do.
func frozenRoster(job *models.Job, p models.ExportParams) string {
	if p.Listed {
		return job.ID
	}
	return ""
}

// blobPart is the blob of a chunk, to be written to as a stream.
type blobPart struct {
	ctx context.Context
	out *blobWriter
}

func (w blobPart) Write(b []byte) (int, error) {
	_, err := w.out.append(w.ctx, b)
	return len(b), err
}

// list writes the Group of an attribution list (Da Vinci ATR 2.1.0), with those whom the list shows at this moment, and returns the
// providers that it refers to. Like what supports other resources it is not planned, but counted.
func (e *chunkExport) list(ctx context.Context, view *store.Snapshot) ([]string, error) {
	if !e.params.WithList {
		return nil, nil
	}
	l, err := view.AttributionList(e.params.GroupID)
	if err != nil {
		return nil, err
	}
	if l.End != nil && !e.a.now().Before(*l.End) {
		return nil, nil // it has ended since
	}
	e.acc.Planned++
	window := store.Window{Since: e.params.Since, Until: e.params.Until}
	if !window.Wants(l.UpdatedAt.UnixMilli(), 0, false) {
		e.acc.Filtered++
		return nil, nil
	}
	owner, err := e.a.Store.Client(ctx, l.ClientID)
	if err != nil {
		return nil, err
	}
	page := attribution.InSnapshot(view, l.ID)
	form := &attribution.Form{
		List: l, HolderIDs: e.a.Holder.IDs, Holder: e.a.Holder.Name, Owner: owner.Organization, Now: e.a.now, Only: e.params.Patients,
		Page: func(after attribution.Cursor) ([]store.ListedMember, store.Claim, error) {
			activity.RecordHeartbeat(ctx, e.acc.Written)
			return page(after)
		},
	}
	if e.filter.elements.Applies(fhir.TypeGroup) {
		form.Cut = func(group []byte) []byte { return e.filter.elements.Apply(nil, group, fhir.TypeGroup) }
	}
	if filter, filtered := e.filter.filters.For(fhir.TypeGroup); filtered {
		form.Fits = filter.Match
	}
	sum, at, err := e.stream(ctx, form)
	if err != nil {
		return nil, err
	}
	if sum.Lines == 0 {
		e.acc.Filtered++
		return nil, nil
	}
	e.parts = append(e.parts, store.Part{
		Type: fhir.TypeGroup, Part: e.flush, Offset: at, Packed: sum.PackedLen, Raw: sum.RawLen, Lines: sum.Lines, CRC: sum.CRC,
	})
	e.flush++
	e.acc.Written++
	return slices.Collect(maps.Keys(form.Providers)), nil
}

// stream packs a list as one line into the chunk's blob and returns where it begins.
func (e *chunkExport) stream(ctx context.Context, form *attribution.Form) (sum segment.Sum, at int64, err error) {
	at = e.blob.n
	out, err := segment.NewStream(blobPart{ctx, &e.blob})
	if err != nil {
		return sum, at, err
	}
	n, err := form.WriteTo(out)
	if err != nil || n == 0 {
		return sum, at, err
	}
	if _, err := out.Write([]byte("\n")); err != nil {
		return sum, at, err
	}
	sum, err = out.Finish()
	return sum, at, err
}
