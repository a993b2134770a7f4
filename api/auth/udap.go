package auth

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"pdexbulk/api/udap"
	"pdexbulk/models"
)

// The refusals of a software statement (RFC 7591 section 3.2.2; udap.org, UDAP Dynamic Client Registration, section 5).
var (
	errStatement  = &oauthError{http.StatusBadRequest, "invalid_software_statement", "the software statement is not valid"}
	errUnapproved = &oauthError{http.StatusBadRequest, "unapproved_software_statement", "no trust community vouches for the software statement"}
	errNoUDAP     = &oauthError{http.StatusBadRequest, "unapproved_software_statement", "software statements are not taken here"}
)

// udapDiscovery are the UDAP metadata (HL7 UDAP Security 1.1.0, "Required UDAP Metadata").
type udapDiscovery struct {
	Versions               []string `json:"udap_versions_supported"`
	Profiles               []string `json:"udap_profiles_supported"`
	Extensions             []string `json:"udap_authorization_extensions_supported"`
	ExtensionsRequired     []string `json:"udap_authorization_extensions_required"`
	Certifications         []string `json:"udap_certifications_supported"`
	CertificationsRequired []string `json:"udap_certifications_required"`
	GrantTypes             []string `json:"grant_types_supported"`
	Scopes                 []string `json:"scopes_supported"`
	udap.Endpoints
	AuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	SigningAlgs      []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	RegistrationAlgs []string `json:"registration_endpoint_jwt_signing_alg_values_supported"`
	SignedMetadata   string   `json:"signed_metadata"`
}

// UDAPDiscovery serves the UDAP metadata, without a token: 404 when UDAP is off, and 204 for a community that the server is not
// in.
func (s *Server) UDAPDiscovery(w http.ResponseWriter, r *http.Request) {
	if !readable(w, r) {
		return
	}
	if s.cfg.UDAP == nil {
		writeJSON(w, http.StatusNotFound, &oauthError{Code: "not_found", Description: "this server does not do UDAP"})
		return
	}
	if !s.cfg.UDAP.Knows(r.URL.Query().Get("community"), s.now()) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	endpoints := udap.Endpoints{Token: s.TokenURL(), Register: s.RegisterURL()}
	signed, err := s.cfg.UDAP.Metadata(endpoints, s.now())
	if err != nil {
		s.log.ErrorContext(r.Context(), "UDAP metadata not shown", slog.Any("error", err))
		s.answer(w, 0, nil, errBusy)
		return
	}
	algs := make([]string, len(udap.Algs))
	for i, alg := range udap.Algs {
		algs[i] = string(alg)
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, http.StatusOK, udapDiscovery{
		Versions:               []string{"1"},
		Profiles:               []string{"udap_dcr", "udap_authn", "udap_authz"},
		Extensions:             []string{udap.B2BName},
		ExtensionsRequired:     []string{udap.B2BName},
		Certifications:         []string{},
		CertificationsRequired: []string{},
		GrantTypes:             []string{grantType},
		Scopes:                 s.supportedScopes(),
		Endpoints:              endpoints,
		AuthMethods:            []string{"private_key_jwt"},
		SigningAlgs:            algs,
		RegistrationAlgs:       algs,
		SignedMetadata:         signed,
	})
}

// statementUser is under which name the jti of software statements are kept: that of their issuer, behind what no client id
// begins with.
func statementUser(issuer string) string { return "\n" + issuer }

