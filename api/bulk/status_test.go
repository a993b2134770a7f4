package bulk_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/worker/boot"
)

func status(t *testing.T, c *apitest.Caller, job *models.Job) *apitest.Answer {
	t.Helper()
	return c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "")
}

// complete finishes a job with the given files.
func complete(t *testing.T, c *apitest.Caller, job *models.Job, expires time.Time, files ...models.JobFile) {
	t.Helper()
	_, err := c.Store.StartJob(t.Context(), job.ID, "exporting", time.Now())
	require.NoError(t, err)
	for i := range files {
		files[i].JobID, files[i].File, files[i].LastChunk = job.ID, i, -1
	}
	done, err := c.Store.CompleteJob(t.Context(), job.ID, files, models.Accounting{}, time.Now(), expires, nil)
	require.NoError(t, err)
	require.True(t, done)
}

func TestStatusOfARunningJob(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, nil).Client(t, "backend", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/$export", "")
	for range 2 { // accepted, then running, with no worker anywhere
		resp := status(t, c, job)
		require.Equal(t, http.StatusAccepted, resp.StatusCode, resp.Text)
		require.Empty(t, resp.Text)
		require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		require.NoError(t, err)
		require.Positive(t, seconds)
		require.Regexp(t, `^\d+%, `, resp.Header.Get("X-Progress"))
		require.Less(t, len(resp.Header.Get("X-Progress")), 100)
		head := c.Do(t, http.MethodHead, "/fhir/bulk-status/"+job.ID, "")
		require.Equal(t, http.StatusAccepted, head.StatusCode)
		_, err = c.Store.StartJob(t.Context(), job.ID, "exporting", time.Now())
		require.NoError(t, err)
	}
	match := c.API.Client(t, "payer", models.ClientPayer, "")
	running := match.KickOff(t, http.MethodPost, matchPath, parameters(member, member))
	require.Equal(t, "0%, 0 of 2 members", status(t, match, running).Header.Get("X-Progress"))
	require.NoError(t, c.Store.SaveOutcomes(t.Context(), running.ID, 0, nil))
	require.Equal(t, "99%, 2 of 2 members", status(t, match, running).Header.Get("X-Progress"), "it is not done before it is")
}

func TestStatusOfAFinishedJob(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, nil).Client(t, "backend", models.ClientBackend, "")
	expires := time.Now().Add(time.Hour).UTC()
	job := c.KickOff(t, http.MethodGet, "/fhir/$export?_type=Patient", "")
	complete(t, c, job, expires,
		models.JobFile{Kind: "output", Type: "Patient", Lines: 3, RawLen: 3, PackedLen: 3},
		models.JobFile{Kind: "error", Type: "OperationOutcome", Lines: 1, RawLen: 3, PackedLen: 3})
	resp := status(t, c, job)
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	at, err := http.ParseTime(resp.Header.Get("Expires"))
	require.NoError(t, err)
	require.Equal(t, expires.Truncate(time.Second), at)
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &m))
	stored, err := c.Store.Job(t.Context(), job.ID)
	require.NoError(t, err)
	for _, list := range []string{"output", "error"} {
		for _, item := range m[list].([]any) {
			delete(item.(map[string]any), "extension") // ours, and described elsewhere
		}
	}
	require.Equal(t, map[string]any{
		"transactionTime": stored.TransactionTime.UTC().Format("2006-01-02T15:04:05.000Z"),
		"request":         c.Base + "/$export?_type=Patient", "requiresAccessToken": true, "deleted": []any{},
		"output": []any{map[string]any{"type": "Patient", "count": 3.0, "url": c.Base + "/bulk-files/" + job.ID + "/0.Patient.ndjson"}},
		"error":  []any{map[string]any{"type": "OperationOutcome", "count": 1.0, "url": c.Base + "/bulk-files/" + job.ID + "/1.OperationOutcome.ndjson"}},
	}, m)
	require.Equal(t, resp.Text, status(t, c, job).Text, "a manifest does not change")
}

