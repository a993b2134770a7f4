package admin_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
)

const byURL = `{"name":"Client","kind":"payer","scopes":["system/*.rs"],"jwksUrl":"https://a.example/jwks"}`

func TestClientVersions(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	const path = "/admin/clients/c"
	put := func(body string, headers ...string) *apitest.Answer {
		return a.Do(t, http.MethodPut, path, body, append(headers, bearer, jsonType)...)
	}
	refused(t, a.Do(t, http.MethodGet, path, "", bearer), 404)
	refused(t, put(byURL, "If-Match: *"), 412)
	refused(t, put(byURL, `If-Match: "x"`), 412)
	first := put(byURL)
	require.Equal(t, http.StatusOK, first.StatusCode, first.Text)
	tag := first.Header.Get("ETag")
	require.NotEmpty(t, tag)
	read := a.Do(t, http.MethodGet, path, "", bearer)
	require.Equal(t, []string{first.Text, tag}, []string{read.Text, read.Header.Get("ETag")})
	require.NotContains(t, read.Text, "registration", "an administrator made it")

	second := put(byURL, "If-Match: "+tag)
	require.Equal(t, http.StatusOK, second.StatusCode, second.Text)
	require.NotEqual(t, tag, second.Header.Get("ETag"))
	require.Equal(t, "If-Match", refused(t, put(byURL, "If-Match: "+tag), 412).Field, "somebody was faster")
	require.Equal(t, http.StatusOK, put(byURL, "If-Match: *").StatusCode)
	require.Equal(t, http.StatusOK, put(byURL).StatusCode)
}

// Keys are replaced without an interruption: while both are registered both are good.
func TestKeysOfAClientAreReplaced(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "payer", models.ClientPayer, "")
	read := a.Do(t, http.MethodGet, "/admin/clients/payer", "", bearer)
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(read.Text), &body))
	for _, field := range []string{"id", "createdAt", "updatedAt"} {
		delete(body, field)
	}
	keys := body["jwks"].(map[string]any)["keys"].([]any)
	body["jwks"] = map[string]any{"keys": append(keys, map[string]any{
		"kty": "EC", "crv": "P-384", "kid": "next", "x": "", "y": "",
	})}
	text, err := json.Marshal(body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Do(t, http.MethodPut, "/admin/clients/payer", string(text), bearer, jsonType, "If-Match: "+read.Header.Get("ETag")).StatusCode)
	require.Equal(t, http.StatusOK, c.Do(t, http.MethodGet, "/fhir/Group", "").StatusCode, "tokens live on")
	a.Login(t, "payer", "")

	body["active"] = false
	text, err = json.Marshal(body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Do(t, http.MethodPut, "/admin/clients/payer", string(text), bearer, jsonType).StatusCode)
	c.Do(t, http.MethodGet, "/fhir/Group", "").Refused(t, 401)
	body["active"] = true
	text, err = json.Marshal(body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Do(t, http.MethodPut, "/admin/clients/payer", string(text), bearer, jsonType).StatusCode)
	c.Do(t, http.MethodGet, "/fhir/Group", "").Refused(t, 401)
	again := a.Login(t, "payer", "")
	require.Equal(t, http.StatusOK, again.Do(t, http.MethodGet, "/fhir/Group", "").StatusCode)
	resp := a.Do(t, http.MethodPost, "/admin/clients/payer/void-tokens", "", bearer)
	require.Equal(t, http.StatusNoContent, resp.StatusCode, resp.Text)
	again.Do(t, http.MethodGet, "/fhir/Group", "").Refused(t, 401)
	refused(t, a.Do(t, http.MethodPost, "/admin/clients/nonesuch/void-tokens", "", bearer), 404)
}

// A client that registered by UDAP is approved by saying what it is.
func TestApproveUDAPClient(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	_, err := a.Store.AddClient(t.Context(), models.Client{
		ID: "u", Name: "By UDAP", Kind: models.ClientPending, Origin: models.OriginUDAP, Issuer: "https://client.example.org", Community: "urn:x",
		Requested: []string{"system/Patient.rs"}, Contacts: []string{"mailto:a@b.example"},
	})
	require.NoError(t, err)
	var view struct {
		Kind         string
		Active       bool
		Scopes       []string
		Registration map[string]any
	}
	read := func() {
		t.Helper()
		require.NoError(t, json.Unmarshal([]byte(a.Do(t, http.MethodGet, "/admin/clients/u", "", bearer).Text), &view))
	}
	read()
	require.Equal(t, []any{"pending", false}, []any{view.Kind, view.Active})
	require.Equal(t, map[string]any{
		"origin": "udap", "issuer": "https://client.example.org", "community": "urn:x", "requestedScopes": []any{"system/Patient.rs"},
		"contacts": []any{"mailto:a@b.example"},
	}, view.Registration)
	put := func(body string) *apitest.Answer {
		return a.Do(t, http.MethodPut, "/admin/clients/u", body, bearer, jsonType)
	}
	require.Equal(t, "active", refused(t, put(`{"name":"n","kind":"pending","scopes":[],"active":true}`), 400).Field)
	require.Equal(t, "jwks", refused(t, put(byURL), 400).Field, "it has certificates")
	resp := put(`{"name":"n","kind":"provider","scopes":["system/*.rs"],"organizationIds":["urn:x|1"],"active":true}`)
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
	read()
	require.Equal(t, []any{"provider", true}, []any{view.Kind, view.Active})
	require.Equal(t, "https://client.example.org", view.Registration["issuer"], "what it said of itself stays")

	stored, err := a.Store.Client(t.Context(), "u")
	require.NoError(t, err)
	now := time.Now()
	stored.Active, stored.CancelledAt = false, &now
	_, err = a.Store.ChangeClient(t.Context(), stored)
	require.NoError(t, err)
	require.Equal(t, "active", refused(t, put(`{"name":"n","kind":"provider","scopes":["system/*.rs"],"active":true}`), 400).Field, "it gave its registration up")
}

