package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/manifest"
	"pdexbulk/models/segment"
	"pdexbulk/models/trail"
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
	number, _, _ := strings.Cut(r.PathValue("file"), ".")
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || job.State != models.StateCompleted {
		return unknown
	}
	if job.ExpiresAt != nil && !s.now().Before(*job.ExpiresAt) {
		return models.Errorf(models.KindGone, "the files of this job have expired; start it again")
	}
	f, parts, err := s.Store.File(r.Context(), job.ID, int(n))
	switch {
	case models.KindOf(err) == models.KindNotFound, err == nil && manifest.FileURL(s.Base, *f) != s.Base+"/bulk-files/"+job.ID+"/"+r.PathValue("file"):
		return unknown
	case err != nil:
		return models.Errorf(models.KindUnavailable, "the file cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	trail.Of(r.Context()).Target = r.PathValue("file")
	if err := mayDownload(caller, job, f); err != nil {
		return err
	}
	release, err := s.hold(r.Context(), job)
	if err != nil {
		return err
	}
	defer release()
	if err := s.notWithdrawn(r.Context(), job, f); err != nil {
		return err
	}
	if err := s.present(r.Context(), parts); err != nil {
		return err
	}
	switch f.Format {
	case models.FormatDeflate, models.FormatGzip:
		s.serve(w, r, f, parts)
		return nil
	default:
		return s.serveObject(w, r, f)
	}
}

// mayDownload holds a file of a job against its client, as it is registered now, and the token's scopes. Result files of a match hold what
// the caller sent, and are for the organisation that asked; an export's need the scope of their type, or of all types of the job where they are of several.
func mayDownload(c *auth.Caller, job *models.Job, f *models.JobFile) error {
	switch {
	case job.Operation.IsMatch(), f.Kind == "deleted", job.OrganizedBy() != "" && f.Kind == "output":
		return covers(c, job)
	case f.Kind == "output" && !c.MayRead(f.Type):
		return models.Errorf(models.KindForbidden, "the token does not cover %s", f.Type)
	}
	_, err := openTo(c, job)
	return err
}

// serveObject serves a file that is kept as it is handed out.
func (s *Service) serveObject(w http.ResponseWriter, r *http.Request, f *models.JobFile) error {
	body, err := s.Files.Open(r.Context(), f.BlobKey)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the file cannot be read at the moment; try again").Wait(5).Because(err)
	}
	defer body.Close()
	h := w.Header()
	h.Set("Content-Type", f.Format)
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", fmt.Sprintf(`"%s-%d"`, f.JobID, f.File))
	setDigest(h, f.IdentitySHA256)
	http.ServeContent(&fileWriter{ResponseWriter: w, request: r, log: s.Log, size: f.PackedLen}, usableRange(r), "", time.Time{}, body)
	return nil
}

// present checks that a file's content is still there before anything is answered: it goes when the job expires or is
// deleted, which may happen at this moment.
func (s *Service) present(ctx context.Context, parts []models.FilePart) error {
	if len(parts) == 0 {
		return models.Errorf(models.KindNotFound, "the files of this job are gone")
	}
	_, err := s.Files.Size(ctx, parts[0].BlobKey)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return models.Errorf(models.KindNotFound, "the files of this job are gone")
	case err != nil:
		return models.Errorf(models.KindUnavailable, "the file cannot be read at the moment; try again").Wait(5).Because(err)
	}
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
	setDigest(h, s.digest(r, f, parts, body.gzip))
	defer body.Close()
	out := &fileWriter{ResponseWriter: w, request: r, log: s.Log, size: body.size()}
	http.ServeContent(out, usableRange(r), "", time.Time{}, body) // the ETag is the validator: a file never changes
	if err := body.fault(); err != nil && r.Context().Err() == nil {
		s.Log.ErrorContext(r.Context(), "a file could not be served to its end", "job", f.JobID, "file", f.File, "error", answer.Trail(err))
		panic(http.ErrAbortHandler) // the client must see that it is cut short
	}
}

// byteRanges is the form of Range that is honoured, and for how many ranges: to begin in the middle of packed lines costs
// their inflation, so a long list of small ranges would be dear.
var byteRanges = regexp.MustCompile(`^bytes=[0-9 \t]*-[0-9 \t]*(,[0-9 \t]*-[0-9 \t]*){0,7}$`)

// usableRange drops a Range of any other form, as a server may do with every Range (RFC 9110 section 14.2).
func usableRange(r *http.Request) *http.Request {
	if v := r.Header.Values("Range"); len(v) == 0 || len(v) == 1 && byteRanges.MatchString(v[0]) {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	return r
}

// fileWriter gives http.ServeContent what it lacks: the length of a whole file that has a Content-Encoding, and a refusal in
// the form of the FHIR routes.
type fileWriter struct {
	http.ResponseWriter
	request *http.Request
	log     *slog.Logger
	size    int64
	refused bool
}

func (w *fileWriter) WriteHeader(status int) {
	switch status {
	case http.StatusOK:
		w.Header().Set("Content-Length", strconv.FormatInt(w.size, 10))
	case http.StatusRequestedRangeNotSatisfiable:
		w.refused = true
		w.Header().Del("Repr-Digest") // it is of the file
		body, err := json.Marshal(fhir.Outcome(fhir.NewIssue(fhir.SeverityError, fhir.IssueInvalid, "the file has no such range; see Content-Range for its length", "http.Range")))
		if err != nil {
			w.log.ErrorContext(w.request.Context(), "an OperationOutcome could not be written", "error", err)
		}
		answer.Write(w.ResponseWriter, status, answer.FHIRJSON, body)
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *fileWriter) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (w *fileWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func fileSum(f *models.JobFile) segment.Sum {
	return segment.Sum{Lines: f.Lines, RawLen: f.RawLen, PackedLen: f.PackedLen, CRC: uint32(f.CRC)}
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3).
func acceptsGzip(h http.Header) bool {
	wildcard := false
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
			wildcard = q > 0
		}
	}
	return wildcard
}