func TestStatusOfOtherEnds(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	start := func() *models.Job { return c.KickOff(t, http.MethodGet, "/fhir/$export", "") }

	failed := start()
	require.NoError(t, a.Store.FailJob(t.Context(), failed.ID, models.StateFailed, "the reason", time.Now()))
	require.Equal(t, "the reason", status(t, c, failed).Refused(t, 500).Issue[0].Diagnostics)
	require.NotContains(t, a.Log(), "request failed", "a job that failed is no fault of the request")

	cancelled := start()
	require.NoError(t, a.Store.FailJob(t.Context(), cancelled.ID, models.StateCancelled, "", time.Now()))
	status(t, c, cancelled).Refused(t, 404)

	expired := start()
	complete(t, c, expired, time.Now().Add(-time.Second))
	require.Equal(t, "deleted", status(t, c, expired).Refused(t, 410).Issue[0].Code)

	terminated := start()
	require.NoError(t, a.Temporal.TerminateWorkflow(t.Context(), "export-"+terminated.ID, "", "an operator's doing"))
	require.Equal(t, "exception", status(t, c, terminated).Refused(t, 500).Issue[0].Code)
	closed, err := a.Store.Job(t.Context(), terminated.ID)
	require.NoError(t, err)
	require.Equal(t, models.StateFailed, closed.State, "it is closed, and may go on")
	_, err = a.Temporal.DescribeWorkflowExecution(t.Context(), "expire-"+terminated.ID, "")
	require.Error(t, err)
	status(t, c, terminated).Refused(t, 500)
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+terminated.ID, "").StatusCode)
	_, err = a.Temporal.DescribeWorkflowExecution(t.Context(), "expire-"+terminated.ID, "")
	require.NoError(t, err, "what it wrote is on its way out")
	status(t, c, terminated).Refused(t, 404)

	other := a.Client(t, "other", models.ClientBackend, "")
	status(t, other, failed).Refused(t, 404)
	for _, id := range []string{models.NewID(), "x", "..", strings.ToUpper(failed.ID), failed.ID + "%00", "%ff", strings.Repeat("9", 4000)} {
		c.Do(t, http.MethodGet, "/fhir/bulk-status/"+id, "").Refused(t, 404)
		c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+id, "").Refused(t, 404)
	}
	other.Do(t, http.MethodDelete, "/fhir/bulk-status/"+failed.ID, "").Refused(t, 404)
	status(t, c, failed).Refused(t, 500)
}

// A poll must work while Temporal does not answer, and so must a delete.
func TestStatusWithoutTemporal(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	broken := apitest.New(t, func(p *boot.Process, _ *server.Config) {
		p.Store, p.Blob, p.Temporal = a.Store, a.Files, brokenTemporal{p.Temporal}
	})
	job := a.Client(t, "backend", models.ClientBackend, "").KickOff(t, http.MethodGet, "/fhir/$export", "")
	c := broken.Login(t, "backend", "")
	require.Equal(t, http.StatusAccepted, status(t, c, job).StatusCode)
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+job.ID, "").StatusCode)
	status(t, c, job).Refused(t, 404)
	require.Contains(t, broken.Log(), errTemporal.Error())
}

func TestStatusWithoutDatabase(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/$export", "")
	require.Equal(t, http.StatusAccepted, status(t, c, job).StatusCode)
	_, err := a.Store.Pool.Exec(t.Context(), `ALTER TABLE jobs RENAME TO gone`)
	require.NoError(t, err)
	resp := status(t, c, job)
	o := resp.Refused(t, 503)
	require.Equal(t, "transient", o.Issue[0].Code)
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	require.Contains(t, a.Log(), "select job: ", "the cause is logged")
	require.NotContains(t, resp.Text, "select")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	running := c.KickOff(t, http.MethodGet, "/fhir/$export", "")
	finished := c.KickOff(t, http.MethodGet, "/fhir/Patient/$export", "")
	putBlob(t, c, "exports/x", []byte("x"))
	complete(t, c, finished, time.Now().Add(time.Hour), models.JobFile{Kind: "output", Type: "Patient", BlobKey: "exports/x", Lines: 1, RawLen: 1, PackedLen: 1})

	for _, job := range []*models.Job{running, finished} {
		resp := c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+job.ID, "")
		require.Equal(t, http.StatusAccepted, resp.StatusCode)
		require.Empty(t, resp.Text)
		status(t, c, job).Refused(t, 404)
		c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+job.ID, "").Refused(t, 404)
		c.Do(t, http.MethodGet, "/fhir/bulk-files/"+job.ID+"/0.Patient.ndjson", "").Refused(t, 404)
	}
	run, err := a.Temporal.DescribeWorkflowExecution(t.Context(), "export-"+running.ID, "")
	require.NoError(t, err)
	history := a.Temporal.GetWorkflowHistory(t.Context(), "export-"+running.ID, run.GetWorkflowExecutionInfo().GetExecution().GetRunId(), false, 0)
	cancelled := false
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		cancelled = cancelled || event.GetWorkflowExecutionCancelRequestedEventAttributes() != nil
	}
	require.True(t, cancelled)
	require.NotContains(t, a.Log(), "could not be told", "a finished job without a run to tell is as it should be")
}

