// Package child starts processes that cannot outlive the process that started them, not even when it is killed with
// SIGKILL. Each child leads its own process group, so a signal meant for one never reaches another and a Ctrl-C at the
// terminal leaves the order of shutdown to the parent.
//
// On Linux the kernel delivers the death signal (prctl PR_SET_PDEATHSIG). The kernel ties that signal to the thread that
// forked, so every child is forked from one operating system thread that lives as long as the process. Elsewhere a shell
// waits for the end of a pipe that only the parent holds open.
//
// The package does not restart children and does not reach grandchildren that leave their process group.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Command says what to start.
type Command struct {
	Name string   // for messages; required
	Path string   // the binary; required
	Args []string // without the binary's own name
	Dir  string   // working directory; "" is the parent's
	Env  []string // the whole environment; nil is the parent's

	// Stdin, Stdout and Stderr go to the null device when nil. A child never inherits the parent's unless it is given
	// them: "go test" waits for everybody who holds its output.
	Stdin, Stdout, Stderr *os.File

	// Inherit are open files the child holds as descriptors 3, 4, ... until it and whatever it forks are gone.
	Inherit []*os.File

	// User is whom to run as; nil is the parent's user.
	User *syscall.Credential

	// OnParentDeath is the signal sent when the parent dies; 0 means SIGKILL.
	OnParentDeath syscall.Signal

	// Foreground keeps the child in the parent's process group, for a command that may read from the terminal.
	Foreground bool
}

// Process is a started child. Its methods may be called from any goroutine.
type Process struct {
	name      string
	pid       int
	group     bool
	proc      *os.Process
	done      chan struct{}
	err       error // set before done is closed
	requested atomic.Bool
}

// Start starts the command. The error is that of exec.Cmd.Start.
func Start(c Command) (*Process, error) {
	cmd := exec.Command(c.Path, c.Args...) //nolint:noctx // a child ends by Stop, Kill or the parent's death
	cmd.Dir, cmd.Env = c.Dir, c.Env
	// Typed nil files must stay nil interfaces, or exec would try to use them.
	if c.Stdin != nil {
		cmd.Stdin = c.Stdin
	}
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if c.Stderr != nil {
		cmd.Stderr = c.Stderr
	}
	cmd.ExtraFiles = c.Inherit
	death := c.OnParentDeath
	if death == 0 {
		death = syscall.SIGKILL
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !c.Foreground, Credential: c.User}

	release, err := startBound(cmd, death)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	p := &Process{name: c.Name, pid: cmd.Process.Pid, group: !c.Foreground, proc: cmd.Process, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		release()
		close(p.done)
	}()
	return p, nil
}

// Name returns the name the child was started under.
func (p *Process) Name() string { return p.name }

// Pid returns the child's process id, which is also its process group unless it runs in the foreground.
func (p *Process) Pid() int { return p.pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Requested reports whether Signal, Stop or Kill was called: an end nobody requested is news.
func (p *Process) Requested() bool { return p.requested.Load() }

// Wait blocks until the child has ended. The error is nil for exit status 0 and an *exec.ExitError otherwise. It may be
// called any number of times.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Signal sends sig to the child alone. A child that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	p.requested.Store(true)
	if err := p.proc.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Kill sends SIGKILL to the child and its whole process group: no handler runs, nothing is flushed.
func (p *Process) Kill() error {
	p.requested.Store(true)
	select {
	case <-p.done:
		return nil
	default:
	}
	if p.group {
		// ESRCH means the group emptied meanwhile; the signal to the process below settles what is left.
		if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill %s: %w", p.name, err)
		}
	}
	return p.Signal(syscall.SIGKILL)
}

// Stop sends sig and waits for the child to end; when ctx or the grace ends first it kills the child and waits for that.
// The child's exit status is not an error of Stop; having had to kill it is.
func (p *Process) Stop(ctx context.Context, sig syscall.Signal, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := p.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-p.done: // it ended in the same moment
		return nil
	default:
	}
	if err := p.Kill(); err != nil {
		return err
	}
	<-p.done
	return fmt.Errorf("stop %s: killed, it did not end on %s in time", p.name, sig)
}

// forks carries work to the thread that forks all children.
var forks = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread() // and never unlock: this thread's end would be the children's end
		for f := range work {
			f()
		}
	}()
	return work
})

// onForkThread runs f on the thread that lives as long as the process.
func onForkThread(f func() error) error {
	result := make(chan error, 1)
	forks() <- func() { result <- f() }
	return <-result
}
