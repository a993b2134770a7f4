package segment

import "encoding/binary"

// Lengths in bytes of what goes before and after the runs of a gzip file.
const (
	HeaderLen  = 10
	TrailerLen = 10
)

// Header returns the first bytes of a gzip file (RFC 1952 section 2.3). It has no name and no time and says the operating
// system is unknown, so that the same runs always make the same file.
func Header() []byte {
	return []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
}

// Trailer returns the last bytes of a gzip file whose runs sum up to sum: an empty final block (fixed Huffman codes, end of
// block), the CRC-32 and the raw length modulo 2^32.
func Trailer(sum Sum) []byte {
	t := append(make([]byte, 0, TrailerLen), finalBlock...)
	t = binary.LittleEndian.AppendUint32(t, sum.CRC)
	return binary.LittleEndian.AppendUint32(t, uint32(sum.RawLen))
}

const finalBlock = "\x03\x00"
