package activities

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// A client that asks for everything once, and then again and again for what changed since the transactionTime it was told
// last, holds at every moment exactly what the store held at that transactionTime: nothing is missed and nothing comes
// twice, whenever imports scan, merge, commit and end, and whatever is deleted.
func TestDeltasProperty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		if round++; round > 20 { // each takes many imports and exports
			return
		}
		person := fmt.Sprint("p", round)
		b.loadText(patient(person, ""), models.ImportLive)

		type running struct {
			id      string
			plan    ImportPlan
			turn    bool
			merged  int
			changes map[string]string // resource id to value, "" for a delete
		}
		var inFlight []*running
		truth := map[string]string{}                    // what has been committed for good
		history := []map[string]string{}                // of truth, one an export
		mirror := map[string]string{}                   // what the client holds
		sent := map[string]map[string]bool{}            // versions a client was sent, by resource id
		var last *time.Time                             // transactionTime the client was told last
		value := 0                                      // makes every version new
		known := []string{"o0", "o1", "o2", "o3", "o4"} // ids, of this round

		begin := func(r *rapid.T) {
			var text strings.Builder
			changes := map[string]string{}
			var gone []string
			for _, id := range known {
				own := fmt.Sprint(id, "-", round)
				switch rapid.IntRange(0, 3).Draw(r, "change") {
				case 0, 1:
					value++
					changes[own] = fmt.Sprint(value)
					text.WriteString(observation(own, person, "", changes[own]))
				case 2:
					changes[own] = ""
					gone = append(gone, "Observation/"+own)
				}
			}
			if len(gone) > 0 {
				text.WriteString(deleteOf(gone...))
			}
			id, plan := b.scanned(b.folder(map[string]string{"a.ndjson": text.String() + "\n"}), models.ImportLive)
			inFlight = append(inFlight, &running{id: id, plan: plan, changes: changes})
		}
		// step takes one import a step further: its turn, a bucket, its end.
		step := func(r *rapid.T) {
			if len(inFlight) == 0 {
				r.Skip("no import is in flight")
			}
			i := rapid.IntRange(0, len(inFlight)-1).Draw(r, "import")
			if at := slices.IndexFunc(inFlight, func(x *running) bool { return x.turn }); at >= 0 {
				i = at // the others wait
			}
			x := inFlight[i]
			switch {
			case !x.turn:
				ok(b.t, b.TakeTurn, x.id)
				x.turn = true
			case x.merged < x.plan.Buckets:
				ok(b.t, b.MergeBucket, BucketInput{x.id, x.merged})
				x.merged++
			default:
				b.finish(x.id)
				inFlight = slices.Delete(inFlight, i, i+1)
				for id, v := range x.changes {
					if v == "" {
						delete(truth, id)
					} else {
						truth[id] = v
					}
				}
			}
		}
		export := func(r *rapid.T) {
			params := models.ExportParams{Types: []int16{code("Observation")}, Patients: []string{person}, Since: last}
			id := b.job(models.OpPatientExport, params)
			plan := must[ExportPlan](b.t, b.PrepareExport, id)
			if rapid.Bool().Draw(r, "work goes on during the export") && len(inFlight) > 0 {
				before := maps.Clone(truth)
				step(r)
				history = append(history, before)
			} else {
				history = append(history, maps.Clone(truth))
			}
			b.write(id, plan)
			job, _, got := b.publishExport(id)
			for _, line := range got["Observation"] {
				doc := gjson.Parse(line)
				own, version := doc.Get("id").Str, doc.Get("valueString").Str
				at, err := fhir.ParseInstant(doc.Get("meta.lastUpdated").Str)
				require.NoError(r, err)
				require.False(r, at.After(*job.TransactionTime), "nothing newer leaks in")
				require.False(r, sent[own][version], "%s comes twice", own)
				if sent[own] == nil {
					sent[own] = map[string]bool{}
				}
				sent[own][version] = true
				mirror[own] = version
			}
			for _, line := range got["deleted"] {
				for _, entry := range gjson.Get(line, "entry").Array() {
					own := strings.TrimPrefix(entry.Get("request.url").Str, "Observation/")
					require.NotContains(r, idsOf(got["Observation"]), own, "deleted and there")
					delete(mirror, own)
				}
			}
			require.Equal(r, history[len(history)-1], mirror, "what the client holds at %s", job.TransactionTime)
			last = job.TransactionTime
		}
		r.Repeat(map[string]func(*rapid.T){
			"import": begin,
			"step":   step,
			"export": export,
			"time":   func(*rapid.T) { b.pass(time.Second) },
			"":       func(*rapid.T) { b.pass(time.Millisecond) },
		})
		for len(inFlight) > 0 { // what is open would hold up the next round
			step(r)
		}
		b.pass(time.Second)
		export(r)
		require.Equal(r, truth, mirror)
	})
}
