package quality

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/activities"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// TestSameAsPostgres asks the same of the index in memory and of the one in Postgres, filled as an import fills it.
func TestSameAsPostgres(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(db.Close)
	to := seed.TrialOptions{Seed: 9, Queries: 1500}
	s, err := seeded("small", seed.Options{Seed: 11, Members: 1500}, to)
	require.NoError(t, err)
	s.prepare()
	var patients []string
	var parts []store.MemberPart
	err = seed.Trial(seed.Options{Seed: 11, Members: 1500, Anchor: anchor}, to, func(m seed.TrialMember) error {
		resources := [][]byte{m.Patient}
		for line := range bytes.Lines(m.Coverages) {
			resources = append(resources, bytes.Clone(line))
		}
		patients, parts = append(patients, m.ID), append(parts, activities.IndexParts(m.ID, resources...)...)
		return nil
	}, func(seed.TrialQuery) error { return nil })
	require.NoError(t, err)
	require.NoError(t, db.LoadParts(t.Context(), patients, parts, anchor))

	people := make([]match.Person, len(s.queries))
	for i := range s.queries {
		people[i] = match.FromPatient(s.queries[i].patient)
		if i%3 > 0 {
			people[i].AddCards([]fhir.Card{s.queries[i].card})
		}
	}
	got, err := activities.FindMembers(t.Context(), db, s.model, people)
	require.NoError(t, err)
	matched := 0
	for i := range people {
		want := s.model.Decide(people[i], s.candidates(&people[i]))
		require.Equal(t, want.Reason, got[i].Reason, "%s", s.queries[i].kind)
		require.Equal(t, want.Candidates, got[i].Candidates)
		if want.Matched {
			matched++
			require.Equal(t, models.MemberID(s.ids[indexOf(want.Member)]), got[i].Member)
		}
	}
	require.Greater(t, matched, 1000)
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	sound, err := Run(Options{Data: "../../../shared/data/matching-dev", Members: 2000, Queries: 2000, Families: 3, Out: &out})
	require.NoError(t, err)
	require.True(t, sound, "somebody was taken for somebody else:\n%s", out.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Regexp(t, `^match-quality: wrong=0 recall-card=0\.9\d* recall-nocard=0\.\d* queries=\d+$`, lines[len(lines)-1])
}

// TestWrongAnswersAreSeen asks rules that take relatives for each other, so that the table is known to tell.
func TestWrongAnswersAreSeen(t *testing.T) {
	t.Parallel()
	s, err := seeded("families", seed.Options{Seed: 11, Members: 5000}, seed.TrialOptions{Seed: 4, Queries: 5000, Hard: true})
	require.NoError(t, err)
	wrong := map[string]int{}
	for _, r := range rivals {
		wrong[r.name] = s.runRival(r, true).wrong
	}
	require.Positive(t, wrong["Smile CDR, default"])
	require.Positive(t, wrong["PDex reference implementation"])
	printTable(io.Discard, "", nil)
	// With the truth of another, every answer is wrong.
	s.prepare()
	for i := range s.queries {
		s.queries[i].truth, s.queries[i].optional = "nobody", false
	}
	all := total(s.run(true))
	require.Positive(t, all.wrong)
	require.Zero(t, all.found)
}
