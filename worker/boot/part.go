package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"go.temporal.io/sdk/worker"
)

// The bounds of PDEX_HEADER_BYTES.
const (
	minHeader = 8 << 10
	maxHeader = 1 << 20
)

// Signals returns the signals that end a process in good order. Release them with signal.Stop, or never: a main does not.
func Signals() chan os.Signal {
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	return c
}

// OnStop adds something to be stopped at the end. Stops run one after another, the last added first; ctx ends when the
// grace does.
func (p *Process) OnStop(name string, stop func(ctx context.Context) error) {
	p.parts = append(p.parts, part{name: name, stop: stop})
}

// Fail ends the process with an error. Only the first counts.
func (p *Process) Fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

// Serve starts an HTTP server and adds it to the process: it listens when Serve returns, and stops by refusing new
// connections and letting requests in flight finish, until the grace ends and they are cut off. With a certificate
// (PDEX_TLS_CERT_FILE) it speaks HTTPS when secure is asked for.
func (p *Process) Serve(ctx context.Context, name, addr string, h http.Handler, secure bool) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", name, err)
	}
	// A request in flight must not end because the process was told to: its context ends with the server, not with ctx.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: p.Config.HTTP.HeaderTimeout,
		IdleTimeout:       p.Config.HTTP.IdleTimeout,
		MaxHeaderBytes:    p.Config.HTTP.HeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          httpErrorLog(p.Log, name),
	}
	serve := func() error { return srv.Serve(l) }
	if tls := p.Config.HTTP.TLS; secure && tls.CertFile != "" {
		srv.TLSConfig, err = serverTLS(tls)
		if err != nil {
			cancel()
			return errors.Join(err, l.Close())
		}
		serve = func() error { return srv.ServeTLS(l, "", "") }
	}
	p.addrs[name] = l.Addr().String()
	p.Log.InfoContext(ctx, "listening", "server", name, "listen", l.Addr().String())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			p.Fail(fmt.Errorf("serve %s: %w", name, err))
		}
	}()
	p.OnStop(name, func(ctx context.Context) error {
		defer cancel()
		err := srv.Shutdown(ctx)
		if err != nil {
			cancel()
			err = errors.Join(err, srv.Close())
		}
		<-ended
		return err
	})
	return nil
}

// WorkerOptions completes a worker's options with what the process decides: how long running activities may take to
// finish when it stops, and that a worker that cannot go on ends the process.
func (p *Process) WorkerOptions(opts worker.Options) worker.Options {
	opts.WorkerStopTimeout = p.Config.ShutdownGrace
	opts.OnFatalError = p.Fail
	return opts
}

// Work starts a Temporal worker, made with WorkerOptions, and adds it to the process. Stopped, it takes no new tasks and
// waits for the running ones; what is not finished then, Temporal gives to another worker once its heartbeat times out.
func (p *Process) Work(name string, w worker.Worker) error {
	if err := w.Start(); err != nil {
		return fmt.Errorf("start worker %s: %w", name, err)
	}
	p.OnStop(name, func(ctx context.Context) error {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			w.Stop()
		}()
		select {
		case <-stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return nil
}

// shutdown stops every part, the last added first.
func (p *Process) shutdown(ctx context.Context) error {
	p.Health.Drain()
	if p.serving && p.Config.DrainDelay > 0 {
		// Load balancers go on sending until they have seen readiness fail.
		delay := time.NewTimer(p.Config.DrainDelay)
		<-delay.C
	}
	ctx, cancel := context.WithTimeout(ctx, p.Config.ShutdownGrace+stopMargin)
	defer cancel()
	var fails error
	for _, part := range slices.Backward(p.parts) {
		err := part.stop(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = ErrGrace
		}
		if err != nil {
			fails = errors.Join(fails, fmt.Errorf("stop %s: %w", part.name, err))
		}
	}
	p.Log.InfoContext(ctx, "stopped")
	return fails
}
