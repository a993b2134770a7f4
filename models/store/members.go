package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
)

// The rows of the member index.
type (
	// MemberSource names a resource that says something of a member.
	MemberSource struct {
		Member uuid.UUID
		Hash   uint64 // segment.IDHash of the resource, or of the content of one that is contained
	}
	// MemberPart is what a source says: a record of the matcher's, and the keys by which the member is found.
	MemberPart struct {
		MemberSource
		Contained bool
		Record    []byte
		Keys      []int64
	}
)

// Probe is a person to look for.
type Probe struct {
	N    int32 // the caller's number; comes back with each candidate
	Keys []int64
}

// Candidate is a member that has a key in common with some of the probes.
type Candidate struct {
	Member uuid.UUID
	Probes []int32
	Parts  [][]byte // the records of its parts
}

// MaxCrowd is how many members may share a key that is looked up. Who lives in a home for hundreds is found by other keys.
const MaxCrowd = 200

// Candidates finds, in one query, the members that come into question for a whole slice, each once. Members whose Patient is
// not held never come.
func (s *Store) Candidates(ctx context.Context, probes []Probe) ([]Candidate, error) {
	type pair struct {
		key int64
		n   int32
	}
	var pairs []pair
	for _, p := range probes {
		for _, k := range p.Keys {
			pairs = append(pairs, pair{k, p.N})
		}
	}
	// In order of the index, so that neighbours are read from the same pages, which are then at hand.
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.n, b.n)) })
	n, keys := make([]int32, len(pairs)), make([]int64, len(pairs))
	for i, p := range pairs {
		n[i], keys[i] = p.n, p.key
	}
	// The nested look-ups are subqueries, so that they stay look-ups however many rows the planner expects.
	rows, err := s.Pool.Query(ctx, `SELECT member_id, ns, parts FROM (
		SELECT f.member_id, f.ns,
		       (SELECT present FROM members m WHERE m.id = f.member_id) AS present,
		       (SELECT array_agg(p.record) FROM member_parts p WHERE p.member_id = f.member_id) AS parts
		FROM (
			SELECT member_id, array_agg(DISTINCT n) AS ns FROM (
				SELECT p.n, unnest(h.ids) AS member_id
				FROM unnest($1::int[], $2::bigint[]) AS p(n, key)
				CROSS JOIN LATERAL (SELECT array_agg(member_id) AS ids
					FROM (SELECT member_id FROM member_keys k WHERE k.key = p.key LIMIT $3::int + 1) found) h
				WHERE cardinality(h.ids) <= $3::int
			) hits GROUP BY member_id
		) f) found WHERE present`, n, keys, MaxCrowd)
	if err != nil {
		return nil, fmt.Errorf("select candidates: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Candidate])
	if err != nil {
		return nil, fmt.Errorf("read candidates: %w", err)
	}
	return out, nil
}

// writeParts brings the member index up to date, set by set.
func (m *Merge) writeParts(b *pgx.Batch) {
	if len(m.Rebuilt) > 0 {
		b.Queue(`WITH gone AS (DELETE FROM member_parts WHERE member_id = ANY($1) RETURNING member_id, source, keys)
			DELETE FROM member_keys k USING (SELECT member_id, source, unnest(keys) AS key FROM gone) g
			WHERE (k.key, k.member_id, k.source) = (g.key, g.member_id, g.source)`, m.Rebuilt)
		b.Queue(`DELETE FROM member_stale WHERE member_id = ANY($1)`, m.Rebuilt)
	}
	if len(m.Sources) > 0 {
		id, source := sourceColumns(m.Sources)
		b.Queue(`WITH gone AS (DELETE FROM member_parts p USING unnest($1::uuid[], $2::bigint[]) AS s(member_id, source)
				WHERE p.member_id = s.member_id AND p.source = s.source RETURNING p.member_id, p.source, p.keys)
			DELETE FROM member_keys k USING (SELECT member_id, source, unnest(keys) AS key FROM gone) g
			WHERE (k.key, k.member_id, k.source) = (g.key, g.member_id, g.source)`, id, source)
	}
	if len(m.Parts) > 0 {
		n := len(m.Parts)
		id, source, contained, record := make([]uuid.UUID, n), make([]int64, n), make([]bool, n), make([][]byte, n)
		var place []int32
		var keys []int64
		for i, p := range m.Parts {
			id[i], source[i], contained[i], record[i] = p.Member, int64(p.Hash), p.Contained, p.Record
			for _, k := range p.Keys {
				place, keys = append(place, int32(i)+1), append(keys, k)
			}
		}
		// A part that is there already, which only a contained one can be, stays.
		b.Queue(`WITH new AS (
				INSERT INTO member_parts (member_id, source, contained, record, keys)
				SELECT p.member_id, p.source, p.contained, p.record, coalesce(k.keys, '{}')
				FROM unnest($1::uuid[], $2::bigint[], $3::bool[], $4::bytea[]) WITH ORDINALITY AS p(member_id, source, contained, record, n)
				LEFT JOIN (SELECT n, array_agg(key) AS keys FROM unnest($5::int[], $6::bigint[]) AS k(n, key) GROUP BY n) k USING (n)
				ON CONFLICT DO NOTHING RETURNING member_id, source, keys)
			INSERT INTO member_keys (key, member_id, source)
			SELECT key, member_id, source FROM (SELECT member_id, source, unnest(keys) AS key FROM new) k ORDER BY key ON CONFLICT DO NOTHING`,
			id, source, contained, record, place, keys)
	}
	if len(m.Unsure) > 0 {
		b.Queue(`INSERT INTO member_stale SELECT DISTINCT member_id FROM member_parts WHERE member_id = ANY($1) AND contained ON CONFLICT DO NOTHING`, m.Unsure)
	}
}

func sourceColumns(all []MemberSource) ([]uuid.UUID, []int64) {
	id, source := make([]uuid.UUID, len(all)), make([]int64, len(all))
	for i, s := range all {
		id[i], source[i] = s.Member, int64(s.Hash)
	}
	return id, source
}

// StaleMembers returns some members whose part of the index has to be made again, from the given id on and then from the
// first; none when there are no more.
func (s *Store) StaleMembers(ctx context.Context, from uuid.UUID, limit int) ([]uuid.UUID, error) {
	rows, err := s.Pool.Query(ctx, `(SELECT member_id FROM member_stale WHERE member_id >= $1 ORDER BY member_id LIMIT $2)
		UNION ALL (SELECT member_id FROM member_stale WHERE member_id < $1 ORDER BY member_id LIMIT $2) LIMIT $2`, from, limit)
	if err != nil {
		return nil, fmt.Errorf("select stale members: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("read stale members: %w", err)
	}
	return ids, nil
}

// PatientIDs returns the Patient ids of members, "" for one that is not held.
func (s *Store) PatientIDs(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	rows, err := s.Pool.Query(ctx, `SELECT id, coalesce(m.patient_id, '') FROM unnest($1::uuid[]) AS k(id) LEFT JOIN members m USING (id)`, ids)
	if err != nil {
		return nil, fmt.Errorf("select patient ids: %w", err)
	}
	out := make(map[uuid.UUID]string, len(ids))
	var id uuid.UUID
	var patient string
	_, err = pgx.ForEachRow(rows, []any{&id, &patient}, func() error {
		out[id] = patient
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read patient ids: %w", err)
	}
	return out, nil
}

// Held says of which members the Patient is held.
func (s *Store) Held(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, err := s.Pool.Query(ctx, `SELECT m.id FROM unnest($1::uuid[]) AS k(id) JOIN members m ON m.id = k.id WHERE m.present`, ids)
	if err != nil {
		return nil, fmt.Errorf("select members: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	out := make(map[uuid.UUID]bool, len(found))
	for _, id := range found {
		out[id] = true
	}
	return out, nil
}

// LoadParts fills an empty member index in bulk: members and their parts, in any order. A member is named by its Patient id.
func (s *Store) LoadParts(ctx context.Context, patients []string, parts []MemberPart, at time.Time) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"members"}, []string{"id", "patient_id", "present", "updated_at"},
			pgx.CopyFromSlice(len(patients), func(i int) ([]any, error) {
				return []any{models.MemberID(patients[i]), patients[i], true, at}, nil
			}))
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"member_parts"}, []string{"member_id", "source", "contained", "record", "keys"},
			pgx.CopyFromSlice(len(parts), func(i int) ([]any, error) {
				p := &parts[i]
				return []any{p.Member, int64(p.Hash), p.Contained, p.Record, p.Keys}, nil
			}))
		if err != nil {
			return err
		}
		i, j := 0, -1
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"member_keys"}, []string{"key", "member_id", "source"}, pgx.CopyFromFunc(func() ([]any, error) {
			for j++; i < len(parts) && j >= len(parts[i].Keys); i, j = i+1, 0 {
			}
			if i == len(parts) {
				return nil, nil
			}
			return []any{parts[i].Keys[j], parts[i].Member, int64(parts[i].Hash)}, nil
		}))
		return err
	})
	if err != nil {
		return fmt.Errorf("load the member index: %w", err)
	}
	return nil
}

