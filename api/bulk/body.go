package bulk

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"pdexbulk/models"
)

const (
	// bodyPatience is how long a body may take whatever its length.
	bodyPatience = 30 * time.Second
	// bodyRate is how many bytes a second must have come in on the whole beyond that. Any line in use does better.
	bodyRate = 16 << 10
)

// requestBody is the body of a request, bounded in length and in how slowly it may come: a connection that trickles must not
// hold on to a handler and a half-written file for good.
func requestBody(w http.ResponseWriter, r *http.Request, limit int64) io.Reader {
	return http.MaxBytesReader(w, &paced{ReadCloser: r.Body, ctl: http.NewResponseController(w), start: time.Now()}, limit)
}

type paced struct {
	io.ReadCloser
	ctl   *http.ResponseController
	start time.Time
	n     int64
}

func (p *paced) Read(b []byte) (int, error) {
	// Where the connection takes no deadline there is none.
	_ = p.ctl.SetReadDeadline(p.start.Add(bodyPatience + time.Duration(p.n/bodyRate)*time.Second))
	n, err := p.ReadCloser.Read(b)
	p.n += int64(n)
	if errors.Is(err, io.EOF) {
		// The server goes on reading, to notice when the client leaves. That must not time out. After any other error the
		// deadline stays: the server may try to read the rest before it answers.
		_ = p.ctl.SetReadDeadline(time.Time{})
	}
	return n, err
}

// bodyFault says why a body could not be read, nil when that was not the trouble.
func bodyFault(err error) error {
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return models.Errorf(models.KindTooLarge, "the body is over the limit of %d bytes", over.Limit)
	}
	if e, ours := errors.AsType[*models.Error](err); ours { // of what it was read through
		return e
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return models.Errorf(models.KindInvalid, "the body came too slowly")
	}
	return nil
}
