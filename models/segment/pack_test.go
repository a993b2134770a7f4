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

func TestPackLevels(t *testing.T) {
	t.Parallel()
	for _, level := range []int{-2, -1, 0, 10} {
		_, err := segment.NewPacker(level)
		require.Error(t, err, "level %d", level)
	}
	_, err := segment.NewPacker(segment.DefaultLevel)
	require.NoError(t, err)
	_, err = segment.NewPacker(segment.FastLevel)
	require.NoError(t, err)
}

func TestPackRefusesOpenLine(t *testing.T) {
	t.Parallel()
	for _, lines := range [][][]byte{{[]byte("{}")}, {[]byte("{}\n"), []byte("{}")}, {[]byte("{}"), []byte("{}\n")}} {
		dst, sum, err := segment.Pack([]byte("before"), lines...)
		require.Error(t, err)
		require.Equal(t, "before", string(dst))
		require.Zero(t, sum)
	}
}

// Lines that were packed in parts, wherever they were cut, are the file that they would be.
func TestPackPart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := bytes.Join(rapid.SliceOfN(lineGen(), 0, 12).Draw(t, "lines"), nil)
		file, total := segment.Header(), segment.Sum{}
		for rest := raw; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "part")
			var sum segment.Sum
			var err error
			file, sum, err = segment.PackPart(file, rest[:n])
			require.NoError(t, err)
			total, rest = total.Add(sum), rest[n:]
		}
		require.EqualValues(t, bytes.Count(raw, []byte("\n")), total.Lines)
		requireOneMember(t, append(file, segment.Trailer(total)...), raw)
	})
}

func TestPackNothing(t *testing.T) {
	t.Parallel()
	for _, lines := range [][][]byte{nil, {nil}, {{}, nil}} {
		dst, sum, err := segment.Pack([]byte("before"), lines...)
		require.NoError(t, err)
		require.Equal(t, "before", string(dst))
		require.Zero(t, sum)
	}
}

// How lines are handed over, what the Packer did before and which Packer it is must not show in the bytes: a retry makes
// the same segment.
func TestPackIsDeterministic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.IntRange(1, 6).Draw(t, "level")
		used, err := segment.NewPacker(level)
		require.NoError(t, err)
		for _, g := range groupsGen().Draw(t, "groups") {
			a, sumA, err := used.Pack(nil, g...)
			require.NoError(t, err)
			fresh, err := segment.NewPacker(level)
			require.NoError(t, err)
			b, sumB, err := fresh.Pack([]byte{}, bytes.Join(g, nil))
			require.NoError(t, err)
			require.Equal(t, sumA, sumB)
			require.True(t, bytes.Equal(a, b))
		}
	})
}

// A final block inside a file would end it there for every client.
func TestSegmentsHaveNoFinalBlock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(lineGen(), 1, 12).Draw(t, "lines")
		p, err := segment.NewPacker(rapid.IntRange(1, 9).Draw(t, "level"))
		require.NoError(t, err)
		data, sum, err := p.Pack(nil, lines...)
		require.NoError(t, err)
		require.Equal(t, sum.PackedLen, int64(len(data)))
		require.True(t, bytes.HasSuffix(data, []byte{0, 0, 0xff, 0xff}), "no sync flush at the end")
		_, err = io.ReadAll(flate.NewReader(bytes.NewReader(data)))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

func TestPackAllocatesNothing(t *testing.T) {
	p, err := segment.NewPacker(segment.DefaultLevel)
	require.NoError(t, err)
	lines := observations(1, 100)
	buf := make([]byte, 0, len(lines))
	require.Zero(t, testing.AllocsPerRun(20, func() {
		if _, _, err := p.Pack(buf, lines); err != nil {
			t.Error(err)
		}
	}))
}
