package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is an answer that was not the one hoped for.
type Error struct {
	Method string
	Path   string // without the query, which may tell of members
	Status int
	// Code is the OAuth error or the first issue's code, "" when the answer had neither.
	Code string
	// Diagnostics are the texts of the answer: the issues' diagnostics or details, or the OAuth description.
	Diagnostics []string
	// RetryAfter is the server's advice, 0 without.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s: %d %s", e.Method, e.Path, e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		s.WriteString(" (" + e.Code + ")")
	}
	if len(e.Diagnostics) > 0 {
		s.WriteString(": " + strings.Join(e.Diagnostics, "; "))
	}
	return s.String()
}

// answerError makes an Error of an answer and reads its body.
func answerError(resp *http.Response) error {
	e := &Error{
		Method: resp.Request.Method, Path: resp.Request.URL.Path, Status: resp.StatusCode,
		RetryAfter: retryAfter(resp.Header, time.Now()),
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return e // the status is the news
	}
	var body struct {
		Issue []struct {
			Code        string `json:"code"`
			Diagnostics string `json:"diagnostics"`
			Details     struct {
				Text string `json:"text"`
			} `json:"details"`
		} `json:"issue"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return e
	}
	e.Code = body.Error
	if body.Description != "" {
		e.Diagnostics = append(e.Diagnostics, body.Description)
	}
	for _, issue := range body.Issue {
		if e.Code == "" {
			e.Code = issue.Code
		}
		if text := strings.TrimSpace(issue.Details.Text + " " + issue.Diagnostics); text != "" {
			e.Diagnostics = append(e.Diagnostics, text)
		}
	}
	return e
}

// retryAfter reads a Retry-After header: seconds or an HTTP date. 0 when there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
