package boot

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"pdexbulk/models"
)

const (
	// checkTimeout is how long a dependency may take to answer a check.
	checkTimeout = 2 * time.Second
	// checkReuse is how long an answer serves further requests: probes may come from anybody and must not become load.
	checkReuse = time.Second
	// stopMargin is what the stops get beyond the grace, so that a part which uses the grace to its end still stops clean.
	stopMargin = 2 * time.Second
)

// Health answers whether the process lives and whether it can do its work. It shows the names of what it depends on and a
// class of failure, never an error's text.
type Health struct {
	timeout time.Duration

	mu       sync.Mutex
	checks   []*check
	notes    map[string]string
	draining bool
}

// check is one dependency. At most one call of run is under way at a time, however long it hangs.
type check struct {
	name string
	run  func(context.Context) error

	mu    sync.Mutex
	call  chan struct{} // of the call under way or the last one, closed when it has ended; nil before the first
	at    time.Time     // when it ended
	class string
}

// NewHealth returns a Health whose checks may each take as long as timeout.
func NewHealth(timeout time.Duration) *Health { return &Health{timeout: timeout} }

// Add adds a dependency that must answer for the process to be ready.
func (h *Health) Add(name string, run func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, &check{name: name, run: run})
}

// Note shows beside the checks what the process does without: it is ready all the same.
func (h *Health) Note(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	notes := maps.Clone(h.notes)
	if notes == nil {
		notes = map[string]string{}
	}
	notes[name] = errorClass(err)
	h.notes = notes
}

// Drain makes the process unready for good: it is about to stop.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Handler answers GET /healthz with 200 while the process can answer at all, and GET /readyz with 200 when every
// dependency answers, else 503; what it does without (see Note) is told there too. Both bodies are JSON objects of a name each and "ok" or a class of failure: "timeout",
// "unavailable", "draining", or a models.Kind.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"process": classOK})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		status, classes := h.Ready(r.Context())
		answer(w, status, classes)
	})
	return mux
}

func answer(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a prober that hung up misses only its own answer
}

// Ready runs every check at once and returns the HTTP status with each one's class.
func (h *Health) Ready(ctx context.Context) (int, map[string]string) {
	h.mu.Lock()
	checks, notes, draining := h.checks, h.notes, h.draining
	h.mu.Unlock()

	status, classes := http.StatusOK, map[string]string{"process": classOK}
	maps.Copy(classes, notes)
	if draining {
		status, classes["process"] = http.StatusServiceUnavailable, "draining"
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	calls := make([]<-chan struct{}, len(checks))
	for i, c := range checks {
		calls[i] = c.begin(ctx, h.timeout)
	}
	for i, c := range checks {
		class := c.await(ctx, calls[i])
		classes[c.name] = class
		if class != classOK {
			status = http.StatusServiceUnavailable
		}
	}
	return status, classes
}

// begin returns a call to wait for: a fresh one, the one under way, or one that has ended just now. The call is not bound
// to the request that began it, since others wait for it too.
func (c *check) begin(ctx context.Context, timeout time.Duration) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call != nil && (c.at.IsZero() || time.Since(c.at) < checkReuse) {
		return c.call
	}
	call := make(chan struct{})
	c.call, c.at = call, time.Time{}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	go func() {
		defer cancel()
		class := errorClass(c.run(ctx))
		c.mu.Lock()
		c.at, c.class = time.Now(), class
		c.mu.Unlock()
		close(call)
	}()
	return call
}

// await returns the class a call ended with, or "timeout". An answer that came in time counts even when the time is over
// by now, spent on waiting for another check.
func (c *check) await(ctx context.Context, call <-chan struct{}) string {
	select {
	case <-call:
	case <-ctx.Done():
		select {
		case <-call:
		default:
			return classTimeout
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.class
}

const (
	classOK      = "ok"
	classTimeout = "timeout"
)

// errorClass says what kind of failure err is without saying anything of its text, which may hold hosts and users.
func errorClass(err error) string {
	if err == nil {
		return classOK
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return classTimeout
	}
	if e, ok := errors.AsType[*models.Error](err); ok {
		return string(e.Kind)
	}
	return string(models.KindUnavailable)
}
