package segment

import (
	"fmt"
	"math"
)

// Select appends to dst a segment of those lines of a segment that keep accepts, in their order, and returns it with its
// Sum. data and sum are the segment, lines its index, all of it, in the order of the lines.
//
// A segment of which all lines are kept is copied as it is and costs next to nothing; one of which none are kept adds no
// bytes and has the zero Sum; any other is inflated, held against its checksum and packed again. keep is called once a
// line. The error is ErrCorrupt when data, sum and lines do not belong together; dst then comes back at its old length.
func (p *Packer) Select(dst, data []byte, sum Sum, lines []Line, keep func(Line) bool) ([]byte, Sum, error) {
	if int64(len(lines)) != sum.Lines || int64(len(data)) != sum.PackedLen || sum.RawLen > math.MaxUint32 {
		return dst, Sum{}, errForeign
	}
	spans, kept, err := p.choose(sum, lines, keep)
	switch {
	case err != nil:
		return dst, Sum{}, err
	case kept == 0:
		return dst, Sum{}, nil
	case kept == len(lines):
		return append(dst, data...), sum, nil
	}
	if p.raw, err = InflateSum(p.raw[:0], data, sum); err != nil {
		return dst, Sum{}, err
	}
	p.parts = p.parts[:0]
	for _, s := range spans {
		p.parts = append(p.parts, p.raw[s.start:s.end])
	}
	return p.Pack(dst, p.parts...)
}

var errForeign = fmt.Errorf("%w: its index is not its own", ErrCorrupt)

// span is a range of raw bytes.
type span struct{ start, end int64 }

// choose asks keep about every line and returns the ranges of kept lines, neighbours in one, and how many lines they are.
// The lines must cover the whole segment without a gap, or what lies in the gap would be lost.
func (p *Packer) choose(sum Sum, lines []Line, keep func(Line) bool) ([]span, int, error) {
	spans, kept, end := p.spans[:0], 0, int64(0)
	for i := range lines {
		l := &lines[i]
		start := end
		end += int64(l.Length)
		if int64(l.Offset) != start || l.Length == 0 || end > sum.RawLen {
			return nil, 0, errForeign
		}
		if !keep(*l) {
			continue
		}
		kept++
		if n := len(spans); n > 0 && spans[n-1].end == start {
			spans[n-1].end = end
			continue
		}
		spans = append(spans, span{start, end})
	}
	p.spans = spans
	if end != sum.RawLen {
		return nil, 0, errForeign
	}
	return spans, kept, nil
}
