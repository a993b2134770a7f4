package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"pdexbulk/models"
)

// credentialRow is a row of admin_credentials as bun sees it.
type credentialRow struct {
	bun.BaseModel `bun:"table:admin_credentials,alias:a"`

	ID         string      `bun:",pk,type:uuid"`
	Name       string      `bun:",notnull"`
	Role       models.Role `bun:",notnull"`
	SecretHash []byte      `bun:",notnull"`
	CreatedBy  string      `bun:",notnull"`
	CreatedAt  time.Time   `bun:",notnull"`
	ExpiresAt  time.Time   `bun:",notnull"`
	RevokedAt  *time.Time
}

func (r credentialRow) credential() models.Credential {
	c := models.Credential{
		ID: r.ID, Name: r.Name, Role: r.Role, SecretHash: r.SecretHash, CreatedBy: r.CreatedBy,
		CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
	}
	if r.RevokedAt != nil {
		at := r.RevokedAt.UTC()
		c.RevokedAt = &at
	}
	return c
}

// AddCredential stores a new admin credential.
func (s *Store) AddCredential(ctx context.Context, c models.Credential) error {
	row := credentialRow{
		ID: c.ID, Name: c.Name, Role: c.Role, SecretHash: c.SecretHash, CreatedBy: c.CreatedBy,
		CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt,
	}
	if _, err := s.DB.NewInsert().Model(&row).Exec(ctx); err != nil {
		return fmt.Errorf("insert credential: %w", err)
	}
	return nil
}

// Credential returns an admin credential, good or not. Returns KindNotFound when there is none.
func (s *Store) Credential(ctx context.Context, id string) (models.Credential, error) {
	var row credentialRow
	err := s.DB.NewSelect().Model(&row).Where("a.id = ?", id).Scan(ctx)
	if noRows(err) {
		return models.Credential{}, models.Errorf(models.KindNotFound, "no such credential")
	}
	if err != nil {
		return models.Credential{}, fmt.Errorf("read credential: %w", err)
	}
	return row.credential(), nil
}

// Credentials returns at most limit admin credentials from newest to oldest, those older than the id before when it is given.
func (s *Store) Credentials(ctx context.Context, before string, limit int) ([]models.Credential, error) {
	var rows []credentialRow
	q := s.DB.NewSelect().Model(&rows).OrderBy("id", bun.OrderDesc).Limit(int64(limit))
	if before != "" {
		q = q.Where("a.id < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	out := make([]models.Credential, len(rows))
	for i, row := range rows {
		out[i] = row.credential()
	}
	return out, nil
}

// RevokeCredential ends an admin credential for good. Revoking it again changes nothing. Returns KindNotFound when there is
// none.
func (s *Store) RevokeCredential(ctx context.Context, id string, now time.Time) error {
	res, err := s.DB.NewUpdate().Model((*credentialRow)(nil)).Set("revoked_at = coalesce(revoked_at, ?)", millis(now)).
		Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("revoke credential: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return models.Errorf(models.KindNotFound, "no such credential")
	}
	return nil
}
