package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"pdexbulk/dev/stack/child"
	"pdexbulk/dev/stack/folder"
	"pdexbulk/dev/stack/postgres"
)

// local is a throw-away server.
type local struct {
	server  *postgres.Server
	scratch *folder.Scratch
	url     string
}

// memory is how much room, in bytes, must be free in memory for the data to go there: many times what a server with a
// dozen test databases takes.
const memory = 4 << 30

// start starts a throw-away server from the newest binaries installed. It returns postgres.ErrNoBinaries when there are
// none.
func start(ctx context.Context) (_ *local, err error) {
	found := postgres.Find(ctx)
	if len(found) == 0 {
		return nil, postgres.ErrNoBinaries
	}
	scratch, err := folder.NewScratch(folder.Memory(memory), "pdex-pgtest-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = scratch.Remove(ctx) // the error that counts is why there is no server
		}
	}()
	log, err := os.Create(filepath.Join(scratch.Path, "postgres.log"))
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	defer log.Close() // the server has its own
	server, err := postgres.Start(ctx, postgres.Config{
		Binaries:  found[0],
		Dir:       filepath.Join(scratch.Path, "pg"),
		Password:  rand.Text(),
		Ephemeral: true,
		Settings: map[string]string{
			"autovacuum":   "off", // it would connect to a template now and then, and make a clone of it wait
			"max_wal_size": "256MB",
		},
		Log:     log,
		Inherit: []*os.File{scratch.Hold()},
	})
	if err != nil {
		return nil, err
	}
	return &local{server: server, scratch: scratch, url: server.URL("")}, nil
}

func (l *local) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // whoever stops is often being cancelled
	defer cancel()
	return errors.Join(l.server.Abandon(ctx), l.scratch.Remove(ctx))
}

// Server starts a throw-away server and returns its URL, fit for TEST_DATABASE_URL. It ends with stop, or with this
// process. The error is postgres.ErrNoBinaries when no Postgres is installed.
func Server(ctx context.Context) (url string, stop func() error, err error) {
	l, err := start(ctx)
	if err != nil {
		return "", nil, err
	}
	return l.url, l.stop, nil
}

// RunWith runs a command with TEST_DATABASE_URL naming a server: the one the environment names already, or one that is
// started before and stopped after it. The command has this process's standard files and ends when ctx does. The exit
// code is the command's own, or 128 plus the signal that ended it; with an error it is 1.
//
// Where no Postgres is installed the command runs without a server, and its tests do as New says.
func RunWith(ctx context.Context, argv []string) (exitCode int, err error) {
	if len(argv) == 0 {
		return 1, errors.New("no command to run with a test server")
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 1, fmt.Errorf("find command: %w", err)
	}
	env := os.Environ()
	if os.Getenv("TEST_DATABASE_URL") == "" {
		l, err := start(ctx)
		switch {
		case err == nil:
			defer func() {
				if stopErr := l.stop(); stopErr != nil && err == nil {
					exitCode, err = 1, stopErr
				}
			}()
			env = append(env, "TEST_DATABASE_URL="+l.url)
		case !errors.Is(err, postgres.ErrNoBinaries):
			return 1, err
		}
	}
	p, err := child.Start(child.Command{
		Name: filepath.Base(path), Path: path, Args: argv[1:], Env: env, Foreground: true,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		return 1, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		if err := p.Stop(context.WithoutCancel(ctx), syscall.SIGTERM, 10*time.Second); err != nil {
			return 1, err
		}
	}
	return exitStatus(p.Wait())
}

// exitStatus turns the end of a command into an exit code as a shell does.
func exitStatus(err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 1, fmt.Errorf("wait for command: %w", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