// registerUDAP registers a client by its software statement, changes the registration that the statement's issuer has in the
// community, or ends it (HL7 UDAP Security 1.1.0, "Registration"). A certificate says who somebody is and not what they may
// have: a new client is pending, and can do nothing, until an administrator has said what it is.
func (s *Server) registerUDAP(ctx context.Context, body map[string]stdjson.RawMessage) (int, *registrationAnswer, *oauthError) {
	if s.cfg.UDAP == nil {
		return 0, nil, errNoUDAP
	}
	var version, text string
	if stdjson.Unmarshal(body["udap"], &version) != nil || version != "1" {
		return 0, nil, invalidMetadata(`udap must be "1"`)
	}
	// None is needed, so none is looked into.
	var certifications []string
	if raw, ok := body["certifications"]; ok && stdjson.Unmarshal(raw, &certifications) != nil {
		return 0, nil, invalidMetadata("certifications must be a list of strings")
	}
	if stdjson.Unmarshal(body["software_statement"], &text) != nil || text == "" {
		return 0, nil, errStatement
	}
	now := s.now()
	statement, err := udap.ParseStatement(text, s.RegisterURL(), now, ClockSkew)
	if statement == nil {
		s.log.InfoContext(ctx, "software statement refused", slog.Any("reason", err))
		if errors.Is(err, udap.ErrMetadata) {
			return 0, nil, invalidMetadata("the software statement lacks client metadata, or they are not acceptable")
		}
		return 0, nil, errStatement
	}
	community, err := s.cfg.UDAP.Community(statement.Chain, now)
	if err != nil {
		s.log.InfoContext(ctx, "software statement refused", slog.Any("reason", err))
		return 0, nil, errUnapproved
	}
	fresh, err := s.store.UseAssertion(ctx, statementUser(statement.Issuer), statement.JTI, statement.Expires.Add(2*ClockSkew), now)
	if err != nil {
		return 0, nil, s.busy(ctx, err)
	}
	if !fresh {
		return 0, nil, errStatement
	}
	status, client, refusal := s.settleUDAP(ctx, statement, community)
	if client.ID != "" {
		noteRegistered(ctx, client)
	}
	if refusal != nil {
		return 0, nil, refusal
	}
	answer := &registrationAnswer{clientMetadata: clientMetadata{
		ClientID: client.ID, Name: client.Name, Contacts: client.Contacts, GrantTypes: []string{grantType},
		AuthMethod: "private_key_jwt", Scope: statement.Scope, Statement: text,
	}}
	if statement.Cancel {
		answer.GrantTypes = []string{}
	} else {
		answer.Scope = ParseScopes(statement.Scope).String()
	}
	return status, answer, nil
}

// settleUDAP brings the registrations to what a statement says, and returns the client with the status of the answer.
func (s *Server) settleUDAP(ctx context.Context, statement *udap.Statement, community string) (int, models.Client, *oauthError) {
	client, err := s.store.UDAPClient(ctx, statement.Issuer, community)
	known := err == nil
	if err != nil && models.KindOf(err) != models.KindNotFound {
		return 0, client, s.busy(ctx, err)
	}
	if statement.Cancel {
		if !known {
			return 0, client, invalidMetadata("there is no registration to cancel")
		}
		return http.StatusOK, client, s.cancel(ctx, client)
	}
	requested := understood(statement.Scope)
	if len(requested) == 0 {
		return 0, client, invalidMetadata("none of the scopes can be granted")
	}
	if known {
		// The administrators know the client by the name it had when they looked at it.
		if client.Kind == models.ClientPending {
			client.Name = statement.Name
		}
		client.Contacts, client.Requested = statement.Contacts, requested
		if client.Validate() != nil {
			return 0, client, invalidMetadata("the client metadata are too long")
		}
		client, refusal := s.change(ctx, client)
		return http.StatusOK, client, refusal
	}
	client = models.Client{
		ID: models.NewID(), Name: statement.Name, Kind: models.ClientPending, Origin: models.OriginUDAP, Issuer: statement.Issuer,
		Community: community, Contacts: statement.Contacts, Requested: requested,
	}
	if client.Validate() != nil {
		return 0, client, invalidMetadata("the client metadata are too long")
	}
	client, err = s.store.AddClient(ctx, client)
	if models.KindOf(err) == models.KindConflict {
		return 0, client, errStale
	}
	if err != nil {
		return 0, client, s.busy(ctx, err)
	}
	s.log.InfoContext(ctx, "client registered by UDAP and waits for an administrator", slog.String("client", client.ID))
	return http.StatusCreated, client, nil
}
