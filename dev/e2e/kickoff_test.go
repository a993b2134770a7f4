package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
	"pdexbulk/models"
)

// secret stands for anything a caller may send; no answer may repeat it.
const secret = "Zyxwvut-987654321"

// TestGetAndPost starts the same export with a query and with a Parameters body.
func TestGetAndPost(t *testing.T) {
	t.Parallel()
	r, _ := shared(t)
	c := r.backend(t, "get-and-post")
	byQuery := export(t, c, "Patient/$export", url.Values{"_type": {"Patient,Condition"}, "_since": {"2001-02-03T04:05:06Z"}})
	want, _ := finish(t, c, byQuery)
	require.Positive(t, want.byType["Condition"])
	body := `{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Condition"},{"name":"_type","valueString":"Patient"},` +
		`{"name":"_since","valueInstant":"2001-02-03T04:05:06.000Z"}]}`
	byBody, err := c.KickOff(t.Context(), http.MethodPost, "Patient/$export", nil, nil, strings.NewReader(body))
	require.NoError(t, err)
	got, _ := finish(t, c, byBody)
	got.unique(t)
	got.equal(t, want)
}

// TestSameRequest sends requests again: with a key they are the same job for ever, without one while the job runs.
func TestSameRequest(t *testing.T) {
	t.Parallel()
	r, w := shared(t)
	c := r.backend(t, "again")
	types := url.Values{"_type": {"Patient"}}
	key := func(k string) http.Header { return http.Header{"Idempotency-Key": {k}} }
	kickOff := func(query url.Values, header http.Header) *client.Job {
		t.Helper()
		job, err := c.KickOff(t.Context(), http.MethodGet, "$export", query, header, nil)
		require.NoError(t, err)
		return job
	}
	held := r.hold(t, "again", atChunk, 0)
	plain, keyed := kickOff(types, nil), kickOff(types, key("k"))
	held.reached()
	require.Equal(t, plain.StatusURL, kickOff(types, nil).StatusURL, "the same request while the job runs")
	require.Equal(t, keyed.StatusURL, kickOff(types, key("k")).StatusURL)
	require.NotEqual(t, plain.StatusURL, kickOff(url.Values{"_type": {"Coverage"}}, nil).StatusURL, "another request")
	resp, text := call(t, c, http.MethodGet, "$export?_type=Coverage", withKey("k"), nil)
	refused(t, resp, text, http.StatusConflict)
	other := r.backend(t, "again-other")
	theirs, err := other.KickOff(t.Context(), http.MethodGet, "$export", types, key("k"), nil)
	require.NoError(t, err)
	require.NotEqual(t, keyed.StatusURL, theirs.StatusURL, "keys are each client's own")
	held.open()
	_, _ = finish(t, c, plain)
	_, _ = finish(t, c, keyed)
	require.Equal(t, keyed.StatusURL, kickOff(types, key("k")).StatusURL, "the same key when the job is done")
	require.NotEqual(t, plain.StatusURL, kickOff(types, nil).StatusURL, "the same request when the job is done")

	p := r.payer(t, "again-match")
	body, _, err := w.request("again-match", seed.RequestOptions{Seed: 31, Members: 50, Clean: true})
	require.NoError(t, err)
	slice := r.hold(t, "again-match", atSlice, 0)
	first, err := p.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	slice.reached()
	var loose bytes.Buffer
	require.NoError(t, json.Indent(&loose, body, "", "   "))
	second, err := p.MemberMatch(t.Context(), &loose)
	require.NoError(t, err)
	require.Equal(t, first.StatusURL, second.StatusURL, "blanks between tokens make no other request")
	require.Len(t, r.files(t, "matches/"+jobID(first.StatusURL)), 1)
	slice.open()
	_, _ = matched(t, p, first)
}

func withKey(k string) http.Header {
	h := asyncHeader.Clone()
	h.Set("Idempotency-Key", k)
	return h
}

