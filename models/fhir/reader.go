package fhir

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// DefaultMaxLine is the line limit of a Reader that is given none, in bytes without the line break.
const DefaultMaxLine = 10 << 20

// readBuffer is what a Reader asks of its source at a time. Nearly every resource fits, so that lines are handed out
// without being copied.
const readBuffer = 256 << 10

// Reader splits NDJSON (https://github.com/ndjson/ndjson-spec) into lines. It takes LF and CRLF, a byte order mark before
// the first line, and a last line without a break; it passes over blank lines. It does not look into the lines.
type Reader struct {
	in    *bufio.Reader
	max   int
	long  []byte // a line that did not fit the buffer
	line  int64
	blank int64
	bytes int64
	err   error
}

// NewReader returns a Reader with a limit on the length of a line; 0 means DefaultMaxLine.
func NewReader(in io.Reader, maxLine int) *Reader {
	if maxLine <= 0 {
		maxLine = DefaultMaxLine
	}
	return &Reader{in: bufio.NewReaderSize(in, readBuffer), max: maxLine}
}

// Next returns the next line that is not blank, without its break, and its number, counted from 1 with blank lines. The
// line is valid until the next call. A line over the limit comes back as a *Reject with ReasonTooLong and its number; it
// was not kept in memory, and reading may go on. The end is io.EOF; any other error is the source's, and final.
func (r *Reader) Next() (number int64, line []byte, err error) {
	for r.err == nil {
		line, tooLong := r.read()
		if line == nil && !tooLong {
			break
		}
		r.line++
		if tooLong {
			return r.line, nil, &Reject{Reason: ReasonTooLong, Offset: r.max}
		}
		if len(bytes.Trim(line, " \t")) == 0 {
			r.blank++
			continue
		}
		return r.line, line, nil
	}
	return r.line, nil, r.err
}

// Lines returns how many lines were read, the blank and the too long among them.
func (r *Reader) Lines() int64 { return r.line }

// Blank returns how many of the lines read were blank.
func (r *Reader) Blank() int64 { return r.blank }

// Bytes returns how many bytes the lines read took in the source, breaks included.
func (r *Reader) Bytes() int64 { return r.bytes }

// read returns one line of any kind. At the end it returns nil and sets r.err. What came before a failure of the source may be
// cut short, so it is not handed out.
func (r *Reader) read() (line []byte, tooLong bool) {
	// A break of two bytes and the mark at the start do not count.
	const slack = 5
	r.long = r.long[:0]
	size := 0
	for {
		part, err := r.in.ReadSlice('\n')
		size += len(part)
		r.bytes += int64(len(part))
		full := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case err == nil, full:
		case errors.Is(err, io.EOF):
			r.err = io.EOF
			if size == 0 {
				return nil, false
			}
		default:
			r.err = fmt.Errorf("read line %d: %w", r.line+1, err)
			return nil, false
		}
		tooLong = size > r.max+slack
		if !tooLong && (full || len(r.long) > 0) {
			r.long = append(r.long, part...)
			part = r.long
		}
		if full {
			continue
		}
		if tooLong {
			return nil, true
		}
		line = r.trim(part)
		return line, len(line) > r.max
	}
}

// trim takes the line break and the byte order mark off a line. The result is never nil.
func (r *Reader) trim(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if r.line == 0 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	if line == nil {
		return []byte{}
	}
	return line
}
