package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

// part is a part of a member that is found by some keys.
func part(patient string, source uint64, keys ...int64) store.MemberPart {
	return store.MemberPart{
		MemberSource: store.MemberSource{Member: models.MemberID(patient), Hash: source}, Record: fmt.Appendf(nil, "%s%d", patient, source), Keys: keys,
	}
}

// merged writes a change of the member index.
func merged(t testing.TB, s *store.Store, m *store.Merge) {
	t.Helper()
	m.At = noon
	require.NoError(t, s.MergeMembers(t.Context(), []uuid.UUID{models.MemberID("a")}, noon, func(*store.MergeTx) (*store.Merge, error) { return m, nil }, nil))
}

// found lists who comes for probes as "patient probes records".
func found(t testing.TB, s *store.Store, probes ...store.Probe) []string {
	t.Helper()
	rows, err := s.Candidates(t.Context(), probes)
	require.NoError(t, err)
	var got []string
	for _, r := range rows {
		var parts []string
		for _, p := range r.Parts {
			parts = append(parts, string(p))
		}
		slices.Sort(parts)
		slices.Sort(r.Probes)
		got = append(got, fmt.Sprintf("%v %s", r.Probes, strings.Join(parts, " ")))
	}
	slices.Sort(got)
	return got
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	s := open(t)
	m := &store.Merge{Members: map[uuid.UUID]string{}, Present: map[uuid.UUID]bool{}}
	for _, patient := range []string{"a", "b", "absent"} {
		id := models.MemberID(patient)
		m.Members[id], m.Present[id] = patient, patient != "absent"
	}
	m.Parts = []store.MemberPart{part("a", 1, 10, 11, -12), part("a", 2, 10), part("b", 1, 10, 20), part("absent", 1, 10, 20), part("b", 3)}
	merged(t, s, m)
	require.Equal(t, []string{"[0] a1 a2", "[0] b1 b3"}, found(t, s, store.Probe{Keys: []int64{10}}))
	require.Equal(t, []string{"[0 7] a1 a2"}, found(t, s, store.Probe{Keys: []int64{-12, 11}}, store.Probe{N: 7, Keys: []int64{99, 11}}), "each once, with the probes it is for")
	require.Equal(t, []string{"[3] b1 b3"}, found(t, s, store.Probe{N: 3, Keys: []int64{20}}), "nobody whose Patient is not held")
	require.Empty(t, found(t, s, store.Probe{Keys: []int64{99}}, store.Probe{}))
	require.Empty(t, found(t, s))

	merged(t, s, &store.Merge{Sources: []store.MemberSource{{Member: models.MemberID("a"), Hash: 1}}, Parts: []store.MemberPart{part("a", 1, 30)}})
	require.Empty(t, found(t, s, store.Probe{Keys: []int64{11, -12}}), "the keys go with the part they were of")
	require.Equal(t, []string{"[0] a1 a2"}, found(t, s, store.Probe{Keys: []int64{30}}))
	require.Equal(t, []string{"[0] a1 a2", "[0] b1 b3"}, found(t, s, store.Probe{Keys: []int64{10}}), "another part has the key still")

	merged(t, s, &store.Merge{Rebuilt: []uuid.UUID{models.MemberID("a")}, Parts: []store.MemberPart{part("a", 9, 40)}})
	require.Equal(t, []string{"[0] b1 b3"}, found(t, s, store.Probe{Keys: []int64{10, 30}}))
	require.Equal(t, []string{"[0] a9"}, found(t, s, store.Probe{Keys: []int64{40}}))
}

// TestCrowdsAreLeftOut asks with a key that too many have: it finds nobody, and the one with a key of their own is found all
// the same.
func TestCrowdsAreLeftOut(t *testing.T) {
	t.Parallel()
	s := open(t)
	var patients []string
	var parts []store.MemberPart
	for i := range store.MaxCrowd + 1 {
		p := fmt.Sprintf("p%d", i)
		patients, parts = append(patients, p), append(parts, part(p, 1, 5, int64(100+i)))
	}
	require.NoError(t, s.LoadParts(t.Context(), patients, parts, noon))
	require.Empty(t, found(t, s, store.Probe{Keys: []int64{5}}))
	require.Equal(t, []string{"[0] p71"}, found(t, s, store.Probe{Keys: []int64{5, 107}}))
	require.Len(t, found(t, s, store.Probe{Keys: []int64{107, 108}}), 2)
	var n int
	require.NoError(t, s.EachMember(t.Context(), func(_ uuid.UUID, parts [][]byte) error {
		n += len(parts)
		return nil
	}))
	require.Equal(t, store.MaxCrowd+1, n)
	members, err := s.CountMembers(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, store.MaxCrowd+1, members)
}

func TestStaleMembers(t *testing.T) {
	t.Parallel()
	s := open(t)
	contained := part("a", 1, 1)
	contained.Contained = true
	a, b := models.MemberID("a"), models.MemberID("b")
	merged(t, s, &store.Merge{Members: map[uuid.UUID]string{a: "a"}, Parts: []store.MemberPart{contained, part("b", 1, 1)}, Unsure: []uuid.UUID{a, b}})
	merged(t, s, &store.Merge{Unsure: []uuid.UUID{a, a, b}})
	for _, from := range []uuid.UUID{{}, uuid.Max} {
		ids, err := s.StaleMembers(t.Context(), from, 5)
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{a}, ids, "only who has something contained")
	}
	names, err := s.PatientIDs(t.Context(), []uuid.UUID{a, b})
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]string{a: "a", b: ""}, names)
	merged(t, s, &store.Merge{Rebuilt: []uuid.UUID{a}})
	ids, err := s.StaleMembers(t.Context(), uuid.Nil, 5)
	require.NoError(t, err)
	require.Empty(t, ids)
	require.Equal(t, 1, count(t, s, "member_keys"))
}

func TestMatchModels(t *testing.T) {
	t.Parallel()
	s := open(t)
	v, err := s.LatestModelVersion(t.Context())
	require.NoError(t, err)
	require.Zero(t, v)
	_, err = s.MatchModel(t.Context(), 1)
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	for want := int64(1); want <= 2; want++ {
		v, err := s.AddMatchModel(t.Context(), &store.MatchModel{TrainedAt: noon, Members: want, Pairs: 3, Model: []byte(`{"x":1}`)})
		require.NoError(t, err)
		require.Equal(t, want, v)
	}
	m, err := s.MatchModel(t.Context(), 2)
	require.NoError(t, err)
	require.EqualValues(t, 2, m.Members)
	require.JSONEq(t, `{"x":1}`, string(m.Model))
}
