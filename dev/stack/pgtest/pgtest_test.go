package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// asHelper makes this test binary something other than a test.
const asHelper = "PGTEST_TEST_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(asHelper) {
	case "killed": // starts a server, says where, and waits to be killed
		u, _, err := Server(context.Background())
		fmt.Println(u, err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	case "runwith": // what main does with its arguments
		code, err := RunWith(context.Background(), os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

var migrations atomic.Int64

// migrate makes one table with one row.
func migrate(ctx context.Context, dsn string) error {
	migrations.Add(1)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "create table t (v int not null); insert into t values (0)")
	return err
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	return conn
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, New(t, migrate))
			_, err := conn.Exec(t.Context(), "insert into t values ($1)", i+1)
			require.NoError(t, err)
			var sum, rows int
			require.NoError(t, conn.QueryRow(t.Context(), "select sum(v), count(*) from t").Scan(&sum, &rows))
			require.Equal(t, i+1, sum)
			require.Equal(t, 2, rows)
			require.EqualValues(t, 1, migrations.Load(), "the template is migrated once")
		})
	}
}

func TestDatabaseIsDroppedEvenWhenInUse(t *testing.T) {
	t.Parallel()
	New(t, nil) // skips where there is no server
	var name string
	t.Run("uses it", func(t *testing.T) {
		dsn := New(t, nil)
		u, err := url.Parse(dsn)
		require.NoError(t, err)
		name = strings.TrimPrefix(u.Path, "/")
		_, err = pgx.Connect(t.Context(), dsn) // and forgets to close it
		require.NoError(t, err)
	})
	require.False(t, exists(t, name))
}

func exists(t *testing.T, name string) bool {
	t.Helper()
	h, err := host()
	require.NoError(t, err)
	var yes bool
	require.NoError(t, h.pool.QueryRow(t.Context(), "select exists (select from pg_database where datname = $1)", name).Scan(&yes))
	return yes
}

func TestNextProcessDropsWhatTheLastLeft(t *testing.T) {
	t.Parallel()
	New(t, nil) // skips where there is no server
	mine, err := host()
	require.NoError(t, err)
	server := mine.server.String()

	crashed, err := open(t.Context(), server)
	require.NoError(t, err)
	left, err := crashed.clone(t.Context(), "template1")
	require.NoError(t, err)
	living, err := open(t.Context(), server)
	require.NoError(t, err)
	held, err := living.clone(t.Context(), "template1")
	require.NoError(t, err)
	require.True(t, exists(t, left))

	crashed.pool.Close()
	require.NoError(t, crashed.lock.Close(t.Context()))
	next, err := open(t.Context(), server)
	require.NoError(t, err)
	// The server lets go of a closed session's locks in its own time.
	require.Eventually(t, func() bool {
		return next.sweep(t.Context()) == nil && !exists(t, left)
	}, 10*time.Second, 5*time.Millisecond)
	require.True(t, exists(t, held), "its process lives")

	require.NoError(t, living.drop(t.Context(), held))
	for _, h := range []*hosted{living, next} {
		h.pool.Close()
		require.NoError(t, h.lock.Close(t.Context()))
	}
}

func TestFailedMigrationFailsEveryTest(t *testing.T) {
	t.Parallel()
	New(t, nil) // skips where there is no server
	h, err := host()
	require.NoError(t, err)
	calls := 0
	broken := func(context.Context, string) error { calls++; return io.ErrUnexpectedEOF }
	for range 2 {
		_, err := h.template(broken)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	require.Equal(t, 1, calls)
}

func TestServerGoesWithAProcessThatIsKilled(t *testing.T) {
	t.Parallel()
	New(t, nil) // skips where there is no server
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asHelper+"=killed")
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var server, startErr string
	_, err = fmt.Fscanln(out, &server, &startErr)
	require.NoError(t, err)
	require.Equal(t, "<nil>", startErr)
	u, err := url.Parse(server)
	require.NoError(t, err)
	scratch := filepath.Dir(u.Query().Get("host"))
	require.DirExists(t, scratch)

	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	require.Error(t, cmd.Wait())
	// The folder goes only when the last server process has let go of it.
	require.Eventually(t, func() bool {
		_, err := os.Stat(scratch)
		return os.IsNotExist(err)
	}, 10*time.Second, 5*time.Millisecond)
}

func TestRunWith(t *testing.T) {
	t.Parallel()
	New(t, nil) // skips where there is no server
	tests := []struct {
		name     string
		argv     []string
		env      string
		wantCode int
		wantOut  string
	}{
		{"gives the command a server", []string{"sh", "-c", `echo "$TEST_DATABASE_URL"`}, "", 0, "postgres://pdex:"},
		{"leaves a given server alone", []string{"sh", "-c", `echo "$TEST_DATABASE_URL"`}, "TEST_DATABASE_URL=postgres://elsewhere/db", 0, "postgres://elsewhere/db\n"},
		{"passes the exit code on", []string{"sh", "-c", "exit 7"}, "TEST_DATABASE_URL=postgres://elsewhere/db", 7, ""},
		{"tells a signal as a shell does", []string{"sh", "-c", "kill -9 $$"}, "TEST_DATABASE_URL=postgres://elsewhere/db", 137, ""},
		{"needs a command", nil, "", 1, "no command"},
		{"needs one that exists", []string{"no-such-command"}, "", 1, "find command"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], tt.argv...)
			cmd.Env = append(os.Environ(), asHelper+"=runwith", "TEST_DATABASE_URL=")
			if tt.env != "" {
				cmd.Env = append(cmd.Env, tt.env)
			}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := cmd.Run()
			require.Equal(t, tt.wantCode, cmd.ProcessState.ExitCode(), "%v %s", err, out.String())
			require.Contains(t, out.String(), tt.wantOut)
		})
	}
}

func TestKeyOf(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		key  uint64
		ok   bool
	}{
		{"pdextest_00000000000000ff_12", 255, true},
		{"pdextest_ffffffffffffffff_1", 1<<64 - 1, true},
		{"pdextest_ff_1", 0, false},
		{"pdextest_00000000000000zz_1", 0, false},
		{"pdextest_00000000000000ff", 0, false},
		{"pdex", 0, false},
	}
	for _, tt := range tests {
		key, ok := keyOf(tt.name)
		require.Equal(t, tt.ok, ok, tt.name)
		if ok {
			require.Equal(t, tt.key, key, tt.name)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	New(b, migrate) // starts the server and makes the template
	h, err := host()
	require.NoError(b, err)
	template, err := h.template(migrate)
	require.NoError(b, err)
	for b.Loop() {
		name, err := h.clone(b.Context(), template)
		require.NoError(b, err)
		require.NoError(b, h.drop(b.Context(), name))
	}
}
