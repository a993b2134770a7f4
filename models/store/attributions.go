package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
)

const listColumns = `l.group_id, g.client_id, l.name, l.status, l.identifiers, l.purposes, l.starts_at, g.expires_at, g.organizations, l.version,
	g.created_at, l.updated_at, g.members`

func scanList(row pgx.CollectableRow) (l models.AttributionList, err error) {
	err = row.Scan(&l.ID, &l.ClientID, &l.Name, &l.Status, &l.Identifiers, &l.Purposes, &l.Start, &l.End, &l.Organizations, &l.Version,
		&l.CreatedAt, &l.UpdatedAt, &l.Members)
	return l, err
}

func attributionLists(ctx context.Context, q querier, sql string, args ...any) ([]models.AttributionList, error) {
	rows, err := q.Query(ctx, `SELECT `+listColumns+` FROM attribution_lists l JOIN groups g ON g.id = l.group_id `+sql, args...)
	if err != nil {
		return nil, fmt.Errorf("select attribution lists: %w", err)
	}
	out, err := pgx.CollectRows(rows, scanList)
	if err != nil {
		return nil, fmt.Errorf("read attribution lists: %w", err)
	}
	return out, nil
}

func attributionList(ctx context.Context, q querier, id string) (models.AttributionList, error) {
	found, err := attributionLists(ctx, q, `WHERE l.group_id = $1`, id)
	if err == nil && len(found) == 0 {
		err = models.Errorf(models.KindNotFound, "no attribution list has this id")
	}
	if err != nil {
		return models.AttributionList{}, err
	}
	return found[0], nil
}

// AttributionList returns one list. KindNotFound when there is none.
func (s *Store) AttributionList(ctx context.Context, id string) (models.AttributionList, error) {
	return attributionList(ctx, s.Pool, id)
}

// AttributionList is the Store's, as of when the snapshot was opened.
func (v *Snapshot) AttributionList(id string) (models.AttributionList, error) {
	return attributionList(v.ctx, v.tx, id)
}

// AttributionLists lists them by id, those behind the given one, at most limit of them; a client's alone unless that is "".
func (s *Store) AttributionLists(ctx context.Context, clientID, after string, limit int) ([]models.AttributionList, error) {
	return attributionLists(ctx, s.Pool, `WHERE ($1 = '' OR g.client_id = $1) AND ($2::uuid IS NULL OR l.group_id > $2) ORDER BY l.group_id LIMIT $3`,
		clientID, nullID(after), limit)
}

// errFinal refuses a change of what is settled.
func errFinal() error {
	return models.Errorf(models.KindConflict, "the attribution list is final and does not change")
}

// lockList takes the lock that those who change a list take, and returns the list as it is then.
func lockList(ctx context.Context, tx pgx.Tx, id string) (models.AttributionList, error) {
	if _, err := tx.Exec(ctx, `SELECT FROM attribution_lists WHERE group_id = $1 FOR UPDATE`, id); err != nil {
		return models.AttributionList{}, err
	}
	return attributionList(ctx, tx, id)
}

