package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
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
