package server

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPanicsAreAnswered(t *testing.T) {
	t.Parallel()
	const secret = "Zaphod Beeblebrox"
	var empty []string
	tests := []struct {
		name  string
		path  string
		panic func(w http.ResponseWriter)
		says  string
	}{
		{"text", "/fhir/x", func(http.ResponseWriter) { panic(secret) }, "string"},
		{"error", "/admin/x", func(http.ResponseWriter) { panic(errors.New(secret)) }, "*errors.errorString"},
		{"index", "/fhir/x", func(http.ResponseWriter) { _ = empty[len(empty)] }, "index out of range"},
		{"after headers", "/fhir/x", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "99")
			w.Header().Set("ETag", secret)
			panic(secret)
		}, "string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var logged bytes.Buffer
			log := slog.New(slog.NewTextHandler(&logged, nil))
			srv := httptest.NewServer(secure(recovered(log, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.panic(w) }))))
			defer srv.Close()
			resp, text := get(t, srv.URL+tt.path)
			require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
			require.Contains(t, text, "internal error")
			require.NotContains(t, text, "goroutine")
			require.NotContains(t, text, secret)
			require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
			require.Empty(t, resp.Header.Get("ETag"))
			if strings.HasPrefix(tt.path, "/fhir/") {
				require.Equal(t, "application/fhir+json", resp.Header.Get("Content-Type"))
			} else {
				require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
			}
			require.Contains(t, logged.String(), tt.says)
			require.Contains(t, logged.String(), "guard_test.go", "the log says where")
			require.NotContains(t, logged.String(), secret)
		})
	}
}

// An answer that has begun is cut off, never ended as if it were whole.
func TestPanicsCutAnswersOff(t *testing.T) {
	t.Parallel()
	for _, cause := range []any{"mistake", http.ErrAbortHandler} {
		srv := httptest.NewUnstartedServer(recovered(slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(cause)
		})))
		srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		srv.Start()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
		require.NoError(t, err)
		resp, err := srv.Client().Do(req)
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.Error(t, err)
		require.NoError(t, resp.Body.Close())
		srv.Close()
	}
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}
