package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
)

// References returns, each once, the shared resources (Type/id) that segments of the given types and of classes without the
// given bits refer to, for the members listed, at the snapshot. Of w only the dates of service count: segments that are too old
// are left out, and so are those of which a part may be, but for those that Segments says lie outside.
func (v *Snapshot) References(members []uuid.UUID, types []int16, without models.Class, w Window) ([]string, error) {
	rows, err := v.tx.Query(v.ctx, fmt.Sprintf(`SELECT DISTINCT r FROM unnest($8::uuid[]) AS k(id) JOIN segment_refs f ON f.member_id = k.id
		JOIN segments s USING (member_id, type, class, valid_from, part), unnest(f.refs) AS r
		WHERE f.valid_from <= $1 AND f.valid_to > $1 AND ($2::smallint[] IS NULL OR f.type = ANY($2)) AND f.class & $7 = 0
		  AND NOT (%[2]s) AND (%[1]s OR NOT (%[3]s))`, outside, old, edgeOfAge),
		v.at, nullable(types), w.Since, w.Until, dayPtr(w.ServiceFrom), dayPtr(w.Day), int16(without), members)
	if err != nil {
		return nil, fmt.Errorf("select references: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	return out, nil
}

// SensitiveShared returns the shared resources (Type/id) that are sensitive.
func (v *Snapshot) SensitiveShared() ([]string, error) {
	rows, err := v.tx.Query(v.ctx, `SELECT type, entries FROM segment_lines WHERE member_id >= $1 AND member_id < $2 AND valid_from <= $3 AND valid_to > $3
		AND class & $4 <> 0`, models.FirstShared, models.FirstUnattributed, v.at, int16(models.ClassSensitive))
	if err != nil {
		return nil, fmt.Errorf("select sensitive shared resources: %w", err)
	}
	var out []string
	var typ int16
	var entries []byte
	_, err = pgx.ForEachRow(rows, []any{&typ, &entries}, func() error {
		lines, err := segment.DecodeIndex(entries)
		for _, l := range lines {
			out = append(out, fhir.TypeName(typ)+"/"+l.ID)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read sensitive shared resources: %w", err)
	}
	return out, nil
}

// WithoutPatient returns those of the members whose Patient is not held at the snapshot, whatever else of theirs is.
func (v *Snapshot) WithoutPatient(members []uuid.UUID) ([]uuid.UUID, error) {
	rows, err := v.tx.Query(v.ctx, `SELECT k.id FROM unnest($1::uuid[]) AS k(id) WHERE NOT EXISTS (SELECT FROM segments s
		WHERE s.member_id = k.id AND s.type = $2 AND s.valid_from <= $3 AND s.valid_to > $3)`, members, fhir.TypePatient, v.at)
	if err != nil {
		return nil, fmt.Errorf("select members without a Patient: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("read members without a Patient: %w", err)
	}
	return out, nil
}

// Place is a member's resources of one type.
type Place struct {
	Member uuid.UUID
	Type   int16
}

// Referring returns where, among the members listed, a segment refers to one of the shared resources.
func (v *Snapshot) Referring(members []uuid.UUID, refs []string) (map[Place]bool, error) {
	rows, err := v.tx.Query(v.ctx, `SELECT DISTINCT s.member_id, s.type FROM unnest($1::uuid[]) AS k(id) JOIN segment_refs s ON s.member_id = k.id
		WHERE s.valid_from <= $2 AND s.valid_to > $2 AND s.refs && $3::text[]`, members, v.at, refs)
	if err != nil {
		return nil, fmt.Errorf("select what refers: %w", err)
	}
	out := map[Place]bool{}
	var at Place
	_, err = pgx.ForEachRow(rows, []any{&at.Member, &at.Type}, func() error {
		out[at] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what refers: %w", err)
	}
	return out, nil
}

// Shared streams the segments of shards of shared resources, whatever their type, with their indexes.
func (v *Snapshot) Shared(shards []uuid.UUID, fn func(*Row) error) error {
	rows, err := v.tx.Query(v.ctx, `SELECT s.member_id, s.type, s.class, s.lines, s.raw_len, s.crc, s.data, l.entries
		FROM segments s JOIN segment_lines l USING (member_id, type, class, valid_from, part)
		WHERE s.member_id = ANY($1) AND s.valid_from <= $2 AND s.valid_to > $2`, shards, v.at)
	if err != nil {
		return fmt.Errorf("select shared resources: %w", err)
	}
	var row Row
	var class int16
	var crc int32
	var data, entries pgtype.DriverBytes
	_, err = pgx.ForEachRow(rows, []any{&row.Member, &row.Type, &class, &row.Lines, &row.RawLen, &crc, &data, &entries}, func() error {
		row.Class, row.CRC, row.Data, row.Entries, row.Cut = models.Class(class), uint32(crc), data, entries, CutWhole
		return fn(&row)
	})
	if err != nil {
		return fmt.Errorf("read shared resources: %w", err)
	}
	return nil
}

// ExportReferences returns what the published chunks of a job refer to, sorted.
func (s *Store) ExportReferences(ctx context.Context, jobID string) ([]string, error) {
	rows, err := s.Pool.Query(ctx, `SELECT ref FROM export_refs WHERE job_id = $1 ORDER BY ref`, jobID)
	if err != nil {
		return nil, fmt.Errorf("select references of an export: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read references of an export: %w", err)
	}
	return out, nil
}

// Deletes says which deleted resources to list.
type Deletes struct {
	GroupID string      // its members' alone; "" means everybody's
	Members []uuid.UUID // these members' alone; nil means no such limit
	Types   []int16     // none means all
	// Since and Until bound when they were deleted: after Since, up to Until.
	Since, Until time.Time
	Now          time.Time // a Group's consents must cover it
	JobID        string    // the export: what its chunks kept back of a Group's members is not told
	Frozen       string    // the job whose roster the members must be on, too; "" means no such limit
}

// Deleted streams deleted resources by type and id, and those that are the data of somebody now whom the export is not of, but for what no
// export would have had. Of a Group's members it lists what
// their consents cover at the moment, and no sensitive resource of a member who consented to the rest only.
func (s *Store) Deleted(ctx context.Context, d Deletes, fn func(typ int16, id string) error) error {
	rows, err := s.Pool.Query(ctx, `SELECT DISTINCT type, resource_id FROM (
			SELECT member_id, type, resource_id, deleted_at, raised_at, class, NULL::uuid AS home_id FROM tombstones
			UNION ALL SELECT member_id, type, resource_id, left_at, back_at, class, home_id FROM departures) t
		WHERE deleted_at > $1 AND deleted_at <= $2 AND raised_at > $2 AND member_id < $8 AND type <> $9 AND ($3::smallint[] IS NULL OR type = ANY($3))
		  AND ($4::uuid[] IS NULL OR member_id = ANY($4))
		  AND ($5::uuid IS NULL OR EXISTS (SELECT FROM group_members g WHERE g.group_id = $5 AND g.member_id = t.member_id
		      AND g.consent_start <= $6 AND g.consent_end > $6 AND (g.policy = 'sensitive' OR t.class & $7 = 0)))
		  AND NOT EXISTS (SELECT FROM export_withheld w WHERE w.job_id = $10 AND w.member_id = t.member_id AND (w.whole OR t.class & $7 <> 0))
		  AND ($11::uuid IS NULL OR EXISTS (SELECT FROM export_rosters r WHERE r.job_id = $11 AND r.member_id = t.member_id))
		  AND (home_id IS NULL OR home_id >= $8 OR NOT ($4::uuid[] IS NULL OR home_id = ANY($4))
		      OR $5::uuid IS NOT NULL AND NOT EXISTS (SELECT FROM group_members g WHERE g.group_id = $5 AND g.member_id = home_id))
		ORDER BY type, resource_id`, d.Since, d.Until, nullable(d.Types), d.Members, nullableID(d.GroupID), d.Now, int16(models.ClassSensitive),
		models.FirstUnattributed, fhir.TypeBinary, nullableID(d.JobID), nullableID(d.Frozen))
	if err != nil {
		return fmt.Errorf("select deleted resources: %w", err)
	}
	var typ int16
	var id string
	_, err = pgx.ForEachRow(rows, []any{&typ, &id}, func() error { return fn(typ, id) })
	if err != nil {
		return fmt.Errorf("read deleted resources: %w", err)
	}
	return nil
}

func nullableID(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// FileParts returns the stretches of blobs that a file of a job is made of, in order, whether or not it is published.
func (s *Store) FileParts(ctx context.Context, f *models.JobFile) ([]models.FilePart, error) {
	return s.fileParts(ctx, f)
}

// Converted is a file of an export in another format than it was written in.
type Converted struct {
	File    int
	BlobKey string
	Bytes   int64
	SHA256  []byte // of all bytes
}

// SaveConverted makes one attempt's conversion the file's. Of several attempts the first wins, and false tells the others.
func (s *Store) SaveConverted(ctx context.Context, jobID, attempt string, c Converted) (bool, error) {
	tag, err := s.Pool.Exec(ctx, `INSERT INTO export_files (job_id, file, attempt, blob_key, bytes, sha256)
		SELECT id, $2, $3, $4, $5, $6 FROM jobs WHERE id = $1 AND state = 'running' ON CONFLICT DO NOTHING`,
		jobID, c.File, attempt, c.BlobKey, c.Bytes, c.SHA256)
	if err != nil {
		return false, fmt.Errorf("save a converted file: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ConvertedFiles returns the converted files of a job by number.
func (s *Store) ConvertedFiles(ctx context.Context, jobID string) (map[int]Converted, error) {
	rows, err := s.Pool.Query(ctx, `SELECT file, blob_key, bytes, sha256 FROM export_files WHERE job_id = $1`, jobID)
	if err != nil {
		return nil, fmt.Errorf("select converted files: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Converted])
	if err != nil {
		return nil, fmt.Errorf("read converted files: %w", err)
	}
	out := make(map[int]Converted, len(all))
	for _, c := range all {
		out[c.File] = c
	}
	return out, nil
}

// CoveredPatients says which of the Patient ids are members of the group or, without one, are held at all.
func (s *Store) CoveredPatients(ctx context.Context, groupID string, patients []string) (map[string]bool, error) {
	rows, err := s.Pool.Query(ctx, `SELECT patient_id FROM members m WHERE patient_id = ANY($1) AND present
		AND ($2::uuid IS NULL OR EXISTS (SELECT FROM group_members g WHERE g.group_id = $2 AND g.member_id = m.id))`, patients, nullableID(groupID))
	if err != nil {
		return nil, fmt.Errorf("select patients: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read patients: %w", err)
	}
	out := make(map[string]bool, len(found))
	for _, id := range found {
		out[id] = true
	}
	return out, nil
}
