// Package answer is the one place where an error becomes an HTTP answer: a models.Kind a status, its message an
// OperationOutcome on FHIR routes, an error of RFC 6749 where tokens are given out, or a problem document (RFC 9457) on admin
// routes. Causes are logged, never sent.
package answer

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// The media types of answers.
const (
	FHIRJSON = "application/fhir+json"
	NDJSON   = "application/fhir+ndjson"
	// ProblemJSON is the form of errors outside the FHIR routes.
	ProblemJSON = "application/problem+json"
)

var statuses = map[models.Kind]int{
	models.KindInvalid:       http.StatusBadRequest,
	models.KindUnauthorized:  http.StatusUnauthorized,
	models.KindForbidden:     http.StatusForbidden,
	models.KindNotFound:      http.StatusNotFound,
	models.KindMethod:        http.StatusMethodNotAllowed,
	models.KindConflict:      http.StatusConflict,
	models.KindGone:          http.StatusGone,
	models.KindTooLarge:      http.StatusRequestEntityTooLarge,
	models.KindMediaType:     http.StatusUnsupportedMediaType,
	models.KindUnprocessable: http.StatusUnprocessableEntity,
	models.KindThrottled:     http.StatusTooManyRequests,
	models.KindInternal:      http.StatusInternalServerError,
	models.KindUnavailable:   http.StatusServiceUnavailable,
}

// Status returns the HTTP status of an error: 500 for one without a kind.
func Status(err error) int {
	if status, ok := statuses[models.KindOf(err)]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// Outcome answers a FHIR request with an error. What lies behind a fault of ours is logged here and nowhere else.
func Outcome(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	note(r, log, Status(err), err)
	Tell(w, r, log, err)
}

// Tell is Outcome for an error that is no news to us, such as a job that failed long ago: nothing is logged.
func Tell(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	advise(w, err)
	body, merr := json.Marshal(fhir.OutcomeOf(err))
	if merr != nil {
		log.ErrorContext(r.Context(), "an OperationOutcome could not be written", "error", merr)
	}
	Write(w, Status(err), FHIRJSON, body)
}

// Refuse answers an admin request with an error.
func Refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	p := ProblemOf(err)
	note(r, log, p.Status, err)
	advise(w, err)
	body, merr := json.Marshal(p)
	if merr != nil {
		log.ErrorContext(r.Context(), "a problem document could not be written", "error", merr)
	}
	Write(w, p.Status, ProblemJSON, body)
}

// OAuth answers a request for a token, or for what leads to one, with an error of RFC 6749 section 5.2.
func OAuth(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	status, p := Status(err), ProblemOf(err)
	note(r, log, status, err)
	advise(w, err)
	code := "invalid_request"
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		code = "temporarily_unavailable"
	case status >= http.StatusInternalServerError:
		code = "server_error"
	}
	body, merr := json.Marshal(map[string]string{"error": code, "error_description": p.Detail})
	if merr != nil {
		log.ErrorContext(r.Context(), "an OAuth error could not be written", "error", merr)
	}
	Write(w, status, "application/json", body)
}

func note(r *http.Request, log *slog.Logger, status int, err error) {
	if status >= http.StatusInternalServerError && r.Context().Err() == nil {
		log.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern, "status", status, "error", Trail(err))
	}
}

// Trail is an error with its causes, for the log. A models.Error says what its client may read and keeps the cause apart.
func Trail(err error) string {
	var steps []string
	for err != nil {
		steps = append(steps, err.Error())
		e, ok := errors.AsType[*models.Error](err)
		if !ok {
			break
		}
		err = errors.Unwrap(e)
	}
	return strings.Join(steps, ": ")
}

func advise(w http.ResponseWriter, err error) {
	if e, ok := errors.AsType[*models.Error](err); ok && e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
}

// Write sends a whole body.
func Write(w http.ResponseWriter, status int, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}
