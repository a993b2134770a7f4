package models

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClientValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		bend  func(*Client)
		where string // "" when valid
	}{
		{"inline keys", func(*Client) {}, ""},
		{"keys by URL", func(c *Client) { c.JWKS, c.JWKSURL = nil, "https://client.example/jwks.json" }, ""},
		{"no id", func(c *Client) { c.ID = "" }, "id"},
		{"space in the id", func(c *Client) { c.ID = "a b" }, "id"},
		{"NUL in the id", func(c *Client) { c.ID = "a\x00b" }, "id"},
		{"letters beyond ASCII in the id", func(c *Client) { c.ID = "é" }, "id"},
		{"long id", func(c *Client) { c.ID = strings.Repeat("x", 256) }, "id"},
		{"no name", func(c *Client) { c.Name = "  " }, "name"},
		{"line break in the name", func(c *Client) { c.Name = "a\nb" }, "name"},
		{"broken UTF-8 in the name", func(c *Client) { c.Name = "a\xff" }, "name"},
		{"no kind", func(c *Client) { c.Kind = "" }, "kind"},
		{"unknown kind", func(c *Client) { c.Kind = "patient" }, "kind"},
		{"long organisation", func(c *Client) { c.Organization = strings.Repeat("x", 201) }, "organization"},
		{"identifier without system", func(c *Client) { c.OrganizationIDs = []string{"|1"} }, "organizationIds"},
		{"identifier without value", func(c *Client) { c.OrganizationIDs = []string{"urn:x|"} }, "organizationIds"},
		{"identifier without bar", func(c *Client) { c.OrganizationIDs = []string{"urn:x"} }, "organizationIds"},
		{"too many identifiers", func(c *Client) { c.OrganizationIDs = make([]string, 101) }, "organizationIds"},
		{"two scopes in one", func(c *Client) { c.Scopes = []string{"a b"} }, "scopes"},
		{"empty scope", func(c *Client) { c.Scopes = []string{""} }, "scopes"},
		{"too many scopes", func(c *Client) { c.Scopes = make([]string, 101) }, "scopes"},
		{"no keys", func(c *Client) { c.JWKS = nil }, "jwks"},
		{"keys twice", func(c *Client) { c.JWKSURL = "https://client.example/jwks.json" }, "jwks"},
		{"keys not JSON", func(c *Client) { c.JWKS = json.RawMessage("{") }, "jwks"},
		{"relative URL", func(c *Client) { c.JWKS, c.JWKSURL = nil, "/jwks.json" }, "jwksUrl"},
		{"file URL", func(c *Client) { c.JWKS, c.JWKSURL = nil, "file:///etc/passwd" }, "jwksUrl"},
		{"URL with a user", func(c *Client) { c.JWKS, c.JWKSURL = nil, "https://u:p@client.example/" }, "jwksUrl"},
		{"URL with a fragment", func(c *Client) { c.JWKS, c.JWKSURL = nil, "https://client.example/#k" }, "jwksUrl"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := Client{
				ID: "payer-b", Name: "Payer B", Kind: ClientPayer, JWKS: json.RawMessage(`{"keys":[]}`),
				OrganizationIDs: []string{"urn:oid:2.16.840.1.113883.4.4|12-3456789"}, Scopes: []string{"system/*.rs"},
			}
			tt.bend(&c)
			err := c.Validate()
			if tt.where == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, KindInvalid, KindOf(err))
			require.Equal(t, tt.where, err.(*Error).Where) //nolint:errorlint // Validate returns an *Error itself
		})
	}
}
