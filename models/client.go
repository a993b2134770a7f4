package models

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// ClientKind says what a registered client is, and so which operations it is meant for.
type ClientKind string

// The client kinds.
const (
	ClientPayer    ClientKind = "payer"    // another payer: $bulk-member-match and its Groups
	ClientProvider ClientKind = "provider" // a provider organisation: $provider-member-match and its Groups
	ClientBackend  ClientKind = "backend"  // any other back end: system and Patient level exports
)

// Client is one registered caller. SMART calls it a client, the guides a payer or a provider; it holds a key pair whose
// public half is either stored here or published under its JWKSURL.
type Client struct {
	ID   string // the OAuth client_id: 1 to 255 printable ASCII characters without spaces
	Name string
	Kind ClientKind
	// Organization is the display name of the organisation the client acts for.
	Organization string
	// OrganizationIDs are that organisation's identifiers, each "system|value". A consent names its recipient by one of
	// them.
	OrganizationIDs []string
	// Scopes is what the client may be granted at most, in any spelling the token endpoint takes.
	Scopes []string
	// JWKS is the client's key set (RFC 7517 section 5) with public keys only; nil when it publishes one at JWKSURL.
	JWKS    json.RawMessage
	JWKSURL string
	// Active is false for a client that may not get or use tokens.
	Active bool
	// ValueBased marks a provider with a value-based contract.
	ValueBased bool
	CreatedAt  time.Time
	UpdatedAt  time.Time // changes with every write of the row
}

// The limits of a registration.
const (
	maxClientID       = 255
	maxClientName     = 200
	maxClientJWKS     = 256 << 10
	maxClientJWKSURL  = 2048
	maxClientElements = 100
	maxClientElement  = 512
)

// ValidClientID reports whether id can be a client_id: RFC 6749 appendix A.1 without the space, bounded.
func ValidClientID(id string) bool {
	if id == "" || len(id) > maxClientID {
		return false
	}
	for _, b := range []byte(id) {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return true
}

// Validate checks the shape of a registration; whether the keys are usable and the scopes known is for the token
// endpoint's package to say. It returns KindInvalid with the field in Where.
func (c Client) Validate() error {
	switch {
	case !ValidClientID(c.ID):
		return Errorf(KindInvalid, "must be 1 to %d printable ASCII characters without spaces", maxClientID).At("id")
	case !plainText(c.Name, maxClientName) || strings.TrimSpace(c.Name) == "":
		return Errorf(KindInvalid, "must be 1 to %d characters of plain text", maxClientName).At("name")
	case c.Kind != ClientPayer && c.Kind != ClientProvider && c.Kind != ClientBackend:
		return Errorf(KindInvalid, "must be payer, provider or backend").At("kind")
	case !plainText(c.Organization, maxClientName):
		return Errorf(KindInvalid, "must be at most %d characters of plain text", maxClientName).At("organization")
	case len(c.OrganizationIDs) > maxClientElements:
		return Errorf(KindInvalid, "must be at most %d", maxClientElements).At("organizationIds")
	case len(c.Scopes) > maxClientElements:
		return Errorf(KindInvalid, "must be at most %d", maxClientElements).At("scopes")
	}
	for _, id := range c.OrganizationIDs {
		if system, value, ok := strings.Cut(id, "|"); !ok || system == "" || value == "" || !plainText(id, maxClientElement) {
			return Errorf(KindInvalid, "each must be system|value").At("organizationIds")
		}
	}
	for _, scope := range c.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\r\n") || !plainText(scope, maxClientElement) {
			return Errorf(KindInvalid, "each must be one scope").At("scopes")
		}
	}
	return c.validateKeys()
}

// validateKeys asks for exactly one place to find the client's keys.
func (c Client) validateKeys() error {
	if (len(c.JWKS) == 0) == (c.JWKSURL == "") {
		return Errorf(KindInvalid, "give either an inline key set or a URL of one").At("jwks")
	}
	if c.JWKSURL == "" {
		if len(c.JWKS) > maxClientJWKS || !json.Valid(c.JWKS) {
			return Errorf(KindInvalid, "must be JSON of at most %d bytes", maxClientJWKS).At("jwks")
		}
		return nil
	}
	u, err := url.Parse(c.JWKSURL)
	if err != nil || len(c.JWKSURL) > maxClientJWKSURL || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" ||
		u.User != nil || strings.Contains(c.JWKSURL, "#") {
		return Errorf(KindInvalid, "must be an absolute https URL without user or fragment").At("jwksUrl")
	}
	return nil
}

// plainText reports whether s fits the limit and holds no control character.
func plainText(s string, limit int) bool {
	return len(s) <= limit && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }) < 0
}

// SigningKey is one of the server's own keys, with which it signs access tokens. Every api process uses the same ones.
type SigningKey struct {
	KID       string
	Alg       string // a JOSE algorithm name, ES384
	Private   []byte // PKCS #8, DER
	CreatedAt time.Time
	NotAfter  time.Time // nothing signed with it is accepted from then on
}
