package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

func sortedTypes(m map[int16]*typeBuffer) []int16 { return slices.Sorted(maps.Keys(m)) }

// blobWriter opens its blob at the first byte, so that nothing is made when there is nothing to write.
type blobWriter struct {
	files blob.Store
	key   string
	w     blob.Writer
	n     int64
}

// append writes b and returns where in the blob it begins.
func (w *blobWriter) append(ctx context.Context, b []byte) (int64, error) {
	if w.w == nil {
		out, err := w.files.Create(ctx, w.key)
		if err != nil {
			return 0, err
		}
		w.w = out
	}
	at := w.n
	n, err := w.w.Write(b)
	w.n += int64(n)
	return at, err
}

func (w *blobWriter) commit() error { return w.w.Commit() }

func (w *blobWriter) abort() {
	if w.w != nil {
		w.w.Abort()
	}
}

// Published says how a job ended.
type Published struct {
	Files     int
	Resources int64
	Members   int64
	Expires   time.Time
}

// PublishExport checks the balance and makes the manifest's files of the chunks' parts. From here on the client can see
// them, and not one moment before. What attempts wrote that were cut off before they could publish it is deleted.
func (a *Activities) PublishExport(ctx context.Context, jobID string) (*Published, error) {
	out, err := a.publishExport(ctx, jobID)
	if err != nil {
		return nil, err
	}
	return out, a.dropOrphans(ctx, jobID, "exports/"+jobID)
}

func (a *Activities) publishExport(ctx context.Context, jobID string) (*Published, error) {
	acc, missing, err := a.Store.ChunkAccounting(ctx, jobID)
	if err != nil {
		return nil, err
	}
	if missing > 0 {
		return nil, models.Errorf(models.KindConflict, "%d chunks are not published", missing)
	}
	if wrong := acc.Check(); wrong != "" {
		return nil, models.Errorf(models.KindConflict, "the export is not complete: %s", wrong)
	}
	job, err := a.Store.Job(ctx, jobID)
	if err != nil {
		return nil, err
	}
	params, err := exportParams(job)
	if err != nil {
		return nil, err
	}
	files, err := a.writtenFiles(ctx, jobID)
	if err != nil {
		return nil, err
	}
	if lines := countLines(files); lines != acc.Written {
		return nil, models.Errorf(models.KindConflict, "the export is not complete: %d resources written, %d in files", acc.Written, lines)
	}
	if params.Format != "" {
		if err := a.useConverted(ctx, jobID, params.Format, files); err != nil {
			return nil, err
		}
	}
	deleted, err := a.tellDeleted(ctx, job, params, len(files))
	if err != nil {
		return nil, err
	}
	files = append(files, deleted...)
	ignored, err := a.tellIgnored(ctx, job, params, acc.TooOld, len(files))
	if err != nil {
		return nil, err
	}
	files = append(files, ignored...)
	now := a.now()
	expires := now.Add(a.Retention)
	done, err := a.Store.CompleteJob(ctx, jobID, files, acc, now, expires, nil)
	if err != nil {
		return nil, err
	}
	if !done {
		return a.published(ctx, jobID)
	}
	return &Published{Files: len(files), Resources: countLines(files), Members: acc.Members, Expires: expires}, nil
}

// writtenFiles returns the files that the published parts of a job make.
func (a *Activities) writtenFiles(ctx context.Context, jobID string) ([]models.JobFile, error) {
	var files []models.JobFile
	err := a.Store.PublishedParts(ctx, jobID, func(chunk int, p store.Part) error {
		files = addPart(files, jobID, chunk, p)
		return nil
	})
	return files, err
}

func countLines(files []models.JobFile) (n int64) {
	for _, f := range files {
		if f.Kind == "output" {
			n += f.Lines
		}
	}
	return n
}

