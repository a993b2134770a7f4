package segment

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// DecodeIndex is the reverse of [EncodeIndex]. Bytes that are no index give ErrCorrupt; whatever they are, what is allocated
// stays in proportion to how many there are.
func DecodeIndex(data []byte) ([]Line, error) { return AppendIndex(nil, data) }

// AppendIndex is DecodeIndex into memory the caller has: it appends the lines to dst. The ids of one index share one
// allocation and keep it alive together. On an error dst comes back as it was.
func AppendIndex(dst []Line, data []byte) ([]Line, error) {
	if len(data) == 0 || data[0] != indexFormat {
		return dst, errIndex
	}
	r := columnReader{b: data[1:]}
	n, columnsLen, packedLen := r.uvarint(), r.uvarint(), r.uvarint()
	// Each line has a hash, which bounds n by what there is; n bounds the columns.
	if r.bad || n > uint64(len(r.b)/HashLen) || columnsLen > n*maxColumnBytes {
		return dst, errIndex
	}
	s := indexScratches.Get().(*indexScratch)
	defer indexScratches.Put(s)
	columns, ok := s.unpack(&r, int(columnsLen), packedLen)
	if !ok {
		return dst, errIndex
	}
	start := len(dst)
	out := slices.Grow(dst, int(n))[:start+int(n)]
	lines := out[start:]
	kinds := s.kindsOf(&columns, int(n))
	columns.lines(lines)
	for i := range lines {
		lines[i].Hash = r.uint64()
	}
	setIDs(lines, kinds, &columns, &r)
	if columns.bad || r.bad || len(columns.b) > 0 || len(r.b) > 0 {
		return dst, errIndex
	}
	return out, nil
}

// unpack returns a reader of the columns, which are next in r.
func (s *indexScratch) unpack(r *columnReader, columnsLen int, packedLen uint64) (columnReader, bool) {
	if packedLen == 0 {
		b := r.take(uint64(columnsLen))
		return columnReader{b: b}, !r.bad
	}
	packed := r.take(packedLen)
	if r.bad {
		return columnReader{}, false
	}
	var err error
	s.columns, err = Inflate(s.columns[:0], packed, columnsLen)
	return columnReader{b: s.columns}, err == nil
}

// kindsOf reads the kind of each id.
func (s *indexScratch) kindsOf(c *columnReader, n int) []uint64 {
	s.kinds = slices.Grow(s.kinds[:0], n)
	for range n {
		s.kinds = append(s.kinds, c.uvarint())
	}
	return s.kinds
}

// columnReader reads columns one value after another. Once something is wrong it is bad and reads zeros.
type columnReader struct {
	b   []byte
	bad bool
}

// lines reads the columns after the kinds into lines, all fields but ID and Hash.
func (c *columnReader) lines(lines []Line) {
	for i := range lines {
		lines[i].Version = int32(c.within(c.varint(), math.MinInt32, math.MaxInt32))
	}
	var last int64
	for i := range lines {
		last += c.varint()
		lines[i].LastUpdated = last
	}
	var day int64
	for i := range lines {
		lines[i].ServiceStart = c.day(&day)
	}
	for i := range lines {
		base := int64(lines[i].ServiceStart)
		lines[i].ServiceEnd = c.day(&base)
	}
	for i := range lines {
		lines[i].Flags = uint16(c.below(c.uvarint(), math.MaxUint16))
	}
	// The offsets are relative to the ends of lines, so they wait until the lengths, behind them, are read.
	gaps := *c
	for range lines {
		c.varint()
	}
	var end int64
	for i := range lines {
		lines[i].Length = uint32(c.below(c.uvarint(), math.MaxUint32))
		lines[i].Offset = uint32(c.within(end+gaps.varint(), 0, math.MaxUint32))
		end = int64(lines[i].Offset) + int64(lines[i].Length)
	}
}

// day is the reverse of appendDay.
func (c *columnReader) day(base *int64) int32 {
	v := c.uvarint()
	if v == 0 {
		return NoDate
	}
	v = c.below(v-1, math.MaxUint32<<1|1)
	*base = c.within(*base+(int64(v>>1)^-int64(v&1)), int64(NoDate)+1, math.MaxInt32)
	return int32(*base)
}

// setIDs sets the ids of lines, all cut from one string. UUIDs and overlong ids come from tail, others from columns.
func setIDs(lines []Line, kinds []uint64, columns, tail *columnReader) {
	var uuids, short, long uint64
	for _, k := range kinds {
		switch {
		case k == kindUUID:
			uuids++
		case k-kindText <= maxColumnID:
			short += k - kindText
		default:
			// Bounded one by one, so that the total cannot wrap.
			long += tail.below(k-kindText, uint64(len(tail.b)))
		}
	}
	u, text, rest := columnReader{b: tail.take(16 * uuids)}, columnReader{b: columns.take(short)}, columnReader{b: tail.take(long)}
	if columns.bad || tail.bad {
		return
	}
	var all strings.Builder
	all.Grow(int(36*uuids + short + long))
	var text36 [36]byte
	for _, k := range kinds {
		switch {
		case k == kindUUID:
			all.Write(appendUUID(text36[:0], u.take(16)))
		case k-kindText <= maxColumnID:
			all.Write(text.take(k - kindText))
		default:
			all.Write(rest.take(k - kindText))
		}
	}
	ids := all.String()
	for i, k := range kinds {
		n := k - kindText
		if k == kindUUID {
			n = 36
		}
		lines[i].ID, ids = ids[:n], ids[n:]
	}
}

// take returns the next n bytes.
func (c *columnReader) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.bad = true
	}
	if c.bad {
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *columnReader) uint64() uint64 {
	b := c.take(8)
	if len(b) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (c *columnReader) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad = true
	}
	if c.bad {
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *columnReader) varint() int64 {
	v := c.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// below returns v, which may be at most limit.
func (c *columnReader) below(v, limit uint64) uint64 {
	if v > limit {
		c.bad = true
		return 0
	}
	return v
}

// within returns v, which must lie between low and high.
func (c *columnReader) within(v, low, high int64) int64 {
	if v < low || v > high {
		c.bad = true
		return 0
	}
	return v
}
