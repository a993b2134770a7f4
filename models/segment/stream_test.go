package segment_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/segment"
)

func TestStreamMakesWhatPackMakes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := bytes.Join(rapid.SliceOfN(lineGen(), 0, 12).Draw(t, "lines"), nil)
		want, wantSum, err := segment.Pack(nil, raw)
		require.NoError(t, err)

		var got bytes.Buffer
		s, err := segment.NewStream(&got)
		require.NoError(t, err)
		for rest := raw; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			_, err := s.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		sum, err := s.Finish()
		require.NoError(t, err)
		require.Equal(t, wantSum, sum)
		require.True(t, bytes.Equal(want, got.Bytes()))
	})
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestStreamPassesErrorsOn(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	s, err := segment.NewStream(failingWriter{full})
	require.NoError(t, err)
	_, err = s.Write([]byte("{}\n"))
	require.NoError(t, err, "nothing is written yet")
	_, err = s.Finish()
	require.ErrorIs(t, err, full)
}
