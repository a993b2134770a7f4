package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/audit"
	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models/blob"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
	"pdexbulk/worker/boot"
)

var p0 = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

func auditKeys(c string) boot.Secret {
	return boot.Secret(c + ":" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(c, 32))))
}

// defaults is the configuration of an api that nobody has told anything.
func defaults(t *testing.T) Config {
	t.Helper()
	var c Config
	_, err := boot.Load(nil, &c)
	require.NoError(t, err)
	return c
}

// What would leave a door open is refused when the api starts, without a word of a secret.
func TestGuardsAreChecked(t *testing.T) {
	t.Parallel()
	good := defaults(t)
	good.AdminToken, good.AuditKeys, good.TrustedProxies = "0123456789abcdef", auditKeys("k"), []string{"10.0.0.0/8", " ::1/128"}
	_, err := good.guards(false)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		change func(*Config)
		dev    bool
		says   string
	}{
		"no keys":               {func(c *Config) { c.AuditKeys = "" }, false, "PDEX_AUDIT_KEYS is missing"},
		"no keys in dev":        {func(c *Config) { c.AuditKeys = "" }, true, ""},
		"bad keys":              {func(c *Config) { c.AuditKeys = "Zaphod" }, true, "PDEX_AUDIT_KEYS: not usable"},
		"short token":           {func(c *Config) { c.AdminToken = "Zaphod" }, false, "PDEX_ADMIN_TOKEN: shorter"},
		"short token in dev":    {func(c *Config) { c.AdminToken = "Zaphod" }, true, ""},
		"no token":              {func(c *Config) { c.AdminToken = "" }, false, ""},
		"proxy without network": {func(c *Config) { c.TrustedProxies = []string{"10.0.0.1"} }, true, "PDEX_TRUSTED_PROXIES"},
		"negative rate":         {func(c *Config) { c.ClientRate = -1 }, true, "PDEX_CLIENT_RATE"},
		"failures of no time":   {func(c *Config) { c.MatchWindow = 0 }, true, "PDEX_MATCH_FAILURES_WINDOW"},
		"no body":               {func(c *Config) { c.KickoffBody = 0 }, true, "PDEX_KICKOFF_BODY"},
		"a huge admin body":     {func(c *Config) { c.AdminBody = 65 << 20 }, true, "PDEX_ADMIN_BODY"},
		"too deep":              {func(c *Config) { c.JSONDepth = 513 }, true, "PDEX_JSON_DEPTH"},
		"any origin":            {func(c *Config) { c.CORSOrigins = []string{"*"} }, true, "PDEX_CORS_ORIGINS"},
		"plain origin":          {func(c *Config) { c.CORSOrigins = []string{"http://a.example"} }, false, "PDEX_CORS_ORIGINS"},
		"plain origin in dev":   {func(c *Config) { c.CORSOrigins = []string{"http://a.example"} }, true, ""},
		"origin with a path":    {func(c *Config) { c.CORSOrigins = []string{"https://a.example/"} }, true, "PDEX_CORS_ORIGINS"},
		"proxy by name":         {func(c *Config) { c.TrustedProxies = []string{"Zaphod"} }, true, "PDEX_TRUSTED_PROXIES"},
	} {
		c := good
		tt.change(&c)
		_, err := c.guards(tt.dev)
		if tt.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, tt.says, name)
		require.NotContains(t, err.Error(), "Zaphod")
	}
}

// Only what trusted proxies say of where a request came from is believed.
func TestSource(t *testing.T) {
	t.Parallel()
	c := defaults(t)
	c.TrustedProxies = []string{"10.0.0.0/8", "fd00::/8"}
	g, err := c.guards(true)
	require.NoError(t, err)
	for _, tt := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:99", "", "192.0.2.1"},
		{"192.0.2.1:99", "198.51.100.1", "192.0.2.1"},
		{"10.0.0.1:99", "", "10.0.0.1"},
		{"10.0.0.1:99", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:99", "203.0.113.9, 198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:99", "203.0.113.9, 198.51.100.1, 10.1.1.1", "198.51.100.1"},
		{"10.0.0.1:99", "10.2.2.2", "10.2.2.2"},
		{"10.0.0.1:99", "Zaphod", "10.0.0.1"},
		{"10.0.0.1:99", "198.51.100.1, Zaphod", "10.0.0.1"},
		{"[fd00::1]:99", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.0.0.1]:99", "198.51.100.1", "198.51.100.1"},
		{"[fe80::1%eth0]:99", "", "fe80::1"},
		{"Zaphod", "198.51.100.1", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = tt.peer
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		require.Equal(t, tt.want, g.recorded(r), tt)
	}
	g.address = false
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	require.Empty(t, g.recorded(r))
}

func TestVerifyAudit(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	files, err := blob.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	p := &boot.Process{Store: s, Blob: files, Log: slog.New(slog.DiscardHandler)}
	cfg := new(defaults(t))
	cfg.AuditKeys = auditKeys("k")
	e := trail.System(p0, "payer", "end-job", trail.Success)
	require.NoError(t, s.AddAudit(t.Context(), []trail.Event{e, trail.System(p0, "payer", "end-job", trail.Failed)}))
	g, err := cfg.guards(false)
	require.NoError(t, err)
	sealer := &audit.Sealer{Store: s, Files: files, Keys: g.auditKeys, Log: p.Log}
	require.NoError(t, sealer.Anchor(t.Context()))
	var out bytes.Buffer
	require.NoError(t, VerifyAudit(t.Context(), p, cfg, &out))
	var report trail.Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &report))
	require.Equal(t, []any{true, int64(2), 1}, []any{report.Sound, report.Records, report.Anchors})

	for _, statement := range []string{`ALTER TABLE audit_log DISABLE TRIGGER ALL`, `DELETE FROM audit_log WHERE seq = 2`} {
		_, err = s.Pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	out.Reset()
	require.ErrorIs(t, VerifyAudit(t.Context(), p, cfg, &out), ErrTampered)
	require.Contains(t, out.String(), "records up to 2 are missing from the end")
	require.ErrorContains(t, VerifyAudit(t.Context(), p, &Config{}, &out), "PDEX_AUDIT_KEYS")
}
