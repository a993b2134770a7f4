package segment

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// Stream packs lines too long to be held in memory: what is written to it goes out as one run, as if Pack had made it of
// the whole. It is for one goroutine.
type Stream struct {
	w   *flate.Writer
	out *tally
	sum Sum
}

type tally struct {
	w io.Writer
	n int64
}

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.n += int64(n)
	return n, err
}

// NewStream returns a Stream that writes packed bytes to w.
func NewStream(w io.Writer) (*Stream, error) {
	out := &tally{w: w}
	z, err := flate.NewWriter(out, DefaultLevel)
	if err != nil {
		return nil, fmt.Errorf("new compressor: %w", err)
	}
	return &Stream{w: z, out: out}, nil
}

// Write takes raw bytes. A line may come in any number of pieces.
func (s *Stream) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.sum.Lines += int64(bytes.Count(p[:n], newline))
	s.sum.RawLen += int64(n)
	s.sum.CRC = crc32.Update(s.sum.CRC, crc32.IEEETable, p[:n])
	return n, err
}

// Finish ends the run and returns its Sum. Nothing may be written after it.
func (s *Stream) Finish() (Sum, error) {
	if s.sum.RawLen == 0 {
		return Sum{}, nil
	}
	if err := s.w.Flush(); err != nil {
		return Sum{}, fmt.Errorf("deflate: %w", err)
	}
	s.sum.PackedLen = s.out.n
	return s.sum, nil
}
