package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
)

// querier is the pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

const optOutColumns = `o.id, o.member_id, o.scope, o.target, o.reason, o.starts_at, nullif(o.ends_at, 'infinity'), o.source, o.created_by,
	o.created_at, o.revoked_at, o.revoked_by, o.revoked_why`

func scanOptOut(row pgx.CollectableRow) (o models.OptOut, err error) {
	err = row.Scan(columnsOf(&o)...)
	return o, err
}

func columnsOf(o *models.OptOut) []any {
	return []any{
		&o.ID, &o.Member, &o.Scope, &o.Target, &o.Reason, &o.Start, &o.End, &o.Source, &o.CreatedBy, &o.CreatedAt, &o.RevokedAt, &o.RevokedBy, &o.RevokedWhy,
	}
}

func (s *Store) optOuts(ctx context.Context, sql string, args ...any) ([]models.OptOut, error) {
	rows, err := s.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("select opt-outs: %w", err)
	}
	out, err := pgx.CollectRows(rows, scanOptOut)
	if err != nil {
		return nil, fmt.Errorf("read opt-outs: %w", err)
	}
	return out, nil
}

// CreateOptOut enters an opt-out. One that says the same and stands already is returned instead, with false. KindNotFound when
// the member's Patient is not held: what is said of nobody would protect nobody. KindConflict when the id is taken by another.
func (s *Store) CreateOptOut(ctx context.Context, o models.OptOut) (stored models.OptOut, created bool, err error) {
	if err := o.Validate(); err != nil {
		return o, false, err
	}
	o.Start = millis(o.Start)
	err = s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := present(ctx, tx, o.Member); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT `+optOutColumns+` FROM opt_outs o WHERE id = $1`, o.ID)
		if err != nil {
			return err
		}
		same, err := pgx.CollectRows(rows, scanOptOut)
		if err != nil {
			return err
		}
		if len(same) > 0 {
			stored = same[0]
			sameStart := o.Start.Equal(millis(o.CreatedAt)) || o.Start.Equal(stored.Start) // without a start it is the moment of the request
			if stored.Member != o.Member || stored.Scope != o.Scope || stored.Target != o.Target || stored.Reason != o.Reason || !sameStart || !sameEnd(stored.End, o.End) {
				return models.Errorf(models.KindConflict, "this Idempotency-Key was used for another opt-out").At("Idempotency-Key")
			}
			return nil
		}
		tag, err := tx.Exec(ctx, `INSERT INTO opt_outs (member_id, id, scope, target, reason, starts_at, ends_at, source, created_by, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, 'infinity'::timestamptz), $8, $9, $10) ON CONFLICT DO NOTHING`,
			o.Member, o.ID, o.Scope, o.Target, o.Reason, o.Start, o.End, o.Source, o.CreatedBy, o.CreatedAt)
		if err != nil {
			return err
		}
		created = tag.RowsAffected() == 1
		rows, err = tx.Query(ctx, `SELECT `+optOutColumns+` FROM opt_outs o WHERE member_id = $1 AND scope = $2 AND target = $3
			AND starts_at = $4 AND ends_at = coalesce($5, 'infinity'::timestamptz) AND revoked_at IS NULL`, o.Member, o.Scope, o.Target, o.Start, o.End)
		if err != nil {
			return err
		}
		stored, err = pgx.CollectExactlyOneRow(rows, scanOptOut)
		return err
	})
	if err != nil {
		return o, false, fmt.Errorf("enter opt-out: %w", err)
	}
	return stored, created, nil
}

func sameEnd(a, b *time.Time) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond))
}

// present checks that a member's Patient is held.
func present(ctx context.Context, tx pgx.Tx, member uuid.UUID) error {
	var held bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM members WHERE id = $1 AND present)`, member).Scan(&held); err != nil {
		return err
	}
	if !held {
		return errNoMember()
	}
	return nil
}

func errNoMember() error {
	return models.Errorf(models.KindNotFound, "no member has this id").At("patient")
}

// OptOut returns one opt-out. KindNotFound when there is none.
func (s *Store) OptOut(ctx context.Context, id string) (models.OptOut, error) {
	found, err := s.optOuts(ctx, `SELECT `+optOutColumns+` FROM opt_outs o WHERE id = $1`, id)
	if err == nil && len(found) == 0 {
		err = models.Errorf(models.KindNotFound, "no opt-out has this id")
	}
	if err != nil {
		return models.OptOut{}, err
	}
	return found[0], nil
}

