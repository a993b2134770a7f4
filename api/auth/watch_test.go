package auth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// process is a server as another process would have it, with a pool of its own, that watches for events.
type process struct {
	*Server
	store *store.Store
	end   context.CancelFunc
	ended chan struct{}
}

func (b *testBundle) watching(t testing.TB, dsn string) *process {
	t.Helper()
	db, err := store.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	one := &testBundle{store: db, clock: b.clock}
	p := &process{Server: one.newServer(), store: db, ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	go func() {
		defer close(p.ended)
		p.Watch(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
	})
	require.Eventually(t, func() bool { _, watched := p.feed.revoked("x"); return watched }, 10*time.Second, time.Millisecond)
	return p
}

func setupProcesses(t testing.TB) (b *testBundle, one, two *process) {
	t.Helper()
	dsn := pgtest.New(t, store.Migrate)
	db, err := store.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	b = &testBundle{store: db, clock: newClock()}
	b.server = b.newServer()
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	return b, b.watching(t, dsn), b.watching(t, dsn)
}

// about sends a token to an endpoint in the name of the client "payer", or of another.
func (b *testBundle) about(t testing.TB, s *Server, path, token string, change ...func(*attempt)) *httptest.ResponseRecorder {
	t.Helper()
	a := b.attempt("payer", ecKey())
	a.path = path
	a.form = url.Values{"client_assertion_type": {assertionType}, "token": {token}}
	for _, f := range change {
		f(a)
	}
	return a.send(t, s)
}

// When a revocation is answered, every process refuses the token, whether it watches or not.
func TestRevocationReachesEveryProcess(t *testing.T) {
	t.Parallel()
	b, one, two := setupProcesses(t)
	for range 20 {
		token := b.token(t, one.Server, ecKey(), "system/*.rs").AccessToken
		for _, s := range []*Server{one.Server, two.Server, b.server} {
			_, err := s.Authenticate(requestWith(t, token))
			require.NoError(t, err)
		}
		w := b.about(t, one.Server, RevokePath, token)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		for _, s := range []*Server{one.Server, two.Server, b.server} {
			_, err := s.Authenticate(requestWith(t, token))
			require.ErrorIs(t, err, ErrBadToken)
		}
		require.Equal(t, http.StatusOK, b.about(t, two.Server, RevokePath, token).Code, "again is no error")
	}
	// A process that starts later knows as well.
	token := b.token(t, one.Server, ecKey(), "system/*.rs").AccessToken
	require.Equal(t, http.StatusOK, b.about(t, b.server, RevokePath, token).Code)
	three := b.watching(t, b.store.Pool.Config().ConnString())
	_, err := three.Authenticate(requestWith(t, token))
	require.ErrorIs(t, err, ErrBadToken)
}

// A client that is locked out loses its tokens everywhere, and does not get them back when it is let in again.
func TestLockoutReachesEveryProcess(t *testing.T) {
	t.Parallel()
	b, one, two := setupProcesses(t)
	client, err := b.store.Client(t.Context(), "payer")
	require.NoError(t, err)
	token := b.token(t, one.Server, ecKey(), "system/*.rs").AccessToken
	check := func(want error) {
		for _, s := range []*Server{one.Server, two.Server, b.server} {
			_, err := s.Authenticate(requestWith(t, token))
			require.ErrorIs(t, err, want)
		}
	}
	check(nil)
	set := func(change func(*models.Client)) {
		change(&client)
		_, err = b.store.UpsertClient(t.Context(), client)
		require.NoError(t, err)
		require.NoError(t, b.store.AwaitListeners(t.Context()))
	}
	// Keys are replaced without an interruption: tokens live on, and both keys are good while both are registered.
	set(func(c *models.Client) { c.JWKS = jwks(t, ecKey().public(), rsaKey().public()) })
	check(nil)
	b.token(t, two.Server, rsaKey(), "system/*.rs")
	set(func(c *models.Client) { c.JWKS = jwks(t, rsaKey().public()) })
	check(nil)
	require.Equal(t, http.StatusBadRequest, b.attempt("payer", ecKey()).send(t, one.Server).Code, "the old key is out")
	set(func(c *models.Client) { c.JWKS = jwks(t, ecKey().public()) })

	set(func(c *models.Client) { c.Active = false })
	check(ErrBadToken)
	set(func(c *models.Client) { c.Active = true })
	check(ErrBadToken)
	token = b.token(t, one.Server, ecKey(), "system/*.rs").AccessToken
	check(nil)
	require.NoError(t, b.store.VoidTokens(t.Context(), "payer"))
	require.NoError(t, b.store.AwaitListeners(t.Context()))
	check(ErrBadToken)
}

// A process that has lost sight of the events must not hold anybody up for longer than its lease, and must not let a revoked
// token in.
func TestStalledProcess(t *testing.T) {
	t.Parallel()
	b, one, two := setupProcesses(t)
	token := b.token(t, one.Server, ecKey(), "system/*.rs").AccessToken
	_, err := two.Authenticate(requestWith(t, token))
	require.NoError(t, err)

	// Somebody holds a lease and does not answer.
	_, err = b.store.Pool.Exec(t.Context(), `INSERT INTO auth_listeners (id, acked, lease_until) VALUES ('stuck', 0, clock_timestamp() + interval '500 milliseconds')`)
	require.NoError(t, err)
	began := time.Now()
	require.Equal(t, http.StatusOK, b.about(t, one.Server, RevokePath, token).Code)
	require.GreaterOrEqual(t, time.Since(began), 400*time.Millisecond, "it waits for the lease to run out")

	// A process whose connection is cut falls back on the database, and comes back by itself.
	fresh := b.token(t, one.Server, ecKey(), "system/*.rs").AccessToken
	_, err = two.Authenticate(requestWith(t, fresh))
	require.NoError(t, err)
	_, err = b.store.Pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%auth_listeners%' AND pid <> pg_backend_pid()`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, b.about(t, b.server, RevokePath, fresh).Code)
	_, err = two.Authenticate(requestWith(t, fresh))
	require.ErrorIs(t, err, ErrBadToken)
	require.Eventually(t, func() bool { _, watched := two.feed.revoked("x"); return watched }, 20*time.Second, 5*time.Millisecond)
	_, err = two.Authenticate(requestWith(t, fresh))
	require.ErrorIs(t, err, ErrBadToken)

	// One that ends gives its lease up.
	two.end()
	<-two.ended
	var leases int
	require.NoError(t, b.store.Pool.QueryRow(t.Context(), `SELECT count(*) FROM auth_listeners WHERE lease_until > clock_timestamp() AND id <> 'stuck'`).Scan(&leases))
	require.LessOrEqual(t, leases, 2) // one's, and at most the one whose connection was cut
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true, OrganizationIDs: []string{"urn:oid:2.16.840.1.113883.4.4|12-3456789"}})
	b.register(t, models.Client{ID: "other", JWKS: jwks(t, otherECKey().public()), Active: true})
	a := b.attempt("payer", ecKey())
	b2b()(a)
	var granted tokenAnswer
	require.NoError(t, json.Unmarshal(a.send(t, b.server).Body.Bytes(), &granted))
	token := granted.AccessToken
	w := b.about(t, b.server, IntrospectPath, token)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var answer map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.NotEmpty(t, answer["jti"])
	delete(answer, "jti")
	require.Equal(t, map[string]any{
		"active": true, "scope": "system/*.rs", "client_id": "payer", "sub": "payer", "token_type": "bearer", "iss": publicURL,
		"aud": publicURL + FHIRPath, "iat": float64(testStart.Unix()), "exp": float64(testStart.Unix() + 300),
		"extensions": map[string]any{"hl7-b2b": map[string]any{
			"version": "1", "organization_id": udapOrg, "purpose_of_use": []any{"urn:oid:2.16.840.1.113883.5.8#TREAT"},
		}},
	}, answer)
	require.Contains(t, b.about(t, b.server, IntrospectPath, token, set("aud", publicURL+IntrospectPath)).Body.String(), `"active":true`)

	const dead = `{"active":false}`
	asOther := func(a *attempt) {
		set("iss", "other")(a)
		set("sub", "other")(a)
		signedBy(otherECKey())(a)
	}
	require.JSONEq(t, dead, b.about(t, b.server, IntrospectPath, token, asOther).Body.String(), "another's token")
	require.JSONEq(t, dead, b.about(t, b.server, IntrospectPath, "opaque").Body.String())
	require.JSONEq(t, dead, b.about(t, b.server, IntrospectPath, token+"x").Body.String())
	require.JSONEq(t, `{}`, b.about(t, b.server, RevokePath, token, asOther).Body.String())
	require.Contains(t, b.about(t, b.server, IntrospectPath, token).Body.String(), `"active":true`, "another client cannot revoke it")
	require.Equal(t, http.StatusOK, b.about(t, b.server, RevokePath, token, set("aud", publicURL+RevokePath)).Code)
	require.JSONEq(t, dead, b.about(t, b.server, IntrospectPath, token).Body.String())

	fresh := b.token(t, b.server, ecKey(), "system/*.rs").AccessToken
	b.clock.advance(TokenLifetime)
	require.JSONEq(t, dead, b.about(t, b.server, IntrospectPath, fresh).Body.String(), "expired")
}

func TestIntrospectionRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	token := b.token(t, b.server, ecKey(), "system/*.rs").AccessToken
	tests := []struct {
		name   string
		bend   func(*attempt)
		status int
		code   string
	}{
		{"no authentication", form("client_assertion"), 400, "invalid_request"},
		{"the token as authentication", func(a *attempt) { a.request = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) } }, 400, "invalid_request"},
		{"a stranger's signature", signedBy(otherECKey()), 400, "invalid_client"},
		{"audience of another endpoint", set("aud", publicURL+RegisterPath), 400, "invalid_client"},
		{"no token", unset("token"), 400, "invalid_request"},
		{"token empty", form("token", ""), 400, "invalid_request"},
		{"token twice", form("token", token, token), 400, "invalid_request"},
		{"token in the query", func(a *attempt) { a.request = func(r *http.Request) { r.URL.RawQuery = "token=" + token } }, 400, "invalid_request"},
		{"GET", func(a *attempt) { a.method = http.MethodGet }, 405, "invalid_request"},
		{"udap without UDAP", form("udap", "1"), 400, "invalid_request"},
	}
	for _, path := range []string{IntrospectPath, RevokePath} {
		for _, tt := range tests {
			w := b.about(t, b.server, path, token, tt.bend)
			require.Equal(t, tt.status, w.Code, tt.name)
			var answer map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			require.Equal(t, tt.code, answer["error"], tt.name)
			require.NotContains(t, answer, "active")
		}
	}
	crossed := b.attempt("payer", ecKey())
	crossed.claims["aud"] = publicURL + IntrospectPath
	require.Equal(t, http.StatusBadRequest, crossed.send(t, b.server).Code, "an assertion for introspection gets no token")
	_, err := b.server.Authenticate(requestWith(t, token))
	require.NoError(t, err)
}

// Without an answer from the store no token is taken and none is revoked.
func TestRevocationWithoutStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, models.Client{ID: "payer", JWKS: jwks(t, ecKey().public()), Active: true})
	token := b.token(t, b.server, ecKey(), "system/*.rs").AccessToken
	_, err := b.server.Authenticate(requestWith(t, token))
	require.NoError(t, err)
	_, err = b.store.Pool.Exec(t.Context(), `ALTER TABLE auth_events RENAME TO gone`)
	require.NoError(t, err)
	_, err = b.server.Authenticate(requestWith(t, token))
	require.Equal(t, models.KindUnavailable, models.KindOf(err))
	require.Equal(t, http.StatusServiceUnavailable, b.about(t, b.server, RevokePath, token).Code)
	require.Equal(t, http.StatusServiceUnavailable, b.about(t, b.server, IntrospectPath, token).Code)
}
