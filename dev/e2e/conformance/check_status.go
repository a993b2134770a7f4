package conformance

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	sdk "go.temporal.io/sdk/client"

	"pdexbulk/dev/client"
)

// running starts a job and returns it with the answer to a poll while it runs. Where no worker runs that is certain; elsewhere
// it may be done by then, and the check ends.
func (t *T) running(c *client.Client) (*client.Job, answer) {
	job := t.start(c, http.MethodGet, "$export", nil, nil, nil)
	a := t.get(c, job.StatusURL)
	if a.status == http.StatusOK && t.world.barrier == nil {
		t.na("the export was done before the first poll")
	}
	return job, a
}

// tooOften polls without a pause until the server has had enough of it.
func (t *T) tooOften(c *client.Client, job *client.Job) answer {
	for range 200 {
		a := t.get(c, job.StatusURL)
		if a.status == http.StatusTooManyRequests {
			return a
		}
		t.check(a.status == http.StatusAccepted || a.status == http.StatusOK, "a poll is answered with %d", a.status)
	}
	t.na("200 polls without a pause were all answered: polling is not limited")
	return answer{}
}

var heldChecks = []check{
	{id: "ST-01", phase: held, about: "202 while the job runs, 200 when it is done", run: func(t *T) {
		c := t.backend()
		job, a := t.running(c)
		t.check(a.status == http.StatusAccepted, "a running job is answered with %d", a.status)
		t.goOn()
		_, err := job.Wait(t.ctx, nil)
		t.must(err)
	}},
	{id: "ST-02", phase: held, about: "X-Progress has less than 100 characters", run: func(t *T) {
		_, a := t.running(t.backend())
		text := a.header.Get("X-Progress")
		if text == "" {
			t.na("there is no X-Progress")
		}
		t.check(len(text) < 100, "X-Progress has %d characters", len(text))
	}},
	{id: "ST-03", phase: held, about: "Retry-After on 202, and who waits so long is not refused", run: func(t *T) {
		c := t.backend()
		job, a := t.running(c)
		for range 3 {
			if a.status == http.StatusOK && t.world.barrier == nil {
				return
			}
			t.check(a.status == http.StatusAccepted, "a poll after Retry-After is answered with %d", a.status)
			t.wait(t.seconds(a.header))
			a = t.get(c, job.StatusURL)
		}
	}},
	{id: "ST-04", phase: held, about: "polls without a pause get 429 with Retry-After; after waiting 202", run: func(t *T) {
		c := t.backend()
		job, _ := t.running(c)
		t.wait(t.seconds(t.tooOften(c, job).header))
		a := t.get(c, job.StatusURL)
		t.check(a.status == http.StatusAccepted || a.status == http.StatusOK, "after waiting: %d", a.status)
	}},
	{id: "ST-08", phase: held, about: "a job that has failed: 500 with an OperationOutcome", run: func(t *T) {
		sys := t.ours()
		c := t.backend()
		job, _ := t.running(c)
		temporal, err := sdk.DialContext(t.ctx, sdk.Options{HostPort: sys.Stack.TemporalAddress, Namespace: sys.Stack.TemporalNamespace})
		t.must(err)
		defer temporal.Close()
		t.must(temporal.TerminateWorkflow(t.ctx, "export-"+jobID(job), "", "conformance"))
		t.refused("a terminated job", t.get(c, job.StatusURL), http.StatusInternalServerError)
	}},
	{id: "RL-01", phase: held, about: "one job too many is a 429 with Retry-After", run: func(t *T) {
		c := t.backend()
		for range 50 {
			a := t.call(c, http.MethodGet, "$export?_since=2000-01-01T00:00:00Z", with("Idempotency-Key", uuid.NewString()), nil)
			if a.status == http.StatusAccepted {
				continue
			}
			t.refused("one job too many", a, http.StatusTooManyRequests)
			t.seconds(a.header)
			return
		}
		t.na("50 jobs at once were all taken: they are not limited")
	}},
	{id: "RL-02", phase: held, about: "polling faster than Retry-After is a 429 with Retry-After", run: func(t *T) {
		c := t.backend()
		job, _ := t.running(c)
		t.seconds(t.tooOften(c, job).header)
	}},
	{id: "RL-03", phase: held, about: "Retry-After is seconds or a date", run: func(t *T) {
		c := t.backend()
		job, a := t.running(c)
		t.seconds(a.header)
		t.seconds(t.tooOften(c, job).header)
	}},
	{id: "RL-04", phase: held, about: "a 429 does the job no harm", run: func(t *T) {
		c := t.backend()
		job, _ := t.running(c)
		t.tooOften(c, job)
		t.goOn()
		_, err := job.Wait(t.ctx, nil)
		t.must(err)
	}},
	{id: "RL-05", phase: held, about: "a 429 has an OperationOutcome with code throttled", run: func(t *T) {
		c := t.backend()
		job, _ := t.running(c)
		a := t.tooOften(c, job)
		t.refused("too many polls", a, http.StatusTooManyRequests)
		t.check(a.get("issue.0.code").Str == "throttled", "the code is %s", a.get("issue.0.code").Str)
	}},
	{id: "DE-05", phase: held, about: "a job deleted in its midst ends and serves no files", run: func(t *T) {
		sys := t.ours()
		c := t.backend()
		job, _ := t.running(c)
		t.must(job.Delete(t.ctx))
		t.goOn()
		done := t.everything() // whose files are named alike
		temporal, err := sdk.DialContext(t.ctx, sdk.Options{HostPort: sys.Stack.TemporalAddress, Namespace: sys.Stack.TemporalNamespace})
		t.must(err)
		defer temporal.Close()
		status := enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
		for range 100 {
			run, err := temporal.DescribeWorkflowExecution(t.ctx, "export-"+jobID(job), "")
			t.must(err)
			if status = run.GetWorkflowExecutionInfo().GetStatus(); status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				break
			}
			t.wait(50 * time.Millisecond)
		}
		t.check(status == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, "its run is %s", status)
		for _, f := range done.m.Output {
			a := t.get(c, strings.Replace(f.URL, jobID(done.job), jobID(job), 1))
			t.refused("a file of the job", a, http.StatusNotFound)
		}
	}},
	{id: "ST-09", phase: away, about: "while the database is away a poll is a 503 with code transient, and later answered", run: func(t *T) {
		t.ours()
		a := t.get(t.world.clientAway, t.world.jobAway.StatusURL)
		t.refused("a poll", a, http.StatusServiceUnavailable)
		t.check(a.get("issue.0.code").Str == "transient", "the code is %s", a.get("issue.0.code").Str)
		t.seconds(a.header)
	}},
	{id: "ER-08", phase: away, about: "a fault of the server is an OperationOutcome without a word of its inside", run: func(t *T) {
		t.ours()
		c := t.world.clientAway
		for _, path := range []string{"$export", "Group", "Patient/$export?_type=Patient"} {
			a := t.call(c, http.MethodGet, path, async(), nil)
			t.refused(path, a, http.StatusInternalServerError, http.StatusServiceUnavailable)
			for _, inside := range []string{".go:", "goroutine", "postgres", "pgx", "SQL", "127.0.0.1", "dial"} {
				t.check(!strings.Contains(string(a.body), inside), "%s: the answer tells of %s", path, inside)
			}
		}
	}},
}

