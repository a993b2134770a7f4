package boot_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
)

// startTemporal starts a Temporal server for one test and returns its address.
func startTemporal(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PDEX_TEST_TEMPORAL")
	if path == "" {
		path, _ = filepath.Abs("../../dev/bin/temporal")
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no Temporal server: set PDEX_TEST_TEMPORAL or build dev/bin/temporal")
		}
		t.Skip("no Temporal server: set PDEX_TEST_TEMPORAL or build dev/bin/temporal")
	}
	srv, err := testsuite.StartDevServer(t.Context(), testsuite.DevServerOptions{ExistingPath: path, LogLevel: "error"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Stop()) })
	return srv.FrontendHostPort()
}

// startPostgres returns the URL of an empty database: of the server TEST_DATABASE_URL names, or of one started for the
// test from the newest binaries installed.
func startPostgres(t *testing.T) string {
	t.Helper()
	if url := os.Getenv("TEST_DATABASE_URL"); url != "" {
		return url
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	require.NoError(t, err)
	if len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("no Postgres: set TEST_DATABASE_URL")
		}
		t.Skip("no Postgres: set TEST_DATABASE_URL")
	}
	slices.Sort(found)
	bin := filepath.Dir(found[len(found)-1])

	// t.TempDir is closed to other users, and Postgres refuses to be root.
	dir, err := os.MkdirTemp("", "pdex-boot-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		require.NoError(t, err)
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		require.NoError(t, err)
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		require.NoError(t, err)
		require.NoError(t, os.Chown(dir, int(uid), int(gid)))
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = dir, attr
		return cmd
	}
	out, err := command("initdb", "-D", dir+"/data", "-U", "pdex", "-A", "trust", "--no-sync").CombinedOutput()
	require.NoError(t, err, "%s", out)
	port := freePort(t)
	server := command("postgres", "-D", dir+"/data", "-k", dir, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		require.NoError(t, server.Process.Signal(syscall.SIGINT))
		require.NoError(t, server.Wait())
	})
	url := fmt.Sprintf("postgres://pdex@127.0.0.1:%s/postgres", port)
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			return false
		}
		return conn.Close(t.Context()) == nil
	}, 30*time.Second, 20*time.Millisecond)
	return url
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

// wait fails the test when a channel is not closed, or sent to, in time.
func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

var errBoom = errors.New("boom")