// PutAttributionList enters a list, or changes one. members, unless nil, are all that are on it from then on. holder identifies the
// payer that holds the data. It returns what is stored, and whether it is new.
//
// The error is KindUnprocessable when the client is no provider's or a list would change hands, KindConflict when the list is final
// and stays so, when it has changed since the given moment, unless that is nil, or when the id is another Group's.
func (s *Store) PutAttributionList(ctx context.Context, l models.AttributionList, holder []string, members *[]models.Attribution, since *time.Time) (stored models.AttributionList, created bool, err error) {
	if err := l.Validate(); err != nil {
		return l, false, err
	}
	err = s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var kind models.ClientKind
		var organizations []string
		err := tx.QueryRow(ctx, `SELECT kind, organization_ids FROM clients WHERE id = $1`, l.ClientID).Scan(&kind, &organizations)
		if noRows(err) || err == nil && kind != models.ClientProvider {
			return models.Errorf(models.KindUnprocessable, "must be a client of a provider").At("client")
		}
		if err != nil {
			return err
		}
		old, err := lockList(ctx, tx, l.ID)
		switch created = models.KindOf(err) == models.KindNotFound; {
		case created && since != nil:
			return models.Errorf(models.KindConflict, "there is no such list any more").At("If-Match")
		case created:
			if err := insertList(ctx, tx, &l); err != nil {
				return err
			}
		case err != nil:
			return err
		case since != nil && !old.UpdatedAt.Equal(*since):
			return models.Errorf(models.KindConflict, "the list has changed since it was read").At("If-Match")
		case old.ClientID != l.ClientID:
			return models.Errorf(models.KindUnprocessable, "a list stays with the client it was made for").At("client")
		case old.Status == models.AttributionFinal && l.Status == models.AttributionFinal:
			return errFinal()
		}
		if err := updateList(ctx, tx, &l, organizations, holder); err != nil {
			return err
		}
		if members != nil {
			if err := putAttributions(ctx, tx, l.ID, *members, true); err != nil {
				return err
			}
			if err := followMembers(ctx, tx, l.ID, nil); err != nil {
				return err
			}
		}
		if l.Status == models.AttributionFinal { // what was taken off a draft is gone from here on (ATR 2.1.0, member-remove)
			if _, err := tx.Exec(ctx, `DELETE FROM attributions WHERE group_id = $1 AND inactive`, l.ID); err != nil {
				return err
			}
		}
		stored, err = nextVersion(ctx, tx, l.ID)
		return err
	})
	if err != nil {
		return l, false, fmt.Errorf("put attribution list: %w", err)
	}
	return stored, created, nil
}

func insertList(ctx context.Context, tx pgx.Tx, l *models.AttributionList) error {
	tag, err := tx.Exec(ctx, `INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at)
		VALUES ($1, $2, $1, $3, '', 0, date_trunc('milliseconds', clock_timestamp())) ON CONFLICT DO NOTHING`,
		l.ID, l.ClientID, models.AttributionGroupProfile)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return models.Errorf(models.KindConflict, "a Group of another kind has this id")
	}
	_, err = tx.Exec(ctx, `INSERT INTO attribution_lists (group_id, name, status, identifiers, purposes, starts_at, version, updated_at)
		VALUES ($1, $2, $3, '{}', '{}', $4, 0, clock_timestamp())`, l.ID, l.Name, l.Status, l.Start)
	return err
}

func updateList(ctx context.Context, tx pgx.Tx, l *models.AttributionList, organizations, holder []string) error {
	var named []string
	for _, id := range organizations {
		named = append(named, models.CanonicalOrganization(id))
	}
	_, err := tx.Exec(ctx, `UPDATE attribution_lists SET name = $2, status = $3, identifiers = $4, purposes = $5, starts_at = $6 WHERE group_id = $1`,
		l.ID, l.Name, l.Status, orEmpty(l.Identifiers), orEmpty(l.Purposes), millis(l.Start))
	if err != nil {
		return err
	}
	if l.End != nil {
		l.End = new(millis(*l.End))
	}
	if _, err := tx.Exec(ctx, `UPDATE groups SET expires_at = $2, organizations = $3 WHERE id = $1`, l.ID, l.End, orEmpty(named)); err != nil {
		return err
	}
	// Whom the list is for is told by its identifiers, too: opt-outs from them count, and those who work for them treat.
	_, err = tx.Exec(ctx, `INSERT INTO group_askers (group_id, organizations, holder) VALUES ($1, $2, $3)
		ON CONFLICT (group_id) DO UPDATE SET organizations = excluded.organizations, holder = excluded.holder`,
		l.ID, orEmpty(append(named, l.Identifiers...)), orEmpty(holder))
	return err
}

