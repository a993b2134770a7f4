package activities

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/tidwall/gjson"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"pdexbulk/activities/spill"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
)

const (
	// runBudget is the memory of one sorted run. A scan holds one for each processor.
	runBudget = 48 << 20
	// bucketBytes is about how much of the source one bucket holds.
	bucketBytes = 64 << 20
	// gzipRatio is how much larger a gzip source is taken to be than its bytes, for choosing buckets.
	gzipRatio = 10
	// heldRejects is how many rejects of a file are held before they are recorded: every line may be one.
	heldRejects = 50_000
	// blockBytes is how much of a file is handed from the reader to a parser at a time.
	blockBytes = 1 << 20
)

// ImportPlan is what an import's workflow has to do.
type ImportPlan struct {
	Files   int
	Buckets int
}

// PlanImport lists the source's files and starts the import.
func (a *Activities) PlanImport(ctx context.Context, importID string) (*ImportPlan, error) {
	imp, err := a.Store.Import(ctx, importID)
	if err != nil {
		return nil, err
	}
	sources, others, err := a.importSources(ctx, imp)
	if err != nil {
		return nil, err
	}
	var files []models.ImportFile
	var size int64
	for i, src := range sources {
		files = append(files, models.ImportFile{ImportID: imp.ID, File: i, Name: src.Name, Bytes: src.Size})
		if isNDJSON(strings.TrimSuffix(src.Name, ".gz")) && !strings.HasSuffix(src.Name, ".gz") {
			size += src.Size
		} else {
			size += src.Size * gzipRatio
		}
	}
	// Files that are not read are listed like lines that cannot be taken: they may have been meant.
	var ignored []models.ImportReject
	for _, src := range others {
		n := len(files)
		files = append(files, models.ImportFile{ImportID: imp.ID, File: n, Name: src.Name, Bytes: src.Size, Scanned: true, Stats: models.ImportStats{Ignored: 1}})
		ignored = append(ignored, models.ImportReject{FileNo: n, Reason: reasonIgnored})
	}
	want := uint(size/bucketBytes + 1)
	buckets := min(1<<bits.Len(want-1), spill.MaxBuckets)
	imp, err = a.Store.StartImport(ctx, imp.ID, files, buckets)
	if err != nil {
		return nil, err
	}
	if imp.State != models.StateRunning {
		return nil, models.Errorf(models.KindConflict, "the import has ended")
	}
	if err := a.Store.AddRejects(ctx, imp.ID, ignored); err != nil {
		return nil, err
	}
	known, err := a.Store.ImportFiles(ctx, imp.ID)
	if err != nil {
		return nil, err
	}
	// Those that are not read come last.
	known = slices.DeleteFunc(known, func(f models.ImportFile) bool { return f.Stats.Ignored > 0 })
	return &ImportPlan{Files: len(known), Buckets: imp.Buckets}, nil
}

// reasonIgnored is the reject code of a file that is in no format we read; it stands at line 0.
const reasonIgnored = "ignored-file"

// importSources lists the files of an import's source that are in a format we read, and the others.
func (a *Activities) importSources(ctx context.Context, imp *models.Import) (sources, others []blob.Source, err error) {
	all, err := blob.Sources(ctx, imp.Source, a.ImportRoots)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range all {
		if isNDJSON(strings.TrimSuffix(s.Name, ".gz")) || strings.HasSuffix(s.Name, ".parquet") {
			sources = append(sources, s)
		} else {
			others = append(others, s)
		}
	}
	if len(sources) == 0 {
		return nil, nil, models.Errorf(models.KindInvalid, "the source holds no .ndjson, .ndjson.gz or .parquet file")
	}
	return sources, others, nil
}

func isNDJSON(name string) bool { return strings.HasSuffix(name, ".ndjson") }

// ScanInput names one file of an import.
type ScanInput struct {
	ImportID string
	File     int
}

