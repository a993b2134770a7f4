package models

import "github.com/google/uuid"

// NewID returns a new UUIDv7 in its canonical text form. Ids sort by the moment they were made.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// ValidID reports whether s is a UUID in canonical lower-case form, the only form our own ids take.
func ValidID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && len(s) == 36 && id.String() == s
}