// TestProgress polls a job from beginning to end.
func TestProgress(t *testing.T) {
	t.Parallel()
	r, _ := shared(t)
	c := r.backend(t, "progress")
	last := -1
	poll := func(job *client.Job) bool {
		t.Helper()
		resp, text := call(t, c, http.MethodGet, job.StatusURL, http.Header{"Accept": {"application/json"}}, nil)
		if resp.StatusCode == http.StatusOK {
			require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
			require.NotEmpty(t, resp.Header.Get("Expires"))
			return true
		}
		require.Equal(t, http.StatusAccepted, resp.StatusCode, string(text))
		require.Empty(t, text)
		seconds(t, resp.Header)
		var percent int
		var done, total int64
		_, err := fmt.Sscanf(resp.Header.Get("X-Progress"), "%d%%, %d of %d resources", &percent, &done, &total)
		require.NoError(t, err)
		require.LessOrEqual(t, len(resp.Header.Get("X-Progress")), 100, "Bulk Data Access: text of at most 100 characters")
		require.GreaterOrEqual(t, percent, last, "progress never goes back")
		require.Less(t, percent, 100)
		require.LessOrEqual(t, done, total)
		last = percent
		return false
	}
	var job *client.Job
	held := r.hold(t, "progress", atChunk, 1)
	job = export(t, c, "$export", nil)
	held.reached()
	require.False(t, poll(job))
	require.Positive(t, last, "one chunk is done")
	held.open()
	for !poll(job) { // as often as it can: the shared system takes that
	}
	require.True(t, poll(job), "a manifest can be asked for again")
}

// TestOpenJobs starts more jobs than a client may have.
func TestOpenJobs(t *testing.T) {
	t.Parallel()
	r, _ := shared(t)
	c := r.backend(t, "many")
	held := r.hold(t, "many", atChunk, 0)
	var jobs []*client.Job
	for _, typ := range []string{"Patient", "Coverage", "Condition", "Immunization"} {
		jobs = append(jobs, export(t, c, "$export", url.Values{"_type": {typ}}))
	}
	resp, text := call(t, c, http.MethodGet, "$export?_type=Device", asyncHeader, nil)
	refused(t, resp, text, http.StatusTooManyRequests)
	seconds(t, resp.Header)
	require.NoError(t, jobs[0].Delete(t.Context()))
	jobs[0] = export(t, c, "$export", url.Values{"_type": {"Device"}})
	held.open()
	for _, job := range jobs {
		_, _ = finish(t, c, job)
	}
}

