package activities

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/consent"
)

func provenance(id, recorded, meta string, targets ...string) string {
	var list []string
	for _, target := range targets {
		list = append(list, fmt.Sprintf(`{"reference":"%s"}`, target))
	}
	return fmt.Sprintf(`{"resourceType":"Provenance","id":"%s"%s,"target":[%s],"recorded":"%s"}`+"\n", id, meta, strings.Join(list, ","), recorded)
}

const someday = "2026-01-01T00:00:00Z"

// provenanceOf exports a patient and returns the ids of the Provenance.
func (b *bundle) provenanceOf(id string) []string {
	b.t.Helper()
	_, _, got := b.export(models.OpPatientExport, models.ExportParams{Patients: []string{id}})
	return idsOf(got["Provenance"])
}

func TestProvenanceOfTargets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	people := patient("a", "") + patient("b", "") + `{"resourceType":"Organization","id":"org"}` + "\n"
	text := people + observation("oa", "a", "", "1") + observation("oa2", "a", "", "2") + observation("ob", "b", "", "3") +
		provenance("one", someday, "", "Observation/oa") +
		provenance("several", someday, "", "Observation/oa", "Observation/oa2", "Organization/org") +
		provenance("two", someday, "", "Observation/oa", "Observation/ob") +
		provenance("part", someday, "", "Observation/oa", "Observation/late") +
		provenance("none", someday, "", "Observation/never") +
		provenance("shared", someday, "", "Organization/org") +
		provenance("direct", someday, "", "Patient/b")
	stats := b.loadText(text, models.ImportLive)
	require.Equal(t, models.TypeCounts{New: 7, Unattributed: 4}, stats.Types["Provenance"])
	b.pass(time.Minute)
	require.Equal(t, []string{"one", "several"}, b.provenanceOf("a"))
	require.Equal(t, []string{"direct"}, b.provenanceOf("b"))

	again := b.loadText(text, models.ImportLive)
	require.Equal(t, models.TypeCounts{Unchanged: 7}, again.Types["Provenance"])

	since := b.now()
	b.pass(time.Minute)
	b.loadText(observation("late", "a", "", "4"), models.ImportLive)
	b.pass(time.Minute)
	require.Equal(t, []string{"one", "part", "several"}, b.provenanceOf("a"))
	_, _, delta := b.export(models.OpPatientExport, models.ExportParams{Patients: []string{"a"}, Since: &since})
	require.Equal(t, []string{"part"}, idsOf(delta["Provenance"]), "who asks for what is new hears of it")

	stats = b.loadText(provenance("one", someday, "", "Observation/ob"), models.ImportLive)
	require.Equal(t, models.TypeCounts{New: 1}, stats.Types["Provenance"])
	require.EqualValues(t, 1, stats.Moved)
	b.pass(time.Minute)
	require.Equal(t, []string{"part", "several"}, b.provenanceOf("a"), "a version with other targets goes where they are")
	require.Equal(t, []string{"direct", "one"}, b.provenanceOf("b"))

	b.loadText(provenance("one", someday, "", "Observation/never"), models.ImportLive)
	b.pass(time.Minute)
	require.Equal(t, []string{"direct"}, b.provenanceOf("b"), "and with targets nobody has, to nobody")

	b.loadText(deleteOf("Provenance/part"), models.ImportLive)
	b.pass(time.Minute)
	require.Equal(t, []string{"several"}, b.provenanceOf("a"))
}

// Whatever the order and the pieces in which it comes, a Provenance is the one's who has all its targets.
func TestProvenanceProperty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.batch = 1 // every line a transaction
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		if round++; round > 25 { // each takes several imports
			return
		}
		own := func(name string) string { return fmt.Sprint(name, "-", round) }
		people := []string{own("a"), own("b")}
		var lines []string
		has := map[string]string{}
		for i := range 4 {
			id := own(fmt.Sprint("o", i))
			has[id] = rapid.SampledFrom(people).Draw(r, "subject")
			lines = append(lines, observation(id, has[id], "", "x"))
		}
		want := map[string][]string{}
		for i := range 4 {
			id := own(fmt.Sprint("p", i))
			var targets []string
			owners := map[string]bool{}
			for range rapid.IntRange(1, 2).Draw(r, "targets") {
				target := own(fmt.Sprint("o", rapid.IntRange(0, 4).Draw(r, "target")))
				owners[has[target]] = true
				targets = append(targets, "Observation/"+target)
			}
			if len(owners) == 1 {
				for who := range owners {
					want[who] = append(want[who], id)
				}
			}
			lines = append(lines, provenance(id, someday, "", targets...))
		}
		lines = rapid.Permutation(append(lines, patient(people[0], ""), patient(people[1], ""))).Draw(r, "order")
		for len(lines) > 0 {
			n := rapid.IntRange(1, len(lines)).Draw(r, "piece")
			b.loadText(strings.Join(lines[:n], ""), rapid.SampledFrom([]models.ImportMode{models.ImportLive, models.ImportBackfill}).Draw(r, "mode"))
			lines = lines[n:]
		}
		b.pass(time.Minute)
		for _, p := range people {
			require.ElementsMatch(r, want[p], b.provenanceOf(p), p)
		}
	})
}

func TestLatestProvenance(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.loadText(patient("a", "")+observation("o1", "a", "", "1")+observation("o2", "a", "", "2")+
		provenance("old", "2020-01-01T00:00:00Z", "", "Observation/o1")+
		provenance("new", "2021-01-01T00:00:00Z", "", "Observation/o1")+
		provenance("both", "2019-01-01T00:00:00Z", "", "Observation/o1", "Observation/o2")+
		provenance("first", "2018-01-01T00:00:00Z", "", "Observation/o2")+
		provenance("secret", "2022-01-01T00:00:00Z", restricted, "Observation/o1")+
		provenance("person", "2017-01-01T00:00:00Z", "", "Patient/a"), models.ImportLive)
	b.pass(time.Minute)
	start, end := noon.Add(-time.Hour), noon.Add(time.Hour)
	latest := func(op models.Operation, params models.ExportParams) []string {
		params.LatestProvenance = true
		job, _, got := b.export(op, params)
		require.Empty(t, job.Accounting.Check())
		return idsOf(got["Provenance"])
	}
	require.Equal(t, []string{"both", "person", "secret"}, latest(models.OpPatientExport, models.ExportParams{}))
	require.Equal(t, []string{"both", "person", "secret"}, latest(models.OpPatientExport, models.ExportParams{Types: []int16{code("Patient"), code("Provenance")}}))
	regular := b.group(seat{"a", consent.PolicyRegular, start, end})
	require.Equal(t, []string{"both", "new", "person"}, latest(models.OpGroupExport, models.ExportParams{GroupID: regular}), "what is withheld takes nothing with it")
	require.Empty(t, latest(models.OpPatientExport, models.ExportParams{Types: []int16{code("Patient")}}))
	_, _, all := b.export(models.OpPatientExport, models.ExportParams{})
	require.Len(t, all["Provenance"], 6)
}
