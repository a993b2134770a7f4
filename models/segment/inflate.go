package segment

import (
	"hash/crc32"
	"slices"
	"sync"
)

// maxRatio bounds how many bytes DEFLATE can make of one: a match of 258 bytes takes at least two bits.
const maxRatio = 1032

// Inflate appends the raw bytes of a run to dst. The run must make rawLen bytes, neither fewer nor more, must hold no final
// block and must end in a stored block, as a sync flush is; else the error is ErrCorrupt and dst comes back at its old
// length. No more is ever allocated than rawLen bytes, and nothing when data cannot possibly make that many.
func Inflate(dst, data []byte, rawLen int) ([]byte, error) {
	start := len(dst)
	if rawLen < 0 || rawLen/maxRatio > len(data) {
		return dst, errLength
	}
	dst = slices.Grow(dst, rawLen)
	d := inflaters.Get().(*inflater)
	defer inflaters.Put(d)
	n, err := d.inflate(dst[start:start+rawLen], data)
	if err != nil {
		return dst[:start], err
	}
	if n != rawLen {
		return dst[:start], errShort
	}
	return dst[:start+rawLen], nil
}

// InflateSum is Inflate that also holds the run against its Sum: the packed length and the CRC-32.
func InflateSum(dst, data []byte, sum Sum) ([]byte, error) {
	if int64(len(data)) != sum.PackedLen {
		return dst, errPackedLen
	}
	start := len(dst)
	dst, err := Inflate(dst, data, int(sum.RawLen))
	if err != nil {
		return dst, err
	}
	if crc32.ChecksumIEEE(dst[start:]) != sum.CRC {
		return dst[:start], errChecksum
	}
	return dst, nil
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}
