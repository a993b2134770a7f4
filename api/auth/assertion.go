package auth

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pdexbulk/api/udap"
	"pdexbulk/models"
)

// assertionAlgs are the only algorithms an assertion may be signed with: SMART client-confidential-asymmetric,
// "Registering a client": RS384 or ES384. The list goes to the parser, so no other algorithm gets as far as a key.
var assertionAlgs = []jose.SignatureAlgorithm{jose.RS384, jose.ES384}

const maxJTI = 255

// assertion is a client assertion that has been read but not yet verified: nothing in it is to be believed, except that the
// signature of a UDAP one is by the certificate it brings.
type assertion struct {
	signed   *udap.Signed // a UDAP one
	b2b      json.RawMessage
	token    *jwt.JSONWebToken
	alg      jose.SignatureAlgorithm
	kid      string
	jku      string
	hasJKU   bool
	clientID string
	jti      string
	expires  time.Time
}

// Why an assertion is turned down. For the log: clients are never told.
var (
	errAssertionForm     = errors.New("assertion is not a compact JWS of an allowed algorithm")
	errAssertionHeader   = errors.New("assertion header is not acceptable")
	errAssertionClaims   = errors.New("assertion claims cannot be read")
	errAssertionSubject  = errors.New("iss and sub are not one client id")
	errAssertionAudience = errors.New("aud is not this endpoint alone")
	errAssertionExpiry   = errors.New("exp is missing, past, or too far ahead")
	errAssertionTooEarly = errors.New("iat or nbf is in the future, or iat after exp")
	errAssertionJTI      = errors.New("jti is missing or malformed")
)

// assertionClaims are the claims of an assertion, with the extension objects of UDAP.
type assertionClaims struct {
	jwt.Claims
	Extensions map[string]json.RawMessage `json:"extensions"`
}

// parseUDAPAssertion is parseAssertion for an assertion that brings its certificates (HL7 UDAP Security 1.1.0,
// "Authentication Token").
func parseUDAPAssertion(text string, audiences []string, now time.Time) (*assertion, error) {
	signed, err := udap.ParseSigned(text)
	if err != nil {
		return nil, err
	}
	a := &assertion{signed: signed, alg: signed.Alg}
	var claims assertionClaims
	if err := signed.Claims(&claims); err != nil {
		return nil, errAssertionClaims
	}
	if claims.Expiry == nil || claims.IssuedAt == nil || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > maxAssertionLife {
		return nil, errAssertionExpiry
	}
	if err := a.readClaims(claims, audiences, now); err != nil {
		return nil, err
	}
	return a, nil
}

// parseAssertion reads a client assertion and checks everything that can be checked without knowing the client: the
// algorithm, the header, and the claims iss, sub, aud, exp, iat, nbf and jti (SMART client-confidential-asymmetric,
// "Authentication JWT"). It does not verify the signature.
func parseAssertion(text string, audiences []string, now time.Time) (*assertion, error) {
	// The parser's base64 decoder skips line breaks; there is no reason to send any.
	if len(text) > maxAssertion || strings.ContainsAny(text, "\r\n") {
		return nil, errAssertionForm
	}
	token, err := jwt.ParseSigned(text, assertionAlgs)
	if err != nil || len(token.Headers) != 1 {
		return nil, errAssertionForm
	}
	a := &assertion{token: token}
	if err := a.readHeader(token.Headers[0]); err != nil {
		return nil, err
	}
	var claims assertionClaims
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return nil, errAssertionClaims
	}
	if err := a.readClaims(claims, audiences, now); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *assertion) readHeader(h jose.Header) error {
	a.alg = jose.SignatureAlgorithm(h.Algorithm)
	a.kid = h.KeyID
	typ, _ := h.ExtraHeaders["typ"].(string)
	if !strings.EqualFold(typ, "JWT") {
		return errAssertionHeader
	}
	// No extension is understood, and one that is critical must be (RFC 7515 section 4.1.11); b64 is such an extension.
	for _, extension := range []jose.HeaderKey{"crit", "b64"} {
		if _, ok := h.ExtraHeaders[extension]; ok {
			return errAssertionHeader
		}
	}
	jku, ok := h.ExtraHeaders["jku"]
	if !ok {
		return nil
	}
	a.hasJKU = true
	if a.jku, ok = jku.(string); !ok {
		return errAssertionHeader
	}
	return nil
}

func (a *assertion) readClaims(c assertionClaims, audiences []string, now time.Time) error {
	a.b2b = c.Extensions[udap.B2BName]
	switch {
	case c.Issuer != c.Subject || !models.ValidClientID(c.Issuer):
		return errAssertionSubject
	case len(c.Audience) != 1 || !slices.Contains(audiences, c.Audience[0]):
		return errAssertionAudience
	case c.Expiry == nil:
		return errAssertionExpiry
	case c.ID == "" || len(c.ID) > maxJTI || strings.IndexFunc(c.ID, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		return errAssertionJTI
	}
	expires := c.Expiry.Time()
	if !expires.After(now.Add(-ClockSkew)) || expires.After(now.Add(maxAssertionLife+ClockSkew)) {
		return errAssertionExpiry
	}
	latest := now.Add(ClockSkew)
	if c.NotBefore != nil && c.NotBefore.Time().After(latest) {
		return errAssertionTooEarly
	}
	if c.IssuedAt != nil && (c.IssuedAt.Time().After(latest) || c.IssuedAt.Time().After(expires)) {
		return errAssertionTooEarly
	}
	a.clientID, a.jti, a.expires = c.Issuer, c.ID, expires
	return nil
}

// verify checks the signature with a key.
func (a *assertion) verify(key *jose.JSONWebKey) error {
	var claims jwt.Claims
	return a.token.Claims(key.Key, &claims)
}
