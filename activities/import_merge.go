package activities

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"pdexbulk/activities/spill"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// batchBytes is how much raw data one merge transaction takes. A member with more is merged in several.
const batchBytes = 24 << 20

// TakeTurn waits for the import's turn to merge: it fails, to be tried again, while another import merges. An import whose
// run was ended by force would keep its turn for ever, so it is closed.
func (a *Activities) TakeTurn(ctx context.Context, importID string) error {
	_, holder, err := a.Store.TakeTurn(ctx, importID, a.now())
	if err != nil || holder == "" {
		return err
	}
	run, err := lookAt(ctx, ImportWorkflowID(holder), "")
	if err != nil {
		return err
	}
	if run == runGoesOn {
		return models.Errorf(models.KindUnavailable, "import %s merges first", holder)
	}
	in := FinishInput{ImportID: holder, State: models.StateFailed, Reason: "its workflow was ended before it was done"}
	if _, err := a.FinishImport(ctx, in); err != nil {
		return err
	}
	return models.Errorf(models.KindUnavailable, "import %s has just been closed", holder)
}

// ImportWorkflowID is the id of an import's workflow.
func ImportWorkflowID(importID string) string { return "import-" + importID }

// BucketInput names one range of an import's members.
type BucketInput struct {
	ImportID string
	Bucket   int
}

// MergeBucket brings one range of members up to date with what the import's scans spilled for them. Progress is marked in
// the transactions that make it, so a new attempt goes on where the last one stopped.
func (a *Activities) MergeBucket(ctx context.Context, in BucketInput) error {
	imp, err := a.Store.Import(ctx, in.ImportID)
	if err != nil {
		return err
	}
	if imp.EffectiveAt == nil || imp.State != models.StateRunning {
		return models.Errorf(models.KindConflict, "the import is not merging")
	}
	sources, closeAll, err := a.bucketSources(ctx, imp, in.Bucket)
	if err != nil {
		return err
	}
	defer closeAll()
	merged, stats, err := a.Store.ImportBucket(ctx, imp.ID, in.Bucket)
	if err != nil {
		return err
	}
	packer, err := segment.NewPacker(segment.DefaultLevel)
	if err != nil {
		return err
	}
	m := &merger{imp: imp, packer: packer, stats: stats, unruled: a.unruled}
	if m.follow, err = a.Store.Earlier(ctx, imp); err != nil {
		return err
	}
	batch := cmp.Or(a.batch, batchBytes)
	var read int64
	err = spill.Merge(sources, func(rec *spill.Record) error {
		if read++; read <= merged {
			return nil
		}
		if m.full(rec, batch) {
			activity.RecordHeartbeat(ctx, read)
			if err := a.mergeBatch(ctx, m, in.Bucket, read-1); err != nil {
				return err
			}
		}
		m.add(rec)
		return nil
	})
	if err != nil || len(m.recs) == 0 {
		return err
	}
	return a.mergeBatch(ctx, m, in.Bucket, read)
}

// full reports whether the batch is to be merged before rec, which comes next, is added. A batch ends between members, or
// when one member is too much for it, between resources: versions of a resource are never parted.
func (m *merger) full(rec *spill.Record, batch int) bool {
	if m.size < batch {
		return false
	}
	last := &m.recs[len(m.recs)-1]
	if rec.Member != last.Member {
		return true
	}
	return m.size >= 2*batch && (rec.Type != last.Type || !bytes.Equal(rec.ID, last.ID))
}

// bucketSources opens the bucket's stretch of every run.
func (a *Activities) bucketSources(ctx context.Context, imp *models.Import, bucket int) ([]io.Reader, func(), error) {
	runs, err := a.Store.ImportRuns(ctx, imp.ID)
	if err != nil {
		return nil, nil, err
	}
	var sources []io.Reader
	var open []io.Closer
	closeAll := func() {
		for _, c := range open {
			_ = c.Close() // read only
		}
	}
	for _, run := range runs {
		dir, err := spill.DecodeDirectory(run.Directory)
		if err != nil || len(dir) != imp.Buckets+1 {
			closeAll()
			return nil, nil, fmt.Errorf("run %d of file %d: directory does not fit", run.Run, run.File)
		}
		from, to := dir[bucket], dir[bucket+1]
		if from == to {
			continue
		}
		r, err := a.Files.ReadRange(ctx, run.BlobKey, from, to-from)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		open, sources = append(open, r), append(sources, r)
	}
	return sources, closeAll, nil
}

