package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	stdjson "encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	// Refuses a member that is there twice, and matches names exactly.
	"github.com/go-jose/go-jose/v4/json"

	"pdexbulk/models"
	"pdexbulk/models/trail"
)

const (
	maxContacts = 20
	maxContact  = 512
)

// The answers of the registration endpoint (RFC 7591 section 3.2.2).
var (
	errRegToken = &oauthError{http.StatusUnauthorized, "invalid_token", "the token is not valid here"}
	errReadOnly = &oauthError{http.StatusMethodNotAllowed, "invalid_request", "use GET, PUT or DELETE"}
	errStale    = &oauthError{http.StatusConflict, "invalid_request", "the registration was changed at the same moment; try again"}
)

func invalidMetadata(description string) *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_client_metadata", description}
}

// clientMetadata is what a client says of itself (RFC 7591 section 2). What is not named here is ignored.
type clientMetadata struct {
	ClientID      string             `json:"client_id,omitempty"`
	Name          string             `json:"client_name,omitempty"`
	Contacts      []string           `json:"contacts,omitempty"`
	GrantTypes    []string           `json:"grant_types"`
	ResponseTypes []string           `json:"response_types,omitempty"`
	RedirectURIs  []string           `json:"redirect_uris,omitempty"`
	AuthMethod    string             `json:"token_endpoint_auth_method,omitempty"`
	Scope         string             `json:"scope,omitempty"`
	JWKS          stdjson.RawMessage `json:"jwks,omitempty"`
	JWKSURL       string             `json:"jwks_uri,omitempty"`

	// Of UDAP.
	Statement string `json:"software_statement,omitempty"`
}

// registrationAnswer is a registration as it stands (RFC 7591 section 3.2.1, RFC 7592 section 3).
type registrationAnswer struct {
	clientMetadata
	IssuedAt          int64  `json:"client_id_issued_at,omitempty"`
	RegistrationToken string `json:"registration_access_token,omitempty"`
	RegistrationURL   string `json:"registration_client_uri,omitempty"`
}

// Register is the registration endpoint. A body with a software statement is a registration by UDAP; any other is one of RFC 7591
// and needs an initial access token that an administrator has made.
func (s *Server) Register(w http.ResponseWriter, r *http.Request) {
	status, answer, err := s.register(w, r)
	if err != nil {
		s.answer(w, 0, nil, err)
		return
	}
	s.answer(w, status, answer, nil)
}

func (s *Server) register(w http.ResponseWriter, r *http.Request) (int, *registrationAnswer, *oauthError) {
	if r.Method != http.MethodPost {
		return 0, nil, errMethod
	}
	body, refusal := s.readJSON(w, r)
	if refusal != nil {
		return 0, nil, refusal
	}
	var kind map[string]stdjson.RawMessage
	if err := json.Unmarshal(body, &kind); err != nil || kind == nil {
		return 0, nil, invalidRequest("the body is not a JSON object, or has a member twice")
	}
	_, statement := kind["software_statement"]
	_, marked := kind["udap"]
	if statement || marked {
		if len(r.Header.Values("Authorization")) > 0 {
			return 0, nil, invalidRequest("a software statement is sent without an Authorization header")
		}
		return s.registerUDAP(r.Context(), kind)
	}
	answer, refusal := s.registerOAuth(r, body)
	return http.StatusCreated, answer, refusal
}

// readJSON reads a body that must be JSON of a bounded length.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request) ([]byte, *oauthError) {
	if r.URL.RawQuery != "" {
		return nil, errQuery
	}
	body, refusal := readBody(w, r, "application/json", s.cfg.RegistrationBody)
	if refusal != nil {
		return nil, refusal
	}
	if !shallow(body) {
		return nil, invalidRequest("the body is nested too deeply")
	}
	return body, nil
}

