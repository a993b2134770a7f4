package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
)

// SegmentKey names one segment.
type SegmentKey struct {
	Member    uuid.UUID
	Type      int16
	Class     models.Class
	ValidFrom time.Time
	Part      int16
}

// Segment is a packed segment with its index, ready to be written.
type Segment struct {
	SegmentKey
	Lines      int32
	PackedLen  int32
	RawLen     int32
	CRC        uint32
	UpdatedMin int64  // ms since 1970-01-01
	UpdatedMax int64  // ms since 1970-01-01
	ServiceMin *int32 // days since 1970-01-01; nil when no line has a service date
	ServiceMax *int32
	Undated    int32
	Data       []byte
	IDHashes   []byte
	Entries    []byte
	Refs       []string // shared resources the lines refer to, as Type/id
}

// CurrentLines is the index of a segment the store holds. Open tells whether it is part of the newest state; a closed one
// is listed only to show that its key is taken.
type CurrentLines struct {
	SegmentKey
	Open    bool
	Entries []byte
}

// Tombstone remembers a deleted resource.
type Tombstone struct {
	Member     uuid.UUID
	Type       int16
	ResourceID string
	DeletedAt  time.Time
	Class      models.Class // of the resource as it was
}

// Departure is a resource that was a member's and is another's now.
type Departure struct {
	Member     uuid.UUID
	Type       int16
	ResourceID string
	LeftAt     time.Time
	Class      models.Class // of the resource as it was
	Home       uuid.UUID    // who has it
}

// News is a resource that is new to its member.
type News struct {
	Member  uuid.UUID
	Type    int16
	Hash    uint64 // segment.IDHash
	Updated int64  // ms since 1970-01-01
	// Source, Version, File and Line tell which of several versions in one import is the newest: what its source says, and where it stands.
	Source  int64
	Version int32
	File    int32
	Line    int64
}

// Merge is what one transaction changes.
type Merge struct {
	Insert []Segment
	Close  []SegmentKey
	At     time.Time // the instant the closed ones stop being valid

	Members map[uuid.UUID]string // Patient ids of the members touched
	Present map[uuid.UUID]bool   // members whose Patient came or went
	Sources []MemberSource       // whose parts of the member index are replaced
	Parts   []MemberPart
	Rebuilt []uuid.UUID // members of whom no part stays but those in Parts
	Unsure  []uuid.UUID // members who lost a resource that may have contained a Coverage

	// News are the resources that are new to their member, with the import that brought them.
	News     []News
	ImportID string

	Bury  []Tombstone
	Raise []Tombstone // tombstones to take away: the resource is back

	Depart []Departure
	Return []Departure // departures of what is back

	Binaries []Binary      // replace what is held of them
	Detach   []ResourceKey // resources that refer to no Binary any more but those in Attach
	Attach   []Attachment
}

// MergeTx is the view fn gets of the members it is merging.
type MergeTx struct {
	ctx context.Context
	tx  pgx.Tx
	// Lines are the indexes of the members' segments.
	Lines []CurrentLines
	// Tombstones are the deleted resources of the members, Departures those that others have now.
	Tombstones []Tombstone
	Departures []Departure
}

// Data reads the packed bytes of segments, in the order of keys.
func (m *MergeTx) Data(keys []SegmentKey) ([][]byte, error) {
	out := make([][]byte, len(keys))
	rows, err := m.tx.Query(m.ctx, `SELECT k.n, s.data
		FROM unnest($1::int[], $2::uuid[], $3::smallint[], $4::smallint[], $5::timestamptz[], $6::smallint[])
		       AS k(n, member_id, type, class, valid_from, part)
		JOIN segments s USING (member_id, type, class, valid_from, part)`, keyColumns(keys, true)...)
	if err != nil {
		return nil, fmt.Errorf("select segments: %w", err)
	}
	found := 0
	var n int
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&n, &data}, func() error {
		out[n] = slices.Clone(data)
		found++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	if found != len(keys) {
		return nil, fmt.Errorf("read segments: %d of %d found", found, len(keys))
	}
	return out, nil
}

func keyColumns(keys []SegmentKey, numbered bool) []any {
	n := len(keys)
	num, member, typ, class, from, part := make([]int32, n), make([]uuid.UUID, n), make([]int16, n), make([]int16, n), make([]time.Time, n), make([]int16, n)
	for i, k := range keys {
		num[i], member[i], typ[i], class[i], from[i], part[i] = int32(i), k.Member, k.Type, int16(k.Class), k.ValidFrom, k.Part
	}
	if numbered {
		return []any{num, member, typ, class, from, part}
	}
	return []any{member, typ, class, from, part}
}

// MergeMembers changes the segments of some members in one transaction. Imports that touch the same member take turns. fn
// sees the members' newest state and returns the change; mark, when not nil, is called last in the same transaction.
func (s *Store) MergeMembers(ctx context.Context, ids []uuid.UUID, at time.Time, fn func(*MergeTx) (*Merge, error), mark func(context.Context, pgx.Tx) error) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := lockMembers(ctx, tx, ids); err != nil {
			return err
		}
		view := &MergeTx{ctx: ctx, tx: tx}
		if err := view.load(ids, at); err != nil {
			return err
		}
		m, err := fn(view)
		if err != nil {
			return err
		}
		if err := m.write(ctx, tx); err != nil {
			return err
		}
		if mark == nil {
			return nil
		}
		return mark(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("merge members: %w", err)
	}
	return nil
}

