package client

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/pki"
)

func TestUDAP(t *testing.T) {
	t.Parallel()
	root, err := pki.NewRoot("test")
	require.NoError(t, err)
	id, err := root.Issue(pki.Request{Name: "client", URIs: []string{"https://client.example.org"}})
	require.NoError(t, err)
	u := &UDAP{Identity: id, B2B: map[string]any{"version": "1"}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /register", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if json.NewDecoder(r.Body).Decode(&body) != nil || body["udap"] != "1" || body["software_statement"] == "" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(`{"client_id":"c"}`))
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("udap") != "1" || r.FormValue("client_assertion") == "" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(`{"access_token":"t","token_type":"bearer","expires_in":300,"scope":"system/*.rs"}`))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	clientID, err := u.Register(t.Context(), srv.URL+"/register", Statement{Issuer: "https://client.example.org", Name: "n", Scope: "system/*.rs"}, time.Now())
	require.NoError(t, err)
	require.Equal(t, "c", clientID)
	token, err := New(Config{TokenURL: srv.URL + "/token", ClientID: clientID, UDAP: u}).Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "t", token)
	_, err = u.Register(t.Context(), srv.URL+"/nonesuch", Statement{}, time.Now())
	require.Error(t, err)
}
