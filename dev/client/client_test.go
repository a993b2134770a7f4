package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/auth"
	"pdexbulk/dev/client"
	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// clock is a clock that tests turn.
type clock struct{ nanos atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// scripted is a FHIR server whose tokens are real and whose answers a test writes.
type scripted struct {
	*httptest.Server
	mux    *http.ServeMux
	clock  *clock
	store  *store.Store
	tokens atomic.Int32 // token requests
	mu     sync.Mutex
	slept  []time.Duration
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	db, err := store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s := &scripted{mux: http.NewServeMux(), clock: &clock{}, store: db}
	s.clock.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	s.Server = httptest.NewServer(s.mux)
	t.Cleanup(s.Close)
	server := auth.New(auth.Config{
		PublicURL: s.URL, ResourceTypes: []string{"Patient", "Coverage"}, Now: s.clock.now,
		Log: slog.New(slog.DiscardHandler),
	}, db)
	s.mux.HandleFunc(auth.TokenPath, func(w http.ResponseWriter, r *http.Request) {
		s.tokens.Add(1)
		server.Token(w, r)
	})
	s.mux.HandleFunc(auth.DiscoveryPath, server.Discovery)
	s.mux.HandleFunc("/fhir/", func(w http.ResponseWriter, r *http.Request) {
		if _, err := server.Authenticate(r); err != nil {
			w.Header().Set("WWW-Authenticate", auth.Challenge(err))
			outcome(w, http.StatusUnauthorized, "login", "no token")
			return
		}
		outcome(w, http.StatusNotFound, "not-found", "no such thing")
	})
	return s
}

// client registers a client and returns it.
func (s *scripted) client(t *testing.T, alg string) *client.Client {
	t.Helper()
	key, err := client.NewKey(alg)
	require.NoError(t, err)
	jwks, err := client.JWKS(key)
	require.NoError(t, err)
	_, err = s.store.UpsertClient(t.Context(), models.Client{
		ID: "payer-" + alg, Name: "Payer", Kind: models.ClientPayer, Scopes: []string{"system/*.rs"}, JWKS: jwks, Active: true,
	})
	require.NoError(t, err)
	return client.New(client.Config{
		BaseURL: s.URL + "/fhir", ClientID: "payer-" + alg, Key: key, Now: s.clock.now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.slept = append(s.slept, d)
			return ctx.Err()
		},
	})
}

// replies serves a path with one reply after another; the last one stays.
func (s *scripted) replies(path string, replies ...http.HandlerFunc) {
	var n atomic.Int32
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		replies[min(int(n.Add(1)), len(replies))-1](w, r)
	})
}

func outcome(w http.ResponseWriter, status int, code, diagnostics string) {
	w.Header().Set("Content-Type", "application/fhir+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"resourceType": "OperationOutcome",
		"issue":        []any{map[string]any{"severity": "error", "code": code, "diagnostics": diagnostics}},
	})
}

func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

func body(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{client.RS384, client.ES384} {
		key, err := client.NewKey(alg)
		require.NoError(t, err)
		require.Equal(t, alg, key.Alg())
		require.Len(t, key.KID(), 43)
		jwks, err := client.JWKS(key)
		require.NoError(t, err)
		require.NoError(t, auth.CheckJWKS(jwks), "a server takes it")
		require.NotContains(t, string(jwks), `"d"`)

		raw, err := json.Marshal(key)
		require.NoError(t, err)
		again, err := client.ParseKey(raw)
		require.NoError(t, err)
		require.Equal(t, key.KID(), again.KID())
		sameJWKS, err := client.JWKS(again)
		require.NoError(t, err)
		require.JSONEq(t, string(jwks), string(sameJWKS))
	}
	_, err := client.NewKey("RS256")
	require.Error(t, err)
	for _, bad := range []string{"", "{}", `{"kty":"oct","k":"AAAA","alg":"HS384"}`} {
		_, err := client.ParseKey([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{client.RS384, client.ES384} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			s := newScripted(t)
			c := s.client(t, alg)
			var wg sync.WaitGroup
			tokens := make([]string, 8)
			for i := range tokens {
				wg.Go(func() { tokens[i], _ = c.Token(t.Context()) })
			}
			wg.Wait()
			require.NotEmpty(t, tokens[0])
			for _, token := range tokens {
				require.Equal(t, tokens[0], token)
			}
			require.EqualValues(t, 1, s.tokens.Load(), "one request served all")
			require.Equal(t, "system/*.rs", c.Granted())

			s.clock.advance(auth.TokenLifetime - 31*time.Second)
			same, err := c.Token(t.Context())
			require.NoError(t, err)
			require.Equal(t, tokens[0], same)
			s.clock.advance(time.Second)
			renewed, err := c.Token(t.Context())
			require.NoError(t, err)
			require.NotEqual(t, tokens[0], renewed)
		})
	}
}

