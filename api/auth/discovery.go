package auth

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// discovery is the SMART configuration (https://hl7.org/fhir/smart-app-launch/conformance.html#using-well-known).
type discovery struct {
	Issuer           string   `json:"issuer"`
	KeysURL          string   `json:"jwks_uri"`
	TokenURL         string   `json:"token_endpoint"`
	RegisterURL      string   `json:"registration_endpoint"`
	IntrospectURL    string   `json:"introspection_endpoint"`
	RevokeURL        string   `json:"revocation_endpoint"`
	GrantTypes       []string `json:"grant_types_supported"`
	AuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	SigningAlgs      []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	Scopes           []string `json:"scopes_supported"`
	Capabilities     []string `json:"capabilities"`
	ChallengeMethods []string `json:"code_challenge_methods_supported"`
}

// Discovery serves the SMART configuration: application/json whatever the Accept header says, and without a token.
func (s *Server) Discovery(w http.ResponseWriter, r *http.Request) {
	if !readable(w, r) {
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, http.StatusOK, discovery{
		Issuer:        s.cfg.PublicURL,
		KeysURL:       s.cfg.PublicURL + KeysPath,
		TokenURL:      s.TokenURL(),
		RegisterURL:   s.RegisterURL(),
		IntrospectURL: s.cfg.PublicURL + IntrospectPath,
		RevokeURL:     s.cfg.PublicURL + RevokePath,
		GrantTypes:    []string{grantType},
		AuthMethods:   []string{"private_key_jwt"},
		SigningAlgs:   []string{string(jose.RS384), string(jose.ES384)},
		Scopes:        s.supportedScopes(),
		Capabilities:  []string{"client-confidential-asymmetric", "permission-v1", "permission-v2"},
		// The SMART table requires this field of every server, also of one without an authorization endpoint.
		ChallengeMethods: []string{"S256"},
	})
}

// supportedScopes are the scopes a client may ask for, in the v2 spelling, and the canonical URLs of operations.
func (s *Server) supportedScopes() []string {
	scopes := []string{"system/*.rs", "system/*.read"}
	for _, t := range s.cfg.ResourceTypes {
		scopes = append(scopes, "system/"+t+".rs")
	}
	return slices.Concat(scopes, []string{
		pdex + "OperationDefinition/BulkMemberMatch",
		pdex + "OperationDefinition/ProviderMemberMatch",
		atr + "member-add",
		atr + "member-remove",
	})
}

// Keys serves the public halves of the keys tokens are signed with (RFC 7517 section 5).
func (s *Server) Keys(w http.ResponseWriter, r *http.Request) {
	if !readable(w, r) {
		return
	}
	keys, err := s.ring.current(r.Context(), ringReload)
	if err != nil {
		s.log.ErrorContext(r.Context(), "signing keys not shown", slog.Any("error", err))
		w.Header().Set("Retry-After", "5")
		writeJSON(w, errBusy.status, errBusy)
		return
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range keys {
		if key.notAfter.After(s.now()) {
			set.Keys = append(set.Keys, jose.JSONWebKey{
				Key: key.private.Public(), KeyID: key.kid, Algorithm: string(key.alg), Use: "sig",
			})
		}
	}
	w.Header().Set("Cache-Control", "public, max-age=30")
	writeJSON(w, http.StatusOK, set)
}

// readable answers 405 to anything but GET and HEAD.
func readable(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	writeJSON(w, http.StatusMethodNotAllowed, &oauthError{Code: "invalid_request", Description: "use GET"})
	return false
}
