package segment_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/segment"
)

// shelf holds packed runs and counts what is opened and closed.
type shelf struct {
	runs   [][]byte
	sums   []segment.Sum
	raw    []byte
	opened []int
	closed int
	wrap   func(io.Reader) io.Reader
}

type shelved struct {
	io.Reader
	s *shelf
}

func (r shelved) Close() error { r.s.closed++; return nil }

func (s *shelf) open(run int) (io.ReadCloser, error) {
	if len(s.opened) != s.closed {
		return nil, errors.New("the run before is still open")
	}
	s.opened = append(s.opened, run)
	var r io.Reader = bytes.NewReader(s.runs[run])
	if s.wrap != nil {
		r = s.wrap(r)
	}
	return shelved{r, s}, nil
}

// newShelf packs each group as a segment and puts perRun of them in a run.
func newShelf(t require.TestingT, groups [][][]byte, perRun int) *shelf {
	s := &shelf{}
	for i, g := range groups {
		if i%perRun == 0 {
			s.runs, s.sums = append(s.runs, nil), append(s.sums, segment.Sum{})
		}
		run, sum := &s.runs[len(s.runs)-1], &s.sums[len(s.sums)-1]
		data, add, err := segment.Pack(*run, g...)
		require.NoError(t, err)
		*run, *sum = data, sum.Add(add)
		s.raw = append(s.raw, bytes.Join(g, nil)...)
	}
	return s
}

func TestRawReaderReadsFromOffset(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf(t, groupsGen().Draw(t, "groups"), rapid.IntRange(1, 4).Draw(t, "perRun"))
		s.wrap = rapid.SampledFrom([]func(io.Reader) io.Reader{nil, iotest.HalfReader, iotest.DataErrReader}).Draw(t, "wrap")
		offset := rapid.IntRange(0, len(s.raw)+10).Draw(t, "offset")
		want := s.raw[min(offset, len(s.raw)):]

		r := segment.NewRawReader(s.open, s.sums, int64(offset))
		var got []byte
		buf := make([]byte, rapid.SampledFrom([]int{7, 512, 100_000}).Draw(t, "buffer"))
		for {
			n, err := r.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
		}
		require.True(t, bytes.Equal(want, got))
		require.Len(t, s.opened, s.closed)
		end := int64(0)
		for i, sum := range s.sums {
			end += sum.RawLen
			needed := sum.RawLen > 0 && int64(offset) < end
			require.Equal(t, needed, bytes.Contains(toBytes(s.opened), []byte{byte(i)}), "run %d", i)
		}
		require.NoError(t, r.Close())
		_, err := r.Read(buf)
		require.Error(t, err)
		require.NotErrorIs(t, err, io.EOF)
	})
}

func toBytes(runs []int) (b []byte) {
	for _, r := range runs {
		b = append(b, byte(r))
	}
	return b
}

func TestRawReaderIsAReader(t *testing.T) {
	t.Parallel()
	s := newShelf(t, [][][]byte{{observations(1, 9)}, {observations(2, 60)}, {observations(3, 1)}}, 2)
	r := segment.NewRawReader(s.open, s.sums, 100)
	require.NoError(t, iotest.TestReader(r, s.raw[100:]))
	require.NoError(t, r.Close())
	require.Equal(t, 2, s.closed)
}

func TestRawReaderClosesEarly(t *testing.T) {
	t.Parallel()
	s := newShelf(t, [][][]byte{{observations(1, 900)}, {observations(2, 6)}}, 1)
	r := segment.NewRawReader(s.open, s.sums, 5)
	_, err := io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err)
	require.Zero(t, s.closed)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	require.Equal(t, 1, s.closed)
	require.Equal(t, []int{0}, s.opened)
}

func TestRawReaderRefuses(t *testing.T) {
	t.Parallel()
	failure := errors.New("disk on fire")
	for name, c := range map[string]struct {
		spoil func(s *shelf)
		want  error
	}{
		"checksum":       {func(s *shelf) { s.sums[0].CRC++ }, segment.ErrCorrupt},
		"longer":         {func(s *shelf) { s.sums[0].RawLen++ }, segment.ErrCorrupt},
		"shorter":        {func(s *shelf) { s.sums[0].RawLen-- }, segment.ErrCorrupt},
		"packed length":  {func(s *shelf) { s.sums[0].PackedLen-- }, segment.ErrCorrupt},
		"cut":            {func(s *shelf) { s.runs[0] = s.runs[0][:len(s.runs[0])/2] }, segment.ErrCorrupt},
		"final block":    {func(s *shelf) { s.runs[0] = append(s.runs[0], 3, 0) }, segment.ErrCorrupt},
		"bytes behind":   {func(s *shelf) { s.runs[0] = append(s.runs[0], 0, 0, 0, 0xff, 0xff) }, segment.ErrCorrupt},
		"no bytes":       {func(s *shelf) { s.runs[0] = nil }, segment.ErrCorrupt},
		"failing reader": {func(s *shelf) { s.wrap = func(io.Reader) io.Reader { return iotest.ErrReader(failure) } }, failure},
	} {
		s := newShelf(t, [][][]byte{{observations(1, 90)}, {observations(2, 6)}}, 1)
		c.spoil(s)
		r := segment.NewRawReader(s.open, s.sums, 0)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, c.want, name)
		require.LessOrEqual(t, int64(len(got)), max(s.sums[0].RawLen, 0), name)
		require.Equal(t, []int{0}, s.opened, name)
		require.Equal(t, 1, s.closed, name)
		_, again := r.Read(make([]byte, 1))
		require.Equal(t, err, again, name)
		require.NoError(t, r.Close())
	}

	r := segment.NewRawReader(func(int) (io.ReadCloser, error) { return nil, failure }, []segment.Sum{{RawLen: 1}}, 0)
	_, err := io.ReadAll(r)
	require.ErrorIs(t, err, failure)
	require.NoError(t, r.Close())

	_, err = io.ReadAll(segment.NewRawReader(nil, nil, -1))
	require.Error(t, err)
}