// ST-04, RL-02, RL-05: hot polling is slowed down, without harm to the job or to others.
func TestHotPolling(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.PollBurst = 3; cfg.OpenJobs = 0 })
	c := a.Client(t, "backend", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/$export", "")
	other := c.KickOff(t, http.MethodGet, "/fhir/Patient/$export", "")
	var slowed *apitest.Answer
	for range 50 {
		if resp := status(t, c, job); resp.StatusCode != http.StatusAccepted {
			slowed = resp
			break
		}
	}
	require.NotNil(t, slowed)
	require.Equal(t, "throttled", slowed.Refused(t, 429).Issue[0].Code)
	seconds, err := strconv.Atoi(slowed.Header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, seconds)
	require.Equal(t, http.StatusAccepted, status(t, c, other).StatusCode)
	complete(t, c, job, time.Now().Add(time.Hour))
	require.Eventually(t, func() bool { return status(t, c, job).StatusCode == http.StatusOK }, eventually, 300*time.Millisecond)
}

// Who kicks off with the preference is answered about the poll by the status and about the job by a header, whatever becomes of the
// job; who did not, for the same job, is not.
func TestSeparateExportStatus(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, nil).Client(t, "backend", models.ClientBackend, "")
	begin := func(path string) (location string, job *models.Job) {
		resp := c.Do(t, http.MethodGet, path, "", "Prefer: respond-async, separate-export-status", apitest.FHIR)
		require.Equal(t, http.StatusAccepted, resp.StatusCode, resp.Text)
		require.Equal(t, "respond-async, separate-export-status", resp.Header.Get("Preference-Applied"))
		location = resp.Header.Get("Content-Location")
		address, query, _ := strings.Cut(location, "?")
		require.Equal(t, "status=separate", query)
		job, err := c.Store.Job(t.Context(), address[strings.LastIndexByte(address, '/')+1:])
		require.NoError(t, err)
		return location, job
	}
	polled := func(location, want string) *apitest.Answer {
		resp := c.Do(t, http.MethodGet, location, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
		require.Equal(t, want, resp.Header.Get("X-Export-Status"))
		return resp
	}
	location, job := begin("/fhir/$export?_type=Patient")
	require.Equal(t, job.ID, c.KickOff(t, http.MethodGet, "/fhir/$export?_type=Patient", "").ID)
	resp := polled(location, "202 Accepted")
	require.Empty(t, resp.Text)
	require.NotEmpty(t, resp.Header.Get("X-Progress"))
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	plain := status(t, c, job)
	require.Equal(t, http.StatusAccepted, plain.StatusCode)
	require.Empty(t, plain.Header.Get("X-Export-Status"))
	complete(t, c, job, time.Now().Add(time.Hour), models.JobFile{Kind: "output", Type: "Patient", Lines: 3, RawLen: 3, PackedLen: 3})
	require.Equal(t, status(t, c, job).Text, polled(location, "200 OK").Text)

	failing, job := begin("/fhir/$export?_type=Group")
	require.NoError(t, c.Store.FailJob(t.Context(), job.ID, models.StateFailed, "it did not work", time.Now()))
	require.Contains(t, polled(failing, "500 Internal Server Error").Text, "it did not work")
	status(t, c, job).Refused(t, http.StatusInternalServerError)

	// The poll's own trouble is its own.
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodDelete, failing, "").StatusCode)
	gone := c.Do(t, http.MethodGet, failing, "")
	gone.Refused(t, http.StatusNotFound)
	require.Empty(t, gone.Header.Get("X-Export-Status"))
	require.Empty(t, c.Do(t, http.MethodGet, "/fhir/$export?_type=Device", "", apitest.Async, apitest.FHIR).Header.Get("Preference-Applied"))
}

