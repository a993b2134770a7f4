package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pdexbulk/api/udap"
	"pdexbulk/models"
	"pdexbulk/models/trail"
)

const (
	grantType     = "client_credentials"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// oauthError is an error answer of RFC 6749 section 5.2. Its text is fixed: it never holds what a caller sent.
type oauthError struct {
	status      int
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

func invalidRequest(description string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, Code: "invalid_request", Description: description}
}

// The other answers. errClient is the only one a client whose authentication failed ever sees. Its status is 400 and not
// 401: no HTTP authentication scheme could be named in the challenge that a 401 must carry.
var (
	errMethod = &oauthError{http.StatusMethodNotAllowed, "invalid_request", "use POST"}
	errGrant  = &oauthError{http.StatusBadRequest, "unsupported_grant_type", "use client_credentials"}
	errClient = &oauthError{http.StatusBadRequest, "invalid_client", "client authentication failed"}
	errB2B    = &oauthError{http.StatusBadRequest, "invalid_grant", "the hl7-b2b extension is missing or cannot be accepted"}
	errNoDeal = &oauthError{http.StatusBadRequest, "unauthorized_client", "the client may not have tokens"}
	errScope  = &oauthError{http.StatusBadRequest, "invalid_scope", "none of the scopes can be granted"}
	errBusy   = &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", "try again later"}
)

// More reasons for the log.
var (
	errReplay       = errors.New("assertion was used before")
	errNoClient     = errors.New("client is not registered")
	errInactive     = errors.New("client is not active")
	errNoKey        = errors.New("no single registered key fits the assertion")
	errForeignJKU   = errors.New("jku is not the registered URL")
	errSignature    = errors.New("signature does not verify")
	errOtherClient  = errors.New("client_id is not the assertion's")
	errStoreTrouble = errors.New("the store does not answer")
	errForeignCert  = errors.New("the certificate is not the client's")
	errNotUDAP      = errors.New("a client of one kind of registration authenticates in the way of the other")
)

// tokenAnswer is a successful answer (RFC 6749 section 5.1).
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// Token is the token endpoint: SMART Backend Services, "Obtain Access Token", and with udap=1 HL7 UDAP Security 1.1.0,
// "Business-to-Business". It takes a form-encoded POST with grant_type client_credentials, scope, client_assertion_type and
// client_assertion, and answers JSON in every case.
func (s *Server) Token(w http.ResponseWriter, r *http.Request) {
	answer, err := s.grant(r, w)
	s.answer(w, http.StatusOK, answer, err)
}

// answer sends a document, or the error when there is one.
func (s *Server) answer(w http.ResponseWriter, status int, document any, err *oauthError) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	if err == nil {
		writeJSON(w, status, document)
		return
	}
	switch err.status {
	case http.StatusMethodNotAllowed:
		if h.Get("Allow") == "" {
			h.Set("Allow", http.MethodPost)
		}
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="registration", error="invalid_token"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	writeJSON(w, err.status, err)
}

// writeJSON answers with a document. Marshalling the package's own types does not fail; a write that does has nobody left
// to tell.
func writeJSON(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (s *Server) grant(r *http.Request, w http.ResponseWriter) (*tokenAnswer, *oauthError) {
	form, refusal := s.readForm(w, r)
	if refusal != nil {
		return nil, refusal
	}
	switch {
	case form.Get("grant_type") == "":
		return nil, invalidRequest("grant_type is missing")
	case form.Get("grant_type") != grantType:
		return nil, errGrant
	}
	client, a, refusal := s.clientOf(r.Context(), form, s.TokenURL())
	if refusal != nil {
		return nil, refusal
	}
	asked := form.Get("scope")
	if len(asked) > maxScopeText {
		return nil, errScope
	}
	granted := ParseScopes(asked).Within(s.registeredScopes(client), s.types)
	if granted.Empty() {
		return nil, errScope
	}
	b2b, err := s.checkB2B(r.Context(), client, a)
	if err == nil {
		err = s.checkContract(r.Context(), client)
	}
	switch {
	case errors.Is(err, errStoreTrouble):
		return nil, s.busy(r.Context(), err)
	case errors.Is(err, errContract):
		s.log.InfoContext(r.Context(), "token refused", slog.String("client", client.ID), slog.Any("reason", err))
		return nil, errNoDeal
	case err != nil:
		s.log.InfoContext(r.Context(), "token refused", slog.String("client", client.ID), slog.Any("reason", err))
		return nil, errB2B
	}
	token, err := s.issue(r.Context(), client, granted, b2b)
	if err != nil {
		return nil, s.busy(r.Context(), err)
	}
	return &tokenAnswer{AccessToken: token, TokenType: "bearer", ExpiresIn: int(TokenLifetime / time.Second), Scope: granted.String()}, nil
}

// busy logs why a request could not be judged.
func (s *Server) busy(ctx context.Context, err error) *oauthError {
	s.log.ErrorContext(ctx, "an authorization request was not answered", slog.Any("error", err))
	return errBusy
}

// clientOf authenticates the client of a form. Its assertion's audience must be one of those given.
func (s *Server) clientOf(ctx context.Context, form url.Values, audiences ...string) (models.Client, *assertion, *oauthError) {
	switch {
	case form.Get("client_assertion_type") != assertionType:
		return models.Client{}, nil, invalidRequest("client_assertion_type is missing or not supported")
	case form.Get("client_assertion") == "":
		return models.Client{}, nil, invalidRequest("client_assertion is missing")
	case form.Has("client_secret"):
		return models.Client{}, nil, invalidRequest("more than one way of client authentication is used")
	case form.Has("udap") && (form.Get("udap") != "1" || s.cfg.UDAP == nil):
		return models.Client{}, nil, invalidRequest("udap is not supported, or not 1")
	}
	client, a, err := s.authenticateClient(ctx, form, audiences)
	note := trail.Of(ctx)
	note.Client = client.ID // a claim, as long as err is not nil
	if errors.Is(err, errStoreTrouble) {
		return client, nil, s.busy(ctx, err)
	}
	if err != nil {
		// client.ID is set once the assertion named a registered client; what else was sent is not repeated.
		s.log.InfoContext(ctx, "client authentication failed", slog.String("client", client.ID), slog.Any("reason", err))
		return client, nil, errClient
	}
	note.From(trail.ActorClient, client.ID)
	return client, a, nil
}

// registeredScopes is what a client may be granted: what it was given, and of that no more than it asked for when it
// registered itself.
func (s *Server) registeredScopes(c models.Client) Scopes {
	given := ParseScopes(strings.Join(c.Scopes, " "))
	if c.Origin == models.OriginAdmin || c.Origin == "" {
		return given
	}
	return ParseScopes(strings.Join(c.Requested, " ")).Within(given, s.types)
}

// readForm reads the body as a form whose parameters come once each. Nothing is taken from the query, and there must be
// no second way of authentication (RFC 6749 sections 2.3 and 3.2).
func (s *Server) readForm(w http.ResponseWriter, r *http.Request) (url.Values, *oauthError) {
	if r.Method != http.MethodPost {
		return nil, errMethod
	}
	if r.URL.RawQuery != "" {
		return nil, errQuery
	}
	if len(r.Header.Values("Authorization")) > 0 {
		return nil, invalidRequest("authenticate with a client assertion and no Authorization header")
	}
	body, refusal := readBody(w, r, "application/x-www-form-urlencoded", s.cfg.TokenBody)
	if refusal != nil {
		return nil, refusal
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalidRequest("the body is not a well-formed form")
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, invalidRequest("a parameter is given more than once")
		}
	}
	return form, nil
}

// errQuery refuses parameters in a query, where logs would keep them.
var errQuery = invalidRequest("parameters go into the body, not the query")

// readBody reads a body of one media type, not encoded, and of a bounded length.
func readBody(w http.ResponseWriter, r *http.Request, media string, limit int64) ([]byte, *oauthError) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != media || r.Header.Get("Content-Encoding") != "" {
		return nil, invalidRequest("the body must be " + media)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if _, tooBig := errors.AsType[*http.MaxBytesError](err); tooBig {
			return nil, &oauthError{http.StatusRequestEntityTooLarge, "invalid_request", fmt.Sprintf("the body is over the limit of %d bytes", limit)}
		}
		return nil, invalidRequest("the body cannot be read")
	}
	return body, nil
}

