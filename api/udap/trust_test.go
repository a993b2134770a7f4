package udap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/pki"
)

func TestChains(t *testing.T) {
	t.Parallel()
	b := setup(t)
	trust := b.open(t)
	other, err := pki.NewRoot("Another community")
	require.NoError(t, err)
	same, err := pki.NewRoot("Development community") // the name of ours, and another key
	require.NoError(t, err)
	issue := func(a *pki.Authority, key any, edit func(*x509.Certificate)) *Chain {
		r := pki.Request{Name: "client", URIs: []string{issuer}, Edit: edit}
		switch k := key.(type) {
		case *rsa.PrivateKey:
			r.Key = k
		case *ecdsa.PrivateKey:
			r.Key = k
		}
		id, err := a.Issue(r)
		require.NoError(t, err)
		return chain(t, id)
	}
	sub := func(a *pki.Authority, edit func(*x509.Certificate)) *pki.Authority {
		s, err := a.Sub("below", edit)
		require.NoError(t, err)
		return s
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024) // weak on purpose
	require.NoError(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	plainLeaf := issue(b.root, nil, nil)
	cut := issue(b.sub, nil, nil)
	cut.others = nil
	swapped := issue(b.sub, nil, nil)
	swapped.Leaf, swapped.others = swapped.others[0], []*x509.Certificate{swapped.Leaf}
	leafAsAuthority := func() *Chain {
		id, err := b.root.Issue(pki.Request{Name: "client", URIs: []string{"https://evil.example"}})
		require.NoError(t, err)
		forged, err := (&pki.Authority{Cert: id.Chain[0], Key: id.Key}).Issue(pki.Request{Name: "forged", URIs: []string{issuer}})
		require.NoError(t, err)
		c := chain(t, forged)
		c.others = append(c.others, id.Chain[0])
		return c
	}()

	tests := []struct {
		name  string
		chain *Chain
		want  error
	}{
		{"by an authority below the anchor", issue(b.sub, nil, nil), nil},
		{"by the anchor itself", plainLeaf, nil},
		{"with certificates nobody needs", &Chain{plainLeaf.Leaf, []*x509.Certificate{other.Cert, b.sub.Cert}}, nil},
		{"by an authority of another community", issue(other, nil, nil), errPath},
		{"by an authority of our anchor's name", issue(same, nil, nil), errPath},
		{"that brings its own anchor along", &Chain{issue(other, nil, nil).Leaf, []*x509.Certificate{other.Cert}}, errPath},
		{"with a certificate missing in between", cut, errPath},
		{"that begins with an authority", swapped, errLeaf},
		{"by a client's certificate that plays authority", leafAsAuthority, errPath},
		{"longer than the path length allows", issue(sub(b.sub, nil), nil, nil), errPath},
		{"self-signed", func() *Chain { return &Chain{Leaf: other.Cert} }(), errLeaf},
		{"that has expired", issue(b.sub, nil, func(c *x509.Certificate) { c.NotAfter = testNow.Add(-time.Second) }), errPath},
		{"that is not valid yet", issue(b.sub, nil, func(c *x509.Certificate) { c.NotBefore = testNow.Add(time.Minute) }), errPath},
		{"by an authority that has expired", issue(sub(b.root, func(c *x509.Certificate) { c.NotAfter = testNow.Add(-time.Second) }), nil, nil), errPath},
		{"by an authority that may not sign certificates", issue(sub(b.root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), nil, nil), errPath},
		{"by an authority that is none", issue(sub(b.root, func(c *x509.Certificate) { c.IsCA = false }), nil, nil), errPath},
		{"by an authority for other names", issue(sub(b.root, func(c *x509.Certificate) {
			c.PermittedURIDomains, c.PermittedDNSDomainsCritical = []string{"other.example.org"}, true
		}), nil, nil), errPath},
		{"without digitalSignature", issue(b.sub, nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), errLeaf},
		{"without key usage", issue(b.sub, nil, func(c *x509.Certificate) { c.KeyUsage = 0 }), errLeaf},
		{"of a CA", issue(b.sub, nil, func(c *x509.Certificate) { c.IsCA = true }), errLeaf},
		{"with a critical extension nobody knows", issue(b.sub, nil, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}), errPath},
		{"with an RSA key of 1024 bits", issue(b.sub, weak, nil), errLeaf},
		{"with a key on P-224", issue(b.sub, p224, nil), errLeaf},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name, err := trust.Community(tt.chain, testNow)
			require.ErrorIs(t, err, tt.want)
			require.ErrorIs(t, trust.Verify(tt.chain, "urn:example:one", testNow), tt.want)
			if tt.want == nil {
				require.Equal(t, "urn:example:one", name)
				require.ErrorIs(t, trust.Verify(tt.chain, "urn:example:two", testNow), errNoAnchor)
			}
		})
	}
	good := issue(b.sub, nil, func(c *x509.Certificate) { c.NotAfter = testNow.Add(time.Hour) })
	require.NoError(t, trust.Verify(good, "urn:example:one", testNow))
	require.ErrorIs(t, trust.Verify(good, "urn:example:one", testNow.Add(2*time.Hour)), errPath, "time passes")
}