// TestExportRefused sends export requests that cannot be taken.
func TestExportRefused(t *testing.T) {
	t.Parallel()
	r, w := shared(t)
	c, p := r.backend(t, "export-refused"), r.payer(t, "export-refused-payer")
	body, _, err := w.request("export-refused-payer", seed.RequestOptions{Seed: 41, Members: 5, Clean: true})
	require.NoError(t, err)
	match, err := p.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	_, group := matched(t, p, match)

	query := func(q string) string { return "$export?" + q }
	none := func(names ...string) http.Header {
		h := asyncHeader.Clone()
		for _, name := range names {
			h.Del(name)
		}
		return h
	}
	with := func(name, value string) http.Header {
		h := asyncHeader.Clone()
		h.Set(name, value)
		return h
	}
	parameters := func(s string) []byte { return []byte(`{"resourceType":"Parameters","parameter":[` + s + `]}`) }
	fhirJSON := with("Content-Type", "application/fhir+json")
	requests := []struct {
		name   string
		who    *client.Client
		method string
		path   string
		header http.Header
		body   []byte
		status int
	}{
		{"no Prefer", c, http.MethodGet, "$export", none("Prefer"), nil, 400},
		{"another preference", c, http.MethodGet, "$export", with("Prefer", "return=minimal"), nil, 400},
		{"XML", c, http.MethodGet, "$export", with("Accept", "application/fhir+xml"), nil, 400},
		{"unknown parameter", c, http.MethodGet, query("ssn=" + secret), asyncHeader, nil, 400},
		{"unknown format", c, http.MethodGet, query("_outputFormat=" + secret), asyncHeader, nil, 400},
		{"unknown type", c, http.MethodGet, query("_type=" + secret), asyncHeader, nil, 400},
		{"no instant", c, http.MethodGet, query("_since=" + secret), asyncHeader, nil, 400},
		{"a date alone", c, http.MethodGet, query("_since=2026-01-01"), asyncHeader, nil, 400},
		{"the future", c, http.MethodGet, query("_since=2999-01-01T00:00:00Z"), asyncHeader, nil, 400},
		{"twice", c, http.MethodGet, query("_since=2020-01-01T00:00:00Z&_since=2021-01-01T00:00:00Z"), asyncHeader, nil, 400},
		{"broken percent code", c, http.MethodGet, query("_type=%zz" + secret), asyncHeader, nil, 400},
		{"export type elsewhere", c, http.MethodGet, query("exportType=" + url.QueryEscape(p2p)), asyncHeader, nil, 400},
		{"export type cut at #", p, http.MethodGet, "Group/" + group + "/$davinci-data-export?exportType=hl7.fhir.us.davinci-pdex", asyncHeader, nil, 400},
		{"not in the compartment", p, http.MethodGet, "Group/" + group + "/$export?_type=Organization", asyncHeader, nil, 400},
		{"no such Group", p, http.MethodGet, "Group/" + models.NewID() + "/$export", asyncHeader, nil, 404},
		{"a Group's id that is none", p, http.MethodGet, "Group/" + secret + "/$export", asyncHeader, nil, 404},
		{"unknown operation", c, http.MethodGet, "$" + secret, asyncHeader, nil, 404},
		{"wrong method", c, http.MethodDelete, "$export", asyncHeader, nil, 405},
		{"text", c, http.MethodPost, "$export", with("Content-Type", "text/plain"), parameters(""), 415},
		{"no JSON", c, http.MethodPost, "$export", fhirJSON, []byte(`{"resourceType":"Parameters","x":` + secret), 400},
		{"another resource", c, http.MethodPost, "$export", fhirJSON, []byte(`{"resourceType":"` + secret + `"}`), 400},
		{"bad value in a body", c, http.MethodPost, "$export", fhirJSON, parameters(`{"name":"_since","valueInstant":"` + secret + `"}`), 400},
		{"unknown name in a body", c, http.MethodPost, "$export", fhirJSON, parameters(`{"name":"x","valueString":"` + secret + `"}`), 400},
		{"too long", c, http.MethodPost, "$export", fhirJSON, parameters(`{"name":"` + strings.Repeat("x", 2<<20) + `"}`), 413},
	}
	for _, q := range requests {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			resp, text := call(t, q.who, q.method, q.path, q.header, q.body)
			refused(t, resp, text, q.status, secret)
			require.Empty(t, resp.Header.Get("Content-Location"))
			if q.status == http.StatusMethodNotAllowed {
				require.Contains(t, resp.Header.Get("Allow"), http.MethodGet)
			}
		})
	}
}

