package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/workflows"
)

// act does something to a job and returns the answer.
func act(t *testing.T, a *apitest.API, jobID, action string, headers ...string) *apitest.Answer {
	t.Helper()
	return a.Do(t, http.MethodPost, "/admin/jobs/"+jobID+"/"+action, "", append([]string{bearer, because}, headers...)...)
}

func read(t *testing.T, resp *apitest.Answer, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, resp.StatusCode, resp.Text)
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &v), resp.Text)
	return v
}

// complete does what the run of an export would: one chunk of two members, of whom one is withheld, in one file.
func complete(t *testing.T, a *apitest.API, job *models.Job, expires time.Time) {
	t.Helper()
	ctx := t.Context()
	_, err := a.Store.StartJob(ctx, job.ID, "exporting", time.Now())
	require.NoError(t, err)
	first, last := uuid.MustParse("11111111-1111-8111-8111-111111111111"), uuid.MustParse("22222222-2222-8222-8222-222222222222")
	require.NoError(t, a.Store.SavePlan(ctx, job.ID, []store.Chunk{{JobID: job.ID, Lo: first, Hi: last, Members: 2, Planned: 5}}))
	acc := models.Accounting{Members: 2, Exported: 1, Withheld: 1, Planned: 5, Written: 3, WithheldResources: 2}
	won, err := a.Store.PublishChunk(ctx, job.ID, 0, models.NewID(), "exports/"+job.ID+"/0", acc,
		[]store.Part{{Type: 1, Lines: 3, Raw: 30, Packed: 10, CRC: 7}}, store.Referred{}, store.Withheld{Member: last, Whole: true})
	require.NoError(t, err)
	require.True(t, won)
	files := []models.JobFile{{JobID: job.ID, Kind: "output", Type: "Patient", LastChunk: 0, Lines: 3, RawLen: 30, PackedLen: 10, CRC: 7}}
	done, err := a.Store.CompleteJob(ctx, job.ID, files, acc, time.Now(), expires, nil)
	require.NoError(t, err)
	require.True(t, done)
}

func TestJobsAreFound(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	one, other := a.Client(t, "one", models.ClientBackend, ""), a.Client(t, "other", models.ClientBackend, "")
	running := one.KickOff(t, http.MethodGet, "/fhir/$export", "")
	patients := one.KickOff(t, http.MethodGet, "/fhir/Patient/$export", "")
	theirs := other.KickOff(t, http.MethodGet, "/fhir/Patient/$export", "")
	complete(t, a, theirs, time.Now().Add(time.Hour))
	read(t, act(t, a, patients.ID, "pause"), 200)
	moment := func(d time.Duration) string {
		return strings.ReplaceAll(running.CreatedAt.Add(d).Format(time.RFC3339Nano), "+", "%2B")
	}
	for query, want := range map[string][]string{
		"":                                     {theirs.ID, patients.ID, running.ID},
		"?client=one":                          {patients.ID, running.ID},
		"?operation=patient-export":            {theirs.ID, patients.ID},
		"?state=completed":                     {theirs.ID},
		"?paused=true":                         {patients.ID},
		"?paused=false":                        {theirs.ID, running.ID},
		"?client=one&state=completed":          {},
		"?from=" + moment(time.Hour):           {},
		"?to=" + moment(0):                     {},
		"?from=" + moment(0):                   {theirs.ID, patients.ID, running.ID},
		"?client=nobody":                       {},
		"?to=" + moment(24*time.Hour):          {theirs.ID, patients.ID, running.ID},
		"?client=one&limit=1":                  {patients.ID},
		"?client=one&cursor=" + patients.ID:    {running.ID},
		"?cursor=" + running.ID + "&limit=100": {},
	} {
		got := []string{}
		for _, item := range read(t, a.Do(t, http.MethodGet, "/admin/jobs"+query, "", bearer), 200)["items"].([]any) {
			got = append(got, item.(map[string]any)["id"].(string))
		}
		require.Equal(t, want, got, query)
	}
	for _, query := range []string{"?state=" + secret, "?operation=" + secret, "?paused=" + secret, "?from=" + secret} {
		refused(t, a.Do(t, http.MethodGet, "/admin/jobs"+query, "", bearer), 422)
	}
	refused(t, a.Do(t, http.MethodGet, "/admin/jobs?client=%20"+secret, "", bearer), 400)
}

