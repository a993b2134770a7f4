package e2e

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	sdk "go.temporal.io/sdk/client"

	"pdexbulk/dev/client"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/child"
	"pdexbulk/dev/stack/postgres"
	"pdexbulk/models"
)

// TestAPIKilled kills the api while a job runs and a client polls.
func TestAPIKilled(t *testing.T) {
	t.Parallel()
	need(t)
	want, _ := undisturbed(t)
	r, w := own(t, stack.Options{}, "PDEX_EXPORT_CONCURRENCY=1")
	_, err := r.Import(t.Context(), w.dir, models.ImportBackfill, nil)
	require.NoError(t, err)
	c := r.backend(t, "patient")
	third := r.hold(t, "patient", atChunk, 2)
	job := export(t, c, "$export", nil)
	third.reached()
	_, before, err := job.Poll(t.Context())
	require.NoError(t, err)
	require.Positive(t, before.Percent)

	require.NoError(t, r.API.Kill())
	<-r.API.Done()
	_, _, err = job.Poll(t.Context())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = r.StartAPI(t.Context())
	require.NoError(t, err)
	_, after, err := job.Poll(t.Context()) // with the token from before
	require.NoError(t, err)
	require.Equal(t, before.Text, after.Text)
	tooOften(t, c, job)
	same := export(t, c, "$export", nil)
	require.Equal(t, job.StatusURL, same.StatusURL)
	third.open()
	got, _ := finish(t, c, job)
	got.equal(t, want)
	r.nothingLeft(t, job)

	t.Run("WorkerStopped", func(t *testing.T) { workerStopped(t, r, c, want) })
}

// tooOften polls without a pause until the server has had enough. The job does not mind.
func tooOften(t *testing.T, c *client.Client, job *client.Job) {
	t.Helper()
	for range 100 {
		resp, body := call(t, c, http.MethodGet, job.StatusURL, nil, nil)
		if resp.StatusCode == http.StatusAccepted {
			continue
		}
		refused(t, resp, body, http.StatusTooManyRequests)
		seconds(t, resp.Header)
		return
	}
	require.FailNow(t, "a hundred polls in a row were all answered")
}

