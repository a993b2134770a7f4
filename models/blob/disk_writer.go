package blob

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
)

// Sizes in bytes. Writes reach the kernel a megabyte at a time. After every writeOut bytes the kernel is told to begin
// putting them on the disk, so that the fsync at the end waits for the last few and not for gigabytes.
const (
	writeBuffer = 1 << 20
	writeOut    = 8 << 20
)

// diskWriter writes a scratch file in the folder of the object it will become.
type diskWriter struct {
	ctx  context.Context // of the Create that made it: an io.Writer has no other way to see its caller give up
	disk *disk
	key  string
	name string // of the scratch file
	file *os.File
	buf  *bufio.Writer
	err  error // the first fault; all that follow report it too
	done bool

	written int64 // bytes given to the kernel
	pushed  int64 // bytes the kernel was told to write out
}

func (d *disk) Create(ctx context.Context, key string) (Writer, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, name, err := d.createScratch(path.Dir(key))
	if err != nil {
		return nil, unavailable("create object", err)
	}
	w := &diskWriter{ctx: ctx, disk: d, key: key, name: name, file: f}
	w.buf = bufio.NewWriterSize(kernel{w}, writeBuffer)
	return w, nil
}

func (w *diskWriter) Write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	n, err := w.buf.Write(p)
	if err != nil {
		w.err = unavailable("write object", err)
		return n, w.err
	}
	return n, nil
}

func (w *diskWriter) usable() error {
	if w.done {
		return errEnded()
	}
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	return w.err
}

// kernel is the diskWriter below its buffer.
type kernel struct{ w *diskWriter }

func (k kernel) Write(p []byte) (int, error) {
	w := k.w
	n, err := w.file.Write(p)
	w.written += int64(n)
	if err == nil && w.written-w.pushed >= writeOut {
		err = startWriteOut(w.file, w.pushed, w.written-w.pushed)
		w.pushed = w.written
	}
	return n, err
}

// Commit fsyncs the file before the rename shows it, and its folders after: a rename that reached the disk ahead of the
// bytes would publish a file of zeros after a power cut. Every folder up to the root is synced, since any of them may be
// new, or have been made a moment ago by another writer who has not synced it yet; on one that is not dirty it is cheap.
func (w *diskWriter) Commit() error {
	if err := w.usable(); err != nil {
		w.Abort()
		return err
	}
	if err := w.flush(); err != nil {
		w.Abort()
		return unavailable("write object", err)
	}
	if err := w.ctx.Err(); err != nil {
		w.Abort()
		return err
	}
	if err := w.disk.root.Rename(w.name, w.key); err != nil {
		w.Abort()
		return unavailable("publish object", err)
	}
	w.done = true
	for dir := path.Dir(w.key); ; dir = path.Dir(dir) {
		if err := w.disk.syncDir(dir); err != nil {
			return unavailable("sync folder", err)
		}
		if dir == "." {
			return nil
		}
	}
}

// flush puts everything on the disk and closes the file.
func (w *diskWriter) flush() error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	return w.file.Close()
}

func (w *diskWriter) Abort() {
	if w.done {
		return
	}
	w.done = true
	// Best effort: what cannot be removed now is Sweep's.
	_ = w.file.Close()
	if err := w.disk.root.Remove(w.name); err == nil || errors.Is(err, fs.ErrNotExist) {
		_ = w.disk.prune(path.Dir(w.key))
	}
}