func TestJobDetail(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "one", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/$export", "")
	path := "/admin/jobs/" + job.ID
	v := read(t, a.Do(t, http.MethodGet, path, "", bearer), 200)
	require.Equal(t, "open", v["balance"])
	require.Nil(t, v["plan"])
	complete(t, a, job, time.Now().Add(time.Hour))
	v = read(t, a.Do(t, http.MethodGet, path, "", bearer), 200)
	require.Equal(t, "even", v["balance"])
	require.Equal(t, map[string]any{"chunks": 1.0, "chunksDone": 1.0, "chunksFailed": 0.0, "resources": 5.0, "resourcesDone": 5.0}, v["plan"])
	require.Equal(t, map[string]any{"done": 5.0, "total": 5.0, "unit": "resources"}, v["progress"])
	require.Equal(t, map[string]any{"count": 1.0, "resources": 3.0, "bytes": 30.0, "storedBytes": 10.0}, v["files"])
	require.Equal(t, map[string]any{"members": 1.0, "sensitive": 0.0}, v["withheld"])
	require.Equal(t, map[string]any{"members": 2.0, "exported": 1.0, "withheld": 1.0, "planned": 5.0, "written": 3.0, "withheldResources": 2.0}, v["accounting"])

	chunks := read(t, a.Do(t, http.MethodGet, path+"/chunks", "", bearer), 200)["items"].([]any)
	require.Len(t, chunks, 1)
	require.Equal(t, true, chunks[0].(map[string]any)["done"])
	files := read(t, a.Do(t, http.MethodGet, path+"/files", "", bearer), 200)["items"].([]any)
	require.Equal(t, []any{map[string]any{
		"file": 0.0, "name": "0.Patient.ndjson", "kind": "output", "type": "Patient", "format": "application/fhir+ndjson", "count": 3.0, "bytes": 30.0,
		"storedBytes": 10.0, "checksum": []any{map[string]any{"algorithm": "crc32", "coding": "identity", "value": "AAAABw=="}},
	}}, files)
	for _, list := range []string{"/chunks", "/files"} {
		refused(t, a.Do(t, http.MethodGet, path+list+"?cursor="+secret, "", bearer), 400)
		refused(t, a.Do(t, http.MethodGet, "/admin/jobs/"+models.NewID()+list, "", bearer), 404)
		require.Empty(t, read(t, a.Do(t, http.MethodGet, path+list+"?cursor=0", "", bearer), 200)["items"])
	}
}

