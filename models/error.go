// Package models holds the domain types every other package speaks: error kinds, row ids, FHIR resource type codes and
// the rows of the store. It imports nothing of ours and touches neither network nor disk.
package models

import (
	"errors"
	"fmt"
)

// Kind says what went wrong in terms a caller can act on. One place turns it into an HTTP status (api/server), one into
// a Temporal retry decision (activities).
type Kind string

// The kinds. The comment names the HTTP status each one becomes on a FHIR route.
const (
	KindInvalid       Kind = "invalid"       // 400: a parameter or header is wrong
	KindUnauthorized  Kind = "unauthorized"  // 401: no or bad token
	KindForbidden     Kind = "forbidden"     // 403: the token may not do this
	KindNotFound      Kind = "not-found"     // 404: absent, or somebody else's
	KindMethod        Kind = "method"        // 405: the route exists, the method does not
	KindConflict      Kind = "conflict"      // 409: the state does not allow it; at If-Match, 412 in the admin API
	KindGone          Kind = "gone"          // 410: it was there and has expired
	KindTooLarge      Kind = "too-large"     // 413: over a documented limit
	KindMediaType     Kind = "media-type"    // 415: the content type is not supported
	KindUnprocessable Kind = "unprocessable" // 422: well-formed, but breaks the operation's rules
	KindThrottled     Kind = "throttled"     // 429: too often; try again later
	KindInternal      Kind = "internal"      // 500: our fault
	KindUnavailable   Kind = "unavailable"   // 503: something we depend on is away; retrying helps
)

// Error is an error with a Kind, made for the wire: Msg says what is wrong and what to do and never holds a value the
// caller sent, Where names the parameter, header or FHIRPath it is about ("" when none).
type Error struct {
	Kind  Kind
	Msg   string
	Where string
	// RetryAfter is in seconds; 0 means no advice. Used with KindThrottled and KindUnavailable.
	RetryAfter int
	err        error
}

// Errorf makes an Error. The message reaches the wire, so it must not hold a value somebody sent.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
}

// Because returns a copy of e that keeps err as its cause. The cause is for logs alone; it never reaches the wire.
func (e *Error) Because(err error) *Error {
	c := *e
	c.err = err
	return &c
}

// At returns a copy of e that names where the fault is.
func (e *Error) At(where string) *Error {
	c := *e
	c.Where = where
	return &c
}

// Wait returns a copy of e that advises the caller to retry after the given number of seconds.
func (e *Error) Wait(seconds int) *Error {
	c := *e
	c.RetryAfter = seconds
	return &c
}

func (e *Error) Error() string {
	if e.Where == "" {
		return e.Msg
	}
	return e.Where + ": " + e.Msg
}

func (e *Error) Unwrap() error { return e.err }

// KindOf returns the Kind of the first Error in err's chain, KindInternal when there is none, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}
