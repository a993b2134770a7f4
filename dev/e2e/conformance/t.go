package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
)

// T is what a check is given. Its methods end the check when what they look for is not there.
type T struct {
	ctx   context.Context
	world *world
	id    string
	came  bool // to the barrier
	// started are the check's jobs.
	started []*client.Job
	// later is done when the check has ended.
	later []func()
}

// tidy deletes the check's jobs, of which the one client of somebody else's server may not have many at once.
func (t *T) tidy() {
	for _, f := range t.later {
		f()
	}
	if t.world.sys != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), 10*time.Second)
	defer cancel()
	for _, job := range t.started {
		_ = job.Delete(ctx) // many are deleted already, and not every server can
	}
}

// verdict ends a check.
type verdict struct {
	outcome Outcome
	reason  string
}

func (t *T) fail(format string, args ...any) { panic(verdict{Fail, fmt.Sprintf(format, args...)}) }

// na ends the check as not applicable.
func (t *T) na(reason string) { panic(verdict{NA, reason}) }

func (t *T) must(err error) {
	if err != nil {
		t.fail("%s", err)
	}
}

func (t *T) check(ok bool, format string, args ...any) {
	if !ok {
		t.fail(format, args...)
	}
}

// wait waits.
func (t *T) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.ctx.Done():
		t.must(t.ctx.Err())
	case <-timer.C:
	}
}

// goOn lets the work go on that the held phase has stopped, once every check has got so far.
func (t *T) goOn() {
	at := t.world.barrier
	if at == nil || t.came {
		return
	}
	t.came = true
	at.leave()
	select {
	case <-at.gone:
		t.must(at.err)
	case <-t.ctx.Done():
		t.must(t.ctx.Err())
	}
}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) get(path string) gjson.Result { return gjson.GetBytes(a.body, path) }

func (a answer) media() string {
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	return media
}

// async are the headers of a kick-off.
func async() http.Header {
	return http.Header{"Accept": {"application/fhir+json"}, "Prefer": {"respond-async"}}
}

// with returns the headers of a kick-off with one replaced; "" drops it.
func with(name, value string) http.Header {
	h := async()
	h.Del(name)
	if value != "" {
		h.Set(name, value)
	}
	return h
}

// lenient are the headers of a kick-off that would rather go without what is not supported.
func lenient() http.Header { return with("Prefer", "respond-async, handling=lenient") }

// posting are the headers of a kick-off with a body.
func posting() http.Header { return with("Content-Type", "application/fhir+json") }

// call sends a request. A body is sent unless it is nil.
func (t *T) call(c *client.Client, method, path string, h http.Header, body []byte) answer {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	resp, err := c.Do(t.ctx, method, path, h, r)
	t.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	t.must(err)
	if location := resp.Header.Get("Content-Location"); resp.StatusCode == http.StatusAccepted && location != "" {
		t.started = append(t.started, c.Job(location))
	}
	return answer{resp.StatusCode, resp.Header, text}
}

func (t *T) get(c *client.Client, path string) answer {
	return t.call(c, http.MethodGet, path, nil, nil)
}

// refused holds an answer against what an error must be: one of the statuses, with an OperationOutcome that tells of an error.
func (t *T) refused(what string, a answer, statuses ...int) {
	ok := false
	for _, s := range statuses {
		ok = ok || a.status == s
	}
	t.check(ok, "%s: %d instead of %v", what, a.status, statuses)
	t.outcome(what, a)
	severity := a.get(`issue.#(severity=="error").severity`).Str + a.get(`issue.#(severity=="fatal").severity`).Str
	t.check(severity != "", "%s: no issue is an error", what)
}

func (t *T) outcome(what string, a answer) {
	t.check(a.media() == "application/fhir+json", "%s: Content-Type is %q", what, a.header.Get("Content-Type"))
	t.check(a.get("resourceType").Str == "OperationOutcome", "%s: no OperationOutcome", what)
	t.check(len(a.get("issue").Array()) > 0, "%s: no issue", what)
}

// accepted starts a job and wants 202; it is deleted at once, since it was the answer that counted.
func (t *T) accepted(c *client.Client, method, path string, h http.Header, body []byte) answer {
	a := t.call(c, method, path, h, body)
	t.check(a.status == http.StatusAccepted, "%s %s: %d %s", method, short(path), a.status, a.get("issue.0.diagnostics").Str+a.get("issue.0.details.text").Str)
	location := a.header.Get("Content-Location")
	t.call(c, http.MethodDelete, location, nil, nil)
	return a
}

// short cuts a path off where a query would make it unreadable.
func short(path string) string {
	if len(path) > 100 {
		return path[:100] + "..."
	}
	return path
}

