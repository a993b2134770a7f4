package e2e

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
	"pdexbulk/models"
)

var asyncHeader = http.Header{"Accept": {"application/fhir+json"}, "Prefer": {"respond-async"}}

// TestOwnership asks for another client's things. The answers must be those for things that never were, or asking would
// tell what exists.
func TestOwnership(t *testing.T) {
	t.Parallel()
	r, w := shared(t)
	owner, other := r.payer(t, "owner"), r.payer(t, "other")
	body, _, err := w.request("owner", seed.RequestOptions{Seed: 21, Members: 40, Clean: true})
	require.NoError(t, err)
	match, err := owner.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	_, group := matched(t, owner, match)
	job := export(t, owner, "Group/"+group+"/$export", nil)
	_, m := finish(t, owner, job)
	held := r.hold(t, "owner", atChunk, 0)
	running := export(t, owner, "Group/"+group+"/$export", nil)
	held.reached()

	never := models.NewID()
	file := m.Output[0].URL
	requests := []struct {
		name, method, path, unknown string
		header                      http.Header
	}{
		{"status of a finished job", http.MethodGet, job.StatusURL, r.Base + "/bulk-status/" + never, nil},
		{"status of a running job", http.MethodGet, running.StatusURL, r.Base + "/bulk-status/" + never, nil},
		{"deleting a finished job", http.MethodDelete, job.StatusURL, r.Base + "/bulk-status/" + never, nil},
		{"deleting a running job", http.MethodDelete, running.StatusURL, r.Base + "/bulk-status/" + never, nil},
		{"a file", http.MethodGet, file, strings.Replace(file, jobID(job.StatusURL), never, 1), nil},
		{"a stretch of a file", http.MethodGet, file, strings.Replace(file, jobID(job.StatusURL), never, 1), http.Header{"Range": {"bytes=0-1"}}},
		{"a Group", http.MethodGet, "Group/" + group, "Group/" + never, nil},
		{"an export of a Group", http.MethodGet, "Group/" + group + "/$export", "Group/" + never + "/$export", asyncHeader},
		{"a PDex export of a Group", http.MethodGet, "Group/" + group + "/$davinci-data-export", "Group/" + never + "/$davinci-data-export", asyncHeader},
	}
	for _, q := range requests {
		resp, text := call(t, other, q.method, q.path, q.header, nil)
		refused(t, resp, text, http.StatusNotFound, group, jobID(job.StatusURL))
		_, unknown := call(t, other, q.method, q.unknown, q.header, nil)
		require.Equal(t, string(unknown), string(text), q.name)
	}
	resp, _ := call(t, other, http.MethodHead, file, nil, nil)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)

	// None of it has harmed the owner's.
	held.open()
	_, _ = finish(t, owner, running)
	_, _ = finish(t, owner, job)
	resp, text := call(t, owner, http.MethodGet, "Group/"+group, nil, nil)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, string(text), group)
}

// TestWithoutToken sends every request without a token and with tokens that are none.
func TestWithoutToken(t *testing.T) {
	t.Parallel()
	r, _ := shared(t)
	c := r.backend(t, "tokens")
	job := export(t, c, "Patient/$export", nil)
	_, m := finish(t, c, job)
	token, err := c.Token(t.Context())
	require.NoError(t, err)

	anonymous := client.New(client.Config{BaseURL: r.Base})
	requests := map[string]string{
		job.StatusURL: http.MethodGet, m.Output[0].URL: http.MethodGet, "Patient/$export": http.MethodGet, "$export": http.MethodPost,
		"Group/" + models.NewID(): http.MethodGet, "Group/$bulk-member-match": http.MethodPost, job.StatusURL + "?": http.MethodDelete,
	}
	wrong := map[string]string{
		"":                       `Bearer realm="fhir"`,
		"Basic dG9rZW5zOg==":     `Bearer realm="fhir"`,
		"Bearer " + r.AdminToken: `Bearer realm="fhir", error="invalid_token"`,
		"Bearer " + token[:len(token)-4] + "AAAA": `Bearer realm="fhir", error="invalid_token"`,
	}
	for path, method := range requests {
		for authorization, challenge := range wrong {
			header := asyncHeader.Clone()
			if authorization != "" {
				header.Set("Authorization", authorization)
			}
			resp, text := call(t, anonymous, method, path, header, nil)
			refused(t, resp, text, http.StatusUnauthorized, r.AdminToken, token)
			require.Equal(t, challenge, resp.Header.Get("WWW-Authenticate"), "%s %s", method, path)
		}
	}
	// A client's token is none of the admin API's.
	for _, authorization := range []string{"", "Bearer " + token} {
		header := http.Header{}
		if authorization != "" {
			header.Set("Authorization", authorization)
		}
		resp, text := call(t, anonymous, http.MethodGet, r.Root+"/admin/jobs/"+jobID(job.StatusURL), header, nil)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, string(text))
		require.Equal(t, `Bearer realm="admin"`, resp.Header.Get("WWW-Authenticate"))
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	}
}