// authenticateClient finds out which client a request is from. The error says why nobody; with errStoreTrouble in it the
// request was not judged at all. The order matters: what needs no client comes first, and a client that is unknown goes
// through every step that costs time.
func (s *Server) authenticateClient(ctx context.Context, form url.Values, audiences []string) (models.Client, *assertion, error) {
	now := s.now()
	parse := parseAssertion
	if form.Has("udap") {
		parse = parseUDAPAssertion
	}
	a, err := parse(form.Get("client_assertion"), audiences, now)
	if err != nil {
		return models.Client{}, nil, err
	}
	if form.Has("client_id") && form.Get("client_id") != a.clientID {
		return models.Client{}, nil, errOtherClient
	}
	client, err := s.store.Client(ctx, a.clientID)
	known := err == nil
	switch {
	case models.KindOf(err) == models.KindNotFound:
		client = models.Client{JWKS: s.decoy.jwks}
	case err != nil:
		return models.Client{}, nil, errors.Join(errStoreTrouble, err)
	}
	if a.signed != nil {
		err = s.verifyUDAP(a, client, now)
	} else {
		err = s.verify(ctx, a, client)
	}
	switch {
	case !known:
		return client, nil, errNoClient
	case err != nil:
		return client, nil, err
	case !client.Active:
		return client, nil, errInactive
	}
	// Kept for as long as any process, with its own clock, could still take the assertion.
	fresh, err := s.store.UseAssertion(ctx, client.ID, a.jti, a.expires.Add(2*ClockSkew), now)
	if err != nil {
		return client, nil, errors.Join(errStoreTrouble, err)
	}
	if !fresh {
		return client, nil, errReplay
	}
	return client, a, nil
}

