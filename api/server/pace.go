package server

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// paced cuts off answers that are not taken. A client may be as slow as it is, as long as it takes some of the answer within
// stall; whoever holds a connection without reading is rid of it. The kernel says that something was taken once a good part of
// what it buffers has gone, some megabyte, so stall should be minutes.
func paced(stall time.Duration, next http.Handler) http.Handler {
	if stall <= 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &pacing{ResponseWriter: w, ctl: http.NewResponseController(w), stall: stall}
		if r.ProtoMajor == 1 {
			p.extend() // the connection may still have the deadline of its last answer
		}
		next.ServeHTTP(p, r)
	})
}

// pieceLength is how much of an answer is written before its client must have taken any: what lies in buffers on the way counts
// as taken.
const pieceLength = 256 << 10

type pacing struct {
	http.ResponseWriter
	ctl   *http.ResponseController
	stall time.Duration
	until time.Time // the deadline that is set
}

// extend gives the client its time for the next piece. It is set anew once a good part of it is over, since it costs.
func (p *pacing) extend() {
	now := time.Now()
	if p.until.Sub(now) < p.stall*3/4 {
		p.until = now.Add(p.stall)
		_ = p.ctl.SetWriteDeadline(p.until) // where the connection takes no deadline there is none
	}
}

func (p *pacing) WriteHeader(status int) {
	p.extend()
	p.ResponseWriter.WriteHeader(status)
}

func (p *pacing) Write(b []byte) (int, error) {
	n := 0
	for {
		piece := b[n:min(len(b), n+pieceLength)]
		p.extend()
		m, err := p.ResponseWriter.Write(piece)
		n += m
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// ReadFrom lets the kernel copy a file to the connection, a piece at a time.
func (p *pacing) ReadFrom(src io.Reader) (int64, error) {
	from, left := src, int64(-1)
	limited, isLimited := src.(*io.LimitedReader)
	if isLimited { // the kernel's way is open to one limit around a file, not to two
		from, left = limited.R, limited.N
	}
	n := int64(0)
	for left != 0 {
		piece := int64(pieceLength)
		if left > 0 {
			piece = min(piece, left)
		}
		p.extend()
		m, err := io.CopyN(p.ResponseWriter, from, piece)
		n += m
		if isLimited {
			left -= m
			limited.N = left
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Unwrap lets http.ResponseController through.
func (p *pacing) Unwrap() http.ResponseWriter { return p.ResponseWriter }