// ScanFile reads one file: every line is parsed once and spilled, sorted by member, or lands on the rejects list.
func (a *Activities) ScanFile(ctx context.Context, in ScanInput) error {
	imp, err := a.Store.Import(ctx, in.ImportID)
	if err != nil {
		return err
	}
	if imp.State != models.StateRunning {
		return models.Errorf(models.KindConflict, "the import is not running")
	}
	files, err := a.Store.ImportFiles(ctx, imp.ID)
	if err != nil {
		return err
	}
	if in.File >= len(files) {
		return models.Errorf(models.KindNotFound, "the import has no such file")
	}
	file := files[in.File]
	if file.Scanned {
		return nil
	}
	sources, _, err := a.importSources(ctx, imp)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(sources, func(s blob.Source) bool { return s.Name == file.Name })
	if i < 0 {
		return models.Errorf(models.KindNotFound, "a file of the import has gone")
	}
	s := &scan{a: a, imp: imp, file: file, prefix: attemptKey(fmt.Sprintf("imports/%s/%d", imp.ID, file.File))}
	if err := s.run(ctx, sources[i]); err != nil {
		return errors.Join(err, a.Files.DeletePrefix(context.WithoutCancel(ctx), s.prefix))
	}
	won, err := a.Store.FinishScan(ctx, s.file, s.runs, s.rejects, s.deletes)
	if err != nil {
		return err
	}
	if !won {
		return a.Files.DeletePrefix(ctx, s.prefix)
	}
	return nil
}

// scan reads one file with one reader and a parser for each processor.
type scan struct {
	a      *Activities
	imp    *models.Import
	file   models.ImportFile
	prefix string

	read    atomic.Int64 // bytes, for heartbeats
	mu      sync.Mutex
	stats   models.ImportStats
	runs    []models.ImportRun
	rejects []models.ImportReject
	deletes []models.ImportDelete
}

// block is some lines of a file. Line i ends at ends[i].
type block struct {
	data    []byte
	ends    []int
	numbers []int64
}

