package segment_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"testing"

	kflate "github.com/klauspost/compress/flate"
	"github.com/stretchr/testify/require"

	"pdexbulk/models/segment"
)

type packed struct {
	raw  []byte
	data []byte
	sum  segment.Sum
}

func packAll(tb testing.TB, level int, raw [][]byte) (all []packed, total segment.Sum) {
	tb.Helper()
	p, err := segment.NewPacker(level)
	require.NoError(tb, err)
	for _, r := range raw {
		data, sum, err := p.Pack(nil, r)
		require.NoError(tb, err)
		all = append(all, packed{r, data, sum})
		total = total.Add(sum)
	}
	return all, total
}

func BenchmarkPack(b *testing.B) {
	raw := benchData(b)
	for _, level := range []int{1, 2, 3, 6} {
		b.Run(fmt.Sprintf("level=%d", level), func(b *testing.B) {
			p, err := segment.NewPacker(level)
			require.NoError(b, err)
			var buf []byte
			var total segment.Sum
			b.ReportAllocs()
			for b.Loop() {
				total = segment.Sum{}
				for _, r := range raw {
					var sum segment.Sum
					if buf, sum, err = p.Pack(buf[:0], r); err != nil {
						b.Fatal(err)
					}
					total = total.Add(sum)
				}
			}
			b.SetBytes(total.RawLen)
			b.ReportMetric(float64(total.RawLen)/float64(total.PackedLen), "ratio")
		})
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, level := range []int{1, 3, 6} {
		all, total := packAll(b, level, benchData(b))
		b.Run(fmt.Sprintf("level=%d", level), func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			b.SetBytes(total.RawLen)
			for b.Loop() {
				for _, s := range all {
					var err error
					if buf, err = segment.Inflate(buf[:0], s.data, len(s.raw)); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
	all, total := packAll(b, segment.DefaultLevel, benchData(b))
	b.Run("InflateSum", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		b.SetBytes(total.RawLen)
		for b.Loop() {
			for _, s := range all {
				var err error
				if buf, err = segment.InflateSum(buf[:0], s.data, s.sum); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	for name, r := range map[string]io.Reader{"klauspost": kflate.NewReader(nil), "stdlib": flate.NewReader(nil)} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 1<<20)
			var src bytes.Reader
			b.SetBytes(total.RawLen)
			for b.Loop() {
				for _, s := range all {
					src.Reset(s.data)
					if err := r.(flate.Resetter).Reset(&src, nil); err != nil {
						b.Fatal(err)
					}
					if cap(buf) < len(s.raw) {
						buf = make([]byte, 0, len(s.raw))
					}
					if _, err := io.ReadFull(r, buf[:len(s.raw)]); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkSelect keeps so many of every ten lines, so that nearly every segment has to be packed again, in pieces.
func BenchmarkSelect(b *testing.B) {
	raw := benchData(b)
	for _, level := range []int{1, 3} {
		all, total := packAll(b, level, raw)
		indexes := make([][]segment.Line, len(all))
		for i, s := range all {
			indexes[i] = indexOf(b, s.raw)
		}
		for _, share := range []int{1, 5, 9, 10} {
			b.Run(fmt.Sprintf("level=%d/keep=%d0%%", level, share), func(b *testing.B) {
				b.SetBytes(total.RawLen)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					p, err := segment.NewPacker(level)
					require.NoError(b, err)
					var buf []byte
					for pb.Next() {
						n := 0
						keep := func(segment.Line) bool { n++; return n%10 < share || share == 10 }
						for i, s := range all {
							if buf, _, err = p.Select(buf[:0], s.data, s.sum, indexes[i], keep); err != nil {
								b.Error(err)
								return
							}
						}
					}
				})
			})
		}
	}
}

func BenchmarkCombine(b *testing.B) {
	for _, n := range []int64{200, 40 << 10, 1 << 20, 5 << 30} {
		b.Run(fmt.Sprintf("raw=%d", n), func(b *testing.B) {
			sum, next := segment.Sum{CRC: 0xdeadbeef}, segment.Sum{Lines: 1, RawLen: n, CRC: 0x12345678, PackedLen: n / 10}
			for b.Loop() {
				sum = sum.Add(next)
			}
		})
	}
}

func BenchmarkIndex(b *testing.B) {
	raw := benchData(b)
	indexes := make([][]segment.Line, len(raw))
	encoded := make([][]byte, len(raw))
	var lines, size int
	for i, r := range raw {
		indexes[i] = indexOf(b, r)
		encoded[i] = segment.EncodeIndex(indexes[i])
		lines += len(indexes[i])
		size += len(encoded[i])
	}
	perLine := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(lines), "ns/line")
		b.ReportMetric(float64(size)/float64(lines), "B/line")
	}
	b.Run("Encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, x := range indexes {
				segment.EncodeIndex(x)
			}
		}
		perLine(b)
	})
	b.Run("Append", func(b *testing.B) {
		b.ReportAllocs()
		var buf []segment.Line
		for b.Loop() {
			for _, e := range encoded {
				var err error
				if buf, err = segment.AppendIndex(buf[:0], e); err != nil {
					b.Fatal(err)
				}
			}
		}
		perLine(b)
	})
}

func BenchmarkHashSet(b *testing.B) {
	column := make([]byte, 0, 8<<16)
	for i := range 1 << 16 {
		column = segment.AppendHashes(column, segment.IDHash("Observation", fmt.Sprint(i)))
	}
	for _, n := range []int{1, 100, 100_000} {
		b.Run(fmt.Sprintf("set=%d", n), func(b *testing.B) {
			var hashes []uint64
			for i := range n {
				hashes = append(hashes, segment.IDHash("Condition", fmt.Sprint(i)))
			}
			set := segment.NewHashSet(hashes)
			b.SetBytes(int64(len(column)))
			for b.Loop() {
				for range set.In(column) {
					b.Fatal("found")
				}
			}
		})
	}
}

func BenchmarkRawReader(b *testing.B) {
	all, total := packAll(b, segment.DefaultLevel, benchData(b))
	var run []byte
	for _, s := range all {
		run = append(run, s.data...)
	}
	open := func(int) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(run)), nil }
	buf := make([]byte, 64<<10)
	b.SetBytes(total.RawLen)
	b.ReportAllocs()
	for b.Loop() {
		r := segment.NewRawReader(open, []segment.Sum{total}, 0)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
