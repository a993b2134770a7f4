// Package cpu tells how much CPU time processes have used, which other work on the machine does not change as it does the time on the
// clock.
package cpu

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
)

// tick is the unit in which Linux tells the CPU time of another process (USER_HZ).
const tick = 10 * time.Millisecond

// Used is the CPU time, in user and in system mode, that this process and the others named have used since they began. One
// that has ended counts nothing.
func Used(others ...int) (time.Duration, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("read the CPU time: %w", err)
	}
	total := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	for _, pid := range others {
		used, err := usedBy(pid)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

func usedBy(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the CPU time: %w", err)
	}
	// pid (name) state ...: the name may hold anything, so what follows is counted from its last bracket.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("read the CPU time: the kernel tells less than expected")
	}
	var total time.Duration
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the CPU time: %w", err)
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}
