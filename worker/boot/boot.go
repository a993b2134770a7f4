// Package boot assembles a process: configuration from the environment, logs, Postgres, the file store, Temporal with its
// payload codec, health endpoints, and an ordered shutdown. The api and the worker binaries share it and add only what
// they serve; tests and development commands run the same [Main] inside their own process.
//
// It does not serve a single exchange: no routes but health and the codec server, no workflows, no activities, no SQL.
package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"pdexbulk/models/blob"
	"pdexbulk/models/store"
)

// Needs says which dependencies a program uses. Those it does not need are neither configured nor opened nor checked.
type Needs uint

// The dependencies.
const (
	NeedDatabase Needs = 1 << iota
	NeedTemporal
	NeedBlob
	NeedPublic // a public base URL, which absolute links are made from
	NeedAll    = NeedDatabase | NeedTemporal | NeedBlob | NeedPublic
)

// Errors that Run ends with when it did not end of its own accord.
var (
	// ErrForced means that a second signal cut the shutdown short.
	ErrForced = errors.New("stopped at once by a second signal")
	// ErrGrace means that some part had not stopped when the grace ran out.
	ErrGrace = errors.New("not everything stopped within the grace")
)

// Main is one process. Set the fields, call Run once, and it works until its context ends, a signal comes, a part of it
// fails, or Close is called.
type Main struct {
	Name    string   // "api", "worker": named in logs and to Temporal
	Needs   Needs    // zero means NeedAll
	Environ []string // "KEY=value"; a main passes os.Environ()
	LogTo   io.Writer

	// Extra are pointers to further config structs, tagged like Config, which Run fills before Setup.
	Extra []any
	// Setup adds to the process what it serves. Everything in p that the program needs is open and answers.
	Setup func(ctx context.Context, p *Process) error
	// Signals, when set, ends Run: the first in good order, the second at once with ErrForced. See Signals.
	Signals <-chan os.Signal
	// Temporal adjusts the client's options: interceptors, metrics.
	Temporal []func(*client.Options)

	once    sync.Once
	ready   chan struct{}
	stop    chan struct{}
	stopped chan struct{}
	close   sync.Once
	process *Process
}

// Process is what a running Main has opened. Fields a program did not ask for are nil.
type Process struct {
	Name     string
	Config   Config
	Log      *slog.Logger
	Store    *store.Store
	Blob     blob.Store
	Temporal client.Client
	Codec    *Codec // nil when payloads are not encrypted
	Health   *Health

	parts   []part // in the order they started
	failed  chan error
	addrs   map[string]string
	serving bool // everything has started
}

// part is something that runs until it is stopped.
type part struct {
	name string
	stop func(ctx context.Context) error
}

func (m *Main) init() {
	m.once.Do(func() {
		m.ready = make(chan struct{})
		m.stop = make(chan struct{})
		m.stopped = make(chan struct{})
		if m.Needs == 0 {
			m.Needs = NeedAll
		}
		if m.LogTo == nil {
			m.LogTo = io.Discard
		}
	})
}

// Ready is closed when everything has started. It stays open when Run fails before.
func (m *Main) Ready() <-chan struct{} {
	m.init()
	return m.ready
}

// Addr returns the address a server of the process listens on, "" when there is none of the name. Valid once Ready.
func (m *Main) Addr(name string) string {
	select {
	case <-m.Ready():
		return m.process.addrs[name]
	default:
		return ""
	}
}

// Close asks Run to stop in good order and waits until it has returned. Call it only when Run was called, or will be.
func (m *Main) Close() {
	m.init()
	m.close.Do(func() { close(m.stop) })
	<-m.stopped
}

// Run opens what the program needs, sets it up, and works until told to stop: by ctx, by Close, by a signal, or by a part
// that fails, whose error it returns. Then readiness turns to 503, and the parts are stopped in the reverse of the order
// they were added in, within PDEX_SHUTDOWN_GRACE: a part that serves outlives those that feed on it. It returns nil after
// an orderly stop that was asked for.
func (m *Main) Run(ctx context.Context) error {
	m.init()
	defer close(m.stopped)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	forced := make(chan struct{})
	done := make(chan struct{})
	defer close(done)
	go m.watch(cancel, forced, done)

	result := make(chan error, 1)
	go func() { result <- m.run(ctx) }()
	select {
	case err := <-result:
		return err
	case <-forced:
		return ErrForced
	}
}

// watch turns Close and the first signal into the end of the context, and the second signal into forced.
func (m *Main) watch(cancel context.CancelFunc, forced, done chan struct{}) {
	stop := m.stop
	for asked := false; ; {
		select {
		case <-done:
			return
		case <-stop:
			cancel()
			stop = nil
		case <-m.Signals:
			if asked {
				close(forced)
				return
			}
			asked = true
			cancel()
		}
	}
}

