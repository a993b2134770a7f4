package segment

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Compression levels. Level 3 packs five sixths as fast as level 1 and makes 7 % fewer bytes, which every later read, write
// and transfer gains, and which inflate faster. Level 6 would make 6 % fewer still and take three fifths longer.
const (
	DefaultLevel = 3 // for segments that are stored and read again and again
	FastLevel    = 1 // for segments made on the way out
)

var errOpenLine = errors.New("a line does not end with a newline")

// Packer makes segments. It keeps its buffers between calls, so that a call allocates nothing but what dst lacks. It is for
// one goroutine at a time. The bytes it makes depend on the level and the lines alone.
type Packer struct {
	w     *flate.Writer
	out   sink
	raw   []byte   // Select: the inflated segment
	spans []span   // Select: the ranges of it that are kept
	parts [][]byte // Select: the bytes of spans
}

// sink is the io.Writer under the compressor.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// NewPacker returns a Packer of a compression level from 1, the fastest, to 9. Any other level is an error.
func NewPacker(level int) (*Packer, error) {
	if level < flate.BestSpeed || level > flate.BestCompression {
		return nil, fmt.Errorf("compression level %d is not in 1..9", level)
	}
	p := &Packer{}
	w, err := flate.NewWriter(&p.out, level)
	if err != nil {
		return nil, fmt.Errorf("new compressor: %w", err)
	}
	p.w = w
	return p, nil
}

// Pack appends to dst a segment of the given lines and returns it with its Sum. Each element holds one or more whole lines;
// it is an error when a non-empty one does not end with a newline, and dst then comes back as it was. No lines make no
// bytes and the zero Sum.
func (p *Packer) Pack(dst []byte, lines ...[]byte) ([]byte, Sum, error) {
	for _, l := range lines {
		if len(l) > 0 && l[len(l)-1] != '\n' {
			return dst, Sum{}, errOpenLine
		}
	}
	return p.pack(dst, lines...)
}

// pack packs lines or parts of lines.
func (p *Packer) pack(dst []byte, raw ...[]byte) ([]byte, Sum, error) {
	var sum Sum
	for _, l := range raw {
		sum.Lines += int64(bytes.Count(l, newline))
		sum.RawLen += int64(len(l))
		sum.CRC = crc32.Update(sum.CRC, crc32.IEEETable, l)
	}
	if sum.RawLen == 0 {
		return dst, Sum{}, nil
	}
	out, err := p.deflate(dst, raw...)
	if err != nil {
		return dst, Sum{}, err
	}
	sum.PackedLen = int64(len(out) - len(dst))
	return out, sum, nil
}

// deflate appends a run of the given bytes to dst.
func (p *Packer) deflate(dst []byte, raw ...[]byte) ([]byte, error) {
	p.out.b = dst
	defer func() { p.out.b = nil }()
	p.w.Reset(&p.out)
	for _, b := range raw {
		if _, err := p.w.Write(b); err != nil {
			return dst, fmt.Errorf("deflate: %w", err)
		}
	}
	if err := p.w.Flush(); err != nil {
		return dst, fmt.Errorf("deflate: %w", err)
	}
	return p.out.b, nil
}

var newline = []byte{'\n'}

// Pack packs lines at DefaultLevel with a Packer that is shared with other callers in turn; see [Packer.Pack].
func Pack(dst []byte, lines ...[]byte) ([]byte, Sum, error) {
	p, err := borrow()
	if err != nil {
		return dst, Sum{}, err
	}
	defer packers.Put(p)
	return p.Pack(dst, lines...)
}

// PackPart is Pack for a part of a line, or of lines, that is too long to be packed in one: the line is whole once the runs of all its
// parts stand one after another.
func PackPart(dst, part []byte) ([]byte, Sum, error) {
	p, err := borrow()
	if err != nil {
		return dst, Sum{}, err
	}
	defer packers.Put(p)
	return p.pack(dst, part)
}

var packers sync.Pool

// borrow returns a Packer of DefaultLevel, to be put back into packers.
func borrow() (*Packer, error) {
	if p, ok := packers.Get().(*Packer); ok {
		return p, nil
	}
	return NewPacker(DefaultLevel)
}
