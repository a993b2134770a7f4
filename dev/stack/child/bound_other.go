//go:build unix && !linux

package child

import (
	"os/exec"
	"strconv"
	"syscall"
)

// startBound starts cmd, and beside it a shell that sends the death signal when this process dies.
func startBound(cmd *exec.Cmd, death syscall.Signal) (release func(), err error) {
	if err := onForkThread(cmd.Start); err != nil {
		return nil, err
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	watch, err := After(`kill -s "$1" "$2"`, strconv.Itoa(int(death)), pid)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, err
	}
	return watch.Cancel, nil
}