func TestX5CRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cert := b.client(t).X5C()[0]
	list := func(texts ...string) string {
		raw, err := json.Marshal(texts)
		require.NoError(t, err)
		return string(raw)
	}
	many := strings.Split(strings.Repeat(cert+" ", maxChain+1), " ")[:maxChain+1]
	for name, raw := range map[string]string{
		"absent": "", "null": "null", "a string": `"` + cert + `"`, "empty": "[]", "numbers": "[1]", "an object": `{"0":"x"}`,
		"too many": list(many...), "line breaks": list(cert[:64] + "\n" + cert[64:]), "base64url": list(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(cert) + "-_"),
		"no certificate": list("aGVsbG8="), "cut off": list(cert[:len(cert)-8]), "too large": list(strings.Repeat("A", 3*maxCert)),
		"bytes behind": list(cert + "AAAA"), "a second one malformed": list(cert, "x"), "PEM": list("-----BEGIN CERTIFICATE-----"),
	} {
		_, err := ParseX5C(json.RawMessage(raw))
		require.ErrorIs(t, err, errX5C, name)
	}
	_, err := ParseX5C(json.RawMessage(list(cert)))
	require.NoError(t, err)
}

func TestNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := chain(t, b.client(t))
	require.True(t, c.Names(issuer))
	for _, other := range []string{"", issuer + "/", "https://client.example.org", "HTTPS://client.example.org/app", issuer + "?x", "http://client.example.org/app"} {
		require.False(t, c.Names(other), other)
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good, bad := b.client(t), b.client(t)
	list := func(a *pki.Authority, next time.Time, revoked ...*x509.Certificate) []byte {
		text, err := a.RevocationList(next, revoked...)
		require.NoError(t, err)
		return text
	}
	b.files.CRLs = []string{
		b.write(t, "sub.crl", list(b.sub, testNow.Add(time.Hour), bad.Chain[0])),
		b.write(t, "root.crl", list(b.root, testNow.Add(24*time.Hour))),
	}
	trust := b.open(t)
	verify := func(id *pki.Identity, at time.Time) error { return trust.Verify(chain(t, id), "urn:example:one", at) }
	require.NoError(t, verify(good, testNow))
	require.ErrorIs(t, verify(bad, testNow), errRevoked)
	_, err := trust.Community(chain(t, bad), testNow)
	require.ErrorIs(t, err, errRevoked)
	require.ErrorIs(t, verify(good, testNow.Add(time.Hour)), errRevoked, "the list is out of date")

	// A list that somebody else has signed for the issuer's name says nothing.
	other, err := pki.NewRoot("Issuing authority")
	require.NoError(t, err)
	b.write(t, "sub.crl", list(other, testNow.Add(time.Hour), good.Chain[0]))
	require.NoError(t, verify(good, testNow.Add(time.Minute)))

	// The root revokes the authority in between.
	b.write(t, "root.crl", list(b.root, testNow.Add(24*time.Hour), b.sub.Cert))
	require.ErrorIs(t, verify(good, testNow.Add(2*time.Minute)), errRevoked)

	require.NoError(t, os.Remove(filepath.Join(b.dir, "root.crl")))
	require.ErrorIs(t, verify(good, testNow.Add(3*time.Minute)), errNoAnchor, "without a list that was asked for nobody is vouched for")
}

