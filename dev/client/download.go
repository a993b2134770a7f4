package client

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/tidwall/gjson"
)

const (
	ndjson  = "application/fhir+ndjson"
	maxLine = 64 << 20
)

// Totals is what a download came to.
type Totals struct {
	Files  int
	Lines  int64
	Bytes  int64            // of NDJSON
	Wire   int64            // as transferred
	ByType map[string]int64 // lines
}

func (t *Totals) add(o Totals) {
	t.Files += o.Files
	t.Lines += o.Lines
	t.Bytes += o.Bytes
	t.Wire += o.Wire
	for resourceType, n := range o.ByType {
		t.ByType[resourceType] += n
	}
}

// Download streams a file of a manifest and gives each line, without its newline, to each, which must not keep it; nil
// only checks. It is an error when the answer is not NDJSON of non-blank JSON objects, all of the file's type where it has one and as
// many as the manifest says, or when a gzip body is more than one member. What was given to each before stays given.
func (c *Client) Download(ctx context.Context, m *Manifest, file File, each func(line []byte) error) (Totals, error) {
	totals := Totals{ByType: map[string]int64{}}
	resp, err := c.openFile(ctx, m, file)
	if err != nil {
		return totals, fmt.Errorf("download %s: %w", file.Type, err)
	}
	defer resp.Body.Close()
	wire := &countingReader{r: resp.Body}
	if file.Type == "" && m.OutputOrganizedBy == "" {
		return totals, errors.New("the manifest says of no type what it is a file of")
	}
	lines, size, err := readLines(wire, resp.Header.Get("Content-Encoding"), file.Type, each)
	if err == nil && file.Count != nil && lines != *file.Count {
		err = fmt.Errorf("%d lines where the manifest says %d", lines, *file.Count)
	}
	if err != nil {
		return totals, fmt.Errorf("download %s: %w", file.Type, err)
	}
	totals.Files, totals.Lines, totals.Bytes, totals.Wire = 1, lines, size, wire.n
	if file.Type != "" {
		totals.ByType[file.Type] = lines
	}
	return totals, nil
}

func (c *Client) openFile(ctx context.Context, m *Manifest, file File) (*http.Response, error) {
	header := http.Header{"Accept": {ndjson}, "Accept-Encoding": {"gzip"}}
	if c.cfg.Identity {
		header.Set("Accept-Encoding", "identity")
	}
	var resp *http.Response
	var err error
	if m.RequiresAccessToken {
		resp, err = c.Do(ctx, http.MethodGet, file.URL, header, nil)
	} else {
		resp, err = c.openFree(ctx, file.URL, header)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, answerError(resp)
	}
	if got := mediaType(resp.Header); got != ndjson {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the file is %q, not %s", got, ndjson)
	}
	return resp, nil
}

// openFree gets a file that needs no token; it is then not sent one (Bulk Data Access, requiresAccessToken).
func (c *Client) openFree(ctx context.Context, fileURL string, header http.Header) (*http.Response, error) {
	if u, err := url.Parse(fileURL); err != nil || !u.IsAbs() {
		return nil, errors.New("the file URL is not absolute")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fileURL, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header = header
	return c.cfg.HTTP.Do(req)
}

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return h.Get("Content-Type")
	}
	return t
}

// readLines reads a body in its encoding and returns the count of lines and their bytes with newlines.
func readLines(body io.Reader, encoding, resourceType string, each func([]byte) error) (lines, size int64, err error) {
	wire := bufio.NewReaderSize(body, 256<<10)
	plain := io.Reader(wire)
	switch encoding {
	case "gzip":
		z, err := gzip.NewReader(wire)
		if err != nil {
			return 0, 0, fmt.Errorf("read gzip: %w", err)
		}
		z.Multistream(false)
		plain = z
	case "", "identity":
	default:
		return 0, 0, fmt.Errorf("encoding %q was not asked for", encoding)
	}
	scanner := bufio.NewScanner(plain)
	scanner.Buffer(make([]byte, 0, 256<<10), maxLine)
	// After a broken read the scanner hands out what it has as a last line: not to be used.
	for scanner.Scan() && scanner.Err() == nil {
		line := scanner.Bytes()
		lines++
		size += int64(len(line)) + 1
		if err := checkLine(line, resourceType); err != nil {
			return lines, size, fmt.Errorf("line %d %w", lines, err)
		}
		if each == nil {
			continue
		}
		if err := each(line); err != nil {
			return lines, size, err
		}
	}
	if err := scanner.Err(); err != nil {
		return lines, size, fmt.Errorf("after line %d: %w", lines, err)
	}
	if _, err := wire.Peek(1); !errors.Is(err, io.EOF) {
		return lines, size, errors.New("bytes follow the gzip member, which many clients would lose")
	}
	return lines, size, nil
}

func checkLine(line []byte, resourceType string) error {
	if len(line) == 0 || !gjson.ValidBytes(line) {
		return errors.New("is not JSON")
	}
	if got := gjson.GetBytes(line, "resourceType"); got.Type != gjson.String || resourceType != "" && got.Str != resourceType {
		return errors.New("is of another type than its file")
	}
	return nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Sink says where DownloadAll puts what it gets. With both fields empty it only checks.
type Sink struct {
	// Dir gets one file for each of the manifest's, such as 00001.Patient.ndjson, 00001.deleted.ndjson and
	// 00001.error.ndjson. A file appears when it is complete and checked.
	Dir string
	// Each is given every line of every file; several goroutines call it at once, each with lines of one file.
	Each func(file File, line []byte) error
}

// DownloadAll downloads every file of a manifest, output, deleted and error, parallel at a time (at least one). The first
// error ends it.
func (c *Client) DownloadAll(ctx context.Context, m *Manifest, parallel int, sink Sink) (Totals, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type task struct {
		file File
		name string
	}
	tasks := make(chan task)
	total := Totals{ByType: map[string]int64{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range max(1, parallel) {
		wg.Go(func() {
			for t := range tasks {
				got, err := c.downloadTo(ctx, m, t.file, t.name, sink)
				if err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				total.add(got)
				mu.Unlock()
			}
		})
	}
	send := func(files []File, kind string) {
		for i, file := range files {
			name := kind
			if name == "" {
				name = cmp.Or(file.Type, m.OutputOrganizedBy)
			}
			select {
			case tasks <- task{file, fmt.Sprintf("%05d.%s.ndjson", i+1, filepath.Base(name))}:
			case <-ctx.Done():
				return
			}
		}
	}
	send(m.Output, "")
	send(m.Deleted, "deleted")
	send(m.Error, "error")
	close(tasks)
	wg.Wait()
	return total, context.Cause(ctx)
}

// downloadTo downloads one file to the sink. A file on disk is written under another name until it is whole.
func (c *Client) downloadTo(ctx context.Context, m *Manifest, file File, name string, sink Sink) (Totals, error) {
	each := func(line []byte) error {
		if sink.Each == nil {
			return nil
		}
		return sink.Each(file, line)
	}
	if sink.Dir == "" {
		return c.Download(ctx, m, file, each)
	}
	f, err := os.CreateTemp(sink.Dir, name+".*.part")
	if err != nil {
		return Totals{}, fmt.Errorf("download %s: %w", file.Type, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // finds nothing once the file has been renamed
	w := bufio.NewWriterSize(f, 256<<10)
	totals, err := c.Download(ctx, m, file, func(line []byte) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		if err := w.WriteByte('\n'); err != nil {
			return err
		}
		return each(line)
	})
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		return totals, err
	}
	return totals, os.Rename(f.Name(), filepath.Join(sink.Dir, name))
}
