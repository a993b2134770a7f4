package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

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

// Gone returns those of some members whose Patient is held no more.
func (v *Snapshot) Gone(members []uuid.UUID) ([]uuid.UUID, error) {
	rows, err := v.tx.Query(v.ctx, `SELECT m.id FROM unnest($1::uuid[]) AS k(id) JOIN members m ON m.id = k.id WHERE NOT m.present`, members)
	if err != nil {
		return nil, fmt.Errorf("select members who are gone: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
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
