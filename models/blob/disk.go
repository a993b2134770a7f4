package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"pdexbulk/models"
)

// Files hold health data, so nobody but the server's own user reads them.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// scratch begins the name of a file that is still being written. No valid key has a name beginning with a dot.
const scratch = ".tmp-"

// disk keeps each object in a file of its own beneath root. All paths go through os.Root, so that not even a link placed
// inside the folder leads out of it.
type disk struct {
	root *os.Root
}

var _ Store = (*disk)(nil)

func openDisk(dir string) (*disk, error) {
	// Only the last part is made: a missing parent is more likely a volume that is not mounted.
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, unavailable("make the file store's folder", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unavailable("open the file store's folder", err)
	}
	return &disk{root: root}, nil
}

// unavailable is fault for errors where a missing file is not a missing object.
func unavailable(doing string, err error) error {
	return fmt.Errorf("%s: %w", doing, models.Errorf(models.KindUnavailable, "the file store failed").Because(err))
}

func (d *disk) Open(ctx context.Context, key string) (*Object, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := d.root.Open(key)
	if err != nil {
		return nil, fault("open object", err)
	}
	info, err := stat(f, key)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Object{ReadSeekCloser: f, Info: info}, nil
}

// stat describes an open file. A folder is not an object.
func stat(f *os.File, key string) (Info, error) {
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, fault("look at object", err)
	}
	return Info{Key: key, Size: fi.Size(), ModTime: fi.ModTime().UTC()}, nil
}

func (d *disk) ReadRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	o, err := d.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > o.Size {
		_ = o.Close()
		return nil, errRange()
	}
	if length < 0 || length > o.Size-offset {
		length = o.Size - offset
	}
	if _, err := o.Seek(offset, io.SeekStart); err != nil {
		_ = o.Close()
		return nil, fault("seek in object", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(o.ReadSeekCloser, length), o}, nil
}

func errRange() error {
	return models.Errorf(models.KindInvalid, "the range does not begin within the object")
}

func (d *disk) Size(ctx context.Context, key string) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	fi, err := d.root.Lstat(key)
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return 0, fault("look at object", err)
	}
	return fi.Size(), nil
}

// Delete unlinks the file and fsyncs its folder: a purge that was reported must not be undone by a power cut.
func (d *disk) Delete(ctx context.Context, key string) error {
	if _, err := d.Size(ctx, key); err != nil {
		if models.KindOf(err) == models.KindNotFound {
			return nil
		}
		return err
	}
	if err := d.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault("delete object", err)
	}
	return d.prune(path.Dir(key))
}

func (d *disk) DeletePrefix(ctx context.Context, prefix string) error {
	dir, err := folder(prefix)
	if err != nil {
		return err
	}
	if dir == "" {
		return models.Errorf(models.KindInvalid, "the empty prefix cannot be deleted")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	switch fi, err := d.root.Lstat(dir); {
	case err != nil && isMissing(err):
		return nil
	case err != nil:
		return fault("look at folder", err)
	case !fi.IsDir():
		return nil
	}
	if err := d.root.RemoveAll(dir); err != nil {
		return unavailable("delete folder", err)
	}
	return d.prune(path.Dir(dir))
}

// prune fsyncs a folder that has lost a file, and removes it and its parents while they are empty, so that years of exports
// do not leave as many empty folders. A folder in which somebody is writing is not empty and stays.
func (d *disk) prune(dir string) error {
	for ; dir != "."; dir = path.Dir(dir) {
		if err := d.root.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err := d.syncDir(dir); err != nil {
		return unavailable("sync folder", err)
	}
	return nil
}

// syncDir fsyncs a folder. One that is gone has nothing left to lose.
func (d *disk) syncDir(dir string) error {
	f, err := d.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *disk) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		dir, err := folder(prefix)
		if err != nil {
			yield(Info{}, err)
			return
		}
		d.walk(ctx, dir, func(key string, fi fs.FileInfo, err error) bool {
			if err != nil {
				return yield(Info{}, err)
			}
			if !ValidKey(key) {
				return true
			}
			return yield(Info{Key: key, Size: fi.Size(), ModTime: fi.ModTime().UTC()}, nil)
		})
	}
}

// walk calls visit for each regular file beneath dir, scratch files included, in byte order of their paths, until it
// returns false. It holds the names of one folder a level. Files that vanish while it walks are left out. An error is
// the last thing visited.
func (d *disk) walk(ctx context.Context, dir string, visit func(key string, fi fs.FileInfo, err error) bool) bool {
	if err := ctx.Err(); err != nil {
		visit("", nil, err)
		return false
	}
	entries, err := fs.ReadDir(d.root.FS(), path.Join(".", dir))
	if err != nil {
		if isMissing(err) {
			return true
		}
		visit("", nil, fault("list folder", err))
		return false
	}
	// A folder sorts as its name with the slash its keys go on with: "a-b" comes before "a/b".
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			if !d.walk(ctx, name, visit) {
				return false
			}
			continue
		}
		fi, err := e.Info()
		if err != nil && isMissing(err) {
			continue
		}
		if err != nil {
			visit("", nil, fault("look at object", err))
			return false
		}
		if fi.Mode().IsRegular() && !visit(name, fi, nil) {
			return false
		}
	}
	return true
}

func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

func (d *disk) Sweep(ctx context.Context, before time.Time) (int, error) {
	var (
		n     int
		fails error
		dirs  = map[string]bool{}
	)
	d.walk(ctx, "", func(key string, fi fs.FileInfo, err error) bool {
		if err != nil {
			fails = errors.Join(fails, err)
			return false
		}
		if !strings.HasPrefix(path.Base(key), scratch) || !fi.ModTime().Before(before) {
			return true
		}
		if err := d.root.Remove(key); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				fails = errors.Join(fails, unavailable("delete unfinished write", err))
			}
			return true
		}
		n++
		dirs[path.Dir(key)] = true
		return true
	})
	for dir := range dirs {
		fails = errors.Join(fails, d.prune(dir))
	}
	return n, fails
}

// Ping writes and removes a scratch file, which a full, read-only or vanished disk refuses.
func (d *disk) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name := scratch + models.NewID()
	err := d.root.WriteFile(name, []byte("ping\n"), fileMode)
	if rm := d.root.Remove(name); err == nil {
		err = rm
	}
	if err != nil {
		return unavailable("write to the file store", err)
	}
	return nil
}

func (d *disk) SignedURL(context.Context, string, time.Duration, Headers) (string, error) {
	return "", ErrNotSupported
}

func (d *disk) Close() error { return d.root.Close() }

// createScratch makes the folder of a new file, and the file. Another writer's prune may remove it again before the file is in it, so the two
// steps are tried together a few times.
func (d *disk) createScratch(dir string) (*os.File, string, error) {
	for attempt := 0; ; attempt++ {
		if err := d.root.MkdirAll(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) && attempt >= 10 {
			return nil, "", err
		}
		name := path.Join(dir, scratch+models.NewID())
		f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
		if err == nil {
			return f, name, nil
		}
		if attempt >= 10 || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil, "", err
		}
	}
}
