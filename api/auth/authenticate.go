package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pdexbulk/models"
)

// The two ways a request can be unauthorised. Both have KindUnauthorized.
var (
	ErrNoToken  = models.Errorf(models.KindUnauthorized, "an access token is needed: send it as Authorization: Bearer").At("Authorization")
	ErrBadToken = models.Errorf(models.KindUnauthorized, "the access token is not valid here, or no longer").At("Authorization")
)

// Challenge is the WWW-Authenticate header of a 401 answer (RFC 6750 section 3): without an error code for a request that
// came without a token, with invalid_token otherwise.
func Challenge(err error) string {
	if errors.Is(err, ErrBadToken) {
		return `Bearer realm="fhir", error="invalid_token"`
	}
	return `Bearer realm="fhir"`
}

// Authenticate finds out who sent a request by its bearer token (RFC 6750 section 2.1; tokens in the query or the body
// are not looked at). The first check of a token verifies its signature; further ones cost a hash and two look-ups in
// memory. The registration is read again when it was read more than ClientCacheTime ago, so what was taken away from a
// client is gone from its tokens.
//
// Returns KindUnauthorized (ErrNoToken, ErrBadToken) when nobody could be made out, KindUnavailable when the store did
// not answer.
func (s *Server) Authenticate(r *http.Request) (*Caller, error) {
	text, err := bearer(r.Header)
	if err != nil {
		return nil, err
	}
	now := s.now()
	hash := sha256.Sum256([]byte(text))
	token := s.tokens.get(hash)
	if token == nil {
		if token, err = s.readToken(r.Context(), text); err != nil {
			return nil, err
		}
		s.tokens.put(hash, token, now)
	}
	if !now.Before(token.expires) {
		return nil, ErrBadToken
	}
	client, err := s.clients.get(r.Context(), token.clientID, now)
	if models.KindOf(err) == models.KindNotFound {
		return nil, ErrBadToken
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if !client.Active {
		return nil, ErrBadToken
	}
	return token.callerFor(client, s.types), nil
}

func unavailable(err error) error {
	return models.Errorf(models.KindUnavailable, "tokens cannot be checked at the moment").Wait(5).Because(err)
}

// bearer takes the token out of the one Authorization header.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", ErrNoToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	switch {
	case len(values) > 1:
		return "", ErrBadToken
	case !strings.EqualFold(scheme, "Bearer"):
		return "", ErrNoToken
	case token == "" || len(token) > maxBearer || strings.ContainsAny(token, " \t"):
		return "", ErrBadToken
	}
	return token, nil
}

// readToken verifies a token that has not been seen before.
func (s *Server) readToken(ctx context.Context, text string) (*verifiedToken, error) {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES384})
	if err != nil || len(token.Headers) != 1 || token.Headers[0].ExtraHeaders["typ"] != tokenType {
		return nil, ErrBadToken
	}
	key, err := s.ring.public(ctx, token.Headers[0].KeyID)
	if errors.Is(err, errUnknownKey) {
		return nil, ErrBadToken
	}
	if err != nil {
		return nil, unavailable(err)
	}
	var claims accessClaims
	if err := token.Claims(key, &claims); err != nil {
		return nil, ErrBadToken
	}
	if claims.Issuer != s.cfg.PublicURL || len(claims.Audience) != 1 || claims.Audience[0] != s.FHIRBase() ||
		claims.Expiry == nil || claims.Subject != claims.ClientID {
		return nil, ErrBadToken
	}
	return &verifiedToken{clientID: claims.ClientID, scopes: ParseScopes(claims.Scope), expires: claims.Expiry.Time()}, nil
}

type tokenHash = [sha256.Size]byte

// verifiedToken is what a token that verified says. Its expiry and its client are judged anew on every use.
type verifiedToken struct {
	clientID string
	scopes   Scopes
	expires  time.Time
	caller   atomic.Pointer[callerOf]
}

// callerOf is the caller as of one version of the registration.
type callerOf struct {
	version time.Time
	caller  *Caller
}

// callerFor is the caller that the token makes of a client. What the registration no longer allows is left out.
func (t *verifiedToken) callerFor(client models.Client, served map[string]bool) *Caller {
	if last := t.caller.Load(); last != nil && last.version.Equal(client.UpdatedAt) {
		return last.caller
	}
	caller := newCaller(client, t.scopes.Within(registeredScopes(client), served))
	t.caller.Store(&callerOf{version: client.UpdatedAt, caller: caller})
	return caller
}

// tokenCache remembers verified tokens by their hash until they expire, a bounded number of them.
type tokenCache struct {
	mu      sync.RWMutex
	entries map[tokenHash]*verifiedToken
	limit   int
}

func (c *tokenCache) get(hash tokenHash) *verifiedToken {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[hash]
}

// put adds a token. A full cache first drops what has expired, then arbitrary tokens: those are only verified again.
func (c *tokenCache) put(hash tokenHash, token *verifiedToken, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= c.limit {
		for other, t := range c.entries {
			if !now.Before(t.expires) {
				delete(c.entries, other)
			}
		}
	}
	for other := range c.entries {
		if len(c.entries) < c.limit {
			break
		}
		delete(c.entries, other)
	}
	c.entries[hash] = token
}

// clientCache remembers registrations for ClientCacheTime. Only ids out of verified tokens are asked for, so it cannot
// grow beyond the number of clients.
type clientCache struct {
	store Store

	mu      sync.RWMutex
	entries map[string]cachedClient
}

type cachedClient struct {
	client models.Client
	read   time.Time
}

func (c *clientCache) get(ctx context.Context, id string, now time.Time) (models.Client, error) {
	c.mu.RLock()
	entry, ok := c.entries[id]
	c.mu.RUnlock()
	if ok && now.Sub(entry.read) < ClientCacheTime {
		return entry.client, nil
	}
	client, err := c.store.Client(ctx, id)
	if err != nil {
		return models.Client{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[id] = cachedClient{client: client, read: now}
	return client, nil
}
