package activities

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/seed"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// enrol fills the member index with invented people.
func (b *bundle) enrol(members int) {
	b.t.Helper()
	var patients []string
	var parts []store.MemberPart
	o := seed.Options{Seed: 5, Members: members, Anchor: time.Date(2026, 6, 30, 0, 0, 0, 0, time.UTC)}
	err := seed.Trial(o, seed.TrialOptions{}, func(m seed.TrialMember) error {
		resources := [][]byte{m.Patient}
		for line := range bytes.Lines(m.Coverages) {
			resources = append(resources, bytes.Clone(line))
		}
		patients, parts = append(patients, m.ID), append(parts, IndexParts(m.ID, resources...)...)
		return nil
	}, nil)
	require.NoError(b.t, err)
	require.NoError(b.t, b.Store.LoadParts(b.t.Context(), patients, parts, noon))
}

func TestTrainMatcher(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Zero(t, must[Trained](t, b.TrainMatcher, TrainInput{Always: true}).Version, "nothing can be learned of nobody")
	b.enrol(3000)
	first := must[Trained](t, b.TrainMatcher, TrainInput{})
	require.EqualValues(t, 1, first.Version)
	require.EqualValues(t, 3000, first.Members)
	require.Greater(t, first.Pairs, 1000)
	require.EqualValues(t, 1, must[Trained](t, b.TrainMatcher, TrainInput{}).Version, "the roster is as it was")
	require.EqualValues(t, 2, must[Trained](t, b.TrainMatcher, TrainInput{Always: true}).Version)

	learned, err := b.model(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, learned.Version)
	require.EqualValues(t, 3000, learned.Members)
	builtIn := match.Default()
	require.NotEqual(t, builtIn.Other, learned.Other)
	require.NotEqual(t, builtIn.Same, learned.Same)
	for f := range builtIn.Same {
		for l, rate := range builtIn.Same[f] {
			require.InEpsilon(t, 1+rate, 1+learned.Same[f][l], 2, "a rate stays near the built-in one")
		}
	}
	require.NotEmpty(t, learned.Families)

	_, err = b.Store.Pool.Exec(t.Context(), "DELETE FROM members WHERE patient_id < '3'")
	require.NoError(t, err)
	require.EqualValues(t, 3, must[Trained](t, b.TrainMatcher, TrainInput{}).Version, "the roster has shrunk")
}
