package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func kidOf(t *testing.T, token string) string {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{signAlg})
	require.NoError(t, err)
	return parsed.Headers[0].KeyID
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	second := b.newServer()
	get := func(s *Server) string { return b.token(t, s, ecKey(), "system/*.rs").AccessToken }
	valid := func(s *Server, token string) bool {
		_, err := s.Authenticate(requestWith(t, token))
		return err == nil
	}

	first := get(b.server)
	require.Equal(t, kidOf(t, first), kidOf(t, get(second)), "processes share one key")
	require.True(t, valid(second, first))

	b.clock.advance(keyRotation - time.Minute)
	require.Equal(t, kidOf(t, first), kidOf(t, get(b.server)), "a day has not passed")

	b.clock.advance(time.Minute)
	shown := get(b.server)
	require.Equal(t, kidOf(t, first), kidOf(t, shown), "the new key is shown before it is used")
	keys, err := b.store.SigningKeys(t.Context(), b.clock.now())
	require.NoError(t, err)
	require.Len(t, keys, 2)

	b.clock.advance(keyShown)
	rotated := get(b.server)
	require.Equal(t, keys[0].KID, kidOf(t, rotated))
	require.NotEqual(t, kidOf(t, first), kidOf(t, rotated))
	require.True(t, valid(second, rotated), "another process knows the new key")
	require.True(t, valid(second, shown), "tokens of the old key live on")
	require.Equal(t, kidOf(t, rotated), kidOf(t, get(second)), "and signs with it")

	keys, err = b.store.SigningKeys(t.Context(), b.clock.now())
	require.NoError(t, err)
	require.Len(t, keys, 2, "one rotation made one key")
}

// A key another process has just made is found although this one has only just looked.
func TestUnknownKidIsLookedUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	_, err := b.server.ring.current(t.Context(), ringReload)
	require.NoError(t, err)
	key, err := newSigningKey(b.clock.now().Add(time.Second))
	require.NoError(t, err)
	added, err := b.store.AddSigningKey(t.Context(), key, b.clock.now())
	require.NoError(t, err)
	require.True(t, added)

	_, err = b.server.ring.public(t.Context(), key.KID, key.Alg)
	require.ErrorIs(t, err, errUnknownKey, "the store is not asked more than once a second")
	b.clock.advance(ringRecheck)
	_, err = b.server.ring.public(t.Context(), key.KID, key.Alg)
	require.NoError(t, err)
}

// An idle server comes back to a key that would not outlive a token.
func TestKeyAboutToExpireIsNotUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	first := b.token(t, b.server, ecKey(), "system/*.rs").AccessToken
	b.clock.advance(keyLife - time.Minute)
	token := b.token(t, b.server, ecKey(), "system/*.rs").AccessToken
	require.NotEqual(t, kidOf(t, first), kidOf(t, token))
	b.clock.advance(2 * time.Minute)
	_, err := b.server.Authenticate(requestWith(t, token))
	require.NoError(t, err)
	_, err = b.server.ring.public(t.Context(), kidOf(t, first), string(signAlg))
	require.ErrorIs(t, err, errUnknownKey, "nothing is accepted past a key's end")
}

func TestProcessesThatStartTogetherMakeOneKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	kids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range kids {
		server := b.newServer()
		wg.Go(func() {
			if key, err := server.ring.signer(t.Context()); err == nil {
				kids[i] = key.kid
			}
		})
	}
	wg.Wait()
	require.NotEmpty(t, kids[0])
	for _, kid := range kids {
		require.Equal(t, kids[0], kid)
	}
}

// Keys of the algorithm of earlier versions sign and verify until their day is over; a token cannot name another algorithm than its
// key's, and keys that only a later version knows are left alone.
func TestKeysOfOtherVersions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	stored := func(curve elliptic.Curve, alg string, at time.Time) models.SigningKey {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(private)
		require.NoError(t, err)
		key := models.SigningKey{KID: models.NewID(), Alg: alg, Private: der, CreatedAt: at, NotAfter: at.Add(keyLife)}
		added, err := b.store.AddSigningKey(t.Context(), key, at)
		require.NoError(t, err)
		require.True(t, added)
		return key
	}
	algOf := func(token string) string {
		parsed, err := jwt.ParseSigned(token, tokenAlgs)
		require.NoError(t, err)
		return parsed.Headers[0].Algorithm
	}
	got := func() string { return b.token(t, b.server, ecKey(), "system/*.rs").AccessToken }
	valid := func(token string) bool {
		_, err := b.newServer().Authenticate(requestWith(t, token))
		return err == nil
	}
	old := stored(elliptic.P384(), "ES384", b.clock.now().Add(-time.Hour))
	first := got()
	require.Equal(t, "ES384", algOf(first), "neighbours that know no other key go on")
	require.True(t, valid(first))

	b.clock.advance(keyRotation - time.Hour + keyShown)
	got()
	b.clock.advance(keyShown)
	second := got()
	require.Equal(t, "EdDSA", algOf(second))
	require.True(t, valid(second))

	for alg, want := range map[string]error{"ES384": nil, "EdDSA": errUnknownKey} {
		_, err := b.server.ring.public(t.Context(), old.KID, alg)
		require.ErrorIs(t, err, want, alg)
	}
	b.clock.advance(keyLife - keyRotation)
	_, err := b.server.ring.public(t.Context(), old.KID, "ES384")
	require.ErrorIs(t, err, errUnknownKey, "its day is over")

	stored(elliptic.P521(), "ES512", b.clock.now().Add(time.Second))
	b.clock.advance(ringReload + time.Second)
	require.Equal(t, "EdDSA", algOf(got()))
}
