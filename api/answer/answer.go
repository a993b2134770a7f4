// Package answer is the one place where an error becomes an HTTP answer: a models.Kind a status, its message an
// OperationOutcome on FHIR routes or a problem document (RFC 9457) on admin routes. Causes are logged, never sent.
package answer

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// The media types of FHIR answers.
const (
	FHIRJSON = "application/fhir+json"
	NDJSON   = "application/fhir+ndjson"
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
	status := Status(err)
	note(r, log, status, err)
	advise(w, err)
	body, merr := json.Marshal(fhir.OutcomeOf(err))
	if merr != nil {
		log.ErrorContext(r.Context(), "an OperationOutcome could not be written", "error", merr)
	}
	Write(w, status, FHIRJSON, body)
}

// Problem is an RFC 9457 document. Field is the parameter or body field it is about.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"`
}

// ProblemOf makes the problem document of an error.
func ProblemOf(err error) Problem {
	status := Status(err)
	p := Problem{Title: http.StatusText(status), Status: status}
	if e, ok := errors.AsType[*models.Error](err); ok {
		p.Detail, p.Field = e.Msg, e.Where
	}
	return p
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
	Write(w, p.Status, "application/problem+json", body)
}

func note(r *http.Request, log *slog.Logger, status int, err error) {
	if status >= http.StatusInternalServerError && r.Context().Err() == nil {
		log.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern, "status", status, "error", err.Error())
	}
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
