package udap

import (
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/pki"
)

const (
	base     = "https://pdex.example.org/fhir"
	audience = "https://pdex.example.org/auth/register"
	issuer   = "https://client.example.org/app"
	skew     = 30 * time.Second
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testBundle is a community of a root with an intermediate below, and a server in it.
type testBundle struct {
	root, sub *pki.Authority
	dir       string
	files     Files
}

func setup(t testing.TB) *testBundle {
	t.Helper()
	dir := t.TempDir()
	server, err := pki.NewServer(dir, base)
	require.NoError(t, err)
	sub, err := server.Root.Sub("Issuing authority", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	require.NoError(t, err)
	return &testBundle{server.Root, sub, dir, Files{
		Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server-key.pem"),
		Communities: []string{"urn:example:one=" + filepath.Join(dir, "anchors.pem")},
	}}
}

func (b *testBundle) open(t testing.TB) *Trust {
	t.Helper()
	trust, err := Open(b.files, base, testNow, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return trust
}

func (b *testBundle) write(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(b.dir, name)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

func (b *testBundle) client(t testing.TB) *pki.Identity {
	t.Helper()
	id, err := b.sub.Issue(pki.Request{Name: "client", URIs: []string{issuer}})
	require.NoError(t, err)
	return id
}

// chain reads the chain of an identity.
func chain(t testing.TB, id *pki.Identity) *Chain {
	t.Helper()
	raw, err := json.Marshal(id.X5C())
	require.NoError(t, err)
	c, err := ParseX5C(raw)
	require.NoError(t, err)
	return c
}

// claims are those of a software statement that is taken.
func claims(change func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": issuer, "sub": issuer, "aud": audience, "iat": testNow.Unix(), "exp": testNow.Add(4 * time.Minute).Unix(), "jti": "1",
		"client_name": "Example", "contacts": []string{"mailto:ops@client.example.org"}, "grant_types": []string{"client_credentials"},
		"token_endpoint_auth_method": "private_key_jwt", "scope": "system/*.rs",
	}
	if change != nil {
		change(c)
	}
	return c
}
