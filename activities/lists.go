package activities

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

const (
	// listBatch is how many rows of a load are taken in together.
	listBatch = 10_000
	// maxListLine bounds a line of a load, in bytes. A row of the NPPES file has some 10 kB.
	maxListLine = 256 << 10
)

// ListWorkflowID names the workflow of a load.
func ListWorkflowID(id string) string { return "list-" + id }

// LoadList takes in the rows of a load, batch after batch. Each batch is committed with how far it reaches, so another attempt
// goes on behind it, and memory does not grow with the file.
func (a *Activities) LoadList(ctx context.Context, id string) (*models.ListCounts, error) {
	l, err := a.Store.StartListImport(ctx, id)
	if err != nil {
		return nil, err
	}
	if l.State != models.StateRunning {
		return &l.ListCounts, nil
	}
	body, err := a.openList(ctx, l)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	load := &listLoad{a: a, l: l, known: l.Line}
	load.reset()
	each := eachRow
	if l.Format == models.ListCSV {
		each = eachRecord
	}
	if err := each(body, func(r listRow) error { return load.take(ctx, r) }); err != nil {
		return nil, err
	}
	if err := load.flush(ctx); err != nil {
		return nil, err
	}
	return &load.l.ListCounts, nil
}

// FinishListInput closes a load.
type FinishListInput struct {
	ID     string
	State  models.State
	Reason string
}

// FinishList closes a load and removes what was uploaded for it.
func (a *Activities) FinishList(ctx context.Context, in FinishListInput) error {
	l, err := a.Store.ListImport(ctx, in.ID)
	if err != nil {
		return err
	}
	if err := a.Store.FinishListImport(ctx, in.ID, in.State, in.Reason, a.now()); err != nil {
		return err
	}
	if l.BlobKey == "" {
		return nil
	}
	return a.Files.Delete(ctx, l.BlobKey)
}

// openList opens the file of a load, inflated when its name says that it is deflated.
func (a *Activities) openList(ctx context.Context, l *models.ListImport) (io.ReadCloser, error) {
	if l.BlobKey != "" {
		return a.Files.ReadRange(ctx, l.BlobKey, 0, -1)
	}
	sources, err := blob.Sources(ctx, l.Source, a.ImportRoots)
	if err != nil {
		return nil, err
	}
	if len(sources) != 1 {
		return nil, models.Errorf(models.KindInvalid, "the location must be one file")
	}
	body, err := sources[0].Open(ctx)
	if err != nil || !strings.HasSuffix(l.Source, ".gz") {
		return body, err
	}
	in := &inflater{packed: packedFile{ReadCloser: body}}
	plain, err := gzip.NewReader(&in.packed)
	if err != nil {
		return nil, errors.Join(in.fault(err), body.Close())
	}
	in.plain = plain
	return in, nil
}

// inflater reads what is deflated. Its errors tell a file that is no good, which stays so, from one that could not be read.
type inflater struct {
	packed packedFile
	plain  *gzip.Reader
}

// packedFile notes how reading a file ended.
type packedFile struct {
	io.ReadCloser
	err error
}

func (f *packedFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	f.err = err
	return n, err
}

func (f *inflater) Read(p []byte) (int, error) {
	n, err := f.plain.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.fault(err)
	}
	return n, err
}

func (f *inflater) fault(err error) error {
	if f.packed.err == nil || errors.Is(f.packed.err, io.EOF) {
		return models.Errorf(models.KindInvalid, "the file is not what its name says, or is damaged")
	}
	return err
}

func (f *inflater) Close() error { return f.packed.Close() }

// listRow is one row of a load. get returns a field's value, "" for one that is not there. bad says why it is none.
type listRow struct {
	line int64
	get  func(name string) string
	bad  string
}

