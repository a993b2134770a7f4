package recheck_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/recheck"
	"pdexbulk/models/store"
)

var (
	noon   = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	member = models.MemberID("m")
)

const doctor = "1982947230"

func at(hours int) *time.Time { return new(noon.Add(time.Duration(hours) * time.Hour)) }

var (
	drawnTerms = rapid.Custom(func(t *rapid.T) store.Terms {
		return store.Terms{
			Named: []string{doctor}, Vouched: []string{doctor}, Purposes: []string{"TREAT"},
			Lines: rapid.SampledFrom([][]string{nil, {"open"}, {"strict"}, {"open", "strict"}}).Draw(t, "lines"),
			End:   rapid.SampledFrom([]*time.Time{nil, at(-1), at(0), at(1)}).Draw(t, "end"),
		}
	})
	drawnOptOut = rapid.Custom(func(t *rapid.T) models.OptOut {
		return models.OptOut{
			Member: member, Scope: models.OptOutGlobal, Start: *rapid.SampledFrom([]*time.Time{at(-2), at(0), at(1)}).Draw(t, "start"),
			End: rapid.SampledFrom([]*time.Time{nil, at(0), at(2)}).Draw(t, "optOutEnd"),
		}
	})
	drawnClaim = rapid.Custom(func(t *rapid.T) store.Claim {
		c := store.Claim{
			Asker: store.Asker{Organizations: []string{"urn:x|clinic"}, Holder: []string{"urn:x|us"}},
			Lines: []models.LineOfBusiness{
				{Code: "open", Treatment: models.TreatmentByAttestation}, {Code: "strict", Treatment: models.TreatmentByBoth},
			},
			Terms:     map[uuid.UUID][]store.Terms{member: rapid.SliceOfN(drawnTerms, 0, 3).Draw(t, "terms")},
			OptOuts:   map[uuid.UUID][]models.OptOut{member: rapid.SliceOfN(drawnOptOut, 0, 2).Draw(t, "optOuts")},
			Directory: map[string]models.Provider{},
		}
		if rapid.Bool().Draw(t, "treated") {
			c.Relationships = map[uuid.UUID][]models.Relationship{member: {{Member: member, NPI: doctor, Type: models.RelationshipActive, Start: *at(-24)}}}
		}
		return c
	})
)

// TestNothingWidens: what is added to the terms or to the opt-outs of a member, or taken from their relationships, opens nobody;
// nor does their order, and an opt-out that stands closes everybody.
func TestNothingWidens(t *testing.T) {
	t.Parallel()
	opened := false
	rapid.Check(t, func(t *rapid.T) {
		c := drawnClaim.Draw(t, "claim")
		before := recheck.Stands(&c, member, noon)
		opened = opened || before
		require.False(t, recheck.Stands(&c, models.MemberID("another"), noon), "who has no terms")
		turned := c
		turned.Terms = map[uuid.UUID][]store.Terms{member: slices.Clone(c.Terms[member])}
		slices.Reverse(turned.Terms[member])
		require.Equal(t, before, recheck.Stands(&turned, member, noon))

		less := c
		switch rapid.IntRange(0, 2).Draw(t, "less") {
		case 0:
			if len(c.Terms[member]) == 0 {
				return // the first terms are what opens
			}
			less.Terms = map[uuid.UUID][]store.Terms{member: append(slices.Clone(c.Terms[member]), drawnTerms.Draw(t, "more"))}
		case 1:
			less.OptOuts = map[uuid.UUID][]models.OptOut{member: append(slices.Clone(c.OptOuts[member]), drawnOptOut.Draw(t, "more"))}
		case 2:
			less.Relationships = nil
		}
		if recheck.Stands(&less, member, noon) {
			require.True(t, before)
		}
		less.OptOuts = map[uuid.UUID][]models.OptOut{member: append(slices.Clone(c.OptOuts[member]), models.OptOut{Scope: models.OptOutGlobal, Start: *at(-1)})}
		require.False(t, recheck.Stands(&less, member, noon))
	})
	require.True(t, opened, "no claim that was drawn stands")
}

func TestMembersOfGroups(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	decide := func(g store.Group) (out []recheck.Access, err error) {
		t.Helper()
		entries := []store.RosterEntry{{Member: member}, {Member: models.MemberID("n")}}
		err = s.InSnapshot(t.Context(), noon, func(view *store.Snapshot) (err error) {
			out, err = recheck.Members(view, &g, entries, consent.Tagged, noon)
			return err
		})
		return out, err
	}
	for _, profile := range []string{"", models.ATRGroupProfile, "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-member-no-match-group"} {
		out, err := decide(store.Group{ID: models.NewID(), Profile: profile})
		require.Equal(t, models.KindForbidden, models.KindOf(err), "a kind of Group that is not exported")
		require.Empty(t, out)
	}
	for _, profile := range []string{models.MatchGroupProfile, models.ProviderGroupProfile, models.AttributionGroupProfile} {
		for _, end := range []*time.Time{at(-1), at(0)} {
			out, err := decide(store.Group{ID: models.NewID(), Profile: profile, ExpiresAt: end})
			require.NoError(t, err)
			require.Equal(t, []recheck.Access{{Withheld: true}, {Withheld: true}}, out, "the Group is over")
		}
		_, err := decide(store.Group{ID: models.NewID(), Profile: profile, ExpiresAt: at(1)})
		require.Error(t, err, "a Group nothing is known of opens nothing")
	}
}
