package segment

import "hash/crc32"

// Sum describes a run: one segment, or several one after another. The zero Sum is that of the empty run.
type Sum struct {
	Lines     int64
	RawLen    int64  // bytes of NDJSON
	CRC       uint32 // CRC-32 (IEEE) of the NDJSON
	PackedLen int64  // bytes of DEFLATE
}

// Add returns the Sum of s followed by other. It is associative and the zero Sum is neutral, so runs may be summed in any
// grouping, but their order counts.
func (s Sum) Add(other Sum) Sum {
	return Sum{
		Lines:     s.Lines + other.Lines,
		RawLen:    s.RawLen + other.RawLen,
		CRC:       shift(s.CRC, uint64(other.RawLen)) ^ other.CRC,
		PackedLen: s.PackedLen + other.PackedLen,
	}
}

// GzipLen is the length in bytes of the gzip file made of the run.
func (s Sum) GzipLen() int64 { return HeaderLen + s.PackedLen + TrailerLen }

// The CRC of A followed by n bytes B is crc(A)*x^(8n) + crc(B) over GF(2) modulo the CRC polynomial. Polynomials are held
// as CRC-32 holds them, bit 31 being x^0.
const one uint32 = 1 << 31

// powers[i][b] is x^(8*b*256^i): a factor of x^(8n) for each byte of n, so that a shift costs one multiplication a byte.
var powers = func() (t [8][256]uint32) {
	step := one >> 8 // x^8
	for i := range t {
		t[i][0] = one
		for b := 1; b < 256; b++ {
			t[i][b] = multiply(t[i][b-1], step)
		}
		step = multiply(t[i][255], step)
	}
	return t
}()

// reduction[k][b] is b, as the lowest byte of a polynomial, times x^(8(k+1)): the tables of a CRC that takes four bytes at
// a time.
var reduction = func() (t [4][256]uint32) {
	t[0] = *crc32.IEEETable
	for k := 1; k < len(t); k++ {
		for b, v := range t[k-1] {
			t[k][b] = v>>8 ^ t[0][byte(v)]
		}
	}
	return t
}()

// shift returns crc * x^(8n).
func shift(crc uint32, n uint64) uint32 {
	if crc == 0 {
		return 0
	}
	for i := 0; n != 0; i++ {
		if b := byte(n); b != 0 {
			crc = multiply(crc, powers[i][b])
		}
		n >>= 8
	}
	return crc
}

// multiply returns a*b modulo the CRC polynomial.
func multiply(a, b uint32) uint32 {
	p := product(a, b) << 1 // now bits 63..32 are x^0..x^31 and bits 31..0 are x^32..x^63
	high := uint32(p)
	return uint32(p>>32) ^
		reduction[3][byte(high)] ^ reduction[2][byte(high>>8)] ^ reduction[1][byte(high>>16)] ^ reduction[0][byte(high>>24)]
}

// product is the carry-less product of a and b. Each factor is split into four that have every fourth bit, so that the
// carries of an ordinary multiplication (at most 8 ones meet) stay in the three bits between and are masked away.
func product(a, b uint32) uint64 {
	const m0, m1, m2, m3 = 0x1111111111111111, 0x2222222222222222, 0x4444444444444444, 0x8888888888888888
	a0, a1, a2, a3 := uint64(a)&m0, uint64(a)&m1, uint64(a)&m2, uint64(a)&m3
	b0, b1, b2, b3 := uint64(b)&m0, uint64(b)&m1, uint64(b)&m2, uint64(b)&m3
	return (a0*b0^a1*b3^a2*b2^a3*b1)&m0 |
		(a0*b1^a1*b0^a2*b3^a3*b2)&m1 |
		(a0*b2^a1*b1^a2*b0^a3*b3)&m2 |
		(a0*b3^a1*b2^a2*b1^a3*b0)&m3
}