// putAttributions enters attributions or changes them. whole takes away those that are not given.
func putAttributions(ctx context.Context, tx pgx.Tx, id string, list []models.Attribution, whole bool) error {
	type key struct {
		member        uuid.UUID
		npi, coverage string
	}
	n := len(list)
	seen := make(map[key]bool, n)
	member, npi, coverage, provider := make([]uuid.UUID, n), make([]string, n), make([]string, n), make([]string, n)
	start, end, inactive, asked := make([]time.Time, n), make([]*time.Time, n), make([]bool, n), make([]bool, n)
	for i, a := range list {
		k := key{a.Member, a.NPI, a.Coverage}
		if seen[k] {
			return models.Errorf(models.KindUnprocessable, "the same member, provider and coverage are there twice").At(fmt.Sprintf("members[%d]", i))
		}
		seen[k] = true
		if err := a.Validate(); err != nil {
			if fault, ok := errors.AsType[*models.Error](err); ok {
				return fault.At(fmt.Sprintf("members[%d].%s", i, fault.Where))
			}
			return err
		}
		member[i], npi[i], coverage[i], provider[i] = a.Member, a.NPI, a.Coverage, a.Provider
		start[i], end[i], inactive[i], asked[i] = millis(a.Start), a.End, a.Inactive, a.Asked
		if a.End != nil {
			end[i] = new(millis(*a.End))
		}
	}
	if whole {
		_, err := tx.Exec(ctx, `DELETE FROM attributions WHERE group_id = $1 AND (member_id, npi, coverage) NOT IN (
			SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[]))`, id, member, npi, coverage)
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO attributions AS a (group_id, member_id, npi, coverage, provider, starts_at, ends_at, inactive, asked, change)
		SELECT $1, k.member, k.npi, k.coverage, k.provider, k.starts, coalesce(k.ends, 'infinity'), k.inactive, k.asked, CASE WHEN k.inactive THEN 'dropped' ELSE 'new' END
		FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::boolean[], $9::boolean[])
			AS k(member, npi, coverage, provider, starts, ends, inactive, asked)
		ON CONFLICT (group_id, member_id, npi, coverage) DO UPDATE SET provider = excluded.provider, starts_at = excluded.starts_at, ends_at = excluded.ends_at,
			inactive = excluded.inactive, asked = excluded.asked, change = CASE WHEN excluded.inactive THEN 'dropped'
				WHEN (a.provider, a.starts_at, a.ends_at, a.inactive) = (excluded.provider, excluded.starts_at, excluded.ends_at, excluded.inactive) THEN 'nochange'
				ELSE 'changed' END`,
		id, member, npi, coverage, provider, start, end, inactive, asked)
	return err
}

// forGood is the end of what has none, where an end is needed.
const forGood = `timestamptz '9999-12-31 00:00:00Z'`

// followMembers has group_members follow what is said of the given members, or with nil of all.
func followMembers(ctx context.Context, tx pgx.Tx, id string, members []uuid.UUID) error {
	const standing = `SELECT $1::uuid, a.member_id, 'regular', min(a.starts_at), least(max(a.ends_at), ` + forGood + `) FROM `
	const put = `WITH put AS (INSERT INTO group_members (group_id, member_id, policy, consent_start, consent_end) %s GROUP BY a.member_id
		ON CONFLICT (group_id, member_id) DO UPDATE SET consent_start = excluded.consent_start, consent_end = excluded.consent_end RETURNING xmax = 0 AS fresh)
		SELECT count(*) FILTER (WHERE fresh) FROM put`
	const gone = `NOT EXISTS (SELECT FROM attributions a WHERE a.group_id = $1 AND a.member_id = m.member_id AND NOT a.inactive)`
	drop, add, args := `DELETE FROM group_members m WHERE m.group_id = $1 AND `+gone, fmt.Sprintf(put, standing+`attributions a WHERE a.group_id = $1 AND NOT a.inactive`), []any{id}
	if members != nil { // each is looked up, however many the planner thinks there are
		drop = `DELETE FROM group_members m USING unnest($2::uuid[]) AS k(id) WHERE m.group_id = $1 AND m.member_id = k.id AND ` + gone
		add = fmt.Sprintf(put, standing+`(SELECT DISTINCT id FROM unnest($2::uuid[]) AS k(id)) AS k JOIN attributions a ON a.group_id = $1 AND a.member_id = k.id WHERE NOT a.inactive`)
		args = append(args, members)
	}
	tag, err := tx.Exec(ctx, drop, args...)
	if err != nil {
		return err
	}
	var fresh int64
	if err := tx.QueryRow(ctx, add, args...).Scan(&fresh); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE groups SET members = members + $2 WHERE id = $1`, id, fresh-tag.RowsAffected())
	return err
}

// nextVersion gives a list that has changed its next version.
func nextVersion(ctx context.Context, tx pgx.Tx, id string) (models.AttributionList, error) {
	_, err := tx.Exec(ctx, `UPDATE attribution_lists SET version = version + 1,
		updated_at = greatest(date_trunc('milliseconds', clock_timestamp()), updated_at + interval '1 millisecond') WHERE group_id = $1`, id)
	if err != nil {
		return models.AttributionList{}, err
	}
	return attributionList(ctx, tx, id)
}

