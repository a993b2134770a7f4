package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/worker/boot"
	"pdexbulk/workflows"
)

// What makes something makes it once for a key, and refuses the key for anything else.
func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	const key = "Idempotency-Key: k"
	for path, bodies := range map[string][2]string{
		"/admin/imports":           {`{"source":"/data/a"}`, `{"source":"/data/b"}`},
		"/admin/lists":             {`{"kind":"opt-outs","source":"/data/a.csv"}`, `{"kind":"opt-outs","source":"/data/b.csv"}`},
		"/admin/consent-overrides": {`{"patient":"our-1","source":"phone"}`, `{"patient":"our-1","source":"letter"}`},
	} {
		first := a.Do(t, http.MethodPost, path, bodies[0], bearer, jsonType, because, key)
		require.Less(t, first.StatusCode, 300, first.Text)
		again := a.Do(t, http.MethodPost, path, bodies[0], bearer, jsonType, because, key)
		require.Equal(t, first.StatusCode, again.StatusCode)
		require.JSONEq(t, first.Text, again.Text)
		require.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))
		require.Equal(t, "Idempotency-Key", refused(t, a.Do(t, http.MethodPost, path, bodies[1], bearer, jsonType, because, key), 409).Field)
		other := a.Do(t, http.MethodPost, path, bodies[0], bearer, jsonType, because, key+"2")
		require.NotEqual(t, first.Header.Get("Location"), other.Header.Get("Location"))
		refused(t, a.Do(t, http.MethodPost, path, bodies[0], bearer, jsonType, because, "Idempotency-Key: "+strings.Repeat("x", 256)), 400)
		require.Len(t, pages(t, a, path, 10, "id"), 2)
	}

	upload := func(body string) *apitest.Answer {
		return a.Do(t, http.MethodPost, "/admin/lists/upload?kind=opt-outs", body, bearer, because, "Content-Type: text/csv", "Idempotency-Key: u")
	}
	const rows = "patient,scope,reason\nour-1,global,other\n"
	first := upload(rows)
	require.Equal(t, http.StatusAccepted, first.StatusCode, first.Text)
	require.JSONEq(t, first.Text, upload(rows).Text)
	refused(t, upload(rows+"our-2,global,other\n"), 409)
	require.Len(t, a.Blobs(t), 1, "what came again is not kept")

	// Secrets are shown once.
	for path, body := range map[string]string{
		"/admin/credentials":    `{"name":"x","role":"auditor","expiresAt":"` + soon() + `"}`,
		"/admin/initial-tokens": `{"note":"x","kind":"payer","scopes":["system/*.rs"]}`,
	} {
		require.Equal(t, http.StatusCreated, a.Do(t, http.MethodPost, path, body, bearer, jsonType, because, key).StatusCode)
		refused(t, a.Do(t, http.MethodPost, path, body, bearer, jsonType, because, key), 409)
		require.Len(t, pages(t, a, path, 10, "id"), 1)
	}

	// Keys are each administrator's own.
	other := "Authorization: Bearer " + issue(t, a, models.RoleAdministrator, bearer).Token
	require.Equal(t, http.StatusAccepted, a.Do(t, http.MethodPost, "/admin/imports", `{"source":"/data/b"}`, other, jsonType, because, key).StatusCode)
}