// A job that its client has deleted is told of one by one as it is in the list, and that nothing is left to be had of it.
func TestDeletedJob(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "one", models.ClientBackend, "")
	done, running := c.KickOff(t, http.MethodGet, "/fhir/$export", ""), c.KickOff(t, http.MethodGet, "/fhir/Patient/$export", "")
	complete(t, a, done, time.Now().Add(time.Hour))
	for _, job := range []*models.Job{done, running} {
		require.Equal(t, 202, c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+job.ID, "").StatusCode)
	}
	items := read(t, a.Do(t, http.MethodGet, "/admin/jobs", "", bearer), 200)["items"].([]any)
	require.Len(t, items, 2)
	for i, job := range []*models.Job{running, done} {
		listed := items[i].(map[string]any)
		require.Equal(t, []any{job.ID, []any{"cancelled", "completed"}[i]}, []any{listed["id"], listed["state"]})
		require.NotEmpty(t, listed["deletedAt"])
		path := "/admin/jobs/" + job.ID
		v := read(t, a.Do(t, http.MethodGet, path, "", bearer), 200)
		require.Equal(t, []any{"open", "even"}[i], v["balance"])
		require.NotContains(t, v, "files", "no file is left")
		for name, value := range listed {
			require.Equal(t, value, v[name], name)
		}
		require.Empty(t, read(t, a.Do(t, http.MethodGet, path+"/files", "", bearer), 200)["items"])
		require.Empty(t, read(t, a.Do(t, http.MethodGet, path+"/outcomes", "", bearer), 200)["items"])
		require.Len(t, read(t, a.Do(t, http.MethodGet, path+"/chunks", "", bearer), 200)["items"], i)
		for _, action := range []string{"pause", "resume", "retry", "reissue"} {
			refused(t, act(t, a, job.ID, action), 409)
		}
		require.Equal(t, 404, c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "").StatusCode, "its client has none")
	}
	read(t, act(t, a, running.ID, "cancel"), 202)
	refused(t, act(t, a, done.ID, "cancel"), 409)
}

// Every action needs a reason, and is recorded with it.
func TestJobActions(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "one", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/$export", "")
	for _, action := range []string{"pause", "resume", "cancel", "retry", "reissue"} {
		refused(t, a.Do(t, http.MethodPost, "/admin/jobs/"+job.ID+"/"+action, "", bearer, "X-Reason: "), 400)
		refused(t, act(t, a, models.NewID(), action), 404)
		refused(t, act(t, a, secret, action), 404)
	}
	for range 2 { // again is the same
		require.Equal(t, true, read(t, act(t, a, job.ID, "pause"), 200)["paused"])
	}
	stored, err := a.Store.Job(t.Context(), job.ID)
	require.NoError(t, err)
	require.NotNil(t, stored.PausedAt)
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "").StatusCode, "its client sees it in progress")
	for range 2 {
		require.Nil(t, read(t, act(t, a, job.ID, "resume"), 200)["paused"])
	}
	signals := 0
	events := a.Temporal.GetWorkflowHistory(t.Context(), workflows.JobWorkflowID(job), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		if s := e.GetWorkflowExecutionSignaledEventAttributes(); s != nil {
			require.Equal(t, workflows.PauseSignal, s.SignalName)
			signals++
		}
	}
	require.Equal(t, 4, signals)
	refused(t, act(t, a, job.ID, "retry"), 409)
	refused(t, act(t, a, job.ID, "reissue"), 409)

	search := `{"job":"` + job.ID + `","action":"pause-job","outcome":"success"}`
	found := read(t, a.Do(t, http.MethodPost, "/admin/audit/search", search, bearer, jsonType), 200)["items"].([]any)
	require.Len(t, found, 2)
	require.Equal(t, "a test", found[0].(map[string]any)["reason"])
	require.Equal(t, "one", found[0].(map[string]any)["client"])
	require.Equal(t, "bootstrap", found[0].(map[string]any)["actor"])

	// Cancelling is for the run to do; where none is, it is done at once.
	require.Equal(t, "accepted", read(t, act(t, a, job.ID, "cancel"), 202)["state"])
	require.NoError(t, a.Temporal.TerminateWorkflow(t.Context(), workflows.JobWorkflowID(job), "", "test"))
	require.Equal(t, "cancelled", read(t, act(t, a, job.ID, "cancel"), 202)["state"])
	require.Equal(t, "cancelled", read(t, act(t, a, job.ID, "cancel"), 202)["state"])
	for _, action := range []string{"pause", "resume", "retry", "reissue"} {
		require.Contains(t, refused(t, act(t, a, job.ID, action), 409).Detail, "cancelled", action)
	}

	// What an auditor may not do.
	auditor := "Authorization: Bearer " + issue(t, a, models.RoleAuditor, bearer).Token
	operator := "Authorization: Bearer " + issue(t, a, models.RoleOperator, bearer).Token
	refused(t, a.Do(t, http.MethodPost, "/admin/jobs/"+job.ID+"/pause", "", auditor, because), 403)
	refused(t, a.Do(t, http.MethodPost, "/admin/jobs/"+job.ID+"/reissue", "", operator, because), 403)
	refused(t, a.Do(t, http.MethodPost, "/admin/jobs/"+job.ID+"/pause", "", operator, because), 409)
}

