package activities

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"pdexbulk/activities/spill"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// A Binary is never a line of an export. Its content is kept apart and handed out through the Attachments that name it; one
// that is a patient's and that no DocumentReference of the patient holds is given one when it is imported.

const (
	// binariesBucket is the bucket under which that keeps its counts.
	binariesBucket = -3
	// binariesAtATime is how many Binaries are looked at in one go.
	binariesAtATime = 500
)

// mergeBinaries settles the lines of some Binaries.
func (m *merger) mergeBinaries(view *store.MergeTx, sh *shelf, recs []spill.Record, out *store.Merge) error {
	newest := m.newest(recs)
	ids := make([]string, 0, len(newest))
	for id := range newest {
		ids = append(ids, id)
	}
	held, err := view.Binaries(ids)
	if err != nil {
		return err
	}
	counts := models.TypeCounts{}
	for id, rec := range newest {
		updated := updatedAt(m.imp, rec.Updated)
		tombs, until := sh.buried(tombKey{place{rec.Member, rec.Type}, id})
		if updated <= until {
			counts.Stale++
			continue
		}
		if old, ok := held[id]; ok {
			switch {
			case old.Hash == rec.Hash && (m.imp.Mode == models.ImportLive || updated <= old.Updated):
				counts.Unchanged++
				continue
			case updated < old.Updated, rec.Version > 0 && rec.Version < old.Version:
				counts.Stale++
				continue
			}
			counts.Replaced++
		} else {
			counts.New++
		}
		out.Raise = append(out.Raise, tombs...)
		b, err := fhir.ParseBinary(rec.Body)
		if err != nil {
			return fmt.Errorf("a binary that was read before: %w", err)
		}
		row := store.Binary{
			ID: id, ContentType: b.ContentType, Class: models.Class(rec.Class), Updated: updated, Version: rec.Version, Hash: rec.Hash,
			Bound: b.Bound, Patient: b.Patient, Data: b.Data,
		}
		switch {
		case b.Patient != "":
			row.Member = new(models.MemberID(b.Patient))
		case b.ContextID != "":
			row.Source = new(int64(segment.IDHash(fhir.TypeName(b.ContextType), b.ContextID)))
		}
		out.Binaries = append(out.Binaries, row)
	}
	m.stats = m.stats.Add(models.ImportStats{Types: map[string]models.TypeCounts{fhir.TypeName(fhir.TypeBinary): counts}})
	return nil
}

// attach notes which Binaries a new line names.
func attach(at place, rec *spill.Record, out *store.Merge) {
	if models.Class(rec.Class)&models.ClassAttachment == 0 {
		return
	}
	source := segment.IDHash(fhir.TypeName(at.typ), string(rec.ID))
	for _, a := range fhir.Attachments(bytes.TrimSuffix(rec.Body, []byte("\n"))) {
		out.Attach = append(out.Attach, store.Attachment{Member: at.member, Source: source, Type: at.typ, Binary: a.Binary, Relative: a.Relative})
	}
}

// detach notes that a held line does not count any more for the Binaries it names.
func detach(out *store.Merge, h *held, id string) {
	if h.key.Class&models.ClassAttachment != 0 {
		out.Detach = append(out.Detach, store.ResourceKey{Member: h.key.Member, Source: segment.IDHash(fhir.TypeName(h.key.Type), id)})
	}
}

