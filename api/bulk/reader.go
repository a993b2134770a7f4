package bulk

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/segment"
)

// reader is a file as one run of bytes that can be sought in, in either form. It opens only what is read. Several ranges are
// read by a goroutine of http.ServeContent, which may outlast it, hence the lock.
type reader struct {
	ctx   context.Context // of the request: an io.Reader has no other way to see its caller give up
	files blob.Store
	parts []models.FilePart
	sum   segment.Sum
	gzip  bool

	mu     sync.Mutex
	at     int64
	open   io.ReadCloser // positioned at `at`
	err    error
	closed bool
}

func (r *reader) size() int64 {
	if r.gzip {
		return r.sum.GzipLen()
	}
	return r.sum.RawLen
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size()
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	if offset != r.at {
		r.release()
		r.at = offset
	}
	return offset, nil
}

func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, errors.New("the reader is closed")
	}
	if r.at >= r.size() {
		return 0, io.EOF
	}
	if r.open == nil {
		if r.gzip {
			r.open = r.packed(r.at)
		} else {
			r.open = r.inflated(r.at)
		}
	}
	n, err := r.open.Read(p)
	r.at += int64(n)
	if errors.Is(err, io.EOF) && r.at < r.size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// fault is what went wrong while reading, nil when nothing did.
func (r *reader) fault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close ends reading.
func (r *reader) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.release()
}

func (r *reader) release() {
	if r.open != nil {
		_ = r.open.Close() // read only
		r.open = nil
	}
}

func (r *reader) inflated(from int64) io.ReadCloser {
	runs := make([]segment.Sum, len(r.parts))
	for i, p := range r.parts {
		runs[i] = segment.Sum{Lines: p.Lines, RawLen: p.Raw, PackedLen: p.Packed, CRC: p.CRC}
	}
	return segment.NewRawReader(func(i int) (io.ReadCloser, error) {
		return r.files.ReadRange(r.ctx, r.parts[i].BlobKey, r.parts[i].Offset, r.parts[i].Packed)
	}, runs, from)
}

// packed reads header, parts and trailer one after the other.
func (r *reader) packed(from int64) io.ReadCloser {
	return &concat{r: r, next: -1, skip: from}
}

type concat struct {
	r    *reader
	next int // -1 header, then the parts, then the trailer
	skip int64
	cur  io.ReadCloser
}

func (c *concat) Read(p []byte) (int, error) {
	for {
		if c.cur == nil {
			if c.next > len(c.r.parts) {
				return 0, io.EOF
			}
			if err := c.advance(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := c.cur.Read(p)
		if err == io.EOF {
			_ = c.cur.Close() // read only
			c.cur, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

func (c *concat) advance() error {
	i := c.next
	c.next++
	var fixed []byte
	switch i {
	case -1:
		fixed = segment.Header()
	case len(c.r.parts):
		fixed = segment.Trailer(c.r.sum)
	default:
		p := c.r.parts[i]
		skip := min(c.skip, p.Packed)
		c.skip -= skip
		if skip == p.Packed {
			return nil
		}
		cur, err := c.r.files.ReadRange(c.r.ctx, p.BlobKey, p.Offset+skip, p.Packed-skip)
		c.cur = cur
		return err
	}
	skip := min(c.skip, int64(len(fixed)))
	c.skip -= skip
	c.cur = io.NopCloser(strings.NewReader(string(fixed[skip:])))
	return nil
}

func (c *concat) Close() error {
	if c.cur == nil {
		return nil
	}
	return c.cur.Close()
}
