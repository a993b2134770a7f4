package segment

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// RawReader reads the NDJSON of consecutive runs as one stream. It inflates as it goes, in a fixed amount of memory however
// long a run is.
type RawReader struct {
	open func(run int) (io.ReadCloser, error)
	runs []Sum
	next int   // the run to open next
	skip int64 // raw bytes to drop before the first byte handed out
	cur  *openRun
	err  error
}

// NewRawReader returns a reader of the raw bytes of runs from offset on. open gives the packed bytes of a run by its
// position in runs; it is called in order, when the run's turn comes, and what it returned is closed before the next call.
// Runs that end before offset are never opened; the one that offset lies in is inflated from its start. An offset at or
// beyond the end reads as empty.
//
// Every run read to its end is held against its lengths and its checksum. A run that differs makes Read fail with an error
// that has ErrCorrupt in its chain, after at most the bytes of that run have been handed out; an error of open or of its
// reader is passed on. Close ends reading at any point; it is for one goroutine at a time.
func NewRawReader(open func(run int) (io.ReadCloser, error), runs []Sum, offset int64) *RawReader {
	r := &RawReader{open: open, runs: runs, skip: offset}
	if offset < 0 {
		r.err = errNegative
		return r
	}
	for r.next < len(runs) && r.skip >= runs[r.next].RawLen {
		r.skip -= runs[r.next].RawLen
		r.next++
	}
	return r
}

var (
	errNegative = errors.New("negative offset")
	errClosed   = errors.New("reader is closed")
	errRunEnd   = fmt.Errorf("%w: a run is not as long as its sum", ErrCorrupt)
	errRunCRC   = fmt.Errorf("%w: a run's checksum differs", ErrCorrupt)
)

// Read implements io.Reader.
func (r *RawReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, r.err
	}
	for r.err == nil {
		if r.cur == nil {
			r.err = r.advance()
			continue
		}
		n, err := r.read(b)
		if err != nil {
			r.err = err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// read reads from the open run, drops what is to be skipped and closes the run at its end.
func (r *RawReader) read(b []byte) (int, error) {
	n, err := r.cur.Read(b)
	dropped := int(min(int64(n), r.skip))
	r.skip -= int64(dropped)
	n = copy(b, b[dropped:n])
	if err == nil {
		return n, nil
	}
	closeErr := r.release()
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	return n, closeErr
}

// advance opens the next run that is not empty.
func (r *RawReader) advance() error {
	for r.next < len(r.runs) && r.runs[r.next].RawLen == 0 {
		r.next++
	}
	if r.next == len(r.runs) {
		return io.EOF
	}
	src, err := r.open(r.next)
	if err != nil {
		return fmt.Errorf("open run: %w", err)
	}
	r.cur = startRun(src, r.runs[r.next])
	r.next++
	return nil
}

// release closes the open run.
func (r *RawReader) release() error {
	c := r.cur
	r.cur = nil
	if err := c.close(); err != nil {
		return fmt.Errorf("close run: %w", err)
	}
	return nil
}

// Close implements io.Closer. Reading after it fails.
func (r *RawReader) Close() error {
	if r.err == nil || errors.Is(r.err, io.EOF) {
		r.err = errClosed
	}
	if r.cur == nil {
		return nil
	}
	return r.release()
}

// openRun is the inflater of one run and the check of what comes out of it.
type openRun struct {
	src    io.Closer
	packed ended
	z      *streamInflater
	want   Sum
	got    Sum
}

// streamInflater is the memory an open run needs, kept for the next.
type streamInflater struct {
	buf *bufio.Reader
	z   io.ReadCloser
}

var streamInflaters = sync.Pool{New: func() any {
	return &streamInflater{bufio.NewReaderSize(nil, 64<<10), flate.NewReader(nil)}
}}

func startRun(src io.ReadCloser, want Sum) *openRun {
	o := &openRun{src: src, want: want, z: streamInflaters.Get().(*streamInflater)}
	o.packed = ended{r: src, left: finalBlock}
	o.z.buf.Reset(&o.packed)
	_ = o.z.z.(flate.Resetter).Reset(o.z.buf, nil) // never fails
	return o
}

// Read implements io.Reader. It returns io.EOF only when the run is what its sum says.
func (o *openRun) Read(b []byte) (int, error) {
	n, err := o.z.z.Read(b)
	o.got.RawLen += int64(n)
	if o.got.RawLen > o.want.RawLen {
		return 0, errRunEnd
	}
	o.got.CRC = crc32.Update(o.got.CRC, crc32.IEEETable, b[:n])
	if err == nil {
		return n, nil
	}
	switch {
	case o.packed.err != nil:
		return n, fmt.Errorf("read run: %w", o.packed.err)
	case !errors.Is(err, io.EOF):
		return n, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case o.got.RawLen != o.want.RawLen || o.packed.n != o.want.PackedLen || o.packed.left != "":
		return n, errRunEnd
	case o.got.CRC != o.want.CRC:
		return n, errRunCRC
	}
	return n, io.EOF
}

func (o *openRun) close() error {
	o.z.buf.Reset(nil)
	streamInflaters.Put(o.z)
	return o.src.Close()
}

// ended reads r and then a final block, which runs lack and without which an inflater cannot tell their end from a cut.
type ended struct {
	r    io.Reader
	n    int64  // bytes of r read
	left string // of the final block
	err  error  // of r, if not io.EOF
	done bool   // r is at its end
}

func (e *ended) Read(b []byte) (int, error) {
	if !e.done {
		n, err := e.r.Read(b)
		e.n += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			e.done = true
		case err != nil:
			e.err = err
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		if !e.done {
			return 0, nil
		}
	}
	if e.left == "" {
		return 0, io.EOF
	}
	n := copy(b, e.left)
	e.left = e.left[n:]
	return n, nil
}
