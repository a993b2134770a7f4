package activities

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// Members who opted out are told of as people nobody knows (PDex 2.2.0, 261a), and take as long. BenchmarkOptedOutTakesAsLong says more.
func TestOptedOutTakesAsLong(t *testing.T) {
	t.Parallel()
	requireAlike(t, likeUnknown(t, 300))
}

// BenchmarkOptedOutTakesAsLong tells how long -benchtime members who opted out take, and as many people whom nobody knows: the
// distributions, the difference of the means in standard deviations (Cohen's d), and how often one who opted out takes longer.
// It fails when they differ much. From outside, the time of a workflow and of HTTP comes on top.
//
//	go test ./activities -run - -bench OptedOutTakesAsLong -benchtime 2000x
func BenchmarkOptedOutTakesAsLong(b *testing.B) {
	d, auc := requireAlike(b, likeUnknown(b, b.N))
	b.ReportMetric(d, "cohens-d")
	b.ReportMetric(100*auc, "%-longer")
}

func requireAlike(t testing.TB, took [2][]float64) (d, auc float64) {
	t.Helper()
	out, unknown := spread(took[0]), spread(took[1])
	d, auc = (out.mean-unknown.mean)/math.Sqrt((out.variance+unknown.variance)/2), longer(took[0], took[1])
	t.Logf("%d who opted out: %s", len(took[0]), out)
	t.Logf("%d whom nobody knows: %s", len(took[1]), unknown)
	t.Logf("effect: Cohen's d %.3f; who opted out takes longer in %.1f %% of pairs (50 %% is no difference)", d, 100*auc)
	if len(took[0]) >= 100 {
		require.InDelta(t, 0.5, auc, 0.1)
	}
	return d, auc
}

// likeUnknown draws people from one population and has half of them be members who opted out. It asks for each in a slice of their
// own, in turn one of each kind, and returns how long that took, in microseconds.
func likeUnknown(t testing.TB, n int) [2][]float64 {
	t.Helper()
	b := setup(t)
	b.practice(models.TreatmentByBoth, true)
	random := rand.New(rand.NewPCG(1, 2)) // the same people each time
	made := func(id string, whole *strings.Builder) ask {
		letters := func(n int) string {
			var name strings.Builder
			for range n {
				name.WriteByte(byte('a' + random.IntN(6)))
			}
			return name.String()
		}
		patient := fmt.Sprintf(`{"resourceType":"Patient","id":"%%s","name":[{"family":"Fam%s","given":["Giv%s"]}],"gender":"female","birthDate":"19%02d-%02d-%02d"}`,
			letters(3), letters(3), 40+random.IntN(60), 1+random.IntN(12), 1+random.IntN(28))
		number := fmt.Sprintf("W%08d", random.IntN(100_000_000))
		if whole != nil {
			whole.WriteString(fmt.Sprintf(patient, id) + "\n" + card("cov-"+id, id, number) + "\n")
		}
		return ask{fmt.Sprintf(patient, "their-"+id), card("their-cov", "their-"+id, number), attestation(doctorNPI, "2027-06-30")}
	}
	var roster strings.Builder
	asks := make([]ask, 2*n)
	for i := range n {
		asks[2*i] = made(fmt.Sprintf("our-%d", i), &roster)
		asks[2*i+1] = made(fmt.Sprintf("none-%d", i), nil)
	}
	b.loadText(roster.String(), models.ImportLive)
	b.pass(time.Minute)
	for i := range n {
		b.relate(fmt.Sprintf("our-%d", i))
		b.optOut(fmt.Sprintf("our-%d", i), models.OptOutGlobal, "")
	}
	b.exec(`ANALYZE`)

	var text strings.Builder
	cut := make([]store.Slice, len(asks))
	for i, a := range asks {
		line, err := json.Marshal(match.Submission{Patient: json.RawMessage(a.patient), Coverage: json.RawMessage(a.coverage), Consent: json.RawMessage(a.consent)})
		require.NoError(t, err)
		cut[i] = store.Slice{Slice: i, First: i, Members: 1, Offset: int64(text.Len()), Length: int64(len(line) + 1)}
		text.Write(append(line, '\n'))
	}
	params := models.MatchParams{Members: len(asks), GroupID: models.NewID(), Organizations: []string{clinicNPI}, NPI: doctorNPI, BlobKey: "matches/bench." + uuid.NewString()}
	w, err := b.Files.Create(t.Context(), params.BlobKey)
	require.NoError(t, err)
	_, err = io.WriteString(w, text.String())
	require.NoError(t, err)
	require.NoError(t, w.Commit())
	job := b.newJob(models.OpProviderMemberMatch, params)
	_, _, err = b.Store.CreateMatch(t.Context(), job, cut, 0)
	require.NoError(t, err)
	must[MatchPlan](t, b.PrepareMatch, job.ID)
	var took [2][]float64
	for i := range cut {
		begin := time.Now()
		people, err := b.submissions(t.Context(), params, cut[i])
		require.NoError(t, err)
		require.NoError(t, b.settleSlice(t.Context(), job, params, cut[i], people, begin))
		took[i%2] = append(took[i%2], float64(time.Since(begin).Microseconds()))
		require.Equal(t, store.OutcomeNoMatch, people[0].outcome.Outcome)
		require.Equal(t, i%2 == 0, people[0].outcome.Reason == "opt-out-global", "%d: %s", i, people[0].outcome.Reason)
	}
	return took
}

type distribution struct {
	mean, variance    float64
	low, median, high float64 // the 10th, 50th and 90th percentile
}

func (d distribution) String() string {
	return fmt.Sprintf("median %.0f µs, 10th percentile %.0f µs, 90th %.0f µs, mean %.0f µs, standard deviation %.0f µs", d.median, d.low, d.high, d.mean, math.Sqrt(d.variance))
}

func spread(values []float64) (s distribution) {
	for _, v := range values {
		s.mean += v / float64(len(values))
	}
	for _, v := range values {
		s.variance += (v - s.mean) * (v - s.mean) / float64(max(len(values)-1, 1))
	}
	sorted := slices.Sorted(slices.Values(values))
	s.low, s.median, s.high = sorted[len(sorted)/10], sorted[len(sorted)/2], sorted[len(sorted)*9/10]
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
