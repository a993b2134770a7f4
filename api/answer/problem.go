package answer

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"pdexbulk/models"
)

// Problem is an RFC 9457 document, and the error Huma sends as one. Field is the parameter or body field it is about.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"`

	retryAfter int
}

var (
	_ huma.StatusError       = (*Problem)(nil)
	_ huma.HeadersError      = (*Problem)(nil)
	_ huma.ContentTypeFilter = (*Problem)(nil)
)

func (p *Problem) Error() string { return p.Title }

// GetStatus tells Huma the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType tells Huma the media type.
func (p *Problem) ContentType(string) string { return ProblemJSON }

// GetHeaders tells Huma the headers that go with the problem.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{"Cache-Control": {"no-store"}}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	return h
}

// ProblemOf makes the problem document of an error.
func ProblemOf(err error) *Problem {
	status := Status(err)
	p := &Problem{Title: http.StatusText(status), Status: status, Detail: "internal error"}
	if e, ok := errors.AsType[*models.Error](err); ok {
		p.Detail, p.Field, p.retryAfter = e.Msg, e.Where, e.RetryAfter
	}
	return p
}

// details are the words for what Huma refuses by itself. Its own name the value that was sent.
var details = map[int]string{
	http.StatusBadRequest:            "the body is missing or not the JSON it should be",
	http.StatusRequestTimeout:        "the body came too slowly",
	http.StatusNotAcceptable:         "the answer can only be application/json",
	http.StatusRequestEntityTooLarge: "the body is too large",
	http.StatusUnsupportedMediaType:  "send the body as application/json",
	http.StatusUnprocessableEntity:   "a parameter or field is not as it should be",
}

// Refusal makes the problem document of what Huma refuses before a handler sees it. It stands in for huma.NewError, whose
// documents hold the value that was sent: of a finding only where it is and what was expected there is kept.
func Refusal(status int, _ string, findings ...error) huma.StatusError {
	p := &Problem{Title: http.StatusText(status), Status: status, Detail: details[status]}
	for _, finding := range findings {
		if _, ours := errors.AsType[*models.Error](finding); ours { // from what the body was read through
			return ProblemOf(finding)
		}
		d, ok := finding.(huma.ErrorDetailer)
		if !ok || d.ErrorDetail() == nil {
			continue
		}
		at, says := d.ErrorDetail().Location, d.ErrorDetail().Message
		switch {
		case says == "unexpected property":
			// The last part of the place is a name the caller chose.
			p.Field, p.Detail = at[:max(0, strings.LastIndexByte(at, '.'))], "there is a field that is not known here"
		case strings.HasPrefix(says, "expected "):
			p.Field, p.Detail = at, says
		case at != "body":
			p.Field = at
		}
		break
	}
	return p
}
