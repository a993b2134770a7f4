package auth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

const initialText = "initial-access-token"

func (b *testBundle) initialToken(t testing.TB, text string, uses int) models.InitialToken {
	t.Helper()
	token := models.InitialToken{
		ID: models.NewID(), Hash: hashOf(text), Note: "test", Kind: models.ClientPayer, Organization: "Payer B",
		OrganizationIDs: []string{"urn:oid:2.16.840.1.113883.4.4|12-3456789"}, Scopes: []string{"system/Patient.rs", "system/Coverage.rs"},
		UsesLeft: uses, CreatedAt: testStart, ExpiresAt: testStart.Add(time.Hour),
	}
	require.NoError(t, b.store.AddInitialToken(t.Context(), token))
	return token
}

func withBearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// selfDescription is what a client says of itself.
func selfDescription(t testing.TB, change ...func(map[string]any)) string {
	t.Helper()
	m := map[string]any{
		"client_name": "Self-made", "contacts": []string{"ops@client.example.org"}, "grant_types": []string{"client_credentials"},
		"token_endpoint_auth_method": "private_key_jwt", "scope": "system/*.rs", "jwks": jwks(t, ecKey().public()),
	}
	for _, f := range change {
		f(m)
	}
	raw, err := json.Marshal(m)
	require.NoError(t, err)
	return string(raw)
}

func TestDynamicRegistration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.initialToken(t, initialText, 2)
	w := do(t, b.server, http.MethodPost, RegisterPath, selfDescription(t), withBearer(initialText))
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var answer map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	id, token := answer["client_id"].(string), answer["registration_access_token"].(string)
	require.Equal(t, publicURL+RegisterPath+"/"+id, answer["registration_client_uri"])
	require.Equal(t, "system/Patient.rs system/Coverage.rs", answer["scope"], "no more than the administrator said")
	require.GreaterOrEqual(t, len(token), 40)
	stored, err := b.store.Client(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, models.ClientPayer, stored.Kind)
	require.Equal(t, []string{"urn:oid:2.16.840.1.113883.4.4|12-3456789"}, stored.OrganizationIDs)
	require.NotContains(t, string(stored.RegistrationHash), token)

	a := b.attempt(id, ecKey())
	w = a.send(t, b.server)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var granted tokenAnswer
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &granted))
	require.Equal(t, "system/Patient.rs system/Coverage.rs", granted.Scope)
	r := requestWith(t, granted.AccessToken)
	_, err = b.server.Authenticate(r)
	require.NoError(t, err)

	self := RegisterPath + "/" + id
	w = do(t, b.server, http.MethodGet, self, "", withBearer(token))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var read map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &read))
	require.Equal(t, id, read["client_id"])
	require.Equal(t, token, read["registration_access_token"])

	// New keys at any time: the token that was issued lives on.
	w = do(t, b.server, http.MethodPut, self, selfDescription(t, put("client_id", id), put("jwks", jwks(t, rsaKey().public())), put("scope", "system/Patient.rs")), withBearer(token))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	caller, err := b.server.Authenticate(r)
	require.NoError(t, err)
	require.Equal(t, "system/Patient.rs", caller.Scopes.String(), "what it gave up is gone from its tokens")
	require.Equal(t, http.StatusBadRequest, b.attempt(id, ecKey()).send(t, b.server).Code)
	require.Equal(t, http.StatusOK, b.attempt(id, rsaKey()).send(t, b.server).Code)

	// An administrator's word goes before.
	stored, err = b.store.Client(t.Context(), id)
	require.NoError(t, err)
	stored.Active = false
	_, err = b.store.UpsertClient(t.Context(), stored)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, do(t, b.server, http.MethodPut, self, selfDescription(t, put("client_id", id)), withBearer(token)).Code)
	stored.Active = true
	_, err = b.store.UpsertClient(t.Context(), stored)
	require.NoError(t, err)

	w = do(t, b.server, http.MethodDelete, self, "", withBearer(token))
	require.Equal(t, http.StatusNoContent, w.Code, w.Body)
	_, err = b.server.Authenticate(r)
	require.ErrorIs(t, err, ErrBadToken)
	require.Equal(t, http.StatusUnauthorized, do(t, b.server, http.MethodGet, self, "", withBearer(token)).Code)
	require.Equal(t, http.StatusBadRequest, b.attempt(id, rsaKey()).send(t, b.server).Code)
	stored, err = b.store.Client(t.Context(), id)
	require.NoError(t, err)
	require.NotNil(t, stored.CancelledAt)
	stored.Active = true
	_, err = b.store.UpsertClient(t.Context(), stored)
	require.Equal(t, models.KindInvalid, models.KindOf(err), "it never comes back")
}