// workerStopped stops a worker in good order in the middle of an export: it finishes what it has begun, takes nothing new,
// and another goes on, without anything having to time out first.
func workerStopped(t *testing.T, r *running, c *client.Client, want exported) {
	third := r.hold(t, "patient", atChunk, 2)
	job := export(t, c, "$export", nil)
	third.reached()
	old := r.Workers[len(r.Workers)-1]
	require.NoError(t, old.Signal(syscall.SIGTERM))
	eventually(t, 5*time.Second, "the stopping worker stays ready", func() bool { return status(t, old.Health+"/readyz") == http.StatusServiceUnavailable })
	require.Equal(t, http.StatusOK, status(t, old.Health+"/healthz"))
	_, err := r.StartWorker(t.Context())
	require.NoError(t, err)
	third.open()
	got, _ := finish(t, c, job)
	require.NoError(t, old.Wait(), "the worker ends with status 0")
	got.equal(t, want)
	r.nothingLeft(t, job)

	history := r.temporal(t).GetWorkflowHistory(t.Context(), "export-"+jobID(job.StatusURL), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for activities := 0; ; {
		if !history.HasNext() {
			require.Greater(t, activities, 4)
			break
		}
		event, err := history.Next()
		require.NoError(t, err)
		if started := event.GetActivityTaskStartedEventAttributes(); started != nil {
			activities++
			require.EqualValues(t, 1, started.GetAttempt(), "an activity had to be tried again")
			require.Nil(t, started.GetLastFailure())
		}
	}
}

// status asks a health endpoint.
func status(t *testing.T, address string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// ready waits until api and worker say that they are, or are not, ready; alive they are all the time.
func (r *running) ready(t *testing.T, want int) {
	t.Helper()
	for _, p := range []string{r.API.Health, r.Workers[len(r.Workers)-1].Health} {
		eventually(t, 20*time.Second, "readiness does not turn to "+strconv.Itoa(want), func() bool {
			require.Equal(t, http.StatusOK, status(t, p+"/healthz"))
			return status(t, p+"/readyz") == want
		})
	}
}

// services are a Postgres and a Temporal of the test's own, to be stopped.
type services struct {
	config   postgres.Config
	postgres *postgres.Server
	temporal *child.Process
}

func startServices(t *testing.T) (*services, stack.Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// Run by root, Postgres is another user: the test's own folder would be out of its reach.
	dir, err := os.MkdirTemp("", "pdex-e2e-services-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	log, err := os.Create(filepath.Join(dir, "services.log"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	s := &services{}
	binaries, err := postgres.Choose(postgres.Find(ctx), filepath.Join(dir, "postgres"))
	require.NoError(t, err)
	s.config = postgres.Config{Binaries: binaries, Dir: filepath.Join(dir, "postgres"), Password: "not-a-secret", Ephemeral: true, Log: log}
	s.postgres, err = postgres.Start(ctx, s.config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.postgres.Abandon(context.WithoutCancel(ctx)) })

	binary, err := temporalBinary()
	require.NoError(t, err)
	port, err := freePort()
	require.NoError(t, err)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.temporal, err = child.Start(child.Command{
		Name: "temporal", Path: binary, Stdout: log, Stderr: log,
		Args: []string{"server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", strconv.Itoa(port), "--log-level", "error"},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = s.temporal.Kill()
		<-s.temporal.Done()
	})
	eventually(t, time.Minute, "Temporal does not answer", func() bool {
		c, err := sdk.DialContext(ctx, sdk.Options{HostPort: address})
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
		return err == nil
	})
	return s, stack.Options{DatabaseURL: s.postgres.URL(""), TemporalAddress: address}
}

// TestServicesAway takes Postgres away and brings it back in the middle of an export, then stops Temporal for a while.
func TestServicesAway(t *testing.T) {
	t.Parallel()
	need(t)
	want, _ := undisturbed(t)
	s, o := startServices(t)
	r, w := own(t, o, "PDEX_EXPORT_CONCURRENCY=1")
	_, err := r.Import(t.Context(), w.dir, models.ImportBackfill, nil)
	require.NoError(t, err)
	c := r.backend(t, "patient")
	r.ready(t, http.StatusOK)
	third := r.hold(t, "patient", atChunk, 2)
	job := export(t, c, "$export", nil)
	third.reached()

	require.NoError(t, s.postgres.Stop(t.Context()))
	r.ready(t, http.StatusServiceUnavailable)
	resp, body := call(t, c, http.MethodGet, job.StatusURL, nil, nil)
	refused(t, resp, body, http.StatusServiceUnavailable)
	seconds(t, resp.Header)
	s.postgres, err = postgres.Start(t.Context(), s.config)
	require.NoError(t, err)
	r.ready(t, http.StatusOK)
	r.db.Reset() // connections to the server that is gone
	third.forget()
	got, _ := finish(t, c, job)
	got.equal(t, want)
	r.nothingLeft(t, job)

	require.NoError(t, s.temporal.Signal(syscall.SIGSTOP))
	r.ready(t, http.StatusServiceUnavailable)
	after, _ := finish(t, c, job) // what is finished needs no Temporal
	after.equal(t, want)
	asked := time.Now()
	key := http.Header{"Accept": {"application/fhir+json"}, "Prefer": {"respond-async"}, "Idempotency-Key": {"once"}}
	resp, body = call(t, c, http.MethodGet, "$export?_type=Patient", key, nil)
	refused(t, resp, body, http.StatusServiceUnavailable)
	seconds(t, resp.Header)
	t.Logf("told after %.1f s that Temporal is away", time.Since(asked).Seconds())
	require.Less(t, time.Since(asked), 15*time.Second, "a client is told in time")
	require.NoError(t, s.temporal.Signal(syscall.SIGCONT))
	r.ready(t, http.StatusOK)
	job, err = c.KickOff(t.Context(), http.MethodGet, "$export", url.Values{"_type": {"Patient"}}, key, nil)
	require.NoError(t, err)
	got, _ = finish(t, c, job)
	require.Equal(t, map[string]int64{"Patient": want.byType["Patient"]}, got.byType)
}

// seconds asserts a Retry-After of whole seconds.
func seconds(t *testing.T, h http.Header) {
	t.Helper()
	n, err := strconv.Atoi(h.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, n)
	require.False(t, strings.HasPrefix(h.Get("Retry-After"), "+"))
}
