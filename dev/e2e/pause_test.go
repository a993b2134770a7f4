package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack"
	"pdexbulk/models"
)

// TestPausedExport pauses an export in a chunk, by the admin API, and kills the worker meanwhile. The chunk that had begun ends and no other
// begins; its client is told that it goes on. Once it is resumed it comes to the same as if nothing had happened. Its request is made
// again then, and comes to that as well.
func TestPausedExport(t *testing.T) {
	t.Parallel()
	need(t)
	want, wantAcc := undisturbed(t)
	r, w := own(t, stack.Options{}, "PDEX_EXPORT_CONCURRENCY=1", "PDEX_RUN_PARALLEL=1")
	_, err := r.Import(t.Context(), w.dir, models.ImportBackfill, nil)
	require.NoError(t, err)
	c := r.backend(t, "paused")
	second := r.hold(t, "paused", atChunk, 1)
	job := export(t, c, "$export", nil)
	second.reached()
	type seen struct {
		ID        string
		State     models.State
		Paused    bool
		StatusURL string
		Plan      struct{ Chunks, ChunksDone int }
	}
	path := "/admin/jobs/" + jobID(job.StatusURL)
	var view seen
	require.NoError(t, r.Admin(t.Context(), http.MethodPost, path+"/pause", nil, &view))
	require.True(t, view.Paused)
	second.open()
	look := func() (v seen) {
		require.NoError(t, r.Admin(t.Context(), http.MethodGet, path, nil, &v))
		return v
	}
	eventually(t, time.Minute, "the chunk that had begun does not end", func() bool { return look().Plan.ChunksDone == 2 })
	recovered := r.kill(t, func() {})
	recovered("paused")
	_, progress, err := job.Poll(t.Context())
	require.NoError(t, err)
	require.Positive(t, progress.RetryAfter, "its client sees it in progress")
	v := look()
	require.Equal(t, models.StateRunning, v.State)
	require.Equal(t, 2, v.Plan.ChunksDone)
	require.Greater(t, v.Plan.Chunks, 2)

	require.NoError(t, r.Admin(t.Context(), http.MethodPost, path+"/resume", nil, &view))
	got, _ := finish(t, c, job)
	got.equal(t, want)
	require.Equal(t, wantAcc, r.accounting(t, job))
	r.nothingLeft(t, job)

	require.NoError(t, r.Admin(t.Context(), http.MethodPost, path+"/reissue", nil, &view))
	again := c.Job(view.StatusURL)
	require.NotEqual(t, job.StatusURL, again.StatusURL)
	got, _ = finish(t, c, again)
	got.equal(t, want)
	r.tellsNothing(t, w)
}