// A token for one client is good for one, however many ask at once.
func TestInitialTokenIsCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.initialToken(t, initialText, 2)
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			w := do(t, b.newServer(), http.MethodPost, RegisterPath, selfDescription(t), withBearer(initialText))
			if w.Code == http.StatusCreated {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 2, made.Load())

	b.initialToken(t, "late", 1)
	b.clock.advance(time.Hour)
	require.Equal(t, http.StatusUnauthorized, do(t, b.server, http.MethodPost, RegisterPath, selfDescription(t), withBearer("late")).Code, "expired")
}

func TestDynamicRegistrationRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	initial := b.initialToken(t, initialText, 1)
	b.initialToken(t, "another", 1)
	strict := New(Config{PublicURL: publicURL, ResourceTypes: []string{"Patient", "Coverage"}, Now: b.clock.now}, b.store)
	w := do(t, strict, http.MethodPost, RegisterPath, selfDescription(t), withBearer("another"))
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	var mine struct {
		ID    string `json:"client_id"`
		Token string `json:"registration_access_token"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &mine))
	b.register(t, models.Client{ID: "by-hand", JWKS: jwks(t, ecKey().public()), Active: true})

	private := ecKey().public()
	private.Key = ecKey().ec
	symmetric := json.RawMessage(`{"keys":[{"kty":"oct","k":"AAAA","kid":"x"}]}`)
	const metadata, request, token = "invalid_client_metadata", "invalid_request", "invalid_token"
	type test struct {
		name   string
		body   string
		change func(*http.Request)
		status int
		code   string
	}
	says := func(change ...func(map[string]any)) string { return selfDescription(t, change...) }
	tests := []test{
		{"no token", says(), nil, 401, token},
		{"basic", says(), func(r *http.Request) { r.SetBasicAuth("a", initialText) }, 401, token},
		{"a token of nobody's", says(), withBearer("guess"), 401, token},
		{"a token with more behind", says(), withBearer(initialText + "x"), 401, token},
		{"a token in another case", says(), withBearer(strings.ToUpper(initialText)), 401, token},
		{"the hash in place of the token", says(), withBearer(string(initial.Hash)), 401, token},
		{"a registration token", says(), withBearer(mine.Token), 401, token},
		{"two tokens", says(), func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + initialText, "Bearer x"} }, 401, token},

		{"no keys", says(drop("jwks")), nil, 400, metadata},
		{"keys in two places", says(put("jwks_uri", "https://client.example.org/jwks")), nil, 400, metadata},
		{"keys over http", says(drop("jwks"), put("jwks_uri", "http://client.example.org/jwks")), nil, 400, metadata},
		{"keys in a file", says(drop("jwks"), put("jwks_uri", "file:///etc/passwd")), nil, 400, metadata},
		{"keys at a URL with a password", says(drop("jwks"), put("jwks_uri", "https://a:b@client.example.org/jwks")), nil, 400, metadata},
		{"keys at a URL that is none", says(drop("jwks"), put("jwks_uri", "https://")), nil, 400, metadata},
		{"a private key", says(put("jwks", jwks(t, private))), nil, 400, metadata},
		{"a symmetric key", says(put("jwks", symmetric)), nil, 400, metadata},
		{"a key on P-256", says(put("jwks", jwks(t, p256Key().public()))), nil, 400, metadata},
		{"a key set without keys", says(put("jwks", json.RawMessage(`{"keys":[]}`))), nil, 400, metadata},
		{"a key set that is a list", says(put("jwks", json.RawMessage(`[]`))), nil, 400, metadata},
		{"a key set that is a string", says(put("jwks", "x")), nil, 400, metadata},
		{"client_secret_basic", says(put("token_endpoint_auth_method", "client_secret_basic")), nil, 400, metadata},
		{"no authentication at all", says(put("token_endpoint_auth_method", "none")), nil, 400, metadata},
		{"auth method missing", says(drop("token_endpoint_auth_method")), nil, 400, metadata},
		{"grant_types missing", says(drop("grant_types")), nil, 400, metadata},
		{"authorization_code", says(put("grant_types", []string{"authorization_code"})), nil, 400, metadata},
		{"grant_types a string", says(put("grant_types", "client_credentials")), nil, 400, metadata},
		{"redirect_uris", says(put("redirect_uris", []string{"https://evil.example"})), nil, 400, metadata},
		{"response_types", says(put("response_types", []string{"token"})), nil, 400, metadata},
		{"name missing", says(drop("client_name")), nil, 400, metadata},
		{"name with a control character", says(put("client_name", "a\x07b")), nil, 400, metadata},
		{"name over the bound", says(put("client_name", strings.Repeat("n", 201))), nil, 400, metadata},
		{"name a list", says(put("client_name", []string{"a"})), nil, 400, metadata},
		{"contacts too many", says(put("contacts", strings.Split(strings.Repeat("a ", 21), " ")[:21])), nil, 400, metadata},
		{"contact over the bound", says(put("contacts", []string{strings.Repeat("c", 513)})), nil, 400, metadata},
		{"scope outside the token's", says(put("scope", "system/ExplanationOfBenefit.rs")), nil, 400, metadata},
		{"scope of writing", says(put("scope", "system/*.cud")), nil, 400, metadata},
		{"scope of a user", says(put("scope", "user/*.rs openid")), nil, 400, metadata},
		{"scope over the bound", says(put("scope", strings.Repeat("system/Patient.rs ", 1000))), nil, 400, metadata},
		{"a member twice", strings.Replace(says(), "{", `{"client_name":"x",`, 1), nil, 400, request},
		{"an array", `[]`, nil, 400, request},
		{"not JSON", `client_name=x`, nil, 400, request},
		{"nested deeply", `{"x":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`, nil, 400, request},
		{"body over the bound", `{"x":"` + strings.Repeat("x", DefaultRegistrationBody) + `"}`, nil, 413, request},
		{"form", says(), func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 400, request},
	}
	refused := func(t *testing.T, w *httptest.ResponseRecorder, tt test) {
		t.Helper()
		require.Equal(t, tt.status, w.Code, w.Body)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		var answer map[string]string
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		require.Equal(t, tt.code, answer["error"], answer["error_description"])
		require.NotContains(t, answer, "client_id")
		if tt.status == http.StatusUnauthorized {
			require.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := do(t, strict, http.MethodPost, RegisterPath, tt.body, func(r *http.Request) {
				if tt.status != http.StatusUnauthorized {
					r.Header.Set("Authorization", "Bearer "+initialText)
				}
				if tt.change != nil {
					tt.change(r)
				}
			})
			refused(t, w, tt)
		})
	}
	_, err := b.store.InitialToken(t.Context(), hashOf(initialText), b.clock.now())
	require.NoError(t, err, "no refusal has used it up")

	self := RegisterPath + "/" + mine.ID
	for _, tt := range []struct {
		name, method, path string
		test
	}{
		{"no token", "GET", self, test{status: 401, code: token}},
		{"another token", "GET", self, test{change: withBearer("guess"), status: 401, code: token}},
		{"the initial token", "GET", self, test{change: withBearer(initialText), status: 401, code: token}},
		{"another's registration", "GET", RegisterPath + "/" + models.NewID(), test{change: withBearer(mine.Token), status: 401, code: token}},
		{"a client that was registered by hand", "GET", RegisterPath + "/by-hand", test{change: withBearer(mine.Token), status: 401, code: token}},
		{"a client that was registered by hand, with no hash", "PUT", RegisterPath + "/by-hand", test{body: says(put("client_id", "by-hand")), change: withBearer("\x00"), status: 401, code: token}},
		{"an id that is none", "DELETE", RegisterPath + "/%00", test{change: withBearer(mine.Token), status: 401, code: token}},
		{"POST", "POST", self, test{change: withBearer(mine.Token), status: 405, code: request}},
		{"another client_id", "PUT", self, test{body: says(put("client_id", "by-hand")), change: withBearer(mine.Token), status: 400, code: metadata}},
		{"no client_id", "PUT", self, test{body: says(), change: withBearer(mine.Token), status: 400, code: metadata}},
		{"more scopes than were given", "PUT", self, test{body: says(put("client_id", mine.ID), put("scope", "system/ExplanationOfBenefit.rs")), change: withBearer(mine.Token), status: 400, code: metadata}},
		{"a private key", "PUT", self, test{body: says(put("client_id", mine.ID), put("jwks", jwks(t, private))), change: withBearer(mine.Token), status: 400, code: metadata}},
		{"a body that is none", "PUT", self, test{body: "x", change: withBearer(mine.Token), status: 400, code: metadata}},
	} {
		t.Run("of its own: "+tt.name, func(t *testing.T) { refused(t, do(t, strict, tt.method, tt.path, tt.body, tt.change), tt.test) })
	}
	require.Equal(t, http.StatusOK, do(t, strict, http.MethodGet, self, "", withBearer(mine.Token)).Code)
}

func FuzzRegistrationBody(f *testing.F) {
	f.Add([]byte(selfDescription(f)))
	f.Add([]byte(`{"jwks":{"keys":[{}]}}`))
	f.Add([]byte(`[[[[[[[[[[[[[[[[[[[[`))
	s := New(Config{PublicURL: publicURL, ResourceTypes: []string{"Patient"}}, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		if !shallow(body) {
			return
		}
		m, refusal := s.readMetadata(body)
		if refusal != nil {
			return
		}
		require.NotEqual(t, len(m.JWKS) == 0, m.JWKSURL == "")
		require.Equal(t, []string{grantType}, m.GrantTypes)
	})
}
