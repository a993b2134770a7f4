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

	"github.com/go-jose/go-jose/v4/jwt"

	"pdexbulk/api/udap"
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
// are not looked at). The first check of a token verifies its signature; further ones cost a hash and look-ups in memory, as
// long as Watch tells what was revoked or changed elsewhere. While it does not, revocation and registration are read from the
// store for every request. What was taken away from a client is gone from its tokens either way.
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
	client, err := s.live(r.Context(), token, now)
	if err != nil {
		return nil, err
	}
	return s.callerFor(token, client), nil
}

// live returns the client of a verified token that still counts: not expired, not revoked, of an active client and of its
// present generation. Returns ErrBadToken or KindUnavailable.
func (s *Server) live(ctx context.Context, token *verifiedToken, now time.Time) (models.Client, error) {
	if !now.Before(token.expires) {
		return models.Client{}, ErrBadToken
	}
	revoked, watched := s.feed.revoked(token.id)
	if !watched {
		var err error
		if revoked, err = s.store.TokenRevoked(ctx, token.id); err != nil {
			return models.Client{}, unavailable(err)
		}
	}
	if revoked {
		return models.Client{}, ErrBadToken
	}
	client, err := s.clients.get(ctx, token.clientID, now, watched)
	if models.KindOf(err) == models.KindNotFound {
		return models.Client{}, ErrBadToken
	}
	if err != nil {
		return models.Client{}, unavailable(err)
	}
	if !client.Active || client.Generation != token.generation {
		return models.Client{}, ErrBadToken
	}
	return client, nil
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
	token, err := jwt.ParseSigned(text, tokenAlgs)
	if err != nil || len(token.Headers) != 1 || token.Headers[0].ExtraHeaders["typ"] != tokenType {
		return nil, ErrBadToken
	}
	key, err := s.ring.public(ctx, token.Headers[0].KeyID, token.Headers[0].Algorithm)
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
		claims.Expiry == nil || claims.IssuedAt == nil || claims.Subject != claims.ClientID || claims.ID == "" {
		return nil, ErrBadToken
	}
	return &verifiedToken{
		id: claims.ID, clientID: claims.ClientID, generation: claims.Generation, scopes: ParseScopes(claims.Scope), b2b: claims.b2b(),
		issued: claims.IssuedAt.Time(), expires: claims.Expiry.Time(),
	}, nil
}

type tokenHash = [sha256.Size]byte

// verifiedToken is what a token that verified says. Its expiry and its client are judged anew on every use.
type verifiedToken struct {
	id         string // jti
	clientID   string
	generation int64
	scopes     Scopes
	b2b        *udap.B2B
	issued     time.Time
	expires    time.Time
	caller     atomic.Pointer[callerOf]
}

// callerOf is the caller as of one version of the registration.
type callerOf struct {
	version time.Time
	caller  *Caller
}

// callerFor is the caller that a token makes of a client. What the registration no longer allows is left out.
func (s *Server) callerFor(t *verifiedToken, client models.Client) *Caller {
	if last := t.caller.Load(); last != nil && last.version.Equal(client.UpdatedAt) {
		return last.caller
	}
	caller := newCaller(client, t.scopes.Within(s.registeredScopes(client), s.types), t.b2b)
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

// clientCache remembers registrations for ClientCacheTime, or until the feed says that one has changed. Only ids out of
// verified tokens are asked for, so it cannot grow beyond the number of clients.
type clientCache struct {
	store Store

	mu      sync.RWMutex
	entries map[string]cachedClient
	changes uint64 // how often something was forgotten
}

type cachedClient struct {
	client models.Client
	read   time.Time
}

// get returns a registration: from memory when it may be believed, that is while the feed is watched.
func (c *clientCache) get(ctx context.Context, id string, now time.Time, watched bool) (models.Client, error) {
	c.mu.RLock()
	entry, ok := c.entries[id]
	changes := c.changes
	c.mu.RUnlock()
	if ok && watched && now.Sub(entry.read) < ClientCacheTime {
		return entry.client, nil
	}
	client, err := c.store.Client(ctx, id)
	if err != nil {
		return models.Client{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if watched && c.changes == changes { // else it may have been read before it changed
		c.entries[id] = cachedClient{client: client, read: now}
	}
	return client, nil
}

// forget drops registrations that have changed.
func (c *clientCache) forget(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	for _, id := range ids {
		delete(c.entries, id)
	}
}

// forgetAll drops every registration.
func (c *clientCache) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	clear(c.entries)
}
