package fhir

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// readAll writes what a Reader hands out as number:line, and number!reason for a reject.
func readAll(in io.Reader, limit int) (lines []string, r *Reader, err error) {
	r = NewReader(in, limit)
	for {
		number, line, err := r.Next()
		if reject, ok := errors.AsType[*Reject](err); ok {
			lines = append(lines, strconv.FormatInt(number, 10)+"!"+string(reject.Reason))
			continue
		}
		if err != nil {
			return lines, r, err
		}
		lines = append(lines, strconv.FormatInt(number, 10)+":"+string(line))
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", readBuffer+10)
	for _, c := range []struct {
		name  string
		in    string
		limit int
		want  []string
		blank int64
		total int64
	}{
		{"empty", "", 0, nil, 0, 0},
		{"one line", "a\n", 0, []string{"1:a"}, 0, 1},
		{"no break at the end", "a\nb", 0, []string{"1:a", "2:b"}, 0, 2},
		{"CRLF", "a\r\nb\r\n", 0, []string{"1:a", "2:b"}, 0, 2},
		{"CR before the end", "a\r", 0, []string{"1:a"}, 0, 1},
		{"blank lines", "\n \t\r\na\n\n\r\n", 0, []string{"3:a"}, 4, 5},
		{"mark", "\xef\xbb\xbfa\nb\n", 0, []string{"1:a", "2:b"}, 0, 2},
		{"mark on a later line stays", "a\n\xef\xbb\xbfb\n", 0, []string{"1:a", "2:\xef\xbb\xbfb"}, 0, 2},
		{"mark alone", "\xef\xbb\xbf", 0, nil, 1, 1},
		{"at the limit", "\xef\xbb\xbfabc\r\nabc\n", 3, []string{"1:abc", "2:abc"}, 0, 2},
		{"over the limit", "ab\nabcd\nabc\r\nabcdefghijkl\nc\nabcd", 3, []string{"1:ab", "2!too-long", "3:abc", "4!too-long", "5:c", "6!too-long"}, 0, 6},
		{"longer than the buffer", "a\n" + long + "\nb\n", 0, []string{"1:a", "2:" + long, "3:b"}, 0, 3},
		{"longer than the buffer at the end", "a\n" + long, 0, []string{"1:a", "2:" + long}, 0, 2},
		{"longer than the buffer and the limit", "a\n" + long + "\nb\n" + long, 5, []string{"1:a", "2!too-long", "3:b", "4!too-long"}, 0, 4},
		{"longer than the buffer, at the limit", long + "\r\n" + long + "y\n", len(long), []string{"1:" + long, "2!too-long"}, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, in := range []io.Reader{strings.NewReader(c.in), iotest.HalfReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
				lines, r, err := readAll(in, c.limit)
				require.Equal(t, io.EOF, err)
				require.Equal(t, c.want, lines)
				require.Equal(t, c.blank, r.Blank())
				require.Equal(t, c.total, r.Lines())
				require.Equal(t, int64(len(c.in)), r.Bytes())
				_, _, err = r.Next()
				require.Equal(t, io.EOF, err)
			}
		})
	}
}

func TestReaderFailure(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	lines, r, err := readAll(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 0)
	require.ErrorIs(t, err, broken)
	require.Equal(t, []string{"1:a"}, lines, "what is cut short must not be handed out")
	_, _, err = r.Next()
	require.ErrorIs(t, err, broken)
}

func TestReaderDoesNotKeepLongLines(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	r := NewReader(io.MultiReader(io.LimitReader(zeros{}, size), strings.NewReader("\na\n")), 1<<20)
	number, _, err := r.Next()
	require.Equal(t, int64(1), number)
	require.EqualError(t, err, "too-long at byte 1048576")
	require.Less(t, cap(r.long), 4<<20)
	number, line, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, int64(2), number)
	require.Equal(t, "a", string(line))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("a\r\n\n\xef\xbb\xbf\nabcdefghijkl\nb"), 5)
	f.Add([]byte("\xef\xbb\xbfa\n \n"), 1)
	f.Add([]byte(""), 0)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		lines, r, err := readAll(bytes.NewReader(data), limit)
		require.Equal(t, io.EOF, err)
		require.Equal(t, int64(len(data)), r.Bytes())
		if limit <= 0 {
			limit = DefaultMaxLine
		}
		var want []string
		blank := int64(0)
		number := 0
		for part := range bytes.Lines(data) {
			number++
			line := bytes.TrimSuffix(bytes.TrimSuffix(part, []byte("\n")), []byte("\r"))
			if number == 1 {
				line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
			}
			switch {
			case len(line) > limit:
				want = append(want, strconv.Itoa(number)+"!too-long")
			case strings.Trim(string(line), " \t") == "":
				blank++
			default:
				want = append(want, strconv.Itoa(number)+":"+string(line))
			}
		}
		require.Equal(t, want, lines)
		require.Equal(t, blank, r.Blank())
		require.Equal(t, int64(number), r.Lines())
	})
}
