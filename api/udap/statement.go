package udap

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

// The limits of a software statement (HL7 UDAP Security 1.1.0, "Software Statement").
const (
	MaxStatementLife = 5 * time.Minute
	maxName          = 200
	maxContacts      = 20
	maxScope         = 8 << 10
	maxJTI           = 255
)

// Why a statement is turned down: with ErrStatement its signature, chain-independent form or time claims are wrong, with
// ErrMetadata what it says of the client.
var (
	ErrStatement = errors.New("the software statement is not valid")
	ErrMetadata  = errors.New("the software statement's client metadata are not acceptable")
)

// Statement is a software statement that is signed by the certificate it brings and well-formed. Whether that certificate is
// trusted is for Trust to say.
type Statement struct {
	Chain   *Chain
	Issuer  string
	JTI     string
	Expires time.Time

	Name     string
	Contacts []string
	Scope    string
	// Cancel says that the client gives its registration up: it lists no grant types.
	Cancel bool
}

// textList is a JSON array of strings, or absent. Anything else does not parse.
type textList struct {
	given bool
	items []string
}

func (l *textList) UnmarshalJSON(raw []byte) error {
	l.given = true
	if string(raw) == "null" {
		return errors.New("null is no list")
	}
	return json.Unmarshal(raw, &l.items)
}

type statementClaims struct {
	jwt.Claims
	Name          *string   `json:"client_name"`
	Contacts      textList  `json:"contacts"`
	GrantTypes    textList  `json:"grant_types"`
	ResponseTypes *textList `json:"response_types"`
	RedirectURIs  *textList `json:"redirect_uris"`
	AuthMethod    *string   `json:"token_endpoint_auth_method"`
	Scope         *string   `json:"scope"`
}

// ParseStatement reads a software statement for a registration endpoint. Errors are ErrStatement or ErrMetadata.
func ParseStatement(text, audience string, now time.Time, skew time.Duration) (*Statement, error) {
	signed, err := ParseSigned(text)
	if err != nil {
		return nil, errors.Join(ErrStatement, err)
	}
	var c statementClaims
	if err := signed.Claims(&c); err != nil {
		return nil, errors.Join(ErrStatement, err)
	}
	if err := checkTimes(c.Claims, now, skew); err != nil {
		return nil, errors.Join(ErrStatement, err)
	}
	switch {
	case c.Issuer == "" || c.Issuer != c.Subject || !plainURI(c.Issuer):
		return nil, errors.Join(ErrStatement, errors.New("iss and sub are not one URI"))
	case !signed.Chain.Names(c.Issuer):
		return nil, errors.Join(ErrStatement, errors.New("iss is not among the certificate's subject alternative names"))
	case len(c.Audience) != 1 || c.Audience[0] != audience:
		return nil, errors.Join(ErrStatement, errors.New("aud is not the registration URL alone"))
	case !plain(c.ID, maxJTI):
		return nil, errors.Join(ErrStatement, errors.New("jti is missing or malformed"))
	}
	s := &Statement{Chain: signed.Chain, Issuer: c.Issuer, JTI: c.ID, Expires: c.Expiry.Time()}
	if err := s.describe(c); err != nil {
		return nil, errors.Join(ErrMetadata, err)
	}
	return s, nil
}

// checkTimes checks exp and iat: both there, five minutes apart at most, and now between them.
func checkTimes(c jwt.Claims, now time.Time, skew time.Duration) error {
	if c.Expiry == nil || c.IssuedAt == nil {
		return errors.New("exp or iat is missing")
	}
	issued, expires := c.IssuedAt.Time(), c.Expiry.Time()
	switch {
	case !expires.After(issued) || expires.Sub(issued) > MaxStatementLife:
		return errors.New("exp is not within five minutes after iat")
	case !expires.After(now.Add(-skew)) || issued.After(now.Add(skew)):
		return errors.New("the statement is not of this time")
	case c.NotBefore != nil && c.NotBefore.Time().After(now.Add(skew)):
		return errors.New("the statement is not of this time")
	}
	return nil
}

// describe takes over what the statement says of the client.
func (s *Statement) describe(c statementClaims) error {
	switch {
	case !c.GrantTypes.given:
		return errors.New("grant_types is missing")
	case len(c.GrantTypes.items) == 0:
		s.Cancel = true
		return nil
	case len(c.GrantTypes.items) != 1 || c.GrantTypes.items[0] != "client_credentials":
		return errors.New("a grant type other than client_credentials is asked for")
	case c.RedirectURIs != nil || c.ResponseTypes != nil:
		return errors.New("redirect_uris and response_types do not go with client_credentials")
	case c.AuthMethod == nil || *c.AuthMethod != "private_key_jwt":
		return errors.New("token_endpoint_auth_method is not private_key_jwt")
	case c.Name == nil || !plain(*c.Name, maxName) || strings.TrimSpace(*c.Name) == "":
		return errors.New("client_name is missing or malformed")
	case c.Scope == nil || strings.TrimSpace(*c.Scope) == "" || !plain(*c.Scope, maxScope):
		return errors.New("scope is missing or malformed")
	case len(c.Contacts.items) == 0 || len(c.Contacts.items) > maxContacts:
		return errors.New("contacts is missing or too long")
	}
	mail := false
	for _, contact := range c.Contacts.items {
		u, err := url.Parse(contact)
		if err != nil || !plain(contact, maxURI) || u.Scheme == "" {
			return errors.New("a contact is not a URI")
		}
		mail = mail || u.Scheme == "mailto" && strings.Contains(u.Opaque, "@")
	}
	if !mail {
		return errors.New("no contact is a mailto: URI")
	}
	s.Name, s.Contacts, s.Scope = *c.Name, c.Contacts.items, *c.Scope
	return nil
}

// plainURI reports whether s is an absolute URI of a sensible length.
func plainURI(s string) bool {
	if !plain(s, maxURI) || strings.ContainsAny(s, " <>\"{}|\\^`") {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && (u.Host != "" || u.Opaque != "")
}

// plain reports whether s is there, fits the limit and holds no control character.
func plain(s string, limit int) bool {
	return s != "" && len(s) <= limit && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) < 0
}
