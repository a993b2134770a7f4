package boot_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/worker/boot"
)

func probe(t *testing.T, h http.Handler, path string) (int, map[string]string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var body map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	return w.Code, body
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	ok := func(context.Context) error { return nil }
	tests := map[string]struct {
		check  func(context.Context) error
		status int
		class  string
	}{
		"fine":        {ok, 200, "ok"},
		"down":        {func(context.Context) error { return errors.New("dial postgres://pdex:hunter2@db") }, 503, "unavailable"},
		"kind":        {func(context.Context) error { return models.Errorf(models.KindThrottled, "hunter2") }, 503, "throttled"},
		"slow":        {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 503, "timeout"},
		"stuck":       {func(context.Context) error { time.Sleep(time.Hour); return nil }, 503, "timeout"},
		"just within": {func(context.Context) error { time.Sleep(1900 * time.Millisecond); return nil }, 200, "ok"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := boot.NewHealth(2 * time.Second)
				h.Add("database", tt.check)
				h.Add("files", func(context.Context) error { time.Sleep(1900 * time.Millisecond); return nil })
				start := time.Now()
				status, body := probe(t, h.Handler(), "/readyz")
				require.Equal(t, tt.status, status)
				require.Equal(t, map[string]string{"process": "ok", "database": tt.class, "files": "ok"}, body)
				require.LessOrEqual(t, time.Since(start), 2*time.Second, "the checks run side by side")

				status, body = probe(t, h.Handler(), "/healthz")
				require.Equal(t, 200, status, "being alive depends on nobody")
				require.Equal(t, map[string]string{"process": "ok"}, body)
				time.Sleep(time.Hour) // the stuck check must end within the test
			})
		})
	}
}

func TestReadyzRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := boot.NewHealth(2 * time.Second)
		var calls, healed atomic.Int32
		h.Add("database", func(context.Context) error {
			calls.Add(1)
			if healed.Load() == 0 {
				return errBoom
			}
			return nil
		})
		for range 5 {
			status, _ := probe(t, h.Handler(), "/readyz")
			require.Equal(t, 503, status)
		}
		require.EqualValues(t, 1, calls.Load(), "a burst of probes is one check")
		healed.Store(1)
		time.Sleep(time.Second)
		status, _ := probe(t, h.Handler(), "/readyz")
		require.Equal(t, 200, status)
		require.EqualValues(t, 2, calls.Load())

		h.Drain()
		status, body := probe(t, h.Handler(), "/readyz")
		require.Equal(t, 503, status)
		require.Equal(t, map[string]string{"process": "draining", "database": "ok"}, body)
		status, _ = probe(t, h.Handler(), "/healthz")
		require.Equal(t, 200, status, "a draining process must not be killed for it")
	})
}

// TestStuckCheckIsNotRepeated checks that a dependency that never answers does not collect goroutines.
func TestStuckCheckIsNotRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := boot.NewHealth(2 * time.Second)
		var calls atomic.Int32
		release := make(chan struct{})
		h.Add("files", func(context.Context) error { calls.Add(1); <-release; return nil })
		for range 3 {
			_, body := probe(t, h.Handler(), "/readyz")
			require.Equal(t, "timeout", body["files"])
		}
		require.EqualValues(t, 1, calls.Load())
		close(release)
		synctest.Wait()
		_, body := probe(t, h.Handler(), "/readyz")
		require.Equal(t, "ok", body["files"])
	})
}

// What a process does without is told, and makes it no less ready.
func TestReadyzNotes(t *testing.T) {
	t.Parallel()
	h := boot.NewHealth(time.Second)
	h.Note("schedule", models.Errorf(models.KindForbidden, "hunter2"))
	status, body := probe(t, h.Handler(), "/readyz")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]string{"process": "ok", "schedule": "forbidden"}, body)
	h.Note("schedule", nil)
	_, body = probe(t, h.Handler(), "/readyz")
	require.Equal(t, "ok", body["schedule"])
}
