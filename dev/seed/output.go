package seed

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// output writes blocks to files, one open file a type, and keeps the summary.
type output struct {
	create  Create
	gzip    bool
	limit   int64
	summary Summary
	files   [typeCount]*file
	truth   *file
}

func newOutput(create Create, o Options) *output {
	out := &output{create: create, gzip: o.Gzip, limit: o.FileBytes}
	for _, t := range Types() {
		out.summary.Types = append(out.summary.Types, TypeSummary{Type: t})
	}
	return out
}

func (o *output) block(b *block) error {
	for t, lines := range b.lines {
		if len(lines) == 0 {
			continue
		}
		if err := o.write(Type(t), lines); err != nil {
			return err
		}
		s := &o.summary.Types[t]
		s.Count += b.counts[t]
		s.Bytes += int64(len(lines))
		o.summary.Resources += b.counts[t]
		o.summary.Bytes += int64(len(lines))
	}
	o.summary.Members += b.members
	if len(b.truth) == 0 {
		return nil
	}
	if o.truth == nil {
		f, err := o.open(TruthFile, false)
		if err != nil {
			return err
		}
		o.truth = f
	}
	return o.truth.write(b.truth)
}

func (o *output) write(t Type, lines []byte) error {
	f := o.files[t]
	if f != nil && o.limit > 0 && f.size >= o.limit {
		o.files[t] = nil
		if err := f.close(); err != nil {
			return err
		}
		f = nil
	}
	if f == nil {
		s := &o.summary.Types[t]
		name := o.name(t, len(s.Files)+1)
		opened, err := o.open(name, o.gzip)
		if err != nil {
			return err
		}
		f, o.files[t] = opened, opened
		s.Files = append(s.Files, name)
	}
	return f.write(lines)
}

// name is <Type>.ndjson, with a number when files are split.
func (o *output) name(t Type, part int) string {
	name := t.String()
	if o.limit > 0 {
		name += "." + string(appendPadded(nil, part, 4))
	}
	name += ".ndjson"
	if o.gzip {
		name += ".gz"
	}
	return name
}

func (o *output) close() error {
	var errs []error
	for _, f := range append(o.files[:], o.truth) {
		if f != nil {
			errs = append(errs, f.close())
		}
	}
	return errors.Join(errs...)
}

// file is an output file, compressed or not.
type file struct {
	under io.WriteCloser
	buf   *bufio.Writer
	gz    *gzip.Writer // nil when not compressed
	size  int64        // uncompressed
}

func (o *output) open(name string, compress bool) (*file, error) {
	under, err := o.create(name)
	if err != nil {
		return nil, fmt.Errorf("create seed file: %w", err)
	}
	f := &file{under: under, buf: bufio.NewWriterSize(under, 256<<10)}
	if compress {
		gz, err := gzip.NewWriterLevel(f.buf, gzip.BestSpeed)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("compress seed file: %w", err), under.Close())
		}
		f.gz = gz
	}
	return f, nil
}

func (f *file) write(b []byte) error {
	f.size += int64(len(b))
	var w io.Writer = f.buf
	if f.gz != nil {
		w = f.gz
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write seed file: %w", err)
	}
	return nil
}

func (f *file) close() error {
	var errs []error
	if f.gz != nil {
		errs = append(errs, f.gz.Close())
	}
	errs = append(errs, f.buf.Flush(), f.under.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close seed file: %w", err)
	}
	return nil
}