// eachRecord reads rows of CSV (RFC 4180) with a header line. A row is one line, unlike there: a quote that somebody forgot must not
// take the rows that follow with it.
func eachRecord(body io.Reader, fn func(listRow) error) error {
	text := bufio.NewReader(body)
	if bom, _ := text.Peek(3); string(bom) == "\ufeff" {
		_, _ = text.Discard(3)
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, 1<<16), maxListLine)
	var line bytes.Reader
	in := csv.NewReader(&line)
	in.ReuseRecord, in.FieldsPerRecord = true, -1
	var at map[string]int
	columns := 0
	for n := int64(1); lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		line.Reset(lines.Bytes())
		record, err := in.Read()
		if at == nil {
			if err != nil {
				return listFault(err, noColumns)
			}
			at, columns = map[string]int{}, len(record)
			for i, name := range record {
				at[strings.TrimSpace(name)] = i
			}
			continue
		}
		row := listRow{line: n, get: func(name string) string {
			if i, ok := at[name]; ok && i < len(record) {
				return strings.TrimSpace(record[i])
			}
			return ""
		}}
		if err != nil {
			row.bad = "is not CSV"
		} else if len(record) != columns {
			row.bad = "has another number of columns than the first line"
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return listFault(err, unreadable)
	}
	if at == nil {
		return models.Errorf(models.KindInvalid, noColumns)
	}
	return nil
}

const (
	noColumns  = "the first line must name the columns"
	unreadable = "the file could not be read to its end, or has a line that is too long"
)

// eachRow reads rows of NDJSON: objects of strings, booleans and lists of strings.
func eachRow(body io.Reader, fn func(listRow) error) error {
	in := bufio.NewScanner(body)
	in.Buffer(make([]byte, 1<<16), maxListLine)
	for n := int64(1); in.Scan(); n++ {
		text := bytes.TrimSpace(in.Bytes())
		if len(text) == 0 {
			continue
		}
		fields := map[string]any{}
		row := listRow{line: n, get: func(name string) string { return flat(fields[name]) }}
		if json.Unmarshal(text, &fields) != nil {
			row.bad = "is not a JSON object"
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return listFault(err, unreadable)
	}
	return nil
}

// flat writes a JSON value as CSV would have it.
func flat(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case bool:
		return fmt.Sprint(v)
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, flat(item))
		}
		return strings.Join(items, ";")
	}
	return ""
}

// listFault turns an error of reading into one that says whether another attempt helps.
func listFault(err error, msg string) error {
	_, parse := errors.AsType[*csv.ParseError](err)
	if parse || errors.Is(err, bufio.ErrTooLong) {
		return models.Errorf(models.KindInvalid, "%s", msg)
	}
	return fmt.Errorf("read the load: %w", err)
}

// listLoad is a load on its way.
type listLoad struct {
	a     *Activities
	l     *models.ListImport
	known int64 // the last line that earlier attempts have taken in
	batch store.Batch
	rows  int
}

func (p *listLoad) reset() {
	p.batch = store.Batch{From: p.l.Line, To: p.l.Line, Network: p.l.Kind == models.ListNetwork}
	p.rows = 0
}

func (p *listLoad) take(ctx context.Context, r listRow) error {
	if r.line <= p.known {
		return nil
	}
	p.batch.To = r.line
	p.rows++
	if r.bad != "" {
		p.batch.Rejects = append(p.batch.Rejects, models.ListReject{Line: r.line, Reason: r.bad})
	} else if err := p.add(r); err != nil {
		fault, ok := errors.AsType[*models.Error](err)
		if !ok {
			return err
		}
		p.batch.Rejects = append(p.batch.Rejects, models.ListReject{Line: r.line, Field: fault.Where, Reason: fault.Msg})
	}
	if p.rows >= listBatch {
		return p.flush(ctx)
	}
	return nil
}

func (p *listLoad) flush(ctx context.Context) (err error) {
	if p.rows == 0 {
		return nil
	}
	activity.RecordHeartbeat(ctx, p.batch.To)
	if p.l, err = p.a.Store.MergeBatch(ctx, p.l.ID, p.batch); err != nil {
		return err
	}
	p.reset()
	return nil
}

// add checks a row and puts it into the batch.
func (p *listLoad) add(r listRow) error {
	b := &p.batch
	switch p.l.Kind {
	case models.ListOptOuts:
		o, err := p.optOut(r)
		if err != nil {
			return err
		}
		b.OptOuts = append(b.OptOuts, o)
	case models.ListRelationships:
		rel, err := p.relationship(r)
		if err != nil {
			return err
		}
		b.Relationships = append(b.Relationships, rel)
	case models.ListProviders:
		entry, err := nppes(r)
		if err != nil {
			return err
		}
		b.Providers = append(b.Providers, entry)
	case models.ListNetwork:
		entry, err := contract(r)
		if err != nil {
			return err
		}
		b.Providers = append(b.Providers, entry)
	}
	b.Lines = append(b.Lines, r.line)
	return nil
}

