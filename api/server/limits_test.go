package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/worker/boot"
)

const bearer = "Authorization: Bearer " + apitest.AdminToken

// A client that sends too many requests is told to wait, on every route, and no other client notices.
func TestClientRate(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.ClientRate, cfg.ClientBurst = 0.01, 3 })
	c, other := a.Client(t, "payer", models.ClientPayer, ""), a.Client(t, "other", models.ClientPayer, "")
	for range 3 {
		require.Equal(t, 200, c.Do(t, http.MethodGet, "/fhir/Group", "").StatusCode)
	}
	for _, path := range []string{"/fhir/Group", "/fhir/Group/" + models.NewID(), "/fhir/bulk-status/" + models.NewID(), "/fhir/bulk-files/" + models.NewID() + "/x"} {
		resp := c.Do(t, http.MethodGet, path, "")
		require.Equal(t, "throttled", resp.Refused(t, 429).Issue[0].Code)
		require.Regexp(t, `^\d+$`, resp.Header.Get("Retry-After"))
	}
	require.Equal(t, 200, other.Do(t, http.MethodGet, "/fhir/Group", "").StatusCode)
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/admin/jobs", "", bearer).StatusCode)
}

// So is an address that asks too often for what needs no token, each route in its own form; who has a token is served.
func TestAddressRate(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.AddressRate, cfg.AddressBurst = 0.01, 2 })
	c := a.Client(t, "payer", models.ClientPayer, "")                               // the first
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/fhir/metadata", "").StatusCode) // the second
	require.Equal(t, "throttled", a.Do(t, http.MethodGet, "/fhir/metadata", "").Refused(t, 429).Issue[0].Code)
	a.Do(t, http.MethodGet, "/fhir/Group", "").Refused(t, 429)
	a.Do(t, http.MethodGet, "/fhir/nothing", "").Refused(t, 429)
	resp := a.Do(t, http.MethodPost, "/auth/token", "grant_type=client_credentials", "Content-Type: application/x-www-form-urlencoded")
	require.Equal(t, 429, resp.StatusCode)
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	var e struct{ Error string }
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &e))
	require.Equal(t, "temporarily_unavailable", e.Error)
	resp = a.Do(t, http.MethodPost, "/auth/token", "", "Authorization: Bearer x")
	require.Equal(t, 429, resp.StatusCode, "an Authorization header opens no way to tokens")
	require.Equal(t, "application/problem+json", a.Do(t, http.MethodGet, "/admin/jobs", "").Header.Get("Content-Type"))
	require.Equal(t, 429, a.Do(t, http.MethodGet, "/admin/jobs", "").StatusCode)
	require.Equal(t, 200, c.Do(t, http.MethodGet, "/fhir/Group", "").StatusCode)
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/healthz", "").StatusCode)
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/admin/jobs", "", bearer).StatusCode)
}

