package columns

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"

	"pdexbulk/models/fhir"
)

// MediaType is the media type of the files.
const MediaType = "application/vnd.apache.parquet"

// NoDate is a service date that there is none of.
const NoDate int32 = math.MinInt32

// The size of a row group of a Writer that is not told one. A reader takes a row group for a unit of work and of memory.
const (
	DefaultRowGroupRows  = 64 << 10
	DefaultRowGroupBytes = 128 << 20 // of JSON
)

const (
	// pageBytes is how much of one column a page holds, before compression: what a reader inflates to see one value.
	pageBytes = 1 << 20
	// pageRows is after how many rows the pages of the small columns end, so that their statistics can rule out parts of a
	// row group. The resource column goes by pageBytes alone.
	pageRows = 8 << 10
)

// Errors of Write. They hold nothing of the line.
var (
	ErrLine   = errors.New("line is no resource of the type of the file")
	ErrClosed = errors.New("parquet writer is closed")
)

// Options of a Writer. The zero value is good.
type Options struct {
	RowGroupRows  int   // rows of a row group; 0 is DefaultRowGroupRows
	RowGroupBytes int64 // bytes of JSON after which a row group ends; 0 is DefaultRowGroupBytes
}

// Meta is what the index of stored resources knows of a line.
type Meta struct {
	LastUpdated  int64  // ms since 1970-01-01T00:00:00Z
	ServiceStart int32  // days since 1970-01-01; NoDate or fhir.MinDay is null
	ServiceEnd   int32  // days since 1970-01-01; NoDate or fhir.MaxDay is null
	Patient      string // the id of the Patient; "" is null
}

// Totals is what a Writer wrote.
type Totals struct {
	Rows  int64
	Bytes int64 // of the file
}

// Writer writes one Parquet file from front to back. It is not safe for concurrent use.
type Writer struct {
	out          counter
	file         *parquet.GenericWriter[any]
	columns      []*parquet.ColumnWriter
	resourceType string
	paths        paths
	options      Options

	row     [numColumns]parquet.Value
	scratch []byte // the text of row
	rows    int64
	page    int   // rows of the pages being filled
	group   int   // rows of the row group being filled
	raw     int64 // bytes of JSON in it
	closed  bool
	err     error // the first failure; the file is lost with it
}

// NewWriter starts a file of resources of one type, see fhir.TypeCode. It fails on a code that names no type. Nothing is
// written to w before the first row group is full; w is not closed.
func NewWriter(w io.Writer, resourceType int16, options Options) (*Writer, error) {
	name := fhir.TypeName(resourceType)
	if name == "" {
		return nil, fmt.Errorf("start parquet file: %d is no resource type code", resourceType)
	}
	if options.RowGroupRows <= 0 {
		options.RowGroupRows = DefaultRowGroupRows
	}
	if options.RowGroupBytes <= 0 {
		options.RowGroupBytes = DefaultRowGroupBytes
	}
	config, err := parquet.NewWriterConfig(
		schema,
		parquet.CreatedBy("pdexbulk", "1.0.0", "parquet-go"),
		parquet.Compression(&parquet.Zstd),
		parquet.DataPageVersion(1),
		parquet.PageBufferSize(pageBytes),
		parquet.SkipPageBounds(columns[colResource].name),
		parquet.SkipPageStatistics(columns[colResource].name),
		parquet.SkipPageBounds(columns[colCodeDisplay].name),
		parquet.SkipPageStatistics(columns[colCodeDisplay].name),
	)
	if err != nil {
		return nil, fmt.Errorf("start parquet file: %w", err)
	}
	writer := &Writer{out: counter{w: w}, resourceType: name, paths: pathsOf(resourceType), options: options}
	writer.file = parquet.NewGenericWriter[any](&writer.out, config)
	writer.columns = writer.file.ColumnWriters()
	return writer, nil
}

// Write adds one NDJSON line, with or without its line break, as a row; it keeps no hold of line. A line that is not a resource
// of the file's type, or that has no id, is refused with ErrLine, and the file is as before. After any other error the
// file is lost and every call returns that error.
func (w *Writer) Write(line []byte, meta Meta) error {
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return ErrClosed
	}
	line = bytes.TrimRight(line, "\r\n")
	found := extract(string(line), w.paths)
	if found.resourceType != w.resourceType || found.id == "" {
		return fmt.Errorf("row %d: %w", w.rows+1, ErrLine)
	}
	w.fill(line, &found, meta)
	if err := w.add(len(line)); err != nil {
		w.err = fmt.Errorf("write parquet: %w", err)
	}
	return w.err
}

// Close writes what is left and the footer, and returns what the file holds. A file without rows is a good file. Closing again
// returns the same; closing after a failed Write returns its error and leaves the file without a footer, so that nobody can
// take it for a whole one.
func (w *Writer) Close() (Totals, error) {
	if w.err != nil {
		return Totals{}, w.err
	}
	if !w.closed {
		if err := w.file.Close(); err != nil {
			w.err = fmt.Errorf("close parquet: %w", err)
			return Totals{}, w.err
		}
		w.closed = true
	}
	return Totals{Rows: w.rows, Bytes: w.out.n}, nil
}

// fill makes the row of a line.
func (w *Writer) fill(line []byte, found *elements, meta Meta) {
	w.scratch = w.scratch[:0]
	w.text(colResourceType, found.resourceType)
	w.text(colID, found.id)
	w.text(colPatient, meta.Patient)
	w.row[colLastUpdated] = parquet.Int64Value(meta.LastUpdated).Level(0, 0, colLastUpdated)
	w.day(colServiceStart, meta.ServiceStart, fhir.MinDay)
	w.day(colServiceEnd, meta.ServiceEnd, fhir.MaxDay)
	w.text(colCodeSystem, found.concept.system)
	w.text(colCode, found.concept.code)
	w.text(colCodeDisplay, found.concept.label())
	w.text(colStatus, found.status)
	w.row[colResource] = parquet.ByteArrayValue(line).Level(0, 0, colResource)
}

func (w *Writer) text(column int, s string) {
	if s == "" {
		w.row[column] = parquet.NullValue().Level(0, 0, column)
		return
	}
	from := len(w.scratch)
	w.scratch = append(w.scratch, s...)
	w.row[column] = parquet.ByteArrayValue(w.scratch[from:]).Level(0, definition[column], column)
}

func (w *Writer) day(column int, day, open int32) {
	if day == NoDate || day == open {
		w.row[column] = parquet.NullValue().Level(0, 0, column)
		return
	}
	w.row[column] = parquet.Int32Value(day).Level(0, definition[column], column)
}

// definition is the definition level of a value that is there: 1 in a nullable column.
var definition = func() (levels [numColumns]int) {
	for i, c := range columns {
		if c.node.Optional() {
			levels[i] = 1
		}
	}
	return levels
}()

// add hands the row to the columns, which copy it, and ends pages and row groups when they are full.
func (w *Writer) add(size int) error {
	for i, c := range w.columns {
		if _, err := c.WriteRowValues(w.row[i : i+1]); err != nil {
			return err
		}
	}
	w.rows++
	w.page++
	w.group++
	w.raw += int64(size)
	if w.group >= w.options.RowGroupRows || w.raw >= w.options.RowGroupBytes {
		w.page, w.group, w.raw = 0, 0, 0
		return w.file.Flush()
	}
	if w.page < pageRows {
		return nil
	}
	w.page = 0
	for _, c := range w.columns[:colResource] {
		if err := c.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// counter counts what passes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
