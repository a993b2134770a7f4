package spill

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func record(t *rapid.T, n int) Record {
	sum := sha256.Sum256([]byte{byte(rapid.IntRange(0, 20).Draw(t, "member"))})
	return Record{
		Member: uuid.UUID(sum[:16]), Type: int16(rapid.IntRange(1, 4).Draw(t, "type")), Class: int16(n % 3), Flags: uint16(n),
		Updated: int64(n) * 1000, StampAt: int32(n), Version: int32(-n), ServiceStart: -5, ServiceEnd: int32(n), File: int32(n % 2), Line: int64(n),
		Hash: uint64(n) << 40, ID: fmt.Appendf(nil, "id-%d", n%7), Patient: []byte("p"),
		Body: bytes.Repeat([]byte{byte(n)}, rapid.IntRange(0, 3000).Draw(t, "len")),
	}
}

// Whatever the runs and buckets, merging yields every line once, in order, as it was added.
func TestMergeYieldsEveryLineInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		buckets := 1 << rapid.IntRange(0, 6).Draw(t, "buckets")
		type blob struct {
			data []byte
			dir  Directory
		}
		var blobs []blob
		want := map[int64]Record{}
		run := NewRun(1 << rapid.IntRange(10, 16).Draw(t, "budget"))
		flush := func() {
			var out bytes.Buffer
			dir, err := run.WriteTo(&out, buckets)
			require.NoError(t, err)
			dir, err = DecodeDirectory(dir.Encode())
			require.NoError(t, err)
			require.Len(t, dir, buckets+1)
			blobs = append(blobs, blob{out.Bytes(), dir})
			run.Reset()
		}
		for n := range rapid.IntRange(0, 200).Draw(t, "lines") {
			x := record(t, n)
			if !run.Fits(len(x.Body)) {
				flush()
			}
			run.Add(&x)
			want[x.Line] = x
		}
		flush()
		var last Record
		seen, previous := map[string]bool{}, ""
		for b := range buckets {
			var src []io.Reader
			for _, bl := range blobs {
				src = append(src, bytes.NewReader(bl.data[bl.dir[b]:bl.dir[b+1]]))
			}
			require.NoError(t, Merge(src, func(x *Record) error {
				require.Equal(t, b, Bucket(x.Member, buckets))
				got := *x
				got.ID, got.Patient, got.Body = slices.Clone(x.ID), slices.Clone(x.Patient), slices.Clone(x.Body)
				w := want[x.Line]
				if len(w.Body) == 0 {
					w.Body, got.Body = nil, nil
				}
				require.Equal(t, w, got)
				delete(want, x.Line)
				require.LessOrEqual(t, bytes.Compare(last.Member[:], x.Member[:]), 0, "members out of order")
				if last.Member == x.Member {
					require.LessOrEqual(t, last.Type, x.Type)
				}
				if place := fmt.Sprint(x.Member, x.Type, string(x.ID)); place != previous {
					require.False(t, seen[place], "the versions of a resource are apart")
					seen[place], previous = true, place
				} else {
					require.Negative(t, cmp.Or(cmp.Compare(last.File, x.File), cmp.Compare(last.Line, x.Line)))
				}
				last = got
				return nil
			}))
		}
		require.Empty(t, want)
	})
}

func TestMergeReportsDamage(t *testing.T) {
	t.Parallel()
	run := NewRun(1 << 16)
	run.Add(&Record{ID: []byte("a"), Body: bytes.Repeat([]byte("x"), 1000)})
	var out bytes.Buffer
	_, err := run.WriteTo(&out, 1)
	require.NoError(t, err)
	for cut := 1; cut < out.Len(); cut++ {
		err := Merge([]io.Reader{bytes.NewReader(out.Bytes()[:cut])}, func(*Record) error { return nil })
		if cut > 10 { // a stream cut inside its first header is empty
			require.Error(t, err, "cut at %d", cut)
		}
	}
	for _, b := range [][]byte{nil, {1}, bytes.Repeat([]byte{0xff}, 16), Directory{2, 1}.Encode()} {
		_, err := DecodeDirectory(b)
		require.Error(t, err)
	}
}