func (s *scan) run(ctx context.Context, src blob.Source) error {
	body, err := src.Open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	blocks := make(chan *block, runtime.GOMAXPROCS(0))
	free := make(chan *block, 2*cap(blocks)+2)
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error { return s.parse(ctx, blocks, free) })
	}
	g.Go(func() error {
		defer close(blocks)
		return s.split(ctx, src.Name, body, blocks, free)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	s.stats.Files, s.stats.Bytes = 1, s.read.Load()
	s.file.Stats = s.stats
	return nil
}

// lines yields the lines of a file in a format told by its name. A line longer than the limit comes as its error.
type lines interface {
	Next() (number int64, line []byte, err error)
	// Blank is how many lines were passed over because they were blank.
	Blank() int64
	Close()
}

func (s *scan) split(ctx context.Context, name string, body io.Reader, blocks chan<- *block, free chan *block) error {
	src := &countingReader{r: body, n: &s.read}
	in, err := openLines(ctx, name, src)
	if err != nil {
		return s.damaged(src, err)
	}
	defer in.Close()
	cur := &block{}
	send := func() error {
		activity.RecordHeartbeat(ctx, s.read.Load())
		select {
		case blocks <- cur:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case cur = <-free:
			cur.data, cur.ends, cur.numbers = cur.data[:0], cur.ends[:0], cur.numbers[:0]
		default:
			cur = &block{}
		}
		return nil
	}
	var seen int64
	for {
		n, line, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if reject, ok := errors.AsType[*fhir.Reject](err); ok {
			s.reject(n, string(reject.Reason))
			seen++
			continue
		}
		if err != nil {
			return s.damaged(src, err)
		}
		seen++
		cur.data = append(cur.data, line...)
		cur.ends, cur.numbers = append(cur.ends, len(cur.data)), append(cur.numbers, n)
		if len(cur.data) >= blockBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	s.mu.Lock()
	s.stats.Lines += seen + in.Blank()
	s.stats.Blank += in.Blank()
	s.mu.Unlock()
	return send()
}

// damaged tells a file that is not what its name says from one that could not be reached, which trying again may cure. Of
// what a decoder says nothing is kept but its kind.
func (s *scan) damaged(src *countingReader, err error) error {
	if src.err != nil {
		return fmt.Errorf("read file %d: %w", s.file.File, src.err)
	}
	if _, ours := errors.AsType[*models.Error](err); ours {
		return err
	}
	if strings.HasSuffix(s.file.Name, ".gz") {
		return models.Errorf(models.KindUnprocessable, "file %d of the import is damaged: its compressed data cannot be read to the end", s.file.File)
	}
	return fmt.Errorf("read file %d: %w", s.file.File, err)
}

// openLines opens a file in the format its name tells.
func openLines(ctx context.Context, name string, src io.Reader) (lines, error) {
	if strings.HasSuffix(name, ".parquet") {
		return openParquet(ctx, src)
	}
	if !strings.HasSuffix(name, ".gz") {
		return ndjsonLines{fhir.NewReader(src, 0)}, nil
	}
	z, err := kgzip.NewReader(bufio.NewReaderSize(src, 256<<10))
	if err != nil {
		return nil, err
	}
	return ndjsonLines{fhir.NewReader(z, 0)}, nil
}

type ndjsonLines struct{ *fhir.Reader }

func (ndjsonLines) Close() {}

// countingReader counts what comes from the source, and keeps the source's own failure apart from what a decoder makes of it.
type countingReader struct {
	r   io.Reader
	n   *atomic.Int64
	err error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// reasonBadDeletes is the reject code of a transaction that is not made of deletes by type and id alone.
const reasonBadDeletes = "bad-deletes"

func (s *scan) reject(line int64, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Rejected++
	s.rejects = append(s.rejects, models.ImportReject{ImportID: s.imp.ID, FileNo: s.file.File, Line: line, Reason: reason})
}

// recordRejects records the rejects that were found so far once they are many.
func (s *scan) recordRejects(ctx context.Context) error {
	s.mu.Lock()
	many := s.rejects
	if len(many) < heldRejects {
		s.mu.Unlock()
		return nil
	}
	s.rejects = nil
	s.mu.Unlock()
	return s.a.Store.AddRejects(ctx, s.imp.ID, many)
}

func (s *scan) parse(ctx context.Context, blocks <-chan *block, free chan<- *block) error {
	run := spill.NewRun(runBudget)
	var facts fhir.Facts
	var rec spill.Record
	var body []byte
	for b := range blocks {
		start := 0
		for i, end := range b.ends {
			line := b.data[start:end]
			start = end
			if err := fhir.Inspect(line, &facts); err != nil {
				reason := fhir.ReasonNotJSON
				if r, ok := errors.AsType[*fhir.Reject](err); ok {
					reason = r.Reason
				}
				// A transaction needs no id. The rest of the line was found to be sound before the lack of one.
				if reason != fhir.ReasonNoID || fhir.ResourceTypeOf(line) != "Bundle" || !s.takeDeletes(line, b.numbers[i]) {
					s.reject(b.numbers[i], string(reason))
				}
				continue
			}
			if facts.Type == fhir.TypeBundle && s.takeDeletes(line, b.numbers[i]) {
				continue
			}
			if facts.Type == fhir.TypeBinary {
				if _, err := fhir.ParseBinary(line); err != nil {
					s.reject(b.numbers[i], string(fhir.ReasonBadBinary))
					continue
				}
			}
			body = record(body[:0], line, &facts, &rec)
			rec.File, rec.Line = int32(s.file.File), b.numbers[i]
			if !facts.Sensitive && s.a.Codes.Sensitive(line, facts.Codes) {
				markSensitive(&rec)
			}
			if !run.Fits(len(rec.Body)) {
				if err := s.flush(ctx, run); err != nil {
					return err
				}
			}
			run.Add(&rec)
		}
		select {
		case free <- b:
		default:
		}
		if err := s.recordRejects(ctx); err != nil {
			return err
		}
	}
	return s.flush(ctx, run)
}

// record fills rec from a line, but for its place in the source. It uses body for the line's stored form and returns it for
// the next call.
func record(body, line []byte, f *fhir.Facts, rec *spill.Record) []byte {
	// The hash is of the line without its lastUpdated, so that the same content sent again is known as such.
	body = append(fhir.Stamp(body, line, f, 0), '\n')
	*rec = spill.Record{
		Type: f.Type, StampAt: int32(fhir.StampAt(f)), Hash: segment.Hash(body),
		ServiceStart: segment.NoDate, ServiceEnd: segment.NoDate, ID: f.ID, Body: body,
	}
	switch {
	case f.Type == fhir.TypeBinary:
		rec.Member = models.BinaryID(string(f.ID))
	case f.Patient != nil && !f.Others:
		rec.Member, rec.Patient = models.MemberID(string(f.Patient)), f.Patient
	case f.Patient == nil && !f.Named && fhir.Shareable(f.Type):
		rec.Member = models.SharedID(f.ResourceType(), string(f.ID))
	default:
		rec.Member = models.UnattributedID(f.ResourceType(), string(f.ID))
	}
	rec.Flags = release.Flags(f)
	if f.Sensitive {
		markSensitive(rec)
	}
	if f.PriorAuth {
		rec.Class |= int16(models.ClassPriorAuth)
	}
	if rec.Patient != nil && len(fhir.Attachments(line)) > 0 {
		rec.Class |= int16(models.ClassAttachment)
	}
	if f.Dated {
		rec.ServiceStart, rec.ServiceEnd = f.First, f.Last
	}
	if f.HasLastUpdated {
		rec.Updated = f.LastUpdated
	}
	if v, err := strconv.ParseInt(string(f.VersionID), 10, 32); err == nil && v > 0 {
		rec.Version = int32(v)
	}
	return body
}

func markSensitive(rec *spill.Record) {
	rec.Class |= int16(models.ClassSensitive)
	rec.Flags |= release.FlagSensitive
}

// takeDeletes takes a transaction Bundle of DELETE entries, the form Bulk Data gives deleted resources in, and reports
// whether the line was one. One that cannot be followed to the letter is refused as a whole: what it says is gone must not
// stay unnoticed. Any other Bundle is a resource like others.
func (s *scan) takeDeletes(line []byte, number int64) bool {
	doc := gjson.ParseBytes(line)
	if doc.Get("type").Str != "transaction" {
		return false
	}
	var found []models.ImportDelete
	entries := doc.Get("entry").Array()
	deletes := 0
	for _, e := range entries {
		if e.Get("request.method").Str == "DELETE" {
			deletes++
		}
		typ, id, ok := strings.Cut(e.Get("request.url").Str, "/")
		if code, known := fhir.TypeCode(typ); ok && known && fhir.ValidID(id) {
			found = append(found, models.ImportDelete{ImportID: s.imp.ID, Type: code, ResourceID: id})
		}
	}
	if deletes == 0 {
		return false
	}
	if deletes < len(entries) || len(found) < len(entries) {
		s.reject(number, reasonBadDeletes)
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Deletes++
	s.deletes = append(s.deletes, found...)
	return true
}

func (s *scan) flush(ctx context.Context, run *spill.Run) error {
	if run.Len() == 0 {
		return nil
	}
	s.mu.Lock()
	n := len(s.runs)
	s.runs = append(s.runs, models.ImportRun{})
	s.mu.Unlock()

	key := s.prefix + "/" + strconv.Itoa(n)
	w, err := s.a.Files.Create(ctx, key)
	if err != nil {
		return err
	}
	defer w.Abort()
	dir, err := run.WriteTo(w, s.imp.Buckets)
	if err != nil {
		return err
	}
	if err := w.Commit(); err != nil {
		return err
	}
	run.Reset()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[n] = models.ImportRun{ImportID: s.imp.ID, File: s.file.File, Run: n, BlobKey: key, Directory: dir.Encode()}
	return nil
}

// updatedAt settles a line's meta.lastUpdated: the import's instant, or in a backfill the source's unless that lies ahead.
func updatedAt(imp *models.Import, source int64) int64 {
	at := imp.EffectiveAt.UnixMilli()
	if imp.Mode == models.ImportBackfill && source != 0 {
		return min(source, at)
	}
	return at
}

// stamp writes the instant into a stored line.
func stamp(rec *spill.Record, updated int64) {
	copy(rec.Body[rec.StampAt:], fhir.FormatInstant(updated))
}
