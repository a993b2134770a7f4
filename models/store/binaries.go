package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Binary is the content of a Binary resource.
type Binary struct {
	ID          string
	ContentType string
	Class       models.Class
	Updated     int64 // ms since 1970-01-01
	Version     int32
	Hash        uint64
	// Bound says that it has a securityContext: Patient, whose member is Member, or the resource whose segment.IDHash is
	// Source, or neither when it could not be followed.
	Bound   bool
	Member  *uuid.UUID
	Patient string
	Source  *int64
	Data    []byte
}

// BinaryVersion is what is held of a Binary, but for its content.
type BinaryVersion struct {
	Updated int64
	Version int32
	Hash    uint64
}

// Attachment says that a resource of a member has an Attachment that names a Binary.
type Attachment struct {
	Member   uuid.UUID
	Source   uint64 // segment.IDHash of the resource
	Type     int16
	Binary   string
	Relative bool
}

// ResourceKey is a resource of a member.
type ResourceKey struct {
	Member uuid.UUID
	Source uint64 // segment.IDHash
}

// Binaries returns what is held of the Binaries with the given ids.
func (m *MergeTx) Binaries(ids []string) (map[string]BinaryVersion, error) {
	rows, err := m.tx.Query(m.ctx, `SELECT id, updated_at, version, hash FROM binaries WHERE id = ANY($1) AND NOT gone`, ids)
	if err != nil {
		return nil, fmt.Errorf("select binaries: %w", err)
	}
	out := map[string]BinaryVersion{}
	var id string
	var at time.Time
	var hash int64
	var v BinaryVersion
	_, err = pgx.ForEachRow(rows, []any{&id, &at, &v.Version, &hash}, func() error {
		v.Updated, v.Hash = at.UnixMilli(), uint64(hash)
		out[id] = v
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read binaries: %w", err)
	}
	return out, nil
}

func (m *Merge) writeBinaries(ctx context.Context, tx pgx.Tx) error {
	// By id, so that two transactions never wait for each other in a circle.
	slices.SortFunc(m.Binaries, func(a, b Binary) int { return strings.Compare(a.ID, b.ID) })
	b := &pgx.Batch{}
	for _, n := range m.Binaries {
		b.Queue(`INSERT INTO binaries (id, content_type, class, updated_at, version, hash, bound, member_id, patient_id, source, data)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (id) DO UPDATE SET content_type = excluded.content_type, class = excluded.class, updated_at = excluded.updated_at,
				version = excluded.version, hash = excluded.hash, bound = excluded.bound, member_id = excluded.member_id,
				patient_id = excluded.patient_id, source = excluded.source, data = excluded.data, settled = false, gone = false`,
			n.ID, n.ContentType, int16(n.Class), time.UnixMilli(n.Updated).UTC(), n.Version, int64(n.Hash), n.Bound, n.Member, n.Patient, n.Source, n.Data)
	}
	if b.Len() > 0 {
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("write binaries: %w", err)
		}
	}
	return m.writeAttachments(ctx, tx)
}

