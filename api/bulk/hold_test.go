package bulk_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/activities"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// A download that has begun goes on to its end though the job expires meanwhile, over blobs too that it has not opened yet.
// Afterwards the files are gone.
func TestDownloadOutlivesExpiry(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	c := a.Client(t, "backend", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/$export", "")
	_, err := c.Store.StartJob(t.Context(), job.ID, "exporting", time.Now())
	require.NoError(t, err)
	// Far more than what fits the buffers of a connection, in blobs that are opened one after the other.
	line := []byte(`{"resourceType":"Patient","id":"a","x":"` + strings.Repeat("x", 16<<20) + `"}` + "\n")
	packed, sum, err := segment.Pack(nil, line)
	require.NoError(t, err)
	var plan []store.Chunk
	var total segment.Sum
	for i := range 3 {
		plan = append(plan, store.Chunk{JobID: job.ID, Chunk: i, Lo: uuid.New(), Hi: uuid.New(), Members: 1, Planned: 1})
	}
	require.NoError(t, c.Store.SavePlan(t.Context(), job.ID, plan))
	for i := range 3 {
		key := fmt.Sprintf("exports/%s/%d", job.ID, i)
		putBlob(t, c, key, packed)
		part := store.Part{Type: fhir.TypePatient, Packed: sum.PackedLen, Raw: sum.RawLen, Lines: 1, CRC: sum.CRC}
		won, err := c.Store.PublishChunk(t.Context(), job.ID, i, models.NewID(), key, models.Accounting{}, []store.Part{part}, store.Referred{})
		require.NoError(t, err)
		require.True(t, won)
		total = total.Add(sum)
	}
	file := models.JobFile{
		JobID: job.ID, Kind: "output", Type: "Patient", LastChunk: 2, Lines: 3, RawLen: total.RawLen, PackedLen: total.PackedLen, CRC: int32(total.CRC),
	}
	done, err := c.Store.CompleteJob(t.Context(), job.ID, []models.JobFile{file}, models.Accounting{}, time.Now(), time.Now().Add(20*time.Second), nil)
	require.NoError(t, err)
	require.True(t, done)
	path := "/fhir/bulk-files/" + job.ID + "/0.Patient.ndjson"

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.Root+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := a.HTTP.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	begin := make([]byte, 1000)
	_, err = io.ReadFull(resp.Body, begin)
	require.NoError(t, err)

	_, err = c.Store.Pool.Exec(t.Context(), `UPDATE jobs SET expires_at = now() - interval '1 second' WHERE id = $1`, job.ID)
	require.NoError(t, err)
	c.Do(t, http.MethodGet, path, "").Refused(t, 410)
	work := &activities.Activities{Store: a.Store, Files: a.Files}
	err = work.PurgeJob(t.Context(), job.ID)
	require.Equal(t, models.KindUnavailable, models.KindOf(err), "the purge is to be tried again")

	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat(string(line), 3), string(begin)+string(rest), "the download is whole")
	require.Eventually(t, func() bool { return work.PurgeJob(t.Context(), job.ID) == nil }, 10*time.Second, 10*time.Millisecond)
	require.Empty(t, a.Blobs(t))
	c.Do(t, http.MethodGet, path, "").Refused(t, 410)
}

// A download holds files in nobody's way: not the client's who deletes the job, and not for good when its api has died.
func TestHeldFiles(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	ctx := t.Context()
	work := &activities.Activities{Store: f.Store, Files: f.Files}
	download := models.NewID()
	hold := func(until time.Time) bool {
		held, err := f.Store.HoldFiles(ctx, f.job.ID, download, until)
		require.NoError(t, err)
		return held
	}
	require.True(t, hold(time.Now().Add(time.Minute)))
	require.Error(t, work.PurgeJob(ctx, f.job.ID))
	require.True(t, hold(time.Now().Add(-time.Second)))
	require.NoError(t, work.PurgeJob(ctx, f.job.ID))
	require.False(t, hold(time.Now().Add(time.Minute)), "there is nothing left to hold")

	g := newFile(t)
	work = &activities.Activities{Store: g.Store, Files: g.Files}
	held, err := g.Store.HoldFiles(ctx, g.job.ID, download, time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.True(t, held)
	require.Equal(t, http.StatusAccepted, g.Do(t, http.MethodDelete, "/fhir/bulk-status/"+g.job.ID, "").StatusCode)
	require.NoError(t, work.PurgeJob(ctx, g.job.ID))
	require.Empty(t, g.Blobs(t))
	held, err = g.Store.HoldFiles(ctx, g.job.ID, download, time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.False(t, held)
}
