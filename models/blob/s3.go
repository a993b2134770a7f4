package blob

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	gcblob "gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"golang.org/x/sync/errgroup"

	"pdexbulk/models"
)

const (
	// S3 takes at most 10,000 parts an object: parts of 8 MiB allow 80 GB a file, and cost a writer about
	// (partsInFlight+1) * partSize of memory.
	partSize      = 8 << 20
	partsInFlight = 4
	// deletesInFlight is how many DeleteObject requests DeletePrefix keeps going.
	deletesInFlight = 16
	// finishTimeout bounds the requests finishUploads lets outlive their caller.
	finishTimeout = 30 * time.Second
	// pingKey is what Ping writes over and over. It is no valid key, so List never shows it.
	pingKey = ".ping"
)

// bucket keeps objects in S3, through gocloud.dev/blob where that suffices and the S3 client where it does not.
type bucket struct {
	blobs  *gcblob.Bucket // already confined to prefix
	client *s3.Client
	name   string
	prefix string // "" or ends in a slash
}

var _ Store = (*bucket)(nil)

func openS3(ctx context.Context, name, prefix string, q url.Values) (*bucket, error) {
	// Servers other than AWS rarely have a DNS name a bucket.
	if q.Has("endpoint") && !q.Has("use_path_style") && !q.Has("s3ForcePathStyle") {
		q.Set("use_path_style", "true")
	}
	// The opener reads the URL's parameters; what it found for uploads it leaves in its Options.
	opener := new(s3blob.URLOpener)
	opened, err := opener.OpenBucketURL(ctx, &url.URL{Scheme: s3blob.Scheme, Host: name, RawQuery: q.Encode()})
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", models.Errorf(models.KindInvalid, "the S3 settings are not usable").Because(err))
	}
	var client *s3.Client
	if !opened.As(&client) {
		return nil, fmt.Errorf("open bucket: %w", models.Errorf(models.KindInternal, "the bucket gives no S3 client"))
	}
	b := &bucket{name: name, prefix: beneath(prefix), client: s3.New(client.Options(), finishUploads)}
	if b.blobs, err = s3blob.OpenBucket(ctx, b.client, name, &opener.Options); err != nil {
		return nil, fmt.Errorf("open bucket: %w", models.Errorf(models.KindInvalid, "the S3 settings are not usable").Because(err))
	}
	if b.prefix != "" {
		b.blobs = gcblob.PrefixedBucket(b.blobs, b.prefix)
	}
	return b, nil
}

// finishUploads lets the requests that begin and abort a multipart upload run to their end when the caller gives up.
// The upload manager sends them with the caller's context: cancelled, an abort never leaves this machine, and a beginning
// cut off on its way leaves an upload nobody knows the id of. Either way S3 would keep the parts, unseen, for ever.
func finishUploads(o *s3.Options) {
	o.APIOptions = append(slices.Clone(o.APIOptions), func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("FinishUploads",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				switch in.Parameters.(type) {
				case *s3.CreateMultipartUploadInput, *s3.AbortMultipartUploadInput:
					detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
					defer cancel()
					ctx = detached
				}
				return next.HandleInitialize(ctx, in)
			}), middleware.Before)
	})
}

// s3Writer is an upload. Cancelling its context is how gocloud is told to give up and to remove the parts.
type s3Writer struct {
	ctx    context.Context // of the caller
	cancel context.CancelFunc
	upload *gcblob.Writer
	buf    *bufio.Writer // the upload takes bytes through an unbuffered pipe, which small writes would make slow
	done   bool
}

func (b *bucket) Create(ctx context.Context, key string) (Writer, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	upload, cancel := context.WithCancel(ctx)
	w, err := b.blobs.NewWriter(upload, key, &gcblob.WriterOptions{
		BufferSize:                  partSize,
		MaxConcurrency:              partsInFlight,
		ContentType:                 "application/octet-stream",
		DisableContentTypeDetection: true,
	})
	if err != nil {
		cancel()
		return nil, unavailable("create object", err)
	}
	return &s3Writer{ctx: ctx, cancel: cancel, upload: w, buf: bufio.NewWriterSize(w, writeBuffer)}, nil
}

func (w *s3Writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, errEnded()
	}
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.buf.Write(p)
	if err != nil {
		return n, w.fault("write object", err)
	}
	return n, nil
}

// fault prefers the caller's own reason to the tangle an interrupted upload reports, and takes a missing bucket for the
// fault it is.
func (w *s3Writer) fault(doing string, err error) error {
	if cause := w.ctx.Err(); cause != nil {
		return fmt.Errorf("%s: %w", doing, cause)
	}
	return unavailable(doing, err)
}

func (w *s3Writer) Commit() error {
	if w.done {
		return errEnded()
	}
	if err := w.ctx.Err(); err != nil {
		w.Abort()
		return err
	}
	if err := w.buf.Flush(); err != nil {
		w.Abort()
		return w.fault("write object", err)
	}
	w.done = true
	defer w.cancel()
	if err := w.upload.Close(); err != nil {
		return w.fault("publish object", err)
	}
	return nil
}

func (w *s3Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.cancel()
	// It reports the cancellation just asked for.
	_ = w.upload.Close()
}

func (b *bucket) Open(ctx context.Context, key string) (*Object, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	r, err := b.blobs.NewReader(ctx, key, nil)
	if err != nil {
		return nil, fault("open object", err)
	}
	return &Object{ReadSeekCloser: r, Info: Info{Key: key, Size: r.Size(), ModTime: r.ModTime().UTC()}}, nil
}

