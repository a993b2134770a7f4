package server

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// prompt bounds how slowly the body of a request may come: it may take patience whatever its length, and beyond that rate bytes a
// second must have come in on the whole. Who trickles must not hold on to a handler for good.
func prompt(patience time.Duration, rate int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &timed{ReadCloser: r.Body, ctl: http.NewResponseController(w), patience: patience, rate: rate, start: time.Now()}
		}
		next.ServeHTTP(w, r)
	})
}

type timed struct {
	io.ReadCloser
	ctl      *http.ResponseController
	patience time.Duration
	rate     int64
	start    time.Time
	n        int64
}

func (t *timed) Read(p []byte) (int, error) {
	// Where the connection takes no deadline there is none.
	_ = t.ctl.SetReadDeadline(t.start.Add(t.patience + time.Duration(t.n/t.rate)*time.Second))
	n, err := t.ReadCloser.Read(p)
	t.n += int64(n)
	if errors.Is(err, io.EOF) {
		// The server goes on reading, to notice when the client leaves. That must not time out. After any other error the
		// deadline stays: the server may try to read the rest before it answers.
		_ = t.ctl.SetReadDeadline(time.Time{})
	}
	return n, err
}
