package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{
		ID: "payer", Name: "Payer B bulk client", JWKS: jwks(t, ecKey().public()), Active: true,
		Organization: "Payer B", OrganizationIDs: []string{"urn:oid:2.16.840.1.113883.4.4|12-3456789"}, ValueBased: true,
	})
	good := b.token(t, b.server, ecKey(), "system/*.rs").AccessToken
	key, err := b.server.ring.signer(t.Context())
	require.NoError(t, err)
	_, otherToken, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	foreign := ringKey{kid: key.kid, alg: signAlg, private: otherToken}
	claims := func(bend func(*accessClaims)) accessClaims {
		c := accessClaims{
			Issuer: publicURL, Subject: "payer", ClientID: "payer", Audience: jwt.Audience{publicURL + FHIRPath}, Scope: "system/*.rs",
			ID: models.NewID(), IssuedAt: jwt.NewNumericDate(testStart), Expiry: jwt.NewNumericDate(testStart.Add(time.Minute)),
		}
		bend(&c)
		return c
	}
	signed := func(k ringKey, bend func(*accessClaims)) string {
		text, err := k.sign(claims(bend))
		require.NoError(t, err)
		return text
	}
	parts := strings.Split(good, ".")
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	assertion := b.attempt("payer", ecKey()).assertion(t)
	untyped := func() string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: key.alg, Key: jose.JSONWebKey{Key: key.private, KeyID: key.kid}},
			(&jose.SignerOptions{}).WithType("JWT"))
		require.NoError(t, err)
		text, err := jwt.Signed(signer).Claims(claims(func(*accessClaims) {})).Serialize()
		require.NoError(t, err)
		return text
	}()

	tests := []struct {
		name   string
		header []string
		want   error // nil: let in
	}{
		{"good", []string{"Bearer " + good}, nil},
		{"scheme in lower case", []string{"bearer " + good}, nil},
		{"two spaces", []string{"Bearer  " + good}, nil},
		{"signed by hand with the server's key", []string{"Bearer " + signed(key, func(*accessClaims) {})}, nil},
		{"no header", nil, ErrNoToken},
		{"empty header", []string{""}, ErrNoToken},
		{"basic", []string{"Basic cGF5ZXI6eA=="}, ErrNoToken},
		{"scheme only", []string{"Bearer"}, ErrBadToken},
		{"no token", []string{"Bearer "}, ErrBadToken},
		{"two headers", []string{"Bearer " + good, "Bearer " + good}, ErrBadToken},
		{"two tokens", []string{"Bearer " + good + " " + good}, ErrBadToken},
		{"not a JWT", []string{"Bearer opaque"}, ErrBadToken},
		{"over the bound", []string{"Bearer " + strings.Repeat("x", maxBearer+1)}, ErrBadToken},
		{"alg none", []string{"Bearer " + encode(`{"alg":"none","typ":"at+jwt"}`) + "." + parts[1] + "."}, ErrBadToken},
		{"signature cut off", []string{"Bearer " + parts[0] + "." + parts[1] + "."}, ErrBadToken},
		{"claims swapped", []string{"Bearer " + parts[0] + "." + encode(`{"sub":"other"}`) + "." + parts[2]}, ErrBadToken},
		{"the client's own assertion", []string{"Bearer " + assertion}, ErrBadToken},
		{"right key, but no access token", []string{"Bearer " + untyped}, ErrBadToken},
		{"foreign key under our kid", []string{"Bearer " + signed(foreign, func(*accessClaims) {})}, ErrBadToken},
		{"foreign key of another algorithm under our kid", []string{"Bearer " + signed(ringKey{kid: key.kid, alg: "ES384", private: otherECKey().ec}, func(*accessClaims) {})}, ErrBadToken},
		{"foreign key and kid", []string{"Bearer " + signed(ringKey{kid: "k", alg: signAlg, private: otherToken}, func(*accessClaims) {})}, ErrBadToken},
		{"other issuer", []string{"Bearer " + signed(key, func(c *accessClaims) { c.Issuer = "https://other.example.org" })}, ErrBadToken},
		{"other audience", []string{"Bearer " + signed(key, func(c *accessClaims) { c.Audience = jwt.Audience{"https://other.example.org/fhir"} })}, ErrBadToken},
		{"two audiences", []string{"Bearer " + signed(key, func(c *accessClaims) { c.Audience = append(c.Audience, "x") })}, ErrBadToken},
		{"no expiry", []string{"Bearer " + signed(key, func(c *accessClaims) { c.Expiry = nil })}, ErrBadToken},
		{"expired", []string{"Bearer " + signed(key, func(c *accessClaims) { c.Expiry = jwt.NewNumericDate(testStart) })}, ErrBadToken},
		{"client is gone", []string{"Bearer " + signed(key, func(c *accessClaims) { c.Subject, c.ClientID = "gone", "gone" })}, ErrBadToken},
		{"sub is not the client", []string{"Bearer " + signed(key, func(c *accessClaims) { c.Subject = "other" })}, ErrBadToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for range 2 { // the second time a good token comes out of the cache; a bad one must not
				r := requestWith(t, "")
				r.Header["Authorization"] = tt.header
				caller, err := b.server.Authenticate(r)
				if tt.want == nil {
					require.NoError(t, err)
					require.Equal(t, "payer", caller.ClientID)
					require.Equal(t, "Payer B bulk client", caller.Name)
					require.Equal(t, "Payer B", caller.Organization)
					require.Equal(t, []string{"urn:oid:2.16.840.1.113883.4.4|12-3456789"}, caller.Organizations)
					require.Equal(t, models.ClientPayer, caller.Kind)
					require.True(t, caller.ValueBased)
					require.True(t, caller.MayReadAll())
					continue
				}
				require.Nil(t, caller)
				require.ErrorIs(t, err, tt.want)
				require.Equal(t, models.KindUnauthorized, models.KindOf(err))
			}
		})
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	require.Equal(t, `Bearer realm="fhir"`, Challenge(ErrNoToken))
	require.Equal(t, `Bearer realm="fhir", error="invalid_token"`, Challenge(ErrBadToken))
	require.Equal(t, `Bearer realm="fhir", error="invalid_token"`, Challenge(fmt.Errorf("export: %w", ErrBadToken)))
}

