package segment_test

import (
	"hash/crc32"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/segment"
)

func sumOf(raw []byte) segment.Sum {
	return segment.Sum{RawLen: int64(len(raw)), CRC: crc32.ChecksumIEEE(raw)}
}

func TestSumAddIsTheSumOfTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(rapid.Byte()).Draw(t, "a"), rapid.SliceOf(rapid.Byte()).Draw(t, "b")
		require.Equal(t, sumOf(append(slices.Clip(a), b...)), sumOf(a).Add(sumOf(b)))
	})
}

func sumGen() *rapid.Generator[segment.Sum] {
	return rapid.Custom(func(t *rapid.T) segment.Sum {
		return segment.Sum{
			Lines:     rapid.Int64Range(0, 1<<40).Draw(t, "lines"),
			RawLen:    rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1<<60)).Draw(t, "raw"),
			CRC:       rapid.Uint32().Draw(t, "crc"),
			PackedLen: rapid.Int64Range(0, 1<<50).Draw(t, "packed"),
		}
	})
}

func TestSumAddIsAssociative(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := sumGen().Draw(t, "a"), sumGen().Draw(t, "b"), sumGen().Draw(t, "c")
		require.Equal(t, a.Add(b).Add(c), a.Add(b.Add(c)))
		require.Equal(t, a, a.Add(segment.Sum{}))
		require.Equal(t, a, segment.Sum{}.Add(a))
	})
}

// The matrix form of crc32_combine, as zlib had it until 1.2.11, is slow and shares nothing with ours.
func TestSumAddAgreesWithMatrixForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := sumGen().Draw(t, "a"), sumGen().Draw(t, "b")
		require.Equal(t, matrixCombine(a.CRC, b.CRC, uint64(b.RawLen)), a.Add(b).CRC)
	})
	for _, n := range []int64{0, 1, 255, 256, 1<<32 - 1, 1 << 32, 1<<32 + 1, 5 << 30, 1<<63 - 1} {
		want := matrixCombine(0xdeadbeef, 0x12345678, uint64(n))
		require.Equal(t, want, segment.Sum{CRC: 0xdeadbeef}.Add(segment.Sum{CRC: 0x12345678, RawLen: n}).CRC, "length %d", n)
	}
}

func matrixCombine(a, b uint32, n uint64) uint32 {
	times := func(m *[32]uint32, v uint32) (sum uint32) {
		for i := 0; v != 0; i, v = i+1, v>>1 {
			if v&1 != 0 {
				sum ^= m[i]
			}
		}
		return sum
	}
	square := func(m *[32]uint32) (s [32]uint32) {
		for i := range m {
			s[i] = times(m, m[i])
		}
		return s
	}
	m := [32]uint32{0xedb88320} // one zero bit
	for i := 1; i < 32; i++ {
		m[i] = 1 << (i - 1)
	}
	for range 3 { // eight zero bits: one byte
		m = square(&m)
	}
	for ; n != 0; n >>= 1 {
		if n&1 != 0 {
			a = times(&m, a)
		}
		m = square(&m)
	}
	return a ^ b
}