// EachMember yields the records of every member whose Patient is held, member by member. The slice is good until the next
// call.
func (s *Store) EachMember(ctx context.Context, fn func(member uuid.UUID, parts [][]byte) error) error {
	rows, err := s.Pool.Query(ctx, `SELECT p.member_id, p.record FROM member_parts p WHERE EXISTS (SELECT FROM members m WHERE m.id = p.member_id AND m.present)
		ORDER BY p.member_id, p.source`)
	if err != nil {
		return fmt.Errorf("select the member index: %w", err)
	}
	var at, id uuid.UUID
	var record []byte
	var parts [][]byte
	_, err = pgx.ForEachRow(rows, []any{&id, &record}, func() error {
		if id != at && len(parts) > 0 {
			if err := fn(at, parts); err != nil {
				return err
			}
			parts = parts[:0]
		}
		at = id
		parts = append(parts, append([]byte(nil), record...))
		return nil
	})
	if err == nil && len(parts) > 0 {
		err = fn(at, parts)
	}
	if err != nil {
		return fmt.Errorf("read the member index: %w", err)
	}
	return nil
}

// CountMembers says how many members there are whose Patient is held.
func (s *Store) CountMembers(ctx context.Context) (int64, error) {
	var n int64
	if err := s.Pool.QueryRow(ctx, `SELECT count(*) FROM members WHERE present`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count members: %w", err)
	}
	return n, nil
}

