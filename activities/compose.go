package activities

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"strconv"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// compose joins the stretches of a file to one object, a whole gzip file, so that the file store can hand it out by itself.
func (a *Activities) compose(ctx context.Context, f *models.JobFile, key string) (store.Converted, error) {
	parts, err := a.Store.FileParts(ctx, f)
	if err != nil {
		return store.Converted{}, err
	}
	out, err := a.createObject(ctx, key)
	if err != nil {
		return store.Converted{}, err
	}
	defer out.Abort()
	if _, err := out.Write(segment.Header()); err != nil {
		return store.Converted{}, err
	}
	for _, p := range parts {
		if err := a.appendPart(ctx, out, p); err != nil {
			return store.Converted{}, fmt.Errorf("file %d: %w", f.File, err)
		}
	}
	if _, err := out.Write(segment.Trailer(gzipSum(f))); err != nil {
		return store.Converted{}, err
	}
	if want := gzipSum(f).GzipLen(); out.size != want {
		return store.Converted{}, fmt.Errorf("file %d: %d bytes composed, %d expected", f.File, out.size, want)
	}
	return out.done(f.File)
}

func gzipSum(f *models.JobFile) segment.Sum {
	return segment.Sum{Lines: f.Lines, RawLen: f.RawLen, PackedLen: f.PackedLen, CRC: uint32(f.CRC)}
}

// appendPart copies one stretch, all of it.
func (a *Activities) appendPart(ctx context.Context, out io.Writer, p models.FilePart) error {
	in, err := a.Files.ReadRange(ctx, p.BlobKey, p.Offset, p.Packed)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := io.Copy(out, in)
	if err == nil && n != p.Packed {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// object is a blob that is served as it is, with the SHA-256 and the number of its bytes.
type object struct {
	blob.Writer
	key  string
	sum  hash.Hash
	size int64
}

func (a *Activities) createObject(ctx context.Context, key string) (*object, error) {
	w, err := a.Files.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	return &object{Writer: w, key: key, sum: sha256.New()}, nil
}

func (o *object) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	o.sum.Write(b[:n])
	o.size += int64(n)
	return n, err
}

// done commits the object and says what it is.
func (o *object) done(file int) (store.Converted, error) {
	if err := o.Commit(); err != nil {
		return store.Converted{}, err
	}
	return store.Converted{File: file, BlobKey: o.key, Bytes: o.size, SHA256: o.sum.Sum(nil)}, nil
}

// smallFile writes a file of a few lines as an object of its own. No lines make no file.
func (a *Activities) smallFile(ctx context.Context, f models.JobFile, lines [][]byte) ([]models.JobFile, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	packed, sum, err := segment.Pack(nil, lines...)
	if err != nil {
		return nil, err
	}
	out, err := a.createObject(ctx, attemptKey("exports/"+f.JobID+"/"+f.Kind))
	if err != nil {
		return nil, err
	}
	defer out.Abort()
	if _, err := io.Copy(out, io.MultiReader(bytes.NewReader(segment.Header()), bytes.NewReader(packed), bytes.NewReader(segment.Trailer(sum)))); err != nil {
		return nil, err
	}
	whole, err := out.done(f.File)
	if err != nil {
		return nil, err
	}
	f.BlobKey, f.LastChunk, f.Format, f.GzipSHA256 = whole.BlobKey, -1, models.FormatGzip, whole.SHA256
	f.Lines, f.RawLen, f.PackedLen, f.CRC = sum.Lines, sum.RawLen, sum.PackedLen, int32(sum.CRC)
	return []models.JobFile{f}, nil
}

// makeFile writes one file of an export in the format of its job.
func (a *Activities) makeFile(ctx context.Context, f *models.JobFile, format string) (store.Converted, error) {
	folder := "exports/" + f.JobID
	switch format {
	case models.FormatGzip:
		return a.compose(ctx, f, attemptKey(folder+"/gzip/"+strconv.Itoa(f.File)))
	case models.FormatParquet:
		return a.convert(ctx, f, attemptKey(folder+"/parquet/"+strconv.Itoa(f.File)))
	default:
		return store.Converted{}, models.Errorf(models.KindInternal, "the job asks for a format nobody writes")
	}
}