// lockMembers takes one advisory lock for each first byte among the ids, in ascending order, so that no two transactions
// can wait for each other.
func lockMembers(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	const class = 0x6d656d62 // "memb"
	var seen [256]bool
	for _, id := range ids {
		seen[id[0]] = true
	}
	var keys []int32
	for b, ok := range seen {
		if ok {
			keys = append(keys, int32(b))
		}
	}
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1, k) FROM unnest($2::int[]) WITH ORDINALITY AS t(k, n) ORDER BY n`, class, keys)
	if err != nil {
		return fmt.Errorf("lock members: %w", err)
	}
	return nil
}

func (m *MergeTx) load(ids []uuid.UUID, at time.Time) error {
	rows, err := m.tx.Query(m.ctx, `SELECT member_id, type, class, valid_from, part, valid_to = 'infinity', entries
		FROM segment_lines WHERE member_id = ANY($1) AND (valid_to = 'infinity' OR valid_from >= $2)`, ids, at)
	if err != nil {
		return fmt.Errorf("select segment lines: %w", err)
	}
	m.Lines, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l CurrentLines, err error) {
		err = row.Scan(&l.Member, &l.Type, &l.Class, &l.ValidFrom, &l.Part, &l.Open, &l.Entries)
		return l, err
	})
	if err != nil {
		return fmt.Errorf("read segment lines: %w", err)
	}
	rows, err = m.tx.Query(m.ctx, `SELECT member_id, type, resource_id, max(deleted_at), max(class)
		FROM tombstones WHERE member_id = ANY($1) AND raised_at = 'infinity' GROUP BY 1, 2, 3`, ids)
	if err != nil {
		return fmt.Errorf("select tombstones: %w", err)
	}
	m.Tombstones, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Tombstone])
	if err != nil {
		return fmt.Errorf("read tombstones: %w", err)
	}
	m.Departures, err = m.departures(ids)
	return err
}

// Unheld returns, by place in keys, those tombstones among the keys (Member, Type and ResourceID) that stand for resources
// nobody had when they were deleted.
func (m *MergeTx) Unheld(keys []Tombstone) (map[int]Tombstone, error) {
	var some bool
	if len(keys) > 0 {
		if err := m.tx.QueryRow(m.ctx, `SELECT EXISTS (SELECT FROM tombstones WHERE member_id >= $1)`, models.FirstUnattributed).Scan(&some); err != nil {
			return nil, fmt.Errorf("look for tombstones: %w", err)
		}
	}
	if !some {
		return nil, nil
	}
	n := len(keys)
	num, member, typ, id := make([]int32, n), make([]uuid.UUID, n), make([]int16, n), make([]string, n)
	for i, k := range keys {
		num[i], member[i], typ[i], id[i] = int32(i), k.Member, k.Type, k.ResourceID
	}
	rows, err := m.tx.Query(m.ctx, `SELECT k.n, t.member_id, t.type, t.resource_id, t.deleted_at, t.class
		FROM unnest($1::int[], $2::uuid[], $3::smallint[], $4::text[]) AS k(n, member_id, type, resource_id)
		JOIN tombstones t USING (member_id, type, resource_id) WHERE t.raised_at = 'infinity' ORDER BY t.deleted_at`, num, member, typ, id)
	if err != nil {
		return nil, fmt.Errorf("select tombstones: %w", err)
	}
	out := map[int]Tombstone{}
	var at int
	var t Tombstone
	_, err = pgx.ForEachRow(rows, []any{&at, &t.Member, &t.Type, &t.ResourceID, &t.DeletedAt, &t.Class}, func() error {
		out[at] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tombstones: %w", err)
	}
	return out, nil
}

// Bury adds tombstones.
func (s *Store) Bury(ctx context.Context, all []Tombstone) error {
	for batch := range slices.Chunk(all, 1000) {
		err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error { return (&Merge{Bury: batch}).writeTombstones(ctx, tx) })
		if err != nil {
			return fmt.Errorf("bury: %w", err)
		}
	}
	return nil
}

var segmentColumns = []string{
	"member_id", "type", "class", "valid_from", "part", "lines", "packed_len", "raw_len", "crc",
	"updated_min", "updated_max", "service_min", "service_max", "undated", "data",
}

func (m *Merge) write(ctx context.Context, tx pgx.Tx) error {
	if len(m.Close) > 0 {
		args := append([]any{m.At}, keyColumns(m.Close, false)...)
		for _, table := range []string{"segments", "segment_lines", "segment_refs"} {
			_, err := tx.Exec(ctx, `UPDATE `+table+` s SET valid_to = greatest($1, s.valid_from)
				FROM unnest($2::uuid[], $3::smallint[], $4::smallint[], $5::timestamptz[], $6::smallint[])
				       AS k(member_id, type, class, valid_from, part)
				WHERE (s.member_id, s.type, s.class, s.valid_from, s.part) = (k.member_id, k.type, k.class, k.valid_from, k.part)`, args...)
			if err != nil {
				return fmt.Errorf("close %s: %w", table, err)
			}
		}
	}
	if len(m.Insert) > 0 {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"segments"}, segmentColumns, pgx.CopyFromSlice(len(m.Insert), func(i int) ([]any, error) {
			g := &m.Insert[i]
			return []any{
				g.Member, g.Type, int16(g.Class), g.ValidFrom, g.Part, g.Lines, g.PackedLen, g.RawLen, int32(g.CRC),
				time.UnixMilli(g.UpdatedMin).UTC(), time.UnixMilli(g.UpdatedMax).UTC(), day(g.ServiceMin), day(g.ServiceMax), g.Undated, g.Data,
			}, nil
		}))
		if err != nil {
			return fmt.Errorf("copy segments: %w", err)
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"segment_lines"}, []string{"member_id", "type", "class", "valid_from", "part", "id_hashes", "entries"},
			pgx.CopyFromSlice(len(m.Insert), func(i int) ([]any, error) {
				g := &m.Insert[i]
				return []any{g.Member, g.Type, int16(g.Class), g.ValidFrom, g.Part, g.IDHashes, g.Entries}, nil
			}))
		if err != nil {
			return fmt.Errorf("copy segment lines: %w", err)
		}
		referring := slices.DeleteFunc(slices.Clone(m.Insert), func(g Segment) bool { return len(g.Refs) == 0 })
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"segment_refs"}, []string{"member_id", "type", "class", "valid_from", "part", "refs"},
			pgx.CopyFromSlice(len(referring), func(i int) ([]any, error) {
				g := &referring[i]
				return []any{g.Member, g.Type, int16(g.Class), g.ValidFrom, g.Part, g.Refs}, nil
			}))
		if err != nil {
			return fmt.Errorf("copy segment references: %w", err)
		}
	}
	if len(m.News) > 0 {
		importID := uuid.MustParse(m.ImportID)
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"import_news"}, []string{"import_id", "member_id", "type", "id_hash", "updated", "source", "version", "file", "line"},
			pgx.CopyFromSlice(len(m.News), func(i int) ([]any, error) {
				n := &m.News[i]
				return []any{importID, n.Member, n.Type, int64(n.Hash), n.Updated, n.Source, n.Version, n.File, n.Line}, nil
			}))
		if err != nil {
			return fmt.Errorf("copy news: %w", err)
		}
	}
	if err := m.writeTombstones(ctx, tx); err != nil {
		return err
	}
	if err := m.writeDepartures(ctx, tx); err != nil {
		return err
	}
	if err := m.writeBinaries(ctx, tx); err != nil {
		return err
	}
	return m.writeIndex(ctx, tx)
}

func (m *Merge) writeTombstones(ctx context.Context, tx pgx.Tx) error {
	b := &pgx.Batch{}
	for _, t := range m.Raise {
		b.Queue(`UPDATE tombstones SET raised_at = $4 WHERE member_id = $1 AND type = $2 AND resource_id = $3 AND raised_at = 'infinity'`,
			t.Member, t.Type, t.ResourceID, m.At)
	}
	for _, t := range m.Bury {
		b.Queue(`INSERT INTO tombstones (member_id, type, resource_id, deleted_at, class) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (member_id, type, resource_id, deleted_at) DO UPDATE SET class = excluded.class, raised_at = excluded.raised_at`,
			t.Member, t.Type, t.ResourceID, t.DeletedAt, int16(t.Class))
	}
	if b.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write tombstones: %w", err)
	}
	return nil
}

// writeIndex brings members and the member index up to date, set by set.
func (m *Merge) writeIndex(ctx context.Context, tx pgx.Tx) error {
	b := &pgx.Batch{}
	if len(m.Members) > 0 {
		ids, patients, present := make([]uuid.UUID, 0, len(m.Members)), make([]string, 0, len(m.Members)), make([]bool, 0, len(m.Members))
		for id, patient := range m.Members {
			ids, patients, present = append(ids, id), append(patients, patient), append(present, m.Present[id])
		}
		b.Queue(`INSERT INTO members (id, patient_id, present, updated_at)
			SELECT k.id, k.patient_id, k.present, $4 FROM unnest($1::uuid[], $2::text[], $3::bool[]) AS k(id, patient_id, present)
			ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at,
				present = CASE WHEN excluded.id = ANY($5::uuid[]) THEN excluded.present ELSE members.present END`,
			ids, patients, present, m.At, slices.Collect(maps.Keys(m.Present)))
	}
	m.writeParts(b)
	if b.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write the member index: %w", err)
	}
	return nil
}

func dayPtr(d *int32) *time.Time {
	if d == nil {
		return nil
	}
	t := time.Unix(int64(*d)*86400, 0).UTC()
	return &t
}

// day turns days since 1970-01-01 into what COPY takes for a date, nil for NULL.
func day(d *int32) any {
	if t := dayPtr(d); t != nil {
		return *t
	}
	return nil
}