// verifyUDAP checks that the community that vouched for a client still does, for the certificate that the assertion is signed
// by, and that it is the client's.
func (s *Server) verifyUDAP(a *assertion, client models.Client, now time.Time) error {
	if client.Origin != models.OriginUDAP {
		_, _ = s.cfg.UDAP.Community(a.signed.Chain, now) // takes as long
		return errNotUDAP
	}
	err := s.cfg.UDAP.Verify(a.signed.Chain, client.Community, now)
	switch {
	case err != nil:
		return err
	case !a.signed.Chain.Names(client.Issuer):
		return errForeignCert
	}
	return nil
}

// verify checks an assertion's signature with the client's key. When there is no such key it checks it with the decoy's
// before it says so, to take as long.
func (s *Server) verify(ctx context.Context, a *assertion, client models.Client) error {
	key, err := s.clientKey(ctx, a, client)
	if err != nil {
		_ = a.verify(pick(s.decoy.keys, a.alg, ""))
		return err
	}
	if a.verify(key) != nil {
		return errSignature
	}
	return nil
}

func (s *Server) clientKey(ctx context.Context, a *assertion, client models.Client) (*jose.JSONWebKey, error) {
	// A jku can only confirm the registered URL; nothing is ever fetched from it.
	if a.hasJKU && (client.JWKSURL == "" || a.jku != client.JWKSURL) {
		return nil, errForeignJKU
	}
	if client.Origin == models.OriginUDAP {
		return nil, errNotUDAP
	}
	var key *jose.JSONWebKey
	if client.JWKSURL != "" {
		found, err := s.fetch.find(ctx, client.JWKSURL, a.alg, a.kid)
		if err != nil {
			return nil, err
		}
		key = found
	} else {
		keys, err := ParseJWKS(client.JWKS)
		if err != nil {
			return nil, err
		}
		key = pick(keys, a.alg, a.kid)
	}
	if key == nil {
		return nil, errNoKey
	}
	return key, nil
}

// issue signs a token for a client.
func (s *Server) issue(ctx context.Context, client models.Client, granted Scopes, b2b *udap.B2B) (string, error) {
	key, err := s.ring.signer(ctx)
	if err != nil {
		return "", err
	}
	now := s.now()
	claims := accessClaims{
		Issuer: s.cfg.PublicURL, Subject: client.ID, ClientID: client.ID, Audience: jwt.Audience{s.FHIRBase()},
		Scope: granted.String(), ID: models.NewID(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(TokenLifetime)),
		Generation: client.Generation,
	}
	if b2b != nil {
		claims.Extensions = &tokenExtensions{B2B: b2b}
	}
	return key.sign(claims)
}
