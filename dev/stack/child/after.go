package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Afterwards is a shell that waits for the last holder of a pipe to go and then runs a script. It survives this process,
// which is its use: it is how something is done after a process that may be killed.
type Afterwards struct {
	// Hold is the end of the pipe that keeps the script waiting. A child that inherits it keeps it waiting too.
	Hold *os.File
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
}

// After starts the shell. The script sees args as $1, $2, ... and runs with no output, as this process's user.
func After(script string, args ...string) (*Afterwards, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	defer r.Close() // the shell has its own
	// read returns at the end of the file: nobody ever writes to the pipe.
	cmd := exec.Command("/bin/sh", append([]string{"-c", "read -r _; " + script, "sh"}, args...)...) //nolint:noctx // it must outlive this process
	cmd.Dir = "/"
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("start shell: %w", err)
	}
	a := &Afterwards{Hold: w, cmd: cmd, done: make(chan struct{})}
	go func() {
		a.err = cmd.Wait()
		close(a.done)
	}()
	return a, nil
}

// Release lets go of the pipe and waits until the script has run, which needs the other holders to let go as well.
func (a *Afterwards) Release(ctx context.Context) error {
	_ = a.Hold.Close() // a second Release finds it closed, and only waits
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the last holder: %w", ctx.Err())
	}
}

// Cancel ends the shell without running the script.
func (a *Afterwards) Cancel() {
	_ = a.cmd.Process.Kill() // it has ended already: nothing to cancel
	<-a.done
	_ = a.Hold.Close()
}
