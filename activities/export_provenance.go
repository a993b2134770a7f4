package activities

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// provenanceKey is a Provenance of a member.
type provenanceKey struct {
	member uuid.UUID
	id     string
}

// readProvenance finds the newest Provenance of each target, for exports that ask for no other. It looks at what may leave
// alone, so that one which is withheld does not take an older one with it.
func (e *chunkExport) readProvenance(view *store.Snapshot, roster map[uuid.UUID]*access) error {
	if !e.params.LatestProvenance || e.chunk.Members == 0 || len(e.params.Types) > 0 && !slices.Contains(e.params.Types, fhir.TypeProvenance) {
		return nil
	}
	type of struct {
		member uuid.UUID
		target fhir.Target
	}
	type version struct {
		recorded, updated int64
		id                string
	}
	newest := map[of]version{}
	e.latest = map[provenanceKey]bool{}
	err := view.Segments(e.chunk, e.listed(roster), []int16{fhir.TypeProvenance}, store.Window{}, func(row *store.Row) error {
		who := roster[row.Member]
		if who == nil || e.terms.fate(row.Class, who) != release.Leave {
			return nil
		}
		var err error
		sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
		if e.raw, err = segment.InflateSum(e.raw[:0], row.Data, sum); err != nil {
			return err
		}
		for line := range bytes.Lines(e.raw) {
			p := fhir.ParseProvenance(line)
			values := gjson.GetManyBytes(line, "id", "meta.lastUpdated")
			v := version{recorded: p.Recorded, id: values[0].Str}
			if at, err := fhir.ParseInstant(values[1].Str); err == nil {
				v.updated = at.UnixMilli()
			}
			if len(p.Targets) == 0 { // nothing it could be older than
				e.latest[provenanceKey{row.Member, v.id}] = true
			}
			for _, t := range p.Targets {
				key := of{row.Member, t}
				if old, ok := newest[key]; !ok || cmp.Or(cmp.Compare(v.recorded, old.recorded), cmp.Compare(v.updated, old.updated), cmp.Compare(v.id, old.id)) > 0 {
					newest[key] = v
				}
			}
		}
		return nil
	})
	for key, v := range newest {
		e.latest[provenanceKey{key.member, v.id}] = true
	}
	return err
}

// isLatest reports whether a line may stay as far as readProvenance is concerned.
func (e *chunkExport) isLatest(row *store.Row, line []byte) bool {
	if e.latest == nil || row.Type != fhir.TypeProvenance || !models.IsMember(row.Member) {
		return true
	}
	return e.latest[provenanceKey{row.Member, gjson.GetBytes(line, "id").Str}]
}
