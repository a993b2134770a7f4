package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pdexbulk/api/udap"
	"pdexbulk/models"
)

// The life of a server key. A new one is made every day and shown for a minute before anything is signed with it, by
// when every process knows it; the old one stays valid until the last token it signed is long gone.
const (
	keyRotation = 24 * time.Hour
	keyLife     = 25 * time.Hour
	keyShown    = time.Minute
	ringReload  = 30 * time.Second // how often the store is asked for new keys
	ringRecheck = time.Second      // how soon it is asked again about a kid nobody knows
)

// tokenType is the typ of an access token (RFC 9068 section 2.1): no other JWT passes for one.
const tokenType = "at+jwt"

// signAlg is what tokens are signed by: of what is in use, Ed25519 is checked fastest, and every process checks every token when it first
// sees it.
const signAlg = jose.EdDSA

// tokenAlgs are the algorithms a token can be signed by; which of them it must be is its key's. ES384 is that of earlier versions, whose
// keys are good until they expire.
var tokenAlgs = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES384}

var errUnknownKey = errors.New("token is signed with an unknown or expired key")

// keyring holds the server's signing keys as this process last read them.
type keyring struct {
	store Store
	now   func() time.Time

	mu     sync.Mutex
	keys   []ringKey // the newest first
	loaded time.Time
}

type ringKey struct {
	kid      string
	alg      jose.SignatureAlgorithm
	private  crypto.Signer
	created  time.Time
	notAfter time.Time
}

// signer returns the key to sign with: the newest that has been shown long enough, or the newest there is when no other
// outlives the token.
func (r *keyring) signer(ctx context.Context) (ringKey, error) {
	keys, err := r.current(ctx, ringReload)
	if err != nil {
		return ringKey{}, err
	}
	now := r.now()
	for _, key := range keys {
		if !key.created.After(now.Add(-keyShown)) && key.notAfter.After(now.Add(TokenLifetime)) {
			return key, nil
		}
	}
	return keys[0], nil
}

// public returns the key a token says it was signed with, of the algorithm it names. A kid that is not known is looked up in the store,
// since another process may have made it since. Returns errUnknownKey, or what went wrong with the store.
func (r *keyring) public(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	for _, maxAge := range []time.Duration{ringReload, ringRecheck} {
		keys, err := r.current(ctx, maxAge)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if key.kid == kid && string(key.alg) == alg && key.notAfter.After(r.now()) {
				return key.private.Public(), nil
			}
		}
	}
	return nil, errUnknownKey
}

// current returns the keys, read from the store again when they were read longer than maxAge ago. When there is none, or
// the newest has had its day, it makes one; of the processes that come to this at once, one does.
func (r *keyring) current(ctx context.Context, maxAge time.Duration) ([]ringKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if len(r.keys) > 0 && now.Sub(r.loaded) < maxAge {
		return r.keys, nil
	}
	keys, err := r.load(ctx, now)
	if err != nil {
		return nil, err
	}
	rotated := now.Add(-keyRotation)
	if len(keys) == 0 || !keys[0].created.After(rotated) {
		key, err := newSigningKey(now)
		if err != nil {
			return nil, err
		}
		if _, err := r.store.AddSigningKey(ctx, key, rotated); err != nil {
			return nil, err
		}
		if keys, err = r.load(ctx, now); err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, errors.New("the signing key just made is not there")
		}
	}
	r.keys, r.loaded = keys, now
	return keys, nil
}

func (r *keyring) load(ctx context.Context, now time.Time) ([]ringKey, error) {
	stored, err := r.store.SigningKeys(ctx, now)
	if err != nil {
		return nil, err
	}
	keys := make([]ringKey, 0, len(stored))
	for _, key := range stored {
		alg := jose.SignatureAlgorithm(key.Alg)
		if !slices.Contains(tokenAlgs, alg) {
			continue // of a later version, which runs beside this one while it takes its place
		}
		private, err := x509.ParsePKCS8PrivateKey(key.Private)
		if err != nil {
			return nil, fmt.Errorf("read signing key: %w", err)
		}
		signer, ok := private.(crypto.Signer)
		if !ok || !signsBy(signer, alg) {
			return nil, errors.New("signing key is not for its algorithm")
		}
		keys = append(keys, ringKey{kid: key.KID, alg: alg, private: signer, created: key.CreatedAt, notAfter: key.NotAfter})
	}
	return keys, nil
}

// signsBy reports whether a key is one for alg.
func signsBy(key crypto.Signer, alg jose.SignatureAlgorithm) bool {
	switch private := key.(type) {
	case ed25519.PrivateKey:
		return alg == jose.EdDSA
	case *ecdsa.PrivateKey:
		return alg == jose.ES384 && private.Curve == elliptic.P384()
	default:
		return false
	}
}

func newSigningKey(now time.Time) (models.SigningKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return models.SigningKey{}, fmt.Errorf("make signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return models.SigningKey{}, fmt.Errorf("make signing key: %w", err)
	}
	return models.SigningKey{
		KID: models.NewID(), Alg: string(signAlg), Private: der,
		CreatedAt: now.UTC(), NotAfter: now.Add(keyLife).UTC(),
	}, nil
}

// accessClaims are the claims of an access token (RFC 9068 section 2.2).
type accessClaims struct {
	Issuer   string           `json:"iss"`
	Subject  string           `json:"sub"`
	ClientID string           `json:"client_id"`
	Audience jwt.Audience     `json:"aud"`
	Scope    string           `json:"scope"`
	ID       string           `json:"jti"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	Expiry   *jwt.NumericDate `json:"exp"`
	// Generation is the client's when the token was issued. A client that is locked out gets to the next.
	Generation int64            `json:"gen,omitempty"`
	Extensions *tokenExtensions `json:"extensions,omitempty"`
}

// tokenExtensions are the extension objects that a token repeats (decision D-11).
type tokenExtensions struct {
	B2B *udap.B2B `json:"hl7-b2b,omitempty"`
}

// b2b is the hl7-b2b object of a token, nil when there is none.
func (c accessClaims) b2b() *udap.B2B {
	if c.Extensions == nil {
		return nil
	}
	return c.Extensions.B2B
}

// sign makes a token of claims.
func (k ringKey) sign(claims accessClaims) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: k.alg, Key: jose.JSONWebKey{Key: k.private, KeyID: k.kid}},
		(&jose.SignerOptions{}).WithType(tokenType))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}