// Whoever tries tokens of the admin API is soon told to wait, and then learns nothing even from the right one that somebody has
// chosen. A credential of ours goes on working.
func TestAdminFailures(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.AdminFailures = 3 })
	body := fmt.Sprintf(`{"name":"n","role":"operator","expiresAt":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339))
	resp := a.Do(t, http.MethodPost, "/admin/credentials", body, bearer, "Content-Type: application/json", "X-Reason: test")
	require.Equal(t, 201, resp.StatusCode, resp.Text)
	var c struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &c))
	for _, wrong := range []string{"x", c.Token + "x", "y"} {
		require.Equal(t, 401, a.Do(t, http.MethodGet, "/admin/jobs", "", "Authorization: Bearer "+wrong).StatusCode)
	}
	for _, token := range []string{"Authorization: Bearer x", "Authorization: Bearer " + c.Token + "x", bearer} {
		resp := a.Do(t, http.MethodGet, "/admin/jobs", "", token)
		require.Equal(t, 429, resp.StatusCode)
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
	}
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/admin/jobs", "", "Authorization: Bearer "+c.Token).StatusCode)
	require.Equal(t, 401, a.Do(t, http.MethodGet, "/admin/jobs", "").StatusCode, "no token is no try")
}

// A client whose requests name many who are no members has to wait, whichever process it asks, and nobody else has to (KM-14).
func TestMatchFailures(t *testing.T) {
	t.Parallel()
	limit := func(_ *boot.Process, cfg *server.Config) { cfg.MatchFailures, cfg.MatchWindow = 5, time.Hour }
	a := apitest.New(t, limit)
	second := apitest.New(t, func(p *boot.Process, cfg *server.Config) {
		limit(p, cfg)
		p.Store, p.Config.HTTP.BaseURL = a.Store, a.Base
	})
	c, other := a.Client(t, "payer", models.ClientPayer, ""), a.Client(t, "other", models.ClientPayer, "")
	failed := func(client string, n int64, at time.Time) {
		job := &models.Job{
			ID: models.NewID(), ClientID: client, Operation: models.OpBulkMemberMatch, RequestDigest: []byte(models.NewID()), State: models.StateCompleted,
			Params: json.RawMessage(`{}`), CreatedAt: at, Accounting: models.Accounting{Members: n + 3, Matched: 3, Unmatched: n},
		}
		_, _, err := a.Store.CreateJob(t.Context(), job, 0)
		require.NoError(t, err)
	}
	try := func(api *apitest.API, c *apitest.Caller) *apitest.Answer {
		return api.Do(t, http.MethodPost, "/fhir/Group/$bulk-member-match", `{"resourceType":"Parameters"}`, apitest.JSON, apitest.Async, apitest.FHIR, "Authorization: Bearer "+c.Token)
	}
	now := time.Now()
	failed("payer", 4, now.Add(-30*time.Minute))
	failed("other", 1, now)
	require.Equal(t, 422, try(a, c).StatusCode, "no bundle in it, but not refused for failures")
	failed("payer", 1, now)
	for _, api := range []*apitest.API{a, second} {
		resp := try(api, c)
		require.Equal(t, "throttled", resp.Refused(t, 429).Issue[0].Code)
		var wait int
		_, err := fmt.Sscan(resp.Header.Get("Retry-After"), &wait)
		require.NoError(t, err)
		require.InDelta(t, 30*60, wait, 60, "when the oldest no longer counts")
	}
	require.Equal(t, 422, try(a, other).StatusCode)
	require.Equal(t, 200, c.Do(t, http.MethodGet, "/fhir/Group", "").StatusCode, "its results stay open to it")
}

// JSON bombs are refused while they are read, on every route that takes JSON.
func TestJSONBombs(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.JSONDepth, cfg.JSONMembers = 30, 100 })
	c := a.Client(t, "payer", models.ClientPayer, "")
	b := a.Client(t, "backend", models.ClientBackend, "")
	deep := `{"resourceType":"Parameters","parameter":[{"name":"MemberBundle","part":` + strings.Repeat(`[`, 50_000)
	var wide strings.Builder
	wide.WriteString(`{"resourceType":"Parameters"`)
	for i := range 50_000 {
		fmt.Fprintf(&wide, `,"k%d":1`, i)
	}
	wide.WriteString(`}`)
	for name, bomb := range map[string]string{"deep": deep, "wide": wide.String()} {
		c.Do(t, http.MethodPost, "/fhir/Group/$bulk-member-match", bomb, apitest.JSON, apitest.Async, apitest.FHIR).Refused(t, 422)
		b.Do(t, http.MethodPost, "/fhir/$export", bomb, apitest.JSON, apitest.Async, apitest.FHIR).Refused(t, 422)
		resp := a.Do(t, http.MethodPut, "/admin/clients/x", bomb, bearer, "Content-Type: application/json")
		require.Equal(t, 422, resp.StatusCode, name+resp.Text)
		require.Contains(t, resp.Text, "the body has")
	}
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/fhir/metadata", "").StatusCode)
}

// Compressed bodies are not taken, so there is nothing to blow up.
func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "payer", models.ClientPayer, "")
	const gzip = "Content-Encoding: gzip"
	c.Do(t, http.MethodPost, "/fhir/Group/$bulk-member-match", "\x1f\x8b\x08", apitest.JSON, apitest.Async, apitest.FHIR, gzip).Refused(t, 415)
	require.Equal(t, 400, a.Do(t, http.MethodPost, "/auth/token", "\x1f\x8b\x08", "Content-Type: application/x-www-form-urlencoded", gzip).StatusCode)
	require.Equal(t, 400, a.Do(t, http.MethodPut, "/admin/clients/x", "\x1f\x8b\x08", bearer, "Content-Type: application/json", gzip).StatusCode)
}

// Browsers are told nothing unless an origin is configured, and then only for it and for what clients use.
func TestCORS(t *testing.T) {
	t.Parallel()
	closed := apitest.New(t, nil)
	open := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.CORSOrigins = []string{"https://app.example"} })
	const ask, app, evil = "Access-Control-Request-Method: POST", "Origin: https://app.example", "Origin: https://app.example.evil"
	for _, tt := range []struct {
		api          *apitest.API
		method, path string
		headers      []string
		allowed      bool
		status       int
	}{
		{closed, "OPTIONS", "/fhir/Group", []string{app, ask}, false, 405},
		{closed, "GET", "/fhir/metadata", []string{app}, false, 200},
		{open, "OPTIONS", "/fhir/Group", []string{app, ask}, true, 204},
		{open, "OPTIONS", "/auth/token", []string{app, ask}, true, 204},
		{open, "GET", "/fhir/metadata", []string{app}, true, 200},
		{open, "GET", "/fhir/Group", []string{app}, true, 401},
		{open, "GET", "/fhir/metadata", []string{evil}, false, 200},
		{open, "GET", "/fhir/metadata", []string{"Origin: null"}, false, 200},
		{open, "OPTIONS", "/fhir/Group", []string{evil, ask}, false, 405},
		{open, "OPTIONS", "/admin/jobs", []string{app, ask}, false, 405},
		{open, "GET", "/admin/jobs", []string{app, bearer}, false, 200},
	} {
		h := tt.api.Do(t, tt.method, tt.path, "", tt.headers...)
		want := ""
		if tt.allowed {
			want = "https://app.example"
		}
		require.Equal(t, want, h.Header.Get("Access-Control-Allow-Origin"), tt.method+tt.path)
		require.Equal(t, tt.status, h.StatusCode, tt.method+tt.path)
		require.Empty(t, h.Header.Get("Access-Control-Allow-Credentials"))
	}
	require.Contains(t, open.Do(t, "GET", "/fhir/metadata", "", app).Header.Values("Vary"), "Origin")
}

// Nothing is to be kept by caches but what is public, and nothing is to be shown within another page.
func TestHeadersOfEveryArea(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "payer", models.ClientPayer, "")
	for path, keep := range map[string]string{
		"/fhir/Group": "no-store", "/fhir/Group/" + models.NewID(): "no-store", "/fhir/bulk-status/" + models.NewID(): "no-store", "/fhir/nothing": "no-store",
		"/admin/jobs": "no-store", "/admin/clients": "no-store", "/admin/nothing": "no-store", "/fhir/metadata": "public, max-age=300", "/docs": "no-store",
	} {
		by := "Authorization: Bearer " + c.Token
		if strings.HasPrefix(path, "/admin/") {
			by = bearer
		}
		h := a.Do(t, http.MethodGet, path, "", by).Header
		require.Equal(t, keep, h.Get("Cache-Control"), path)
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", path)
		require.Len(t, h.Values("Content-Security-Policy"), 1, path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Empty(t, h.Get("Strict-Transport-Security"), "there is no TLS here")
	}
}

// Every limit on what a request may weigh is a setting. What is over it is refused with 413, which names the limit, and leaves nothing
// behind; what is just within is looked at.
func TestBodyLimits(t *testing.T) {
	t.Parallel()
	const limit = 1000
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) {
		cfg.Bundle, cfg.KickoffBody, cfg.ConsentBody, cfg.RegisterBody, cfg.UploadBody = limit, limit, limit, limit, limit
		cfg.TokenBody = 4 * limit // the client's own assertion must fit
	})
	c, b := a.Client(t, "payer", models.ClientPayer, ""), a.Client(t, "backend", models.ClientBackend, "")
	portal, err := a.Store.Client(t.Context(), b.ID)
	require.NoError(t, err)
	portal.ID, portal.Scopes = "portal", []string{"system/Consent.c"}
	_, err = a.Store.UpsertClient(t.Context(), portal)
	require.NoError(t, err)
	p := a.Login(t, "portal", "system/Consent.c")
	by := func(c *apitest.Caller) string { return "Authorization: Bearer " + c.Token }
	padded := func(open, end string, n int) string { return open + strings.Repeat("x", n-len(open)-len(end)) + end }
	for _, tt := range []struct {
		name, path string
		open, end  string // of a body that is filled up between
		limit      int
		headers    []string
	}{
		{"PDEX_MATCH_BUNDLE", "/fhir/Group/$bulk-member-match", `{"resourceType":"Parameters","parameter":[{"name":"MemberBundle","part":[{"name":"MemberPatient","resource":{"resourceType":"Patient","language":"`, `"}},{"name":"CoverageToMatch","resource":{"resourceType":"Coverage"}},{"name":"Consent","resource":{"resourceType":"Consent","patient":{"reference":"Patient/x"}}}]}]}`, 0, []string{by(c), apitest.Async, apitest.FHIR, apitest.JSON}},
		{"PDEX_KICKOFF_BODY", "/fhir/$export", `{"resourceType":"Parameters","language":"`, `"}`, limit, []string{by(b), apitest.Async, apitest.FHIR, apitest.JSON}},
		{"PDEX_CONSENT_BODY", "/fhir/Consent", `{"resourceType":"Consent","language":"`, `"}`, limit, []string{by(p), apitest.JSON}},
		{"PDEX_TOKEN_BODY", "/auth/token", "grant_type=", "", 4 * limit, []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"PDEX_TOKEN_BODY", "/auth/introspect", "token=", "", 4 * limit, []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"PDEX_TOKEN_BODY", "/auth/revoke", "token=", "", 4 * limit, []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"PDEX_REGISTRATION_BODY", "/auth/register", `{"client_name":"`, `"}`, limit, []string{"Content-Type: application/json"}},
		{"PDEX_UPLOAD_BODY", "/admin/lists/upload?kind=opt-outs", "", "", limit, []string{bearer, "Content-Type: text/csv"}},
	} {
		blobs := a.Blobs(t)
		over := tt.limit + 1
		if tt.limit == 0 { // it bounds one parameter as it is stored, and twice that as it is sent
			resp := a.Do(t, http.MethodPost, tt.path, padded(tt.open, tt.end, 2*limit), tt.headers...)
			require.Equal(t, 413, resp.StatusCode, tt.name+resp.Text)
			require.Contains(t, resp.Text, "1000 bytes", tt.name)
			tt.limit, over = limit/2, 4*limit
		}
		resp := a.Do(t, http.MethodPost, tt.path, padded(tt.open, tt.end, over), tt.headers...)
		require.Equal(t, 413, resp.StatusCode, tt.name+resp.Text)
		require.Regexp(t, `over the limit of [124]000 bytes`, resp.Text, tt.name)
		require.Equal(t, blobs, a.Blobs(t), tt.name)
		within := a.Do(t, http.MethodPost, tt.path, padded(tt.open, tt.end, tt.limit), tt.headers...)
		require.NotEqual(t, 413, within.StatusCode, tt.name)
		require.Less(t, within.StatusCode, 500, tt.name)
	}
	require.Equal(t, 200, c.Do(t, http.MethodGet, "/fhir/Group", "").StatusCode)
}

// Who sends too slowly is told so when its time is over.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.BodyTime, cfg.BodyRate = 100*time.Millisecond, 1<<20 })
	c := a.Client(t, "payer", models.ClientPayer, "")
	body, feed := io.Pipe()
	defer func() { _ = feed.Close() }()
	go func() { _, _ = io.WriteString(feed, `{"resourceType":"Parameters",`) }()
	resp, err := a.Try(t.Context(), http.MethodPost, "/fhir/Group/$bulk-member-match", body, apitest.JSON, apitest.Async, apitest.FHIR, "Authorization: Bearer "+c.Token)
	require.NoError(t, err)
	require.Contains(t, resp.Refused(t, 400).Issue[0].Diagnostics, "too slowly")
	require.Empty(t, a.Blobs(t))
}

// A limit that would let nothing in, or more than memory holds, keeps the api from starting.
func TestLimitsAreChecked(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"PDEX_MATCH_BUNDLE=0", "PDEX_MATCH_BUNDLE=16777217", "PDEX_CONSENT_BODY=0", "PDEX_CONSENT_BODY=67108865", "PDEX_TOKEN_BODY=0",
		"PDEX_REGISTRATION_BODY=-1", "PDEX_UPLOAD_BODY=0", "PDEX_MATCH_BODY=0", "PDEX_MATCH_MEMBERS=0", "PDEX_BODY_TIMEOUT=0s", "PDEX_BODY_RATE=0",
	} {
		cfg := new(server.Config)
		_, err := boot.Load([]string{setting}, cfg)
		require.NoError(t, err)
		p := &boot.Process{Log: slog.New(slog.DiscardHandler), Health: boot.NewHealth(time.Second)}
		p.Config.Dev, p.Config.HTTP.BaseURL = true, "https://payer.example/fhir"
		_, _, err = server.Handler(p, cfg)
		name, _, _ := strings.Cut(setting, "=")
		require.ErrorContains(t, err, name)
	}
}