// mergeBatch merges the batch and marks that so many lines of the bucket are merged, in one transaction.
func (a *Activities) mergeBatch(ctx context.Context, m *merger, bucket int, lines int64) error {
	stats := m.stats
	err := a.Store.MergeMembers(ctx, m.members(), *m.imp.EffectiveAt, func(view *store.MergeTx) (*store.Merge, error) {
		m.stats = stats.Add(models.ImportStats{}) // a transaction that is tried again counts anew
		return m.merge(view)
	}, func(ctx context.Context, tx pgx.Tx) error {
		return store.SaveBucket(ctx, tx, m.imp.ID, bucket, lines, m.stats)
	})
	m.reset()
	return err
}

// merger turns a batch of an import's lines, and what the store holds of their members, into new segments.
type merger struct {
	imp    *models.Import
	packer *segment.Packer
	stats  models.ImportStats
	recs   []spill.Record
	size   int
	// follow is set when what is new to a member may have been another's before.
	follow  bool
	indexer indexer
	viewer  release.Viewer
	unruled bool // see Activities
	facts   fhir.Facts
}

func (m *merger) add(rec *spill.Record) {
	own := *rec
	mem := make([]byte, 0, len(rec.ID)+len(rec.Patient)+len(rec.Body))
	mem = append(append(append(mem, rec.ID...), rec.Patient...), rec.Body...)
	p := len(rec.ID) + len(rec.Patient)
	own.ID, own.Patient, own.Body = mem[:len(rec.ID)], mem[len(rec.ID):p], mem[p:]
	stamp(&own, updatedAt(m.imp, rec.Updated))
	m.recs = append(m.recs, own)
	m.size += cap(mem)
}

func (m *merger) reset() { m.recs, m.size = m.recs[:0], 0 }

func (m *merger) members() []uuid.UUID {
	var ids []uuid.UUID
	for i := range m.recs {
		if i == 0 || m.recs[i].Member != m.recs[i-1].Member {
			ids = append(ids, m.recs[i].Member)
		}
	}
	return ids
}

// place is a member's resources of one type: what the store holds and what the batch brings.
type place struct {
	member uuid.UUID
	typ    int16
}

// held is an open segment with its lines. dropped marks those that are replaced or gone.
type held struct {
	key     store.SegmentKey
	lines   []segment.Line
	raw     int
	dropped map[int]bool
	rewrite bool
	data    []byte // packed; read only when the segment is rewritten
}

// shelf is what the store holds for the members of a batch.
type shelf struct {
	held     map[place][]*held
	parts    map[store.SegmentKey]int16 // highest part taken, by key with Part 0
	tombs    map[tombKey]store.Tombstone
	departed map[tombKey]store.Departure
	// unheld are the tombstones of what nobody had when it was deleted, under the key of who has it now.
	unheld map[tombKey]store.Tombstone
	// changed are the members that this import has changed in an earlier batch.
	changed map[uuid.UUID]bool
	// of and views are made when they are first asked for.
	of    map[uuid.UUID][]place
	views map[place]map[string][]found
	// masked are the lines without what is sensitive, with money, of the members that are ruled, by the line they stand for.
	masked map[tombKey][]byte
}

type tombKey struct {
	place
	id string
}

func readShelf(view *store.MergeTx, at time.Time) (*shelf, error) {
	sh := &shelf{
		held: map[place][]*held{}, parts: map[store.SegmentKey]int16{}, tombs: map[tombKey]store.Tombstone{},
		departed: map[tombKey]store.Departure{}, unheld: map[tombKey]store.Tombstone{}, changed: map[uuid.UUID]bool{},
	}
	for _, l := range view.Lines {
		if l.ValidFrom.Equal(at) {
			sh.changed[l.Member] = true
		}
		base := l.SegmentKey
		base.Part, base.ValidFrom = 0, base.ValidFrom.UTC()
		sh.parts[base] = max(sh.parts[base], l.Part)
		if !l.Open {
			continue
		}
		lines, err := segment.DecodeIndex(l.Entries)
		if err != nil {
			return nil, fmt.Errorf("index of a segment: %w", err)
		}
		h := &held{key: l.SegmentKey, lines: lines, dropped: map[int]bool{}}
		for _, line := range lines {
			h.raw += int(line.Length)
		}
		at := place{l.Member, l.Type}
		sh.held[at] = append(sh.held[at], h)
	}
	for _, t := range view.Tombstones {
		sh.tombs[tombKey{place{t.Member, t.Type}, t.ResourceID}] = t
	}
	for _, d := range view.Departures {
		sh.departed[tombKey{place{d.Member, d.Type}, d.ResourceID}] = d
	}
	return sh, nil
}

