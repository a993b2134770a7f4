package activities

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/columns"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// Objects are made of the finished NDJSON files, one of each, so that they hold the same rows by construction: Parquet files, and
// gzip files for stores that hand them out by themselves. What the chunks took is dropped when the job is published.

// CountFiles returns how many files an export has written.
func (a *Activities) CountFiles(ctx context.Context, jobID string) (int, error) {
	files, err := a.writtenFiles(ctx, jobID)
	return len(files), err
}

// FileInput names one file of an export.
type FileInput struct {
	JobID string
	File  int
}

// ConvertFile writes one file of an export in the format of its job. The attempt's blob counts only once it is saved as the
// file's.
func (a *Activities) ConvertFile(ctx context.Context, in FileInput) error {
	there, err := a.Store.ConvertedFiles(ctx, in.JobID)
	if err != nil {
		return err
	}
	if _, done := there[in.File]; done {
		return nil
	}
	files, err := a.writtenFiles(ctx, in.JobID)
	if err != nil {
		return err
	}
	if in.File >= len(files) {
		return models.Errorf(models.KindNotFound, "the job has no such file")
	}
	job, err := a.Store.Job(ctx, in.JobID)
	if err != nil {
		return err
	}
	params, err := exportParams(job)
	if err != nil {
		return err
	}
	made, err := a.makeFile(ctx, &files[in.File], params.Format)
	if err != nil {
		return err
	}
	won, err := a.Store.SaveConverted(ctx, in.JobID, models.NewID(), made)
	if err != nil {
		return err
	}
	if !won {
		return a.Files.Delete(ctx, made.BlobKey)
	}
	return nil
}

// convert writes the lines of a file as Parquet.
func (a *Activities) convert(ctx context.Context, f *models.JobFile, key string) (made store.Converted, err error) {
	lines, err := a.openFile(ctx, f)
	if err != nil {
		return made, err
	}
	defer lines.Close()
	out, err := a.createObject(ctx, key)
	if err != nil {
		return made, err
	}
	defer out.Abort()
	code, _ := fhir.TypeCode(f.Type)
	buffered := bufio.NewWriterSize(out, 1<<20)
	table, err := columns.NewWriter(buffered, code, columns.Options{})
	if err != nil {
		return made, err
	}
	if err := fillTable(ctx, table, lines); err != nil {
		return made, err
	}
	totals, err := table.Close()
	if err != nil {
		return made, err
	}
	if totals.Rows != f.Lines {
		return made, fmt.Errorf("file %d: %d lines written, %d rows converted", f.File, f.Lines, totals.Rows)
	}
	if err := buffered.Flush(); err != nil {
		return made, err
	}
	return out.done(f.File)
}

// openFile returns the lines of a file that is not published yet.
func (a *Activities) openFile(ctx context.Context, f *models.JobFile) (io.ReadCloser, error) {
	parts, err := a.Store.FileParts(ctx, f)
	if err != nil {
		return nil, err
	}
	runs := make([]segment.Sum, len(parts))
	for i, p := range parts {
		runs[i] = segment.Sum{Lines: p.Lines, RawLen: p.Raw, PackedLen: p.Packed, CRC: p.CRC}
	}
	return segment.NewRawReader(func(i int) (io.ReadCloser, error) {
		return a.Files.ReadRange(ctx, parts[i].BlobKey, parts[i].Offset, parts[i].Packed)
	}, runs, 0), nil
}

func fillTable(ctx context.Context, table *columns.Writer, lines io.Reader) error {
	in := fhir.NewReader(lines, 1<<30)
	var facts fhir.Facts
	for {
		n, line, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read lines: %w", err)
		}
		if n%1000 == 0 {
			activity.RecordHeartbeat(ctx, n)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := fhir.Inspect(line, &facts); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		meta := columns.Meta{LastUpdated: facts.LastUpdated, ServiceStart: segment.NoDate, ServiceEnd: segment.NoDate, Patient: string(facts.Patient)}
		if facts.Dated {
			meta.ServiceStart, meta.ServiceEnd = facts.First, facts.Last
		}
		if err := table.Write(line, meta); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// useConverted puts the converted files in the place of those they were made of.
func (a *Activities) useConverted(ctx context.Context, jobID, format string, files []models.JobFile) error {
	converted, err := a.Store.ConvertedFiles(ctx, jobID)
	if err != nil {
		return err
	}
	for i := range files {
		c, ok := converted[files[i].File]
		if !ok {
			return models.Errorf(models.KindConflict, "file %d is not converted", files[i].File)
		}
		files[i].Format, files[i].BlobKey = format, c.BlobKey
		if format == models.FormatGzip {
			files[i].GzipSHA256 = c.SHA256
			continue
		}
		files[i].PackedLen, files[i].IdentitySHA256 = c.Bytes, c.SHA256
	}
	return nil
}

// deletesPerBundle is how many resources one Bundle of a deleted file names.
const deletesPerBundle = 100

// tellDeleted writes the file of a manifest that names what was deleted since _since: transaction Bundles of DELETE entries
// (Bulk Data Access 2.0.0, manifest "deleted"). Without _since, or when nothing was, there is no file.
func (a *Activities) tellDeleted(ctx context.Context, job *models.Job, p models.ExportParams, number int) ([]models.JobFile, error) {
	if p.Since == nil {
		return nil, nil
	}
	var lines [][]byte
	bundle := fhir.Bundle{Type: "transaction"}
	flush := func() error {
		if len(bundle.Entry) == 0 {
			return nil
		}
		line, err := json.Marshal(bundle)
		lines = append(lines, append(line, '\n'))
		bundle.Entry = nil
		return err
	}
	err := a.Store.Deleted(ctx, store.Deletes{
		GroupID: p.GroupID, Members: onlyMembers(p), Types: p.Types, Since: *p.Since, Until: *job.TransactionTime, Now: a.now(), JobID: job.ID,
		Frozen: frozenRoster(job, p),
	}, func(typ int16, id string) error {
		bundle.Entry = append(bundle.Entry, fhir.BundleEntry{Request: &fhir.BundleRequest{Method: "DELETE", URL: fhir.TypeName(typ) + "/" + id}})
		if len(bundle.Entry) == deletesPerBundle {
			return flush()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := flush(); err != nil {
		return nil, fmt.Errorf("write deletes: %w", err)
	}
	return a.smallFile(ctx, models.JobFile{JobID: job.ID, File: number, Kind: "deleted", Type: "Bundle"}, lines)
}
