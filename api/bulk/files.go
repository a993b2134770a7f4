package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// file serves one file of a manifest (Bulk Data Access 2.0.0, "Bulk Data Output File Request"). It is stored as the inside of
// a gzip file, in stretches of several blobs: a client that takes gzip gets those bytes, any other gets them inflated on
// the way. Both forms have their own ETag and take Range.
func (s *Service) file(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	job, err := s.ownJob(r.Context(), caller, r.PathValue("job"))
	if err != nil {
		return err
	}
	unknown := models.Errorf(models.KindNotFound, "no file of yours has this address")
	number, rest, _ := strings.Cut(r.PathValue("file"), ".")
	n, err := strconv.Atoi(number)
	if err != nil || job.State != models.StateCompleted {
		return unknown
	}
	if job.ExpiresAt != nil && !s.now().Before(*job.ExpiresAt) {
		return models.Errorf(models.KindGone, "the files of this job have expired; start it again")
	}
	f, parts, err := s.Store.File(r.Context(), job.ID, n)
	switch {
	case models.KindOf(err) == models.KindNotFound, err == nil && rest != f.Type+".ndjson":
		return unknown
	case err != nil:
		return models.Errorf(models.KindUnavailable, "the file cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	// Result files of a match hold what the caller sent; an export's need the scope of their type.
	if job.Operation != models.OpBulkMemberMatch && f.Type != "OperationOutcome" && !caller.MayRead(f.Type) {
		return models.Errorf(models.KindForbidden, "the token does not cover %s", f.Type)
	}
	s.serve(w, r, f, parts)
	return nil
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request, f *models.JobFile, parts []models.FilePart) {
	h := w.Header()
	h.Set("Content-Type", answer.NDJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	form := "plain"
	body := &reader{ctx: r.Context(), files: s.Files, parts: parts, sum: fileSum(f)}
	if acceptsGzip(r.Header) {
		form = "gzip"
		body.gzip = true
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", fmt.Sprintf(`"%s-%d-%s"`, f.JobID, f.File, form))
	if r.Header.Get("Range") == "" {
		h.Set("Content-Length", strconv.FormatInt(body.size(), 10))
	}
	defer body.Close()
	http.ServeContent(w, r, "", time.Time{}, body) // the ETag is the validator: a file never changes
	if body.err != nil && r.Context().Err() == nil {
		s.Log.ErrorContext(r.Context(), "a file could not be served to its end", "job", f.JobID, "file", f.File, "error", body.err.Error())
		panic(http.ErrAbortHandler) // the client must see that it is cut short
	}
}

func fileSum(f *models.JobFile) segment.Sum {
	return segment.Sum{Lines: f.Lines, RawLen: f.RawLen, PackedLen: f.PackedLen, CRC: uint32(f.CRC)}
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3).
func acceptsGzip(h http.Header) bool {
	any := false
	for item := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(item, ";")
		coding = strings.ToLower(strings.TrimSpace(coding))
		q := 1.0
		if v, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q="); ok {
			if parsed, err := strconv.ParseFloat(v, 64); err == nil {
				q = parsed
			}
		}
		switch coding {
		case "gzip", "x-gzip":
			return q > 0
		case "*":
			any = q > 0
		}
	}
	return any
}

// reader is a file as one run of bytes that can be sought in, in either form. It opens only what is read.
type reader struct {
	ctx   context.Context
	files blob.Store
	parts []models.FilePart
	sum   segment.Sum
	gzip  bool
	at    int64
	open  io.ReadCloser // positioned at `at`
	err   error
}

func (r *reader) size() int64 {
	if r.gzip {
		return r.sum.GzipLen()
	}
	return r.sum.RawLen
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size()
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	if offset != r.at {
		r.Close()
		r.at = offset
	}
	return offset, nil
}

func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.size() {
		return 0, io.EOF
	}
	if r.open == nil {
		if r.gzip {
			r.open = r.packed(r.at)
		} else {
			r.open = r.inflated(r.at)
		}
	}
	n, err := r.open.Read(p)
	r.at += int64(n)
	if err == io.EOF && r.at < r.size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// Close lets go of what is open.
func (r *reader) Close() {
	if r.open != nil {
		_ = r.open.Close() // read only
		r.open = nil
	}
}

func (r *reader) inflated(from int64) io.ReadCloser {
	runs := make([]segment.Sum, len(r.parts))
	for i, p := range r.parts {
		runs[i] = segment.Sum{Lines: p.Lines, RawLen: p.Raw, PackedLen: p.Packed, CRC: p.CRC}
	}
	return segment.NewRawReader(func(i int) (io.ReadCloser, error) {
		return r.files.ReadRange(r.ctx, r.parts[i].BlobKey, r.parts[i].Offset, r.parts[i].Packed)
	}, runs, from)
}

// packed reads header, parts and trailer one after the other.
func (r *reader) packed(from int64) io.ReadCloser {
	return &concat{r: r, next: -1, skip: from}
}

type concat struct {
	r    *reader
	next int // -1 header, then the parts, then the trailer
	skip int64
	cur  io.ReadCloser
}

func (c *concat) Read(p []byte) (int, error) {
	for {
		if c.cur == nil {
			if c.next > len(c.r.parts) {
				return 0, io.EOF
			}
			if err := c.advance(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := c.cur.Read(p)
		if err == io.EOF {
			_ = c.cur.Close() // read only
			c.cur, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

func (c *concat) advance() error {
	i := c.next
	c.next++
	var fixed []byte
	switch i {
	case -1:
		fixed = segment.Header()
	case len(c.r.parts):
		fixed = segment.Trailer(c.r.sum)
	default:
		p := c.r.parts[i]
		skip := min(c.skip, p.Packed)
		c.skip -= skip
		if skip == p.Packed {
			return nil
		}
		cur, err := c.r.files.ReadRange(c.r.ctx, p.BlobKey, p.Offset+skip, p.Packed-skip)
		c.cur = cur
		return err
	}
	skip := min(c.skip, int64(len(fixed)))
	c.skip -= skip
	c.cur = io.NopCloser(strings.NewReader(string(fixed[skip:])))
	return nil
}

func (c *concat) Close() error {
	if c.cur == nil {
		return nil
	}
	return c.cur.Close()
}

// ownGroup returns a Group of the caller's.
func (s *Service) ownGroup(r *http.Request, caller *auth.Caller, id string) (*store.Group, error) {
	unknown := models.Errorf(models.KindNotFound, "no Group of yours has this id")
	if !models.ValidID(id) {
		return nil, unknown
	}
	g, err := s.Store.OwnGroup(r.Context(), caller.ClientID, id)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return nil, unknown
	case err != nil:
		return nil, models.Errorf(models.KindUnavailable, "the Group cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	if g.ExpiresAt != nil && !s.now().Before(*g.ExpiresAt) {
		return nil, models.Errorf(models.KindGone, "this Group has expired; run the match again")
	}
	return g, nil
}

// readGroup serves a Group as it was published.
func (s *Service) readGroup(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	if strings.HasPrefix(r.PathValue("id"), "$") {
		w.Header().Set("Allow", http.MethodPost)
		return models.Errorf(models.KindMethod, "this operation takes POST")
	}
	if !caller.MayGet("Group") {
		return models.Errorf(models.KindForbidden, "the token does not cover Group")
	}
	g, err := s.ownGroup(r, caller, r.PathValue("id"))
	if err != nil {
		return err
	}
	body, err := s.Files.Open(r.Context(), g.BlobKey)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the Group cannot be read at the moment; try again").Wait(5).Because(err)
	}
	defer body.Close()
	h := w.Header()
	h.Set("Content-Type", answer.FHIRJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", `W/"1"`)
	http.ServeContent(w, r, "", g.CreatedAt, body)
	return nil
}
