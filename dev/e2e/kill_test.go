package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack"
	"pdexbulk/models"
)

// recovery is how long after a worker's sudden death its work must be under way again on another.
const recovery = time.Minute

// kill ends the worker that was started last with SIGKILL at a moment that held has fixed, lets what held it go, and starts
// another. It returns a function that asserts that the work got to a later point in time.
func (r *running) kill(t *testing.T, release func()) (recovered func(what string)) {
	t.Helper()
	worker := r.Workers[len(r.Workers)-1]
	require.NoError(t, worker.Kill())
	<-worker.Done()
	at := time.Now()
	release()
	_, err := r.StartWorker(t.Context())
	require.NoError(t, err)
	return func(what string) {
		t.Helper()
		took := time.Since(at)
		t.Logf("%s %.1f s after the kill", what, took.Seconds())
		require.Less(t, took, recovery)
	}
}

// TestWorkerKilledInImport kills the worker when a file is spilled but not yet marked, and again in the middle of merging.
// What is then exported must be what an undisturbed import would have brought.
func TestWorkerKilledInImport(t *testing.T) {
	t.Parallel()
	need(t)
	want, wantAcc := undisturbed(t)
	// One activity at a time, so that not all that is left of a step gets past a gate at once.
	r, w := own(t, stack.Options{}, "PDEX_EXPORT_CONCURRENCY=1")

	scan := r.hold(t, byImport, atScan, 5)
	merge := r.hold(t, byImport, atMerge, 1)
	var imp models.Import
	require.NoError(t, r.Admin(t.Context(), http.MethodPost, "/admin/imports", map[string]any{"source": w.dir, "mode": models.ImportBackfill}, &imp))
	scan.reached()
	require.NotEmpty(t, r.files(t, "imports/"+imp.ID))
	recovered := r.kill(t, scan.open)
	merge.reached()
	recovered("merging")
	recovered = r.kill(t, merge.open)
	eventually(t, recovery, "the import did not end", func() bool {
		require.NoError(t, r.Admin(t.Context(), http.MethodGet, "/admin/imports/"+imp.ID, nil, &imp))
		return imp.State.Done()
	})
	recovered("imported")
	require.Equal(t, models.StateCompleted, imp.State, imp.Error)

	var fresh, lines int64
	for _, c := range imp.Stats.Types {
		require.Equal(t, models.TypeCounts{New: c.New}, c)
		fresh += c.New
	}
	lines = imp.Stats.Lines
	require.EqualValues(t, w.made.Resources, fresh)
	require.Equal(t, lines, fresh+imp.Stats.Blank+imp.Stats.Rejected+imp.Stats.Deletes+imp.Stats.Duplicate)
	eventually(t, 10*time.Second, "what was spilled stays", func() bool { return len(r.files(t, "imports")) == 0 })

	c := r.backend(t, "after-import")
	job := export(t, c, "$export", nil)
	got, _ := finish(t, c, job)
	got.equal(t, want)
	require.Equal(t, wantAcc, r.accounting(t, job))

	t.Run("Match", func(t *testing.T) { killedInMatch(t, r, w) })
	r.tellsNothing(t, w)
}

// killedInMatch kills the worker when a slice is decided but not yet committed, and again when the Groups are written but
// not yet published.
func killedInMatch(t *testing.T, r *running, w *world) {
	body, truth, err := w.request("killed", seed.RequestOptions{Seed: 5, Members: 2000, Clean: true})
	require.NoError(t, err)
	calm := r.payerOf(t, "calm", "killed")
	job, err := calm.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	want, _ := matched(t, calm, job)
	judge(t, want, truth)
	wantAcc := r.accounting(t, job)

	c := r.payer(t, "killed")
	slice, publish := r.hold(t, "killed", atSlice, 1), r.hold(t, "killed", atPublish, 0)
	job, err = c.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	slice.reached()
	recovered := r.kill(t, slice.open)
	publish.reached()
	recovered("publishing")
	recovered = r.kill(t, publish.open)
	got, group := matched(t, c, job)
	recovered("matched")
	require.Equal(t, want, got)
	require.Equal(t, wantAcc, r.accounting(t, job))
	r.nothingLeft(t, job)

	// The Group's own blob lies elsewhere: it outlives the job's files.
	var key string
	require.NoError(t, r.db.QueryRow(t.Context(), `SELECT blob_key FROM groups WHERE id = $1`, group).Scan(&key))
	require.Equal(t, []string{key}, r.files(t, "groups/"+jobID(job.StatusURL)))
	job = export(t, c, "Group/"+group+"/$export", nil)
	lines, _ := finish(t, c, job)
	lines.unique(t)
	require.Equal(t, w.due(truth), lines.ofMembers(w))
}

