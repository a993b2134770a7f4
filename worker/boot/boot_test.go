package boot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/worker/boot"
)

// running is a Main at work.
type running struct {
	*boot.Main
	log    *syncBuffer
	result chan error
}

// start runs a program until the test ends. It needs no dependency unless the program says so.
func start(t *testing.T, m *boot.Main) *running {
	t.Helper()
	r := &running{Main: m, log: &syncBuffer{}, result: make(chan error, 1)}
	if m.Needs == 0 {
		m.Needs = boot.NeedBlob
		m.Environ = append(m.Environ, "PDEX_BLOB_URL=file://"+t.TempDir())
	}
	m.Name, m.LogTo = "test", r.log
	go func() { r.result <- m.Run(t.Context()) }()
	t.Cleanup(m.Close)
	return r
}

func (r *running) awaitReady(t *testing.T) {
	t.Helper()
	select {
	case <-r.Ready():
	case err := <-r.result:
		require.FailNow(t, "ended before it was ready", "%v\n%s", err, r.log)
	case <-time.After(60 * time.Second):
		require.FailNow(t, "not ready", "%s", r.log)
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// TestShutdownOrder stops a server with a request in flight: readiness fails first, the request is finished, new ones are
// refused, and parts stop in the reverse of the order they were added in.
func TestShutdownOrder(t *testing.T) {
	t.Parallel()
	var (
		order   []string
		entered = make(chan struct{})
		release = make(chan struct{})
		drained = make(chan int)
		health  *boot.Health
	)
	note := func(name string) func(context.Context) error {
		return func(context.Context) error { order = append(order, name); return nil }
	}
	r := start(t, &boot.Main{Setup: func(ctx context.Context, p *boot.Process) error {
		health = p.Health
		p.OnStop("first", note("first"))
		mux := http.NewServeMux()
		mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-release
			_, _ = fmt.Fprint(w, r.Context().Err())
		})
		if err := p.Serve(ctx, "api", "127.0.0.1:0", mux, true); err != nil {
			return err
		}
		p.OnStop("last", func(context.Context) error {
			status, _ := health.Ready(context.Background())
			order = append(order, "last")
			drained <- status
			return nil
		})
		return nil
	}})
	r.awaitReady(t)
	url := "http://" + r.Addr("api")

	type answer struct {
		body string
		err  error
	}
	slow := make(chan answer, 1)
	go func() {
		resp, err := http.Get(url + "/slow") // the request must not end with anything of ours
		if err != nil {
			slow <- answer{err: err}
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		slow <- answer{string(body), err}
	}()
	wait(t, entered)
	go r.Close()
	require.Equal(t, http.StatusServiceUnavailable, wait(t, drained))
	require.Eventually(t, func() bool {
		resp, err := http.Get(url) // as above
		if err == nil {
			_ = resp.Body.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	}, 10*time.Second, time.Millisecond, "new connections are refused while the old one is served")
	select {
	case err := <-r.result:
		require.FailNow(t, "did not wait for the request in flight", "%v", err)
	default:
	}
	close(release)
	require.Equal(t, answer{body: "<nil>"}, wait(t, slow), "its context is alive to the end")
	require.NoError(t, wait(t, r.result))
	require.Equal(t, []string{"last", "first"}, order)
}

func TestGraceEnds(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	r := start(t, &boot.Main{
		Environ: []string{"PDEX_SHUTDOWN_GRACE=1ms"},
		Setup: func(ctx context.Context, p *boot.Process) error {
			return p.Serve(ctx, "api", "127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(entered)
				<-r.Context().Done()
			}), false)
		},
	})
	r.awaitReady(t)
	go func() {
		resp, err := http.Get("http://" + r.Addr("api")) // cut off by the server
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	wait(t, entered)
	r.Close()
	require.ErrorIs(t, wait(t, r.result), boot.ErrGrace)
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		signals int
		want    error
	}{"one stops": {1, nil}, "two stop at once": {2, boot.ErrForced}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signals, stopping, release := make(chan os.Signal), make(chan struct{}), make(chan struct{})
			defer close(release)
			r := start(t, &boot.Main{Signals: signals, Setup: func(_ context.Context, p *boot.Process) error {
				p.OnStop("slow", func(context.Context) error {
					close(stopping)
					if tt.signals > 1 {
						<-release
					}
					return nil
				})
				return nil
			}})
			r.awaitReady(t)
			signals <- syscall.SIGTERM
			wait(t, stopping)
			if tt.signals > 1 {
				signals <- syscall.SIGTERM
			}
			require.ErrorIs(t, wait(t, r.result), tt.want)
		})
	}
}

// TestRealSignal is not parallel: the signal is for the whole process.
func TestRealSignal(t *testing.T) { //nolint:paralleltest // see above
	r := start(t, &boot.Main{Signals: boot.Signals()})
	r.awaitReady(t)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	require.NoError(t, wait(t, r.result))
}

func TestFailingPartEndsRun(t *testing.T) {
	t.Parallel()
	closed := false
	r := start(t, &boot.Main{Setup: func(_ context.Context, p *boot.Process) error {
		p.OnStop("x", func(context.Context) error { closed = true; return nil })
		p.Fail(errBoom)
		p.Fail(errors.New("a later one"))
		return nil
	}})
	require.ErrorIs(t, wait(t, r.result), errBoom)
	require.True(t, closed)
}