// A row is changed or deleted only as it was read.
func TestConditionalWrites(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	const relationship = `{"patient":"our-1","npi":"1234567893","type":"active","start":"2026-01-01T00:00:00Z"}`
	first := a.Do(t, http.MethodPost, "/admin/relationships", relationship, bearer, jsonType, because)
	tag := first.Header.Get("ETag")
	second := a.Do(t, http.MethodPost, "/admin/relationships", relationship, bearer, jsonType, because, "If-Match: "+tag)
	require.Equal(t, http.StatusOK, second.StatusCode, second.Text)
	require.NotEqual(t, tag, second.Header.Get("ETag"))
	require.Equal(t, "If-Match", refused(t, a.Do(t, http.MethodPost, "/admin/relationships", relationship, bearer, jsonType, because, "If-Match: "+tag), 412).Field)
	id := read(t, second, 200)["id"].(string)
	shown := a.Do(t, http.MethodGet, "/admin/relationships/"+id, "", bearer)
	require.Equal(t, second.Header.Get("ETag"), shown.Header.Get("ETag"))
	require.JSONEq(t, second.Text, shown.Text)
	refused(t, a.Do(t, http.MethodGet, "/admin/relationships/"+models.NewID(), "", bearer), 404)

	line := a.Do(t, http.MethodPut, "/admin/lines/gold", `{}`, bearer, jsonType, because)
	require.Equal(t, line.Header.Get("ETag"), a.Do(t, http.MethodGet, "/admin/lines/gold", "", bearer).Header.Get("ETag"))
	newer := a.Do(t, http.MethodPut, "/admin/lines/gold", `{}`, bearer, jsonType, because)
	refused(t, a.Do(t, http.MethodDelete, "/admin/lines/gold", "", bearer, because, "If-Match: "+line.Header.Get("ETag")), 412)
	require.Equal(t, http.StatusNoContent, a.Do(t, http.MethodDelete, "/admin/lines/gold", "", bearer, because, "If-Match: "+newer.Header.Get("ETag")).StatusCode)
	refused(t, a.Do(t, http.MethodGet, "/admin/lines/gold", "", bearer), 404)
	refused(t, a.Do(t, http.MethodDelete, "/admin/lines/gold", "", bearer, because), 404)
}

// awayOnce is a Temporal that does not answer the first time it is to start something.
type awayOnce struct {
	client.Client
	begun *atomic.Int32
}

func (a awayOnce) ExecuteWorkflow(ctx context.Context, options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	if a.begun.Add(1) == 1 {
		return nil, errors.New("away")
	}
	return a.Client.ExecuteWorkflow(ctx, options, workflow, args...)
}

// A request that makes something to run, and could not start it, starts it when it is sent again with its key.
func TestTheSameKeyStartsWhatWasNotStarted(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"import": "/admin/imports", "list": "/admin/lists", "upload": "/admin/lists/upload?kind=opt-outs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var begun atomic.Int32
			a := apitest.New(t, func(p *boot.Process, _ *server.Config) { p.Temporal = awayOnce{p.Temporal, &begun} })
			body, kind := `{"source":"/data/a"}`, jsonType
			switch name {
			case "list":
				body = `{"kind":"opt-outs","source":"/data/a.csv"}`
			case "upload":
				body, kind = "patient,scope,reason\n", "Content-Type: text/csv"
			}
			send := func(headers ...string) *apitest.Answer {
				return a.Do(t, http.MethodPost, path, body, append([]string{bearer, because, kind}, headers...)...)
			}
			refused(t, send("Idempotency-Key: k"), 503)
			id, _ := read(t, send("Idempotency-Key: k"), 202)["id"].(string)
			require.EqualValues(t, 2, begun.Load())
			run := workflows.ListID(id)
			if name == "import" {
				run = workflows.ImportID(id)
			}
			_, err := a.Temporal.DescribeWorkflowExecution(t.Context(), run, "")
			require.NoError(t, err, "it has a run")
			require.Equal(t, id, read(t, send("Idempotency-Key: k"), 202)["id"])
			if name == "upload" {
				require.Len(t, a.Blobs(t), 1, "what was sent first")
			}

			// Without a key nobody comes back to it.
			begun.Store(0)
			refused(t, send(), 503)
			listed := pages(t, a, strings.TrimSuffix(strings.Split(path, "?")[0], "/upload"), 10, "state")
			require.Equal(t, []string{"failed", "accepted"}, listed)
			if name == "upload" {
				require.Len(t, a.Blobs(t), 1)
			}
		})
	}
}
