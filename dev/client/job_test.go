package client_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/client"
)

const emptyManifest = `{"transactionTime":"2026-03-01T12:00:00.000Z","request":"http://x/fhir/$export","requiresAccessToken":true,"output":[],"error":[]}`

func TestWait(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := s.client(t, client.ES384)
	s.replies("/fhir/jobs/1",
		status(http.StatusAccepted, "Retry-After", "2", "X-Progress", "42%, 10 of 24 members"),
		status(http.StatusTooManyRequests, "Retry-After", "7"),
		status(http.StatusServiceUnavailable),
		status(http.StatusAccepted, "X-Progress", "soon", "Retry-After", s.clock.now().Add(3*time.Second).Format(http.TimeFormat)),
		body("application/json; charset=utf-8", `{"transactionTime":"2026-03-01T12:00:00.000Z","request":"http://x/fhir/$export","requiresAccessToken":true,
			"output":[{"type":"Patient","url":"http://x/1","count":2}],"error":[],"link":[{"relation":"next","url":"`+s.URL+`/fhir/jobs/1/2"}]}`),
	)
	s.replies("/fhir/jobs/1/2",
		status(http.StatusAccepted),
		body("application/json", `{"transactionTime":"2026-03-01T12:00:00.000Z","request":"http://x/fhir/$export","requiresAccessToken":true,
			"output":[{"type":"Coverage","url":"http://x/2"}],"error":[{"type":"OperationOutcome","url":"http://x/3"}],"deleted":[{"type":"Bundle","url":"http://x/4"}]}`),
	)
	var seen []client.Progress
	m, err := c.Job(s.URL+"/fhir/jobs/1").Wait(t.Context(), func(p client.Progress) { seen = append(seen, p) })
	require.NoError(t, err)
	two := int64(2)
	require.Equal(t, &client.Manifest{
		TransactionTime: s.clock.now(), Request: "http://x/fhir/$export", RequiresAccessToken: true,
		Output:  []client.File{{Type: "Patient", URL: "http://x/1", Count: &two}, {Type: "Coverage", URL: "http://x/2"}},
		Error:   []client.File{{Type: "OperationOutcome", URL: "http://x/3"}},
		Deleted: []client.File{{Type: "Bundle", URL: "http://x/4"}},
	}, m)
	require.Equal(t, []client.Progress{
		{Text: "42%, 10 of 24 members", Percent: 42, RetryAfter: 2 * time.Second, Status: 202},
		{Percent: -1, RetryAfter: 7 * time.Second, Status: 429},
		{Percent: -1, RetryAfter: time.Second, Status: 503},
		{Text: "soon", Percent: -1, RetryAfter: 3 * time.Second, Status: 202},
		{Percent: -1, RetryAfter: time.Second, Status: 202},
	}, seen)
	require.Equal(t, []time.Duration{2 * time.Second, 7 * time.Second, time.Second, 3 * time.Second, time.Second}, s.slept, "as long as the server asked")
}

func TestWaitFails(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := s.client(t, client.ES384)
	tests := []struct {
		name  string
		reply http.HandlerFunc
		want  string
	}{
		{"failed", func(w http.ResponseWriter, _ *http.Request) {
			outcome(w, http.StatusInternalServerError, "exception", "the export failed")
		}, "500 Internal Server Error (exception): the export failed"},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { outcome(w, http.StatusNotFound, "not-found", "no job") }, "404"},
		{"unavailable", status(http.StatusServiceUnavailable), "stays unavailable"},
		{"html", body("text/html", "<p>ok</p>"), `the manifest is "text/html"`},
		{"fhir", body("application/fhir+json", emptyManifest), "not application/json"},
		{"cut", body("application/json", `{"transactionTime":`), "read manifest"},
		{"noerror", body("application/json", `{"transactionTime":"2026-03-01T12:00:00Z","request":"r","requiresAccessToken":true,"output":[]}`), "no error"},
		{"nulloutput", body("application/json", `{"transactionTime":"2026-03-01T12:00:00Z","request":"r","requiresAccessToken":true,"output":null,"error":[]}`), "no output"},
		{"badtime", body("application/json", `{"transactionTime":"yesterday","request":"r","requiresAccessToken":true,"output":[],"error":[]}`), "read manifest"},
	}
	for _, tt := range tests {
		s.replies("/fhir/jobs/"+tt.name, tt.reply)
		_, err := c.Job(s.URL+"/fhir/jobs/"+tt.name).Wait(t.Context(), nil)
		require.ErrorContains(t, err, tt.want, tt.name)
	}
}

func TestPollAndDelete(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := s.client(t, client.ES384)
	s.replies("GET /fhir/jobs/1", status(http.StatusAccepted, "X-Progress", "7%"), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Expires", "Sun, 01 Mar 2026 13:00:00 GMT")
		body("application/json", emptyManifest)(w, r)
	})
	s.replies("DELETE /fhir/jobs/1", status(http.StatusAccepted), func(w http.ResponseWriter, _ *http.Request) {
		outcome(w, http.StatusNotFound, "not-found", "no such job")
	})
	job := c.Job(s.URL + "/fhir/jobs/1")
	m, p, err := job.Poll(t.Context())
	require.NoError(t, err)
	require.Nil(t, m)
	require.Equal(t, 7, p.Percent)
	m, _, err = job.Poll(t.Context())
	require.NoError(t, err)
	require.Equal(t, s.clock.now().Add(time.Hour), m.Expires)
	require.NoError(t, job.Delete(t.Context()))
	require.ErrorContains(t, job.Delete(t.Context()), "DELETE /fhir/jobs/1: 404 Not Found (not-found): no such job")
}