// TestScope asks for more than a client may have.
func TestScope(t *testing.T) {
	t.Parallel()
	r, _ := shared(t)
	payer, backend := r.payer(t, "scope-payer"), r.backend(t, "scope-backend")
	for _, path := range []string{"$export", "Patient/$export"} {
		resp, text := call(t, payer, http.MethodGet, path, asyncHeader, nil)
		refused(t, resp, text, http.StatusForbidden)
	}
	header := asyncHeader.Clone()
	header.Set("Content-Type", "application/fhir+json")
	resp, text := call(t, backend, http.MethodPost, "Group/$bulk-member-match", header, []byte(`{"resourceType":"Parameters"}`))
	refused(t, resp, text, http.StatusForbidden)
}

// TestDeleteJob cancels a job in its midst and deletes one that is done. Both are unknown from then on, and their files gone.
func TestDeleteJob(t *testing.T) {
	t.Parallel()
	r, w := shared(t)
	c := r.backend(t, "deleting")
	gone := func(t *testing.T, job *client.Job, file string) {
		t.Helper()
		resp, text := call(t, c, http.MethodGet, job.StatusURL, nil, nil)
		refused(t, resp, text, http.StatusNotFound)
		resp, text = call(t, c, http.MethodDelete, job.StatusURL, nil, nil)
		refused(t, resp, text, http.StatusNotFound)
		if file != "" {
			resp, text = call(t, c, http.MethodGet, file, nil, nil)
			refused(t, resp, text, http.StatusNotFound)
		}
	}
	vanish := func(t *testing.T, job *client.Job) {
		t.Helper()
		id := jobID(job.StatusURL)
		eventually(t, 10*time.Second, "the files stay", func() bool {
			return len(r.files(t, "exports/"+id)) == 0 && len(r.files(t, "matches/"+id)) == 0 && len(r.published(t, job)) == 0
		})
	}

	held := r.hold(t, "deleting", atChunk, 1)
	job := export(t, c, "$export", nil)
	held.reached()
	require.NotEmpty(t, r.files(t, "exports/"+jobID(job.StatusURL)))
	require.NoError(t, job.Delete(t.Context()))
	gone(t, job, "")
	held.open()
	vanish(t, job)
	temporal := r.temporal(t)
	eventually(t, 10*time.Second, "the work goes on", func() bool {
		run, err := temporal.DescribeWorkflowExecution(t.Context(), "export-"+jobID(job.StatusURL), "")
		require.NoError(t, err)
		return run.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	})

	job = export(t, c, "$export", nil)
	_, m := finish(t, c, job)
	require.NoError(t, job.Delete(t.Context()))
	gone(t, job, m.Output[0].URL)
	vanish(t, job)

	// A match likewise; its Group lives on.
	p := r.payer(t, "deleting-match")
	body, _, err := w.request("deleting-match", seed.RequestOptions{Seed: 22, Members: 600, Clean: true})
	require.NoError(t, err)
	slice := r.hold(t, "deleting-match", atSlice, 0)
	cancelled, err := p.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	slice.reached()
	require.NoError(t, cancelled.Delete(t.Context()))
	slice.open()
	id := jobID(cancelled.StatusURL)
	eventually(t, 10*time.Second, "the files of a cancelled match stay", func() bool {
		return len(r.files(t, "matches/"+id)) == 0 && len(r.files(t, "groups/"+id)) == 0
	})
	match, err := p.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	require.NotEqual(t, cancelled.StatusURL, match.StatusURL)
	_, group := matched(t, p, match)
	require.NoError(t, match.Delete(t.Context()))
	id = jobID(match.StatusURL)
	eventually(t, 10*time.Second, "the files of a deleted match stay", func() bool { return len(r.files(t, "matches/"+id)) == 0 })
	resp, text := call(t, p, http.MethodGet, "Group/"+group, nil, nil)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(text))
}