// removeBinaries deletes Binaries that the import says are gone.
func (a *Activities) removeBinaries(ctx context.Context, m *merger, ids []string) error {
	for batch := range slices.Chunk(ids, 5000) {
		err := a.Store.RemoveBinaries(ctx, batch, *m.imp.EffectiveAt, func(ctx context.Context, tx pgx.Tx, n int64) error {
			m.stats.Deleted += n
			return store.SaveBucket(ctx, tx, m.imp.ID, deletesBucket, 0, m.stats)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settleBinaries gives every Binary of a patient that changed its DocumentReference, or takes that away when the patient has
// another or the Binary has gone.
func (a *Activities) settleBinaries(ctx context.Context, imp *models.Import) error {
	m := &merger{imp: imp}
	var err error
	if _, m.stats, err = a.Store.ImportBucket(ctx, imp.ID, binariesBucket); err != nil {
		return err
	}
	if m.packer, err = segment.NewPacker(segment.DefaultLevel); err != nil {
		return err
	}
	for after := ""; ; {
		some, err := a.Store.UnsettledBinaries(ctx, after, fhir.TypeDocumentReference, binariesAtATime)
		if err != nil || len(some) == 0 {
			return err
		}
		activity.RecordHeartbeat(ctx, len(some))
		if err := a.settleSome(ctx, m, some); err != nil {
			return err
		}
		after = some[len(some)-1].ID
	}
}

func (a *Activities) settleSome(ctx context.Context, m *merger, some []store.Unsettled) error {
	madeFor := map[string]*uuid.UUID{}
	gone := map[tombKey]bool{} // of DocumentReferences that go, by member
	var docs []spill.Record
	members := map[uuid.UUID]bool{}
	for _, b := range some {
		id := documentID(b.ID)
		own := int64(segment.IDHash("DocumentReference", id))
		held := slices.ContainsFunc(b.Documents, func(source int64) bool { return source != own })
		wanted := b.Member != nil && !b.Gone && !held
		madeFor[b.ID] = nil
		if wanted {
			rec, err := document(&b)
			if err != nil {
				return err
			}
			stamp(&rec, updatedAt(m.imp, rec.Updated))
			docs, members[rec.Member], madeFor[b.ID] = append(docs, rec), true, b.Member
		}
		if b.MadeFor != nil && (!wanted || *b.MadeFor != *b.Member) {
			gone[tombKey{place{*b.MadeFor, fhir.TypeDocumentReference}, id}] = true
			members[*b.MadeFor] = true
		}
	}
	slices.SortFunc(docs, func(a, b spill.Record) int {
		return cmp.Or(bytes.Compare(a.Member[:], b.Member[:]), bytes.Compare(a.ID, b.ID))
	})
	ids := make([]uuid.UUID, 0, len(members))
	for id := range members {
		ids = append(ids, id)
	}
	stats := m.stats
	return a.Store.MergeMembers(ctx, ids, *m.imp.EffectiveAt, func(view *store.MergeTx) (*store.Merge, error) {
		m.stats = stats.Add(models.ImportStats{})
		return m.settle(view, docs, gone)
	}, func(ctx context.Context, tx pgx.Tx) error {
		if err := store.SettleBinaries(ctx, tx, madeFor); err != nil {
			return err
		}
		return store.SaveBucket(ctx, tx, m.imp.ID, binariesBucket, 0, m.stats)
	})
}

// settle makes the change that adds the documents and drops those that are gone. They count in no statistics: no line of
// the source is behind them.
func (m *merger) settle(view *store.MergeTx, docs []spill.Record, gone map[tombKey]bool) (*store.Merge, error) {
	before := m.stats.Types
	m.recs = docs
	leave := func(where place, _ *held, l segment.Line) bool { return gone[tombKey{where, l.ID}] }
	out, err := m.change(view, leave, func(out *store.Merge, where place, h *held, l segment.Line) {
		out.Bury = append(out.Bury, store.Tombstone{Member: where.member, Type: where.typ, ResourceID: l.ID, DeletedAt: out.At, Class: h.key.Class})
	})
	m.stats.Types, m.recs = before, nil
	return out, err
}

// documentID is the id of the DocumentReference that is made of a Binary.
func documentID(binary string) string {
	sum := sha256.Sum256([]byte("DocumentReference of Binary/" + binary))
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// madeToHold returns which Binary a line was made to hold by document, as Binary/id; "" if it came.
func madeToHold(typ int16, e *entry) string {
	if typ != fhir.TypeDocumentReference || e.class&models.ClassAttachment == 0 {
		return ""
	}
	held := fhir.Attachments(e.body[:len(e.body)-1])
	if len(held) != 1 || documentID(held[0].Binary) != e.meta.ID {
		return ""
	}
	return "Binary/" + held[0].Binary
}

// document makes the DocumentReference that holds a Binary. How it leaves follows from who refers to the Binary.
func document(b *store.Unsettled) (spill.Record, error) {
	type object = map[string]any
	meta := object{"lastUpdated": fhir.FormatInstant(b.Updated.UnixMilli())}
	if b.Class&models.ClassSensitive != 0 {
		meta["security"] = []object{{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}}
	}
	line, err := json.Marshal(object{
		"resourceType": "DocumentReference",
		"id":           documentID(b.ID),
		"meta":         meta,
		"status":       "current",
		"type":         object{"coding": []object{{"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK"}}},
		"subject":      object{"reference": "Patient/" + b.Patient},
		"content":      []object{{"attachment": object{"contentType": b.ContentType, "url": "Binary/" + b.ID, "size": b.Size}}},
	})
	if err != nil {
		return spill.Record{}, fmt.Errorf("write a document: %w", err)
	}
	var facts fhir.Facts
	if err := fhir.Inspect(line, &facts); err != nil {
		return spill.Record{}, fmt.Errorf("read a document: %w", err)
	}
	var rec spill.Record
	record(nil, line, &facts, &rec)
	return rec, nil
}
