// Package spill is the external sort of an import: lines arrive in file order and leave grouped by member, resource type and
// resource, in memory that does not grow with the input.
//
// A Run holds as many lines as fit its budget, sorted, each bucket of members compressed on its own. Merge reads one
// bucket of many runs and yields the lines of all of them in order. A bucket is a range of member ids, so that merging
// bucket after bucket writes the store in member order. The package keeps no state outside what it is given and does not
// interpret a line.
package spill

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"
)

// Record is one line of an import with all that is known of it.
type Record struct {
	Member uuid.UUID
	Type   int16
	Class  int16
	Flags  uint16
	// Updated is the source's meta.lastUpdated in ms since 1970-01-01, 0 when it gave none.
	Updated int64
	// StampAt is where the 24 bytes of meta.lastUpdated stand in Body.
	StampAt      int32
	Version      int32
	ServiceStart int32
	ServiceEnd   int32
	File         int32 // ordinal of the source file
	Line         int64 // number of the line in it, from 1
	Hash         uint64
	ID           []byte
	Patient      []byte // the Patient id the member stands for; empty for resources of no patient
	Body         []byte // the line with its line break
}

const fixed = 16 + 2 + 2 + 2 + 8 + 4 + 4 + 4 + 4 + 4 + 8 + 8 + 1 + 1 + 4

// MaxBuckets bounds how finely an import is cut.
const MaxBuckets = 4096

// Bucket returns which of n buckets (a power of two up to MaxBuckets) a member falls in.
func Bucket(member uuid.UUID, n int) int {
	return int(binary.BigEndian.Uint16(member[:2])) * n >> 16
}

// Run collects lines until it is full and then writes them sorted. It is for one goroutine; Reset makes it ready again.
type Run struct {
	budget int
	buf    []byte
	refs   []ref
}

type ref struct {
	member uuid.UUID
	typ    int16
	id     uint64 // hash of the resource id, which brings the versions of one resource together
	file   int32
	line   int64
	at     int
}

// NewRun returns a Run with room for budget bytes, which are taken as they are needed: most files are small.
func NewRun(budget int) *Run { return &Run{budget: budget} }

// Fits reports whether a line with a body of n bytes still fits the budget. An empty run takes any line.
func (r *Run) Fits(n int) bool { return len(r.refs) == 0 || len(r.buf)+fixed+512+n <= r.budget }

// Len is the number of lines held.
func (r *Run) Len() int { return len(r.refs) }

// Reset forgets the lines.
func (r *Run) Reset() { r.buf, r.refs = r.buf[:0], r.refs[:0] }

// Add appends a line, copying it.
func (r *Run) Add(x *Record) {
	r.refs = append(r.refs, refTo(x, len(r.buf)))
	b := r.room(fixed + len(x.ID) + len(x.Patient) + len(x.Body))
	b = append(b, x.Member[:]...)
	b = binary.LittleEndian.AppendUint16(b, uint16(x.Type))
	b = binary.LittleEndian.AppendUint16(b, uint16(x.Class))
	b = binary.LittleEndian.AppendUint16(b, x.Flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(x.Updated))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.StampAt))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.Version))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.ServiceStart))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.ServiceEnd))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.File))
	b = binary.LittleEndian.AppendUint64(b, uint64(x.Line))
	b = binary.LittleEndian.AppendUint64(b, x.Hash)
	b = append(b, byte(len(x.ID)), byte(len(x.Patient)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x.Body)))
	b = append(b, x.ID...)
	b = append(b, x.Patient...)
	r.buf = append(b, x.Body...)
}

// room returns the buffer with room for n more bytes. It grows in a few large steps up to the budget.
func (r *Run) room(n int) []byte {
	if have := cap(r.buf); len(r.buf)+n > have {
		grown := make([]byte, len(r.buf), max(len(r.buf)+n, min(r.budget, max(8*have, 1<<20))))
		copy(grown, r.buf)
		r.buf = grown
	}
	return r.buf
}

// size is the encoded length of the record at the start of b.
func size(b []byte) int {
	return fixed + int(b[fixed-6]) + int(b[fixed-5]) + int(binary.LittleEndian.Uint32(b[fixed-4:]))
}

func refTo(x *Record, at int) ref {
	return ref{member: x.Member, typ: x.Type, id: xxhash.Sum64(x.ID), file: x.File, line: x.Line, at: at}
}

func compare(a, b *ref) int {
	return cmp.Or(bytes.Compare(a.member[:], b.member[:]), cmp.Compare(a.typ, b.typ), cmp.Compare(a.id, b.id),
		cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
}

// Directory says where each bucket of a run begins in its blob, and where the last one ends.
type Directory []int64

// Encode packs the directory.
func (d Directory) Encode() []byte {
	out := make([]byte, 0, 8*len(d))
	for _, at := range d {
		out = binary.LittleEndian.AppendUint64(out, uint64(at))
	}
	return out
}

// DecodeDirectory reverses Encode.
func DecodeDirectory(b []byte) (Directory, error) {
	if len(b)%8 != 0 || len(b) < 16 {
		return nil, errors.New("run directory is damaged")
	}
	d := make(Directory, len(b)/8)
	for i := range d {
		d[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		if d[i] < 0 || i > 0 && d[i] < d[i-1] {
			return nil, errors.New("run directory is damaged")
		}
	}
	return d, nil
}

// WriteTo sorts the lines and writes them to w, cut into buckets.
func (r *Run) WriteTo(w io.Writer, buckets int) (Directory, error) {
	slices.SortFunc(r.refs, func(a, b ref) int { return compare(&a, &b) })
	dir := make(Directory, 1, buckets+1)
	out := &counter{w: w}
	enc := s2.NewWriter(nil, s2.WriterBlockSize(blockSize), s2.WriterConcurrency(1))
	next := 0
	for b := range buckets {
		if next < len(r.refs) && Bucket(r.refs[next].member, buckets) == b {
			enc.Reset(out)
			for ; next < len(r.refs) && Bucket(r.refs[next].member, buckets) == b; next++ {
				at := r.buf[r.refs[next].at:]
				if _, err := enc.Write(at[:size(at)]); err != nil {
					return nil, fmt.Errorf("write run: %w", err)
				}
			}
			if err := enc.Close(); err != nil {
				return nil, fmt.Errorf("write run: %w", err)
			}
		}
		dir = append(dir, out.n)
	}
	return dir, nil
}

const blockSize = 64 << 10

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
