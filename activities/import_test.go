package activities

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// source is what a folder of NDJSON files holds: its newest resources, and how many lines there are of each sort.
type source struct {
	newest   map[string][]byte // by Type/id, as written
	lines    int64
	blank    int64
	rejected int64
	types    map[string]int64
}

// readFolder reads a folder line by line, apart from the code under test but for Inspect.
func readFolder(t *testing.T, dir string) source {
	t.Helper()
	s := source{newest: map[string][]byte{}, types: map[string]int64{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	require.NoError(t, err)
	var f fhir.Facts
	for _, name := range files {
		body, err := os.ReadFile(name)
		require.NoError(t, err)
		for line := range bytes.Lines(body) {
			s.lines++
			line = bytes.TrimRight(line, "\r\n")
			if len(bytes.TrimSpace(line)) == 0 {
				s.blank++
				continue
			}
			if fhir.Inspect(line, &f) != nil {
				s.rejected++
				continue
			}
			key := f.ResourceType() + "/" + string(f.ID)
			if s.newest[key] == nil {
				s.types[f.ResourceType()]++
			}
			s.newest[key] = bytes.Clone(line)
		}
	}
	return s
}

// requireSame holds a stored line against its source: nothing but meta.lastUpdated may differ.
func requireSame(t *testing.T, key string, want []byte, got string) {
	t.Helper()
	bare := func(doc []byte) map[string]any {
		var m map[string]any
		dec := json.NewDecoder(bytes.NewReader(doc))
		dec.UseNumber()
		require.NoError(t, dec.Decode(&m), key)
		if meta, ok := m["meta"].(map[string]any); ok {
			delete(meta, "lastUpdated")
			if len(meta) == 0 {
				delete(m, "meta")
			}
		}
		return m
	}
	require.Equal(t, bare(want), bare([]byte(got)), key)
	var f fhir.Facts
	require.NoError(t, fhir.Inspect([]byte(got), &f))
	at := f.LastUpdated
	require.NoError(t, fhir.Inspect(want, &f))
	require.Equal(t, string(fhir.Stamp(nil, want, &f, at)), got, "%s: other bytes", key)
}

func TestImportOfEveryDevFolder(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(devData, "*"))
	require.NoError(t, err)
	for _, dir := range dirs {
		if files, _ := filepath.Glob(filepath.Join(dir, "*.ndjson")); len(files) == 0 {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			want := readFolder(t, dir)
			got := b.load(dir, models.ImportLive)
			require.Equal(t, want.lines, got.Lines)
			require.Equal(t, want.blank, got.Blank)
			require.Equal(t, want.rejected, got.Rejected)
			types := map[string]int64{}
			for name, c := range got.Types {
				require.Equal(t, models.TypeCounts{New: c.New, Unattributed: c.Unattributed}, c, name)
				types[name] = c.New
			}
			require.Equal(t, want.types, types)
			held := b.current()
			require.Len(t, held, len(want.newest)-b.count("binaries")+b.count("binaries WHERE made_for IS NOT NULL"))
			for key, line := range want.newest {
				if strings.HasPrefix(key, "Binary/") {
					require.NotContains(t, held, key)
					continue
				}
				requireSame(t, key, line, held[key].body)
			}
			segments := b.count("segments")
			if got.Types["Provenance"].New == 0 { // which may go to nobody first and from there to its member
				require.Equal(t, int(got.Segments), segments)
			}
			require.Empty(t, b.blobs("imports"), "scratch files are gone")
			require.Zero(t, b.count("import_runs"))

			again := b.load(dir, models.ImportLive)
			if got.Types["Provenance"].New == 0 {
				require.Zero(t, again.Segments)
			}
			require.Zero(t, again.Members)
			for name, c := range again.Types {
				require.Equal(t, models.TypeCounts{Unchanged: types[name]}, c, name)
			}
			require.Equal(t, held, b.current())
			require.Equal(t, segments, b.count("segments"))
		})
	}
	if len(dirs) == 0 {
		t.Skip("no example data")
	}
}
