package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pdexbulk/api/answer"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/manifest"
)

// keep returns the parameters an export's job is given: with signed URLs, NDJSON is kept as gzip files that the file store can
// hand out by itself. text is p as JSON.
func (s *Service) keep(p models.ExportParams, text []byte) ([]byte, error) {
	if s.Presign <= 0 || p.Format != models.FormatDeflate {
		return text, nil
	}
	p.Format = models.FormatGzip
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write parameters: %w", err)
	}
	return text, nil
}

// manifest makes the manifest of a completed job, and says until when its links are good. Where every file is an object of its
// own the links are signed, anew with every request and never for longer than the files live; a client must send them no token
// (Bulk Data Access 2.0.0, "requiresAccessToken").
func (s *Service) manifest(ctx context.Context, job *models.Job, files []models.JobFile) (manifest.Manifest, *time.Time, error) {
	life := s.Presign
	if job.ExpiresAt != nil {
		life = min(life, job.ExpiresAt.Sub(s.now()))
	}
	inParts := func(f models.JobFile) bool { return f.Format == models.FormatDeflate }
	if life < time.Second || len(files) == 0 || slices.ContainsFunc(files, inParts) {
		return manifest.Build(job, files, s.Base), job.ExpiresAt, nil
	}
	gone, err := s.withdrawn(ctx, job, nil)
	if err != nil {
		return manifest.Manifest{}, nil, models.Errorf(models.KindUnavailable, "the links to the files cannot be made at the moment; try again").Wait(5).Because(err)
	}
	if gone { // file by file, this server tells which are still to be had
		return manifest.Build(job, files, s.Base), job.ExpiresAt, nil
	}
	// Attachments are served here alone, and what a manifest says of tokens is said of them too.
	attached, err := s.Store.HasAttachments(ctx, job.ID)
	if err != nil {
		return manifest.Manifest{}, nil, models.Errorf(models.KindUnavailable, "the manifest cannot be made at the moment; try again").Wait(5).Because(err)
	}
	if attached {
		return manifest.Build(job, files, s.Base), job.ExpiresAt, nil
	}
	life = life.Truncate(time.Second) // the unit of a signature
	expires := s.now().Add(life)
	urls := make([]string, len(files))
	for i, f := range files {
		h := blob.Headers{ContentType: f.Format}
		if f.Format == models.FormatGzip {
			h = blob.Headers{ContentType: answer.NDJSON, ContentEncoding: "gzip"}
		}
		signed, err := s.Files.SignedURL(ctx, f.BlobKey, life, h)
		if err != nil {
			return manifest.Manifest{}, nil, models.Errorf(models.KindUnavailable, "the links to the files cannot be made at the moment; try again").Wait(5).Because(err)
		}
		urls[i] = signed
	}
	return manifest.BuildOpen(job, files, urls), &expires, nil
}