// changeList runs a change of what is on a list that is not final. The change names the members it was about, none for no change.
func (s *Store) changeList(ctx context.Context, id string, change func(tx pgx.Tx, l models.AttributionList) ([]uuid.UUID, error)) (stored models.AttributionList, err error) {
	err = s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if stored, err = lockList(ctx, tx, id); err != nil {
			return err
		}
		if stored.Status == models.AttributionFinal {
			return errFinal()
		}
		members, err := change(tx, stored)
		if err != nil || len(members) == 0 {
			return err
		}
		if err := followMembers(ctx, tx, id, members); err != nil {
			return err
		}
		stored, err = nextVersion(ctx, tx, id)
		return err
	})
	if err != nil {
		return stored, fmt.Errorf("change attribution list: %w", err)
	}
	return stored, nil
}

// AddAttributions puts members on a list, or changes how they are on it. KindNotFound when there is no such list, KindConflict when it
// is final.
func (s *Store) AddAttributions(ctx context.Context, id string, list []models.Attribution) (models.AttributionList, error) {
	return s.changeList(ctx, id, func(tx pgx.Tx, _ models.AttributionList) ([]uuid.UUID, error) {
		members := make([]uuid.UUID, len(list))
		for i, a := range list {
			members[i] = a.Member
		}
		return members, putAttributions(ctx, tx, id, list, false)
	})
}

// AskAttribution puts a member on a list because its provider asks. What the plan attributes and that stands at the given moment stays as
// it is, which is told by false. Errors are those of AddAttributions.
func (s *Store) AskAttribution(ctx context.Context, id string, a models.Attribution, at time.Time) (changed bool, err error) {
	a.Asked = true
	_, err = s.changeList(ctx, id, func(tx pgx.Tx, _ models.AttributionList) ([]uuid.UUID, error) {
		there, err := attributionsOf(ctx, tx, id, []uuid.UUID{a.Member})
		if err != nil {
			return nil, err
		}
		for _, old := range there[a.Member] {
			if old.NPI != a.NPI {
				continue
			}
			if !old.Asked && old.Covers(at) {
				return nil, nil
			}
			a.Coverage = old.Coverage
		}
		changed = true
		return []uuid.UUID{a.Member}, putAttributions(ctx, tx, id, []models.Attribution{a}, false)
	})
	return changed, err
}

// Attributed says which attributions of one member are meant: those to a provider, or with none to any, and those for a Coverage, or
// with "" for any.
type Attributed struct {
	Member   uuid.UUID
	NPIs     []string // several ways to name one provider; "" is the one whose list it is
	Coverage string
}

// RemoveAttributions takes attributions off a list and returns how many these were. On a draft they stay, and are inactive. Errors
// are those of AddAttributions.
func (s *Store) RemoveAttributions(ctx context.Context, id string, which Attributed) (n int64, err error) {
	_, err = s.changeList(ctx, id, func(tx pgx.Tx, l models.AttributionList) ([]uuid.UUID, error) {
		sql := `DELETE FROM attributions WHERE`
		if l.Status == models.AttributionDraft {
			sql = `UPDATE attributions SET inactive = true, change = 'dropped' WHERE NOT inactive AND`
		}
		tag, err := tx.Exec(ctx, sql+` group_id = $1 AND member_id = $2 AND ($3::text[] IS NULL OR npi = ANY($3)) AND ($4 = '' OR coverage = $4)`,
			id, which.Member, which.NPIs, which.Coverage)
		if n = tag.RowsAffected(); err != nil || n == 0 {
			return nil, err
		}
		return []uuid.UUID{which.Member}, nil
	})
	return n, err
}

