package segment_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/segment"
)

// tile makes the part of an index that Select reads.
func tile(raw [][]byte) []segment.Line {
	lines := make([]segment.Line, len(raw))
	var at uint32
	for i, l := range raw {
		lines[i] = segment.Line{Version: int32(i), Offset: at, Length: uint32(len(l))}
		at += uint32(len(l))
	}
	return lines
}

func TestSelectIsAFilter(t *testing.T) {
	t.Parallel()
	p, err := segment.NewPacker(segment.FastLevel)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(lineGen(), 0, 20).Draw(t, "lines")
		mask := rapid.SliceOfN(rapid.Bool(), len(raw), len(raw)).Draw(t, "mask")
		data, sum, err := segment.Pack(nil, raw...)
		require.NoError(t, err)

		asked := 0
		out, got, err := p.Select([]byte("before"), data, sum, tile(raw), func(l segment.Line) bool {
			require.Equal(t, asked, int(l.Version), "out of order")
			asked++
			return mask[l.Version]
		})
		require.NoError(t, err)
		require.Equal(t, len(raw), asked)
		var want []byte
		kept := 0
		for i, l := range raw {
			if mask[i] {
				want = append(want, l...)
				kept++
			}
		}
		require.Equal(t, "before", string(out[:6]))
		require.Equal(t, int64(kept), got.Lines)
		require.Equal(t, int64(len(want)), got.RawLen)
		if kept == len(raw) {
			require.True(t, bytes.Equal(data, out[6:]), "not copied as it was")
			require.Equal(t, sum, got)
		}
		inflated, err := segment.InflateSum(nil, out[6:], got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, inflated))
	})
}

func TestSelectRefusesWhatDoesNotBelongTogether(t *testing.T) {
	t.Parallel()
	raw := bytes.SplitAfter(bytes.TrimSuffix(observations(9, 4), []byte("\n")), []byte("\n"))
	raw[3] = append(raw[3], '\n')
	data, sum, err := segment.Pack(nil, raw...)
	require.NoError(t, err)
	p, err := segment.NewPacker(segment.FastLevel)
	require.NoError(t, err)
	all := func(segment.Line) bool { return true }
	first := func(l segment.Line) bool { return l.Offset == 0 }

	for name, spoil := range map[string]func(data *[]byte, sum *segment.Sum, lines *[]segment.Line){
		"a line fewer":   func(_ *[]byte, _ *segment.Sum, l *[]segment.Line) { *l = (*l)[:3] },
		"lines swapped":  func(_ *[]byte, _ *segment.Sum, l *[]segment.Line) { (*l)[1], (*l)[2] = (*l)[2], (*l)[1] },
		"a gap":          func(_ *[]byte, _ *segment.Sum, l *[]segment.Line) { (*l)[2].Offset++ },
		"an empty line":  func(_ *[]byte, _ *segment.Sum, l *[]segment.Line) { (*l)[3].Length = 0 },
		"beyond the end": func(_ *[]byte, _ *segment.Sum, l *[]segment.Line) { (*l)[3].Length++ },
		"short":          func(_ *[]byte, _ *segment.Sum, l *[]segment.Line) { (*l)[3].Length-- },
		"huge":           func(_ *[]byte, _ *segment.Sum, l *[]segment.Line) { (*l)[3].Length = 1<<32 - 1 },
		"huge raw":       func(_ *[]byte, s *segment.Sum, _ *[]segment.Line) { s.RawLen += 1 << 32 },
		"bytes fewer":    func(d *[]byte, _ *segment.Sum, _ *[]segment.Line) { *d = (*d)[1:] },
	} {
		for _, keep := range []func(segment.Line) bool{all, first} {
			d, s, lines := data, sum, tile(raw)
			spoil(&d, &s, &lines)
			out, got, err := p.Select([]byte("before"), d, s, lines, keep)
			require.ErrorIs(t, err, segment.ErrCorrupt, name)
			require.Equal(t, "before", string(out), name)
			require.Zero(t, got, name)
		}
	}
	wrong := sum
	wrong.CRC++
	_, _, err = p.Select(nil, data, wrong, tile(raw), first)
	require.ErrorIs(t, err, segment.ErrCorrupt)
	// An index that cuts within lines would let half a resource out.
	lines := tile(raw)
	lines[0].Length--
	lines[1].Offset--
	lines[1].Length++
	_, _, err = p.Select(nil, data, sum, lines, first)
	require.Error(t, err)
}

func TestSelectAllocatesNothing(t *testing.T) {
	p, err := segment.NewPacker(segment.FastLevel)
	require.NoError(t, err)
	raw := observations(1, 100)
	data, sum, err := p.Pack(nil, raw)
	require.NoError(t, err)
	lines, buf, n := indexOf(t, raw), make([]byte, 0, len(raw)), 0
	every := func(segment.Line) bool { n++; return n%3 == 0 }
	_, _, err = p.Select(buf, data, sum, lines, every)
	require.NoError(t, err)
	// The pool of inflaters may be emptied at any time, so not quite zero.
	require.Less(t, testing.AllocsPerRun(50, func() {
		if _, _, err := p.Select(buf, data, sum, lines, every); err != nil {
			t.Error(err)
		}
	}), 1.0)
}