// jobID is the last part of a job's status URL.
func jobID(job *client.Job) string {
	return job.StatusURL[strings.LastIndexByte(job.StatusURL, '/')+1:]
}

var statusChecks = []check{
	{id: "ST-05", about: "who goes on polling too fast may lose the job", run: func(t *T) {
		t.na("polls are answered with 429 and the job goes on, see RL-04")
	}},
	{id: "ST-06", about: "done: 200, application/json, a manifest", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		a := t.get(c, x.job.StatusURL)
		t.check(a.status == http.StatusOK && a.media() == "application/json", "%d with %q", a.status, a.header.Get("Content-Type"))
		t.check(a.get("transactionTime").Exists(), "the body is no manifest")
	}},
	{id: "ST-07", about: "Expires is a date to come", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		at, err := http.ParseTime(t.get(c, x.job.StatusURL).header.Get("Expires"))
		t.must(err)
		t.check(at.After(time.Now().Add(-time.Second)), "Expires lies in the past")
	}},
	{id: "ST-10", about: "an export that leaves something out is a 200 with error files", run: func(t *T) {
		c := t.backend()
		x := t.finish(c, t.start(c, http.MethodGet, "$export", url.Values{"_type": {"Organization,Nonesuch"}}, lenient(), nil))
		t.check(len(x.errors) > 0 && len(x.lines["Organization"]) > 0, "%d lines of error, %d of output", len(x.errors), len(x.lines["Organization"]))
	}},
	{id: "ST-11", about: "a poll without a token is a 401, with a narrower one a 403", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		t.refused("no token", t.get(t.anonymous(), x.job.StatusURL), http.StatusUnauthorized)
		t.refused("a token for Patient", t.get(t.narrow("system/Patient.rs"), x.job.StatusURL), http.StatusForbidden)
	}},
	{id: "ST-12", about: "another client's job and files are 404", run: func(t *T) {
		p := t.payers()
		x := t.export(p.a, "Group/"+p.groupA+"/$export", url.Values{"_type": {"Patient"}})
		t.refused("its status", t.get(p.b, x.job.StatusURL), http.StatusNotFound)
		t.refused("its file", t.get(p.b, x.m.Output[0].URL), http.StatusNotFound)
	}},
	{id: "ST-13", about: "with separate-export-status 200 and X-Export-Status", run: func(t *T) {
		c, location := t.separateStatus()
		a := t.get(c, location)
		for !strings.HasPrefix(a.header.Get("X-Export-Status"), "200") {
			t.check(a.status == http.StatusOK && strings.HasPrefix(a.header.Get("X-Export-Status"), "202"), "%d with X-Export-Status %q", a.status, a.header.Get("X-Export-Status"))
			t.wait(t.seconds(a.header))
			a = t.get(c, location)
		}
		t.check(a.status == http.StatusOK && a.get("transactionTime").Exists(), "the finished job is answered with %d", a.status)
	}},
	{id: "ST-14", about: "an unknown or malformed job id is a 404", run: func(t *T) {
		c := t.backend()
		job := t.start(c, http.MethodGet, "$export?_type=Organization", nil, nil, nil)
		base := strings.TrimSuffix(job.StatusURL, jobID(job))
		for _, id := range []string{uuid.NewString(), "nonesuch", "1"} {
			t.refused("job "+id, t.get(c, base+id), http.StatusNotFound)
		}
	}},
}

