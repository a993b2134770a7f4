package activities

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/consent"
)

// A resource has one owner: the member that its newest version names.
func TestResourcesThatMove(t *testing.T) {
	t.Parallel()
	owner := func(b *bundle, id string) []string {
		var at []string
		for _, p := range []string{"a", "b"} {
			_, _, got := b.export(models.OpPatientExport, models.ExportParams{Patients: []string{p}})
			for _, o := range idsOf(got["Observation"]) {
				if o == id {
					at = append(at, p)
				}
			}
		}
		return at
	}
	people := patient("a", "") + patient("b", "")
	t.Run("to another member", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.loadText(people+observation("o", "a", "", "x")+observation("stays", "a", "", "x"), models.ImportLive)
		b.pass(time.Minute)
		before := b.job(models.OpPatientExport, models.ExportParams{Patients: []string{"a"}})
		plan := must[ExportPlan](t, b.PrepareExport, before)
		imp := b.loadText(observation("o", "b", "", "x"), models.ImportLive)
		require.EqualValues(t, 1, imp.Moved)
		b.pass(time.Minute)
		require.Equal(t, []string{"b"}, owner(b, "o"))
		require.Equal(t, []string{"a"}, owner(b, "stays"))
		require.Zero(t, b.count("tombstones"), "it is not deleted")
		require.Zero(t, b.count("import_news"))
		for i := range plan.Chunks + 1 {
			must[ChunkResult](t, b.ExportChunk, ChunkInput{before, i})
		}
		_, _, got := b.publishExport(before)
		require.Equal(t, []string{"o", "stays"}, idsOf(got["Observation"]), "an export that began before sees what was then")

		b.loadText(observation("o", "a", "", "y"), models.ImportLive)
		b.pass(time.Minute)
		require.Equal(t, []string{"a"}, owner(b, "o"), "and back")
	})
	t.Run("from nobody", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.loadText(people+`{"resourceType":"Observation","id":"o","status":"final"}`+"\n", models.ImportLive)
		b.loadText(observation("o", "a", "", "x"), models.ImportLive)
		b.pass(time.Minute)
		require.Equal(t, []string{"a"}, owner(b, "o"))
		require.Equal(t, 1, b.count("segments WHERE type = $1 AND valid_to = 'infinity'", code("Observation")))
	})
	t.Run("an older version does not", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.loadText(people+observation("o", "a", updated(noon.AddDate(0, 0, -1)), "new"), models.ImportBackfill)
		b.loadText(observation("o", "b", updated(noon.AddDate(0, 0, -9)), "old"), models.ImportBackfill)
		b.pass(time.Minute)
		require.Equal(t, []string{"a"}, owner(b, "o"))
	})
}

// A delta of those who had a resource that another has now tells that it is gone, unless the delta is of its new home as well.
func TestDeltasTellWhatHasMoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.client(models.ClientPayer, false)
	b.loadText(patient("a", "")+patient("b", "")+patient("c", "")+observation("o", "a", "", "x")+observation("secret", "a", `"security":[{"code":"R"}]`, "x"), models.ImportLive)
	sharing := func(policy string, patients ...string) string {
		var seats []seat
		for _, p := range patients {
			seats = append(seats, seat{p, policy, noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)})
		}
		return b.group(seats...)
	}
	a, both, c, regular := sharing(consent.PolicySensitive, "a"), sharing(consent.PolicySensitive, "a", "b"), sharing(consent.PolicySensitive, "c"), sharing(consent.PolicyRegular, "a")
	since := b.now()
	gone := func(p models.ExportParams) []string {
		t.Helper()
		p.Since = &since
		op := models.OpGroupExport
		if p.GroupID == "" {
			op = models.OpPatientExport
		}
		_, _, lines := b.export(op, p)
		for _, line := range lines["Observation"] {
			require.NotContains(t, fmt.Sprint(lines["deleted"]), `Observation/`+resourceID(json.RawMessage(line))+`"`, "nothing is both")
		}
		var refs []string
		for _, ref := range []string{"Observation/o", "Observation/secret"} {
			if strings.Contains(fmt.Sprint(lines["deleted"]), `"`+ref+`"`) {
				refs = append(refs, ref)
			}
		}
		return refs
	}
	move := func(text string) {
		b.pass(time.Minute)
		b.loadText(text, models.ImportLive)
		b.pass(time.Minute)
	}
	move(observation("o", "b", "", "x") + observation("secret", "b", `"security":[{"code":"R"}]`, "x"))
	require.Equal(t, []string{"Observation/o", "Observation/secret"}, gone(models.ExportParams{GroupID: a}))
	require.Equal(t, []string{"Observation/o"}, gone(models.ExportParams{GroupID: regular}), "of what they never had nothing is told")
	require.Empty(t, gone(models.ExportParams{GroupID: both}))
	require.Empty(t, gone(models.ExportParams{GroupID: c}))
	require.Empty(t, gone(models.ExportParams{}))
	require.NotEmpty(t, gone(models.ExportParams{Patients: []string{"a"}}))
	require.Empty(t, gone(models.ExportParams{GroupID: a, Types: []int16{code("Patient")}}))

	// Further on, and back.
	move(observation("o", "c", "", "x"))
	require.Equal(t, []string{"Observation/o"}, gone(models.ExportParams{GroupID: both}))
	require.Empty(t, gone(models.ExportParams{}))
	require.Empty(t, gone(models.ExportParams{GroupID: sharing(consent.PolicySensitive, "a", "b", "c")}))
	move(observation("o", "a", "", "x"))
	require.Equal(t, []string{"Observation/secret"}, gone(models.ExportParams{GroupID: a}))
	require.Equal(t, []string{"Observation/o"}, gone(models.ExportParams{GroupID: c}))
	// A backfill is not held off by what has left.
	move(observation("o", "b", "", "y"))
	move(deletes("Observation/o"))
	require.Equal(t, []string{"Observation/o"}, gone(models.ExportParams{}))
	require.Contains(t, gone(models.ExportParams{GroupID: a}), "Observation/o")
}

