// Package folder manages the folders a local stack keeps its state in: locks that end with their holders, throw-away
// folders that vanish with the process that made them however it dies, and the question whether another user can reach
// a path. It knows nothing about what is kept in them.
package folder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Lock takes the lock file at path, making it when absent, and returns ErrLocked when somebody else has it. The lock
// lasts until the file is closed here and in every child that inherited it, which also happens when they are killed.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, ErrLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// WaitLock is Lock, but waits for a holder to let go until ctx ends; waiting is called once when there is one to wait
// for, and may be nil. It returns ErrLocked when ctx ends first.
func WaitLock(ctx context.Context, path string, waiting func()) (*os.File, error) {
	pause := 5 * time.Millisecond
	for {
		f, err := Lock(path)
		if !errors.Is(err, ErrLocked) {
			return f, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, ErrLocked
		case <-time.After(pause):
			pause = min(2*pause, 200*time.Millisecond)
		}
	}
}
