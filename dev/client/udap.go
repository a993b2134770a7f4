package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"pdexbulk/dev/pki"
)

// UDAP is how a client of a trust community proves who it is: by a certificate in place of a registered key (HL7 UDAP Security
// 1.1.0).
type UDAP struct {
	Identity *pki.Identity
	// B2B is the hl7-b2b object that goes with every token request.
	B2B map[string]any
}

// Assertion signs an authentication token for one token request ("Business-to-Business", "Authentication Token").
func (u *UDAP) Assertion(clientID, tokenURL string, now time.Time) (string, error) {
	return u.Identity.Sign(map[string]any{
		"iss": clientID, "sub": clientID, "aud": tokenURL, "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
		"jti": uuid.NewString(), "extensions": map[string]any{"hl7-b2b": u.B2B},
	})
}

// Statement is what a software statement says.
type Statement struct {
	// Issuer is a URI in the certificate.
	Issuer string
	Name   string
	Scope  string
	// Cancel gives the registration up.
	Cancel bool
}

// Claims are the claims of a software statement for a registration endpoint ("Registration", "Software Statement").
func (s Statement) Claims(endpoint string, now time.Time) map[string]any {
	grants := []string{"client_credentials"}
	if s.Cancel {
		grants = []string{}
	}
	return map[string]any{ //nolint:gosec // names a method of authentication, and holds no credential
		"iss": s.Issuer, "sub": s.Issuer, "aud": endpoint, "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(), "jti": uuid.NewString(),
		"client_name": s.Name, "contacts": []string{"mailto:operations@example.org"}, "grant_types": grants,
		"token_endpoint_auth_method": "private_key_jwt", "scope": s.Scope,
	}
}

// Register registers a client by a software statement and returns its client id. With an issuer that is registered it changes
// that registration, or cancels it.
func (u *UDAP) Register(ctx context.Context, endpoint string, s Statement, now time.Time) (clientID string, err error) {
	text, err := u.Identity.Sign(s.Claims(endpoint, now))
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]any{"software_statement": text, "certifications": []string{}, "udap": "1"})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("register: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return "", fmt.Errorf("register: %w", err)
	}
	var doc struct {
		ID    string `json:"client_id"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(answer, &doc); err != nil || resp.StatusCode >= http.StatusMultipleChoices || doc.ID == "" {
		return "", errors.New("register: " + resp.Status + " " + doc.Error)
	}
	return doc.ID, nil
}
