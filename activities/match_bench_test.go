package activities

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"pdexbulk/dev/seed"
	"pdexbulk/models"
)

// BenchmarkMatchRequest answers one request for as many people as -benchtime says, of whom most are members, and tells what matching
// them took and what publishing their Groups. Profiles of it show what costs.
//
//	go test ./activities -run - -bench MatchRequest -benchtime 20000x
func BenchmarkMatchRequest(b *testing.B) {
	t := setup(b)
	t.clock.Store(time.Now().UnixMilli())
	about := seed.Options{Seed: 29, Members: b.N, Anchor: t.now().Truncate(24 * time.Hour)}
	var roster, request bytes.Buffer
	require.NoError(b, seed.Trial(about, seed.TrialOptions{}, func(m seed.TrialMember) error {
		roster.Write(append(bytes.Clone(m.Patient), '\n'))
		roster.Write(m.Coverages)
		return nil
	}, nil))
	t.loadText(roster.String(), models.ImportLive)
	_, err := seed.WriteRequest(&request, io.Discard, about, seed.RequestOptions{Seed: 3, Members: b.N})
	require.NoError(b, err)
	id, _ := t.submit(500, asksOf(b, request.Bytes()))
	cut, err := t.Store.Slices(b.Context(), id)
	require.NoError(b, err)
	roster, request = bytes.Buffer{}, bytes.Buffer{}

	b.ResetTimer()
	began, before := time.Now(), t.used()
	var group errgroup.Group
	group.SetLimit(4) // as the default of PDEX_RUN_PARALLEL
	for _, s := range cut {
		group.Go(func() error {
			_, err := run(b, t.MatchSlice, SliceInput{id, s.Slice})
			return err
		})
	}
	require.NoError(b, group.Wait())
	b.ReportMetric(time.Since(began).Seconds(), "matching-s")
	b.ReportMetric((t.used() - before).Seconds(), "matching-cpu-s")
	began, before = time.Now(), t.used()
	must[Published](b, t.PublishMatch, id)
	b.ReportMetric(time.Since(began).Seconds(), "publishing-s")
	b.ReportMetric((t.used() - before).Seconds(), "publishing-cpu-s")
}