var deleteChecks = []check{
	{id: "DE-01", about: "DELETE of a running and of a finished job is a 202", run: func(t *T) {
		c := t.backend()
		running := t.start(c, http.MethodGet, "$export", nil, nil, nil)
		t.must(running.Delete(t.ctx))
		t.must(t.export(c, "$export", url.Values{"_type": {"Organization"}}).job.Delete(t.ctx))
	}},
	{id: "DE-02", about: "after DELETE a poll is a 404", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		t.must(x.job.Delete(t.ctx))
		t.refused("a poll", t.get(c, x.job.StatusURL), http.StatusNotFound)
		running := t.start(c, http.MethodGet, "$export", nil, nil, nil)
		t.must(running.Delete(t.ctx))
		t.refused("a poll", t.get(c, running.StatusURL), http.StatusNotFound)
	}},
	{id: "DE-03", about: "DELETE of an unknown job, and of another client's, is a 404", run: func(t *T) {
		c := t.backend()
		job := t.start(c, http.MethodGet, "$export?_type=Organization", nil, nil, nil)
		unknown := strings.TrimSuffix(job.StatusURL, jobID(job)) + uuid.NewString()
		t.refused("an unknown job", t.call(c, http.MethodDelete, unknown, nil, nil), http.StatusNotFound)
		if t.world.sys != nil {
			t.refused("another's job", t.call(t.payers().b, http.MethodDelete, job.StatusURL, nil, nil), http.StatusNotFound)
		}
	}},
	{id: "DE-04", about: "after DELETE the files are 404", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		t.must(x.job.Delete(t.ctx))
		t.refused("a file", t.get(c, x.m.Output[0].URL), http.StatusNotFound, http.StatusGone)
	}},
}
