package activities

import (
	"bytes"
	"fmt"

	"pdexbulk/models"
	"pdexbulk/models/fhir/search"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// lineFilter is what an export was asked that cannot be answered without a look at the JSON: _typeFilter and _elements.
type lineFilter struct {
	filters  search.Filters
	elements search.Elements
}

// looksInto reports whether lines of a type have to be inflated and looked at.
func (f lineFilter) looksInto(typ int16) bool {
	_, filtered := f.filters.For(typ)
	return filtered || f.elements.Applies(typ)
}

// prepare reads the parameters that are applied line by line. They were understood at kick-off, so a failure is ours.
func (e *chunkExport) prepare() (err error) {
	if e.filter.filters, err = (search.Parser{Base: e.params.Base}).TypeFilters(e.params.TypeFilter); err != nil {
		return models.Errorf(models.KindInternal, "the job's filters cannot be read").Because(err)
	}
	if e.filter.elements, err = search.ParseElements(e.params.Elements); err != nil {
		return models.Errorf(models.KindInternal, "the job's elements cannot be read").Because(err)
	}
	return nil
}

// sift appends the lines of a segment that the window and the filters want, cut down to the elements asked for. With a cut
// at the edge of the window, e.lines is the segment's index.
func (e *chunkExport) sift(dst []byte, row *store.Row, who *access, sum segment.Sum, keep func(segment.Line) bool) ([]byte, segment.Sum, error) {
	var err error
	if e.raw, err = segment.InflateSum(e.raw[:0], row.Data, sum); err != nil {
		return dst, segment.Sum{}, err
	}
	if e.refs != nil && row.Cut == store.CutEdge {
		if err := e.referLines(row, sum); err != nil {
			return dst, segment.Sum{}, err
		}
	}
	filter, filtered := e.filter.filters.For(row.Type)
	cut := e.filter.elements.Applies(row.Type)
	var wanted [][]byte
	n := 0
	for line := range bytes.Lines(e.raw) {
		at := n
		n++
		if row.Cut == store.CutEdge && (at >= len(e.lines) || !keep(e.lines[at])) {
			continue
		}
		body := bytes.TrimSuffix(line, []byte("\n"))
		if filtered && !filter.Match(body) || !e.isLatest(row, body) {
			continue
		}
		if cut {
			body = e.filter.elements.Apply(nil, body, row.Type)
			line = append(body, '\n')
		}
		if row.Class&models.ClassAttachment != 0 && e.params.Base != "" {
			line = append(e.link(body, row, who), '\n')
		}
		wanted = append(wanted, line)
	}
	if int64(n) != row.Lines {
		return dst, segment.Sum{}, fmt.Errorf("%w: %d lines, %d expected", segment.ErrCorrupt, n, row.Lines)
	}
	return e.packer.Pack(dst, wanted...)
}
