// Package stack brings up what PDex Bulk Exchange runs on, Postgres and the Temporal development server with its UI, as
// child processes of the caller: no container engine, no configuration, as root or not. It is for development machines,
// end-to-end tests and benchmarks. Production points the same binaries at services somebody else runs.
//
// Everything started here ends with the process that started it, even when that is killed. What the services keep lies
// in one folder and is there at the next start, unless the stack is Ephemeral.
//
// What the environment names is used instead of started:
//
//	PDEX_DATABASE_URL        the URL of a Postgres database
//	PDEX_TEMPORAL_ADDRESS    host:port of a Temporal frontend; PDEX_TEMPORAL_NAMESPACE names its namespace
//	PDEX_POSTGRES_PORT, PDEX_TEMPORAL_PORT, PDEX_TEMPORAL_UI_PORT    ports for what is started
//
// Services that are used and not started are not configured either: search attributes are their operator's to add.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"pdexbulk/dev/stack/child"
	"pdexbulk/dev/stack/folder"
	"pdexbulk/dev/stack/postgres"
)

// Options say what stack to start. The zero value is the stack of "make run".
type Options struct {
	// Dir keeps the state; "" means dev/.state in the repository, or a throw-away folder when Ephemeral.
	Dir string

	// Ephemeral asks for a stack that is fast to start and leaves nothing: Postgres without fsync, Temporal in memory.
	// It excludes Dir.
	Ephemeral bool

	// DatabaseURL and TemporalAddress name services to use instead of starting them. They go before the environment.
	DatabaseURL, TemporalAddress string

	// PostgresPort, TemporalPort and TemporalUIPort go before the environment; 0 means a free port, the same one every
	// time when nothing else has taken it.
	PostgresPort, TemporalPort, TemporalUIPort int

	// AnyPorts lets a kept stack have other free ports every time, so that it is in nobody's way.
	AnyPorts bool

	// SearchAttributes are custom search attributes to register, name to type: Text, Keyword, Int, Double, Bool,
	// Datetime or KeywordList.
	SearchAttributes map[string]string

	// CodecEndpoint is the URL of a codec server for the Temporal UI; "" is none.
	CodecEndpoint string

	// SharedBuffers is Postgres's cache; "" means 1GB, or 128MB when Ephemeral.
	SharedBuffers string

	// Out gets a line now and then about what is being done; nil means standard error.
	Out io.Writer

	// Getenv reads the environment; nil means os.Getenv. Tests pass their own, to be alone with their options.
	Getenv func(string) string
}

// Stack is a running stack.
type Stack struct {
	DatabaseURL       string // fit for pgx
	TemporalAddress   string // host:port
	TemporalNamespace string
	TemporalUIURL     string // "" when Temporal was not started here
	Dir               string

	out      io.Writer
	lock     *os.File // of Dir, for as long as this process uses it
	hold     *os.File // what children inherit: a lock on Dir, or the hold on the throw-away folder
	scratch  *folder.Scratch
	postgres *postgres.Server
	temporal *child.Process
	lost     chan error

	ephemeral bool
	mu        sync.Mutex
	children  []*child.Process
}

// Start brings the stack up and returns when its services answer. ctx bounds the start alone. It errs when another
// stack uses Dir, when a port that was asked for is taken, and when a service neither runs nor can be started; what had
// been started by then is stopped again.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	if o, err = o.complete(); err != nil {
		return nil, err
	}
	s := &Stack{
		DatabaseURL: o.DatabaseURL, TemporalAddress: o.TemporalAddress, TemporalNamespace: o.Getenv("PDEX_TEMPORAL_NAMESPACE"),
		out: o.Out, ephemeral: o.Ephemeral, lost: make(chan error, 2),
	}
	if s.TemporalNamespace == "" || s.TemporalAddress == "" {
		s.TemporalNamespace = "default"
	}
	if err := s.openDir(ctx, o); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	both, bothCtx := errgroup.WithContext(ctx)
	both.Go(func() error {
		if o.DatabaseURL != "" {
			return ping(bothCtx, o.DatabaseURL)
		}
		return s.startPostgres(bothCtx, o)
	})
	both.Go(func() error {
		if o.TemporalAddress != "" {
			return knock(bothCtx, o.TemporalAddress)
		}
		return s.startTemporal(bothCtx, o)
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	s.watch()
	return s, nil
}

// openDir makes and locks the folder of the stack. Two locks: one ends with this process, the other with its last child.
func (s *Stack) openDir(ctx context.Context, o Options) (err error) {
	if o.Ephemeral {
		if s.scratch, err = folder.NewScratch(folder.Temp(), "pdex-stack-"); err != nil {
			return err
		}
		s.Dir, s.hold = s.scratch.Path, s.scratch.Hold()
		return os.Mkdir(filepath.Join(s.Dir, "logs"), 0o700)
	}
	s.Dir = o.Dir
	// Others may pass through but not look around: as root, Postgres is another user.
	if err := os.MkdirAll(s.Dir, 0o711); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if s.lock, err = folder.Lock(filepath.Join(s.Dir, "stack.lock")); err != nil {
		if errors.Is(err, folder.ErrLocked) {
			err = fmt.Errorf("another stack is running on %s: stop it, or give this one a folder of its own: %w", s.Dir, err)
		}
		return err
	}
	// When the last stack was killed, its Postgres may still be writing its data out.
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s.hold, err = folder.WaitLock(wait, filepath.Join(s.Dir, "children.lock"), func() {
		s.say("waiting for what the last stack left running in %s to end", s.Dir)
	})
	if err != nil {
		_ = s.lock.Close()
		return fmt.Errorf("wait for children of the last stack on %s, which still run: %w", s.Dir, err)
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "logs"), 0o700); err != nil {
		return errors.Join(fmt.Errorf("make log folder: %w", err), s.hold.Close(), s.lock.Close())
	}
	return nil
}

