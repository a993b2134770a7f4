package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
)

// Consent is a consent that came with a match for somebody who was found to be a member.
type Consent struct {
	ID           uuid.UUID
	Member       uuid.UUID
	PatientID    string   // our Patient id; read only
	Requester    string   // the organisation that submitted it, "system|value", see models.CanonicalOrganization
	Requesters   []string // all its identifiers; write only
	ClientID     string
	JobID        string
	Idx          int32
	State        ConsentState
	Reason       string // consent.Reason
	Policy       string // what it grants; "" when it was refused
	Start, End   *time.Time
	Given        *time.Time // see consent.Consent; write only
	SubmittedAt  time.Time
	SettledAt    time.Time  // when it was decided on; write only
	ClosedAt     *time.Time // when it was superseded, revoked or refused
	RevokedAt    *time.Time
	RevokedBy    string
	RevokeReason string
	Document     string // as submitted; not read by lists
}

// ConsentState says where a stored consent stands.
type ConsentState string

// The states of a consent.
const (
	ConsentActive     ConsentState = "active"
	ConsentSuperseded ConsentState = "superseded" // the requester has submitted another one since
	ConsentRevoked    ConsentState = "revoked"
	ConsentRefused    ConsentState = "refused" // it never permitted anything
)

// saveConsents stores what a requester submitted with a slice: all are of one requester, client and job. Of a member's permitting
// consents the newest is active and closes the earlier ones; one that is revoked when it comes revokes them. A document that came
// before is the same row again, and what was revoked stays so. A requester's slices take turns, so that the newest is found among
// all.
func saveConsents(ctx context.Context, tx pgx.Tx, list []Consent) error {
	if len(list) == 0 {
		return nil
	}
	requester := list[0].Requester
	requesters := distinct(append(canonical(list[0].Requesters), requester))
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(h) FROM (SELECT DISTINCT hashtextextended(r, 11) AS h FROM unnest($1::text[]) AS r ORDER BY h) k`, requesters)
	if err != nil {
		return fmt.Errorf("lock the requester's consents: %w", err)
	}
	var rows consentRows
	for _, c := range list {
		rows.add(c)
	}
	_, err = tx.Exec(ctx, `INSERT INTO consents AS c (id, member_id, requester, requesters, client_id, job_id, idx, state, reason, policy, starts_at, ends_at,
			given_at, submitted_at, settled_at, closed_at, revoked_at, revoked_by, document)
		SELECT DISTINCT ON (id) id, member_id, $3, $19::text[], $1, $2, idx, state, reason, policy, starts_at, ends_at, given_at, submitted_at, settled_at, closed_at, revoked_at, revoked_by, document
		FROM unnest($4::uuid[], $5::uuid[], $6::int[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
			$13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::text[], $17::text[], $18::timestamptz[])
			AS n(id, member_id, idx, state, reason, policy, starts_at, ends_at, given_at, submitted_at, closed_at, revoked_at, revoked_by, document, settled_at)
		ORDER BY id, idx DESC
		ON CONFLICT (id) DO UPDATE SET requesters = excluded.requesters, client_id = excluded.client_id, job_id = excluded.job_id, idx = excluded.idx, state = excluded.state,
			reason = excluded.reason, policy = excluded.policy, starts_at = excluded.starts_at, ends_at = excluded.ends_at,
			given_at = excluded.given_at, submitted_at = excluded.submitted_at, settled_at = excluded.settled_at, closed_at = excluded.closed_at, revoked_at = excluded.revoked_at, revoked_by = excluded.revoked_by
		WHERE c.state <> 'revoked' AND (c.submitted_at, c.job_id, c.idx) < (excluded.submitted_at, excluded.job_id, excluded.idx)`,
		list[0].ClientID, list[0].JobID, requester, rows.ids, rows.members, rows.idx, rows.states, rows.reasons, rows.policies, rows.starts, rows.ends, rows.given,
		rows.submitted, rows.closed, rows.revoked, rows.by, rows.documents, rows.settled, requesters)
	if err != nil {
		return fmt.Errorf("insert consents: %w", err)
	}
	_, err = tx.Exec(ctx, `UPDATE consents c SET state = 'revoked', revoked_at = w.at, revoked_by = w.by, closed_at = coalesce(c.closed_at, w.at)
		FROM (SELECT DISTINCT ON (member_id) member_id, revoked_at AS at, revoked_by AS by, submitted_at FROM consents
			WHERE member_id = ANY($2) AND `+ofRequester("", "$1")+` AND state = 'revoked' ORDER BY member_id, revoked_at DESC) w
		WHERE c.member_id = w.member_id AND `+ofRequester("c.", "$1")+` AND c.state IN ('active', 'superseded') AND c.submitted_at <= w.submitted_at`,
		requesters, rows.members)
	if err != nil {
		return fmt.Errorf("revoke earlier consents: %w", err)
	}
	_, err = tx.Exec(ctx, `UPDATE consents c SET state = 'superseded', closed_at = n.submitted_at
		FROM (SELECT DISTINCT ON (member_id) id, member_id, submitted_at FROM consents
			WHERE member_id = ANY($2) AND `+ofRequester("", "$1")+` AND state = 'active' ORDER BY member_id, submitted_at DESC, job_id DESC, idx DESC) n
		WHERE c.member_id = n.member_id AND `+ofRequester("c.", "$1")+` AND c.state = 'active' AND c.id <> n.id`, requesters, rows.members)
	if err != nil {
		return fmt.Errorf("close earlier consents: %w", err)
	}
	return nil
}

// ofRequester is the condition that a consent was submitted by the organisation with the identifiers that a parameter lists.
func ofRequester(table, ids string) string {
	return "(" + table + "requester = ANY(" + ids + "::text[]) OR " + table + "requesters && " + ids + "::text[])"
}

// consentRows are consents column by column.
type consentRows struct {
	ids, members                                             []uuid.UUID
	idx                                                      []int32
	states, reasons, policies, by, documents                 []string
	starts, ends, given, submitted, settled, closed, revoked []*time.Time
}

func (r *consentRows) add(c Consent) {
	r.ids, r.members, r.idx = append(r.ids, c.ID), append(r.members, c.Member), append(r.idx, c.Idx)
	r.states, r.reasons, r.policies = append(r.states, string(c.State)), append(r.reasons, c.Reason), append(r.policies, c.Policy)
	r.starts, r.ends, r.given = append(r.starts, c.Start), append(r.ends, c.End), append(r.given, c.Given)
	r.settled = append(r.settled, &c.SettledAt)
	r.submitted, r.closed, r.revoked = append(r.submitted, &c.SubmittedAt), append(r.closed, c.ClosedAt), append(r.revoked, c.RevokedAt)
	r.by, r.documents = append(r.by, c.RevokedBy), append(r.documents, c.Document)
}

// Standing is what was said about a member and a requester, as far as it bears on a release.
type Standing struct {
	Override bool
	// RevokedAt is when consent to the requester was last taken back, or when what was taken back was given, if that is later.
	RevokedAt *time.Time
	// Current is what the newest active consent to the requester grants; nil when there is none.
	Current *models.Grant
}

// Revoked reports whether consent was taken back since a match. Without an active consent it was, whatever the clocks of those
// who wrote it down say.
func (s Standing) Revoked(matched time.Time) bool {
	return s.RevokedAt != nil && (s.Current == nil || !s.RevokedAt.Before(matched))
}

// A member has few consents, and all that the requester submitted are read by their index. Conditions in WHERE on the state, or on having
// been revoked, would let Postgres take an index of everybody's that are so, for each member, as long as it believes them to be few.
var standingSQL = `SELECT k.id, o.said, c.revoked, coalesce(c.policy, ''), c.starts_at, c.ends_at
	FROM unnest($1::uuid[]) AS k(id)
	CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM consent_overrides o WHERE o.member_id = k.id AND o.revoked_at IS NULL
		AND o.starts_at <= greatest($3, o.created_at) AND (o.ends_at IS NULL OR o.ends_at > $3) AND (o.requester = '' OR o.requester = ANY($2))) AS said) o
	CROSS JOIN LATERAL (SELECT max(greatest(revoked_at, given_at)) FILTER (WHERE revoked_at IS NOT NULL) AS revoked,
			(array_agg(policy ORDER BY submitted_at DESC, job_id DESC, idx DESC) FILTER (WHERE state = 'active'))[1] AS policy,
			(array_agg(starts_at ORDER BY submitted_at DESC, job_id DESC, idx DESC) FILTER (WHERE state = 'active'))[1] AS starts_at,
			(array_agg(ends_at ORDER BY submitted_at DESC, job_id DESC, idx DESC) FILTER (WHERE state = 'active'))[1] AS ends_at
		FROM consents WHERE member_id = k.id AND ` + ofRequester("", "$2") + `) c
	WHERE o.said OR c.revoked IS NOT NULL OR c.policy IS NOT NULL`

type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func standing(ctx context.Context, q queryer, members []uuid.UUID, requester []string, at time.Time) (map[uuid.UUID]Standing, error) {
	rows, err := q.Query(ctx, standingSQL, members, canonical(requester), at)
	if err != nil {
		return nil, fmt.Errorf("select what members said: %w", err)
	}
	out := map[uuid.UUID]Standing{}
	var id uuid.UUID
	var s Standing
	var g models.Grant
	_, err = pgx.ForEachRow(rows, []any{&id, &s.Override, &s.RevokedAt, &g.Policy, &g.Start, &g.End}, func() error {
		one := s
		if g.Policy != "" {
			one.Current = new(g)
		}
		out[id] = one
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what members said: %w", err)
	}
	return out, nil
}

func canonical(organizations []string) []string {
	out := make([]string, len(organizations))
	for i, o := range organizations {
		out[i] = models.CanonicalOrganization(o)
	}
	return out
}

// Standing says what was said about the listed members and a requester, known by any of the given identifiers. Of whom nothing
// was said there is no entry.
func (s *Store) Standing(ctx context.Context, members []uuid.UUID, requester []string, at time.Time) (map[uuid.UUID]Standing, error) {
	return standing(ctx, s.Pool, members, requester, at)
}

// Standing is Store.Standing in the snapshot.
func (v *Snapshot) Standing(members []uuid.UUID, requester []string, at time.Time) (map[uuid.UUID]Standing, error) {
	return standing(v.ctx, v.tx, members, requester, at)
}

const consentColumns = `c.id, c.member_id, coalesce(m.patient_id, ''), c.requester, c.client_id, c.job_id, c.idx, c.state, c.reason, c.policy, c.starts_at, c.ends_at,
	c.submitted_at, c.closed_at, c.revoked_at, c.revoked_by, c.revoke_reason`

func (c *Consent) columns() []any {
	return []any{
		&c.ID, &c.Member, &c.PatientID, &c.Requester, &c.ClientID, &c.JobID, &c.Idx, &c.State, &c.Reason, &c.Policy, &c.Start, &c.End,
		&c.SubmittedAt, &c.ClosedAt, &c.RevokedAt, &c.RevokedBy, &c.RevokeReason,
	}
}

// Consents lists stored consents by id, after the given one, without their documents; with a member, theirs alone.
func (s *Store) Consents(ctx context.Context, member *uuid.UUID, after string, limit int) ([]Consent, error) {
	rows, err := s.Pool.Query(ctx, `SELECT `+consentColumns+` FROM consents c LEFT JOIN members m ON m.id = c.member_id
		WHERE ($1::uuid IS NULL OR c.member_id = $1) AND ($2::uuid IS NULL OR c.id > $2) ORDER BY c.id LIMIT $3`, member, nullableID(after), limit)
	if err != nil {
		return nil, fmt.Errorf("select consents: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Consent, err error) {
		err = row.Scan(c.columns()...)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read consents: %w", err)
	}
	return out, nil
}

// Consent returns a stored consent with its document. KindNotFound when there is none.
func (s *Store) Consent(ctx context.Context, id string) (*Consent, error) {
	c := &Consent{}
	err := s.Pool.QueryRow(ctx, `SELECT `+consentColumns+`, c.document FROM consents c LEFT JOIN members m ON m.id = c.member_id WHERE c.id = $1`, id).
		Scan(append(c.columns(), &c.Document)...)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no consent has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("select consent: %w", err)
	}
	return c, nil
}

// RevokeConsent takes a consent back, and with it all that the member gave the same requester before. KindNotFound when there is
// none; one that is revoked already stays as it is.
func (s *Store) RevokeConsent(ctx context.Context, id, by, reason string, now time.Time) (*Consent, error) {
	_, err := s.Pool.Exec(ctx, `UPDATE consents SET state = 'revoked', revoked_at = $2, revoked_by = $3, revoke_reason = $4, closed_at = coalesce(closed_at, $2)
		WHERE id = $1 AND state <> 'revoked'`, id, millis(now), by, reason)
	if err != nil {
		return nil, fmt.Errorf("revoke consent: %w", err)
	}
	return s.Consent(ctx, id)
}

// Override is a member's instruction not to share.
type Override struct {
	ID        string
	Member    uuid.UUID
	PatientID string // our Patient id; read only
	Requester string // with whom not to share, "system|value", see models.CanonicalOrganization; "" with anybody
	Start     time.Time
	End       *time.Time // nil for as long as it is not revoked
	Source    string
	Reason    string
	CreatedBy string
	CreatedAt time.Time
	RevokedAt *time.Time
	RevokedBy string
}

// AddOverride stores an instruction. KindNotFound when nothing is known of the member.
func (s *Store) AddOverride(ctx context.Context, o Override) error {
	tag, err := s.Pool.Exec(ctx, `INSERT INTO consent_overrides (id, member_id, requester, starts_at, ends_at, source, reason, created_by, created_at)
		SELECT $1, id, $3, $4, $5, $6, $7, $8, $9 FROM members WHERE id = $2`,
		o.ID, o.Member, o.Requester, o.Start, o.End, o.Source, o.Reason, o.CreatedBy, o.CreatedAt)
	if err != nil {
		return fmt.Errorf("insert override: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return models.Errorf(models.KindNotFound, "no Patient has this id")
	}
	return nil
}

const overrideColumns = `o.id, o.member_id, coalesce(m.patient_id, ''), o.requester, o.starts_at, o.ends_at, o.source, o.reason, o.created_by, o.created_at, o.revoked_at, o.revoked_by`

func (o *Override) columns() []any {
	return []any{&o.ID, &o.Member, &o.PatientID, &o.Requester, &o.Start, &o.End, &o.Source, &o.Reason, &o.CreatedBy, &o.CreatedAt, &o.RevokedAt, &o.RevokedBy}
}

// Overrides lists instructions from newest to oldest, those older than the id before when it is given; with a member, theirs
// alone.
func (s *Store) Overrides(ctx context.Context, member *uuid.UUID, before string, limit int) ([]Override, error) {
	rows, err := s.Pool.Query(ctx, `SELECT `+overrideColumns+` FROM consent_overrides o LEFT JOIN members m ON m.id = o.member_id
		WHERE ($1::uuid IS NULL OR o.member_id = $1) AND ($2::uuid IS NULL OR o.id < $2) ORDER BY o.id DESC LIMIT $3`, member, nullableID(before), limit)
	if err != nil {
		return nil, fmt.Errorf("select overrides: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o Override, err error) {
		err = row.Scan(o.columns()...)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("read overrides: %w", err)
	}
	return out, nil
}

// Override returns an instruction. KindNotFound when there is none.
func (s *Store) Override(ctx context.Context, id string) (*Override, error) {
	o := &Override{}
	err := s.Pool.QueryRow(ctx, `SELECT `+overrideColumns+` FROM consent_overrides o LEFT JOIN members m ON m.id = o.member_id WHERE o.id = $1`, id).Scan(o.columns()...)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no override has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("select override: %w", err)
	}
	return o, nil
}

// RevokeOverride ends an instruction. KindNotFound when there is none; one that is revoked already stays as it is.
func (s *Store) RevokeOverride(ctx context.Context, id, by string, now time.Time) (*Override, error) {
	_, err := s.Pool.Exec(ctx, `UPDATE consent_overrides SET revoked_at = $2, revoked_by = $3 WHERE id = $1 AND revoked_at IS NULL`, id, millis(now), by)
	if err != nil {
		return nil, fmt.Errorf("revoke override: %w", err)
	}
	return s.Override(ctx, id)
}
