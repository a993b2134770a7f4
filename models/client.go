package models

import (
	"encoding/json"
	"net/url"
	"slices"
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
	// ClientPending is a client that registered itself by UDAP and that no administrator has looked at: it can do nothing.
	ClientPending ClientKind = "pending"
)

// ClientOrigin says how a client came to be registered.
type ClientOrigin string

// The origins.
const (
	OriginAdmin ClientOrigin = "admin" // by an administrator
	OriginOAuth ClientOrigin = "oauth" // by itself, with an administrator's initial access token (RFC 7591)
	OriginUDAP  ClientOrigin = "udap"  // by itself, with a software statement; it has certificates in place of keys
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
	// Origin is OriginAdmin when empty.
	Origin ClientOrigin
	// Requested are the scopes a client that registered itself asked for. It gets what is in Scopes as well.
	Requested []string
	// Contacts are mailto: or https: URLs of who answers for a client that registered itself.
	Contacts []string
	// Issuer and Community identify a UDAP client: a URI in its certificates, and the trust community that issued them.
	Issuer    string
	Community string
	// RegistrationHash is the SHA-256 of the registration access token (RFC 7592) of a client of OriginOAuth.
	RegistrationHash []byte
	// CancelledAt is when the client gave its registration up; nil while it has not. It never comes back.
	CancelledAt *time.Time
	// Generation counts how often the client's tokens were made void. Only those of the present one count.
	Generation int64
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
	maxInitialUses    = 1000
	maxInitialLife    = 90 * 24 * time.Hour
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
	case c.Kind != ClientPayer && c.Kind != ClientProvider && c.Kind != ClientBackend && c.Kind != ClientPending:
		return Errorf(KindInvalid, "must be payer, provider or backend").At("kind")
	case c.Kind == ClientPending && (c.Active || c.Origin != OriginUDAP):
		return Errorf(KindInvalid, "a pending client cannot be active").At("active")
	case c.CancelledAt != nil && c.Active:
		return Errorf(KindInvalid, "the client has given its registration up; it must register anew").At("active")
	case !plainText(c.Organization, maxClientName):
		return Errorf(KindInvalid, "must be at most %d characters of plain text", maxClientName).At("organization")
	case len(c.OrganizationIDs) > maxClientElements:
		return Errorf(KindInvalid, "must be at most %d", maxClientElements).At("organizationIds")
	case len(c.Scopes) > maxClientElements || len(c.Requested) > maxClientElements:
		return Errorf(KindInvalid, "must be at most %d", maxClientElements).At("scopes")
	}
	for _, id := range c.OrganizationIDs {
		if system, value, ok := strings.Cut(id, "|"); !ok || system == "" || value == "" || !plainText(id, maxClientElement) {
			return Errorf(KindInvalid, "each must be system|value").At("organizationIds")
		}
	}
	for _, scope := range slices.Concat(c.Scopes, c.Requested) {
		if scope == "" || strings.ContainsAny(scope, " \t\r\n") || !plainText(scope, maxClientElement) {
			return Errorf(KindInvalid, "each must be one scope").At("scopes")
		}
	}
	return c.validateKeys()
}

// validateKeys asks for exactly one place to find the client's keys. UDAP clients have none: each assertion brings its
// certificates.
func (c Client) validateKeys() error {
	if c.Origin == OriginUDAP {
		if len(c.JWKS) > 0 || c.JWKSURL != "" {
			return Errorf(KindInvalid, "a UDAP client has certificates and no registered keys").At("jwks")
		}
		if c.Issuer == "" || !plainText(c.Issuer, maxClientElement) || !plainText(c.Community, maxClientElement) {
			return Errorf(KindInvalid, "must be a URI of at most %d characters", maxClientElement).At("issuer")
		}
		return nil
	}
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

// InitialToken lets whoever holds it register a client (RFC 7591 section 3), which then is what the token says and may have
// no more than its scopes. The token itself is not kept, only its hash.
type InitialToken struct {
	ID              string
	Hash            []byte // SHA-256
	Note            string // for whom it was made
	Kind            ClientKind
	Organization    string
	OrganizationIDs []string
	Scopes          []string
	UsesLeft        int
	CreatedAt       time.Time
	ExpiresAt       time.Time
}

// Validate checks a token that is to be made and returns KindInvalid with the field in Where.
func (t InitialToken) Validate() error {
	switch {
	case !plainText(t.Note, maxClientName) || strings.TrimSpace(t.Note) == "":
		return Errorf(KindInvalid, "must be 1 to %d characters of plain text", maxClientName).At("note")
	case t.UsesLeft < 1 || t.UsesLeft > maxInitialUses:
		return Errorf(KindInvalid, "must be 1 to %d", maxInitialUses).At("uses")
	case !t.ExpiresAt.After(t.CreatedAt) || t.ExpiresAt.After(t.CreatedAt.Add(maxInitialLife)):
		return Errorf(KindInvalid, "must lie ahead, by at most %d days", int(maxInitialLife.Hours()/24)).At("expiresAt")
	case t.Kind == ClientPending:
		return Errorf(KindInvalid, "must be payer, provider or backend").At("kind")
	}
	return Client{
		ID: "x", Name: "x", Kind: t.Kind, Organization: t.Organization, OrganizationIDs: t.OrganizationIDs, Scopes: t.Scopes,
		JWKSURL: "https://x",
	}.Validate()
}

// AuthEvent is something that every process that checks tokens must know: a token was revoked, or a client changed.
type AuthEvent struct {
	Seq      int64
	TokenID  string // or
	ClientID string
	Expires  time.Time
}

// SigningKey is one of the server's own keys, with which it signs access tokens. Every api process uses the same ones.
type SigningKey struct {
	KID       string
	Alg       string // a JOSE algorithm name, EdDSA, or ES384 of earlier versions
	Private   []byte // PKCS #8, DER
	CreatedAt time.Time
	NotAfter  time.Time // nothing signed with it is accepted from then on
}
