package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/recheck"
	"pdexbulk/models/release"
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

// ExportPlan is what an export's workflow has to do.
type ExportPlan struct {
	Client    string // for search attributes
	Operation models.Operation
	Chunks    int
	Done      int // chunks that earlier runs of the workflow published
	Resources int64
	// Supporting says that another chunk follows, number Chunks, with what comes along because of the others.
	Supporting bool
	// Convert says that the files are to be made into another format before they are published.
	Convert bool
	Paused  bool // by an administrator
}

// PrepareExport freezes the export's snapshot and cuts it into chunks of members by what is stored for each.
func (a *Activities) PrepareExport(ctx context.Context, jobID string) (*ExportPlan, error) {
	job, err := a.Store.StartJob(ctx, jobID, "exporting", a.now())
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
	chunks, err := a.Store.PlannedChunks(ctx, jobID)
	if err != nil {
		return nil, err
	}
	if len(chunks) == 0 {
		if chunks, err = a.plan(ctx, job, params); err != nil {
			return nil, err
		}
	}
	plan := &ExportPlan{Client: job.ClientID, Operation: job.Operation, Chunks: len(chunks), Convert: params.Format != "", Paused: job.PausedAt != nil}
	if n := len(chunks); n > 0 && isClosing(job, chunks[n-1]) {
		plan.Supporting = true
		plan.Chunks--
	}
	for _, c := range chunks[:plan.Chunks] {
		plan.Resources += c.Planned
		if c.Done {
			plan.Done++
		}
	}
	return plan, nil
}

func exportParams(job *models.Job) (models.ExportParams, error) {
	var p models.ExportParams
	if err := json.Unmarshal(job.Params, &p); err != nil {
		return p, models.Errorf(models.KindInternal, "the job's parameters cannot be read").Because(err)
	}
	return p, nil
}

func (a *Activities) plan(ctx context.Context, job *models.Job, p models.ExportParams) ([]store.Chunk, error) {
	var atoms []atom
	collect := func(shared bool) func(store.Load) error {
		return func(l store.Load) error {
			atoms = addLoad(atoms, l, shared)
			if len(atoms)%1000 == 0 {
				activity.RecordHeartbeat(ctx, len(atoms))
			}
			return nil
		}
	}
	frozen := frozenRoster(job, p)
	if frozen != "" {
		if err := a.Store.FreezeRoster(ctx, job.ID, p.GroupID); err != nil {
			return nil, err
		}
	}
	if err := a.Store.Loads(ctx, p.GroupID, frozen, p.Types, onlyMembers(p), *job.TransactionTime, collect(false)); err != nil {
		return nil, err
	}
	if job.Operation == models.OpSystemExport && p.OrganizeBy == "" {
		if err := a.Store.SharedLoads(ctx, p.Types, *job.TransactionTime, collect(true)); err != nil {
			return nil, err
		}
	}
	chunks := joinAtoms(job.ID, atoms)
	if p.OrganizeBy == "" && (len(chunks) > 0 && (supports(job, p) || transmits(p)) || p.WithList) {
		chunks = append(chunks, closingChunk(job, len(chunks)))
	}
	return chunks, a.Store.SavePlan(ctx, job.ID, chunks)
}

// onlyMembers returns the members an export is limited to, nil when it is not.
func onlyMembers(p models.ExportParams) []uuid.UUID {
	var only []uuid.UUID
	for _, patient := range p.Patients {
		only = append(only, models.MemberID(patient))
	}
	return only
}

// atom is a run of neighbouring members with about atomPacked bytes.
type atom struct {
	lo, hi  uuid.UUID
	members int
	lines   int64
	packed  int64
	shared  bool
}

func addLoad(atoms []atom, l store.Load, shared bool) []atom {
	n := len(atoms)
	if n == 0 || atoms[n-1].packed >= atomPacked || atoms[n-1].members >= chunkMembers/16 || atoms[n-1].shared != shared {
		atoms = append(atoms, atom{lo: l.Member, shared: shared})
		n++
	}
	last := &atoms[n-1]
	last.hi = l.Member
	last.lines += l.Lines
	last.packed += l.Packed
	if !shared {
		last.members++
	}
	return atoms
}

// joinAtoms makes chunks of neighbouring atoms: of chunkPacked bytes in a large export, of less in a small one. Chunks of
// shared resources hold nothing else.
func joinAtoms(jobID string, atoms []atom) []store.Chunk {
	var total int64
	for _, a := range atoms {
		total += a.packed
	}
	target := min(chunkPacked, max(atomPacked, total/wantChunks+1))
	var chunks []store.Chunk
	var packed int64
	shared := false
	for _, a := range atoms {
		n := len(chunks)
		if n == 0 || packed+a.packed > target+atomPacked/2 || chunks[n-1].Members+a.members > chunkMembers || shared != a.shared {
			chunks = append(chunks, store.Chunk{JobID: jobID, Chunk: n, Lo: a.lo})
			n, packed, shared = n+1, 0, a.shared
		}
		c := &chunks[n-1]
		c.Hi = a.hi
		c.Members += a.members
		c.Planned += a.lines
		packed += a.packed
	}
	return chunks
}

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

