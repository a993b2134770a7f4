package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestCheckJWKS(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024) // weak on purpose
	require.NoError(t, err)
	enc := ecKey().public()
	enc.Use = "enc"
	tests := []struct {
		name string
		raw  string
		ok   bool
	}{
		{"RSA", string(jwks(t, rsaKey().public())), true},
		{"EC", string(jwks(t, ecKey().public())), true},
		{"usable beside unusable", string(jwks(t, p256Key().public(), ecKey().public())), true},
		{"unknown kty beside usable", `{"keys":[{"kty":"new"},` + string(jwks(t, ecKey().public()))[len(`{"keys":[`):], true},
		{"empty", `{"keys":[]}`, false},
		{"no keys", `{}`, false},
		{"null", `null`, false},
		{"array", `[]`, false},
		{"keys not objects", `{"keys":[1]}`, false},
		{"not JSON", `keys`, false},
		{"P-256 only", string(jwks(t, p256Key().public())), false},
		{"1024 bits", string(jwks(t, jose.JSONWebKey{Key: &small.PublicKey})), false},
		{"encryption only", string(jwks(t, enc)), false},
		{"symmetric", `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, false},
		{"private RSA", string(jwks(t, jose.JSONWebKey{Key: rsaKey().rsa})), false},
		{"private beside public", string(jwks(t, ecKey().public(), jose.JSONWebKey{Key: otherECKey().ec})), false},
		{"point off the curve", `{"keys":[{"kty":"EC","crv":"P-384","x":"` + b48 + `","y":"` + b48 + `"}]}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := CheckJWKS([]byte(tt.raw))
			if tt.ok {
				require.NoError(t, err)
				return
			}
			require.Equal(t, models.KindInvalid, models.KindOf(err))
		})
	}
}

// b48 is 48 bytes of 0x01 in base64url.
const b48 = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"

func FuzzParseJWKS(f *testing.F) {
	f.Add([]byte(jwks(f, rsaKey().public(), ecKey().public(), p256Key().public())))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-384","x":"AQ","y":"AQ"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := ParseJWKS(raw)
		if err != nil {
			require.Equal(t, models.KindInvalid, models.KindOf(err))
			return
		}
		for i := range keys {
			require.True(t, keys[i].IsPublic())
			require.NotEqual(t, fits(&keys[i], jose.RS384), fits(&keys[i], jose.ES384))
		}
		_, err = json.Marshal(jose.JSONWebKeySet{Keys: keys})
		require.NoError(t, err)
	})
}
