package attribution

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/recheck"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// CardHolders returns who has each of the numbers on a card, in their order: one member, a family, or nobody. More than
// store.MaxCrowd have none in common.
func CardHolders(ctx context.Context, s *store.Store, numbers ...string) ([][]uuid.UUID, error) {
	asked := make([]match.Person, len(numbers))
	probes := make([]store.Probe, len(numbers))
	for i, number := range numbers {
		asked[i] = match.ByCard(number)
		probes[i] = store.Probe{N: int32(i), Keys: asked[i].Keys()}
	}
	found, err := s.Candidates(ctx, probes)
	if err != nil {
		return nil, err
	}
	out := make([][]uuid.UUID, len(numbers))
	for _, c := range found {
		parts := make([]match.Person, len(c.Parts))
		for i, record := range c.Parts { // keys are hashes; the records say what is on the cards
			if parts[i], err = match.ParseRecord(record); err != nil {
				return nil, err
			}
		}
		for _, n := range c.Probes {
			if slices.ContainsFunc(parts, func(p match.Person) bool { return p.HasCard(asked[n]) }) {
				out[n] = append(out[n], c.Member)
			}
		}
	}
	return out, nil
}

// ProviderNPI returns the NPI of a Practitioner, PractitionerRole or Organization that is held, given as Type/id, and "" when none is
// held or it has not exactly one.
func ProviderNPI(ctx context.Context, s *store.Store, ref string, at time.Time) (npi string, err error) {
	err = s.InSnapshot(ctx, at, func(view *store.Snapshot) error {
		for range 2 { // a role may name its practitioner
			npis, via, err := providerNPIs(view, ref)
			if err != nil {
				return err
			}
			slices.Sort(npis)
			if npis = slices.Compact(npis); len(npis) == 1 {
				npi = npis[0]
			}
			if len(npis) > 0 || via == "" {
				return nil
			}
			ref = via
		}
		return nil
	})
	return npi, err
}

func providerNPIs(view *store.Snapshot, ref string) (npis []string, via string, err error) {
	typ, id, ok := fhir.Literal(ref)
	if !ok || typ != fhir.TypePractitioner && typ != fhir.TypePractitionerRole && typ != fhir.TypeOrganization {
		return nil, "", nil
	}
	var raw []byte
	err = view.Shared([]uuid.UUID{models.SharedID(fhir.TypeName(typ), id)}, func(row *store.Row) error {
		if row.Type != typ || row.Class&(models.ClassViews|models.ClassSensitive) != 0 {
			return nil
		}
		sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
		if raw, err = segment.InflateSum(raw[:0], row.Data, sum); err != nil {
			return err
		}
		for line := range bytes.Lines(raw) {
			var f fhir.Facts
			if err := fhir.Inspect(bytes.TrimSuffix(line, []byte("\n")), &f); err != nil {
				return err
			}
			if string(f.ID) == id {
				npis, via = fhir.ProviderNPIs(line)
			}
		}
		return nil
	})
	return npis, via, err
}

// Admission says whether a provider may put a member on their list.
type Admission struct {
	// KnownProvider is false when the directory does not have the provider as active and as of the list's organisation.
	KnownProvider bool
	// Admitted is false when the member has opted out, or is not treated by the provider as far as the treatment relationship list
	// knows. Nobody is told which of the two.
	Admitted bool
}

// Admit decides whether a provider may put a member on their list, with what is stored when it is asked. The member may be one who does
// not exist: the same is asked of the database.
func Admit(ctx context.Context, s *store.Store, listID string, a models.Attribution, at time.Time) (Admission, error) {
	claim, err := s.Claim(ctx, listID, []uuid.UUID{a.Member}, a.NPI)
	if err != nil {
		return Admission{}, err
	}
	terms := recheck.ListTerms(&claim)
	own := slices.ContainsFunc(terms.Organizations, func(id string) bool { return models.CanonicalID(id) == a.NPI })
	known := terms.Employs(a.NPI) || own && claim.Directory[a.NPI].Active
	a.Asked, a.Start, a.End = true, at, nil // whether it stands today does not matter
	d := consent.DecideListed(terms, consent.ListedInput{
		At: at, Attributions: append(claim.Attributions[a.Member], a), OptOuts: claim.OptOuts[a.Member], Relationships: claim.Relationships[a.Member],
	})
	return Admission{KnownProvider: known, Admitted: known && !d.Hidden && d.Stands[len(d.Stands)-1]}, nil
}
