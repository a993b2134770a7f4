// Package blob stores export files, match results and other large bodies on a local disk or in an S3 bucket, behind one
// interface. The rest of the program names a file by its key and never learns which of the two is in use.
//
// What a Store promises, on both:
//   - Nothing is visible under a key before Commit returns, and then all of it is. Two writers of one key do not mix; the
//     last Commit wins.
//   - What Commit reported as written survives a power cut: on disk the file and its folders are fsynced.
//   - A writer that is aborted, or whose context ends, leaves nothing under the key.
//
// What it does not do: it keeps no metadata beside an object (content type and encoding belong to the rows that name the
// key), no versions and no locks, and it does not encrypt (use an encrypted volume, or the bucket's own encryption).
// Reads of folders and buckets that somebody else filled are a different matter: see [Sources].
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"

	"pdexbulk/models"
)

// ErrNotSupported is returned by operations that this kind of store cannot do.
var ErrNotSupported = errors.New("not supported by this file store")

// MaxKey is the longest key in bytes. S3 allows 1024 with the bucket's prefix, a Linux path 4096.
const MaxKey = 512

// maxName is the longest part of a key between slashes, in bytes: the limit of common file systems.
const maxName = 255

// Store is a place for objects. Its methods are safe for concurrent use.
//
// Errors are models.Error: KindInvalid for a key or prefix that breaks ValidKey, KindNotFound for an object that is not
// there, KindUnavailable for every fault of the store itself (full disk, no network, refused credentials), which a retry
// may cure. A context that ended comes back as its own error.
type Store interface {
	// Create starts an object. The Writer it returns must be ended by Commit or Abort. ctx governs the whole write.
	// On disk a key cannot be both an object and the folder of another ("a" and "a/b").
	Create(ctx context.Context, key string) (Writer, error)
	// Open returns the object's content, for reading from anywhere in it. ctx governs the reads. The caller closes it.
	Open(ctx context.Context, key string) (*Object, error)
	// ReadRange returns length bytes from offset on; a negative length means to the end, and a range that runs past the
	// end is cut there. KindInvalid when offset is negative or past the end. The caller closes it.
	ReadRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Size returns the object's length in bytes.
	Size(ctx context.Context, key string) (int64, error)
	// Delete removes the object for good. An object that is not there is no error.
	Delete(ctx context.Context, key string) error
	// List yields the objects beneath a folder ("" for all), in byte order of their keys. "a/b" and "a/b/" both mean the
	// keys that begin with "a/b/", never "a/bc". It stops after the first error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// DeletePrefix removes every object beneath a folder, and every unfinished write in it: a Writer still open there
	// fails at Commit. The empty prefix is refused with KindInvalid.
	DeletePrefix(ctx context.Context, prefix string) error
	// Sweep removes unfinished writes that were last touched (S3: begun) before the given moment, which only a process
	// that died leaves behind, and returns how many there were. They are invisible to List but hold data all the same.
	Sweep(ctx context.Context, before time.Time) (int, error)
	// Ping reports whether objects can be written now, by writing a few bytes.
	Ping(ctx context.Context) error
	// SignedURL returns a URL anybody can GET the object from until it expires, answered with the given headers.
	// ErrNotSupported on disk.
	SignedURL(ctx context.Context, key string, expiry time.Duration, h Headers) (string, error)
	// Close releases what the store holds. Writers still open cannot be committed any more.
	Close() error
}

// Writer receives an object's bytes. It is for one goroutine.
type Writer interface {
	io.Writer
	// Commit makes what was written durable and visible under the key. When it fails, the key still shows what it showed
	// before, save that a fault after the very last step may leave the new content visible though not certainly durable.
	Commit() error
	// Abort gives up and removes what was written. After Commit it does nothing, so it is made for defer.
	Abort()
}

// Object is an open object. On disk the embedded reader is an *os.File, so handing that to http.ServeContent lets the
// kernel copy file to socket.
type Object struct {
	io.ReadSeekCloser
	Info
}

// Info describes an object.
type Info struct {
	Key     string
	Size    int64 // bytes
	ModTime time.Time
}

// Headers are what a signed URL is answered with. Empty fields leave the store's own.
type Headers struct {
	ContentType     string
	ContentEncoding string
}

// Open opens the store a URL names:
//
//	file:///var/lib/pdex/files              a folder on disk, made when only its last part is missing
//	s3://bucket?region=us-east-1&prefix=x   a bucket; endpoint=https://... for S3 from others than AWS
//
// The S3 form takes every parameter of gocloud.dev/blob/s3blob too (ssetype, kmskeyid, profile, ...), and finds
// credentials the way every AWS program does. KindInvalid when the URL makes no sense.
func Open(ctx context.Context, rawURL string) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, models.Errorf(models.KindInvalid, "the file store URL cannot be parsed")
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return nil, models.Errorf(models.KindInvalid, "the file store URL needs an absolute path: file:///path")
		}
		return openDisk(u.Path)
	case "s3":
		q := u.Query()
		prefix := q.Get("prefix")
		q.Del("prefix")
		if u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return nil, models.Errorf(models.KindInvalid, "the file store URL needs the form s3://bucket?prefix=folder")
		}
		if prefix = strings.Trim(prefix, "/"); prefix != "" && !ValidKey(prefix) {
			return nil, models.Errorf(models.KindInvalid, "the file store URL has a prefix that is not a valid key")
		}
		return openS3(ctx, u.Host, prefix, q)
	default:
		return nil, models.Errorf(models.KindInvalid, "the file store URL must begin with file:// or s3://")
	}
}

// ValidKey reports whether s may name an object: names of A-Z a-z 0-9 . _ - joined by single slashes, none empty or
// beginning with a dot (so "..", hidden files and this package's own scratch files are out of reach), within MaxKey bytes.
func ValidKey(s string) bool {
	if s == "" || len(s) > MaxKey {
		return false
	}
	for name := range strings.SplitSeq(s, "/") {
		if name == "" || name[0] == '.' || len(name) > maxName {
			return false
		}
		if strings.ContainsFunc(name, func(r rune) bool { return !keyRune(r) }) {
			return false
		}
	}
	return true
}

func keyRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
}

func checkKey(key string) error {
	if ValidKey(key) {
		return nil
	}
	return models.Errorf(models.KindInvalid, "not a valid object key")
}

// folder checks a prefix and returns it without its trailing slash, "" for everything.
func folder(prefix string) (string, error) {
	dir := strings.TrimSuffix(prefix, "/")
	if prefix == "" || ValidKey(dir) {
		return dir, nil
	}
	return "", models.Errorf(models.KindInvalid, "not a valid object key prefix")
}

// beneath turns a folder into the string its keys begin with.
func beneath(dir string) string {
	if dir == "" {
		return ""
	}
	return dir + "/"
}

// fault gives err its Kind and says what was being done.
func fault(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	case isMissing(err):
		return fmt.Errorf("%s: %w", doing, models.Errorf(models.KindNotFound, "there is no such object").Because(err))
	default:
		return fmt.Errorf("%s: %w", doing, models.Errorf(models.KindUnavailable, "the file store failed").Because(err))
	}
}

// isMissing tells a missing object from a missing bucket: the first is an answer, the second a fault.
func isMissing(err error) bool {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return true
	}
	return gcerrors.Code(err) == gcerrors.NotFound && apiCode(err) != "NoSuchBucket"
}

// apiCode returns the error code an S3 server answered with, "" when err holds none.
func apiCode(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