// Who allows partial manifests gets pages, each with a link to the next; who does not gets all at once.
func TestManifestInPages(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.ManifestFiles, cfg.PollBurst = 2, 3 })
	c := a.Client(t, "backend", models.ClientBackend, "")
	var files []models.JobFile
	for range 4 {
		files = append(files, models.JobFile{Kind: "output", Type: "Patient", Lines: 1, RawLen: 3, PackedLen: 3, Format: models.FormatDeflate})
	}
	files = append(files, models.JobFile{Kind: "error", Type: "OperationOutcome", Lines: 1, RawLen: 3, PackedLen: 3})
	type page struct {
		TransactionTime, Request string
		Output, Deleted, Error   []struct{ URL string }
		Link                     []struct{ Relation, URL string }
	}
	read := func(url string) (p page) {
		resp := c.Do(t, http.MethodGet, url, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &p))
		return p
	}
	whole := c.KickOff(t, http.MethodGet, "/fhir/$export?_type=Patient", "")
	complete(t, c, whole, time.Now().Add(time.Hour), files...)
	p := read("/fhir/bulk-status/" + whole.ID + "?page=2")
	require.Len(t, p.Output, 4)
	require.Empty(t, p.Link)

	job := c.KickOff(t, http.MethodGet, "/fhir/$export?_type=Patient&allowPartialManifests=true", "")
	other := c.KickOff(t, http.MethodGet, "/fhir/$export?_type=Device&allowPartialManifests=true", "")
	for _, want := range []int{202, 202, 202, 429, 429} {
		require.Equal(t, want, c.Do(t, http.MethodGet, "/fhir/bulk-status/"+other.ID+"?page=1", "").StatusCode, "none while it runs")
	}
	complete(t, c, job, time.Now().Add(time.Hour), files...)
	seen := map[string]bool{}
	own := "/fhir/bulk-status/" + job.ID + "?page=1"
	at := func(n string) string { return strings.TrimSuffix(own, "1") + n }
	for i, want := range []struct{ output, errors int }{{2, 0}, {2, 0}, {0, 1}} {
		p := read(at(strconv.Itoa(i+1) + "&status=separate"))
		require.Equal(t, read(own).TransactionTime, p.TransactionTime)
		require.Len(t, p.Output, want.output)
		require.Len(t, p.Error, want.errors)
		for _, f := range append(p.Output, p.Error...) {
			seen[f.URL] = true
		}
		if i == 2 {
			require.Empty(t, p.Link)
			continue
		}
		require.Equal(t, "next", p.Link[0].Relation)
		require.Equal(t, c.Base+"/bulk-status/"+job.ID+"?page="+strconv.Itoa(i+2)+"&status=separate", p.Link[0].URL)
	}
	require.Len(t, seen, 5)
	require.Equal(t, read(own), read("/fhir/bulk-status/"+job.ID))
	before := c.Do(t, http.MethodGet, own, "").Text
	for _, gzip := range []bool{true, false} {
		require.NoError(t, c.Store.SaveDigest(t.Context(), job.ID, 0, gzip, []byte("learned later")))
	}
	require.Equal(t, before, c.Do(t, http.MethodGet, own, "").Text, "a page never changes")
	for _, n := range []string{"0", "-1", "4", "x", "99999999999999999999"} {
		require.Equal(t, "page", c.Do(t, http.MethodGet, at(n), "").Refused(t, http.StatusNotFound).At())
	}
	a.Client(t, "other", models.ClientBackend, "").Do(t, http.MethodGet, at("2"), "").Refused(t, http.StatusNotFound)
	c.Do(t, http.MethodGet, "/fhir/$export?allowPartialManifests=yes", "", apitest.Async, apitest.FHIR).Refused(t, http.StatusBadRequest)
}

// The progress of a Group's export tells no numbers of resources: with those of the manifest they would tell how many were held back.
func TestProgressOfAGroup(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	job := c.KickOff(t, http.MethodGet, "/fhir/Group/"+addGroup(t, c, nil)+"/$davinci-data-export", "")
	require.Equal(t, "0%, waiting to be planned", status(t, c, job).Header.Get("X-Progress"))
	_, err := c.Store.StartJob(t.Context(), job.ID, "exporting", time.Now())
	require.NoError(t, err)
	require.NoError(t, c.Store.SavePlan(t.Context(), job.ID, []store.Chunk{{JobID: job.ID, Members: 1, Planned: 30}, {JobID: job.ID, Chunk: 1, Members: 1, Planned: 70}}))
	_, err = c.Store.PublishChunk(t.Context(), job.ID, 0, models.NewID(), "", models.Accounting{Planned: 30, WithheldResources: 30}, nil, store.Referred{})
	require.NoError(t, err)
	require.Equal(t, "30%, exporting", status(t, c, job).Header.Get("X-Progress"))
}
