package activities

import (
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
