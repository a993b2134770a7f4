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

	"pdexbulk/api/udap"
	"pdexbulk/models"
	"pdexbulk/models/store"
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

	// DefaultTokenBody and DefaultRegistrationBody are limits that well-meant requests stay far below, certificate chains included.
	DefaultTokenBody        = 64 << 10
	DefaultRegistrationBody = 512 << 10

	maxAssertionLife = 5 * time.Minute // SMART client-confidential-asymmetric, claim exp
	maxAssertion     = 16 << 10
	maxScopeText     = 8 << 10
	maxBearer        = 16 << 10
	maxTokens        = 10_000 // verified tokens remembered
)

// The paths the package serves, below Config.PublicURL.
const (
	TokenPath         = "/auth/token" //nolint:gosec // a path, no credential
	IntrospectPath    = "/auth/introspect"
	RevokePath        = "/auth/revoke"
	RegisterPath      = "/auth/register"
	KeysPath          = "/auth/jwks"
	FHIRPath          = "/fhir"
	DiscoveryPath     = FHIRPath + "/.well-known/smart-configuration"
	UDAPDiscoveryPath = FHIRPath + "/.well-known/udap"
)

// NPICheck says how much a provider must be known for a token to be issued on its behalf.
type NPICheck string

// How providers are checked. Each asks for all that the one before does.
const (
	NPIOff      NPICheck = "off"      // the check digit
	NPIKnown    NPICheck = "known"    // in the provider directory, and active
	NPINetwork  NPICheck = "network"  // in network
	NPIRequired NPICheck = "required" // and provider clients must name one, or a Group
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

	// RevokeToken voids a token for good, TokenRevoked reports whether one was, AwaitListeners returns when every process knows.
	RevokeToken(ctx context.Context, tokenID string, expires time.Time) error
	TokenRevoked(ctx context.Context, tokenID string) (bool, error)
	AwaitListeners(ctx context.Context) error
	// Listen opens what Watch reads.
	Listen(ctx context.Context) (*store.Listener, error)
	// PurgeAuth drops what no longer matters.
	PurgeAuth(ctx context.Context, now time.Time) error

	// AddClient registers a client; KindConflict when there is one of its id or issuer.
	AddClient(ctx context.Context, c models.Client) (models.Client, error)
	// ChangeClient replaces a registration as it was read; KindConflict when it has changed since.
	ChangeClient(ctx context.Context, c models.Client) (models.Client, error)
	// UDAPClient returns the client of an issuer in a community, or an error of KindNotFound.
	UDAPClient(ctx context.Context, issuer, community string) (models.Client, error)
	// InitialToken returns an initial access token that is good, or an error of KindNotFound. UseInitialToken counts a use of it.
	InitialToken(ctx context.Context, hash []byte, now time.Time) (models.InitialToken, error)
	UseInitialToken(ctx context.Context, id string, now time.Time) (bool, error)

	// Provider returns an entry of the provider directory, OwnGroup a Group of a client's, or an error of KindNotFound.
	Provider(ctx context.Context, npi string) (models.Provider, error)
	OwnGroup(ctx context.Context, clientID, id string) (*store.Group, error)
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
	// UDAP is whom UDAP clients are vouched for by; nil turns UDAP off.
	UDAP *udap.Trust
	// TokenBody and RegistrationBody bound what is sent to get a token, or to ask about one, and to register, in bytes; 0 means
	// DefaultTokenBody and DefaultRegistrationBody.
	TokenBody, RegistrationBody int64
	// Purposes are the v3-PurposeOfUse codes that hl7-b2b may name; nil means DefaultPurposes.
	Purposes []string
	// NPICheck is how providers are checked; "" means NPINetwork.
	NPICheck NPICheck
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
	case !slices.Contains([]NPICheck{"", NPIOff, NPIKnown, NPINetwork, NPIRequired}, c.NPICheck):
		return errors.New("the check of providers is none of off, known, network and required")
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
	feed    *feed
}

// New returns a server. The configuration must be valid (Config.Validate). It reads nothing and starts nothing: the
// first token or key request finds or makes the signing key, and Watch is for the caller to run.
func New(cfg Config, store Store) *Server {
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	log := cfg.Log
	if log == nil {
		log = slog.Default()
	}
	if cfg.Purposes == nil {
		cfg.Purposes = DefaultPurposes
	}
	if cfg.TokenBody == 0 {
		cfg.TokenBody = DefaultTokenBody
	}
	if cfg.RegistrationBody == 0 {
		cfg.RegistrationBody = DefaultRegistrationBody
	}
	if cfg.NPICheck == "" {
		cfg.NPICheck = NPINetwork
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
		feed:    &feed{began: time.Now(), tokens: map[string]time.Time{}},
	}
}

// TokenURL is where clients ask for tokens and the one audience an assertion may have.
func (s *Server) TokenURL() string { return s.cfg.PublicURL + TokenPath }

// FHIRBase is the FHIR base URL and the audience of every token.
func (s *Server) FHIRBase() string { return s.cfg.PublicURL + FHIRPath }

// RegisterURL is where clients register, and the one audience a software statement may have.
func (s *Server) RegisterURL() string { return s.cfg.PublicURL + RegisterPath }

// Mount adds the package's routes to mux: tokens, registration, the server's keys and discovery.
func (s *Server) Mount(mux *http.ServeMux) {
	mux.HandleFunc(TokenPath, s.Token)
	mux.HandleFunc(IntrospectPath, s.Introspect)
	mux.HandleFunc(RevokePath, s.Revoke)
	mux.HandleFunc(RegisterPath, s.Register)
	mux.HandleFunc(RegisterPath+"/{id}", s.Registration)
	mux.HandleFunc(UDAPDiscoveryPath, s.UDAPDiscovery)
	mux.HandleFunc(KeysPath, s.Keys)
	mux.HandleFunc(DiscoveryPath, s.Discovery)
}
