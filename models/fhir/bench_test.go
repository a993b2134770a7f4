package fhir

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The sample data sits beside the project; see its own README. Tests and benchmarks that need it skip without it.
const (
	devData   = "../../../shared/data/dev"
	benchData = "../../../shared/data/bench-base"
)

func benchLines(b *testing.B) (lines [][]byte, size int64) {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(benchData, "*.ndjson.gz"))
	require.NoError(b, err)
	if len(files) == 0 {
		b.Skip("no sample data")
	}
	for _, name := range files {
		file, err := os.Open(name)
		require.NoError(b, err)
		unzip, err := gzip.NewReader(bufio.NewReader(file))
		require.NoError(b, err)
		data, err := io.ReadAll(unzip)
		require.NoError(b, err)
		require.NoError(b, file.Close())
		for line := range bytes.Lines(data) {
			lines = append(lines, bytes.TrimRight(line, "\n"))
			size += int64(len(line))
		}
	}
	return lines, size
}

func BenchmarkInspect(b *testing.B) {
	lines, size := benchLines(b)
	b.SetBytes(size)
	b.ReportAllocs()
	var f Facts
	for b.Loop() {
		for _, line := range lines {
			if err := Inspect(line, &f); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(lines))*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkStamp(b *testing.B) {
	lines, size := benchLines(b)
	b.SetBytes(size)
	b.ReportAllocs()
	var f Facts
	var out []byte
	for b.Loop() {
		for _, line := range lines {
			if err := Inspect(line, &f); err != nil {
				b.Fatal(err)
			}
			out = Stamp(out[:0], line, &f, 1_700_000_000_000)
		}
	}
}
