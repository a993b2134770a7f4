package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
)

// MemberConsent is what a member said through a client about sharing with providers.
type MemberConsent struct {
	ID        string
	Member    uuid.UUID
	Patient   string // our Patient id; read only
	ClientID  string
	Active    bool
	CreatedAt time.Time
	UpdatedAt time.Time
	Document  string // the Consent as it was sent
}

// AddMemberConsent stores a Consent and what follows from it, together: it takes the place of the member's active one, ends their
// opt-outs from everything, and enters the given one, which is nil for a Consent that permits. One that denies ends only those
// that it covers from now on, so that nobody is opted in by it. Opt-outs from single providers, purposes, payers or categories
// were said apart and stay. KindNotFound when the member's Patient is not held.
func (s *Store) AddMemberConsent(ctx context.Context, c MemberConsent, deny *models.OptOut) error {
	why := models.RevokedByPermit
	var from, until *time.Time // of what ends; nil are without bound
	if deny != nil {
		why, from, until = models.RevokedByAnother, new(millis(deny.Start)), deny.End
		if err := deny.Validate(); err != nil {
			return err
		}
	}
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// The member's row is held, so that of two Consents at once one comes after the other.
		var held bool
		err := tx.QueryRow(ctx, `SELECT present FROM members WHERE id = $1 FOR NO KEY UPDATE`, c.Member).Scan(&held)
		if noRows(err) || err == nil && !held {
			return errNoMember()
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE member_consents SET active = false, updated_at = $2 WHERE member_id = $1 AND active`, c.Member, c.CreatedAt); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO member_consents (id, member_id, client_id, active, created_at, updated_at, document) VALUES ($1, $2, $3, true, $4, $4, $5)`,
			c.ID, c.Member, c.ClientID, c.CreatedAt, c.Document)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE opt_outs SET revoked_at = $2, revoked_by = $3, revoked_why = $4 WHERE member_id = $1 AND scope = 'global' AND revoked_at IS NULL
			AND greatest(starts_at, $2) >= coalesce($5, '-infinity'::timestamptz) AND ends_at <= coalesce($6, 'infinity'::timestamptz)`,
			c.Member, c.CreatedAt, "client:"+c.ClientID, why, from, until)
		if err != nil || deny == nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO opt_outs (member_id, id, scope, target, reason, starts_at, ends_at, source, created_by, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, 'infinity'::timestamptz), $8, $9, $10)`,
			deny.Member, deny.ID, deny.Scope, deny.Target, deny.Reason, millis(deny.Start), deny.End, deny.Source, deny.CreatedBy, deny.CreatedAt)
		return err
	})
	if err != nil {
		return fmt.Errorf("store a member's consent: %w", err)
	}
	return nil
}

// MemberConsents returns the Consents a client has sent, the newest first: of that id, of that Patient, active or not, whatever is
// asked for, at most limit of them.
func (s *Store) MemberConsents(ctx context.Context, clientID, id, patient string, active *bool, limit int) ([]MemberConsent, error) {
	rows, err := s.Pool.Query(ctx, `SELECT c.id, c.member_id, m.patient_id, c.client_id, c.active, c.created_at, c.updated_at, c.document
		FROM member_consents c JOIN members m ON m.id = c.member_id
		WHERE c.client_id = $1 AND ($2::uuid IS NULL OR c.id = $2) AND ($3 = '' OR m.patient_id = $3) AND ($4::bool IS NULL OR c.active = $4)
		ORDER BY c.id DESC LIMIT $5`, clientID, nullID(id), patient, active, limit)
	if err != nil {
		return nil, fmt.Errorf("select members' consents: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[MemberConsent])
	if err != nil {
		return nil, fmt.Errorf("read members' consents: %w", err)
	}
	return out, nil
}
