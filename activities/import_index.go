package activities

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// indexer makes the parts of the member index of resources.
type indexer struct {
	member   uuid.UUID // whose claims were looked at last
	coverage string    // the Coverage contained in the last of them
}

// add hands on what a resource says of the member whose it is.
func (x *indexer) add(source store.MemberSource, typ int16, body []byte, patient string, fn func(store.MemberPart)) {
	switch typ {
	case fhir.TypePatient:
		who, err := fhir.ParsePatient(body)
		if err != nil {
			return // a Patient of odd shape is kept and exported, but nobody can be matched to it
		}
		p := match.FromPatient(who)
		addPerson(source, false, &p, fn)
	case fhir.TypeCoverage:
		addCoverage(source, false, body, patient, fn)
	case fhir.TypeExplanationOfBenefit:
		x.addContained(source.Member, body, patient, fn)
	}
}

func addPerson(source store.MemberSource, contained bool, p *match.Person, fn func(store.MemberPart)) {
	if !p.IsZero() {
		fn(store.MemberPart{MemberSource: source, Contained: contained, Record: p.Record(), Keys: p.Keys()})
	}
}

// addCoverage hands on what a Coverage says of which the member is the beneficiary.
func addCoverage(source store.MemberSource, contained bool, coverage []byte, patient string, fn func(store.MemberPart)) {
	cards, err := fhir.ParseCards(coverage)
	if err != nil || len(cards) != 1 {
		return
	}
	// One that is contained and names nobody is about the patient of what contains it.
	if who := cards[0].Beneficiary; who != patient && (who != "" || !contained) {
		return
	}
	var p match.Person
	p.AddCards(cards)
	addPerson(source, contained, &p, fn)
}

// addContained hands on the Coverages contained in an ExplanationOfBenefit. A member's claims mostly contain the same one,
// which is looked at once for a run of them; as a source it goes by its content, since its id is the claim's own.
func (x *indexer) addContained(member uuid.UUID, body []byte, patient string, fn func(store.MemberPart)) {
	if !bytes.Contains(body, []byte(`"contained"`)) {
		return
	}
	gjson.GetBytes(body, "contained").ForEach(func(_, resource gjson.Result) bool {
		if resource.Get("resourceType").Str != "Coverage" || member == x.member && resource.Raw == x.coverage {
			return true
		}
		x.member, x.coverage = member, resource.Raw
		addCoverage(store.MemberSource{Member: member, Hash: segment.IDHash("contained", resource.Raw)}, true, []byte(resource.Raw), patient, fn)
		return true
	})
}

// IndexParts returns the parts of the member index that a Patient and its Coverages make, each a line of JSON.
func IndexParts(patient string, resources ...[]byte) []store.MemberPart {
	var out []store.MemberPart
	x := indexer{}
	for _, body := range resources {
		typ, ok := fhir.TypeCode(fhir.ResourceTypeOf(body))
		id := gjson.GetBytes(body, "id").Str
		if !ok || id == "" {
			continue
		}
		source := store.MemberSource{Member: models.MemberID(patient), Hash: segment.IDHash(fhir.TypeName(typ), id)}
		x.add(source, typ, body, patient, func(p store.MemberPart) { out = append(out, p) })
	}
	return out
}

// refreshAtATime is how many members one transaction makes the index of again: their claims are in memory meanwhile.
const refreshAtATime = 50

// refreshIndex makes the member index of stale members again, of their resources as they are held. Several may do so at once:
// each begins somewhere else.
func (a *Activities) refreshIndex(ctx context.Context) error {
	for {
		ids, err := a.Store.StaleMembers(ctx, uuid.New(), refreshAtATime)
		if err != nil || len(ids) == 0 {
			return err
		}
		patients, err := a.Store.PatientIDs(ctx, ids)
		if err != nil {
			return err
		}
		if err := a.Store.MergeMembers(ctx, ids, a.now(), func(view *store.MergeTx) (*store.Merge, error) { return rebuild(view, patients) }, nil); err != nil {
			return err
		}
		activity.RecordHeartbeat(ctx, len(ids))
	}
}

// rebuild makes the parts of members, given with their Patients' ids, of their Patients, Coverages and
// ExplanationsOfBenefit.
func rebuild(view *store.MergeTx, patients map[uuid.UUID]string) (*store.Merge, error) {
	out := &store.Merge{Rebuilt: slices.Collect(maps.Keys(patients))}
	var keys []store.SegmentKey
	var lines [][]segment.Line
	for _, l := range view.Lines {
		if !l.Open || !models.IsMember(l.Member) || l.Type != fhir.TypePatient && l.Type != fhir.TypeCoverage && l.Type != fhir.TypeExplanationOfBenefit {
			continue
		}
		decoded, err := segment.DecodeIndex(l.Entries)
		if err != nil {
			return nil, err
		}
		keys, lines = append(keys, l.SegmentKey), append(lines, decoded)
	}
	data, err := view.Data(keys)
	if err != nil {
		return nil, err
	}
	seen := map[store.MemberSource]bool{}
	x := indexer{}
	for i, key := range keys {
		size := 0
		for _, l := range lines[i] {
			size += int(l.Length)
		}
		raw, err := segment.Inflate(nil, data[i], size)
		if err != nil {
			return nil, err
		}
		for _, l := range lines[i] {
			source := store.MemberSource{Member: key.Member, Hash: segment.IDHash(fhir.TypeName(key.Type), l.ID)}
			x.add(source, key.Type, bytes.TrimSpace(raw[l.Offset:l.Offset+l.Length]), patients[key.Member], func(p store.MemberPart) {
				if !seen[p.MemberSource] {
					seen[p.MemberSource] = true
					out.Parts = append(out.Parts, p)
				}
			})
		}
	}
	slices.SortFunc(out.Parts, func(a, b store.MemberPart) int { return slices.Compare(a.Member[:], b.Member[:]) })
	return out, nil
}
