package activities

import (
	"crypto/sha256"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/segment"
)

// Files composed to objects are the gzip files that would otherwise be put together while they are served, and nothing else stays.
func TestComposedFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(20)
	b.pass(time.Hour)
	since := noon.AddDate(-20, 0, 0)
	params := models.ExportParams{Since: &since, Ignored: []string{"_sort"}}
	b.exec(`INSERT INTO tombstones (type, resource_id, member_id, deleted_at) VALUES ($1, 'gone', $2, $3)`,
		code("Observation"), models.MemberID("p1"), noon)
	_, plainFiles, want := b.export(models.OpSystemExport, params)
	require.Contains(t, want, "deleted")
	require.Contains(t, want, "error")

	params.Format = models.FormatGzip
	id := b.job(models.OpSystemExport, params)
	plan := must[ExportPlan](t, b.PrepareExport, id)
	require.True(t, plan.Convert)
	b.write(id, plan)
	count := must[int](t, b.CountFiles, id)
	require.Positive(t, count)
	_, err := run(t, b.PublishExport, id)
	require.Contains(t, requireFinal(t, err, models.KindConflict), "not converted")
	for i := range count {
		ok(t, b.ConvertFile, FileInput{id, i})
		ok(t, b.ConvertFile, FileInput{id, i}) // a second attempt changes nothing
	}
	_, files, got := b.publishExport(id)
	require.Equal(t, want, got)
	require.Len(t, files, len(plainFiles))
	require.Len(t, b.blobs("exports/"+id), len(files), "only what is served stays")
	for _, f := range files {
		require.Equal(t, models.FormatGzip, f.Format, f.Kind)
		body, err := b.Files.Open(t.Context(), f.BlobKey)
		require.NoError(t, err)
		raw, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		require.Len(t, raw, int(segment.HeaderLen+f.PackedLen+segment.TrailerLen))
		require.Equal(t, segment.Header(), raw[:segment.HeaderLen])
		require.Equal(t, segment.Trailer(gzipSum(&f)), raw[len(raw)-segment.TrailerLen:])
		sum := sha256.Sum256(raw)
		require.Equal(t, sum[:], f.GzipSHA256)
	}
}

// An object that would lack a stretch is never made.
func TestComposeNoticesWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(20)
	b.pass(time.Hour)
	id := b.job(models.OpSystemExport, models.ExportParams{Format: models.FormatGzip})
	b.write(id, must[ExportPlan](t, b.PrepareExport, id))
	b.exec(`UPDATE export_parts SET byte_offset = byte_offset + 1 WHERE (chunk, byte_offset) IN (SELECT chunk, max(byte_offset) FROM export_parts GROUP BY chunk)`)
	var failed int
	count := must[int](t, b.CountFiles, id)
	for i := range count {
		if _, err := run(t, b.ConvertFile, FileInput{id, i}); err != nil {
			require.ErrorContains(t, err, "unexpected EOF")
			failed++
		}
	}
	require.Positive(t, failed)
	there, err := b.Store.ConvertedFiles(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, there, count-failed)
	require.Less(t, len(b.blobs("exports/"+id+"/gzip")), count, "nothing is left of the attempts that failed")
}
