package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Load is what one member (or shard of shared resources) would bring to an export.
type Load struct {
	Member uuid.UUID
	Lines  int64
	Packed int64
}

// Loads streams, in member order, every member an export at snapshot `at` covers with the size of its segments of the
// given types (none means all), each resource counted once. With a group it is that group's members, whether or not anything is held of them; without
// one, every member whose Patient is held. only, unless nil, leaves out everybody else. frozen, unless "", is the job whose roster
// stands for the group's members.
func (s *Store) Loads(ctx context.Context, groupID, frozen string, types []int16, only []uuid.UUID, at time.Time, fn func(Load) error) error {
	sql := `SELECT member_id, coalesce(sum(lines) FILTER (WHERE $2::smallint[] IS NULL OR type = ANY($2)), 0)::bigint,
		       coalesce(sum(packed_len) FILTER (WHERE $2::smallint[] IS NULL OR type = ANY($2)), 0)::bigint
		FROM segments WHERE valid_from <= $1 AND valid_to > $1 AND member_id < $3 AND ($5::uuid[] IS NULL OR member_id = ANY($5)) AND class & $6 = 0
		GROUP BY member_id HAVING bool_or(type = $4) ORDER BY member_id`
	patient, _ := fhir.TypeCode("Patient")
	args := []any{at, nullable(types), models.FirstShared, patient, only, int16(models.ClassViews)}
	if groupID != "" {
		sql = `SELECT g.member_id, coalesce(sum(s.lines), 0)::bigint, coalesce(sum(s.packed_len), 0)::bigint
			FROM group_members g LEFT JOIN segments s ON s.member_id = g.member_id AND s.valid_from <= $1 AND s.valid_to > $1
			     AND ($2::smallint[] IS NULL OR s.type = ANY($2)) AND s.class & $5 = 0
			WHERE g.group_id = $3 AND ($4::uuid[] IS NULL OR g.member_id = ANY($4)) GROUP BY g.member_id ORDER BY g.member_id`
		args = []any{at, nullable(types), groupID, only, int16(models.ClassViews)}
	}
	if frozen != "" {
		sql = strings.NewReplacer("group_members g", "export_rosters g", "g.group_id", "g.job_id").Replace(sql)
		args[2] = frozen
	}
	return s.eachLoad(ctx, sql, args, fn)
}

// SharedLoads streams the shards of resources that belong to no patient, as Loads does members.
func (s *Store) SharedLoads(ctx context.Context, types []int16, at time.Time, fn func(Load) error) error {
	return s.eachLoad(ctx, `SELECT member_id, sum(lines)::bigint, sum(packed_len)::bigint FROM segments
		WHERE valid_from <= $1 AND valid_to > $1 AND ($2::smallint[] IS NULL OR type = ANY($2))
		  AND member_id >= $3 AND member_id < $4 AND class & $5 = 0
		GROUP BY member_id ORDER BY member_id`,
		[]any{at, nullable(types), models.FirstShared, models.FirstUnattributed, int16(models.ClassViews)}, fn)
}

func (s *Store) eachLoad(ctx context.Context, sql string, args []any, fn func(Load) error) error {
	rows, err := s.Pool.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	var l Load
	_, err = pgx.ForEachRow(rows, []any{&l.Member, &l.Lines, &l.Packed}, func() error { return fn(l) })
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return nil
}

func nullable(types []int16) any {
	if len(types) == 0 {
		return nil
	}
	return types
}

// Chunk is a range of members exported in one go.
type Chunk struct {
	JobID   string    `bun:",pk,type:uuid"`
	Chunk   int       `bun:",pk"`
	Lo      uuid.UUID `bun:",notnull"`
	Hi      uuid.UUID `bun:",notnull"`
	Members int       `bun:",notnull"` // 0 for a range of shared resources
	Planned int64     `bun:",notnull"`
	Done    bool      `bun:"-"`
}

