package client_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/client"
)

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

func patients(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"resourceType":"Patient","id":"p%d"}`+"\n", i)
	}
	return b.String()
}

// ndjsonFile serves text as a client would be served, in gzip when it asks.
func ndjsonFile(t *testing.T, text string) http.HandlerFunc {
	zipped := packed(t, text)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+ndjson")
		if r.Header.Get("Accept-Encoding") != "gzip" {
			_, _ = w.Write([]byte(text))
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte(zipped))
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	text := patients(1000)
	s.mux.HandleFunc("/files/1", ndjsonFile(t, text))
	count := int64(1000)
	file := client.File{Type: "Patient", URL: s.URL + "/files/1", Count: &count}
	for _, identity := range []bool{false, true} {
		c := client.New(client.Config{BaseURL: s.URL + "/fhir", Identity: identity})
		var got strings.Builder
		totals, err := c.Download(t.Context(), &client.Manifest{}, file, func(line []byte) error {
			got.Write(line)
			got.WriteByte('\n')
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, text, got.String())
		require.Equal(t, 1, totals.Files)
		require.EqualValues(t, 1000, totals.Lines)
		require.EqualValues(t, len(text), totals.Bytes)
		require.Equal(t, map[string]int64{"Patient": 1000}, totals.ByType)
		if identity {
			require.EqualValues(t, len(text), totals.Wire)
		} else {
			require.Less(t, totals.Wire, int64(len(text)/5))
		}
	}
}

func TestDownloadRefuses(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := client.New(client.Config{BaseURL: s.URL + "/fhir"})
	raw := func(encoding, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/fhir+ndjson")
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			_, _ = w.Write([]byte(text))
		}
	}
	good := patients(3)
	tests := []struct {
		name  string
		reply http.HandlerFunc
		want  string
	}{
		{"fewer lines", raw("", patients(2)), "2 lines where the manifest says 3"},
		{"more lines", raw("gzip", packed(t, patients(4))), "4 lines where the manifest says 3"},
		{"another type", raw("", patients(2)+`{"resourceType":"Coverage"}`+"\n"), "line 3 is of another type"},
		{"type only inside", raw("", patients(2)+`{"contained":[{"resourceType":"Patient"}]}`+"\n"), "line 3 is of another type"},
		{"no type", raw("", patients(2)+"{}\n"), "line 3 is of another type"},
		{"blank line", raw("", patients(2)+"\n"+patients(1)), "line 3 is not JSON"},
		{"pretty-printed", raw("", "{\n\"resourceType\":\"Patient\"}\n"), "line 1 is not JSON"},
		{"two gzip members", raw("gzip", packed(t, patients(2))+packed(t, patients(1))), "bytes follow"},
		{"bytes after the gzip member", raw("gzip", packed(t, good)+"x"), "bytes follow"},
		{"gzip cut short", raw("gzip", packed(t, good)[:40]), "unexpected EOF"},
		{"gzip checksum", raw("gzip", func() string { b := []byte(packed(t, good)); b[len(b)-8] ^= 1; return string(b) }()), "checksum"},
		{"not gzip", raw("gzip", good), "read gzip"},
		{"unasked encoding", raw("br", good), `encoding "br"`},
		{"wrong media type", body("application/json", good), `the file is "application/json"`},
		{"missing", func(w http.ResponseWriter, _ *http.Request) {
			outcome(w, http.StatusNotFound, "not-found", "no such file")
		}, "404 Not Found (not-found): no such file"},
	}
	count := int64(3)
	for i, tt := range tests {
		path := fmt.Sprintf("/files/%d", i)
		s.mux.HandleFunc(path, tt.reply)
		_, err := c.Download(t.Context(), &client.Manifest{}, client.File{Type: "Patient", URL: s.URL + path, Count: &count}, nil)
		require.ErrorContains(t, err, tt.want, tt.name)
	}
	s.mux.HandleFunc("/files/good", raw("", good))
	stop := errors.New("stop")
	_, err := c.Download(t.Context(), &client.Manifest{}, client.File{Type: "Patient", URL: s.URL + "/files/good"}, func([]byte) error { return stop })
	require.ErrorIs(t, err, stop)
}

func TestDownloadAll(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := s.client(t, client.ES384)
	m := &client.Manifest{RequiresAccessToken: true}
	for i := range 9 {
		path := fmt.Sprintf("/fhir/files/%d", i)
		s.mux.HandleFunc(path, ndjsonFile(t, patients(i+1)))
		m.Output = append(m.Output, client.File{Type: "Patient", URL: s.URL + path})
	}
	s.mux.HandleFunc("/fhir/files/error", ndjsonFile(t, `{"resourceType":"OperationOutcome"}`+"\n"))
	m.Error = []client.File{{Type: "OperationOutcome", URL: s.URL + "/fhir/files/error"}}

	dir := t.TempDir()
	var mu sync.Mutex
	lines := 0
	totals, err := c.DownloadAll(t.Context(), m, 4, client.Sink{Dir: dir, Each: func(client.File, []byte) error {
		mu.Lock()
		defer mu.Unlock()
		lines++
		return nil
	}})
	require.NoError(t, err)
	require.Equal(t, 10, totals.Files)
	require.EqualValues(t, 46, totals.Lines)
	require.Equal(t, 46, lines)
	require.Equal(t, map[string]int64{"Patient": 45, "OperationOutcome": 1}, totals.ByType)
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, names, 10)
	raw, err := os.ReadFile(filepath.Join(dir, "00003.Patient.ndjson"))
	require.NoError(t, err)
	require.Equal(t, patients(3), string(raw))
	require.FileExists(t, filepath.Join(dir, "00001.error.ndjson"))

	wrong := int64(5)
	m.Output[4].Count, m.Output[5].Count = &wrong, &wrong // the second has six lines
	dir = t.TempDir()
	_, err = c.DownloadAll(t.Context(), m, 2, client.Sink{Dir: dir})
	require.ErrorContains(t, err, "6 lines where the manifest says 5")
	require.NoFileExists(t, filepath.Join(dir, "00006.Patient.ndjson"))
	left, err := filepath.Glob(filepath.Join(dir, "*.part"))
	require.NoError(t, err)
	require.Empty(t, left, "nothing half-written stays")
}
