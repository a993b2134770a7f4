package store_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

func withList(t *testing.T, s *store.Store, status models.AttributionStatus) models.AttributionList {
	t.Helper()
	_, err := s.UpsertClient(t.Context(), models.Client{
		ID: "clinic", Name: "clinic", Kind: models.ClientProvider, Organization: "Clinic", OrganizationIDs: []string{"urn:x|clinic"},
		Scopes: []string{"system/*.rs"}, JWKSURL: "https://clinic.example/keys", Active: true,
	})
	require.NoError(t, err)
	l, created, err := s.PutAttributionList(t.Context(), models.AttributionList{ID: models.NewID(), ClientID: "clinic", Status: status, Start: noon}, []string{"urn:x|us"}, nil, nil)
	require.NoError(t, err)
	require.True(t, created)
	return l
}

// Whatever is done to a list, the members of the Group are those with an attribution that is not inactive, and they are counted right.
func TestListAndGroupAgree(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		status := rapid.SampledFrom([]models.AttributionStatus{models.AttributionDraft, models.AttributionOpen}).Draw(rt, "status")
		l := withList(t, s, status)
		model := map[string]models.Attribution{}
		key := func(a models.Attribution) string { return a.Member.String() + a.NPI + "/" + a.Coverage }
		draw := func() models.Attribution {
			a := models.Attribution{
				Member: models.MemberID(fmt.Sprint("m", rapid.IntRange(0, 3).Draw(rt, "member"))), NPI: rapid.SampledFrom([]string{"", "1234567893", "1982947230"}).Draw(rt, "npi"),
				Coverage: rapid.SampledFrom([]string{"", "c"}).Draw(rt, "coverage"), Start: noon, Inactive: rapid.Bool().Draw(rt, "inactive"),
			}
			if rapid.Bool().Draw(rt, "ends") {
				a.End = new(noon.Add(time.Hour))
			}
			return a
		}
		several := func() []models.Attribution {
			some := map[string]models.Attribution{}
			for range rapid.IntRange(0, 4).Draw(rt, "how many") {
				a := draw()
				some[key(a)] = a
			}
			return slices.Collect(maps.Values(some))
		}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			before := l.Version
			changed := true
			switch rapid.IntRange(0, 2).Draw(rt, "step") {
			case 0:
				list := several()
				clear(model)
				for _, a := range list {
					model[key(a)] = a
				}
				_, _, err := s.PutAttributionList(ctx, l, nil, &list, nil)
				require.NoError(rt, err)
			case 1:
				list := several()
				for _, a := range list {
					model[key(a)] = a
				}
				changed = len(list) > 0
				_, err := s.AddAttributions(ctx, l.ID, list)
				require.NoError(rt, err)
			case 2:
				a := draw()
				want := int64(0)
				for k, held := range model {
					if held.Member != a.Member || held.NPI != a.NPI || a.Coverage != "" && held.Coverage != a.Coverage || status == models.AttributionDraft && held.Inactive {
						continue
					}
					want++
					held.Inactive = true
					model[k] = held
					if status == models.AttributionOpen {
						delete(model, k)
					}
				}
				n, err := s.RemoveAttributions(ctx, l.ID, store.Attributed{Member: a.Member, NPIs: []string{a.NPI}, Coverage: a.Coverage})
				require.NoError(rt, err)
				require.Equal(rt, want, n)
				changed = n > 0
			}
			want := map[uuid.UUID]time.Time{}
			for _, a := range model {
				end := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
				if a.End != nil {
					end = *a.End
				}
				if !a.Inactive && end.After(want[a.Member]) {
					want[a.Member] = end
				}
			}
			rows, err := s.Pool.Query(ctx, `SELECT member_id, consent_end FROM group_members WHERE group_id = $1`, l.ID)
			require.NoError(rt, err)
			got := map[uuid.UUID]time.Time{}
			for rows.Next() {
				var m uuid.UUID
				var end time.Time
				require.NoError(rt, rows.Scan(&m, &end))
				got[m] = end.UTC()
			}
			require.NoError(rt, rows.Err())
			require.Equal(rt, want, got)
			l, err = s.AttributionList(ctx, l.ID)
			require.NoError(rt, err)
			require.EqualValues(rt, len(want), l.Members)
			require.Equal(rt, changed, l.Version > before, "a change is a new version, and nothing else is")
		}
	})
}

// Those who change a list at once do not lose each other's changes.
func TestListIsChangedByMany(t *testing.T) {
	t.Parallel()
	s := open(t)
	l := withList(t, s, models.AttributionOpen)
	const many = 12
	var wg sync.WaitGroup
	errs := make([]error, many)
	for i := range many {
		wg.Go(func() {
			_, errs[i] = s.AskAttribution(t.Context(), l.ID, models.Attribution{Member: models.MemberID(fmt.Sprint("m", i)), NPI: "1234567893", Start: noon}, noon)
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	after, err := s.AttributionList(t.Context(), l.ID)
	require.NoError(t, err)
	require.EqualValues(t, many, after.Members)
	require.Equal(t, l.Version+many, after.Version)
}

func TestAskedIsNotWhatThePlanSays(t *testing.T) {
	t.Parallel()
	s := open(t)
	l := withList(t, s, models.AttributionOpen)
	m := models.MemberID("m")
	of := func() []models.Attribution {
		c, err := s.Claim(t.Context(), l.ID, []uuid.UUID{m})
		require.NoError(t, err)
		return c.Attributions[m]
	}
	plan := models.Attribution{Member: m, NPI: "1234567893", Coverage: "c", Start: noon, End: new(noon.Add(time.Hour))}
	_, err := s.AddAttributions(t.Context(), l.ID, []models.Attribution{plan})
	require.NoError(t, err)
	ask := models.Attribution{Member: m, NPI: "1234567893", Start: noon, End: new(noon.AddDate(9, 0, 0))}
	changed, err := s.AskAttribution(t.Context(), l.ID, ask, noon.Add(time.Minute))
	require.NoError(t, err)
	require.False(t, changed, "what the plan says and what stands stays")
	require.Equal(t, plan.End.UTC(), of()[0].End.UTC())
	changed, err = s.AskAttribution(t.Context(), l.ID, ask, noon.Add(2*time.Hour))
	require.NoError(t, err)
	require.True(t, changed, "what is over is asked for anew")
	require.Len(t, of(), 1)
	require.True(t, of()[0].Asked, "and stands no longer by the plan's word")
	require.Equal(t, models.AttributionChanged, of()[0].Change)
}