func TestFailingSetupStopsWhatRuns(t *testing.T) {
	t.Parallel()
	closed := false
	errStop := errors.New("stop failed")
	r := start(t, &boot.Main{Setup: func(_ context.Context, p *boot.Process) error {
		p.OnStop("x", func(context.Context) error { closed = true; return errStop })
		return errBoom
	}})
	err := wait(t, r.result)
	require.ErrorIs(t, err, errBoom)
	require.ErrorIs(t, err, errStop)
	require.True(t, closed)
	require.Empty(t, r.Addr("api"))
	r.Close()
}

func TestRunRefusesBadConfig(t *testing.T) {
	t.Parallel()
	for _, environ := range [][]string{nil, {"PDEX_DEV=perhaps"}} {
		m := &boot.Main{Environ: environ}
		err := m.Run(t.Context())
		require.ErrorContains(t, err, "configure: PDEX_")
		m.Close()
	}
}

func TestUnknownVariableIsReported(t *testing.T) {
	t.Parallel()
	r := start(t, &boot.Main{Environ: []string{"PDEX_BLOB_ULR=hunter2"}})
	r.awaitReady(t)
	require.Contains(t, r.log.String(), `"variable":"PDEX_BLOB_ULR"`)
	require.NotContains(t, r.log.String(), "hunter2")
}

func TestStartIsPatientAndBounded(t *testing.T) {
	t.Parallel()
	m := &boot.Main{Needs: boot.NeedDatabase, Environ: []string{
		"PDEX_DATABASE_URL=postgres://pdex:hunter2@127.0.0.1:1/pdex", "PDEX_START_TIMEOUT=300ms",
	}}
	r := start(t, m)
	err := wait(t, r.result)
	require.ErrorContains(t, err, "open database")
	require.NotContains(t, err.Error(), "hunter2")
	require.Contains(t, r.log.String(), "waiting for a dependency")
	require.NotContains(t, r.log.String(), "hunter2")

	// Told to stop while it waits, it stops, and that is no fault.
	r = start(t, &boot.Main{Needs: boot.NeedDatabase, Environ: []string{"PDEX_DATABASE_URL=postgres://127.0.0.1:1/pdex"}})
	r.Close()
	require.NoError(t, wait(t, r.result))
}

// TestWholeProcess runs a program on a real Postgres and a real Temporal server: a workflow with sealed payloads, health
// over HTTP, a worker that hands back its work, and readiness that tells of a database that went away.
func TestWholeProcess(t *testing.T) {
	t.Parallel()
	address, database := startTemporal(t), startPostgres(t)
	const word = "melittology"
	var process *boot.Process
	r := start(t, &boot.Main{
		Needs: boot.NeedDatabase | boot.NeedTemporal | boot.NeedBlob,
		Environ: []string{
			"PDEX_TEMPORAL_ADDRESS=" + address, "PDEX_DATABASE_URL=" + database, "PDEX_BLOB_URL=file://" + t.TempDir(),
			"PDEX_PAYLOAD_KEYS=" + key("a", 1), "PDEX_LOG_LEVEL=debug",
		},
		Setup: func(ctx context.Context, p *boot.Process) error {
			process = p
			if err := p.Serve(ctx, "health", "127.0.0.1:0", p.Health.Handler(), false); err != nil {
				return err
			}
			w := worker.New(p.Temporal, p.Config.Temporal.TaskQueue, p.WorkerOptions(worker.Options{}))
			w.RegisterWorkflowWithOptions(echo, workflow.RegisterOptions{Name: "echo"})
			w.RegisterActivityWithOptions(repeat, activity.RegisterOptions{Name: "repeat"})
			return p.Work("worker", w)
		},
	})
	r.awaitReady(t)
	status, body := fetch(t, "http://"+r.Addr("health")+"/readyz")
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"process":"ok","database":"ok","temporal":"ok","files":"ok"}`, body)

	run, err := process.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "w", TaskQueue: "pdex"}, "echo", word)
	require.NoError(t, err)
	var back string
	require.NoError(t, run.Get(t.Context(), &back))
	require.Equal(t, word+word, back)
	events := process.Temporal.GetWorkflowHistory(t.Context(), "w", "", false, 0)
	n := 0
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		require.NotContains(t, e.String(), word, "no payload is readable in the history")
		n++
	}
	require.Greater(t, n, 5)

	process.Store.Close()
	require.Eventually(t, func() bool {
		status, body = fetch(t, "http://"+r.Addr("health")+"/readyz")
		return status == http.StatusServiceUnavailable
	}, 10*time.Second, 50*time.Millisecond)
	require.JSONEq(t, `{"process":"ok","database":"unavailable","temporal":"ok","files":"ok"}`, body)
	r.Close()
	require.NoError(t, wait(t, r.result))
	require.NotContains(t, r.log.String(), word)
	require.Contains(t, r.log.String(), `"msg":"stopped"`)
}

func echo(ctx workflow.Context, s string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var out string
	err := workflow.ExecuteActivity(ctx, "repeat", s).Get(ctx, &out)
	return out, err
}

func repeat(_ context.Context, s string) (string, error) { return s + s, nil }