// seconds reads a Retry-After: seconds or a date.
func (t *T) seconds(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if n, err := strconv.Atoi(value); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(value)
	t.check(err == nil, "Retry-After is %q", value)
	return max(0, time.Until(at))
}

// export is a job that is done, with what it made.
type export struct {
	job *client.Job
	m   *client.Manifest
	// lines, deleted and errors are the lines of the files.
	lines           map[string][]gjson.Result // by type
	deleted, errors []gjson.Result
}

// first is the type of the first file, "" without any.
func (x *export) first() string {
	if len(x.m.Output) == 0 {
		return ""
	}
	return x.m.Output[0].Type
}

// attachment is the first attachment of a DocumentReference.
func (x *export) attachment(id string) gjson.Result {
	for _, line := range x.lines["DocumentReference"] {
		if line.Get("id").Str == id {
			return line.Get("content.0.attachment")
		}
	}
	return gjson.Result{}
}

// start kicks a job off. Its key keeps it from being taken for another with the same parameters.
func (t *T) start(c *client.Client, method, path string, query url.Values, h http.Header, body []byte) *client.Job {
	header := http.Header{"Idempotency-Key": {rand.Text()}}
	maps.Copy(header, h)
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	job, err := c.KickOff(t.ctx, method, path, query, header, r)
	t.must(err)
	t.started = append(t.started, job)
	return job
}

// poll polls a job until it is done and returns the answer.
func (t *T) poll(c *client.Client, job *client.Job) answer {
	for {
		a := t.get(c, job.StatusURL)
		switch a.status {
		case http.StatusOK:
			return a
		case http.StatusAccepted, http.StatusTooManyRequests:
			t.wait(200 * time.Millisecond)
		default:
			t.fail("a poll answers %d", a.status)
		}
	}
}

// finish waits for a job and downloads everything.
func (t *T) finish(c *client.Client, job *client.Job) *export {
	m, err := job.Wait(t.ctx, nil)
	t.must(err)
	x := &export{job: job, m: m, lines: map[string][]gjson.Result{}}
	for _, f := range m.Output {
		x.lines[f.Type] = append(x.lines[f.Type], t.download(c, m, f)...)
	}
	for _, f := range m.Deleted {
		x.deleted = append(x.deleted, t.download(c, m, f)...)
	}
	for _, f := range m.Error {
		x.errors = append(x.errors, t.download(c, m, f)...)
	}
	return x
}

func (t *T) download(c *client.Client, m *client.Manifest, f client.File) []gjson.Result {
	var lines []gjson.Result
	_, err := c.Download(t.ctx, m, f, func(line []byte) error {
		lines = append(lines, gjson.Parse(string(line)))
		return nil
	})
	t.must(err)
	return lines
}

// export runs an export with GET to its end.
func (t *T) export(c *client.Client, path string, query url.Values) *export {
	return t.finish(c, t.start(c, http.MethodGet, path, query, nil, nil))
}

// organizedTypes are types whose resources name their patient.
const organizedTypes = "Patient,Coverage,ExplanationOfBenefit"

// organized runs an export of these types that is organized by Patient.
func (t *T) organized() *export {
	return t.export(t.backend(), "Patient/$export", url.Values{"_type": {organizedTypes}, "organizeOutputBy": {"Patient"}})
}

// post runs an export with POST to its end.
func (t *T) post(c *client.Client, path, parameters string) *export {
	return t.finish(c, t.start(c, http.MethodPost, path, nil, nil, body(parameters)))
}

// body is a Parameters resource with the given parameters.
func body(parameters string) []byte {
	return []byte(`{"resourceType":"Parameters","parameter":[` + parameters + `]}`)
}

// patientParameter names a patient.
func patientParameter(id string) string {
	return `{"name":"patient","valueReference":{"reference":"Patient/` + id + `"}}`
}

// ids returns the ids of a type's lines.
func (x *export) ids(typ string) map[string]bool {
	out := map[string]bool{}
	for _, line := range x.lines[typ] {
		out[line.Get("id").Str] = true
	}
	return out
}

// all returns every line of the output.
func (x *export) all() []gjson.Result {
	var out []gjson.Result
	for _, lines := range x.lines {
		out = append(out, lines...)
	}
	return out
}

func (x *export) types() string {
	var out []string
	for typ := range x.lines {
		out = append(out, typ)
	}
	return strings.Join(out, ", ")
}

// once makes a thing when the first check asks for it.
type once[V any] struct {
	mu   sync.Mutex
	done bool
	v    V
	bad  any
}

// get returns the thing. When making it ended a check, it ends every check that asks.
func (o *once[V]) get(produce func() V) V {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bad != nil {
		panic(o.bad)
	}
	if o.done {
		return o.v
	}
	defer func() {
		if o.bad = recover(); o.bad != nil {
			panic(o.bad)
		}
	}()
	o.v = produce()
	o.done = true
	return o.v
}
