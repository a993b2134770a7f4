package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	gcblob "gocloud.dev/blob"

	"pdexbulk/models"
)

// Source is a file somebody else put where an import can read it.
type Source struct {
	Name string // relative to the location, with slashes; the base name when the location is a file itself
	Size int64  // bytes, when it was listed
	open func(ctx context.Context) (io.ReadCloser, error)
}

// Open starts reading the file from its beginning. KindNotFound when it has gone since it was listed. The caller closes it.
func (s Source) Open(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx) }

// Sources lists the files at a location, sorted by name: a file, or a folder with all beneath it. Names beginning with a dot
// are skipped. The location is a path, a file:///path URL, or s3://bucket/path.
//
// It must lie within one of the allowed roots: folders, or S3 URLs of the form Open takes, whose parameters (region,
// endpoint, prefix, ...) are the ones used, so that who names a location can never choose the server our credentials are
// sent to. Links are resolved before that is decided, and again whenever a file is opened.
//
// KindForbidden for a location outside every root, whether or not it exists; KindNotFound for one inside that does not
// exist; KindInvalid for one that cannot be parsed, or a folder that holds something which is neither file nor folder
// nor a relative link to a file in the same root.
func Sources(ctx context.Context, location string, allowed []string) ([]Source, error) {
	if strings.HasPrefix(location, "s3://") {
		return bucketSources(ctx, location, allowed)
	}
	p, err := localPath(location)
	if err != nil {
		return nil, err
	}
	root, rel, err := within(p, allowed)
	if err != nil {
		return nil, err
	}
	return localSources(ctx, root, rel)
}

func errOutside() error {
	return models.Errorf(models.KindForbidden, "the location is outside the folders this server may import from")
}

func errLocation() error {
	return models.Errorf(models.KindInvalid, "the location must be an absolute path, a file:/// URL or s3://bucket/path")
}

func errNoLocation() error {
	return models.Errorf(models.KindNotFound, "there is nothing at the location")
}

// localPath turns a path or file URL into a clean absolute path.
func localPath(location string) (string, error) {
	p := location
	if strings.Contains(location, "://") {
		u, err := url.Parse(location)
		if err != nil || u.Scheme != "file" || u.Host != "" || u.RawQuery != "" {
			return "", errLocation()
		}
		p = u.Path
	}
	if !filepath.IsAbs(p) || strings.ContainsRune(p, 0) {
		return "", errLocation()
	}
	return filepath.Clean(p), nil
}

// within resolves the links of p and returns the allowed root it lies in and its path relative to that.
func within(p string, allowed []string) (root, rel string, err error) {
	target, missing := filepath.EvalSymlinks(p)
	named := false // p is beneath a root as written, so that admitting it does not exist gives nothing away
	for _, a := range allowed {
		if strings.Contains(a, "://") && !strings.HasPrefix(a, "file:") {
			continue
		}
		a, err := localPath(a)
		if err != nil {
			return "", "", fmt.Errorf("allowed root: %w", err)
		}
		resolved, err := filepath.EvalSymlinks(a)
		if err != nil {
			continue // a root that is not there allows nothing
		}
		if missing != nil {
			named = named || isBeneath(p, a) || isBeneath(p, resolved)
			continue
		}
		if isBeneath(target, resolved) {
			rel, err := filepath.Rel(resolved, target)
			return resolved, rel, err
		}
	}
	if named && isMissing(missing) {
		return "", "", errNoLocation()
	}
	return "", "", errOutside()
}

func isBeneath(p, dir string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}

// localSources lists through os.Root, which refuses every path that leaves the root, however links change meanwhile.
func localSources(ctx context.Context, dir, rel string) ([]Source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unavailable("open allowed root", err)
	}
	defer func() { _ = root.Close() }()
	rel = filepath.ToSlash(rel)
	fi, err := root.Stat(rel)
	if err != nil {
		return nil, sourceFault(err)
	}
	if fi.Mode().IsRegular() {
		return []Source{localSource(dir, rel, path.Base(rel), fi.Size())}, nil
	}
	var found []Source
	err = fs.WalkDir(root.FS(), rel, func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if name != rel && strings.HasPrefix(e.Name(), ".") {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			return nil
		}
		fi, err := root.Stat(name)
		if err != nil {
			return err
		}
		if !fi.Mode().IsRegular() {
			return models.Errorf(models.KindInvalid, "the location holds something that is neither a file nor a folder")
		}
		short := strings.TrimPrefix(strings.TrimPrefix(name, rel), "/")
		found = append(found, localSource(dir, name, short, fi.Size()))
		return nil
	})
	if err != nil {
		return nil, sourceFault(err)
	}
	slices.SortFunc(found, func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

func localSource(dir, rel, name string, size int64) Source {
	return Source{Name: name, Size: size, open: func(ctx context.Context) (io.ReadCloser, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := os.OpenInRoot(dir, rel)
		if err != nil {
			return nil, sourceFault(err)
		}
		return f, nil
	}}
}

// sourceFault gives an error of os.Root its Kind. A path that leaves the root has no exported error of its own; whatever
// is neither absence nor refusal of the operating system means the location is not one we can vouch for.
func sourceFault(err error) error {
	if _, ok := errors.AsType[*models.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isMissing(err):
		return errNoLocation()
	case isErrno(err):
		return unavailable("read the location", err)
	default:
		return errOutside()
	}
}

func isErrno(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

// bucketSources lists s3://bucket/path, with the settings of the allowed root it lies in.
func bucketSources(ctx context.Context, location string, allowed []string) ([]Source, error) {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, errLocation()
	}
	key := strings.Trim(u.Path, "/")
	if key != "" && path.Clean("/"+key) != "/"+key {
		return nil, errLocation()
	}
	for _, a := range allowed {
		r, err := url.Parse(a)
		if err != nil || r.Scheme != "s3" || r.Host != u.Host {
			continue
		}
		q := r.Query()
		prefix := strings.Trim(q.Get("prefix"), "/")
		if prefix != "" && key != prefix && !strings.HasPrefix(key, prefix+"/") {
			continue
		}
		q.Del("prefix")
		b, err := openS3(ctx, u.Host, "", q)
		if err != nil {
			return nil, err
		}
		return b.sources(ctx, key)
	}
	return nil, errOutside()
}

// sources lists the objects beneath key, or the object key itself when there are none. Folder markers, which some tools
// leave as empty objects ending in a slash, are not files.
func (b *bucket) sources(ctx context.Context, key string) ([]Source, error) {
	var found []Source
	for o, err := range b.all(ctx, beneath(key)) {
		if err != nil {
			return nil, err
		}
		short := strings.TrimPrefix(o.Key, beneath(key))
		if short == "" || strings.HasSuffix(short, "/") || strings.HasPrefix(short, ".") || strings.Contains(short, "/.") {
			continue
		}
		found = append(found, b.source(o.Key, short, o.Size))
	}
	if len(found) > 0 {
		return found, nil
	}
	if key == "" {
		return nil, errNoLocation()
	}
	attrs, err := b.blobs.Attributes(ctx, key)
	if err != nil {
		return nil, fault("look at the location", err)
	}
	return []Source{b.source(key, path.Base(key), attrs.Size)}, nil
}

func (b *bucket) source(key, name string, size int64) Source {
	return Source{Name: name, Size: size, open: func(ctx context.Context) (io.ReadCloser, error) {
		r, err := b.blobs.NewReader(ctx, key, &gcblob.ReaderOptions{})
		if err != nil {
			return nil, fault("open object", err)
		}
		return r, nil
	}}
}
