package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pdexbulk/models"
)

// The limits and lifetimes. Those the specifications set name the section.
const (
	// TokenLifetime is how long an access token lives: SMART Backend Services, "Issue Access Token", SHOULD NOT exceed
	// 300 seconds.
	TokenLifetime = 300 * time.Second
	// ClockSkew is how far a client's clock may be off.
	ClockSkew = 30 * time.Second
	// ClientCacheTime is how long a changed or deactivated registration can go unnoticed by token checks.
	ClientCacheTime = 5 * time.Second

	maxAssertionLife = 5 * time.Minute // SMART client-confidential-asymmetric, claim exp
	maxForm          = 64 << 10
	maxAssertion     = 16 << 10
	maxScopeText     = 8 << 10
	maxBearer        = 16 << 10
	maxTokens        = 10_000 // verified tokens remembered
)

// The paths the package serves, below Config.PublicURL.
const (
	TokenPath     = "/auth/token" //nolint:gosec // a path, no credential
	KeysPath      = "/auth/jwks"
	FHIRPath      = "/fhir"
	DiscoveryPath = FHIRPath + "/.well-known/smart-configuration"
)

// Store is what the package keeps: registrations, used assertions and the server's own keys. *store.Store is one.
type Store interface {
	// Client returns a registration, or an error of KindNotFound.
	Client(ctx context.Context, id string) (models.Client, error)
	// UseAssertion records an assertion and reports whether nobody had used it before.
	UseAssertion(ctx context.Context, clientID, jti string, expires, now time.Time) (fresh bool, err error)
	// SigningKeys returns the keys valid at now, the newest first.
	SigningKeys(ctx context.Context, now time.Time) ([]models.SigningKey, error)
	// AddSigningKey stores a key unless there is a valid one made after newerThan.
	AddSigningKey(ctx context.Context, key models.SigningKey, newerThan time.Time) (added bool, err error)
}

// Config says who the server is to its clients.
type Config struct {
	// PublicURL is the absolute URL clients reach the server under, without a trailing slash. It is the issuer of tokens;
	// with TokenPath it is the audience of assertions, with FHIRPath the audience of tokens.
	PublicURL string
	// ResourceTypes are the FHIR types that may be granted. A scope for any other type grants nothing.
	ResourceTypes []string
	// AllowInsecureJWKS lets clients publish their keys over plain http and at private addresses. For development.
	AllowInsecureJWKS bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log is told why an authentication failed; nil means slog.Default.
	Log *slog.Logger
}

// Validate returns what is wrong with a configuration, nil when it can be served.
func (c Config) Validate() error {
	u, err := url.Parse(c.PublicURL)
	switch {
	case err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "":
		return errors.New("the public URL must be absolute")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(c.PublicURL, "/"):
		return errors.New("the public URL must be without user, query, fragment and trailing slash")
	case len(c.ResourceTypes) == 0:
		return errors.New("no resource type can be granted")
	}
	return nil
}

// Server authenticates clients and their requests. It is safe for concurrent use.
type Server struct {
	cfg     Config
	store   Store
	now     func() time.Time
	log     *slog.Logger
	types   map[string]bool
	ring    *keyring
	fetch   *keyFetcher
	decoy   *decoy
	tokens  *tokenCache
	clients *clientCache
}

// New returns a server. The configuration must be valid (Config.Validate). It reads nothing and starts nothing: the
// first token or key request finds or makes the signing key.
func New(cfg Config, store Store) *Server {
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	log := cfg.Log
	if log == nil {
		log = slog.Default()
	}
	types := make(map[string]bool, len(cfg.ResourceTypes))
	for _, t := range cfg.ResourceTypes {
		types[t] = true
	}
	cfg.ResourceTypes = slices.Sorted(slices.Values(cfg.ResourceTypes))
	return &Server{
		cfg: cfg, store: store, now: now, log: log, types: types,
		ring:    &keyring{store: store, now: now},
		fetch:   newKeyFetcher(cfg.AllowInsecureJWKS, now),
		decoy:   newDecoy(),
		tokens:  &tokenCache{entries: map[tokenHash]*verifiedToken{}, limit: maxTokens},
		clients: &clientCache{store: store, entries: map[string]cachedClient{}},
	}
}

// TokenURL is where clients ask for tokens and the one audience an assertion may have.
func (s *Server) TokenURL() string { return s.cfg.PublicURL + TokenPath }

// FHIRBase is the FHIR base URL and the audience of every token.
func (s *Server) FHIRBase() string { return s.cfg.PublicURL + FHIRPath }

// Mount adds the package's routes to mux: the token endpoint, the server's keys and SMART discovery.
func (s *Server) Mount(mux *http.ServeMux) {
	mux.HandleFunc(TokenPath, s.Token)
	mux.HandleFunc(KeysPath, s.Keys)
	mux.HandleFunc(DiscoveryPath, s.Discovery)
}