// TestWorkerKilledInExport kills the worker three times in one export: when a chunk's blob is written but not yet published,
// while it reads another chunk, and when all chunks are published but the job is not yet completed.
func TestWorkerKilledInExport(t *testing.T) {
	t.Parallel()
	need(t)
	want, wantAcc := undisturbed(t)
	// One activity at a time, so that a chunk can be held without others around it.
	r, w := own(t, stack.Options{}, "PDEX_EXPORT_CONCURRENCY=1")
	_, err := r.Import(t.Context(), w.dir, models.ImportBackfill, nil)
	require.NoError(t, err)

	c := r.backend(t, "killed")
	second := r.hold(t, "killed", atChunk, 1)
	publish := r.hold(t, "killed", atPublish, 0)
	job := export(t, c, "$export", nil)
	second.reached()
	orphan := unpublished(t, r, job.StatusURL, r.published(t, job))
	require.NotEmpty(t, orphan, "a written blob that is not published")
	var third *gate
	recovered := r.kill(t, func() {
		second.open()
		third = r.hold(t, "killed", atChunk, 2)
	})
	third.reached()
	recovered("next chunk")

	// Its chunk has been read; whoever reads the next must stop at the bar.
	waited, open := r.bar(t, "segments")
	third.open()
	waited()
	require.Less(t, r.chunksOpen(t, jobID(job.StatusURL)), r.chunks(t, jobID(job.StatusURL)), "some chunks are published")
	require.Positive(t, r.chunksOpen(t, jobID(job.StatusURL)), "some chunks are not")
	recovered = r.kill(t, open)
	publish.reached()
	recovered("completing")
	// What a writer that died before it had finished a file has left is removed by the next worker to start, once it is old.
	old, young := filepath.Join(r.Files, "groups", ".tmp-old"), filepath.Join(r.Files, "groups", ".tmp-young")
	require.NoError(t, os.MkdirAll(filepath.Dir(old), 0o700))
	for _, path := range []string{old, young} {
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
	}
	require.NoError(t, os.Chtimes(old, time.Time{}, time.Now().Add(-48*time.Hour)))
	recovered = r.kill(t, publish.open)

	got, m := finish(t, c, job)
	recovered("exported")
	got.equal(t, want)
	require.Equal(t, wantAcc, r.accounting(t, job))
	require.NotEmpty(t, m.Output)
	r.nothingLeft(t, job)
	r.tellsNothing(t, w)
	eventually(t, 10*time.Second, "an old unfinished write stays", func() bool { return slices.Equal(r.files(t, "groups"), []string{"groups/.tmp-young"}) })

	require.NoError(t, job.Delete(t.Context()))
	eventually(t, 10*time.Second, "the files of a deleted job stay", func() bool {
		return len(r.files(t, "exports/"+jobID(job.StatusURL))) == 0
	})
}

func unpublished(t *testing.T, r *running, statusURL string, keys []string) []string {
	t.Helper()
	known := map[string]bool{}
	for _, key := range keys {
		known[key] = true
	}
	var rest []string
	for _, path := range r.files(t, "exports/"+jobID(statusURL)) {
		if !known[path] {
			rest = append(rest, path)
		}
	}
	return rest
}

func (r *running) chunks(t *testing.T, job string) (n int) {
	t.Helper()
	require.NoError(t, r.db.QueryRow(noCancel(t), `SELECT count(*) FROM export_chunks WHERE job_id = $1`, job).Scan(&n))
	return n
}

func (r *running) chunksOpen(t *testing.T, job string) (n int) {
	t.Helper()
	require.NoError(t, r.db.QueryRow(t.Context(), `SELECT count(*) FROM export_chunks WHERE job_id = $1 AND attempt IS NULL`, job).Scan(&n))
	return n
}