// writeAttachments replaces what the changed resources refer to. Whatever they referred to or do now has to be looked at
// again.
func (m *Merge) writeAttachments(ctx context.Context, tx pgx.Tx) error {
	var touched []string
	if len(m.Detach) > 0 {
		members, sources := make([]uuid.UUID, len(m.Detach)), make([]int64, len(m.Detach))
		for i, d := range m.Detach {
			members[i], sources[i] = d.Member, int64(d.Source)
		}
		rows, err := tx.Query(ctx, `DELETE FROM attachments a USING unnest($1::uuid[], $2::bigint[]) AS k(member_id, source)
			WHERE a.member_id = k.member_id AND a.source = k.source RETURNING a.binary_id`, members, sources)
		if err != nil {
			return fmt.Errorf("delete attachments: %w", err)
		}
		if touched, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return fmt.Errorf("delete attachments: %w", err)
		}
	}
	if n := len(m.Attach); n > 0 {
		members, sources, types, binaries, relative := make([]uuid.UUID, n), make([]int64, n), make([]int16, n), make([]string, n), make([]bool, n)
		for i, a := range m.Attach {
			members[i], sources[i], types[i], binaries[i], relative[i] = a.Member, int64(a.Source), a.Type, a.Binary, a.Relative
		}
		_, err := tx.Exec(ctx, `INSERT INTO attachments (member_id, source, type, binary_id, relative)
			SELECT k.member_id, k.source, k.type, k.binary_id, bool_or(k.relative)
			FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::text[], $5::bool[]) AS k(member_id, source, type, binary_id, relative)
			GROUP BY 1, 2, 3, 4 ON CONFLICT (member_id, source, binary_id) DO UPDATE SET relative = excluded.relative`,
			members, sources, types, binaries, relative)
		if err != nil {
			return fmt.Errorf("write attachments: %w", err)
		}
		touched = append(touched, binaries...)
	}
	if len(touched) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE binaries SET settled = false WHERE id IN
		(SELECT id FROM binaries WHERE id = ANY($1) AND settled ORDER BY id FOR UPDATE)`, touched)
	if err != nil {
		return fmt.Errorf("mark binaries: %w", err)
	}
	return nil
}

// RemoveBinaries deletes Binaries and buries them, those too that are not held; mark is told how many there were. What was made of them is for
// UnsettledBinaries to say.
func (s *Store) RemoveBinaries(ctx context.Context, ids []string, at time.Time, mark func(context.Context, pgx.Tx, int64) error) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE binaries SET gone = true, settled = false, data = '' WHERE id IN
			(SELECT id FROM binaries WHERE id = ANY($1) AND NOT gone AND updated_at < $2 ORDER BY id FOR UPDATE)`, ids, at)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id FROM unnest($1::text[]) AS k(id) WHERE NOT EXISTS (SELECT FROM binaries b WHERE b.id = k.id AND NOT b.gone)`, ids)
		if err != nil {
			return err
		}
		gone, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		bury := &Merge{}
		for _, id := range gone {
			bury.Bury = append(bury.Bury, Tombstone{Member: models.BinaryID(id), Type: fhir.TypeBinary, ResourceID: id, DeletedAt: at})
		}
		if err := bury.writeTombstones(ctx, tx); err != nil {
			return err
		}
		return mark(ctx, tx, tag.RowsAffected())
	})
	if err != nil {
		return fmt.Errorf("remove binaries: %w", err)
	}
	return nil
}

// Unsettled is a Binary that changed, or that other resources refer to than before.
type Unsettled struct {
	ID          string
	ContentType string
	Class       models.Class
	Updated     time.Time
	Size        int64
	Member      *uuid.UUID // whose it is by its securityContext
	Patient     string
	Gone        bool
	MadeFor     *uuid.UUID // who has a DocumentReference that was made of it
	// Documents are the DocumentReferences of Member that refer to it, by segment.IDHash.
	Documents []int64
}

// UnsettledBinaries returns some of the Binaries that have to be looked at, those after the given id.
func (s *Store) UnsettledBinaries(ctx context.Context, after string, document int16, limit int) ([]Unsettled, error) {
	rows, err := s.Pool.Query(ctx, `SELECT id, content_type, class, updated_at, length(data)::bigint, member_id, patient_id, gone, made_for,
		ARRAY(SELECT a.source FROM attachments a WHERE a.binary_id = b.id AND a.member_id = b.member_id AND a.type = $2)
		FROM binaries b WHERE NOT settled AND id > $1 ORDER BY id LIMIT $3`, after, document, limit)
	if err != nil {
		return nil, fmt.Errorf("select binaries: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Unsettled])
	if err != nil {
		return nil, fmt.Errorf("read binaries: %w", err)
	}
	return out, nil
}

// SettleBinaries notes, in the transaction that saw to it, whom a DocumentReference was made for of each Binary (nil for
// nobody). A deleted one goes for good.
func SettleBinaries(ctx context.Context, tx pgx.Tx, madeFor map[string]*uuid.UUID) error {
	ids, who := make([]string, 0, len(madeFor)), make([]*uuid.UUID, 0, len(madeFor))
	for id, member := range madeFor {
		ids, who = append(ids, id), append(who, member)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM binaries WHERE id = ANY($1) AND gone`, ids); err != nil {
		return fmt.Errorf("delete binaries: %w", err)
	}
	_, err := tx.Exec(ctx, `UPDATE binaries b SET settled = true, made_for = k.member_id FROM unnest($1::text[], $2::uuid[]) AS k(id, member_id)
		WHERE b.id = k.id`, ids, who)
	if err != nil {
		return fmt.Errorf("settle binaries: %w", err)
	}
	return nil
}

