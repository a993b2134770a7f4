package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// tick is the unit in which Linux tells the CPU time of another process (USER_HZ).
const tick = 10 * time.Millisecond

// cpuTime is the CPU time that this process and the children of parent, which is a Postgres, have used. What else runs on
// the machine does not count, as it does for the time on the clock.
func cpuTime(parent int) (time.Duration, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("read the CPU time: %w", err)
	}
	total := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent ...: the name may hold anything, so what follows is counted from its last bracket.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 13 || string(fields[1]) != strconv.Itoa(parent) {
			continue
		}
		for _, f := range fields[11:13] { // in user and in system mode
			n, err := strconv.ParseInt(string(f), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the CPU time: %w", err)
			}
			total += time.Duration(n) * tick
		}
	}
	return total, nil
}
