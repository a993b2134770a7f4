package segment

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// The index of a segment:
//
//	byte     format, 1
//	uvarint  number of lines
//	uvarint  length of the columns
//	uvarint  length of the columns packed as a run, 0 when they are stored as they are
//	         the columns
//	         hashes, eight bytes a line, little endian
//	         ids that are UUIDs in canonical lower-case form, 16 bytes each
//	         ids longer than maxColumnID
//
// The columns, one after another, are varints: the kind of each id, then version, last-updated, service start, service end,
// flags, offset and length, each as the difference to what is to be expected; then the text of other ids. What does not
// compress stays outside of them.
const indexFormat = 1

// maxColumnID is the longest id that is put among the columns; FHIR allows 64 characters. It bounds how long the columns of
// a given number of lines can be.
const maxColumnID = 64

// maxColumnBytes is the most a line can take in the columns.
const maxColumnBytes = 8*binary.MaxVarintLen64 + maxColumnID

// The kind of an id is kindUUID or kindText plus its length.
const (
	kindUUID = 0
	kindText = 1
)

// indexLevel is the compression level of the columns.
const indexLevel = 1

// minPacked is the length below which columns are not worth packing.
const minPacked = 64

// EncodeIndex returns the index of a segment, lines in the order of the segment, in a compact form for [DecodeIndex]. Any
// lines at all come back as they were.
func EncodeIndex(lines []Line) []byte {
	s := indexScratches.Get().(*indexScratch)
	defer indexScratches.Put(s)
	s.setKinds(lines)
	s.columns = appendColumns(s.columns[:0], lines, s.kinds)
	columns, packedLen := s.columns, 0
	if p := s.pack(); p != nil {
		columns, packedLen = p, len(p)
	}

	size := 1 + 3*binary.MaxVarintLen64 + len(columns) + HashLen*len(lines)
	for _, k := range s.kinds {
		size += outsideLen(k)
	}
	out := append(make([]byte, 0, size), indexFormat)
	out = binary.AppendUvarint(out, uint64(len(lines)))
	out = binary.AppendUvarint(out, uint64(len(s.columns)))
	out = binary.AppendUvarint(out, uint64(packedLen))
	out = append(out, columns...)
	for i := range lines {
		out = binary.LittleEndian.AppendUint64(out, lines[i].Hash)
	}
	for i, k := range s.kinds {
		if k == kindUUID {
			u, _ := parseUUID(lines[i].ID)
			out = append(out, u[:]...)
		}
	}
	for i, k := range s.kinds {
		if k > kindText+maxColumnID {
			out = append(out, lines[i].ID...)
		}
	}
	return out
}

// outsideLen is how many bytes an id of a kind takes outside of the columns.
func outsideLen(kind uint64) int {
	switch {
	case kind == kindUUID:
		return 16
	case kind > kindText+maxColumnID:
		return int(kind - kindText)
	}
	return 0
}

// indexScratch is what encoding and decoding an index need besides the result.
type indexScratch struct {
	columns []byte
	packed  []byte
	kinds   []uint64
	packer  *Packer
}

var indexScratches = sync.Pool{New: func() any {
	p, _ := NewPacker(indexLevel) // the level is valid
	return &indexScratch{packer: p}
}}

// setKinds sets the kinds of the ids of lines.
func (s *indexScratch) setKinds(lines []Line) {
	s.kinds = slices.Grow(s.kinds[:0], len(lines))
	for i := range lines {
		k := uint64(kindUUID)
		if _, ok := parseUUID(lines[i].ID); !ok {
			k = kindText + uint64(len(lines[i].ID))
		}
		s.kinds = append(s.kinds, k)
	}
}

// pack returns the columns packed as a run, or nil when that is no shorter.
func (s *indexScratch) pack() []byte {
	if len(s.columns) < minPacked {
		return nil
	}
	packed, err := s.packer.deflate(s.packed[:0], s.columns)
	if err != nil || len(packed) >= len(s.columns) {
		return nil
	}
	s.packed = packed
	return packed
}

// appendColumns appends the columns of lines whose ids are of the given kinds.
func appendColumns(b []byte, lines []Line, kinds []uint64) []byte {
	for _, k := range kinds {
		b = binary.AppendUvarint(b, k)
	}
	for i := range lines {
		b = binary.AppendVarint(b, int64(lines[i].Version))
	}
	var last int64
	for i := range lines {
		b = binary.AppendVarint(b, lines[i].LastUpdated-last) // wraps, and so does its reverse
		last = lines[i].LastUpdated
	}
	var day int64
	for i := range lines {
		b = appendDay(b, lines[i].ServiceStart, &day)
	}
	for i := range lines {
		base := int64(lines[i].ServiceStart)
		b = appendDay(b, lines[i].ServiceEnd, &base)
	}
	for i := range lines {
		b = binary.AppendUvarint(b, uint64(lines[i].Flags))
	}
	var end int64
	for i := range lines {
		b = binary.AppendVarint(b, int64(lines[i].Offset)-end)
		end = int64(lines[i].Offset) + int64(lines[i].Length)
	}
	for i := range lines {
		b = binary.AppendUvarint(b, uint64(lines[i].Length))
	}
	for i, k := range kinds {
		if k != kindUUID && k <= kindText+maxColumnID {
			b = append(b, lines[i].ID...)
		}
	}
	return b
}

// appendDay appends a service date: 0 for NoDate, else one more than its distance from base, zigzag. The date becomes base.
func appendDay(b []byte, day int32, base *int64) []byte {
	if day == NoDate {
		return append(b, 0)
	}
	d := int64(day) - *base
	*base = int64(day)
	return binary.AppendUvarint(b, uint64(d<<1^d>>63)+1)
}

var errIndex = fmt.Errorf("%w: broken index", ErrCorrupt)
