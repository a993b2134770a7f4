package server

import (
	"io"
	"math"
	"mime"
	"net/http"
	"strings"

	"pdexbulk/models"
)

// shape bounds what JSON may look like.
type shape struct {
	depth   int // objects and lists within one another
	members int // of one object
}

// bounded holds the bodies of requests against the shape JSON may have, while they are read. It stores nothing of them. A limit
// of 0 is none.
func (s shape) bounded(next http.Handler) http.Handler {
	if s.depth <= 0 && s.members <= 0 {
		return next
	}
	if s.depth <= 0 {
		s.depth = math.MaxInt
	}
	if s.members <= 0 {
		s.members = math.MaxInt32 - 1
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody && isJSON(r.Header.Get("Content-Type")) {
			r.Body = &body{ReadCloser: r.Body, scan: jsonScan{limits: s}}
		}
		next.ServeHTTP(w, r)
	})
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"))
}

// body is a request's body while it is read.
type body struct {
	io.ReadCloser
	scan  jsonScan
	fault error
}

func (b *body) Read(p []byte) (int, error) {
	if b.fault != nil {
		return 0, b.fault
	}
	n, err := b.ReadCloser.Read(p)
	if b.fault = b.scan.add(p[:n]); b.fault != nil {
		return 0, b.fault
	}
	return n, err
}

// maxScanDepth is the most that shape.depth can be, and how deep members are counted.
const maxScanDepth = 512

// jsonScan follows the structure of JSON in the pieces it comes in. It does not judge whether it is JSON.
type jsonScan struct {
	limits  shape
	depth   int
	members [maxScanDepth + 1]int32 // of the object at a depth, so far
	quoted  bool
	escaped bool
}

func (j *jsonScan) add(b []byte) error {
	for _, c := range b {
		if j.quoted {
			switch {
			case j.escaped:
				j.escaped = false
			case c == '\\':
				j.escaped = true
			case c == '"':
				j.quoted = false
			}
			continue
		}
		switch c {
		case '"':
			j.quoted = true
		case '{', '[':
			if j.depth >= j.limits.depth {
				return models.Errorf(models.KindUnprocessable, "the body has objects and lists more than %d deep", j.limits.depth)
			}
			j.depth++
			j.members[min(j.depth, maxScanDepth)] = 0
		case '}', ']':
			j.depth = max(0, j.depth-1)
		case ':':
			if n := &j.members[min(j.depth, maxScanDepth)]; j.more(n) {
				return models.Errorf(models.KindUnprocessable, "the body has an object of more than %d members", j.limits.members)
			}
		}
	}
	return nil
}

// more counts a member, and reports whether it is one too many.
func (j *jsonScan) more(n *int32) bool {
	*n++
	return int(*n) > j.limits.members
}
