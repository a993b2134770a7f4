package activities

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// sortSegments puts segments in the order the table is clustered by.
func sortSegments(all []store.Segment) {
	slices.SortFunc(all, func(a, b store.Segment) int {
		return cmp.Or(bytes.Compare(a.Member[:], b.Member[:]), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Part, b.Part))
	})
}

// deletesBucket is the bucket under which the deletes keep their counts.
const deletesBucket = -1

// ApplyDeletes removes the resources the import says are gone, wherever they are, and remembers them. Before, it takes those
// that the import brought to another member away from the one who had them, and finds whose Provenance is that names no
// patient; afterwards it sees to the DocumentReferences of Binaries.
func (a *Activities) ApplyDeletes(ctx context.Context, importID string) error {
	imp, err := a.Store.Import(ctx, importID)
	if err != nil {
		return err
	}
	if imp.EffectiveAt == nil || imp.State != models.StateRunning {
		return models.Errorf(models.KindConflict, "the import is not merging")
	}
	if err := a.followUnfollowed(ctx, imp); err != nil {
		return err
	}
	if err := a.followMoves(ctx, imp, imp.ID); err != nil {
		return err
	}
	if err := a.Store.ClearNews(ctx, imp.ID); err != nil {
		return err
	}
	// Only when the targets have settled can what is about them; and that may be a move of its own.
	if err := a.followTargets(ctx, imp); err != nil {
		return err
	}
	if err := a.followMoves(ctx, imp, imp.ID); err != nil {
		return err
	}
	if err := a.applyDeletes(ctx, imp); err != nil {
		return err
	}
	if err := a.settleBinaries(ctx, imp); err != nil {
		return err
	}
	return a.refreshIndex(ctx)
}

func (a *Activities) applyDeletes(ctx context.Context, imp *models.Import) error {
	gone, err := a.Store.ImportDeletes(ctx, imp.ID)
	if err != nil || len(gone) == 0 {
		return err
	}
	byID := map[tombKey]bool{}
	var types []int16
	var hashes []uint64
	var binaries []string
	for _, d := range gone {
		if d.Type == fhir.TypeBinary {
			binaries = append(binaries, d.ResourceID)
		}
		byID[tombKey{place{typ: d.Type}, d.ResourceID}] = true
		types = append(types, d.Type)
		hashes = append(hashes, segment.IDHash(fhir.TypeName(d.Type), d.ResourceID))
	}
	slices.Sort(types)
	owners, err := a.Store.Owners(ctx, slices.Compact(types), segment.NewHashSet(hashes))
	if err != nil {
		return err
	}
	_, stats, err := a.Store.ImportBucket(ctx, imp.ID, deletesBucket)
	if err != nil {
		return err
	}
	m := &merger{imp: imp, stats: stats}
	if m.packer, err = segment.NewPacker(segment.DefaultLevel); err != nil {
		return err
	}
	if err := a.removeBinaries(ctx, m, binaries); err != nil {
		return err
	}
	seen := map[tombKey]bool{}
	for batch := range slices.Chunk(owners, 100) {
		activity.RecordHeartbeat(ctx, len(batch))
		err := a.Store.MergeMembers(ctx, batch, *imp.EffectiveAt, func(view *store.MergeTx) (*store.Merge, error) {
			return m.remove(view, byID, seen)
		}, func(ctx context.Context, tx pgx.Tx) error {
			return store.SaveBucket(ctx, tx, imp.ID, deletesBucket, 0, m.stats)
		})
		if err != nil {
			return err
		}
	}
	return a.Store.Bury(ctx, unheld(gone, seen, *imp.EffectiveAt))
}

// unheld returns tombstones for what was deleted and not held, so that an older version which comes later does not stay.
func unheld(gone []models.ImportDelete, seen map[tombKey]bool, at time.Time) []store.Tombstone {
	var out []store.Tombstone
	for _, d := range gone {
		if d.Type != fhir.TypeBinary && !seen[tombKey{place{typ: d.Type}, d.ResourceID}] {
			out = append(out, store.Tombstone{
				Member: models.UnattributedID(fhir.TypeName(d.Type), d.ResourceID), Type: d.Type, ResourceID: d.ResourceID, DeletedAt: at,
			})
		}
	}
	return out
}

// remove drops the given resources from the members' segments and buries them. A resource that the same import also brought
// stays: its line is as new as the delete. What is held of them is noted in seen.
func (m *merger) remove(view *store.MergeTx, gone, seen map[tombKey]bool) (*store.Merge, error) {
	at := *m.imp.EffectiveAt
	leave := func(where place, h *held, l segment.Line) bool {
		key := tombKey{place{typ: where.typ}, l.ID}
		if gone[key] {
			seen[key] = true
		}
		came := h.key.ValidFrom.Equal(at) && l.LastUpdated == at.UnixMilli() && l.Flags&release.FlagTouched == 0
		return gone[key] && !came
	}
	return m.change(view, leave, func(out *store.Merge, where place, h *held, l segment.Line) {
		m.stats.Deleted++
		out.Bury = append(out.Bury, store.Tombstone{Member: where.member, Type: where.typ, ResourceID: l.ID, DeletedAt: at, Class: h.key.Class})
		if where.typ == fhir.TypePatient {
			out.Members[where.member], out.Present[where.member] = l.ID, false
		}
	})
}

// FinishInput says how an import ended.
type FinishInput struct {
	ImportID string
	State    models.State
	Reason   string
}

// FinishImport closes an import, makes what it brought visible, and drops its scratch files. Superseded segments that no
// running export can see any more go too, those that this import has superseded or an earlier one.
func (a *Activities) FinishImport(ctx context.Context, in FinishInput) (*models.ImportStats, error) {
	stats, err := a.Store.SumImport(ctx, in.ImportID)
	if err != nil {
		return nil, err
	}
	if in.State == models.StateCompleted {
		if err := a.Store.Analyze(ctx); err != nil {
			return nil, err
		}
	}
	if err := a.Store.FinishImport(ctx, in.ImportID, in.State, stats, in.Reason, a.now()); err != nil {
		return nil, err
	}
	if _, err := a.Store.PurgeSegments(ctx); err != nil {
		return nil, err
	}
	return &stats, a.Files.DeletePrefix(ctx, "imports/"+in.ImportID)
}