func TestRetryAJob(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "one", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/$export", "")
	first, err := a.Temporal.DescribeWorkflow(t.Context(), workflows.JobWorkflowID(job), "")
	require.NoError(t, err)
	require.NoError(t, a.Store.FailJob(t.Context(), job.ID, models.StateFailed, "the reason", time.Now()))
	resp := act(t, a, job.ID, "retry")
	refused(t, resp, 503)
	require.Equal(t, "1", resp.Header.Get("Retry-After"), "the run has not ended yet")
	require.NoError(t, a.Temporal.TerminateWorkflow(t.Context(), workflows.JobWorkflowID(job), "", "test"))
	for range 2 {
		v := read(t, act(t, a, job.ID, "retry"), 202)
		require.Equal(t, "accepted", v["state"], "nothing was planned, so it begins anew")
		require.EqualValues(t, 1, v["retries"])
		require.Nil(t, v["error"])
	}
	second, err := a.Temporal.DescribeWorkflow(t.Context(), workflows.JobWorkflowID(job), "")
	require.NoError(t, err)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, second.Status)
	require.NotEqual(t, first.WorkflowExecution.RunID, second.WorkflowExecution.RunID)
	complete(t, a, job, time.Now().Add(time.Hour))
	refused(t, act(t, a, job.ID, "retry"), 409)
	require.Equal(t, http.StatusOK, c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "").StatusCode)

	match := &models.Job{
		ID: models.NewID(), ClientID: "one", Operation: models.OpBulkMemberMatch, State: models.StateAccepted, RequestURL: "x", RequestDigest: []byte("x"),
		Params: json.RawMessage(`{}`), CreatedAt: time.Now(),
	}
	_, _, err = a.Store.CreateMatch(t.Context(), match, nil, 0)
	require.NoError(t, err)
	require.NoError(t, a.Store.FailJob(t.Context(), match.ID, models.StateFailed, "the reason", time.Now()))
	refused(t, act(t, a, match.ID, "retry"), 409)
	refused(t, act(t, a, match.ID, "reissue"), 409)
}

