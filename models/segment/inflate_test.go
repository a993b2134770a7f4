package segment_test

import (
	"bytes"
	"compress/flate"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/segment"
)

// deflate makes a run with the standard library.
func deflate(t require.TestingT, level int, parts ...[]byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	require.NoError(t, err)
	for _, p := range parts {
		_, err = w.Write(p)
		require.NoError(t, err)
		require.NoError(t, w.Flush())
	}
	return b.Bytes()
}

func TestInflateReadsWhatOthersDeflate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.IntRange(flate.HuffmanOnly, 9).Draw(t, "level")
		parts := rapid.SliceOfN(lineGen(), 1, 6).Draw(t, "parts")
		raw := bytes.Join(parts, nil)
		got, err := segment.Inflate([]byte("before"), deflate(t, level, parts...), len(raw))
		require.NoError(t, err)
		require.True(t, bytes.Equal(append([]byte("before"), raw...), got))
	})
}

// Matches of every distance and length near the borders of the fast copy, and codes of every length.
func TestInflateOverlaps(t *testing.T) {
	t.Parallel()
	for distance := 1; distance < 40; distance++ {
		unit := observations(uint64(distance), 1)[:distance]
		for _, n := range []int{1, 7, 8, 9, 31, 32, 33, 257, 258, 259, 1000} {
			raw := append(bytes.Repeat(unit, 1+n/distance), bytes.Repeat([]byte("."), 300)...)
			got, err := segment.Inflate(nil, deflate(t, 9, raw), len(raw))
			require.NoError(t, err)
			require.Equal(t, string(raw), string(got))
		}
	}
	// Frequencies that grow as Fibonacci numbers do make the longest codes there are.
	var skewed []byte
	a, b := 1, 1
	for c := range 22 {
		skewed = append(skewed, bytes.Repeat([]byte{byte(c)}, a)...)
		a, b = b, a+b
	}
	got, err := segment.Inflate(nil, deflate(t, flate.HuffmanOnly, skewed), len(skewed))
	require.NoError(t, err)
	require.True(t, bytes.Equal(skewed, got))
}

func TestInflateRefuses(t *testing.T) {
	t.Parallel()
	raw := observations(3, 40)
	data, sum, err := segment.Pack(nil, raw)
	require.NoError(t, err)
	other := sum
	other.CRC++
	longer := sum
	longer.PackedLen++

	for name, c := range map[string]struct {
		data []byte
		len  int
	}{
		"negative length":      {data, -1},
		"one byte fewer":       {data, len(raw) - 1},
		"one byte more":        {data, len(raw) + 1},
		"impossible length":    {data, 1 << 40},
		"nothing for one byte": {nil, 1},
		"bytes behind":         {append(bytes.Clone(data), 0), len(raw)},
		"final block":          {append(bytes.Clone(data), 3, 0), len(raw)},
		"no flush":             {data[:len(data)-5], len(raw)},
		"reserved block type":  {[]byte{6}, 0},
		"before the start":     {[]byte{0x4a, 0x04, 0x22, 0, 0, 0, 0xff, 0xff}, 10},
		"stored complement":    {[]byte{0, 1, 0, 0xff, 0xff, 'a'}, 1},
		"stored cut":           {[]byte{0, 2, 0, 0xfd, 0xff, 'a'}, 2},
	} {
		got, err := segment.Inflate([]byte("before"), c.data, c.len)
		require.ErrorIs(t, err, segment.ErrCorrupt, name)
		require.Equal(t, "before", string(got), name)
	}
	for _, s := range []segment.Sum{other, longer, {}} {
		got, err := segment.InflateSum([]byte("before"), data, s)
		require.ErrorIs(t, err, segment.ErrCorrupt)
		require.Equal(t, "before", string(got))
	}
	for n := range data {
		_, err := segment.Inflate(nil, data[:n], len(raw))
		require.ErrorIs(t, err, segment.ErrCorrupt, "cut at %d", n)
	}
}

