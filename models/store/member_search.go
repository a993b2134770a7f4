package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// MemberRow is a member as operators find them: by nothing but ids.
type MemberRow struct {
	ID      uuid.UUID
	Patient string // our Patient id
	Present bool   // the Patient is held
}

// FindMember returns the member with the given Patient id. KindNotFound when there is none.
func (s *Store) FindMember(ctx context.Context, patient string) (m MemberRow, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT id, patient_id, present FROM members WHERE patient_id = $1`, patient).Scan(&m.ID, &m.Patient, &m.Present)
	if noRows(err) {
		return m, errNoMember()
	}
	if err != nil {
		return m, fmt.Errorf("select member: %w", err)
	}
	return m, nil
}
