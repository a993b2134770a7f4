package auth

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// registerVictims registers the clients the attacks are on.
func registerVictims(t *testing.T, b *testBundle) (keysURL string) {
	t.Helper()
	rs, es := rsaKey(), ecKey()
	noKID := func(k keyPair) jose.JSONWebKey { p := k.public(); p.KeyID = ""; return p }
	encOnly := es.public()
	encOnly.Use = "enc"
	otherAlg := es.public()
	otherAlg.Algorithm = "ES256"
	small, err := rsa.GenerateKey(rand.Reader, 1024) // weak on purpose
	require.NoError(t, err)

	published := jwks(t, rs.public())
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(published) }))
	t.Cleanup(keys.Close)

	b.register(t, models.Client{ID: "victim", JWKS: jwks(t, rs.public(), es.public()), Active: true})
	b.register(t, models.Client{ID: "victim-url", JWKSURL: keys.URL, Active: true})
	b.register(t, models.Client{ID: "bystander", JWKS: jwks(t, otherECKey().public()), Active: true})
	b.register(t, models.Client{ID: "off", JWKS: jwks(t, es.public()), Active: false})
	b.register(t, models.Client{ID: "same-kid", JWKS: jwks(t, es.public(), otherECKey().public()), Active: true})
	b.register(t, models.Client{ID: "two-pem", JWKS: jwks(t, noKID(es), noKID(otherECKey())), Active: true})
	b.register(t, models.Client{ID: "p256", JWKS: jwks(t, p256Key().public()), Active: true})
	b.register(t, models.Client{ID: "enc", JWKS: jwks(t, encOnly), Active: true})
	b.register(t, models.Client{ID: "other-alg", JWKS: jwks(t, otherAlg), Active: true})
	b.register(t, models.Client{ID: "weak", JWKS: jwks(t, jose.JSONWebKey{Key: &small.PublicKey, KeyID: "w"}), Active: true})
	b.register(t, models.Client{ID: "leaked", JWKS: jwks(t, jose.JSONWebKey{Key: es.ec, KeyID: es.kid}), Active: true})
	b.register(t, models.Client{ID: "dead-url", JWKSURL: "http://127.0.0.1:1/jwks", Active: true})
	b.register(t, models.Client{ID: "narrow", JWKS: jwks(t, es.public()), Active: true, Scopes: []string{"system/Patient.rs"}})
	return keys.URL
}

func set(key string, value any) func(*attempt) {
	return func(a *attempt) { a.claims[key] = value }
}

func header(key string, value any) func(*attempt) {
	return func(a *attempt) { a.header[key] = value }
}

func form(key string, values ...string) func(*attempt) {
	return func(a *attempt) { a.form[key] = values }
}

func unset(key string) func(*attempt) {
	return func(a *attempt) { delete(a.claims, key); delete(a.form, key) }
}

func signedBy(k keyPair) func(*attempt) {
	return func(a *attempt) { a.sign = k.sign }
}

func finish(f func(string) string) func(*attempt) {
	return func(a *attempt) { a.finish = f }
}

func TestTokenRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keysURL := registerVictims(t, b)
	now := b.clock.now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	publicPEM := func() []byte {
		der, err := x509.MarshalPKIXPublicKey(&rsaKey().rsa.PublicKey)
		require.NoError(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}()
	all := func(fs ...func(*attempt)) func(*attempt) {
		return func(a *attempt) {
			for _, f := range fs {
				f(a)
			}
		}
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024) // weak on purpose
	require.NoError(t, err)

	const bad = http.StatusBadRequest
	tests := []struct {
		name   string
		client string // "victim" when empty
		rsa    bool   // sign with the RSA key
		bend   func(*attempt)
		status int
		code   string
	}{
		// The algorithm.
		{name: "alg none without signature", bend: all(header("alg", "none"), func(a *attempt) { a.sign = func(string) []byte { return nil } }), status: bad, code: "invalid_client"},
		{name: "alg None in another case", bend: all(header("alg", "NoNe"), func(a *attempt) { a.sign = func(string) []byte { return nil } }), status: bad, code: "invalid_client"},
		{name: "HS384 keyed with the public PEM", bend: all(header("alg", "HS384"), header("kid", "rs-1"), func(a *attempt) { a.sign = hs384(publicPEM) }), status: bad, code: "invalid_client"},
		{name: "HS256", bend: header("alg", "HS256"), status: bad, code: "invalid_client"},
		{name: "RS256", rsa: true, bend: header("alg", "RS256"), status: bad, code: "invalid_client"},
		{name: "PS384", rsa: true, bend: header("alg", "PS384"), status: bad, code: "invalid_client"},
		{name: "ES256", client: "p256", bend: all(header("alg", "ES256"), header("kid", "p256"), signedBy(p256Key())), status: bad, code: "invalid_client"},
		{name: "ES384 with a P-256 key", client: "p256", bend: all(header("kid", "p256"), signedBy(p256Key())), status: bad, code: "invalid_client"},
		{name: "alg missing", bend: func(a *attempt) { delete(a.header, "alg") }, status: bad, code: "invalid_client"},
		{name: "alg not a string", bend: header("alg", 384), status: bad, code: "invalid_client"},
		{name: "RS384 named over an ES384 key", bend: header("alg", "RS384"), status: bad, code: "invalid_client"},
		{name: "alg twice", bend: func(a *attempt) { a.rawHeader = `{"alg":"none","alg":"ES384","kid":"es-1","typ":"JWT"}` }, status: bad, code: "invalid_client"},

		// The key.
		{name: "signed by a stranger", bend: signedBy(otherECKey()), status: bad, code: "invalid_client"},
		{name: "signed by a stranger with RSA", rsa: true, bend: signedBy(otherRSAKey()), status: bad, code: "invalid_client"},
		{name: "signed by another client for the victim", bend: all(header("kid", otherECKey().kid), signedBy(otherECKey())), status: bad, code: "invalid_client"},
		{name: "unknown kid", bend: header("kid", "es-2"), status: bad, code: "invalid_client"},
		{name: "kid of the other key", bend: header("kid", "rs-1"), status: bad, code: "invalid_client"},
		{name: "kid as an SQL fragment", bend: header("kid", "x' OR '1'='1"), status: bad, code: "invalid_client"},
		{name: "kid not a string", bend: header("kid", 1), status: bad, code: "invalid_client"},
		{name: "two keys under one kid", client: "same-kid", status: bad, code: "invalid_client"},
		{name: "no kid and two keys that fit", client: "two-pem", bend: func(a *attempt) { delete(a.header, "kid") }, status: bad, code: "invalid_client"},
		{name: "kid for keys registered without", client: "two-pem", status: bad, code: "invalid_client"},
		{name: "key registered for encryption", client: "enc", status: bad, code: "invalid_client"},
		{name: "key registered for another algorithm", client: "other-alg", status: bad, code: "invalid_client"},
		{name: "RSA key of 1024 bits", client: "weak", bend: all(header("alg", "RS384"), header("kid", "w"), signedBy(keyPair{rsa: small})), status: bad, code: "invalid_client"},
		{name: "key whose private half is registered", client: "leaked", status: bad, code: "invalid_client"},
		{name: "key brought along in jwk", bend: all(header("jwk", otherECKey().public()), signedBy(otherECKey())), status: bad, code: "invalid_client"},
		{name: "key brought along in x5u", bend: all(header("x5u", "https://evil.example/x"), signedBy(otherECKey())), status: bad, code: "invalid_client"},
		{name: "foreign jku", client: "victim-url", rsa: true, bend: header("jku", "https://evil.example/jwks"), status: bad, code: "invalid_client"},
		{name: "jku for a client with inline keys", bend: header("jku", keysURL), status: bad, code: "invalid_client"},
		{name: "jku that only begins like the registered", client: "victim-url", rsa: true, bend: header("jku", keysURL+"/../evil"), status: bad, code: "invalid_client"},
		{name: "empty jku", client: "victim-url", rsa: true, bend: header("jku", ""), status: bad, code: "invalid_client"},
		{name: "jku not a string", client: "victim-url", rsa: true, bend: header("jku", []string{keysURL}), status: bad, code: "invalid_client"},
		{name: "keys that cannot be fetched", client: "dead-url", status: bad, code: "invalid_client"},

		// The header and the form of the JWS.
		{name: "typ of an access token", bend: header("typ", tokenType), status: bad, code: "invalid_client"},
		{name: "typ missing", bend: func(a *attempt) { delete(a.header, "typ") }, status: bad, code: "invalid_client"},
		{name: "critical extension", bend: all(header("crit", []string{"exp"}), header("exp", 1)), status: bad, code: "invalid_client"},
		{name: "payload not encoded (b64)", bend: all(header("crit", []string{"b64"}), header("b64", false)), status: bad, code: "invalid_client"},
		{name: "signature cut off", bend: finish(func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }), status: bad, code: "invalid_client"},
		{name: "signature of zeros (psychic)", bend: func(a *attempt) { a.sign = func(string) []byte { return make([]byte, 96) } }, status: bad, code: "invalid_client"},
		{name: "signature in DER", bend: func(a *attempt) {
			a.sign = func(m string) []byte { return append([]byte{0x30, 0x64}, ecKey().sign(m)...) }
		}, status: bad, code: "invalid_client"},
		{name: "claims changed after signing", bend: finish(func(s string) string {
			parts := strings.Split(s, ".")
			return parts[0] + "." + parts[1][:len(parts[1])-4] + "." + parts[2]
		}), status: bad, code: "invalid_client"},
		{name: "JWS in JSON form", bend: finish(func(s string) string {
			parts := strings.Split(s, ".")
			return `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
		}), status: bad, code: "invalid_client"},
		{name: "five parts (a JWE)", bend: finish(func(s string) string { return s + ".x.y" }), status: bad, code: "invalid_client"},
		{name: "line break inside", bend: finish(func(s string) string { return s[:10] + "\n" + s[10:] }), status: bad, code: "invalid_client"},
		{name: "padding", bend: finish(func(s string) string { return s + "==" }), status: bad, code: "invalid_client"},
		{name: "not a JWT", bend: finish(func(string) string { return "hello" }), status: bad, code: "invalid_client"},
		{name: "assertion over the bound", bend: set("pad", strings.Repeat("x", maxAssertion)), status: bad, code: "invalid_client"},
		{name: "claims not an object", bend: func(a *attempt) { a.rawClaims = `["victim"]` }, status: bad, code: "invalid_client"},
		{name: "claim twice", bend: func(a *attempt) {
			raw, err := json.Marshal(a.claims)
			require.NoError(t, err)
			a.rawClaims = `{"iss":"bystander",` + string(raw[1:])
		}, status: bad, code: "invalid_client"},

		// The claims.
		{name: "iss missing", bend: unset("iss"), status: bad, code: "invalid_client"},
		{name: "sub missing", bend: unset("sub"), status: bad, code: "invalid_client"},
		{name: "iss is somebody else", bend: set("iss", "bystander"), status: bad, code: "invalid_client"},
		{name: "sub is somebody else", bend: set("sub", "bystander"), status: bad, code: "invalid_client"},
		{name: "unknown client", client: "nobody", status: bad, code: "invalid_client"},
		{name: "deactivated client", client: "off", status: bad, code: "invalid_client"},
		{name: "client id with NUL", client: "victim\x00", status: bad, code: "invalid_client"},
		{name: "client id in another case", client: "VICTIM", status: bad, code: "invalid_client"},
		{name: "client id over the bound", client: strings.Repeat("v", 256), status: bad, code: "invalid_client"},
		{name: "aud missing", bend: unset("aud"), status: bad, code: "invalid_client"},
		{name: "aud is another server", bend: set("aud", "https://other.example.org/auth/token"), status: bad, code: "invalid_client"},
		{name: "aud is the FHIR base", bend: set("aud", publicURL+FHIRPath), status: bad, code: "invalid_client"},
		{name: "aud with a trailing slash", bend: set("aud", publicURL+TokenPath+"/"), status: bad, code: "invalid_client"},
		{name: "aud for two servers", bend: set("aud", []string{publicURL + TokenPath, "https://other.example.org"}), status: bad, code: "invalid_client"},
		{name: "aud null", bend: set("aud", nil), status: bad, code: "invalid_client"},
		{name: "exp missing", bend: unset("exp"), status: bad, code: "invalid_client"},
		{name: "exp past the skew", bend: set("exp", at(-30*time.Second)), status: bad, code: "invalid_client"},
		{name: "exp an hour ahead", bend: set("exp", at(time.Hour)), status: bad, code: "invalid_client"},
		{name: "exp one second over the bound", bend: set("exp", at(331*time.Second)), status: bad, code: "invalid_client"},
		{name: "exp a string", bend: set("exp", "1772366700"), status: bad, code: "invalid_client"},
		{name: "exp that overflows", bend: func(a *attempt) {
			a.rawClaims = `{"iss":"victim","sub":"victim","aud":"` + publicURL + TokenPath + `","jti":"j","exp":1e300}`
		}, status: bad, code: "invalid_client"},
		{name: "exp zero", bend: set("exp", 0), status: bad, code: "invalid_client"},
		{name: "nbf ahead", bend: set("nbf", at(31*time.Second)), status: bad, code: "invalid_client"},
		{name: "iat ahead", bend: set("iat", at(31*time.Second)), status: bad, code: "invalid_client"},
		{name: "iat after exp", bend: all(set("exp", at(0)), set("iat", at(20*time.Second))), status: bad, code: "invalid_client"},
		{name: "jti missing", bend: unset("jti"), status: bad, code: "invalid_client"},
		{name: "jti empty", bend: set("jti", ""), status: bad, code: "invalid_client"},
		{name: "jti over the bound", bend: set("jti", strings.Repeat("j", 256)), status: bad, code: "invalid_client"},
		{name: "jti with NUL", bend: set("jti", "a\x00b"), status: bad, code: "invalid_client"},
		{name: "jti a number", bend: set("jti", 7), status: bad, code: "invalid_client"},
		{name: "client_id of somebody else", bend: form("client_id", "bystander"), status: bad, code: "invalid_client"},
		{name: "client_id empty", bend: form("client_id", ""), status: bad, code: "invalid_client"},

		// The request.
		{name: "GET", bend: func(a *attempt) { a.method = http.MethodGet }, status: http.StatusMethodNotAllowed, code: "invalid_request"},
		{name: "PUT", bend: func(a *attempt) { a.method = http.MethodPut }, status: http.StatusMethodNotAllowed, code: "invalid_request"},
		{name: "grant_type missing", bend: unset("grant_type"), status: bad, code: "invalid_request"},
		{name: "grant_type password", bend: form("grant_type", "password"), status: bad, code: "unsupported_grant_type"},
		{name: "grant_type refresh_token", bend: form("grant_type", "refresh_token"), status: bad, code: "unsupported_grant_type"},
		{name: "grant_type in another case", bend: form("grant_type", "Client_Credentials"), status: bad, code: "unsupported_grant_type"},
		{name: "assertion type missing", bend: unset("client_assertion_type"), status: bad, code: "invalid_request"},
		{name: "assertion type SAML", bend: form("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), status: bad, code: "invalid_request"},
		{name: "assertion empty", bend: form("client_assertion", ""), status: bad, code: "invalid_request"},
		{name: "grant_type twice", bend: form("grant_type", grantType, grantType), status: bad, code: "invalid_request"},
		{name: "scope twice", bend: form("scope", "system/Patient.rs", "system/*.rs"), status: bad, code: "invalid_request"},
		{name: "assertion twice", bend: form("client_assertion", "a.b.c", "d.e.f"), status: bad, code: "invalid_request"},
		{name: "unknown parameter twice", bend: form("x", "1", "2"), status: bad, code: "invalid_request"},
		{name: "client secret beside the assertion", bend: form("client_secret", "s"), status: bad, code: "invalid_request"},
		{name: "basic authentication beside the assertion", bend: func(a *attempt) {
			a.request = func(r *http.Request) { r.SetBasicAuth("victim", "s") }
		}, status: bad, code: "invalid_request"},
		{name: "parameters in the query", bend: func(a *attempt) {
			a.request = func(r *http.Request) { r.URL.RawQuery = "grant_type=client_credentials" }
		}, status: bad, code: "invalid_request"},
		{name: "JSON body", bend: func(a *attempt) {
			a.rawBody = `{"grant_type":"client_credentials"}`
			a.request = func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }
		}, status: bad, code: "invalid_request"},
		{name: "content type missing", bend: func(a *attempt) {
			a.request = func(r *http.Request) { r.Header.Del("Content-Type") }
		}, status: bad, code: "invalid_request"},
		{name: "multipart body", bend: func(a *attempt) {
			a.request = func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }
		}, status: bad, code: "invalid_request"},
		{name: "gzip body", bend: func(a *attempt) {
			a.request = func(r *http.Request) {
				plain, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				var packed bytes.Buffer
				z := gzip.NewWriter(&packed)
				_, _ = z.Write(plain)
				require.NoError(t, z.Close())
				r.Body = io.NopCloser(&packed)
				r.Header.Set("Content-Encoding", "gzip")
			}
		}, status: bad, code: "invalid_request"},
		{name: "malformed escapes", bend: func(a *attempt) { a.rawBody = "grant_type=%zz" }, status: bad, code: "invalid_request"},
		{name: "semicolons", bend: func(a *attempt) { a.rawBody = "grant_type=client_credentials;scope=x" }, status: bad, code: "invalid_request"},
		{name: "body over the bound", bend: form("pad", strings.Repeat("x", DefaultTokenBody)), status: http.StatusRequestEntityTooLarge, code: "invalid_request"},

		// The scopes.
		{name: "scope missing", bend: unset("scope"), status: bad, code: "invalid_scope"},
		{name: "scope empty", bend: form("scope", ""), status: bad, code: "invalid_scope"},
		{name: "only writes", bend: form("scope", "system/Patient.cud system/*.write"), status: bad, code: "invalid_scope"},
		{name: "unknown resource", bend: form("scope", "system/Patientt.rs"), status: bad, code: "invalid_scope"},
		{name: "type the server does not serve", bend: form("scope", "system/Binary.rs"), status: bad, code: "invalid_scope"},
		{name: "unknown action", bend: form("scope", "system/Patient.readwrite"), status: bad, code: "invalid_scope"},
		{name: "actions out of order", bend: form("scope", "system/Patient.sr"), status: bad, code: "invalid_scope"},
		{name: "user scopes", bend: form("scope", "user/Patient.rs patient/*.rs launch openid offline_access"), status: bad, code: "invalid_scope"},
		{name: "scope filtered by a query", bend: form("scope", "system/Patient.rs?_id=1"), status: bad, code: "invalid_scope"},
		{name: "outside the registration", client: "narrow", bend: form("scope", "system/Coverage.rs"), status: bad, code: "invalid_scope"},
		{name: "operation outside the registration", client: "narrow", bend: form("scope", pdex+"OperationDefinition/BulkMemberMatch"), status: bad, code: "invalid_scope"},
		{name: "scope over the bound", bend: form("scope", "system/*.rs "+strings.Repeat("x", maxScopeText)), status: bad, code: "invalid_scope"},
	}
	require.GreaterOrEqual(t, len(tests), 60)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, key := tt.client, ecKey()
			if client == "" {
				client = "victim"
			}
			if tt.rsa {
				key = rsaKey()
			}
			a := b.attempt(client, key)
			if tt.bend != nil {
				tt.bend(a)
			}
			w := a.send(t, b.server)

			require.Equal(t, tt.status, w.Code, w.Body)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			var answer map[string]string
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			require.Equal(t, tt.code, answer["error"])
			require.NotContains(t, answer, "access_token")
			if tt.code == "invalid_client" {
				require.JSONEq(t, `{"error":"invalid_client","error_description":"client authentication failed"}`, w.Body.String(),
					"every failed authentication must look the same")
			}
		})
	}
}

// An attack is only one if the request would succeed without it.
func TestAttemptSucceedsUnbent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keysURL := registerVictims(t, b)
	for client, key := range map[string]keyPair{"victim": ecKey(), "victim-url": rsaKey(), "narrow": ecKey(), "bystander": otherECKey()} {
		w := b.attempt(client, key).send(t, b.server)
		require.Equal(t, http.StatusOK, w.Code, client)
	}
	withJKU := b.attempt("victim-url", rsaKey())
	withJKU.header["jku"] = keysURL
	require.Equal(t, http.StatusOK, withJKU.send(t, b.server).Code)
}

// What an unknown client is told must not come sooner than what a client with a bad signature is told.
func TestUnknownClientTakesAsLong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	registerVictims(t, b)
	once := func(client string) time.Duration {
		a := b.attempt(client, otherECKey())
		a.form.Set("client_assertion", a.assertion(t))
		began := time.Now()
		require.Equal(t, http.StatusBadRequest, a.send(t, b.server).Code)
		return time.Since(began)
	}
	// Taken in turns, and the best of each: whatever else the machine does only ever adds.
	bad, unknown := once("victim"), once("nobody")
	for range 40 {
		bad, unknown = min(bad, once("victim")), min(unknown, once("nobody"))
	}
	require.Less(t, max(bad, unknown), 2*min(bad, unknown), "unknown %v, bad signature %v", unknown, bad)
}

func FuzzParseAssertion(f *testing.F) {
	b := &testBundle{clock: newClock()}
	good := b.attempt("victim", ecKey()).assertion(f)
	f.Add(good)
	f.Add("")
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(`{"payload":"e30","signatures":[]}`)
	tokenURL := []string{publicURL + TokenPath}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAssertion(text, tokenURL, testStart)
		if err != nil {
			require.Nil(t, a)
			return
		}
		require.True(t, a.alg == jose.RS384 || a.alg == jose.ES384)
		require.True(t, models.ValidClientID(a.clientID))
		require.True(t, a.jti != "" && len(a.jti) <= maxJTI)
		require.False(t, a.expires.After(testStart.Add(maxAssertionLife+ClockSkew)))
		if text != good {
			require.Error(t, a.verify(&jose.JSONWebKey{Key: &otherECKey().ec.PublicKey}))
		}
	})
}