func TestInitialTokens(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	const path = "/admin/initial-tokens"
	post := func(body string) *apitest.Answer { return a.Do(t, http.MethodPost, path, body, bearer, jsonType) }
	resp := post(`{"note":"for Payer B","kind":"payer","organization":"Payer B","organizationIds":["urn:x|1"],"scopes":["system/*.rs"],"uses":3}`)
	require.Equal(t, http.StatusCreated, resp.StatusCode, resp.Text)
	var made struct {
		ID, Token string
		Uses      int
		ExpiresAt time.Time
	}
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &made))
	require.GreaterOrEqual(t, len(made.Token), 40)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), made.ExpiresAt, time.Minute)
	hash := sha256.Sum256([]byte(made.Token))
	stored, err := a.Store.InitialToken(t.Context(), hash[:], time.Now())
	require.NoError(t, err)
	require.Equal(t, made.ID, stored.ID)

	list := a.Do(t, http.MethodGet, path, "", bearer)
	require.Contains(t, list.Text, made.ID)
	require.NotContains(t, list.Text, made.Token, "it is shown once")
	require.Equal(t, http.StatusNoContent, a.Do(t, http.MethodDelete, path+"/"+made.ID, "", bearer).StatusCode)
	refused(t, a.Do(t, http.MethodDelete, path+"/"+made.ID, "", bearer), 404)
	refused(t, a.Do(t, http.MethodDelete, path+"/x", "", bearer), 404)
	_, err = a.Store.InitialToken(t.Context(), hash[:], time.Now())
	require.Equal(t, models.KindNotFound, models.KindOf(err))

	for name, tt := range map[string]struct{ body, field string }{
		"no note":        {`{"note":" ","kind":"payer","scopes":["system/*.rs"]}`, "note"},
		"no uses":        {`{"note":"n","kind":"payer","scopes":["system/*.rs"],"uses":-1}`, "uses"},
		"too many uses":  {`{"note":"n","kind":"payer","scopes":["system/*.rs"],"uses":1001}`, "uses"},
		"expired":        {`{"note":"n","kind":"payer","scopes":["system/*.rs"],"expiresAt":"2020-01-01T00:00:00Z"}`, "expiresAt"},
		"for ever":       {`{"note":"n","kind":"payer","scopes":["system/*.rs"],"expiresAt":"2099-01-01T00:00:00Z"}`, "expiresAt"},
		"unknown scope":  {`{"note":"n","kind":"payer","scopes":["` + secret + `"]}`, "scopes"},
		"malformed org.": {`{"note":"n","kind":"payer","scopes":["system/*.rs"],"organizationIds":["` + secret + `"]}`, "organizationIds"},
	} {
		require.Equal(t, tt.field, refused(t, post(tt.body), 400).Field, name)
	}
	refused(t, post(`{"note":"n","kind":"pending","scopes":["system/*.rs"]}`), 422)
}

// A registration that its client gives up at the moment in which an administrator changes it does not come back.
func TestWhatAClientGaveUpStaysSo(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	a.Register(t, "c", models.ClientPayer)
	tx, err := a.Store.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `UPDATE clients SET active = false, cancelled_at = now(), updated_at = clock_timestamp(), generation = generation + 1 WHERE id = 'c'`)
	require.NoError(t, err)
	done := make(chan *apitest.Answer, 1)
	go func() {
		resp, _ := a.Try(context.Background(), http.MethodPut, "/admin/clients/c", strings.NewReader(byURL), bearer, jsonType)
		done <- resp
	}()
	require.Eventually(t, func() bool { // it has read the client and waits to change it
		var waits bool
		err := a.Store.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
		return err == nil && waits
	}, time.Minute, 5*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	resp := <-done
	require.NotNil(t, resp)
	refused(t, resp, 400)
	c, err := a.Store.Client(t.Context(), "c")
	require.NoError(t, err)
	require.False(t, c.Active)
	require.NotNil(t, c.CancelledAt)
}
