package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"pdexbulk/api/answer"
	"pdexbulk/models"
)

// refuse answers with an error in the form of the area: an OperationOutcome on FHIR paths, an OAuth error where tokens are given
// out, a problem document elsewhere.
func refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	switch {
	case underFHIR(r):
		answer.Outcome(w, r, log, err)
	case strings.HasPrefix(r.URL.Path, "/auth/"):
		answer.OAuth(w, r, log, err)
	default:
		answer.Refuse(w, r, log, err)
	}
}

func nothingHere() error { return models.Errorf(models.KindNotFound, "there is nothing at this path") }

// unknown answers what no route does: 405 with Allow when the path is known, 404 otherwise.
func unknown(mux *http.ServeMux, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			probe := r.Clone(r.Context())
			probe.Method = method
			if _, pattern := mux.Handler(probe); pattern != "/" && pattern != "" {
				allow = append(allow, method)
			}
		}
		if len(allow) == 0 {
			refuse(w, r, log, nothingHere())
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		refuse(w, r, log, models.Errorf(models.KindMethod, "this path does not take that method; see the Allow header"))
	}
}

// canonical answers 404 for paths that are no text, and 400 for such queries, and 404 for paths with empty, "." and ".." elements. http.ServeMux would redirect them, to wherever they
// lead, with a page of HTML.
func canonical(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		escaped := r.URL.EscapedPath()
		trimmed := strings.TrimSuffix(escaped, "/")
		if trimmed != "" && path.Clean(trimmed) != trimmed || !strings.HasPrefix(escaped, "/") || strings.HasSuffix(escaped, "//") {
			refuse(w, r, log, nothingHere())
			return
		}
		if !isText(r.URL.Path) {
			refuse(w, r, log, nothingHere())
			return
		}
		// What is not percent-encoded as it should be is for the handlers to tell.
		if query, err := url.QueryUnescape(r.URL.RawQuery); err == nil && !isText(query) {
			refuse(w, r, log, models.Errorf(models.KindInvalid, "the query is not UTF-8, or has a NUL character"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isText reports whether s is something that the database can keep or compare.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// recovered answers 500 for a request whose handler panicked, without a word of what happened. An answer that had begun is
// cut off instead, so that nobody takes it for a whole one. http.ErrAbortHandler does that on purpose and goes on up.
func recovered(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := &tracker{ResponseWriter: w}
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
			// The value may hold anything; what the runtime says of a mistake of ours holds no data.
			what := fmt.Sprintf("%T", cause)
			if err, ok := cause.(runtime.Error); ok {
				what = err.Error()
			}
			log.ErrorContext(r.Context(), "a handler panicked", "method", r.Method, "route", r.Pattern, "cause", what, "stack", string(debug.Stack()))
			if begun.yes {
				panic(http.ErrAbortHandler)
			}
			clear(w.Header())
			headers(w, r)
			refuse(w, r, log, models.Errorf(models.KindInternal, "internal error"))
		}()
		next.ServeHTTP(begun, r)
	})
}

// tracker notes whether an answer has begun.
type tracker struct {
	http.ResponseWriter
	yes bool
}

func (t *tracker) WriteHeader(status int) {
	t.yes = t.yes || status >= http.StatusOK
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracker) Write(b []byte) (int, error) {
	t.yes = true
	return t.ResponseWriter.Write(b)
}

// ReadFrom lets the kernel copy a file to the connection.
func (t *tracker) ReadFrom(src io.Reader) (int64, error) {
	t.yes = true
	return io.Copy(t.ResponseWriter, src)
}

// Unwrap lets http.ResponseController through.
func (t *tracker) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// secure sets what holds for every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers(w, r)
		next.ServeHTTP(w, r)
	})
}

func headers(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Nothing here is a page but the documentation, which sets a policy of its own, and nothing is to be kept that does not say so.
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