func (p *listLoad) optOut(r listRow) (o models.OptOut, err error) {
	patient := r.get("patient")
	if !fhir.ValidID(patient) {
		return o, models.Errorf(models.KindUnprocessable, "must be the id of a Patient").At("patient")
	}
	o = models.OptOut{
		ID: models.NewID(), Member: models.MemberID(patient), Scope: models.OptOutScope(r.get("scope")), Target: r.get("target"),
		Reason: models.OptOutReason(r.get("reason")), Start: p.l.CreatedAt, Source: models.OptOutByImport, CreatedBy: p.l.CreatedBy, CreatedAt: p.a.now().UTC().Truncate(time.Millisecond),
	}
	start, end, err := period(r)
	if err != nil {
		return o, err
	}
	if start != nil {
		o.Start = *start
	}
	o.End = end
	return o, o.Validate()
}

func (p *listLoad) relationship(r listRow) (rel models.Relationship, err error) {
	patient := r.get("patient")
	if !fhir.ValidID(patient) {
		return rel, models.Errorf(models.KindUnprocessable, "must be the id of a Patient").At("patient")
	}
	rel = models.Relationship{
		ID: models.NewID(), Member: models.MemberID(patient), NPI: r.get("npi"), Type: models.RelationshipType(r.get("type")),
		Source: models.RelationshipByImport, CreatedBy: p.l.CreatedBy,
	}
	start, end, err := period(r)
	if err != nil {
		return rel, err
	}
	if start != nil {
		rel.Start = *start
	}
	rel.End = end
	return rel, rel.Validate()
}

// period reads the bounds of a row, dates or instants: from the beginning of the one to the end of the other.
func period(r listRow) (start, end *time.Time, err error) {
	if text := r.get("start"); text != "" {
		d, err := fhir.ParseDateTime(text)
		if err != nil {
			return nil, nil, models.Errorf(models.KindUnprocessable, "must be a date or an instant").At("start")
		}
		from, _ := d.Range()
		start = new(time.UnixMilli(from).UTC())
	}
	if text := r.get("end"); text != "" {
		d, err := fhir.ParseDateTime(text)
		if err != nil {
			return nil, nil, models.Errorf(models.KindUnprocessable, "must be a date or an instant").At("end")
		}
		_, to := d.Range()
		end = new(time.UnixMilli(to).UTC())
	}
	return start, end, nil
}

// nppes reads a row of the public file of all providers, by the names of its columns (CMS, NPPES Data Dissemination).
func nppes(r listRow) (p models.Provider, err error) {
	p = models.Provider{NPI: r.get("NPI"), Active: true}
	switch r.get("Entity Type Code") {
	case "1":
		p.Kind = models.ProviderIndividual
	case "2":
		p.Kind = models.ProviderOrganization
	case "": // of an NPI that is deactivated nothing else is told
		p.Kind = models.ProviderIndividual
	}
	if r.get("NPI Deactivation Date") != "" && r.get("NPI Reactivation Date") == "" || r.get("Entity Type Code") == "" {
		p.Active = false
	}
	for i := 1; i <= 15; i++ {
		code := r.get(fmt.Sprintf("Healthcare Provider Taxonomy Code_%d", i))
		if code == "" || slices.Contains(p.Taxonomies, code) {
			continue
		}
		if r.get(fmt.Sprintf("Healthcare Provider Primary Taxonomy Switch_%d", i)) == "Y" {
			p.Taxonomies = slices.Insert(p.Taxonomies, 0, code)
		} else {
			p.Taxonomies = append(p.Taxonomies, code)
		}
	}
	return p, p.Validate()
}

// contract reads a row that says who is under contract: npi, inNetwork and the NPIs of the organisations they work for,
// separated by semicolons.
func contract(r listRow) (p models.Provider, err error) {
	p = models.Provider{NPI: r.get("npi"), Kind: models.ProviderIndividual, Active: true}
	switch r.get("inNetwork") {
	case "true":
		p.InNetwork = true
	case "false":
	default:
		return p, models.Errorf(models.KindUnprocessable, "must be true or false").At("inNetwork")
	}
	for npi := range strings.SplitSeq(r.get("organizations"), ";") {
		if npi = strings.TrimSpace(npi); npi != "" {
			p.Organizations = append(p.Organizations, npi)
		}
	}
	return p, p.Validate()
}
