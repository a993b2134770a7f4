package auth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestTokenGrants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	noKID := func(k keyPair) jose.JSONWebKey { p := k.public(); p.KeyID = ""; return p }
	b.register(t, models.Client{ID: "both", JWKS: jwks(t, rsaKey().public(), ecKey().public()), Active: true})
	// One key of each algorithm and no kid anywhere: what clients with PEM files register.
	b.register(t, models.Client{ID: "pem", JWKS: jwks(t, noKID(rsaKey()), noKID(ecKey())), Active: true})
	at := func(d time.Duration) float64 { return float64(testStart.Add(d).UnixMilli()) / 1000 }
	const bulkMatch = pdex + "OperationDefinition/BulkMemberMatch"
	none := func(*attempt) {}

	tests := []struct {
		name   string
		client string
		key    keyPair
		bend   func(*attempt)
		scope  string // granted
	}{
		{"RS384, inline keys", "both", rsaKey(), none, "system/*.rs"},
		{"ES384, inline keys", "both", ecKey(), none, "system/*.rs"},
		{"RS384, no kid", "pem", rsaKey(), func(a *attempt) { delete(a.header, "kid") }, "system/*.rs"},
		{"ES384, no kid", "pem", ecKey(), func(a *attempt) { delete(a.header, "kid") }, "system/*.rs"},
		{"no kid in the assertion only", "both", ecKey(), func(a *attempt) { delete(a.header, "kid") }, "system/*.rs"},
		{"exp 300.5 seconds ahead", "both", ecKey(), set("exp", at(300*time.Second+500*time.Millisecond)), "system/*.rs"},
		{"exp at the end of the skew", "both", ecKey(), set("exp", at(330*time.Second)), "system/*.rs"},
		{"exp just past, within the skew", "both", ecKey(), set("exp", at(-29*time.Second)), "system/*.rs"},
		{"iat and nbf ahead, within the skew", "both", ecKey(), func(a *attempt) { set("iat", at(30*time.Second))(a); set("nbf", at(30*time.Second))(a) }, "system/*.rs"},
		{"aud as a list of one", "both", ecKey(), set("aud", []string{publicURL + TokenPath}), "system/*.rs"},
		{"typ in lower case", "both", ecKey(), header("typ", "jwt"), "system/*.rs"},
		{"client_id repeated", "both", ecKey(), form("client_id", "both"), "system/*.rs"},
		{"charset on the content type", "both", ecKey(), func(a *attempt) {
			a.request = func(r *http.Request) {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
			}
		}, "system/*.rs"},
		{"v1 spelling stays", "both", ecKey(), form("scope", "system/*.read"), "system/*.read"},
		{"all rights reduced to reading", "both", ecKey(), form("scope", "system/*.* system/Patient.cruds"), "system/*.read system/Patient.rs"},
		{"the grantable of many", "both", ecKey(), form("scope", "system/Patient.rs system/Binary.rs system/ServiceRequest.rs system/Coverage.rs openid"), "system/Patient.rs system/Coverage.rs"},
		{"operation scope", "both", ecKey(), form("scope", bulkMatch), bulkMatch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := b.attempt(tt.client, tt.key)
			tt.bend(a)
			w := a.send(t, b.server)
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, "no-cache", w.Header().Get("Pragma"))
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			var answer map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			require.Equal(t, "bearer", answer["token_type"])
			require.InDelta(t, 300, answer["expires_in"], 0)
			require.Equal(t, tt.scope, answer["scope"])
			require.NotContains(t, answer, "refresh_token")
			require.Len(t, answer, 4)

			caller, err := b.server.Authenticate(requestWith(t, answer["access_token"].(string)))
			require.NoError(t, err)
			require.Equal(t, tt.client, caller.ClientID)
			require.Equal(t, tt.scope, caller.Scopes.String())
		})
	}
}

func TestTokenClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	answer := b.token(t, b.server, ecKey(), "system/Patient.rs")

	// Verified as a stranger would, with the keys the server shows.
	w := httptest.NewRecorder()
	b.server.Keys(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, publicURL+KeysPath, http.NoBody))
	require.Equal(t, http.StatusOK, w.Code)
	require.NotContains(t, w.Body.String(), `"d":`, "private keys stay private")
	var shown jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &shown))
	token, err := jwt.ParseSigned(answer.AccessToken, []jose.SignatureAlgorithm{signAlg})
	require.NoError(t, err)
	keys := shown.Key(token.Headers[0].KeyID)
	require.Len(t, keys, 1)
	var claims map[string]any
	require.NoError(t, token.Claims(keys[0].Key, &claims))

	require.NotEmpty(t, claims["jti"])
	delete(claims, "jti")
	require.Equal(t, map[string]any{
		"iss": publicURL, "sub": "payer", "client_id": "payer", "aud": publicURL + "/fhir", "scope": "system/Patient.rs",
		"iat": float64(testStart.Unix()), "exp": float64(testStart.Unix() + 300),
	}, claims)
}