// watch reports services that end without being asked to.
func (s *Stack) watch() {
	var services []*child.Process
	if s.postgres != nil {
		services = append(services, s.postgres.Process)
	}
	if s.temporal != nil {
		services = append(services, s.temporal)
	}
	for _, p := range services {
		go func() {
			<-p.Done()
			if !p.Requested() {
				s.lost <- fmt.Errorf("%s ended by itself; see %s: %w", p.Name(), s.logPath(p.Name()), cause(p.Wait()))
			}
		}()
	}
}

// cause is why a process ended, also when it thinks all was well.
func cause(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// Lost yields an error for each service of the stack that ends without Stop.
func (s *Stack) Lost() <-chan error { return s.lost }

// Env is what a program needs in its environment to find the services of the stack.
func (s *Stack) Env() []string {
	return []string{
		"PDEX_DATABASE_URL=" + s.DatabaseURL,
		"PDEX_TEMPORAL_ADDRESS=" + s.TemporalAddress,
		"PDEX_TEMPORAL_NAMESPACE=" + s.TemporalNamespace,
	}
}

// Child starts a further program that ends with this process, and with the stack. It has this process's environment,
// then Env, then env. Its output is appended to logfile, below Dir/logs unless absolute; "" means name.log. When ctx
// ends the program gets SIGTERM, and SIGKILL ten seconds later.
func (s *Stack) Child(ctx context.Context, name, path string, args, env []string, logfile string) (*child.Process, error) {
	if logfile == "" {
		logfile = name + ".log"
	}
	if !filepath.IsAbs(logfile) {
		logfile = filepath.Join(s.Dir, "logs", logfile)
	}
	log, err := openLog(logfile)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	p, err := child.Start(child.Command{
		Name: name, Path: path, Args: args, Env: append(append(os.Environ(), s.Env()...), env...),
		Stdout: log, Stderr: log, Inherit: []*os.File{s.hold},
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.children = append(s.children, p)
	s.mu.Unlock()
	go func() {
		select {
		case <-p.Done():
		case <-ctx.Done():
			_ = p.Stop(context.WithoutCancel(ctx), syscall.SIGTERM, childGrace) // Wait tells how it ended
		}
	}()
	return p, nil
}

// How long a graceful end may take before it is forced.
const (
	childGrace    = 10 * time.Second
	temporalGrace = 10 * time.Second
)

// Stop ends the stack: first the programs started with Child, then the services. When ctx ends what is left is killed,
// which loses no data. An Ephemeral stack removes its folder. It errs when something had to be killed. Stop may be
// called again; it then does nothing.
func (s *Stack) Stop(ctx context.Context) error {
	s.mu.Lock()
	children := s.children
	s.children = nil
	s.mu.Unlock()

	var programs errgroup.Group
	for _, p := range children {
		programs.Go(func() error { return p.Stop(ctx, syscall.SIGTERM, childGrace) })
	}
	err := programs.Wait()

	var services errgroup.Group
	services.Go(func() error { return s.stopTemporal(ctx) })
	services.Go(func() error { return s.stopPostgres(ctx) })
	err = errors.Join(err, services.Wait())

	if s.scratch != nil {
		remove, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, s.scratch.Remove(remove))
	}
	for _, f := range []*os.File{s.hold, s.lock} {
		if f != nil {
			_ = f.Close() // closed by an earlier Stop, or by the throw-away folder
		}
	}
	return err
}

func (s *Stack) stopTemporal(ctx context.Context) error {
	switch {
	case s.temporal == nil:
		return nil
	case s.ephemeral:
		err := s.temporal.Kill() // what it knew, it knew in memory
		<-s.temporal.Done()
		return err
	default:
		return s.temporal.Stop(ctx, syscall.SIGTERM, temporalGrace)
	}
}

func (s *Stack) stopPostgres(ctx context.Context) error {
	switch {
	case s.postgres == nil:
		return nil
	case s.ephemeral:
		return s.postgres.Abandon(ctx)
	default:
		return s.postgres.Stop(ctx)
	}
}

// say prints a line about what is being done.
func (s *Stack) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, "stack: "+format+"\n", args...) // nobody to tell
}

func (s *Stack) logPath(name string) string { return filepath.Join(s.Dir, "logs", name+".log") }

// logLimit is the size from which a log is put aside at the next start.
const logLimit = 16 << 20

// openLog opens a log for appending. One that has grown large becomes path.old, in place of the one before.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("put log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}