// SavePlan stores a job's chunks. A plan that is there already stays. KindConflict when the job is not running.
func (s *Store) SavePlan(ctx context.Context, jobID string, plan []Chunk) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM export_chunks WHERE job_id = $1) FROM jobs WHERE id = $1 AND state = 'running' FOR NO KEY UPDATE`,
			jobID).Scan(&there)
		if noRows(err) {
			return models.Errorf(models.KindConflict, "the job has ended")
		}
		if err != nil || there {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"export_chunks"}, []string{"job_id", "chunk", "lo", "hi", "members", "planned"},
			pgx.CopyFromSlice(len(plan), func(i int) ([]any, error) {
				c := plan[i]
				return []any{uuid.MustParse(jobID), c.Chunk, c.Lo, c.Hi, c.Members, c.Planned}, nil
			}))
		return err
	})
	if err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	return nil
}

// PlannedChunks returns a job's chunks in order.
func (s *Store) PlannedChunks(ctx context.Context, jobID string) ([]Chunk, error) {
	rows, err := s.Pool.Query(ctx, `SELECT chunk, lo, hi, members, planned, attempt IS NOT NULL FROM export_chunks WHERE job_id = $1 ORDER BY chunk`, jobID)
	if err != nil {
		return nil, fmt.Errorf("select chunks: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Chunk, error) {
		c := Chunk{JobID: jobID}
		err := row.Scan(&c.Chunk, &c.Lo, &c.Hi, &c.Members, &c.Planned, &c.Done)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read chunks: %w", err)
	}
	return out, nil
}

// PlannedChunk returns one chunk of a job.
func (s *Store) PlannedChunk(ctx context.Context, jobID string, chunk int) (Chunk, error) {
	c := Chunk{JobID: jobID, Chunk: chunk}
	err := s.Pool.QueryRow(ctx, `SELECT lo, hi, members, planned, attempt IS NOT NULL FROM export_chunks WHERE job_id = $1 AND chunk = $2`, jobID, chunk).
		Scan(&c.Lo, &c.Hi, &c.Members, &c.Planned, &c.Done)
	if noRows(err) {
		return c, models.Errorf(models.KindNotFound, "the job has no such chunk")
	}
	if err != nil {
		return c, fmt.Errorf("select chunk: %w", err)
	}
	return c, nil
}

// Progress says how many of a job's planned resources have been dealt with.
func (s *Store) Progress(ctx context.Context, jobID string) (done, planned int64, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT coalesce(sum(planned) FILTER (WHERE attempt IS NOT NULL), 0)::bigint, coalesce(sum(planned), 0)::bigint
		FROM export_chunks WHERE job_id = $1`, jobID).Scan(&done, &planned)
	if err != nil {
		return 0, 0, fmt.Errorf("select progress: %w", err)
	}
	return done, planned, nil
}

// Part is a stretch of one type's packed lines in a chunk's blob.
type Part struct {
	Type   int16
	Part   int16
	Offset int64
	Packed int64
	Raw    int64
	Lines  int64
	CRC    uint32
}

// Referred is what the lines of a chunk refer to.
type Referred struct {
	Shared   []string             // shared resources, as Type/id
	Binaries map[string]uuid.UUID // Binaries by id, with the member whose they are
}

// Withheld is a member of whom an export keeps back more than their Group's row says: all, or else what is sensitive.
type Withheld struct {
	Member uuid.UUID
	Whole  bool
}

