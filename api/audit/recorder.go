package audit

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/trail"
)

// Recorder records what requests come to.
type Recorder struct {
	Log *Log
	// Source says where a request comes from, as it is to be recorded.
	Source func(*http.Request) string
	// Refuse answers a request, in the form of its area, with an error.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (rec *Recorder) now() time.Time {
	if rec.Now == nil {
		return time.Now()
	}
	return rec.Now()
}

// Wrap records the requests of a handler. It must be outside of whatever answers by itself, panics included.
func (rec *Recorder) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := &trail.Entry{Event: trail.New(rec.now())}
		entry.Kind, entry.Source = trail.ActorAnonymous, rec.Source(r)
		r = r.WithContext(trail.With(r.Context(), entry))
		next.ServeHTTP(&recording{ResponseWriter: w, rec: rec, r: r, entry: entry}, r)
	})
}

// How a request is recorded.
type care int

const (
	unrecorded care = iota
	noted           // soon after it is answered
	must            // before it is answered, or it is not
)

// pathOf is the path of the route that takes a request, with names for what is filled in; "" when none does.
func pathOf(r *http.Request) string {
	if r.Pattern == "/" {
		return ""
	}
	return r.Pattern[max(0, strings.IndexByte(r.Pattern, '/')):]
}

// lastName is the last part of a route's path that is no place to be filled in.
func lastName(path string) string {
	parts := strings.Split(path, "/")
	for len(parts) > 1 && strings.HasPrefix(parts[len(parts)-1], "{") {
		parts = parts[:len(parts)-1]
	}
	return parts[len(parts)-1]
}

// public are the routes by which anybody may look at what everybody may see.
func public(path string) bool {
	return path == "/fhir/metadata" || path == "/healthz" || path == "/readyz" || path == "/metrics" || strings.HasPrefix(path, "/docs") ||
		strings.HasPrefix(path, "/openapi") || strings.HasPrefix(path, "/fhir/.well-known/") || strings.HasPrefix(path, "/.well-known/") ||
		strings.HasPrefix(path, "/fhir/OperationDefinition") || path == "/auth/jwks"
}

// careFor decides how an answered request is recorded.
func careFor(r *http.Request, status int, told http.Header, e *trail.Entry) care {
	path := pathOf(r)
	switch {
	case status >= http.StatusBadRequest:
		return noted
	case e.Written, public(path), r.Method == http.MethodOptions:
		return unrecorded
	case e.Important:
		return must
	case strings.HasPrefix(path, "/fhir/bulk-status/") && r.Method != http.MethodDelete &&
		(status == http.StatusAccepted || strings.HasPrefix(told.Get("X-Export-Status"), "202 ")):
		return unrecorded // a poll, which tells nothing but that the job goes on
	case strings.HasPrefix(path, "/admin/"):
		// A change was recorded before it was tried. What operators read tells of no person.
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return unrecorded
		}
		return noted
	case r.Method == http.MethodHead, status == http.StatusNotModified:
		return noted
	default:
		return must // whatever is new here is held to be important
	}
}

func outcomeOf(status int) trail.Outcome {
	switch {
	case status >= http.StatusInternalServerError:
		return trail.Failed
	case status >= http.StatusBadRequest:
		return trail.Refused
	default:
		return trail.Success
	}
}

// recording sees an answer begin.
type recording struct {
	http.ResponseWriter
	rec   *Recorder
	r     *http.Request
	entry *trail.Entry

	begun   bool
	refused bool // the answer of the handler was replaced
}

func (w *recording) WriteHeader(status int) {
	if w.begun || status < http.StatusOK {
		if !w.refused {
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	w.begun = true
	if err := w.record(status); err != nil {
		w.refused = true
		clear(w.Header())
		w.rec.Refuse(w.ResponseWriter, w.r, models.Errorf(models.KindUnavailable, "the audit log cannot be written at the moment; try again").Wait(5))
		_ = http.NewResponseController(w.ResponseWriter).Flush() // the handler may break off now, and this must have gone out
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recording) record(status int) error {
	e, done := w.entry.Event, trail.New(w.rec.now())
	e.ID, e.At = done.ID, done.At // what was recorded on the way has the entry's own
	e.Status, e.Outcome = status, outcomeOf(status)
	if path := pathOf(w.r); path != "" {
		e.Route = w.r.Method + " " + path
		if e.Action == "" {
			e.Action = lastName(path)
		}
	}
	if e.Action == "" {
		e.Action = "unknown"
	}
	switch careFor(w.r, status, w.Header(), w.entry) {
	case must:
		ctx, cancel := context.WithTimeout(w.r.Context(), writeTimeout)
		defer cancel()
		return w.rec.Log.Write(ctx, e)
	case noted:
		w.rec.Log.Note(e)
	case unrecorded:
	}
	return nil
}

func (w *recording) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.refused {
		return 0, http.ErrBodyNotAllowed
	}
	return w.ResponseWriter.Write(b)
}

// ReadFrom lets the kernel copy a file to the connection.
func (w *recording) ReadFrom(src io.Reader) (int64, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.refused {
		return 0, http.ErrBodyNotAllowed
	}
	return io.Copy(w.ResponseWriter, src)
}

// Flush begins the answer, so it is recorded as any other.
func (w *recording) Flush() {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush() // where it cannot be, it waits
}

// Unwrap lets http.ResponseController through.
func (w *recording) Unwrap() http.ResponseWriter { return w.ResponseWriter }
