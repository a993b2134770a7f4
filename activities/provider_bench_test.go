package activities

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// BenchmarkLoad loads as many rows as -benchtime says, of members of whom there are a fifth as many:
//
//	go test ./activities -run - -bench Load/opt-outs -benchtime 1000000x
//	go test ./activities -run - -bench Load/relationships -benchtime 5000000x
func BenchmarkLoad(b *testing.B) {
	for _, kind := range []models.ListKind{models.ListOptOuts, models.ListRelationships} {
		b.Run(string(kind), func(b *testing.B) {
			t := setup(b)
			members := b.N/5 + 1
			_, err := t.Store.Pool.CopyFrom(b.Context(), pgx.Identifier{"members"}, []string{"id", "patient_id", "present", "updated_at"},
				pgx.CopyFromSlice(members, func(i int) ([]any, error) {
					patient := fmt.Sprintf("p-%d", i)
					return []any{models.MemberID(patient), patient, true, noon}, nil
				}))
			require.NoError(b, err)
			source := filepath.Join(t.root, "rows.csv")
			f, err := os.Create(source)
			require.NoError(b, err)
			_, err = io.WriteString(f, map[models.ListKind]string{
				models.ListOptOuts: "patient,scope,target,reason,start\n", models.ListRelationships: "patient,npi,type,start,end\n",
			}[kind])
			require.NoError(b, err)
			npis := []string{doctorNPI, clinicNPI, "1679576722", "1245319599", "1003000126"}
			for i := range b.N {
				patient, n := i%members, i/members%5
				if kind == models.ListOptOuts {
					_, err = fmt.Fprintf(f, "p-%d,provider-specific,%s,member-choice,2026-01-01\n", patient, npis[n])
				} else {
					_, err = fmt.Fprintf(f, "p-%d,%s,active,2026-01-01,2027-06-30\n", patient, npis[n])
				}
				require.NoError(b, err)
			}
			require.NoError(b, f.Close())
			l := &models.ListImport{
				ID: models.NewID(), Kind: kind, Source: source, Format: models.ListCSV, State: models.StateAccepted, CreatedBy: "bench", CreatedAt: noon,
			}
			require.NoError(b, t.Store.CreateListImport(b.Context(), l))
			stop, peak := make(chan struct{}), make(chan uint64)
			runtime.GC()
			go func() {
				most, tick := uint64(0), time.NewTicker(100*time.Millisecond)
				defer tick.Stop()
				var m runtime.MemStats
				for {
					select {
					case <-stop:
						peak <- most
						return
					case <-tick.C:
						runtime.ReadMemStats(&m)
						most = max(most, m.HeapInuse)
					}
				}
			}()
			b.ResetTimer()
			counts := must[models.ListCounts](b, t.LoadList, l.ID)
			b.StopTimer()
			close(stop)
			require.EqualValues(b, b.N, counts.Added)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(<-peak)/(1<<20), "peak-heap-MB")
		})
	}
}

// BenchmarkOptedOutLikeUnknown matches -benchtime people who opted out and as many whom nobody knows, in turn, each in a slice of
// their own, and tells how far apart the times are: the difference of the means in standard deviations (Cohen's d) and in a rank test's terms (how
// often one who opted out takes longer).
//
//	go test ./activities -run - -bench OptedOutLikeUnknown -benchtime 2000x
func BenchmarkOptedOutLikeUnknown(b *testing.B) {
	t := setup(b)
	t.members(20)
	t.practice(models.TreatmentByBoth, true)
	for i := range 20 {
		t.relate(fmt.Sprintf("our-%d", i))
		t.optOut(fmt.Sprintf("our-%d", i), models.OptOutGlobal, "")
	}
	var text strings.Builder
	var cut []store.Slice
	for i := range 2 * b.N {
		a := treated(i / 2 % 20)
		if i%2 == 1 {
			a.patient = strings.Replace(a.patient, "Family", "Nobody", 1)
			a.coverage = strings.Replace(a.coverage, "W12345", "X54321", 1)
		}
		line, err := json.Marshal(match.Submission{Patient: json.RawMessage(a.patient), Coverage: json.RawMessage(a.coverage), Consent: json.RawMessage(a.consent)})
		require.NoError(b, err)
		cut = append(cut, store.Slice{Slice: i, First: i, Members: 1, Offset: int64(text.Len()), Length: int64(len(line) + 1)})
		text.Write(append(line, '\n'))
	}
	params := models.MatchParams{Members: 2 * b.N, GroupID: models.NewID(), Organizations: []string{clinicNPI}, NPI: doctorNPI, BlobKey: "matches/bench." + uuid.NewString()}
	w, err := t.Files.Create(b.Context(), params.BlobKey)
	require.NoError(b, err)
	_, err = io.WriteString(w, text.String())
	require.NoError(b, err)
	require.NoError(b, w.Commit())
	job := t.newJob(models.OpProviderMemberMatch, params)
	_, _, err = t.Store.CreateMatch(b.Context(), job, cut, 0)
	require.NoError(b, err)
	must[MatchPlan](b, t.PrepareMatch, job.ID)
	took := [2][]float64{}
	b.ResetTimer()
	for i := range cut {
		people, err := t.submissions(b.Context(), params, cut[i])
		require.NoError(b, err)
		begin := time.Now()
		require.NoError(b, t.decide(b.Context(), job, params, people))
		took[i%2] = append(took[i%2], float64(time.Since(begin).Microseconds()))
		require.Equal(b, store.OutcomeNoMatch, people[0].outcome.Outcome)
		require.Equal(b, i%2 == 0, people[0].outcome.Reason == "opt-out-global")
	}
	b.StopTimer()
	known, unknown := spread(took[0]), spread(took[1])
	d := (known.mean - unknown.mean) / math.Sqrt((known.variance+unknown.variance)/2)
	b.ReportMetric(known.median, "µs-opted-out")
	b.ReportMetric(unknown.median, "µs-unknown")
	b.ReportMetric(d, "cohens-d")
	b.ReportMetric(100*longer(took[0], took[1]), "%-longer")
}

type distribution struct{ mean, median, variance float64 }

func spread(values []float64) (s distribution) {
	for _, v := range values {
		s.mean += v / float64(len(values))
	}
	for _, v := range values {
		s.variance += (v - s.mean) * (v - s.mean) / float64(max(len(values)-1, 1))
	}
	sorted := slices.Sorted(slices.Values(values))
	s.median = sorted[len(sorted)/2]
	return s
}

// longer is how often a value of one list is larger than one of the other, ties counted half.
func longer(a, b []float64) float64 {
	other := slices.Sorted(slices.Values(b))
	n := 0.0
	for _, v := range a {
		lo, _ := slices.BinarySearch(other, v)
		hi, _ := slices.BinarySearch(other, v+0.5)
		n += float64(lo) + float64(hi-lo)/2
	}
	return n / float64(len(a)) / float64(len(b))
}
