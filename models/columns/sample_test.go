package columns_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/columns"
	"pdexbulk/models/fhir"
)

// The sample data sits beside the project; see its own README. Tests and benchmarks that need it skip without it.
const (
	devData   = "../../../shared/data/dev"
	benchData = "../../../shared/data/bench-base"
)

// row is a line and what is known of it.
type row struct {
	line []byte
	meta columns.Meta
}

// rowsOf makes rows of NDJSON as an import would.
func rowsOf(tb testing.TB, ndjson []byte) (rows []row) {
	tb.Helper()
	var f fhir.Facts
	in := fhir.NewReader(bytes.NewReader(ndjson), len(ndjson))
	for {
		_, line, err := in.Next()
		if line == nil {
			require.ErrorIs(tb, err, io.EOF)
			return rows
		}
		require.NoError(tb, fhir.Inspect(line, &f))
		meta := columns.Meta{LastUpdated: f.LastUpdated, ServiceStart: columns.NoDate, ServiceEnd: columns.NoDate, Patient: string(f.Patient)}
		if f.Dated {
			meta.ServiceStart, meta.ServiceEnd = f.First, f.Last
		}
		rows = append(rows, row{bytes.Clone(line), meta})
	}
}

// benchRows returns the rows of a type of the benchmark data.
func benchRows(tb testing.TB, resourceType string) (rows []row, size int64) {
	tb.Helper()
	packed, err := os.ReadFile(filepath.Join(benchData, resourceType+".ndjson.gz"))
	if err != nil {
		tb.Skip("no sample data")
	}
	unzip, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(tb, err)
	ndjson, err := io.ReadAll(unzip)
	require.NoError(tb, err)
	return rowsOf(tb, ndjson), int64(len(ndjson))
}

func benchTypes(tb testing.TB) (types []string) {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(benchData, "*.ndjson.gz"))
	require.NoError(tb, err)
	for _, f := range files {
		types = append(types, strings.TrimSuffix(filepath.Base(f), ".ndjson.gz"))
	}
	return types
}

func open(tb testing.TB, w io.Writer, resourceType string, options columns.Options) *columns.Writer {
	tb.Helper()
	code, ok := fhir.TypeCode(resourceType)
	require.True(tb, ok)
	out, err := columns.NewWriter(w, code, options)
	require.NoError(tb, err)
	return out
}
