package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

const (
	// chunkPacked is how many packed bytes a chunk aims at. A chunk is held in memory before it is written, so this is the
	// memory of a running chunk.
	chunkPacked = 32 << 20
	// chunkMembers bounds a chunk of members with little data.
	chunkMembers = 50_000
	// atomPacked is the grain at which a plan is cut before chunks are sized to it.
	atomPacked = 2 << 20
	// wantChunks is how many chunks even a small export is cut into, so that several workers share it.
	wantChunks = 4
	// flushPacked is when a chunk that grew past its plan is written out in between.
	flushPacked = 2 * chunkPacked
	// The size at which a file of the manifest is closed, by whichever comes first.
	fileLines  = 250_000
	filePacked = 64 << 20
)

// ChunkInput names one chunk of an export.
type ChunkInput struct {
	JobID string
	Chunk int
}

// ChunkResult says what a chunk brought, for the workflow's progress.
type ChunkResult struct {
	Planned int64
	Written int64
}

// ExportChunk re-checks the chunk's members and writes what may leave of their data, in one snapshot. The attempt's blob
// counts only when its parts are published, which one attempt does at most.
func (a *Activities) ExportChunk(ctx context.Context, in ChunkInput) (*ChunkResult, error) {
	job, err := a.Store.Job(ctx, in.JobID)
	if err != nil {
		return nil, err
	}
	if job.State != models.StateRunning {
		return nil, models.Errorf(models.KindConflict, "the job has ended")
	}
	params, err := exportParams(job)
	if err != nil {
		return nil, err
	}
	chunk, err := a.Store.PlannedChunk(ctx, in.JobID, in.Chunk)
	if err != nil {
		return nil, err
	}
	if chunk.Done {
		return &ChunkResult{Planned: chunk.Planned}, nil
	}
	key := attemptKey("exports/" + job.ID + "/" + strconv.Itoa(chunk.Chunk))
	e := &chunkExport{a: a, job: job, params: params, chunk: chunk, key: key}
	if err := e.prepare(); err != nil {
		return nil, err
	}
	if e.terms, err = a.terms(ctx, job, params); err != nil {
		return nil, err
	}
	if err := e.run(ctx); err != nil {
		return nil, err
	}
	referred := store.Referred{Shared: slices.Sorted(maps.Keys(e.refs)), Binaries: e.sent}
	won, err := a.Store.PublishChunk(ctx, job.ID, chunk.Chunk, models.NewID(), e.key, e.acc, e.parts, referred, e.kept...)
	if err != nil {
		return nil, err
	}
	if !won && e.key != "" {
		return &ChunkResult{Planned: chunk.Planned}, a.Files.Delete(ctx, e.key)
	}
	return &ChunkResult{Planned: chunk.Planned, Written: e.acc.Written}, nil
}

// chunkExport is one attempt at a chunk.
type chunkExport struct {
	a      *Activities
	job    *models.Job
	params models.ExportParams
	chunk  store.Chunk
	key    string // "" when nothing was written
	acc    models.Accounting
	parts  []store.Part

	packer *segment.Packer
	lines  []segment.Line
	raw    []byte
	filter lineFilter
	terms  terms
	secret secret
	refs   map[string]bool // shared resources that what may leave refers to; nil when nobody asks
	kept   []store.Withheld
	// binaries are those that are members' own, sent those of them that a line which leaves names.
	binaries map[string]store.Owned
	sent     map[string]uuid.UUID
	latest   map[provenanceKey]bool // nil when Provenance is not picked
	blocks   *blocks                // nil unless the export is organized by Patient
	buf      map[int16]*typeBuffer
	held     int64
	blob     blobWriter
	flush    int16
}

// typeBuffer collects one type's packed lines until the chunk is written.
type typeBuffer struct {
	data []byte
	sum  segment.Sum
}

func (e *chunkExport) run(ctx context.Context) (err error) {
	if e.packer, err = segment.NewPacker(segment.FastLevel); err != nil {
		return err
	}
	e.buf = map[int16]*typeBuffer{}
	e.blob = blobWriter{files: e.a.Files, key: e.key}
	defer e.blob.abort()
	err = e.a.Store.InSnapshot(ctx, *e.job.TransactionTime, func(view *store.Snapshot) error {
		if isClosing(e.job, e.chunk) {
			return e.close(ctx, view)
		}
		roster, err := e.roster(view)
		if err != nil {
			return err
		}
		if err := e.findSecret(view, roster); err != nil {
			return err
		}
		if err := e.refer(view, roster); err != nil {
			return err
		}
		if err := e.readBinaries(view, roster); err != nil {
			return err
		}
		if err := e.readProvenance(view, roster); err != nil {
			return err
		}
		if err := e.openBlocks(view, roster); err != nil {
			return err
		}
		return e.read(ctx, view, roster)
	})
	if err != nil {
		return err
	}
	if e.acc.Planned != e.chunk.Planned && !isClosing(e.job, e.chunk) {
		return fmt.Errorf("chunk %d: %d resources planned, %d accounted for", e.chunk.Chunk, e.chunk.Planned, e.acc.Planned)
	}
	if e.blocks != nil { // these are not planned, but counted
		e.acc.Planned += e.blocks.lines
		e.acc.Written += e.blocks.lines
	}
	if err := e.write(ctx); err != nil {
		return err
	}
	if wrong := e.acc.Check(); wrong != "" {
		return fmt.Errorf("chunk %d: %s", e.chunk.Chunk, wrong)
	}
	if e.blob.w == nil {
		e.key = ""
		return nil
	}
	return e.blob.commit()
}

// buffer returns where lines of a type are collected. Files that are organized by Patient are kept as of that type.
func (e *chunkExport) buffer(typ int16) *typeBuffer {
	if e.blocks != nil {
		typ = fhir.TypePatient
	}
	b := e.buf[typ]
	if b == nil {
		b = &typeBuffer{}
		e.buf[typ] = b
	}
	return b
}

// write moves the buffers to the chunk's blob, type after type.
func (e *chunkExport) write(ctx context.Context) error {
	for _, typ := range sortedTypes(e.buf) {
		b := e.buf[typ]
		if b.sum.Lines == 0 {
			continue
		}
		at, err := e.blob.append(ctx, b.data)
		if err != nil {
			return err
		}
		e.parts = append(e.parts, store.Part{
			Type: typ, Part: e.flush, Offset: at, Packed: b.sum.PackedLen, Raw: b.sum.RawLen, Lines: b.sum.Lines, CRC: b.sum.CRC,
		})
		b.data, b.sum = b.data[:0], segment.Sum{}
	}
	e.flush++
	e.held = 0
	return nil
}