// nextPart returns a part number that no segment of this key has.
func (sh *shelf) nextPart(key store.SegmentKey) int16 {
	key.Part, key.ValidFrom = 0, key.ValidFrom.UTC()
	sh.parts[key]++
	return sh.parts[key]
}

// loadRewrites reads the bytes of every segment marked for rewriting.
func loadRewrites(view *store.MergeTx, all []*held) error {
	var keys []store.SegmentKey
	var want []*held
	for _, h := range all {
		if h.rewrite {
			keys, want = append(keys, h.key), append(want, h)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	data, err := view.Data(keys)
	if err != nil {
		return err
	}
	for i, h := range want {
		h.data = data[i]
	}
	return nil
}

// entry is a line on its way into a segment.
type entry struct {
	meta  segment.Line
	body  []byte       // with its line break
	class models.Class // what its line alone says, then what its member's lines together say; without views
}

// survivors inflates a segment and returns the lines that stay.
func (h *held) survivors() ([]entry, error) {
	raw, err := segment.Inflate(nil, h.data, h.raw)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	out := make([]entry, 0, len(h.lines))
	for i, l := range h.lines {
		if !h.dropped[i] {
			out = append(out, entry{meta: l, body: raw[l.Offset : l.Offset+l.Length]})
		}
	}
	return out, nil
}

// packSegments makes segments of the lines, ordered so that a window cuts few of them apart.
func packSegments(packer *segment.Packer, sh *shelf, key store.SegmentKey, lines []entry) ([]store.Segment, error) {
	slices.SortFunc(lines, compareEntries)
	var out []store.Segment
	for len(lines) > 0 {
		n, raw := 0, 0
		for n < len(lines) && (n == 0 || raw+len(lines[n].body) <= segment.MaxRawLen) {
			raw += len(lines[n].body)
			n++
		}
		key.Part = sh.nextPart(key)
		seg, err := packSegment(packer, key, lines[:n])
		if err != nil {
			return nil, err
		}
		out = append(out, seg)
		lines = lines[n:]
	}
	return out, nil
}

func compareEntries(a, b entry) int {
	switch {
	case a.meta.ServiceStart != b.meta.ServiceStart:
		return int(int64(a.meta.ServiceStart) - int64(b.meta.ServiceStart))
	case a.meta.LastUpdated != b.meta.LastUpdated:
		if a.meta.LastUpdated < b.meta.LastUpdated {
			return -1
		}
		return 1
	}
	return bytes.Compare([]byte(a.meta.ID), []byte(b.meta.ID))
}

// packSegment packs the lines, in their order, into one segment.
func packSegment(packer *segment.Packer, key store.SegmentKey, lines []entry) (store.Segment, error) {
	seg := store.Segment{SegmentKey: key, UpdatedMin: lines[0].meta.LastUpdated, UpdatedMax: lines[0].meta.LastUpdated}
	bodies, index := make([][]byte, len(lines)), make([]segment.Line, len(lines))
	typeName := fhir.TypeName(key.Type)
	refs := map[string]bool{}
	offset := uint32(0)
	for i, e := range lines {
		bodies[i] = e.body
		l := e.meta
		l.Offset, l.Length = offset, uint32(len(e.body))
		offset += l.Length
		index[i] = l
		seg.IDHashes = segment.AppendHashes(seg.IDHashes, segment.IDHash(typeName, l.ID))
		fhir.SharedReferences(e.body, func(_ int16, ref []byte) { note(refs, ref) })
		seg.UpdatedMin, seg.UpdatedMax = min(seg.UpdatedMin, l.LastUpdated), max(seg.UpdatedMax, l.LastUpdated)
		if l.ServiceEnd == segment.NoDate {
			seg.Undated++
			continue
		}
		if seg.ServiceMin == nil {
			seg.ServiceMin, seg.ServiceMax = new(l.ServiceStart), new(l.ServiceEnd)
		}
		*seg.ServiceMin, *seg.ServiceMax = min(*seg.ServiceMin, l.ServiceStart), max(*seg.ServiceMax, l.ServiceEnd)
	}
	data, sum, err := packer.Pack(nil, bodies...)
	if err != nil {
		return seg, fmt.Errorf("pack: %w", err)
	}
	seg.Data, seg.Entries, seg.Refs = data, segment.EncodeIndex(index), slices.Sorted(maps.Keys(refs))
	seg.Lines, seg.RawLen, seg.PackedLen, seg.CRC = int32(sum.Lines), int32(sum.RawLen), int32(sum.PackedLen), sum.CRC
	return seg, nil
}

// note puts a reference into a set. Most are there already, and then it costs no memory.
func note(set map[string]bool, ref []byte) {
	if !set[string(ref)] {
		set[string(ref)] = true
	}
}
