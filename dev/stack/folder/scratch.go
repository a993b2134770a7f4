package folder

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pdexbulk/dev/stack/child"
)

// stale is how old a throw-away folder must be before somebody else may remove it. A machine that lost power is the only
// thing that leaves one behind.
const stale = 24 * time.Hour

// Scratch is a throw-away folder. It is removed once this process, and every child that inherits Hold, is gone.
type Scratch struct {
	Path   string
	lock   *os.File
	reaper *child.Afterwards
}

// NewScratch makes a throw-away folder in root, which is Temp or Memory, named prefix plus something random. It also
// removes folders of the same prefix there that a crash of the machine left behind a day ago or earlier.
func NewScratch(root, prefix string) (*Scratch, error) {
	sweep(root, prefix)
	path, err := os.MkdirTemp(root, prefix)
	if err != nil {
		return nil, fmt.Errorf("make throw-away folder: %w", err)
	}
	// Postgres runs as another user when this process is root, and must get through to its own folder below.
	if err := os.Chmod(path, 0o711); err != nil {
		return nil, fmt.Errorf("open throw-away folder: %w", err)
	}
	lock, err := Lock(filepath.Join(path, "lock"))
	if err != nil {
		return nil, err
	}
	reaper, err := child.After(`exec rm -rf -- "$1"`, path)
	if err != nil {
		_ = lock.Close()
		_ = os.RemoveAll(path)
		return nil, err
	}
	return &Scratch{Path: path, lock: lock, reaper: reaper}, nil
}

// Hold is the file for a child to inherit: the folder stays while the child lives.
func (s *Scratch) Hold() *os.File { return s.reaper.Hold }

// Remove removes the folder now. It waits for the children that hold it, until ctx ends; the folder is removed anyway
// once they are gone.
func (s *Scratch) Remove(ctx context.Context) error {
	_ = s.lock.Close() // a second Remove finds it closed
	if err := s.reaper.Release(ctx); err != nil {
		return fmt.Errorf("remove throw-away folder: %w", err)
	}
	return nil
}

// sweep removes what is old and held by nobody. It does what it can: a folder of another user stays theirs.
func sweep(root, prefix string) {
	paths, _ := filepath.Glob(filepath.Join(root, prefix+"*")) // only a malformed pattern errs
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < stale {
			continue
		}
		lock, err := Lock(filepath.Join(path, "lock"))
		if err != nil {
			continue
		}
		_ = os.RemoveAll(path)
		_ = lock.Close()
	}
}
