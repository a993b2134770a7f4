package child_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/child"
)

// asParent makes this test binary the parent that gets killed. It holds descriptor 3 and hands it to a child.
const asParent = "CHILD_TEST_AS_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) != "" {
		os.Exit(parent())
	}
	os.Exit(m.Run())
}

func parent() int {
	// The child ignores what a polite end would be, as a program that is stuck does.
	p, err := child.Start(child.Command{
		Name: "stuck", Path: "/bin/sh", Args: []string{"-c", `trap "" INT TERM HUP; while :; do sleep 600; done`},
		Inherit: []*os.File{os.NewFile(3, "held")},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("started", p.Pid())
	_ = p.Wait()
	return 0
}

func TestChildDiesWithParentThatIsKilled(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asParent+"=1")
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	var pid int
	_, err = fmt.Fscanf(out, "started %d\n", &pid)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, 0), "the child runs")

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	// Parent and shell held the other end. The sleep the shell forked is a grandchild, which may outlive it: it is in
	// the shell's group, and is told here.
	require.Eventually(t, func() bool { return gone(pid) }, 5*time.Second, time.Millisecond)
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	require.NoError(t, r.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = r.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// gone reports whether a process has ended, reaped or not.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) != nil
	}
	var state string
	_, err = fmt.Sscanf(string(stat), "%d (sh) %1s", &pid, &state)
	return err == nil && state == "Z"
}

func TestStop(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, script string
		grace        time.Duration
		wantErr      string
	}{
		{"ends on the signal", `trap "exit 3" TERM; echo; while :; do sleep 0.01; done`, time.Minute, ""},
		{"is killed when it does not", `trap "" TERM; echo; while :; do sleep 0.01; done`, 20 * time.Millisecond, "killed"},
		{"has ended already", `echo`, time.Minute, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			p, err := child.Start(child.Command{Name: "shell", Path: "/bin/sh", Args: []string{"-c", tt.script}, Stdout: w})
			require.NoError(t, err)
			require.NoError(t, w.Close())
			_, err = r.Read(make([]byte, 1)) // the trap is set
			require.NoError(t, err)

			err = p.Stop(t.Context(), syscall.SIGTERM, tt.grace)
			if tt.wantErr == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.wantErr)
			}
			<-p.Done()
			require.NoError(t, p.Kill(), "killing what is gone is no error")
		})
	}
}

func TestKillTakesTheGroup(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	p, err := child.Start(child.Command{
		Name: "shell", Path: "/bin/sh", Args: []string{"-c", "sleep 600 & echo; wait"}, Stdout: w,
	})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	_, err = r.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, p.Kill())
	require.Error(t, p.Wait())
	// The sleep holds the pipe as well: it ends only when both are gone.
	_, err = io.ReadAll(r)
	require.NoError(t, err)
}

func TestStartNamesWhatDidNotStart(t *testing.T) {
	t.Parallel()
	_, err := child.Start(child.Command{Name: "nothing", Path: "/no/such/binary"})
	require.ErrorContains(t, err, "start nothing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAfterwards(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/it's here"
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	a, err := child.After(`rm -- "$1"`, path)
	require.NoError(t, err)
	p, err := child.Start(child.Command{Name: "holder", Path: "/bin/sleep", Args: []string{"600"}, Inherit: []*os.File{a.Hold}})
	require.NoError(t, err)

	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, a.Release(soon), context.DeadlineExceeded, "a child still holds it")
	require.FileExists(t, path)

	require.NoError(t, p.Kill())
	require.NoError(t, a.Release(t.Context()))
	require.NoFileExists(t, path)
}

func TestAfterwardsCancelled(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/kept"
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	a, err := child.After(`rm -- "$1"`, path)
	require.NoError(t, err)
	a.Cancel()
	require.FileExists(t, path)
}