// access is what one member's consent lets out of the store.
type access struct {
	withheld bool
	without  models.Class // classes that stay
	narrowed bool         // they would not stay but for what was said since the match
	written  bool
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

// roster decides for every member of the chunk whether, at this moment, data may leave, and of which classes.
func (e *chunkExport) roster(view *store.Snapshot) (map[uuid.UUID]*access, error) {
	if e.chunk.Members == 0 {
		return nil, nil
	}
	entries, err := view.Roster(e.params.GroupID, frozenRoster(e.job, e.params), e.chunk, onlyMembers(e.params))
	if err != nil {
		return nil, err
	}
	if len(entries) != e.chunk.Members {
		return nil, fmt.Errorf("chunk %d: %d members planned, %d found", e.chunk.Chunk, e.chunk.Members, len(entries))
	}
	allowed, err := e.recheck(view, entries)
	if err != nil {
		return nil, err
	}
	roster := make(map[uuid.UUID]*access, len(entries))
	for i, m := range entries {
		roster[m.Member] = &allowed[i]
	}
	e.kept = keptBack(roster)
	return roster, nil
}

// recheck decides what may leave of each entry's data now: without a Group, all.
func (e *chunkExport) recheck(view *store.Snapshot, entries []store.RosterEntry) ([]access, error) {
	out := make([]access, len(entries))
	if e.params.GroupID == "" {
		return out, nil
	}
	g, err := view.Group(e.params.GroupID)
	if err != nil {
		return nil, err
	}
	allowed, err := recheck.Members(view, g, entries, consent.StoreMode(e.a.Holder.SensitiveData), e.a.now())
	if err != nil {
		return nil, err
	}
	for i, may := range allowed {
		out[i] = access{withheld: may.Withheld, without: may.Without, narrowed: may.Narrowed}
	}
	return out, nil
}

// keptBack are the members of whom the Group's row alone would let out more.
func keptBack(roster map[uuid.UUID]*access) []store.Withheld {
	var list []store.Withheld
	for member, who := range roster {
		if who.withheld || who.narrowed {
			list = append(list, store.Withheld{Member: member, Whole: who.withheld})
		}
	}
	return list
}

// read takes in every segment of the chunk. Bytes of a segment that is wanted whole are copied as they are.
func (e *chunkExport) read(ctx context.Context, view *store.Snapshot, roster map[uuid.UUID]*access) error {
	window := e.terms.segments(e.params)
	window.ByMember = e.blocks != nil
	// What of a segment is kept back for its age is counted apart from what the request left out.
	old, class := int64(0), models.Class(0)
	keep := func(l segment.Line) bool {
		if !window.Wants(l.LastUpdated, 0, false) {
			return false
		}
		if e.terms.leaves(class, l) {
			return true
		}
		old++
		return false
	}
	beat := 0
	err := view.Segments(e.chunk, e.listed(roster), e.params.Types, window, func(row *store.Row) (err error) {
		if beat++; beat%512 == 0 {
			activity.RecordHeartbeat(ctx, e.acc.Written)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		who := roster[row.Member]
		if who == nil && roster != nil {
			return nil // belongs to a Patient that is not held; not planned either
		}
		switch fate := e.terms.fate(row.Class, who); {
		case fate == release.StandIn:
			return nil
		case fate == release.Withhold:
			e.acc.Planned += row.Lines
			e.acc.WithheldResources += row.Lines
			return nil
		case row.Cut == store.CutOutside:
			e.acc.Planned += row.Lines
			e.acc.Filtered += row.Lines
			return nil
		case row.Cut == store.CutOld:
			e.acc.Planned += row.Lines
			e.tooOld(row.Class, row.Lines)
			return nil
		}
		if row, err = e.withoutSecret(row); err != nil || row.Lines == 0 {
			return err
		}
		old, class = 0, row.Class
		n, err := e.takeInBlock(row, who, keep)
		if err != nil {
			return err
		}
		e.acc.Planned += row.Lines
		e.acc.Written += n
		e.acc.Filtered += row.Lines - n - old
		e.tooOld(row.Class, old)
		if who != nil && n > 0 {
			who.written = true
		}
		if e.held >= flushPacked {
			return e.write(ctx)
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.endBlock()
	for _, who := range roster {
		e.acc.Members++
		switch {
		case who.withheld:
			e.acc.Withheld++
		case who.written:
			e.acc.Exported++
		default:
			e.acc.Empty++
		}
	}
	return nil
}

// listed returns the members to ask the store for, in the order the table is clustered by; nil when they are all those of the
// chunk's range.
func (e *chunkExport) listed(roster map[uuid.UUID]*access) []uuid.UUID {
	if e.params.GroupID == "" && len(e.params.Patients) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(roster), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}

// take appends what is wanted of a segment to its type's buffer and returns how many lines that was.
func (e *chunkExport) take(row *store.Row, who *access, keep func(segment.Line) bool) (int64, error) {
	b := e.buffer(row.Type)
	sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
	var err error
	if row.Cut == store.CutEdge {
		if e.lines, err = segment.AppendIndex(e.lines[:0], row.Entries); err != nil {
			return 0, err
		}
	}
	switch {
	case e.filter.looksInto(row.Type), e.latest != nil && row.Type == fhir.TypeProvenance, row.Class&models.ClassAttachment != 0 && e.params.Base != "":
		b.data, sum, err = e.sift(b.data, row, who, sum, keep)
	case row.Cut == store.CutWhole:
		b.data = append(b.data, row.Data...)
	case e.refs != nil:
		b.data, sum, err = e.cut(b.data, row, sum, keep)
	default:
		b.data, sum, err = e.packer.Select(b.data, row.Data, sum, e.lines, keep)
	}
	if err != nil {
		return 0, err
	}
	b.sum = b.sum.Add(sum)
	e.held += sum.PackedLen
	return sum.Lines, nil
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

// cut is Packer.Select for an export that takes along what its lines refer to.
func (e *chunkExport) cut(dst []byte, row *store.Row, sum segment.Sum, keep func(segment.Line) bool) ([]byte, segment.Sum, error) {
	if err := e.referLines(row, sum); err != nil {
		return dst, segment.Sum{}, err
	}
	return e.packer.Select(dst, row.Data, sum, e.lines, keep)
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
