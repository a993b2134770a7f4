package auth

import (
	"context"
	"errors"
	"net/http"

	"pdexbulk/models"
)

// introspection is an answer of RFC 7662 section 2.2. Of a token that does not count nothing but that is told.
type introspection struct {
	Active     bool             `json:"active"`
	Scope      string           `json:"scope,omitempty"`
	ClientID   string           `json:"client_id,omitempty"`
	Subject    string           `json:"sub,omitempty"`
	TokenType  string           `json:"token_type,omitempty"`
	Issuer     string           `json:"iss,omitempty"`
	Audience   string           `json:"aud,omitempty"`
	ID         string           `json:"jti,omitempty"`
	IssuedAt   int64            `json:"iat,omitempty"`
	Expiry     int64            `json:"exp,omitempty"`
	Extensions *tokenExtensions `json:"extensions,omitempty"`
}

// Introspect tells a client about a token of its own (RFC 7662). The client authenticates as at the token endpoint; the
// audience of its assertion is the token URL or this one. Another client's token is as unknown as one that never was.
func (s *Server) Introspect(w http.ResponseWriter, r *http.Request) {
	answer, err := s.introspect(w, r)
	s.answer(w, http.StatusOK, answer, err)
}

func (s *Server) introspect(w http.ResponseWriter, r *http.Request) (*introspection, *oauthError) {
	client, text, refusal := s.tokenForm(w, r, IntrospectPath)
	if refusal != nil {
		return nil, refusal
	}
	token, err := s.ownToken(r.Context(), client, text)
	if err == nil {
		_, err = s.live(r.Context(), token, s.now())
	}
	if models.KindOf(err) == models.KindUnauthorized {
		return &introspection{}, nil
	}
	if err != nil {
		return nil, s.busy(r.Context(), err)
	}
	answer := &introspection{
		Active: true, Scope: token.scopes.Within(s.registeredScopes(client), s.types).String(), ClientID: client.ID, Subject: client.ID,
		TokenType: "bearer", Issuer: s.cfg.PublicURL, Audience: s.FHIRBase(), ID: token.id,
		IssuedAt: token.issued.Unix(), Expiry: token.expires.Unix(),
	}
	if token.b2b != nil {
		answer.Extensions = &tokenExtensions{B2B: token.b2b}
	}
	return answer, nil
}

// Revoke makes a token of the client's void (RFC 7009). When it has answered, every process refuses the token. A token that is
// not known, or void already, is a success (section 2.2); another client's is left alone and answered the same way, since it
// would have to be known to be refused.
func (s *Server) Revoke(w http.ResponseWriter, r *http.Request) {
	client, text, refusal := s.tokenForm(w, r, RevokePath)
	if refusal == nil {
		refusal = s.revoke(r.Context(), client, text)
	}
	s.answer(w, http.StatusOK, struct{}{}, refusal)
}

func (s *Server) revoke(ctx context.Context, client models.Client, text string) *oauthError {
	token, err := s.ownToken(ctx, client, text)
	if errors.Is(err, ErrBadToken) {
		return nil
	}
	if err != nil {
		return s.busy(ctx, err)
	}
	// Kept for as long as any process, with its own clock, could still take it.
	if err := s.store.RevokeToken(ctx, token.id, token.expires.Add(2*ClockSkew)); err != nil {
		return s.busy(ctx, err)
	}
	if err := s.store.AwaitListeners(ctx); err != nil {
		return s.busy(ctx, err)
	}
	return nil
}

// tokenForm reads a request about a token and finds out which client it is from.
func (s *Server) tokenForm(w http.ResponseWriter, r *http.Request, path string) (models.Client, string, *oauthError) {
	form, refusal := s.readForm(w, r)
	if refusal != nil {
		return models.Client{}, "", refusal
	}
	if form.Get("token") == "" {
		return models.Client{}, "", invalidRequest("token is missing")
	}
	client, _, refusal := s.clientOf(r.Context(), form, s.TokenURL(), s.cfg.PublicURL+path)
	return client, form.Get("token"), refusal
}

// ownToken reads a token of a client's, live or not. Returns ErrBadToken or KindUnavailable.
func (s *Server) ownToken(ctx context.Context, client models.Client, text string) (*verifiedToken, error) {
	if len(text) > maxBearer {
		return nil, ErrBadToken
	}
	token, err := s.readToken(ctx, text)
	if err != nil {
		return nil, err
	}
	if token.clientID != client.ID {
		return nil, ErrBadToken
	}
	return token, nil
}