func TestReissueAJob(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "payer", models.ClientPayer, "")
	group := func(expires *time.Time) string {
		g := &store.Group{
			ID: models.NewID(), ClientID: "payer", JobID: models.NewID(), Profile: models.MatchGroupProfile, BlobKey: "groups/x", CreatedAt: time.Now(), ExpiresAt: expires,
			Organizations: []string{apitest.OrganizationID("payer")},
		}
		require.NoError(t, store.AddMatchedGroup(t.Context(), a.Store.DB, g))
		return g.ID
	}
	export := func(groupID string) *models.Job {
		job := c.KickOff(t, http.MethodGet, "/fhir/Group/"+groupID+"/$davinci-data-export?_type=Patient&exportType=hl7.fhir.us.davinci-pdex%23payertopayer", "")
		complete(t, a, job, time.Now().Add(-time.Hour)) // its files have expired
		return job
	}
	id := group(nil)
	old := export(id)
	c.Do(t, http.MethodGet, "/fhir/bulk-status/"+old.ID, "").Refused(t, 410)
	v := read(t, act(t, a, old.ID, "reissue", "Idempotency-Key: k1"), 201)
	require.Equal(t, old.ID, v["reissueOf"])
	require.Equal(t, "payer", v["client"])
	again := v["id"].(string)
	require.NotEqual(t, old.ID, again)
	require.Equal(t, a.Base+"/bulk-status/"+again, v["statusUrl"])
	job, err := a.Store.Job(t.Context(), again)
	require.NoError(t, err)
	require.JSONEq(t, string(old.Params), string(job.Params))
	require.Equal(t, old.RequestURL, job.RequestURL)
	_, err = a.Temporal.DescribeWorkflow(t.Context(), workflows.JobWorkflowID(job), "")
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodGet, "/fhir/bulk-status/"+again, "").StatusCode)
	// The same again: by the key, and while it runs without one.
	require.Equal(t, again, read(t, act(t, a, old.ID, "reissue", "Idempotency-Key: k1"), 200)["id"])
	require.Equal(t, again, read(t, act(t, a, old.ID, "reissue"), 200)["id"])
	complete(t, a, job, time.Now().Add(time.Hour))
	require.Equal(t, again, read(t, act(t, a, old.ID, "reissue", "Idempotency-Key: k1"), 200)["id"])
	require.NotEqual(t, again, read(t, act(t, a, old.ID, "reissue", "Idempotency-Key: k2"), 201)["id"])

	// Who did it, for whom, and why.
	found := read(t, a.Do(t, http.MethodPost, "/admin/audit/search", `{"job":"`+again+`","action":"reissue-job"}`, bearer, jsonType), 200)["items"].([]any)
	require.NotEmpty(t, found)
	made := found[len(found)-1].(map[string]any)
	require.Equal(t, []any{"bootstrap", "payer", "a test", "success", id}, []any{made["actor"], made["client"], made["reason"], made["outcome"], made["group"]})

	// The rules of now.
	past := time.Now().Add(time.Second)
	brief := export(group(&past))
	require.Eventually(t, func() bool { return time.Now().After(past) }, 5*time.Second, 10*time.Millisecond)
	require.Contains(t, refused(t, act(t, a, brief.ID, "reissue"), 409).Detail, "expired")
	change := func(f func(*models.Client)) {
		client, err := a.Store.Client(t.Context(), "payer")
		require.NoError(t, err)
		f(&client)
		_, err = a.Store.UpsertClient(t.Context(), client)
		require.NoError(t, err)
	}
	change(func(c *models.Client) { c.Scopes = []string{"system/Coverage.rs"} })
	require.Contains(t, refused(t, act(t, a, old.ID, "reissue"), 409).Detail, "scopes")
	change(func(c *models.Client) { c.Scopes, c.Active = []string{"system/*.rs"}, false })
	require.Contains(t, refused(t, act(t, a, old.ID, "reissue"), 409).Detail, "not active")
}

