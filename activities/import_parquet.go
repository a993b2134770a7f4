package activities

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// parquetRow is the one column we read: the resource as JSON text. A file may have other columns; they are ignored.
type parquetRow struct {
	Resource string `parquet:"resource"`
}

// parquetLines reads the resource column of a Parquet file. Line numbers are row numbers, from 1.
type parquetLines struct {
	file *os.File
	rows *parquet.GenericReader[parquetRow]
	buf  []parquetRow
	next int
	have int
	row  int64
	end  bool
}

// openParquet copies the source to a scratch file, because a Parquet file is read from its end.
func openParquet(ctx context.Context, body io.Reader) (p *parquetLines, err error) {
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	tmp, err := os.CreateTemp("", "pdex-import-*.parquet")
	if err != nil {
		return nil, err
	}
	p = &parquetLines{file: tmp, buf: make([]parquetRow, 256)}
	if err := os.Remove(tmp.Name()); err != nil { // it lives on until closed
		return p, err
	}
	size, err := io.Copy(tmp, &contextReader{ctx, body})
	if err != nil {
		return p, err
	}
	defer damagedParquet(&err)
	if !footerFits(tmp, size) {
		return p, errParquet()
	}
	file, err := parquet.OpenFile(tmp, size)
	if err != nil {
		return p, errParquet()
	}
	leaf, ok := file.Schema().Lookup("resource")
	if !ok || leaf.Node.Type().Kind() != parquet.ByteArray || leaf.Node.Repeated() {
		return p, models.Errorf(models.KindUnprocessable, "a .parquet file of the import has no text column named resource")
	}
	p.rows = parquet.NewGenericReader[parquetRow](file)
	return p, nil
}

// footerFits reports whether the file can have a footer of the length it says, which the decoder believes and allocates.
func footerFits(file io.ReaderAt, size int64) bool {
	const magic, length = 4, 4
	var b [length]byte
	if size < magic+length+magic {
		return false
	}
	if _, err := file.ReadAt(b[:], size-magic-length); err != nil {
		return false
	}
	return int64(binary.LittleEndian.Uint32(b[:])) <= size-magic-length-magic
}

func errParquet() error {
	return models.Errorf(models.KindUnprocessable, "a .parquet file of the import is damaged or no Parquet file")
}

// damagedParquet turns a panic into an error: the decoder panics on some damaged files.
func damagedParquet(err *error) {
	if recover() != nil {
		*err = errParquet()
	}
}

// Blank is 0: a row without a resource is refused.
func (p *parquetLines) Blank() int64 { return 0 }

func (p *parquetLines) Next() (row int64, resource []byte, err error) {
	defer damagedParquet(&err)
	for p.next == p.have {
		if p.end {
			return 0, nil, io.EOF
		}
		n, err := p.rows.Read(p.buf)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, nil, errParquet()
		}
		p.next, p.have, p.end = 0, n, err != nil
	}
	p.row++
	line := p.buf[p.next].Resource
	p.next++
	if len(line) > fhir.DefaultMaxLine {
		return p.row, nil, &fhir.Reject{Reason: fhir.ReasonTooLong, Offset: fhir.DefaultMaxLine}
	}
	if strings.ContainsAny(line, "\n\r") { // a stored line is one line
		var flat bytes.Buffer
		if json.Compact(&flat, []byte(line)) == nil {
			return p.row, flat.Bytes(), nil
		}
	}
	return p.row, []byte(line), nil
}

// Close lets go of the scratch file.
func (p *parquetLines) Close() {
	if p != nil {
		_ = p.file.Close() // it is gone with that
	}
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
