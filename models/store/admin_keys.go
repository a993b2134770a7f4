package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"pdexbulk/models"
)

// keyLife is how long an idempotency key of the admin API is known.
const keyLife = 30 * 24 * time.Hour

// ClaimKey returns the id of what a request with an idempotency key makes: a new one, or that which the same request of the same
// actor got before. again tells which; what it names may be missing all the same, when making it failed. KindConflict when the key was used
// for another request.
func (s *Store) ClaimKey(ctx context.Context, actor, kind, key string, digest []byte, now time.Time) (id string, again bool, err error) {
	if _, err := s.Pool.Exec(ctx, `DELETE FROM admin_keys WHERE actor = $1 AND created_at < $2`, actor, now.Add(-keyLife)); err != nil {
		return "", false, fmt.Errorf("forget old keys: %w", err)
	}
	hash := sha256.Sum256([]byte(key))
	made := models.NewID()
	var was []byte
	err = s.Pool.QueryRow(ctx, `INSERT INTO admin_keys AS k (actor, kind, key_hash, digest, id, created_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (actor, kind, key_hash) DO UPDATE SET actor = k.actor RETURNING id::text, digest`, actor, kind, hash[:], digest, made, now).Scan(&id, &was)
	if err != nil {
		return "", false, fmt.Errorf("claim a key: %w", err)
	}
	if !bytes.Equal(was, digest) {
		return "", false, models.Errorf(models.KindConflict, "this key was used for another request; choose a new one").At("Idempotency-Key")
	}
	return id, id != made, nil
}