// RevokeOptOut ends an opt-out that stands. One that is revoked already stays as it is. KindNotFound when there is none.
func (s *Store) RevokeOptOut(ctx context.Context, id string, at time.Time, by string, why models.RevocationReason) (models.OptOut, error) {
	_, err := s.Pool.Exec(ctx, `UPDATE opt_outs SET revoked_at = $2, revoked_by = $3, revoked_why = $4 WHERE id = $1 AND revoked_at IS NULL`, id, millis(at), by, why)
	if err != nil {
		return models.OptOut{}, fmt.Errorf("revoke opt-out: %w", err)
	}
	return s.OptOut(ctx, id)
}

// OptOutFilter narrows a list of opt-outs. What is not set does not matter.
type OptOutFilter struct {
	Member  *uuid.UUID
	Scope   models.OptOutScope
	Revoked *bool  // revoked ones only, or standing ones only
	After   string // continues after the opt-out of that id
}

// OptOuts lists opt-outs by id, which is about the order they came in, at most limit of them.
func (s *Store) OptOuts(ctx context.Context, f OptOutFilter, limit int) ([]models.OptOut, error) {
	return s.optOuts(ctx, `SELECT `+optOutColumns+` FROM opt_outs o
		WHERE ($1::uuid IS NULL OR member_id = $1) AND ($2 = '' OR scope = $2) AND ($3::bool IS NULL OR (revoked_at IS NOT NULL) = $3)
		  AND ($4::uuid IS NULL OR id > $4) ORDER BY id LIMIT $5`, f.Member, f.Scope, f.Revoked, nullID(f.After), limit)
}

func nullID(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// EachOptOut streams the opt-outs that stand at a moment, with the Patient id of each member, by member.
func (s *Store) EachOptOut(ctx context.Context, scope models.OptOutScope, at time.Time, fn func(o models.OptOut, patient string) error) error {
	rows, err := s.Pool.Query(ctx, `SELECT `+optOutColumns+`, m.patient_id FROM opt_outs o JOIN members m ON m.id = o.member_id
		WHERE o.scope = $1 AND o.revoked_at IS NULL AND o.starts_at <= $2 AND o.ends_at > $2 ORDER BY o.member_id, o.id`, scope, at)
	if err != nil {
		return fmt.Errorf("select opt-outs: %w", err)
	}
	var o models.OptOut
	var patient string
	_, err = pgx.ForEachRow(rows, append(columnsOf(&o), &patient), func() error { return fn(o, patient) })
	if err != nil {
		return fmt.Errorf("read opt-outs: %w", err)
	}
	return nil
}

// CountOptOuts says how many opt-outs of a scope stand at a moment.
func (s *Store) CountOptOuts(ctx context.Context, scope models.OptOutScope, at time.Time) (n int, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT count(*) FROM opt_outs WHERE scope = $1 AND revoked_at IS NULL AND starts_at <= $2 AND ends_at > $2`, scope, at).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count opt-outs: %w", err)
	}
	return n, nil
}

// OptOutsOf returns the opt-outs of members that are not revoked, in one query, with the overrides by which they told the plan not to
// share. Whether they stand at a moment is for who decides.
func (s *Store) OptOutsOf(ctx context.Context, members []uuid.UUID) (map[uuid.UUID][]models.OptOut, error) {
	return optOutsOf(ctx, s.Pool, members)
}

// OptOutsOf is the Store's, as of when the snapshot was opened: now, whatever instant the data are of.
func (v *Snapshot) OptOutsOf(members []uuid.UUID) (map[uuid.UUID][]models.OptOut, error) {
	return optOutsOf(v.ctx, v.tx, members)
}

func optOutsOf(ctx context.Context, q querier, members []uuid.UUID) (map[uuid.UUID][]models.OptOut, error) {
	rows, err := q.Query(ctx, `SELECT `+optOutColumns+`, false FROM unnest($1::uuid[]) AS k(id) JOIN opt_outs o ON o.member_id = k.id WHERE o.revoked_at IS NULL
		UNION ALL SELECT o.id, o.member_id, CASE o.requester WHEN '' THEN 'global' ELSE 'provider-specific' END, o.requester, 'member-choice', o.starts_at, o.ends_at,
			'admin', o.created_by, o.created_at, NULL, '', '', true
		FROM unnest($1::uuid[]) AS k(id) JOIN consent_overrides o ON o.member_id = k.id WHERE o.revoked_at IS NULL`, members)
	if err != nil {
		return nil, fmt.Errorf("select opt-outs: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o models.OptOut, err error) {
		err = row.Scan(append(columnsOf(&o), &o.Override)...)
		if o.Override {
			o.Target = models.CanonicalID(o.Target)
		}
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("read opt-outs: %w", err)
	}
	out := map[uuid.UUID][]models.OptOut{}
	for _, o := range list {
		out[o.Member] = append(out[o.Member], o)
	}
	return out, nil
}