func (b *bucket) ReadRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, errRange()
	}
	r, err := b.blobs.NewRangeReader(ctx, key, offset, length, nil)
	if err == nil {
		return r, nil
	}
	if apiCode(err) != "InvalidRange" {
		return nil, fault("open object", err)
	}
	// S3 has no empty ranges: one that begins at the very end is refused like one beyond it.
	size, err := b.Size(ctx, key)
	if err != nil {
		return nil, err
	}
	if offset != size {
		return nil, errRange()
	}
	return http.NoBody, nil
}

func (b *bucket) Size(ctx context.Context, key string) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	attrs, err := b.blobs.Attributes(ctx, key)
	if err != nil {
		return 0, fault("look at object", err)
	}
	return attrs.Size, nil
}

// Delete asks S3 directly: gocloud spends a second request on learning whether the object was there.
func (b *bucket) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key)})
	if err != nil {
		return fault("delete object", err)
	}
	return nil
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		dir, err := folder(prefix)
		if err != nil {
			yield(Info{}, err)
			return
		}
		for o, err := range b.all(ctx, beneath(dir)) {
			if err != nil {
				yield(Info{}, err)
				return
			}
			if ValidKey(o.Key) && !yield(o, nil) {
				return
			}
		}
	}
}

// all yields every object whose key begins with a string, valid key or not.
func (b *bucket) all(ctx context.Context, begin string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		list := b.blobs.List(&gcblob.ListOptions{Prefix: begin})
		for {
			o, err := list.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Info{}, listFault(ctx, err))
				return
			}
			if !yield(Info{Key: o.Key, Size: o.Size, ModTime: o.ModTime.UTC()}, nil) {
				return
			}
		}
	}
}

// listFault is fault for requests about the bucket itself, where "not found" is no answer.
func listFault(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("list objects: %w", cause)
	}
	return unavailable("list objects", err)
}

func (b *bucket) DeletePrefix(ctx context.Context, prefix string) error {
	dir, err := folder(prefix)
	if err != nil {
		return err
	}
	if dir == "" {
		return models.Errorf(models.KindInvalid, "the empty prefix cannot be deleted")
	}
	// Unfinished uploads go first: what completes meanwhile is then in the listing.
	if _, err := b.abortUploads(ctx, beneath(dir), func(time.Time) bool { return true }); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(deletesInFlight)
	for o, err := range b.List(gctx, dir) {
		if err != nil {
			return errors.Join(g.Wait(), err)
		}
		g.Go(func() error { return b.Delete(gctx, o.Key) })
	}
	return g.Wait()
}

func (b *bucket) Sweep(ctx context.Context, before time.Time) (int, error) {
	return b.abortUploads(ctx, "", func(begun time.Time) bool { return begun.Before(before) })
}

// abortUploads ends the multipart uploads whose keys begin with a string and whose start is stale, and returns how many.
func (b *bucket) abortUploads(ctx context.Context, begin string, stale func(time.Time) bool) (int, error) {
	n := 0
	in := &s3.ListMultipartUploadsInput{Bucket: &b.name}
	if full := b.prefix + begin; full != "" {
		in.Prefix = &full
	}
	for {
		page, err := b.client.ListMultipartUploads(ctx, in)
		if apiCode(err) == "NoSuchUpload" {
			return n, nil // how some servers say that there are none
		}
		if err != nil {
			return n, listFault(ctx, err)
		}
		for _, u := range page.Uploads {
			if !strings.HasPrefix(aws.ToString(u.Key), b.prefix+begin) || !stale(aws.ToTime(u.Initiated)) {
				continue
			}
			_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: u.Key, UploadId: u.UploadId})
			if apiCode(err) == "NoSuchUpload" {
				continue
			}
			if err != nil {
				return n, unavailable("abort upload", err)
			}
			n++
		}
		if !aws.ToBool(page.IsTruncated) {
			return n, nil
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
}

// Ping overwrites one small object. Listing or heading the bucket would pass with credentials that cannot write.
func (b *bucket) Ping(ctx context.Context) error {
	opts := &gcblob.WriterOptions{ContentType: "application/octet-stream"}
	if err := b.blobs.WriteAll(ctx, pingKey, []byte("ping\n"), opts); err != nil {
		if cause := ctx.Err(); cause != nil {
			return cause
		}
		return unavailable("write to the file store", err)
	}
	return nil
}

func (b *bucket) SignedURL(ctx context.Context, key string, expiry time.Duration, h Headers) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	if expiry <= 0 {
		return "", models.Errorf(models.KindInvalid, "a signed URL needs a positive lifetime")
	}
	signed, err := b.blobs.SignedURL(ctx, key, &gcblob.SignedURLOptions{
		Expiry: expiry,
		BeforeSign: func(as func(any) bool) error {
			var in *s3.GetObjectInput
			if !as(&in) {
				return errors.New("no S3 request to sign")
			}
			if h.ContentType != "" {
				in.ResponseContentType = &h.ContentType
			}
			if h.ContentEncoding != "" {
				in.ResponseContentEncoding = &h.ContentEncoding
			}
			return nil
		},
	})
	if err != nil {
		return "", unavailable("sign URL", err)
	}
	return signed, nil
}

func (b *bucket) Close() error { return b.blobs.Close() }

func errEnded() error { return models.Errorf(models.KindInternal, "the write has already ended") }