func TestTokenRefused(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	key, err := client.NewKey(client.ES384)
	require.NoError(t, err)
	c := client.New(client.Config{BaseURL: s.URL + "/fhir", ClientID: "nobody", Key: key, Now: s.clock.now})
	_, err = c.Token(t.Context())
	refused, ok := errors.AsType[*client.Error](err)
	require.True(t, ok, err)
	require.Equal(t, http.StatusBadRequest, refused.Status)
	require.Equal(t, "invalid_client", refused.Code)
	require.EqualError(t, refused, "POST /auth/token: 400 Bad Request (invalid_client): client authentication failed")
}

// A token the server does not take any more is replaced once.
func TestRefusedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := s.client(t, client.ES384)
	s.replies("/fhir/job", status(http.StatusUnauthorized), status(http.StatusAccepted))
	require.NoError(t, c.Job(s.URL+"/fhir/job").Delete(t.Context()))
	require.EqualValues(t, 2, s.tokens.Load())

	s.replies("/fhir/closed", status(http.StatusUnauthorized))
	err := c.Job(s.URL + "/fhir/closed").Delete(t.Context())
	require.ErrorContains(t, err, "401")
	require.EqualValues(t, 3, s.tokens.Load(), "and not for ever")
}

func TestKickOff(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := s.client(t, client.ES384)
	var got *http.Request
	var gotBody string
	s.mux.HandleFunc("/fhir/Group/{op}", func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got, gotBody = r, string(raw)
		w.Header().Set("Content-Location", s.URL+"/fhir/jobs/1")
		w.WriteHeader(http.StatusAccepted)
	})
	job, err := c.MemberMatch(t.Context(), strings.NewReader(`{"resourceType":"Parameters"}`))
	require.NoError(t, err)
	require.Equal(t, s.URL+"/fhir/jobs/1", job.StatusURL)
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "$bulk-member-match", got.PathValue("op"))
	require.Equal(t, "respond-async", got.Header.Get("Prefer"))
	require.Equal(t, "application/fhir+json", got.Header.Get("Accept"))
	require.Equal(t, "application/fhir+json", got.Header.Get("Content-Type"))
	require.JSONEq(t, `{"resourceType":"Parameters"}`, gotBody)

	_, err = c.KickOff(t.Context(), http.MethodGet, "Group/$export", url.Values{"_type": {"Patient"}},
		http.Header{"prefer": {"respond-async, handling=lenient"}}, nil)
	require.NoError(t, err)
	require.Equal(t, http.MethodGet, got.Method)
	require.Equal(t, "_type=Patient", got.URL.RawQuery)
	require.Equal(t, "respond-async, handling=lenient", got.Header.Get("Prefer"))
	require.Empty(t, got.Header.Get("Content-Type"))

	for path, want := range map[string]string{
		"none":     "0 Content-Location headers",
		"relative": "Content-Location is not absolute",
		"sync":     "200 OK",
		"refused":  "POST /fhir/refused: 422 Unprocessable Entity (invariant): bundle 3 has no Consent",
	} {
		s.mux.HandleFunc("/fhir/"+path, func(w http.ResponseWriter, _ *http.Request) {
			switch path {
			case "none":
				w.WriteHeader(http.StatusAccepted)
			case "relative":
				w.Header().Set("Content-Location", "/fhir/jobs/1")
				w.WriteHeader(http.StatusAccepted)
			case "refused":
				outcome(w, http.StatusUnprocessableEntity, "invariant", "bundle 3 has no Consent")
			}
		})
		_, err := c.KickOff(t.Context(), http.MethodPost, path+"?_id=secret", nil, nil, strings.NewReader("{}"))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestTokenStaysHome(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := s.client(t, client.ES384)
	var seen []string
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		body("application/fhir+ndjson", `{"resourceType":"Patient"}`+"\n")(w, r)
	}))
	t.Cleanup(foreign.Close)
	file := client.File{Type: "Patient", URL: foreign.URL + "/f"}
	_, err := c.Download(t.Context(), &client.Manifest{RequiresAccessToken: true}, file, nil)
	require.ErrorContains(t, err, "another host")
	require.Empty(t, seen)
	_, err = c.Download(t.Context(), &client.Manifest{}, file, nil)
	require.NoError(t, err)
	require.Equal(t, []string{""}, seen, "a file that needs no token is sent none")
}
