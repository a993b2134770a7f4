package models

import "time"

// Role says what the holder of an admin credential may do.
type Role string

// The roles. Each opens its own routes and no others; RoleAdministrator opens all.
const (
	RoleOperator      Role = "operator"      // reads runs, imports and clients
	RoleOptOutEditor  Role = "optout-editor" // keeps opt-outs, consents and relationships
	RoleAuditor       Role = "auditor"       // reads the audit log
	RoleAdministrator Role = "administrator"
)

// Roles are all roles.
var Roles = []Role{RoleOperator, RoleOptOutEditor, RoleAuditor, RoleAdministrator}

// Credential is one that opens the admin API. The secret itself is nowhere kept: it has 256 random bits, so a plain hash
// gives it away no more than a slow one would.
type Credential struct {
	ID         string
	Name       string // of the person or program it was given to
	Role       Role
	SecretHash []byte // SHA-256
	CreatedBy  string // id of the credential that made it
	CreatedAt  time.Time
	ExpiresAt  time.Time
	RevokedAt  *time.Time
}

// MaxCredentialLife is how long a credential may be good for.
const MaxCredentialLife = 366 * 24 * time.Hour

// Validate checks a credential that is about to be made. It returns KindInvalid with the field in Where.
func (c Credential) Validate() error {
	switch life := c.ExpiresAt.Sub(c.CreatedAt); {
	case !plainText(c.Name, maxClientName) || c.Name == "":
		return Errorf(KindInvalid, "must be 1 to %d characters of plain text", maxClientName).At("name")
	case !c.Role.Valid():
		return Errorf(KindInvalid, "must be operator, optout-editor, auditor or administrator").At("role")
	case life <= 0 || life > MaxCredentialLife:
		return Errorf(KindInvalid, "must be in the future, and at most 366 days away").At("expiresAt")
	}
	return nil
}

// Valid reports whether there is such a role.
func (r Role) Valid() bool {
	return r == RoleOperator || r == RoleOptOutEditor || r == RoleAuditor || r == RoleAdministrator
}

// Good reports whether the credential opens anything at the given moment.
func (c Credential) Good(at time.Time) bool { return c.RevokedAt == nil && at.Before(c.ExpiresAt) }