// shallow reports whether no more than a few brackets of a JSON text are open at once, so that reading it takes little stack.
func shallow(body []byte) bool {
	const maxDepth = 16
	depth, quoted, escaped := 0, false, false
	for _, b := range body {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = b == '\\', b != '"'
		case b == '"':
			quoted = true
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return true
}

// registerOAuth registers a client with an initial access token (RFC 7591 section 3.1). The client is what the token says.
func (s *Server) registerOAuth(r *http.Request, body []byte) (*registrationAnswer, *oauthError) {
	ctx := r.Context()
	presented, err := bearer(r.Header)
	if err != nil {
		return nil, errRegToken
	}
	initial, err := s.store.InitialToken(ctx, hashOf(presented), s.now())
	if models.KindOf(err) == models.KindNotFound {
		return nil, errRegToken
	}
	if err != nil {
		return nil, s.busy(ctx, err)
	}
	m, refusal := s.readMetadata(body)
	if refusal != nil {
		return nil, refusal
	}
	token := rand.Text() + rand.Text()
	client := models.Client{
		ID: models.NewID(), Kind: initial.Kind, Organization: initial.Organization, OrganizationIDs: initial.OrganizationIDs,
		Scopes: initial.Scopes, Active: true, Origin: models.OriginOAuth, RegistrationHash: hashOf(token),
	}
	if refusal := s.apply(m, &client); refusal != nil {
		return nil, refusal
	}
	ok, err := s.store.UseInitialToken(ctx, initial.ID, s.now())
	if err != nil {
		return nil, s.busy(ctx, err)
	}
	if !ok {
		return nil, errRegToken
	}
	stored, err := s.store.AddClient(ctx, client)
	if err != nil {
		return nil, s.busy(ctx, err)
	}
	noteRegistered(ctx, stored)
	trail.Of(ctx).Target = initial.ID
	s.log.InfoContext(ctx, "client registered", slog.String("client", stored.ID), slog.String("initial_token", initial.ID))
	return s.describe(stored, token), nil
}

// noteRegistered notes in the request's audit event which registration it is about, and that who sent it may speak for it.
func noteRegistered(ctx context.Context, c models.Client) {
	note := trail.Of(ctx)
	note.Client = c.ID
	note.From(trail.ActorClient, c.ID)
}

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// readMetadata reads what a client says of itself and checks what does not depend on the registration.
func (s *Server) readMetadata(body []byte) (clientMetadata, *oauthError) {
	var m clientMetadata
	if err := json.Unmarshal(body, &m); err != nil {
		return m, invalidMetadata("a member is not of its type")
	}
	switch {
	case len(m.RedirectURIs) > 0 || len(m.ResponseTypes) > 0:
		return m, invalidMetadata("redirect_uris and response_types do not go with client_credentials")
	case !slices.Equal(m.GrantTypes, []string{grantType}):
		return m, invalidMetadata("grant_types must be client_credentials alone")
	case m.AuthMethod != "private_key_jwt":
		return m, invalidMetadata("token_endpoint_auth_method must be private_key_jwt")
	case (len(m.JWKS) == 0) == (m.JWKSURL == ""):
		return m, invalidMetadata("give either jwks or jwks_uri")
	case len(m.JWKS) > 0 && CheckJWKS(m.JWKS) != nil:
		return m, invalidMetadata("jwks holds no usable public key, or a private one")
	case m.JWKSURL != "" && !strings.HasPrefix(m.JWKSURL, "https://") && !s.cfg.AllowInsecureJWKS:
		return m, invalidMetadata("jwks_uri must be an https URL")
	case len(m.Contacts) > maxContacts || slices.ContainsFunc(m.Contacts, func(c string) bool { return c == "" || len(c) > maxContact }):
		return m, invalidMetadata("contacts is too long")
	}
	return m, nil
}

// apply takes over what a client says of itself into its registration.
func (s *Server) apply(m clientMetadata, c *models.Client) *oauthError {
	c.Name, c.Contacts, c.JWKS, c.JWKSURL = m.Name, m.Contacts, m.JWKS, m.JWKSURL
	c.Requested = c.Scopes
	if m.Scope != "" {
		c.Requested = understood(m.Scope)
	}
	if s.registeredScopes(*c).Empty() {
		return invalidMetadata("none of the scopes can be granted")
	}
	if err := c.Validate(); err != nil {
		return invalidMetadata("client_name, scope, contacts or the keys are malformed or too long")
	}
	return nil
}

// understood are the scopes of a list that the server understands.
func understood(text string) []string {
	if len(text) > maxScopeText {
		return nil
	}
	return strings.Fields(ParseScopes(text).String())
}

// describe is a registration as its client is told of it.
func (s *Server) describe(c models.Client, token string) *registrationAnswer {
	return &registrationAnswer{
		clientMetadata: clientMetadata{
			ClientID: c.ID, Name: c.Name, Contacts: c.Contacts, GrantTypes: []string{grantType}, AuthMethod: "private_key_jwt",
			Scope: s.registeredScopes(c).String(), JWKS: c.JWKS, JWKSURL: c.JWKSURL,
		},
		IssuedAt: c.CreatedAt.Unix(), RegistrationToken: token, RegistrationURL: s.RegisterURL() + "/" + url.PathEscape(c.ID),
	}
}

// Registration is the client configuration endpoint (RFC 7592): a client that registered itself by RFC 7591 reads its
// registration, replaces its name, keys and scopes, or gives it up. Keys can be changed at any time: tokens live on.
func (s *Server) Registration(w http.ResponseWriter, r *http.Request) {
	answer, err := s.registration(w, r)
	if err != nil {
		if err.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, PUT, DELETE")
		}
		s.answer(w, 0, nil, err)
		return
	}
	if answer == nil {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.answer(w, http.StatusOK, answer, nil)
}

func (s *Server) registration(w http.ResponseWriter, r *http.Request) (*registrationAnswer, *oauthError) {
	if r.Method != http.MethodGet && r.Method != http.MethodPut && r.Method != http.MethodDelete {
		return nil, errReadOnly
	}
	ctx := r.Context()
	token, err := bearer(r.Header)
	if err != nil {
		return nil, errRegToken
	}
	client, err := s.store.Client(ctx, r.PathValue("id"))
	if err != nil && models.KindOf(err) != models.KindNotFound {
		return nil, s.busy(ctx, err)
	}
	trail.Of(ctx).Client = client.ID // a claim, until the token is looked at
	if client.RegistrationHash == nil {
		client.RegistrationHash = make([]byte, sha256.Size) // nothing hashes to it
	}
	if subtle.ConstantTimeCompare(client.RegistrationHash, hashOf(token)) != 1 || !client.Active {
		return nil, errRegToken
	}
	noteRegistered(ctx, client)
	switch r.Method {
	case http.MethodPut:
		return s.replaceRegistration(ctx, w, r, client, token)
	case http.MethodDelete:
		return nil, s.cancel(ctx, client)
	}
	return s.describe(client, token), nil
}

func (s *Server) replaceRegistration(ctx context.Context, w http.ResponseWriter, r *http.Request, client models.Client, token string) (*registrationAnswer, *oauthError) {
	body, refusal := s.readJSON(w, r)
	if refusal != nil {
		return nil, refusal
	}
	m, refusal := s.readMetadata(body)
	if refusal != nil {
		return nil, refusal
	}
	if m.ClientID != client.ID {
		return nil, invalidMetadata("client_id must be the registration's")
	}
	if refusal := s.apply(m, &client); refusal != nil {
		return nil, refusal
	}
	stored, refusal := s.change(ctx, client)
	if refusal != nil {
		return nil, refusal
	}
	return s.describe(stored, token), nil
}

// cancel ends a registration, and with it the client's tokens.
func (s *Server) cancel(ctx context.Context, client models.Client) *oauthError {
	now := s.now()
	client.Active, client.CancelledAt = false, &now
	_, refusal := s.change(ctx, client)
	if refusal == nil {
		s.log.InfoContext(ctx, "client gave up its registration", slog.String("client", client.ID))
	}
	return refusal
}

// change stores a changed registration and returns when every process knows.
func (s *Server) change(ctx context.Context, client models.Client) (models.Client, *oauthError) {
	stored, err := s.store.ChangeClient(ctx, client)
	if models.KindOf(err) == models.KindConflict {
		return stored, errStale
	}
	if err == nil {
		err = s.store.AwaitListeners(ctx)
	}
	if err != nil {
		return stored, s.busy(ctx, err)
	}
	return stored, nil
}