// DeleteAttributionList removes a list with all that is on it. KindNotFound when there is none, KindConflict when it has changed since
// the given moment, unless that is nil.
func (s *Store) DeleteAttributionList(ctx context.Context, id string, since *time.Time) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		l, err := lockList(ctx, tx, id)
		if err != nil {
			return err
		}
		if since != nil && !l.UpdatedAt.Equal(*since) {
			return models.Errorf(models.KindConflict, "the list has changed since it was read").At("If-Match")
		}
		_, err = tx.Exec(ctx, `DELETE FROM groups WHERE id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete attribution list: %w", err)
	}
	return nil
}

// ListedMember is a member of an attribution list.
type ListedMember struct {
	Member  uuid.UUID
	Patient string // id of our Patient, "" when it is not held
}

func listedMembers(ctx context.Context, q querier, id string, after uuid.UUID, limit int) ([]ListedMember, error) {
	rows, err := q.Query(ctx, `SELECT k.member_id AS id, coalesce(m.patient_id, '')
		FROM (SELECT DISTINCT member_id FROM attributions WHERE group_id = $1 AND member_id > $2 ORDER BY member_id LIMIT $3) AS k
		LEFT JOIN members m ON m.id = k.member_id AND m.present ORDER BY k.member_id`, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("select attributed members: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ListedMember])
	if err != nil {
		return nil, fmt.Errorf("read attributed members: %w", err)
	}
	return out, nil
}

// ListedMembers returns members of a list by row id, those behind the given one, at most limit of them.
func (s *Store) ListedMembers(ctx context.Context, id string, after uuid.UUID, limit int) ([]ListedMember, error) {
	return listedMembers(ctx, s.Pool, id, after, limit)
}

// ListedMembers is the Store's, as of when the snapshot was opened.
func (v *Snapshot) ListedMembers(id string, after uuid.UUID, limit int) ([]ListedMember, error) {
	return listedMembers(v.ctx, v.tx, id, after, limit)
}

// attributionsOf returns what a list says of members, in one query.
func attributionsOf(ctx context.Context, q querier, id string, members []uuid.UUID) (map[uuid.UUID][]models.Attribution, error) {
	// OFFSET 0 keeps each a look-up, however long the planner thinks the list is.
	rows, err := q.Query(ctx, `SELECT a.member_id, a.npi, a.provider, a.coverage, a.starts_at, nullif(a.ends_at, 'infinity'), a.inactive, a.asked, a.change
		FROM unnest($2::uuid[]) AS k(id) CROSS JOIN LATERAL (SELECT * FROM attributions WHERE group_id = $1 AND member_id = k.id OFFSET 0) AS a
		ORDER BY a.member_id, a.npi, a.coverage`, id, members)
	if err != nil {
		return nil, fmt.Errorf("select attributions: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Attribution])
	if err != nil {
		return nil, fmt.Errorf("read attributions: %w", err)
	}
	out := map[uuid.UUID][]models.Attribution{}
	for _, a := range list {
		out[a.Member] = append(out[a.Member], a)
	}
	return out, nil
}

// CoveragesOf returns the ids of the Coverages that are held of members, but for sensitive ones.
func (s *Store) CoveragesOf(ctx context.Context, members []uuid.UUID) (map[uuid.UUID][]string, error) {
	rows, err := s.Pool.Query(ctx, `SELECT l.member_id, l.entries FROM unnest($1::uuid[]) AS k(id) JOIN segment_lines l ON l.member_id = k.id
		WHERE l.type = $2 AND l.valid_to = 'infinity' AND l.class & $3 = 0`, members, fhir.TypeCoverage, int16(models.ClassViews|models.ClassSensitive))
	if err != nil {
		return nil, fmt.Errorf("select coverages: %w", err)
	}
	out := map[uuid.UUID][]string{}
	var member uuid.UUID
	var entries []byte
	_, err = pgx.ForEachRow(rows, []any{&member, &entries}, func() error {
		lines, err := segment.DecodeIndex(entries)
		for _, l := range lines {
			out[member] = append(out[member], l.ID)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read coverages: %w", err)
	}
	return out, nil
}

// FreezeRoster notes whom an export of a list is of, once: the list goes on changing while the export runs.
func (s *Store) FreezeRoster(ctx context.Context, jobID, groupID string) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM jobs WHERE id = $1 FOR NO KEY UPDATE`, jobID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO export_rosters (job_id, member_id) SELECT $1, member_id FROM group_members
			WHERE group_id = $2 AND NOT EXISTS (SELECT FROM export_rosters WHERE job_id = $1)`, jobID, groupID)
		return err
	})
	if err != nil {
		return fmt.Errorf("freeze the roster: %w", err)
	}
	return nil
}
