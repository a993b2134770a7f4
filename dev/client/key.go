package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// The algorithms a client may sign with (SMART client-confidential-asymmetric).
const (
	RS384 = "RS384"
	ES384 = "ES384"
)

// Key is a client's private key. The zero value is not usable.
type Key struct{ jwk jose.JSONWebKey }

// NewKey makes a key pair for RS384 (RSA, 3072 bits) or ES384 (P-384). Its kid is the RFC 7638 thumbprint.
func NewKey(alg string) (*Key, error) {
	var private any
	var err error
	switch alg {
	case RS384:
		private, err = rsa.GenerateKey(rand.Reader, 3072)
	case ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		return nil, errors.New("a key is for RS384 or ES384")
	}
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	jwk := jose.JSONWebKey{Key: private, Algorithm: alg, Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return &Key{jwk}, nil
}

// ParseKey reads a private JWK, as MarshalJSON writes it.
func ParseKey(raw []byte) (*Key, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil {
		return nil, errors.New("not a JSON Web Key") // the cause may show the key
	}
	if (jwk.Algorithm != RS384 && jwk.Algorithm != ES384) || jwk.IsPublic() || !jwk.Valid() {
		return nil, errors.New("not a private key for RS384 or ES384")
	}
	return &Key{jwk}, nil
}

// MarshalJSON is the private JWK. Keep it secret.
func (k *Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.jwk) }

// KID is the id the server knows the key by.
func (k *Key) KID() string { return k.jwk.KeyID }

// Alg is RS384 or ES384.
func (k *Key) Alg() string { return k.jwk.Algorithm }

// JWKS is the key set of the public halves, for registration or publication (RFC 7517 section 5).
func JWKS(keys ...*Key) (json.RawMessage, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, k.jwk.Public())
	}
	return json.Marshal(set)
}

// assertionLife is how long an assertion lives: it is used at once, and SMART allows five minutes.
const assertionLife = 4 * time.Minute

// Assertion signs an authentication JWT for one token request (SMART client-confidential-asymmetric, "Authentication
// JWT").
func (k *Key) Assertion(clientID, tokenURL string, now time.Time) (string, error) {
	return k.AssertionWith(nil, nil, clientID, tokenURL, now)
}

// AssertionWith is Assertion with more members in the header, and an hl7-b2b object unless it is nil.
func (k *Key) AssertionWith(header, b2b map[string]any, clientID, tokenURL string, now time.Time) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range header {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Alg()), Key: k.jwk}, options)
	if err != nil {
		return "", fmt.Errorf("sign assertion: %w", err)
	}
	build := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: clientID, Subject: clientID, Audience: jwt.Audience{tokenURL},
		Expiry: jwt.NewNumericDate(now.Add(assertionLife)), IssuedAt: jwt.NewNumericDate(now), ID: uuid.NewString(),
	})
	if b2b != nil {
		build = build.Claims(map[string]any{"extensions": map[string]any{"hl7-b2b": b2b}})
	}
	text, err := build.Serialize()
	if err != nil {
		return "", fmt.Errorf("sign assertion: %w", err)
	}
	return text, nil
}
