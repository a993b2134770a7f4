package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	// The processes under test are made of these: without them "go test" would take a result from its cache although they
	// have changed.
	_ "pdexbulk/api/server"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/postgres"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	_ "pdexbulk/worker/serve"
)

// The limits of a match request on the shared system.
const (
	maxMembers = 700
	maxBody    = 6 << 20 // bytes
)

// suite is what the tests share. Everything in it is made when the first test asks.
type suite struct {
	temp     string
	binaries func() (string, error)
	world    func() (*world, error)
	system   func() (*running, error)
}

var tests suite

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait for processes more than they use a processor, so there may be more of them than processors.
	_ = flag.Set("test.parallel", "32") // the flag is there and takes numbers
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	temp, err := os.MkdirTemp("", "pdex-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var made *running
	tests = suite{
		temp: temp,
		binaries: sync.OnceValues(func() (string, error) {
			dir := filepath.Join(temp, "bin")
			return dir, system.Build(context.Background(), dir)
		}),
		world: sync.OnceValues(func() (*world, error) { return newWorld(filepath.Join(temp, "payer")) }),
		system: sync.OnceValues(func() (*running, error) {
			made, err = start(stack.Options{}, fmt.Sprintf("PDEX_MATCH_MEMBERS=%d", maxMembers), fmt.Sprintf("PDEX_MATCH_BODY=%d", maxBody),
				"PDEX_POLL_BURST=0")
			if err != nil {
				return nil, err
			}
			w, err := tests.world()
			if err != nil {
				return nil, err
			}
			_, err = made.Import(context.Background(), w.dir, models.ImportBackfill, nil)
			return made, err
		}),
	}
	defer func() {
		var err error
		if made != nil {
			if code != 0 {
				made.tell(os.Stderr)
			}
			err = made.stop()
		}
		if err = errors.Join(err, os.RemoveAll(temp)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}()
	return m.Run()
}

// need skips a test that cannot run here, and fails it on CI.
func need(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts the whole product: skipped with -short")
	}
	missing := ""
	if _, err := temporalBinary(); err != nil {
		missing = err.Error()
	}
	if len(postgres.Find(t.Context())) == 0 && os.Getenv("PDEX_DATABASE_URL") == "" {
		missing = "no Postgres is installed"
	}
	switch {
	case missing == "":
	case os.Getenv("CI") == "true":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// temporalBinary finds the Temporal server; building it takes minutes and is not for a test to begin.
func temporalBinary() (string, error) {
	root, err := stack.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "dev", "bin", "temporal")
	if _, err := exec.LookPath(path); err == nil {
		return path, nil
	}
	if path, err = exec.LookPath("temporal"); err == nil {
		return path, nil
	}
	return "", errors.New("there is no dev/bin/temporal: run make tools")
}

// running is a system and a way into its database.
type running struct {
	*system.System
	db *pgxpool.Pool
}

// shared returns the system most tests use. It holds the world, and nobody stops anything in it.
func shared(t *testing.T) (*running, *world) {
	t.Helper()
	need(t)
	r, err := tests.system()
	require.NoError(t, err)
	w, err := tests.world()
	require.NoError(t, err)
	return r, w
}

// own returns a system of the test's own, with nothing in it.
func own(t *testing.T, o stack.Options, env ...string) (*running, *world) {
	t.Helper()
	w, err := tests.world()
	require.NoError(t, err)
	r, err := start(o, env...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			r.tell(os.Stderr)
		}
		require.NoError(t, r.stop())
	})
	return r, w
}

func start(o stack.Options, env ...string) (*running, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	binaries, err := tests.binaries()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	o.Ephemeral, o.Out = true, io.Discard
	sys, err := system.Start(ctx, demo.Holder(system.Options{
		Stack: o, ImportRoots: []string{tests.temp}, Port: port, Binaries: binaries, Env: env,
	}))
	if err != nil {
		return nil, err
	}
	r := &running{System: sys}
	if r.db, err = pgxpool.New(ctx, sys.Stack.DatabaseURL); err == nil {
		_, err = r.db.Exec(ctx, gates)
	}
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

func (r *running) stop() error {
	if r.db != nil {
		r.db.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return r.Stop(ctx)
}

// tell writes the warnings and errors in the system's logs, for whoever has to find out why a test failed.
func (r *running) tell(w io.Writer) {
	paths, _ := filepath.Glob(filepath.Join(r.Stack.Dir, "logs", "*.log")) // only a malformed pattern errs
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it is the test's failure that counts
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "FATAL") {
				fmt.Fprintf(w, "%s: %s", filepath.Base(path), line)
			}
		}
	}
}

// logs returns everything the processes of the system have written, by file.
func (r *running) logs(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.Stack.Dir, "logs", "*"))
	require.NoError(t, err)
	logs := map[string][]byte{}
	for _, path := range paths {
		logs[filepath.Base(path)], err = os.ReadFile(path)
		require.NoError(t, err)
	}
	return logs
}

// freePort finds a port. Systems start at the same time, so none of them may want the usual one.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() // it was only asked
	return l.Addr().(*net.TCPAddr).Port, nil
}

// eventually waits until done says so. what is for the message when it never does.
func eventually(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			require.FailNow(t, "it did not happen within "+limit.String(), what)
		case <-tick.C:
		}
	}
}

// noCancel is for what is done when a test has ended.
func noCancel(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

// jobID is the id in a status URL.
func jobID(statusURL string) string { return statusURL[strings.LastIndexByte(statusURL, '/')+1:] }