// owned holds for a row of attachments a and its row of binaries b when the Binary is that member's and nobody else's. A
// securityContext decides. Without one it takes a relative url, and that no other member's resource names the Binary.
const owned = `NOT b.gone AND CASE
	WHEN NOT b.bound THEN a.relative AND NOT EXISTS (SELECT FROM attachments o WHERE o.binary_id = a.binary_id AND o.member_id <> a.member_id)
	WHEN b.member_id IS NOT NULL THEN b.member_id = a.member_id
	ELSE coalesce(a.source = b.source, false) END`

// Owned is a Binary that is one member's.
type Owned struct {
	Member      uuid.UUID
	Binary      string
	ContentType string
	Class       models.Class
}

// Attachments returns the Binaries that are the listed members' own and that a resource of theirs refers to.
func (v *Snapshot) Attachments(members []uuid.UUID) ([]Owned, error) {
	rows, err := v.tx.Query(v.ctx, `SELECT DISTINCT a.member_id, b.id, b.content_type, b.class
		FROM attachments a JOIN binaries b ON b.id = a.binary_id WHERE a.member_id = ANY($1) AND `+owned, members)
	if err != nil {
		return nil, fmt.Errorf("select attachments: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Owned])
	if err != nil {
		return nil, fmt.Errorf("read attachments: %w", err)
	}
	return out, nil
}

// Exported is a Binary that an export referred to, as it is now.
type Exported struct {
	Member      uuid.UUID
	ContentType string
	Class       models.Class
	Hash        int64
	// Policy and the consent's period are the Group's for the member. Listed is false when the Group has no such member.
	Listed       bool
	Policy       string
	ConsentStart *time.Time
	ConsentEnd   *time.Time
}

// ExportedBinary returns a Binary that lines of the job refer to and that is still the same member's. groupID is the job's
// Group, "" without one. KindNotFound when there is none.
func (s *Store) ExportedBinary(ctx context.Context, jobID, groupID, id string) (*Exported, error) {
	x := new(Exported)
	err := s.Pool.QueryRow(ctx, `SELECT e.member_id, b.content_type, b.class, b.hash, g.member_id IS NOT NULL, coalesce(g.policy, ''), g.consent_start, g.consent_end
		FROM export_attachments e JOIN binaries b ON b.id = e.binary_id
		LEFT JOIN group_members g ON g.group_id = $3 AND g.member_id = e.member_id
		WHERE e.job_id = $1 AND e.binary_id = $2
		  AND EXISTS (SELECT FROM attachments a WHERE a.binary_id = b.id AND a.member_id = e.member_id AND `+owned+`)`,
		jobID, id, nullableID(groupID)).
		Scan(&x.Member, &x.ContentType, &x.Class, &x.Hash, &x.Listed, &x.Policy, &x.ConsentStart, &x.ConsentEnd)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no attachment has this address")
	}
	if err != nil {
		return nil, fmt.Errorf("select an exported binary: %w", err)
	}
	return x, nil
}

// BinaryData returns the content of a Binary in the version with the given hash. KindNotFound when that is no longer held.
func (s *Store) BinaryData(ctx context.Context, id string, hash int64) ([]byte, error) {
	var data []byte
	err := s.Pool.QueryRow(ctx, `SELECT data FROM binaries WHERE id = $1 AND hash = $2 AND NOT gone`, id, hash).Scan(&data)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no attachment has this address")
	}
	if err != nil {
		return nil, fmt.Errorf("select a binary's data: %w", err)
	}
	return data, nil
}

// HasAttachments reports whether lines of an export refer to Binaries.
func (s *Store) HasAttachments(ctx context.Context, jobID string) (bool, error) {
	var has bool
	if err := s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM export_attachments WHERE job_id = $1)`, jobID).Scan(&has); err != nil {
		return false, fmt.Errorf("look for attachments: %w", err)
	}
	return has, nil
}