// MatchModel is a set of weights of the matcher as it is stored.
type MatchModel struct {
	Version   int64
	TrainedAt time.Time
	Members   int64
	Pairs     int64
	Model     []byte // JSON
}

// LatestModelVersion returns the version of the weights in use, 0 when none were ever trained.
func (s *Store) LatestModelVersion(ctx context.Context) (int64, error) {
	var v int64
	if err := s.Pool.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM match_models`).Scan(&v); err != nil {
		return 0, fmt.Errorf("select the matcher's version: %w", err)
	}
	return v, nil
}

// MatchModel returns a set of weights. The error is KindNotFound when there is none of the version.
func (s *Store) MatchModel(ctx context.Context, version int64) (*MatchModel, error) {
	m := &MatchModel{Version: version}
	err := s.Pool.QueryRow(ctx, `SELECT trained_at, members, pairs, model FROM match_models WHERE version = $1`, version).
		Scan(&m.TrainedAt, &m.Members, &m.Pairs, &m.Model)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "the matcher has no weights of this version")
	}
	if err != nil {
		return nil, fmt.Errorf("select the matcher's weights: %w", err)
	}
	return m, nil
}

// AddMatchModel stores weights under the version after the newest, which it returns.
func (s *Store) AddMatchModel(ctx context.Context, m *MatchModel) (int64, error) {
	err := s.Pool.QueryRow(ctx, `INSERT INTO match_models (version, trained_at, members, pairs, model)
		SELECT coalesce(max(version), 0) + 1, $1, $2, $3, $4 FROM match_models RETURNING version`, m.TrainedAt, m.Members, m.Pairs, m.Model).Scan(&m.Version)
	if err != nil {
		return 0, fmt.Errorf("insert the matcher's weights: %w", err)
	}
	return m.Version, nil
}