// PublishChunk makes one attempt's parts the chunk's. It is a single conditional change: of several attempts the first
// wins, and false tells the others that what they wrote does not count.
//
// A supporting chunk, whose size nobody could plan, is planned as large as it turned out. withheld are the members of a Group of
// whom nothing, or nothing sensitive, was written because of what was said since the match.
func (s *Store) PublishChunk(ctx context.Context, jobID string, chunk int, attempt, blobKey string, acc models.Accounting, parts []Part, found Referred, withheld ...Withheld) (bool, error) {
	won := false
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := holdJob(ctx, tx, jobID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE export_chunks SET attempt = $3, blob_key = $4, accounting = $5, planned = greatest(planned, $6)
			WHERE job_id = $1 AND chunk = $2 AND attempt IS NULL`, jobID, chunk, attempt, blobKey, acc, acc.Planned)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		won = true
		// Sorted, so that chunks that name the same resources do not wait for each other in a circle.
		_, err = tx.Exec(ctx, `INSERT INTO export_refs (job_id, ref) SELECT $1, r FROM unnest($2::text[]) AS r ORDER BY r ON CONFLICT DO NOTHING`,
			jobID, slices.Sorted(slices.Values(found.Shared)))
		if err != nil {
			return err
		}
		ids := slices.Sorted(maps.Keys(found.Binaries))
		members := make([]uuid.UUID, len(ids))
		for i, id := range ids {
			members[i] = found.Binaries[id]
		}
		_, err = tx.Exec(ctx, `INSERT INTO export_attachments (job_id, binary_id, member_id)
			SELECT $1, k.id, k.member_id FROM unnest($2::text[], $3::uuid[]) AS k(id, member_id) ON CONFLICT DO NOTHING`, jobID, ids, members)
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"export_parts"},
			[]string{"job_id", "chunk", "type", "part", "byte_offset", "packed_len", "raw_len", "lines", "crc"},
			pgx.CopyFromSlice(len(parts), func(i int) ([]any, error) {
				p := parts[i]
				return []any{uuid.MustParse(jobID), chunk, p.Type, p.Part, p.Offset, p.Packed, p.Raw, p.Lines, int32(p.CRC)}, nil
			}))
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"export_withheld"}, []string{"job_id", "member_id", "whole"},
			pgx.CopyFromSlice(len(withheld), func(i int) ([]any, error) {
				return []any{uuid.MustParse(jobID), withheld[i].Member, withheld[i].Whole}, nil
			}))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("publish chunk: %w", err)
	}
	return won, nil
}

// ChunkAccounting adds up the balances of a job's published chunks and says how many chunks are not published.
func (s *Store) ChunkAccounting(ctx context.Context, jobID string) (acc models.Accounting, missing int, err error) {
	rows, err := s.Pool.Query(ctx, `SELECT accounting, attempt IS NULL FROM export_chunks WHERE job_id = $1`, jobID)
	if err != nil {
		return acc, 0, fmt.Errorf("select balances: %w", err)
	}
	var one models.Accounting
	var open bool
	_, err = pgx.ForEachRow(rows, []any{&one, &open}, func() error {
		acc = acc.Add(one)
		if open {
			missing++
		}
		one = models.Accounting{}
		return nil
	})
	if err != nil {
		return acc, 0, fmt.Errorf("read balances: %w", err)
	}
	return acc, missing, nil
}

// PublishedParts streams a job's published parts by type, then chunk, then part.
func (s *Store) PublishedParts(ctx context.Context, jobID string, fn func(chunk int, p Part) error) error {
	rows, err := s.Pool.Query(ctx, `SELECT chunk, type, part, byte_offset, packed_len, raw_len, lines, crc
		FROM export_parts WHERE job_id = $1 ORDER BY type, chunk, part`, jobID)
	if err != nil {
		return fmt.Errorf("select parts: %w", err)
	}
	var chunk int
	var p Part
	var crc int32
	_, err = pgx.ForEachRow(rows, []any{&chunk, &p.Type, &p.Part, &p.Offset, &p.Packed, &p.Raw, &p.Lines, &crc}, func() error {
		p.CRC = uint32(crc)
		return fn(chunk, p)
	})
	if err != nil {
		return fmt.Errorf("read parts: %w", err)
	}
	return nil
}

func (s *Store) fileParts(ctx context.Context, f *models.JobFile) ([]models.FilePart, error) {
	code, _ := fhir.TypeCode(f.Type)
	rows, err := s.Pool.Query(ctx, `SELECT c.blob_key, p.byte_offset, p.packed_len, p.raw_len, p.lines, p.crc
		FROM export_parts p JOIN export_chunks c USING (job_id, chunk)
		WHERE p.job_id = $1 AND p.type = $2 AND p.chunk BETWEEN $3 AND $4 ORDER BY p.chunk, p.part`, f.JobID, code, f.FirstChunk, f.LastChunk)
	if err != nil {
		return nil, fmt.Errorf("select file parts: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p models.FilePart, err error) {
		var crc int32
		err = row.Scan(&p.BlobKey, &p.Offset, &p.Packed, &p.Raw, &p.Lines, &crc)
		p.CRC = uint32(crc)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read file parts: %w", err)
	}
	return out, nil
}

// Window says which lines of a segment an export wants. The zero value wants all.
type Window struct {
	Since       *time.Time // meta.lastUpdated after
	Until       *time.Time // meta.lastUpdated before
	ServiceFrom *int32     // last service day on or after; lines without a service date stay
	// Day is that of the request. Prior authorisations may leave up to their last service day, and what supports them, however
	// old, up to its first (see models.Class). Nil means that they are like other lines.
	Day *int32
	// Skip leaves out segments of classes with one of these bits.
	Skip models.Class
	// ByMember has the segments of each member come together, those of the Patient first.
	ByMember bool
}

// Wants reports whether a line is inside the window. updated is in ms since 1970-01-01, serviceEnd in days; dated is
// false when the line has no service date.
func (w Window) Wants(updated int64, serviceEnd int32, dated bool) bool {
	return (w.Since == nil || updated > w.Since.UnixMilli()) &&
		(w.Until == nil || updated < w.Until.UnixMilli()) &&
		(w.ServiceFrom == nil || !dated || serviceEnd >= *w.ServiceFrom)
}

// Cut says how a window meets a segment.
type Cut int16

// The cuts.
const (
	CutOutside Cut = 0 // no line is wanted; Data is nil
	CutWhole   Cut = 1 // every line is wanted
	CutEdge    Cut = 2 // some may be; Entries is the segment's index
	CutOld     Cut = 3 // no line is wanted, because of when the services were; Data is nil
)

// Row is a segment as an export reads it. Data and Entries are valid only during the call they are passed to.
type Row struct {
	Member  uuid.UUID
	Type    int16
	Class   models.Class
	Cut     Cut
	Lines   int64
	RawLen  int64
	CRC     uint32
	Data    []byte
	Entries []byte
}

// Snapshot is one repeatable-read transaction: what it reads of members and what it reads of their data agree.
type Snapshot struct {
	ctx context.Context
	tx  pgx.Tx
	at  time.Time
}

// InSnapshot runs fn over the store as it stood at `at`.
func (s *Store) InSnapshot(ctx context.Context, at time.Time, fn func(*Snapshot) error) error {
	return s.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return fn(&Snapshot{ctx: ctx, tx: tx, at: at})
	})
}

// RosterEntry is a member an export covers and the consent it was matched under.
type RosterEntry struct {
	Member       uuid.UUID
	Policy       string
	ConsentStart *time.Time
	ConsentEnd   *time.Time
}

// Roster returns the members of a chunk: a group's, or without a group every one whose Patient is held; and of them, unless
// it is nil, those in only. frozen is as for Loads; such a roster has no consents.
func (v *Snapshot) Roster(groupID, frozen string, c Chunk, only []uuid.UUID) ([]RosterEntry, error) {
	if frozen != "" {
		rows, err := v.tx.Query(v.ctx, `SELECT member_id, '', NULL::timestamptz, NULL::timestamptz FROM export_rosters
			WHERE job_id = $1 AND member_id BETWEEN $2 AND $3 AND ($4::uuid[] IS NULL OR member_id = ANY($4)) ORDER BY member_id`, frozen, c.Lo, c.Hi, only)
		if err != nil {
			return nil, fmt.Errorf("select roster: %w", err)
		}
		return pgx.CollectRows(rows, pgx.RowToStructByPos[RosterEntry])
	}
	if groupID != "" {
		rows, err := v.tx.Query(v.ctx, `SELECT member_id, policy, consent_start, consent_end FROM group_members
			WHERE group_id = $1 AND member_id BETWEEN $2 AND $3 AND ($4::uuid[] IS NULL OR member_id = ANY($4))
			ORDER BY member_id`, groupID, c.Lo, c.Hi, only)
		if err != nil {
			return nil, fmt.Errorf("select roster: %w", err)
		}
		return pgx.CollectRows(rows, pgx.RowToStructByPos[RosterEntry])
	}
	patient, _ := fhir.TypeCode("Patient")
	rows, err := v.tx.Query(v.ctx, `SELECT DISTINCT member_id FROM segments
		WHERE member_id BETWEEN $1 AND $2 AND type = $3 AND valid_from <= $4 AND valid_to > $4
		  AND ($5::uuid[] IS NULL OR member_id = ANY($5))`, c.Lo, c.Hi, patient, v.at, only)
	if err != nil {
		return nil, fmt.Errorf("select roster: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e RosterEntry, err error) {
		err = row.Scan(&e.Member)
		return e, err
	})
}

// PatientIDs returns the ids of members' Patients.
func (v *Snapshot) PatientIDs(members []uuid.UUID) (map[uuid.UUID]string, error) {
	rows, err := v.tx.Query(v.ctx, `SELECT m.id, m.patient_id FROM unnest($1::uuid[]) AS k(id) JOIN members m ON m.id = k.id`, members)
	if err != nil {
		return nil, fmt.Errorf("select patient ids: %w", err)
	}
	ids := make(map[uuid.UUID]string, len(members))
	var member uuid.UUID
	var id string
	if _, err = pgx.ForEachRow(rows, []any{&member, &id}, func() error { ids[member] = id; return nil }); err != nil {
		return nil, fmt.Errorf("read patient ids: %w", err)
	}
	return ids, nil
}

// Group returns the Group that is exported.
func (v *Snapshot) Group(id string) (*Group, error) {
	g := &Group{ID: id}
	err := v.tx.QueryRow(v.ctx, `SELECT client_id, job_id, profile, created_at, expires_at, organizations FROM groups WHERE id = $1`, id).
		Scan(&g.ClientID, &g.JobID, &g.Profile, &g.CreatedAt, &g.ExpiresAt, &g.Organizations)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no Group has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("select group: %w", err)
	}
	return g, nil
}

const rowColumns = `s.member_id, s.type, s.class, s.lines, s.raw_len, s.crc,
	CASE WHEN %[1]s THEN 0 WHEN %[2]s THEN 3 WHEN %[3]s THEN 2 ELSE 1 END::smallint,
	CASE WHEN %[1]s OR %[2]s THEN NULL ELSE s.data END,
	CASE WHEN NOT (%[1]s OR %[2]s) AND (%[3]s) THEN (SELECT l.entries FROM segment_lines l
		WHERE (l.member_id, l.type, l.class, l.valid_from, l.part) = (s.member_id, s.type, s.class, s.valid_from, s.part)) END`

// The tests a window makes on a segment's bounds. $1 snapshot, $2 types, $3 since, $4 until, $5 first service day, $6 day of the
// request, $7 classes to skip. The classes 2 and 128 are models.ClassPriorAuth and models.ClassSupport.
const (
	outside = `(coalesce(s.updated_max <= $3, false) OR coalesce(s.updated_min >= $4, false))`
	old     = `CASE WHEN $6::date IS NULL OR s.class & 130 = 0 THEN coalesce(s.undated = 0 AND s.service_max < $5, false)
		ELSE s.class & 2 <> 0 AND s.service_max < $6 END`
	edgeOfAge = `CASE WHEN $6::date IS NULL OR s.class & 130 = 0 THEN coalesce(s.service_min < $5, false)
		WHEN s.class & 2 <> 0 THEN s.service_min < $6 ELSE $5::date IS NOT NULL END`
	edge = `(coalesce(s.updated_min <= $3, false) OR coalesce(s.updated_max >= $4, false) OR ` + edgeOfAge + `)`
	// Without since, until and first service day only prior authorisations are cut.
	auths = `s.member_id, s.type, s.class, s.lines, s.raw_len, s.crc,
	CASE WHEN s.class & 2 = 0 OR $6::date IS NULL OR s.service_min >= $6 THEN 1 WHEN s.service_max < $6 THEN 3 ELSE 2 END::smallint,
	CASE WHEN s.class & 2 = 0 OR $6::date IS NULL OR s.service_max >= $6 THEN s.data END,
	CASE WHEN s.class & 2 <> 0 AND $6::date IS NOT NULL AND s.service_min < $6 AND s.service_max >= $6 THEN (SELECT l.entries FROM segment_lines l
		WHERE (l.member_id, l.type, l.class, l.valid_from, l.part) = (s.member_id, s.type, s.class, s.valid_from, s.part)) END`
)

// Segments streams the segments of the given types (none means all) that the listed members had at the snapshot. members
// nil means every id in [c.Lo, c.Hi].
func (v *Snapshot) Segments(c Chunk, members []uuid.UUID, types []int16, w Window, fn func(*Row) error) error {
	from := `segments s WHERE s.member_id BETWEEN $8 AND $9 AND`
	args := []any{
		pgx.QueryExecModeCacheDescribe,
		pgx.QueryResultFormats{pgx.BinaryFormatCode},
		v.at, nullable(types), w.Since, w.Until, dayPtr(w.ServiceFrom), dayPtr(w.Day), int16(w.Skip),
	}
	if members != nil {
		from = `unnest($8::uuid[]) AS k(id) JOIN segments s ON s.member_id = k.id WHERE`
		args = append(args, members)
	} else {
		args = append(args, c.Lo, c.Hi)
	}
	always := w.Since == nil && w.Until == nil && w.ServiceFrom == nil
	cols := fmt.Sprintf(rowColumns, outside, old, edge)
	if always {
		cols = auths
	}
	sql := `SELECT ` + cols + ` FROM ` + from + ` s.valid_from <= $1 AND s.valid_to > $1 AND ($2::smallint[] IS NULL OR s.type = ANY($2))
		AND s.class & $7 = 0`
	if always {
		sql += ` AND ($3::timestamptz IS NULL AND $4::timestamptz IS NULL AND $5::date IS NULL)`
	}
	if w.ByMember {
		sql += fmt.Sprintf(` ORDER BY s.member_id, s.type <> %d, s.type, s.class, s.part`, fhir.TypePatient)
	}
	rows, err := v.tx.Query(v.ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("select segments: %w", err)
	}
	defer rows.Close()
	var row Row
	for rows.Next() {
		raw := rows.RawValues()
		row = Row{
			Member: uuid.UUID(raw[0]),
			Type:   int16(binary.BigEndian.Uint16(raw[1])),
			Class:  models.Class(binary.BigEndian.Uint16(raw[2])),
			Lines:  int64(int32(binary.BigEndian.Uint32(raw[3]))),
			RawLen: int64(int32(binary.BigEndian.Uint32(raw[4]))),
			CRC:    binary.BigEndian.Uint32(raw[5]),
			Cut:    Cut(binary.BigEndian.Uint16(raw[6])),
			Data:   raw[7], Entries: raw[8],
		}
		if err := fn(&row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read segments: %w", err)
	}
	return nil
}
