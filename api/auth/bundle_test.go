package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

const publicURL = "https://pdex.example.org"

// testStart is where the clocks of these tests start.
var testStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests turn.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(testStart.UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// keyPair is a client's key as it signs; keys are made once for all tests.
type keyPair struct {
	kid string
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

var (
	rsaKey      = sync.OnceValue(func() keyPair { return newRSA("rs-1") })
	otherRSAKey = sync.OnceValue(func() keyPair { return newRSA("rs-1") })
	ecKey       = sync.OnceValue(func() keyPair { return newEC("es-1", elliptic.P384()) })
	otherECKey  = sync.OnceValue(func() keyPair { return newEC("es-1", elliptic.P384()) })
	p256Key     = sync.OnceValue(func() keyPair { return newEC("p256", elliptic.P256()) })
)

func newRSA(kid string) keyPair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return keyPair{kid: kid, rsa: key}
}

func newEC(kid string, curve elliptic.Curve) keyPair {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return keyPair{kid: kid, ec: key}
}

func (k keyPair) public() jose.JSONWebKey {
	if k.rsa != nil {
		return jose.JSONWebKey{Key: &k.rsa.PublicKey, KeyID: k.kid}
	}
	return jose.JSONWebKey{Key: &k.ec.PublicKey, KeyID: k.kid}
}

func (k keyPair) alg() string {
	if k.rsa != nil {
		return "RS384"
	}
	return "ES384"
}

// sign signs as RS384 or ES384 whatever the header of the message says.
func (k keyPair) sign(message string) []byte {
	sum := sha512.Sum384([]byte(message))
	if k.rsa != nil {
		sig, err := rsa.SignPKCS1v15(nil, k.rsa, crypto.SHA384, sum[:])
		if err != nil {
			panic(err)
		}
		return sig
	}
	r, s, err := ecdsa.Sign(rand.Reader, k.ec, sum[:])
	if err != nil {
		panic(err)
	}
	size := (k.ec.Curve.Params().BitSize + 7) / 8
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

func hs384(secret []byte) func(string) []byte {
	return func(message string) []byte {
		mac := hmac.New(sha512.New384, secret)
		mac.Write([]byte(message))
		return mac.Sum(nil)
	}
}

func jwks(t testing.TB, keys ...jose.JSONWebKey) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	require.NoError(t, err)
	return raw
}

// attempt is a token request in the making: everything an attacker can bend.
type attempt struct {
	header    map[string]any
	claims    map[string]any
	sign      func(message string) []byte
	rawHeader string // in place of header
	rawClaims string // in place of claims
	finish    func(assertion string) string
	form      url.Values
	rawBody   string // in place of form
	request   func(r *http.Request)
	method    string
	path      string // of the endpoint; "" is the token endpoint
}

// attempt returns a request that succeeds as it is.
func (b *testBundle) attempt(clientID string, key keyPair) *attempt {
	return &attempt{
		header: map[string]any{"alg": key.alg(), "kid": key.kid, "typ": "JWT"},
		claims: map[string]any{
			"iss": clientID, "sub": clientID, "aud": publicURL + TokenPath,
			"exp": b.clock.now().Add(4 * time.Minute).Unix(), "jti": models.NewID(),
		},
		sign:   key.sign,
		method: http.MethodPost,
		form: url.Values{
			"grant_type": {grantType}, "client_assertion_type": {assertionType}, "scope": {"system/*.rs"},
		},
	}
}

func (a *attempt) assertion(t testing.TB) string {
	t.Helper()
	header, claims := a.rawHeader, a.rawClaims
	if header == "" {
		raw, err := json.Marshal(a.header)
		require.NoError(t, err)
		header = string(raw)
	}
	if claims == "" {
		raw, err := json.Marshal(a.claims)
		require.NoError(t, err)
		claims = string(raw)
	}
	encode := base64.RawURLEncoding.EncodeToString
	message := encode([]byte(header)) + "." + encode([]byte(claims))
	assertion := message + "." + encode(a.sign(message))
	if a.finish != nil {
		assertion = a.finish(assertion)
	}
	return assertion
}

func (a *attempt) send(t testing.TB, s *Server) *httptest.ResponseRecorder {
	t.Helper()
	body := a.rawBody
	if body == "" {
		form := maps.Clone(a.form)
		if !form.Has("client_assertion") {
			form.Set("client_assertion", a.assertion(t))
		}
		body = form.Encode()
	}
	path := a.path
	if path == "" {
		path = TokenPath
	}
	r := httptest.NewRequestWithContext(t.Context(), a.method, publicURL+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if a.request != nil {
		a.request(r)
	}
	w := httptest.NewRecorder()
	mux := http.NewServeMux()
	s.Mount(mux)
	mux.ServeHTTP(w, r)
	return w
}

// testBundle is a server on a database of its own.
type testBundle struct {
	server *Server
	store  *store.Store
	clock  *clock
}

func (b *testBundle) newServer() *Server {
	return New(Config{
		PublicURL:         publicURL,
		ResourceTypes:     []string{"Patient", "Coverage", "ExplanationOfBenefit", "Group"},
		AllowInsecureJWKS: true,
		Now:               b.clock.now,
		Log:               slog.New(slog.DiscardHandler),
	}, b.store)
}

func (b *testBundle) register(t testing.TB, c models.Client) models.Client {
	t.Helper()
	if c.Name == "" {
		c.Name = "Test client"
	}
	if c.Kind == "" {
		c.Kind = models.ClientPayer
	}
	if c.Scopes == nil {
		c.Scopes = []string{"system/*.rs", pdex + "OperationDefinition/BulkMemberMatch"}
	}
	stored, err := b.store.UpsertClient(t.Context(), c)
	require.NoError(t, err)
	return stored
}

func setup(t testing.TB) *testBundle {
	t.Helper()
	db, err := store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(db.Close)
	b := &testBundle{store: db, clock: newClock()}
	b.server = b.newServer()
	return b
}

// token gets a token for the client "payer" the honest way.
func (b *testBundle) token(t testing.TB, s *Server, key keyPair, scope string) tokenAnswer {
	t.Helper()
	a := b.attempt("payer", key)
	a.form.Set("scope", scope)
	w := a.send(t, s)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var answer tokenAnswer
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	return answer
}

func requestWith(t testing.TB, token string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, publicURL+"/fhir/Patient", http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}
