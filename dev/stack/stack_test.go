package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"pdexbulk/dev/stack/child"
	"pdexbulk/dev/stack/folder"
	"pdexbulk/dev/stack/postgres"
)

// asParent makes this test binary the parent that gets killed: it starts a stack on the folder named and tells of it.
const asParent = "STACK_TEST_AS_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asParent); dir != "" {
		os.Exit(parent(dir))
	}
	os.Exit(m.Run())
}

// told is what the parent tells of the stack it started.
type told struct {
	DatabaseURL string
	Pids        []int
}

func parent(dir string) int {
	ctx := context.Background()
	s, err := Start(ctx, testOptions(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := s.Child(ctx, "worker", "/bin/sh", []string{"-c", `trap "" INT TERM HUP; while :; do sleep 0.1; done`}, nil, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = json.NewEncoder(os.Stdout).Encode(told{s.DatabaseURL, []int{s.postgres.Process.Pid(), s.temporal.Pid(), p.Pid()}})
	_ = p.Wait()
	return 0
}

// testOptions are those of a kept stack that hears nothing of the environment.
func testOptions(dir string) Options {
	return Options{
		Dir: dir, AnyPorts: true, SharedBuffers: "128MB", Out: io.Discard, Getenv: func(string) string { return "" },
		SearchAttributes: map[string]string{"PdexClient": "Keyword", "PdexStage": "Keyword"},
	}
}

// need skips the test where Postgres or Temporal would have to be fetched first, and fails it on CI.
func need(t *testing.T) {
	t.Helper()
	missing := ""
	path, err := exec.LookPath("temporal")
	if err != nil || !temporalUsable(t.Context(), path) {
		root, err := Root()
		require.NoError(t, err)
		if !temporalUsable(t.Context(), filepath.Join(root, "dev", "bin", "temporal")) {
			missing = "no temporal on PATH or in dev/bin: run make tools"
		}
	}
	if len(postgres.Find(t.Context())) == 0 {
		missing = "no Postgres is installed"
	}
	if missing == "" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// stateDir is a folder that Postgres can reach when the test runs as root.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(folder.Temp(), "pdex-stack-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func query(t *testing.T, url, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

func exec1(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func TestKeptStackKeepsItsState(t *testing.T) {
	t.Parallel()
	need(t)
	dir := stateDir(t)
	began := time.Now()
	s, err := Start(t.Context(), testOptions(dir))
	require.NoError(t, err)
	t.Logf("first start: %s", time.Since(began))
	stop := s.Stop
	defer func() { _ = stop(context.WithoutCancel(t.Context())) }()

	exec1(t, s.DatabaseURL, "create table kept as select 42 as v")
	exec1(t, s.postgres.TCPURL(""), "insert into kept values (1)")
	run := startWorkflow(t, s)
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.TemporalUIURL, nil)
	require.NoError(t, err)
	ui, err := http.DefaultClient.Do(ask)
	require.NoError(t, err)
	require.NoError(t, ui.Body.Close())
	require.Equal(t, http.StatusOK, ui.StatusCode)

	_, err = Start(t.Context(), testOptions(dir))
	require.ErrorIs(t, err, folder.ErrLocked)
	require.ErrorContains(t, err, "another stack is running on "+dir)
	require.Equal(t, 43, query(t, s.DatabaseURL, "select sum(v)::int from kept"), "the first is none the worse")

	began = time.Now()
	require.NoError(t, s.Stop(t.Context()))
	t.Logf("stop: %s", time.Since(began))
	require.NoError(t, s.Stop(t.Context()), "stopping twice is no error")
	select {
	case err := <-s.Lost():
		require.NoError(t, err, "what was stopped is not lost")
	default:
	}

	began = time.Now()
	s, err = Start(t.Context(), testOptions(dir))
	require.NoError(t, err)
	t.Logf("second start: %s", time.Since(began))
	stop = s.Stop
	require.Equal(t, 43, query(t, s.DatabaseURL, "select sum(v)::int from kept"))
	require.Equal(t, run, describeWorkflow(t, s))

	require.NoError(t, syscall.Kill(s.temporal.Pid(), syscall.SIGKILL))
	err = <-s.Lost()
	require.ErrorContains(t, err, "temporal ended by itself")
}

func temporalClient(t *testing.T, s *Stack) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: s.TemporalAddress, Namespace: s.TemporalNamespace})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func startWorkflow(t *testing.T, s *Stack) (run string) {
	t.Helper()
	started, err := temporalClient(t, s).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "kept", TaskQueue: "nobody", SearchAttributes: map[string]any{"PdexClient": "c"}, //nolint:staticcheck // the short form
	}, "Nothing")
	require.NoError(t, err)
	return started.GetRunID()
}