// addPart puts a part into the last file when it is of the same type and has room, else into a new one. Parts come in the
// order of types and chunks; a chunk is never split between files.
func addPart(files []models.JobFile, jobID string, chunk int, p store.Part) []models.JobFile {
	name := fhir.TypeName(p.Type)
	n := len(files)
	full := n == 0 || files[n-1].Type != name ||
		chunk != files[n-1].LastChunk && (files[n-1].Lines+p.Lines > fileLines || files[n-1].PackedLen+p.Packed > filePacked)
	if full {
		files = append(files, models.JobFile{JobID: jobID, File: n, Kind: "output", Type: name, FirstChunk: chunk, Format: models.FormatDeflate})
		n++
	}
	f := &files[n-1]
	sum := segment.Sum{Lines: f.Lines, RawLen: f.RawLen, CRC: uint32(f.CRC), PackedLen: f.PackedLen}.
		Add(segment.Sum{Lines: p.Lines, RawLen: p.Raw, CRC: p.CRC, PackedLen: p.Packed})
	f.LastChunk = chunk
	f.Lines, f.RawLen, f.PackedLen, f.CRC = sum.Lines, sum.RawLen, sum.PackedLen, int32(sum.CRC)
	return files
}

// dropOrphans deletes the blobs beneath a completed job's folders that do not count. An attempt that is still writing one
// finds the job completed, and deletes what it wrote after this.
func (a *Activities) dropOrphans(ctx context.Context, jobID string, folders ...string) error {
	counts, err := a.Store.Blobs(ctx, jobID)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		for blob, err := range a.Files.List(ctx, folder) {
			if err != nil {
				return fmt.Errorf("list files: %w", err)
			}
			if counts[blob.Key] {
				continue
			}
			if err := a.Files.Delete(ctx, blob.Key); err != nil {
				return fmt.Errorf("delete a file that was not published: %w", err)
			}
		}
	}
	return nil
}

// published describes a job that an earlier attempt completed.
func (a *Activities) published(ctx context.Context, jobID string) (*Published, error) {
	job, err := a.Store.Job(ctx, jobID)
	if err != nil {
		return nil, err
	}
	if job.State != models.StateCompleted || job.ExpiresAt == nil {
		return nil, models.Errorf(models.KindConflict, "the job ended as %s", job.State)
	}
	files, err := a.Store.Files(ctx, jobID)
	if err != nil {
		return nil, err
	}
	return &Published{Files: len(files), Resources: countLines(files), Members: job.Accounting.Members, Expires: *job.ExpiresAt}, nil
}

// IsPaused tells whether an administrator holds the run of a job back. A job that was deleted is not held: its run is about to end.
func (a *Activities) IsPaused(ctx context.Context, jobID string) (bool, error) {
	job, err := a.Store.Job(ctx, jobID)
	if models.KindOf(err) == models.KindNotFound {
		return false, nil
	}
	return err == nil && job.PausedAt != nil, err
}

// FailInput says why a job could not be done, in words for its client.
type FailInput struct {
	JobID  string
	State  models.State
	Reason string
}

// FailJob closes a job that could not be done and drops what was written for it, but for that of a failed export: an administrator may
// have it go on, and a sweep deletes it later. A job that was completed before all the same keeps its files: its client can see them.
func (a *Activities) FailJob(ctx context.Context, in FailInput) error {
	if err := a.Store.FailJob(ctx, in.JobID, in.State, in.Reason, a.now()); err != nil {
		return err
	}
	job, err := a.Store.Job(ctx, in.JobID)
	switch {
	case models.KindOf(err) == models.KindNotFound: // deleted by its client
	case err != nil:
		return err
	case job.State == models.StateCompleted, job.State == models.StateFailed && !job.Operation.IsMatch():
		return nil
	}
	return a.PurgeJob(ctx, in.JobID)
}

// PurgeJob deletes a job's files and what leads to them. The Group of a match outlives them. While a download is under way it
// fails, to be tried again, unless the client has deleted the job.
func (a *Activities) PurgeJob(ctx context.Context, jobID string) error {
	purged, err := a.Store.PurgeJob(ctx, jobID, a.now())
	if err != nil {
		return err
	}
	if !purged {
		return models.Errorf(models.KindUnavailable, "files of the job are being downloaded, or its run goes on")
	}
	for _, prefix := range []string{"exports/", "matches/"} {
		if err := a.Files.DeletePrefix(ctx, prefix+jobID); err != nil {
			return fmt.Errorf("delete files: %w", err)
		}
	}
	return a.dropOrphans(ctx, jobID, "groups/"+jobID)
}
