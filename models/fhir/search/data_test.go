package search

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
)

// The sample data sits beside the project; see its own README. Tests and benchmarks that need it skip without it.
const (
	devData   = "../../../../shared/data/dev"
	benchData = "../../../../shared/data/bench-base"
)

// devLines returns the lines of the sample data by type.
func devLines(t *testing.T) map[int16][][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(devData, "*", "*.ndjson"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("no sample data")
	}
	lines := map[int16][][]byte{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		for line := range bytes.Lines(data) {
			code, ok := fhir.TypeCode(fhir.ResourceTypeOf(line))
			require.True(t, ok, name)
			lines[code] = append(lines[code], bytes.TrimRight(line, "\n"))
		}
	}
	return lines
}

// benchLines returns the lines of one type of the larger sample data.
func benchLines(b *testing.B, typ string) (lines [][]byte, size int64) {
	b.Helper()
	file, err := os.Open(filepath.Join(benchData, typ+".ndjson.gz"))
	if err != nil {
		b.Skip("no sample data")
	}
	defer file.Close()
	unzip, err := gzip.NewReader(bufio.NewReader(file))
	require.NoError(b, err)
	data, err := io.ReadAll(unzip)
	require.NoError(b, err)
	for line := range bytes.Lines(data) {
		lines = append(lines, bytes.TrimRight(line, "\n"))
		size += int64(len(line))
	}
	return lines, size
}