func TestAdminGroups(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	add := func(client, profile string, expires *time.Time, members int) string {
		g := &store.Group{
			ID: models.NewID(), ClientID: client, JobID: models.NewID(), Profile: profile, BlobKey: "groups/" + secret, Members: int64(members), CreatedAt: time.Now(),
			ExpiresAt: expires, Organizations: []string{"urn:x|y"},
		}
		require.NoError(t, store.AddMatchedGroup(t.Context(), a.Store.DB, g))
		for i := range members {
			_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO group_members (group_id, member_id, policy) VALUES ($1, $2, 'regular')`, g.ID, models.MemberID(fmt.Sprint(i)))
			require.NoError(t, err)
		}
		return g.ID
	}
	past := time.Now().Add(-time.Hour)
	one := add("one", models.MatchGroupProfile, nil, 5)
	two := add("two", models.ProviderGroupProfile, &past, 0)
	three := add("two", models.AttributionGroupProfile, nil, 0)
	for query, want := range map[string][]string{
		"": {three, two, one}, "?client=one": {one}, "?kind=attribution": {three}, "?kind=provider": {two}, "?expired=true": {two}, "?expired=false": {three, one}, "?kind=payer&expired=true": {},
		"?job=" + models.NewID(): {}, "?cursor=" + two: {one}, "?limit=1": {three},
	} {
		got := []string{}
		for _, item := range read(t, a.Do(t, http.MethodGet, "/admin/groups"+query, "", bearer), 200)["items"].([]any) {
			got = append(got, item.(map[string]any)["id"].(string))
		}
		require.Equal(t, want, got, query)
	}
	resp := a.Do(t, http.MethodGet, "/admin/groups/"+one, "", bearer)
	require.NotContains(t, resp.Text, secret)
	v := read(t, resp, 200)
	require.Equal(t, []any{"one", "payer", 5.0, false}, []any{v["client"], v["kind"], v["members"], v["expired"]})
	require.Len(t, pages(t, a, "/admin/groups/"+one+"/members", 2, "member"), 5)
	for _, path := range []string{"/admin/groups/" + models.NewID(), "/admin/groups/" + secret, "/admin/groups/" + models.NewID() + "/members"} {
		refused(t, a.Do(t, http.MethodGet, path, "", bearer), 404)
	}
	for _, query := range []string{"?cursor=" + secret, "?job=" + secret, "?client=%20"} {
		refused(t, a.Do(t, http.MethodGet, "/admin/groups"+query, "", bearer), 400)
	}
	refused(t, a.Do(t, http.MethodGet, "/admin/groups/"+one+"/members?cursor="+secret, "", bearer), 400)
	// Who looks at members is on record.
	found := read(t, a.Do(t, http.MethodPost, "/admin/audit/search", `{"group":"`+one+`","action":"list-group-members"}`, bearer, jsonType), 200)["items"].([]any)
	require.NotEmpty(t, found)
}

// Any list comes whole as NDJSON.
func TestListsStream(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	const n = 2500
	g := &store.Group{ID: models.NewID(), ClientID: "one", JobID: models.NewID(), Profile: models.MatchGroupProfile, BlobKey: "groups/x", Members: n, CreatedAt: time.Now()}
	require.NoError(t, store.AddMatchedGroup(t.Context(), a.Store.DB, g))
	_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO group_members (group_id, member_id, policy) SELECT $1, gen_random_uuid(), 'regular' FROM generate_series(1, $2)`, g.ID, n)
	require.NoError(t, err)
	path := "/admin/groups/" + g.ID + "/members"
	for _, accept := range []string{"application/x-ndjson", "application/json;q=0.5, application/x-ndjson"} {
		resp := a.Do(t, http.MethodGet, path+"?limit=3", "", bearer, "Accept: "+accept)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, "application/x-ndjson", resp.Header.Get("Content-Type"))
		seen, last := 0, ""
		for line := range strings.Lines(resp.Text) {
			var m struct{ Member string }
			require.NoError(t, json.Unmarshal([]byte(line), &m))
			require.Greater(t, m.Member, last)
			last, seen = m.Member, seen+1
		}
		require.Equal(t, n, seen)
	}
	for _, accept := range []string{"application/json", "*/*", "application/x-ndjson;q=0"} {
		require.Len(t, read(t, a.Do(t, http.MethodGet, path+"?limit=3", "", bearer, "Accept: "+accept), 200)["items"], 3)
	}
	empty := a.Do(t, http.MethodGet, "/admin/opt-outs", "", bearer, "Accept: application/x-ndjson")
	require.Equal(t, http.StatusOK, empty.StatusCode)
	require.Empty(t, empty.Text)
	resp := a.Do(t, http.MethodGet, "/admin/opt-outs?cursor="+secret, "", bearer, "Accept: application/x-ndjson")
	refused(t, resp, 400)
	refused(t, a.Do(t, http.MethodGet, path, "", "Accept: application/x-ndjson"), 401)
	require.Equal(t, "application/json", a.Do(t, http.MethodGet, "/admin/groups/"+g.ID, "", bearer, "Accept: application/x-ndjson").Header.Get("Content-Type"), "one thing is no list")
}
