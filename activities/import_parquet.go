package activities

import (
	"bytes"
	"context"
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
func openParquet(ctx context.Context, body io.Reader) (*parquetLines, error) {
	tmp, err := os.CreateTemp("", "pdex-import-*.parquet")
	if err != nil {
		return nil, err
	}
	p := &parquetLines{file: tmp, buf: make([]parquetRow, 256)}
	if err := os.Remove(tmp.Name()); err != nil { // it lives on until closed
		p.Close()
		return nil, err
	}
	size, err := io.Copy(tmp, &contextReader{ctx, body})
	if err != nil {
		p.Close()
		return nil, err
	}
	file, err := parquet.OpenFile(tmp, size)
	if err != nil {
		p.Close()
		return nil, models.Errorf(models.KindUnprocessable, "a .parquet file of the import is not readable as Parquet")
	}
	leaf, ok := file.Schema().Lookup("resource")
	if !ok || leaf.Node.Type().Kind() != parquet.ByteArray || leaf.Node.Repeated() {
		p.Close()
		return nil, models.Errorf(models.KindUnprocessable, "a .parquet file of the import has no text column named resource")
	}
	p.rows = parquet.NewGenericReader[parquetRow](file)
	return p, nil
}

func (p *parquetLines) Next() (int64, []byte, error) {
	for p.next == p.have {
		if p.end {
			return 0, nil, io.EOF
		}
		n, err := p.rows.Read(p.buf)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, nil, models.Errorf(models.KindUnprocessable, "a .parquet file of the import is damaged")
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
func (p *parquetLines) Close() { _ = p.file.Close() }

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
