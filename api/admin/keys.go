package admin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"pdexbulk/models"
)

// Key is the idempotency key of a request that makes something: sent again, it makes nothing more.
type Key struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"up to 255 bytes; the same request with the same key, within thirty days, makes one thing"`
}

// claim returns the id of what a request makes, and whether it was made by the same request before. kind tells apart what is made, and
// request is what the key stands for.
func (s *Service) claim(ctx context.Context, kind, key string, request any) (id string, again bool, err error) {
	if key == "" {
		return models.NewID(), false, nil
	}
	if len(key) > 255 {
		return "", false, models.Errorf(models.KindInvalid, "must be at most 255 bytes").At("Idempotency-Key")
	}
	text, err := json.Marshal(request)
	if err != nil {
		return "", false, fmt.Errorf("write the request: %w", err)
	}
	digest := sha256.Sum256(text)
	return s.Store.ClaimKey(ctx, ActorOf(ctx).ID, kind, key, digest[:], s.now())
}

// missing turns KindNotFound into nil: what a request is to have made before it did not get to make.
func missing(err error) (bool, error) {
	if models.KindOf(err) == models.KindNotFound {
		return true, nil
	}
	return false, err
}

// shownOnce refuses a request for a secret that was sent before: it cannot be shown again.
func shownOnce() error {
	return problem(models.Errorf(models.KindConflict, "a request with this key was answered, and what it made is shown once; send a new key to make another").At("Idempotency-Key"))
}