// TestMatchRefused sends match requests that cannot be taken. One fault refuses the whole request: nothing of it is kept.
func TestMatchRefused(t *testing.T) {
	t.Parallel()
	r, w := shared(t)
	c := r.payer(t, "match-refused")
	good, _, err := w.request("match-refused", seed.RequestOptions{Seed: 42, Members: 3, Clean: true})
	require.NoError(t, err)
	tooMany, _, err := w.request("match-refused", seed.RequestOptions{Seed: 43, Members: maxMembers + 1, Clean: true})
	require.NoError(t, err)
	// change applies a change to the second MemberBundle.
	change := func(fn func(bundle map[string]any, parts []any) []any) []byte {
		var doc map[string]any
		require.NoError(t, json.Unmarshal(good, &doc))
		bundle := doc["parameter"].([]any)[1].(map[string]any)
		bundle["part"] = fn(bundle, bundle["part"].([]any))
		text, err := json.Marshal(doc)
		require.NoError(t, err)
		return text
	}
	without := func(name string) []byte {
		return change(func(_ map[string]any, parts []any) []any {
			var rest []any
			for _, p := range parts {
				if p.(map[string]any)["name"] != name {
					rest = append(rest, p)
				}
			}
			require.Len(t, rest, len(parts)-1)
			return rest
		})
	}
	twice := func(name string) []byte {
		return change(func(_ map[string]any, parts []any) []any {
			for _, p := range parts {
				if p.(map[string]any)["name"] == name {
					return append(parts, p)
				}
			}
			return nil
		})
	}
	as := func(name string, resource any) []byte {
		return change(func(_ map[string]any, parts []any) []any {
			for _, p := range parts {
				if p.(map[string]any)["name"] == name {
					p.(map[string]any)["resource"] = resource
				}
			}
			return parts
		})
	}
	other := map[string]any{"resourceType": "Observation", "id": secret}
	header := asyncHeader.Clone()
	header.Set("Content-Type", "application/fhir+json")
	with := func(name, value string) http.Header {
		h := header.Clone()
		h.Set(name, value)
		return h
	}
	requests := []struct {
		name   string
		header http.Header
		body   []byte
		status int
	}{
		{"no patient", header, without("MemberPatient"), 422},
		{"no coverage", header, without("CoverageToMatch"), 422},
		{"no consent", header, without("Consent"), 422},
		{"patient twice", header, twice("MemberPatient"), 422},
		{"coverage twice", header, twice("CoverageToMatch"), 422},
		{"consent twice", header, twice("Consent"), 422},
		{"patient of another type", header, as("MemberPatient", other), 422},
		{"coverage of another type", header, as("CoverageToMatch", other), 422},
		{"consent of another type", header, as("Consent", other), 422},
		{"link of another type", header, as("CoverageToLink", other), 422},
		{"a resource that is text", header, as("Consent", secret), 422},
		{"a resource that is missing", header, as("Consent", nil), 422},
		{"another name", header, bytes.Replace(good, []byte(`"MemberBundle"`), []byte(`"`+secret+`"`), 1), 422},
		{"parts that are no list", header, []byte(`{"resourceType":"Parameters","parameter":[{"name":"MemberBundle","part":"` + secret + `"}]}`), 422},
		{"empty Parameters", header, []byte(`{"resourceType":"Parameters"}`), 422},
		{"empty list", header, []byte(`{"resourceType":"Parameters","parameter":[]}`), 422},
		{"no resourceType", header, []byte(`{"parameter":[]}`), 422},
		{"a Bundle", header, []byte(`{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","id":"` + secret + `"}}]}`), 422},
		{"a list", header, []byte(`["` + secret + `"]`), 422},
		{"text", header, []byte(secret), 400},
		{"nothing", header, []byte(" "), 400},
		{"cut short", header, good[:len(good)-10], 400},
		{"two documents", header, append(bytes.Clone(good), good...), 400},
		{"another media type", with("Content-Type", "application/xml"), good, 415},
		{"another media type of FHIR", with("Content-Type", "application/fhir+ndjson"), good, 415},
		{"compressed", with("Content-Encoding", "gzip"), good, 415},
		{"no Prefer", with("Prefer", "return=minimal"), good, 400},
		{"too many members", header, tooMany, 413},
		{"too many bytes", header, append(bytes.Repeat([]byte(" "), maxBody), good...), 413},
	}
	for _, q := range requests {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			resp, text := call(t, c, http.MethodPost, "Group/$bulk-member-match", q.header, q.body)
			refused(t, resp, text, q.status, secret)
			require.Empty(t, leaks(text, w.names))
		})
	}
	t.Run("GET", func(t *testing.T) {
		t.Parallel()
		resp, text := call(t, c, http.MethodGet, "Group/$bulk-member-match", header, nil)
		refused(t, resp, text, http.StatusMethodNotAllowed)
		require.Equal(t, http.MethodPost, resp.Header.Get("Allow"))
	})
	t.Cleanup(func() { // after the parallel ones
		var jobs int
		require.NoError(t, r.db.QueryRow(noCancel(t), `SELECT count(*) FROM jobs WHERE client_id = 'match-refused'`).Scan(&jobs))
		require.Zero(t, jobs)
		eventually(t, 10*time.Second, "a refused request is stored", func() bool {
			for _, path := range r.files(t, "matches") {
				var known bool
				id := strings.Split(path, "/")[1]
				require.NoError(t, r.db.QueryRow(noCancel(t), `SELECT EXISTS (SELECT FROM jobs WHERE id = $1)`, id).Scan(&known))
				if !known {
					return false
				}
			}
			return true
		})
	})
}
