package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// MemberRow is a member as operators find them: by nothing but ids.
type MemberRow struct {
	ID      uuid.UUID
	Patient string // our Patient id
	Present bool   // the Patient is held
}

// FindMembers returns the members with the given Patient id, or with a card of the given normal value, at most limit of them.
func (s *Store) FindMembers(ctx context.Context, patient string, cards []string, limit int) ([]MemberRow, error) {
	rows, err := s.Pool.Query(ctx, `SELECT id, patient_id, present FROM members
		WHERE patient_id = $1 OR id IN (SELECT member_id FROM member_cards WHERE value = ANY($2)) ORDER BY id LIMIT $3`, patient, orEmpty(cards), limit)
	if err != nil {
		return nil, fmt.Errorf("select members: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[MemberRow])
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	return out, nil
}