func describeWorkflow(t *testing.T, s *Stack) (run string) {
	t.Helper()
	described, err := temporalClient(t, s).DescribeWorkflowExecution(t.Context(), "kept", "")
	require.NoError(t, err)
	return described.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

func TestKilledStackTakesItsChildrenAndStartsAgain(t *testing.T) {
	t.Parallel()
	need(t)
	dir := stateDir(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asParent+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var was told
	require.NoError(t, json.NewDecoder(out).Decode(&was))
	exec1(t, was.DatabaseURL, "create table kept as select 42 as v")
	pidfile := filepath.Join(dir, "postgres", "data", "postmaster.pid")
	left, err := os.ReadFile(pidfile)
	require.NoError(t, err)
	user := owner(t, pidfile)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	gone, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	lock, err := folder.WaitLock(gone, filepath.Join(dir, "children.lock"), nil)
	require.NoError(t, err, "every child has let go of what it inherited")
	require.NoError(t, lock.Close())
	for _, pid := range was.Pids {
		require.Eventually(t, func() bool { return ended(pid) }, 10*time.Second, 5*time.Millisecond)
	}
	// A server that is killed itself leaves this behind, and by the next start the id in it may be anybody's.
	impostor, err := child.Start(child.Command{Name: "impostor", Path: "/bin/sleep", Args: []string{"600"}, User: user})
	require.NoError(t, err)
	defer impostor.Kill() //nolint:errcheck // it goes with the test
	_, rest, _ := bytes.Cut(left, []byte("\n"))
	require.NoError(t, os.WriteFile(pidfile, fmt.Appendf(nil, "%d\n%s", impostor.Pid(), rest), 0o600))

	began := time.Now()
	s, err := Start(t.Context(), testOptions(dir))
	require.NoError(t, err)
	t.Logf("start after kill: %s", time.Since(began))
	require.Equal(t, 42, query(t, s.DatabaseURL, "select v from kept"))
	require.NoError(t, s.Stop(t.Context()))
}

// owner is whom the server runs as; nil when that is us.
func owner(t *testing.T, path string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	return &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
}

// ended reports whether a process is gone, or waits only for somebody to ask for its status.
func ended(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

func TestEphemeralStack(t *testing.T) {
	t.Parallel()
	need(t)
	began := time.Now()
	o := testOptions("")
	o.Ephemeral = true
	s, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Logf("start: %s", time.Since(began))
	defer func() { _ = s.Stop(context.WithoutCancel(t.Context())) }()

	t.Run("child finds its services", func(t *testing.T) {
		p, err := s.Child(t.Context(), "printer", "/bin/sh", []string{"-c", `echo "$PDEX_DATABASE_URL $PDEX_TEMPORAL_ADDRESS $PDEX_TEMPORAL_NAMESPACE $MORE"`}, []string{"MORE=more"}, "")
		require.NoError(t, err)
		require.NoError(t, p.Wait())
		got, err := os.ReadFile(filepath.Join(s.Dir, "logs", "printer.log"))
		require.NoError(t, err)
		require.Equal(t, s.DatabaseURL+" "+s.TemporalAddress+" default more\n", string(got))
	})
	t.Run("child ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p, err := s.Child(ctx, "sleeper", "/bin/sleep", []string{"600"}, nil, "")
		require.NoError(t, err)
		cancel()
		require.ErrorContains(t, p.Wait(), "terminated")
	})
	t.Run("environment goes before starting", func(t *testing.T) {
		env := map[string]string{
			"PDEX_DATABASE_URL": s.DatabaseURL, "PDEX_TEMPORAL_ADDRESS": s.TemporalAddress, "PDEX_TEMPORAL_NAMESPACE": "elsewhere",
		}
		dir := t.TempDir()
		other, err := Start(t.Context(), Options{Dir: dir, Out: io.Discard, Getenv: func(name string) string { return env[name] }})
		require.NoError(t, err)
		require.Equal(t, []string{
			"PDEX_DATABASE_URL=" + s.DatabaseURL, "PDEX_TEMPORAL_ADDRESS=" + s.TemporalAddress, "PDEX_TEMPORAL_NAMESPACE=elsewhere",
		}, other.Env())
		require.Empty(t, other.TemporalUIURL)
		require.Nil(t, other.postgres)
		require.Nil(t, other.temporal)
		require.NoDirExists(t, filepath.Join(dir, "postgres"))
		require.NoError(t, other.Stop(t.Context()))
		require.Equal(t, 1, query(t, s.DatabaseURL, "select 1"), "what was used still runs")
	})
	t.Run("port asked for is taken", func(t *testing.T) {
		o := testOptions(stateDir(t))
		o.DatabaseURL = s.DatabaseURL
		_, err := fmt.Sscanf(s.TemporalAddress, "127.0.0.1:%d", &o.TemporalPort)
		require.NoError(t, err)
		_, err = Start(t.Context(), o)
		require.ErrorContains(t, err, "PDEX_TEMPORAL_PORT, is taken")
		// A start that failed holds on to nothing.
		lock, err := folder.Lock(filepath.Join(o.Dir, "stack.lock"))
		require.NoError(t, err)
		require.NoError(t, lock.Close())
	})

	p, err := s.Child(t.Context(), "outliver", "/bin/sleep", []string{"600"}, nil, "")
	require.NoError(t, err)
	began = time.Now()
	require.NoError(t, s.Stop(t.Context()))
	t.Logf("stop: %s", time.Since(began))
	require.ErrorContains(t, p.Wait(), "terminated")
	require.NoDirExists(t, s.Dir)
}

func TestServicesThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	closed, err := port(0, 0, "")
	require.NoError(t, err)
	o := testOptions(t.TempDir())
	o.DatabaseURL = "postgres://u:secret@" + address(closed) + "/db"
	o.TemporalAddress = address(closed)
	_, err = Start(t.Context(), o)
	require.ErrorContains(t, err, "connect to ")
	require.NotContains(t, err.Error(), "secret")
}