func TestReplay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	b.register(t, models.Client{ID: "other", JWKS: jwks(t, ecKey().public()), Active: true})
	second := b.newServer() // another process: it shares nothing but the database

	a := b.attempt("payer", ecKey())
	a.form.Set("client_assertion", a.assertion(t))
	require.Equal(t, http.StatusOK, a.send(t, b.server).Code)
	require.Equal(t, http.StatusBadRequest, a.send(t, b.server).Code, "replayed at the same process")
	require.Equal(t, http.StatusBadRequest, a.send(t, second).Code, "replayed at another process")

	resigned := b.attempt("payer", ecKey())
	resigned.claims["jti"] = a.claims["jti"]
	resigned.claims["exp"] = b.clock.now().Add(time.Minute).Unix()
	require.Equal(t, http.StatusBadRequest, resigned.send(t, second).Code, "the jti counts, not the bytes")

	other := b.attempt("other", ecKey())
	other.claims["jti"] = a.claims["jti"]
	require.Equal(t, http.StatusOK, other.send(t, second).Code, "a jti is a client's own")

	// As long as anybody could take the assertion, the record of it is there.
	b.clock.advance(4*time.Minute + ClockSkew - time.Second)
	for range 3 {
		fresh := b.attempt("other", ecKey())
		require.Equal(t, http.StatusOK, fresh.send(t, b.server).Code) // each use purges what has expired
	}
	require.Equal(t, http.StatusBadRequest, a.send(t, second).Code, "replayed at the end of its life")
}

func TestReplayRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	a := b.attempt("payer", ecKey())
	a.form.Set("client_assertion", a.assertion(t))
	var granted atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		server := b.newServer()
		for range 4 {
			wg.Go(func() {
				if a.send(t, server).Code == http.StatusOK {
					granted.Add(1)
				}
			})
		}
	}
	wg.Wait()
	require.EqualValues(t, 1, granted.Load())
}

// A failed attempt must not use up the jti of the honest client.
func TestForgeryDoesNotBurnJTI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	honest := b.attempt("payer", ecKey())
	forged := b.attempt("payer", otherECKey())
	forged.claims["jti"] = honest.claims["jti"]
	require.Equal(t, http.StatusBadRequest, forged.send(t, b.server).Code)
	require.Equal(t, http.StatusOK, honest.send(t, b.server).Code)
}

func TestTokenWithoutStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	token := b.token(t, b.server, ecKey(), "system/*.rs")
	b.store.Close()

	w := b.attempt("payer", ecKey()).send(t, b.server)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "5", w.Header().Get("Retry-After"))
	require.JSONEq(t, `{"error":"temporarily_unavailable","error_description":"try again later"}`, w.Body.String())

	b.clock.advance(ClientCacheTime)
	_, err := b.server.Authenticate(requestWith(t, token.AccessToken))
	require.Equal(t, models.KindUnavailable, models.KindOf(err), "no answer from the store is not a bad token")

	w = httptest.NewRecorder()
	b.newServer().Keys(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, publicURL+KeysPath, http.NoBody))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := New(Config{PublicURL: publicURL, ResourceTypes: []string{"Patient", "Coverage"}}, nil)
	mux := http.NewServeMux()
	s.Mount(mux)
	for _, accept := range []string{"", "application/fhir+json", "text/html", "*/*;q=0.1"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, publicURL+"/fhir/.well-known/smart-configuration", http.NoBody)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.JSONEq(t, `{
			"issuer": "https://pdex.example.org",
			"jwks_uri": "https://pdex.example.org/auth/jwks",
			"token_endpoint": "https://pdex.example.org/auth/token",
			"registration_endpoint": "https://pdex.example.org/auth/register",
			"introspection_endpoint": "https://pdex.example.org/auth/introspect",
			"revocation_endpoint": "https://pdex.example.org/auth/revoke",
			"grant_types_supported": ["client_credentials"],
			"token_endpoint_auth_methods_supported": ["private_key_jwt"],
			"token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
			"scopes_supported": ["system/*.rs", "system/*.read", "system/Coverage.rs", "system/Patient.rs",
				"http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch",
				"http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/ProviderMemberMatch",
				"http://hl7.org/fhir/us/davinci-atr/OperationDefinition/member-add",
				"http://hl7.org/fhir/us/davinci-atr/OperationDefinition/member-remove"],
			"capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
			"code_challenge_methods_supported": ["S256"]
		}`, w.Body.String())
	}
	for _, path := range []string{DiscoveryPath, KeysPath} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, publicURL+path, http.NoBody))
		require.Equal(t, http.StatusMethodNotAllowed, w.Code)
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
		require.Contains(t, w.Body.String(), `"error":"invalid_request"`)
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	types := []string{"Patient"}
	for _, ok := range []string{"https://pdex.example.org", "http://127.0.0.1:8080", "https://example.org/pdex"} {
		require.NoError(t, Config{PublicURL: ok, ResourceTypes: types}.Validate(), ok)
	}
	for _, bad := range []string{"", "pdex.example.org", "https://", "ftp://x", "https://x/", "https://x?y", "https://x#y", "https://u@x", "https://%zz"} {
		require.Error(t, Config{PublicURL: bad, ResourceTypes: types}.Validate(), bad)
	}
	require.Error(t, Config{PublicURL: "https://x"}.Validate(), "no types")
}
