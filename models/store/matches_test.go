package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

func emptyDatabase(t *testing.T) string { return pgtest.New(t, nil) }

// newMatch records a match of n slices of two people each.
func newMatch(t *testing.T, s *store.Store, n int) *models.Job {
	t.Helper()
	job := newJob("client")
	job.Operation = models.OpBulkMemberMatch
	var cut []store.Slice
	for i := range n {
		cut = append(cut, store.Slice{Slice: i, First: 2 * i, Members: 2, Offset: int64(100 * i), Length: 100})
	}
	_, created, err := s.CreateMatch(t.Context(), job, cut, 0)
	require.NoError(t, err)
	require.True(t, created)
	started, err := s.StartJob(t.Context(), job.ID, "matching", noon)
	require.NoError(t, err)
	return started
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	s := open(t)
	job := newMatch(t, s, 3)
	exec(t, s, `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, 'p', true, now())`, models.MemberID("p"))
	early, late := noon.AddDate(0, 0, -1), noon.AddDate(1, 0, 0)
	var wg sync.WaitGroup
	for attempt := range 4 {
		for slice := range 3 {
			wg.Go(func() {
				outcomes := []store.Outcome{
					{Idx: int32(2 * slice), Outcome: store.OutcomeMatched, Reason: fmt.Sprint(attempt), Member: new(models.MemberID("p")), Policy: "regular", ConsentStart: &early, ConsentEnd: &late},
					{Idx: int32(2*slice + 1), Outcome: store.OutcomeNoMatch, Reason: fmt.Sprint(attempt)},
				}
				if err := s.SaveOutcomes(t.Context(), job.ID, slice, outcomes); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	var got []store.Outcome
	require.NoError(t, s.Outcomes(t.Context(), job.ID, 1, 4, func(o store.Outcome) error { got = append(got, o); return nil }))
	require.Len(t, got, 4)
	require.EqualValues(t, 1, got[0].Idx)
	require.Empty(t, got[0].PatientID)
	require.Equal(t, "p", got[1].PatientID)
	require.True(t, got[1].ConsentEnd.Equal(late))
	acc, err := s.CountOutcomes(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, models.Accounting{Members: 6, Matched: 3, Unmatched: 3}, acc)
	cut, err := s.Slices(t.Context(), job.ID)
	require.NoError(t, err)
	require.Len(t, cut, 3)
	require.True(t, cut[2].Done)
	require.EqualValues(t, 200, cut[2].Offset)

	// A Group takes a member that was matched three times once, under the narrowest of its consents.
	exec(t, s, `UPDATE match_outcomes SET policy = 'sensitive', consent_start = $1, consent_end = $2 WHERE idx = 0`, noon.AddDate(0, 0, -9), noon.AddDate(0, 1, 0))
	group := &store.Group{ID: models.NewID(), ClientID: "client", JobID: job.ID, Profile: "p", BlobKey: "k", Members: 3, CreatedAt: noon}
	done, err := s.CompleteJob(t.Context(), job.ID, nil, acc, noon, late, func(ctx context.Context, tx bun.Tx) error { return store.AddMatchedGroup(ctx, tx, group) })
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, 1, count(t, s, "group_members WHERE policy = 'regular' AND consent_start = $1 AND consent_end = $2", early, noon.AddDate(0, 1, 0)))
	read, err := s.OwnGroup(t.Context(), "client", group.ID)
	require.NoError(t, err)
	require.Equal(t, "k", read.BlobKey)
	for _, who := range [][2]string{{"another", group.ID}, {"client", models.NewID()}} {
		_, err = s.OwnGroup(t.Context(), who[0], who[1])
		require.Equal(t, models.KindNotFound, models.KindOf(err))
	}
}