// Of two versions that one import brings for different members the newer says whose the resource is.
func TestTwoOwnersInOneImport(t *testing.T) {
	t.Parallel()
	for _, mode := range []models.ImportMode{models.ImportLive, models.ImportBackfill} {
		b := setup(t)
		b.loadText(patient("a", "")+patient("b", ""), models.ImportBackfill)
		day := func(n int) string { return updated(noon.AddDate(0, 0, -n)) }
		b.pass(time.Minute)
		b.load(b.folder(map[string]string{
			"1.ndjson": observation("o", "a", day(9), "x") + observation("u", "a", day(3), "x") + observation("v", "b", "", "x"),
			"2.ndjson": observation("o", "b", day(8), "x") + observation("u", "b", day(4), "x") + observation("v", "a", "", "x"),
		}), mode)
		b.pass(time.Minute)
		for patient, want := range map[string][]string{"a": {"u", "v"}, "b": {"o"}} {
			_, _, got := b.export(models.OpPatientExport, models.ExportParams{Patients: []string{patient}})
			require.Equal(t, want, idsOf(got["Observation"]), "%s %s", mode, patient)
		}
		require.Zero(t, b.count("departures"), "nobody has seen them there")
	}
}

// What an import that was cut short had brought to another member is taken from the one who had it by the next, although that brings nothing
// new.
func TestMovesOfAnImportThatWasCutShort(t *testing.T) {
	t.Parallel()
	for _, state := range []models.State{models.StateCancelled, models.StateFailed} {
		b := setup(t)
		b.client(models.ClientPayer, false)
		b.loadText(patient("p", "")+patient("q", "")+observation("o", "p", "", "x")+observation("stays", "p", "", "x"), models.ImportLive)
		moved := b.folder(map[string]string{"a.ndjson": observation("o", "q", "", "x")})
		b.pass(time.Hour)
		id, plan := b.scanned(moved, models.ImportLive)
		ok(t, b.TakeTurn, id)
		for i := range plan.Buckets {
			ok(t, b.MergeBucket, BucketInput{id, i})
		}
		must[models.ImportStats](t, b.FinishImport, FinishInput{ImportID: id, State: state})

		b.load(moved, models.ImportLive)
		b.pass(time.Hour)
		year := noon.AddDate(1, 0, 0)
		for patient, want := range map[string]map[string]bool{"p": {"Patient/p": true, "Observation/stays": true}, "q": {"Patient/q": true, "Observation/o": true}} {
			_, _, lines := b.export(models.OpGroupExport, models.ExportParams{GroupID: b.group(seat{patient, consent.PolicySensitive, noon.AddDate(-1, 0, 0), year})})
			require.Equal(t, want, ids(lines), "%s %s", state, patient)
		}
		require.Zero(t, b.count("import_news"))
	}
}