func (m *Main) run(ctx context.Context) (err error) {
	cfg, err := Load(m.Environ, m.Extra...)
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	if err := cfg.Check(m.Needs); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	p := &Process{
		Name:   m.Name,
		Config: cfg,
		Log:    NewLogger(m.LogTo, cfg.Log, m.Name),
		Health: NewHealth(checkTimeout),
		failed: make(chan error, 1),
		addrs:  map[string]string{},
	}
	for _, name := range Unknown(m.Environ, m.Extra...) {
		p.Log.WarnContext(ctx, "unknown variable in the environment", "variable", name)
	}
	// Whatever was opened or started is stopped again, also when a later step fails.
	defer func() { err = errors.Join(err, p.shutdown(context.WithoutCancel(ctx))) }()

	if err := p.open(ctx, m); err != nil {
		return notCancelled(ctx, err)
	}
	if m.Setup != nil {
		if err := m.Setup(ctx, p); err != nil {
			return notCancelled(ctx, fmt.Errorf("set up %s: %w", m.Name, err))
		}
	}
	m.process, p.serving = p, true
	close(m.ready)
	p.Log.InfoContext(ctx, "started")
	select {
	case <-ctx.Done():
		p.Log.InfoContext(ctx, "stopping")
		return nil
	case err := <-p.failed:
		return err
	}
}

// notCancelled takes an error that only says that we were told to stop for the orderly end it is.
func notCancelled(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// open connects to what the program needs. Each is given PDEX_START_TIMEOUT to come up, since all of them may be starting
// at the same moment.
func (p *Process) open(ctx context.Context, m *Main) error {
	if m.Needs&NeedDatabase != 0 {
		if err := p.openDatabase(ctx); err != nil {
			return err
		}
	}
	if m.Needs&NeedBlob != 0 {
		if err := p.openBlob(ctx); err != nil {
			return err
		}
	}
	if m.Needs&NeedTemporal != 0 {
		return p.openTemporal(ctx, m.Temporal)
	}
	return nil
}

func (p *Process) openDatabase(ctx context.Context) error {
	dsn := p.Config.Database.URL.Reveal()
	s, err := store.Open(ctx, dsn)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	p.Store = s
	p.OnStop("database", func(context.Context) error { s.Close(); return nil })
	if err := p.patiently(ctx, "database", s.Ping); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if p.Config.Database.Migrate {
		if err := store.Migrate(ctx, dsn); err != nil {
			return fmt.Errorf("open database: %w", err)
		}
	}
	p.Health.Add("database", s.Ping)
	return nil
}

func (p *Process) openBlob(ctx context.Context) error {
	b, err := blob.Open(ctx, p.Config.Blob.URL.Reveal())
	if err != nil {
		return fmt.Errorf("open file store: %w", err)
	}
	p.Blob = b
	p.OnStop("files", func(context.Context) error { return b.Close() })
	if err := p.patiently(ctx, "files", b.Ping); err != nil {
		return fmt.Errorf("open file store: %w", err)
	}
	p.Health.Add("files", b.Ping)
	return nil
}

func (p *Process) openTemporal(ctx context.Context, adjust []func(*client.Options)) error {
	if keys := p.Config.Temporal.PayloadKeys.Reveal(); keys != "" {
		codec, err := ParseCodec(keys)
		if err != nil {
			return fmt.Errorf("PDEX_PAYLOAD_KEYS: %w", err)
		}
		p.Codec = codec
	} else {
		p.Log.WarnContext(ctx, "workflow payloads are not encrypted: PDEX_PAYLOAD_KEYS is empty")
	}
	opts, err := TemporalOptions(p.Config.Temporal, p.Codec, p.Log)
	if err != nil {
		return fmt.Errorf("open Temporal: %w", err)
	}
	for _, f := range adjust {
		f(&opts)
	}
	err = p.patiently(ctx, "temporal", func(ctx context.Context) error {
		p.Temporal, err = client.DialContext(ctx, opts)
		return err
	})
	if err != nil {
		return fmt.Errorf("open Temporal: %w", err)
	}
	c := p.Temporal
	p.OnStop("temporal", func(context.Context) error { c.Close(); return nil })
	p.Health.Add("temporal", func(ctx context.Context) error {
		_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	})
	return nil
}

// patiently tries until it works, ctx ends or PDEX_START_TIMEOUT is over; then it returns the last error. Faults on the
// way are logged, since they are not returned.
func (p *Process) patiently(ctx context.Context, name string, try func(context.Context) error) error {
	const longest = 2 * time.Second
	limit, cancel := context.WithTimeout(ctx, p.Config.StartTimeout)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, longest) {
		attempt, cancel := context.WithTimeout(limit, checkTimeout)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		retry := time.NewTimer(pause)
		select {
		case <-limit.Done():
			retry.Stop()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		case <-retry.C:
			p.Log.InfoContext(ctx, "waiting for a dependency", "dependency", name, "class", errorClass(err))
		}
	}
}