func TestInflateNothing(t *testing.T) {
	t.Parallel()
	got, err := segment.Inflate(nil, nil, 0)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestInflateSumFindsFlippedBits(t *testing.T) {
	t.Parallel()
	raw := observations(4, 12)
	data, sum, err := segment.Pack(nil, raw)
	require.NoError(t, err)
	for i := range 8 * len(data) {
		data[i/8] ^= 1 << (i % 8)
		if got, err := segment.InflateSum(nil, data, sum); err == nil {
			require.Equal(t, string(raw), string(got), "bit %d", i) // a bit that pads
		}
		data[i/8] ^= 1 << (i % 8)
	}
}

func TestInflateOfBombIsBounded(t *testing.T) {
	bomb := deflate(t, 9, make([]byte, 64<<20))
	require.Zero(t, testing.AllocsPerRun(3, func() {
		_, err := segment.Inflate(nil, bomb[:1000], 1<<30)
		require.ErrorIs(t, err, segment.ErrCorrupt)
	}), "no byte for a length that cannot be")
	buf := make([]byte, 0, 1000)
	got, err := segment.Inflate(buf, bomb, 1000)
	require.ErrorIs(t, err, segment.ErrCorrupt)
	require.Empty(t, got)
	require.Equal(t, 1000, cap(got))
}

// oracle inflates at most limit bytes of a run with the standard library. It reports whether the run is whole and holds no
// final block: whichever final block is put behind it, the reader must come to the end of just that.
func oracle(data []byte, limit int) (raw []byte, ok bool) {
	ok = true
	for _, final := range []string{"\x03\x00", "\x01\x00\x00\xff\xff"} {
		src := bytes.NewReader(append(bytes.Clone(data), final...))
		got, err := io.ReadAll(io.LimitReader(flate.NewReader(src), int64(limit)))
		ok = ok && err == nil && src.Len() == 0
		raw = got
	}
	return raw, ok
}

// Broken runs are refused, or read, exactly as the standard library does.
func TestInflateAgreesOnBrokenRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.IntRange(flate.HuffmanOnly, 9).Draw(t, "level")
		data := deflate(t, level, rapid.SliceOfN(lineGen(), 1, 3).Draw(t, "parts")...)
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			at := rapid.OneOf(rapid.IntRange(0, min(60, len(data)-1)), rapid.IntRange(0, len(data)-1)).Draw(t, "at")
			data[at] = rapid.OneOf(rapid.Byte(), rapid.Just(data[at]^1)).Draw(t, "byte")
		}
		// Ask for as many bytes as there are, so that a run that is broken and yet valid is read to its end.
		want, ok := oracle(data, 1<<30)
		got, err := segment.Inflate(nil, data, len(want))
		if !ok {
			require.ErrorIs(t, err, segment.ErrCorrupt)
			return
		}
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	})
}

func FuzzInflate(f *testing.F) {
	raw := observations(5, 6)
	for level := flate.HuffmanOnly; level <= 9; level++ {
		f.Add(deflate(f, level, raw), len(raw))
		f.Add(deflate(f, level, raw[:40], raw[40:]), len(raw))
	}
	f.Add([]byte{}, 0)
	f.Add([]byte{3, 0}, 0)
	f.Add(deflate(f, 9, make([]byte, 100_000)), 100_000)
	f.Fuzz(func(t *testing.T, data []byte, rawLen int) {
		if rawLen > 1<<20 {
			return
		}
		got, err := segment.Inflate(nil, data, rawLen)
		want, ok := oracle(data, max(rawLen, 0)+1)
		ok = ok && len(want) == rawLen
		if err != nil {
			require.ErrorIs(t, err, segment.ErrCorrupt)
			require.Empty(t, got)
			require.False(t, ok, "refused: %v", err)
			return
		}
		require.True(t, ok, "accepted")
		require.True(t, bytes.Equal(want, got))
	})
}
