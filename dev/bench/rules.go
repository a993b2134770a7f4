package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pdexbulk/dev/seed"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
)

const (
	// ruledMembers are made to measure the rules with, when there is no folder of data.
	ruledMembers = 300
	// ruledBytes is how much of a folder is measured at most.
	ruledBytes = 64 << 20
)

// patientLines are the lines about one patient, or about nobody.
type patientLines struct {
	patient string // "" for nobody
	lines   [][]byte
}

// Rules measures what the rules on what may leave cost an import, in this process alone: lines are inspected, stamped, hashed and
// packed by patient and type, first as they are, then with all of models/release applied and every view packed as well. What an
// import does besides (spilling, Postgres) is in neither, so an import is slowed by less. It prints
//
//	rules     <median ratio of the times> times the work of reading and packing without them (<MB/s> with, <MB/s> without)
func Rules(ctx context.Context, o Options) (err error) {
	data := o.Data
	if data == "" {
		if data, err = os.MkdirTemp("", "pdex-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
		made := seed.Options{Seed: 11, Members: ruledMembers, Anchor: time.Now().UTC().Truncate(24 * time.Hour), FileBytes: 256 << 20}
		if _, err := seed.Write(ctx, data, made); err != nil {
			return err
		}
	}
	patients, size, err := readPatients(data)
	if err != nil {
		return err
	}
	r := ruled{}
	if r.codes, err = release.ReadCodes(release.Categories()); err != nil {
		return err
	}
	if r.packer, err = segment.NewPacker(segment.DefaultLevel); err != nil {
		return err
	}
	var with, without []time.Duration
	var ratios []float64
	for round := range o.Rounds + 1 {
		plain, err := r.run(ctx, patients, false)
		if err != nil {
			return err
		}
		full, err := r.run(ctx, patients, true)
		if err != nil {
			return err
		}
		if round > 0 { // the first warms up
			without, with, ratios = append(without, plain), append(with, full), append(ratios, full.Seconds()/plain.Seconds())
		}
	}
	rate := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(size) / 1e6 / all[len(all)/2].Seconds()
	}
	slices.Sort(ratios)
	fmt.Fprintf(o.Out, "rules     %.2f times the work of reading and packing without them (%.0f MB/s with, %.0f MB/s without)\n",
		ratios[len(ratios)/2], rate(with), rate(without))
	return nil
}

// readPatients reads lines of NDJSON files, packed or not, by the patient they are about.
func readPatients(dir string) (out []*patientLines, size int64, err error) {
	byPatient := map[string]*patientLines{}
	var facts fhir.Facts
	add := func(line []byte) {
		if fhir.Inspect(line, &facts) != nil {
			return
		}
		p := byPatient[string(facts.Patient)]
		if p == nil {
			p = &patientLines{patient: string(facts.Patient)}
			byPatient[string(facts.Patient)] = p
			out = append(out, p)
		}
		p.lines = append(p.lines, bytes.Clone(line))
		size += int64(len(line))
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || size >= ruledBytes || !strings.Contains(d.Name(), ".ndjson") {
			return err
		}
		return readLines(path, func(line []byte) bool { add(line); return size < ruledBytes })
	})
	if err == nil && size == 0 {
		err = fmt.Errorf("there are no lines in %s", dir)
	}
	return out, size, err
}

func readLines(path string, fn func([]byte) bool) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read data: %w", err)
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return fmt.Errorf("read data: %w", err)
		}
	}
	r := fhir.NewReader(in, fhir.DefaultMaxLine)
	for {
		_, line, err := r.Next()
		if errors.Is(err, io.EOF) || err == nil && !fn(line) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read data: %w", err)
		}
	}
}

// ruled does the work that is measured.
type ruled struct {
	codes  *release.Codes
	packer *segment.Packer
	viewer release.Viewer
	facts  fhir.Facts
	packed []byte
}

func (r *ruled) run(ctx context.Context, patients []*patientLines, rules bool) (time.Duration, error) {
	started := time.Now()
	for _, p := range patients {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := r.patient(p, rules); err != nil {
			return 0, err
		}
	}
	return time.Since(started), nil
}

// form is what lines are packed by: a type, and which view of it they are.
type form struct {
	typ  int16
	view string
}

func (r *ruled) patient(p *patientLines, rules bool) error {
	bodies := map[form][][]byte{}
	put := func(typ int16, view string, line []byte) {
		at := form{typ, view}
		bodies[at] = append(bodies[at], append(line, '\n'))
	}
	var items []release.Item
	together := false
	for _, line := range p.lines {
		if err := fhir.Inspect(line, &r.facts); err != nil {
			return fmt.Errorf("a line that was read before: %w", err)
		}
		stamped := fhir.Stamp(nil, line, &r.facts, 0)
		segment.Hash(stamped)
		f := &r.facts
		if rules {
			item := release.Item{
				Type: f.Type, ID: string(f.ID), Line: stamped, Sensitive: f.Sensitive || r.codes.Sensitive(line, f.Codes), Auth: f.PriorAuth,
				Updated: fhir.MinDay, Dated: f.Dated, First: f.First, Last: f.Last,
			}
			items, together = append(items, item), together || item.Sensitive || item.Auth || f.Type == fhir.TypeProvenance
			if basis, financial := r.viewer.NonFinancial(nil, stamped, f.Type, release.Flags(f)); financial {
				put(f.Type, "basis", basis)
			}
		}
		put(f.Type, "", stamped)
	}
	// As an import does, the lines of a patient are looked at together only where one decides about others.
	if together && p.patient != "" {
		member := release.Rule(items)
		for i := range items {
			if ruling := member.Ruling(i); ruling.Linked {
				put(items[i].Type, "masked", r.viewer.Mask(nil, items[i].Line, member.Hidden))
			}
		}
	}
	for _, lines := range bodies {
		var err error
		if r.packed, _, err = r.packer.Pack(r.packed[:0], lines...); err != nil {
			return fmt.Errorf("pack: %w", err)
		}
	}
	return nil
}
