package activities

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// blocks writes an export that is organized by Patient (Bulk Data Access 3.0.0, "Bulk Data Output File Organization"): what leaves
// of a member stands together, headed by a Parameters resource that refers to the Patient. A header is packed by itself and the
// segments behind it are copied as ever. A member is in one chunk and a chunk in one file, so no block continues in another.
//
// What belongs to no patient is left out, which the specification allows, except who transmitted the data: each block says that.
type blocks struct {
	patients map[uuid.UUID]string
	open     bool // a block has been begun
	of       uuid.UUID
	end      []byte // packed, for the end of each block
	endSum   segment.Sum
	lines    int64 // headers and ends
}

func (e *chunkExport) openBlocks(view *store.Snapshot, roster map[uuid.UUID]*access) error {
	if e.params.OrganizeBy == "" {
		return nil
	}
	patients, err := view.PatientIDs(slices.Collect(maps.Keys(roster)))
	if err != nil {
		return err
	}
	e.blocks = &blocks{patients: patients}
	if !transmits(e.params) {
		return nil
	}
	line, err := e.transmission()
	if err != nil {
		return err
	}
	e.blocks.end, e.blocks.endSum, err = e.packer.Pack(nil, line)
	return err
}

// takeInBlock is take, behind the header of the member's block in an export that has blocks. Nobody of whom nothing leaves has one.
func (e *chunkExport) takeInBlock(row *store.Row, who *access, keep func(segment.Line) bool) (int64, error) {
	if e.blocks == nil || e.blocks.open && e.blocks.of == row.Member {
		return e.take(row, who, keep)
	}
	e.endBlock()
	patient := e.blocks.patients[row.Member]
	if patient == "" {
		return 0, fmt.Errorf("chunk %d: a member has no Patient id", e.chunk.Chunk)
	}
	b := e.buffer(fhir.TypePatient)
	size, sum, held := len(b.data), b.sum, e.held
	data, header, err := e.packer.Pack(b.data, blockHeader(patient))
	if err != nil {
		return 0, err
	}
	e.append(b, data, header)
	n, err := e.take(row, who, keep)
	if err != nil || n == 0 {
		b.data, b.sum, e.held = b.data[:size], sum, held
		return n, err
	}
	e.blocks.open, e.blocks.of = true, row.Member
	e.blocks.lines++
	return n, nil
}

// blockHeader returns the line that heads a Patient's block. A FHIR id needs no escaping.
func blockHeader(patient string) []byte {
	return []byte(`{"resourceType":"Parameters","parameter":[{"name":"header","valueReference":{"reference":"Patient/` + patient + `"}}]}` + "\n")
}

// endBlock ends the block that is open, if one is.
func (e *chunkExport) endBlock() {
	if e.blocks == nil || !e.blocks.open {
		return
	}
	e.blocks.open = false
	if e.blocks.endSum.Lines == 0 {
		return
	}
	b := e.buffer(fhir.TypePatient)
	e.append(b, append(b.data, e.blocks.end...), e.blocks.endSum)
	e.blocks.lines++
}

// append notes that data is b's with lines of the given sum added.
func (e *chunkExport) append(b *typeBuffer, data []byte, sum segment.Sum) {
	b.data, b.sum = data, b.sum.Add(sum)
	e.held += sum.PackedLen
}
