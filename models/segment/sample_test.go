package segment_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// sampleDir holds Synthea resources, one gzip NDJSON file a type. It lies beside the repository and may be absent.
const sampleDir = "../../../shared/data/bench-base"

// sample is the raw content of segments as an import would group them: by patient and type. It returns nil when there is
// no sample.
var sample = sync.OnceValue(func() [][]byte {
	files, _ := filepath.Glob(filepath.Join(sampleDir, "*.ndjson.gz"))
	var all [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f) // of sampleDir
		if err != nil {
			return nil
		}
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil
		}
		raw, err := io.ReadAll(z)
		if err != nil {
			return nil
		}
		own := `"reference":"Patient/`
		if strings.HasPrefix(filepath.Base(f), "Patient.") {
			own = `"id":"`
		}
		groups := map[string]int{}
		for line := range bytes.Lines(raw) {
			var key string
			if i := bytes.Index(line, []byte(own)); i >= 0 {
				key = string(line[i+len(own) : i+len(own)+36])
			}
			at, ok := groups[key]
			if !ok || len(all[at]) > 1<<20 {
				at = len(all)
				groups[key] = at
				all = append(all, nil)
			}
			all[at] = append(all[at], line...)
		}
	}
	return all
})

// benchData is the sample, or, without one, generated lines.
func benchData(tb testing.TB) [][]byte {
	tb.Helper()
	if s := sample(); len(s) > 0 {
		return s
	}
	all := make([][]byte, 64)
	for i := range all {
		all[i] = observations(uint64(i), 40)
	}
	require.NotEmpty(tb, all)
	return all
}
