package activities

import (
	"bytes"

	"github.com/google/uuid"

	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// A shared resource can be sensitive, such as the Medication of an opioid treatment, and then so is what refers to it. Who refers to
// shared resources is not known together with them when they are imported, so this is looked after here: of members who
// consented to the rest only, lines that refer to such a resource stay. Only segments that do are looked into.

// secret is what of the shared resources is sensitive, and who among those who may not see it refers to it.
type secret struct {
	refs map[string]bool
	at   map[store.Place]bool
}

func (e *chunkExport) findSecret(view *store.Snapshot, roster map[uuid.UUID]*access) error {
	var members []uuid.UUID
	for id, who := range roster {
		if !who.closed() && !e.terms.audience(who).Sensitive {
			members = append(members, id)
		}
	}
	if len(members) == 0 {
		return nil
	}
	refs, err := view.SensitiveShared()
	if err != nil || len(refs) == 0 {
		return err
	}
	e.secret.refs = make(map[string]bool, len(refs))
	for _, ref := range refs {
		e.secret.refs[ref] = true
	}
	e.secret.at, err = view.Referring(members, refs)
	return err
}

// withoutSecret returns the segment without the lines that refer to a sensitive shared resource, and counts these as withheld.
func (e *chunkExport) withoutSecret(row *store.Row) (*store.Row, error) {
	if !e.secret.at[store.Place{Member: row.Member, Type: row.Type}] {
		return row, nil
	}
	sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
	raw, err := segment.InflateSum(nil, row.Data, sum)
	if err != nil {
		return nil, err
	}
	var index []segment.Line
	if row.Cut == store.CutEdge {
		if index, err = segment.DecodeIndex(row.Entries); err != nil {
			return nil, err
		}
	}
	var lines [][]byte
	var kept []segment.Line
	n, offset := 0, uint32(0)
	for line := range bytes.Lines(raw) {
		at := n
		n++
		if e.tellsSecret(line) {
			continue
		}
		lines = append(lines, line)
		if at < len(index) {
			l := index[at]
			l.Offset = offset
			kept = append(kept, l)
		}
		offset += uint32(len(line))
	}
	dropped := row.Lines - int64(len(lines))
	e.acc.Planned += dropped
	e.acc.WithheldResources += dropped
	out := *row
	if out.Data, sum, err = e.packer.Pack(nil, lines...); err != nil {
		return nil, err
	}
	out.Lines, out.RawLen, out.CRC = sum.Lines, sum.RawLen, sum.CRC
	if index != nil {
		out.Entries = segment.EncodeIndex(kept)
	}
	return &out, nil
}

func (e *chunkExport) tellsSecret(line []byte) (tells bool) {
	fhir.SharedReferences(line, func(_ int16, ref []byte) { tells = tells || e.secret.refs[string(ref)] })
	return tells
}