func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	trust := b.open(t)
	c := chain(t, b.client(t))
	anchors, err := os.ReadFile(filepath.Join(b.dir, "anchors.pem"))
	require.NoError(t, err)
	verify := func(after time.Duration) error { return trust.Verify(c, "urn:example:one", testNow.Add(after)) }
	require.NoError(t, verify(0))

	other, err := pki.NewRoot("Another community")
	require.NoError(t, err)
	b.write(t, "anchors.pem", pki.PEM(other.Cert))
	require.NoError(t, verify(recheck-time.Second), "not looked at yet")
	require.ErrorIs(t, verify(recheck), errPath)
	b.write(t, "anchors.pem", append(pki.PEM(other.Cert), anchors...))
	require.NoError(t, verify(2*recheck))
	b.write(t, "anchors.pem", []byte("gone"))
	require.ErrorIs(t, verify(3*recheck), errNoAnchor, "a file that cannot be read vouches for nobody")
	require.NoError(t, os.Remove(filepath.Join(b.dir, "anchors.pem")))
	require.ErrorIs(t, verify(4*recheck), errNoAnchor)
	b.write(t, "anchors.pem", anchors)
	require.NoError(t, verify(5*recheck))
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	open := func(b *testBundle) error {
		_, err := Open(b.files, base, testNow, nil)
		return err
	}
	elsewhere, err := pki.NewServer(t.TempDir(), "https://other.example.org/fhir")
	require.NoError(t, err)
	tests := map[string]struct {
		change func(t *testing.T, b *testBundle)
		says   string
	}{
		"no key": {func(_ *testing.T, b *testBundle) { b.files.Key = "" }, "PDEX_UDAP_KEY_FILE"},
		"another's key": {func(_ *testing.T, b *testBundle) {
			b.files.Key = filepath.Join(elsewhere.Dir, "server-key.pem")
		}, "do not belong together"},
		"a certificate of another server": {func(_ *testing.T, b *testBundle) {
			b.files.Cert, b.files.Key = filepath.Join(elsewhere.Dir, "server.pem"), filepath.Join(elsewhere.Dir, "server-key.pem")
		}, "subject alternative names"},
		"an EC key": {func(t *testing.T, b *testBundle) {
			id, err := b.root.Issue(pki.Request{URIs: []string{base}})
			require.NoError(t, err)
			key, err := pki.KeyPEM(id.Key)
			require.NoError(t, err)
			b.files.Cert, b.files.Key = b.write(t, "ec.pem", pki.PEM(id.Chain...)), b.write(t, "ec-key.pem", key)
		}, "must be RSA"},
		"an expired certificate": {func(t *testing.T, b *testBundle) {
			key, err := pki.NewKey("RS256")
			require.NoError(t, err)
			id, err := b.root.Issue(pki.Request{URIs: []string{base}, Key: key, Edit: func(c *x509.Certificate) { c.NotAfter = testNow }})
			require.NoError(t, err)
			text, err := pki.KeyPEM(id.Key)
			require.NoError(t, err)
			b.files.Cert, b.files.Key = b.write(t, "old.pem", pki.PEM(id.Chain...)), b.write(t, "old-key.pem", text)
		}, "expired"},
		"no community": {func(_ *testing.T, b *testBundle) { b.files.Communities = nil }, "no trust community"},
		"a community twice": {func(_ *testing.T, b *testBundle) {
			b.files.Communities = append(b.files.Communities, b.files.Communities[0])
		}, "twice"},
		"an anchor that is no CA": {func(t *testing.T, b *testBundle) {
			b.files.Communities = []string{b.write(t, "leaf.pem", pki.PEM(b.client(t).Chain[0]))}
		}, "no CA's"},
		"no anchors":            {func(t *testing.T, b *testBundle) { b.files.Communities = []string{b.write(t, "empty.pem", nil)} }, "holds no CERTIFICATE"},
		"a list that is none":   {func(t *testing.T, b *testBundle) { b.files.CRLs = []string{b.write(t, "x.crl", pki.PEM(b.root.Cert))} }, "PDEX_UDAP_CRL_FILES"},
		"a list that is absent": {func(_ *testing.T, b *testBundle) { b.files.CRLs = []string{"/nonesuch"} }, "PDEX_UDAP_CRL_FILES"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			require.NoError(t, open(b))
			tt.change(t, b)
			require.ErrorContains(t, open(b), tt.says)
		})
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	b := setup(t)
	trust := b.open(t)
	endpoints := Endpoints{Token: "https://pdex.example.org/auth/token", Register: audience}
	text, err := trust.Metadata(endpoints, testNow)
	require.NoError(t, err)
	again, err := trust.Metadata(endpoints, testNow.Add(metadataFresh-time.Second))
	require.NoError(t, err)
	require.Equal(t, text, again)
	later, err := trust.Metadata(endpoints, testNow.Add(metadataFresh))
	require.NoError(t, err)
	require.NotEqual(t, text, later)

	// Verified as a client would, with the community's anchor.
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(b.root.Cert)
	chains, err := token.Headers[0].Certificates(x509.VerifyOptions{Roots: pool, CurrentTime: testNow, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	require.NoError(t, err)
	require.Equal(t, base, chains[0][0].URIs[0].String())
	var got map[string]any
	require.NoError(t, token.Claims(chains[0][0].PublicKey, &got))
	require.NotEmpty(t, got["jti"])
	delete(got, "jti")
	require.Equal(t, map[string]any{
		"iss": base, "sub": base, "iat": float64(testNow.Unix()), "exp": float64(testNow.Add(metadataLife).Unix()),
		"token_endpoint": endpoints.Token, "registration_endpoint": endpoints.Register,
	}, got)

	// A certificate that cannot be read any more goes on as long as it is valid, but no longer.
	b.write(t, "server.pem", nil)
	_, err = trust.Metadata(endpoints, testNow.Add(2*time.Hour))
	require.NoError(t, err)
	_, err = trust.Metadata(endpoints, time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC))
	require.ErrorIs(t, err, errNoIdentity)
}