// A token that is in the cache still expires to the second.
func TestCachedTokenExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	r := requestWith(t, b.token(t, b.server, ecKey(), "system/*.rs").AccessToken)
	_, err := b.server.Authenticate(r)
	require.NoError(t, err)
	b.clock.advance(TokenLifetime - time.Millisecond)
	_, err = b.server.Authenticate(r)
	require.NoError(t, err)
	b.clock.advance(time.Millisecond)
	_, err = b.server.Authenticate(r)
	require.ErrorIs(t, err, ErrBadToken)
}

func TestRegistrationChangesReachTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	client := b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	r := requestWith(t, b.token(t, b.server, ecKey(), "system/*.rs").AccessToken)
	caller, err := b.server.Authenticate(r)
	require.NoError(t, err)
	require.True(t, caller.MayReadAll())

	client.Scopes = []string{"system/Patient.rs"}
	client.Organization = "Renamed"
	client = b.register(t, client)
	b.clock.advance(ClientCacheTime)
	caller, err = b.server.Authenticate(r)
	require.NoError(t, err)
	require.Equal(t, "Renamed", caller.Organization)
	require.False(t, caller.MayReadAll(), "a scope taken from the registration is gone from its tokens")
	require.True(t, caller.MayRead("Patient"))

	client.Active = false
	b.register(t, client)
	b.clock.advance(ClientCacheTime)
	_, err = b.server.Authenticate(r)
	require.ErrorIs(t, err, ErrBadToken)
	require.Equal(t, http.StatusBadRequest, b.attempt("payer", ecKey()).send(t, b.server).Code, "no new token either")
}

func TestTokenCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := &tokenCache{entries: map[tokenHash]*verifiedToken{}, limit: 10}
	put := func(n byte, expires time.Time) { c.put(tokenHash{n}, &verifiedToken{expires: expires}, testStart) }
	for i := range byte(5) {
		put(i, testStart) // expired
	}
	for i := range byte(5) {
		put(10+i, testStart.Add(time.Minute))
	}
	require.Len(t, c.entries, 10)
	put(20, testStart.Add(time.Minute))
	require.Len(t, c.entries, 6, "the expired go first")
	for i := range byte(100) {
		put(100+i, testStart.Add(time.Minute))
	}
	require.Len(t, c.entries, 10)
	require.NotNil(t, c.get(tokenHash{199}), "the newest is in")
}

func BenchmarkAuthenticate(b *testing.B) {
	bundle := setup(b)
	bundle.register(b, models.Client{ID: "payer", JWKS: jwks(b, ecKey().public()), Active: true})
	r := requestWith(b, bundle.token(b, bundle.server, ecKey(), "system/*.rs").AccessToken)
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bundle.server.Authenticate(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clear(bundle.server.tokens.entries)
			if _, err := bundle.server.Authenticate(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkToken(b *testing.B) {
	bundle := setup(b)
	bundle.register(b, models.Client{ID: "payer", JWKS: jwks(b, rsaKey().public(), ecKey().public()), Active: true})
	for _, key := range []keyPair{rsaKey(), ecKey()} {
		b.Run(key.alg(), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				a := bundle.attempt("payer", key)
				a.form.Set("client_assertion", a.assertion(b))
				b.StartTimer()
				if w := a.send(b, bundle.server); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}

// BenchmarkFirstSight is what a token costs that a process has not seen before: the bound is 100 µs.
func BenchmarkFirstSight(b *testing.B) {
	s := setup(b)
	s.register(b, models.Client{ID: "payer", JWKS: jwks(b, ecKey().public()), Active: true})
	token := s.token(b, s.server, ecKey(), "system/*.rs").AccessToken
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.server.readToken(b.Context(), token)
		require.NoError(b, err)
	}
}
