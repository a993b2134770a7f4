package auth

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// keyHost is a client's web server with its key set.
type keyHost struct {
	*httptest.Server
	hits atomic.Int32
	mu   sync.Mutex
	keys []jose.JSONWebKey
	head http.Header
	fail bool
}

func newKeyHost(t *testing.T, cacheControl string, keys ...jose.JSONWebKey) *keyHost {
	t.Helper()
	h := &keyHost{keys: keys, head: http.Header{}}
	if cacheControl != "" {
		h.head.Set("Cache-Control", cacheControl)
	}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h.hits.Add(1)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.fail {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		maps.Copy(w.Header(), h.head)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: h.keys})
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *keyHost) publish(keys ...jose.JSONWebKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = keys
}

func (h *keyHost) setFail(fail bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = fail
}

func TestKeysByURL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	host := newKeyHost(t, "max-age=60", rsaKey().public())
	b.register(t, models.Client{ID: "payer", JWKSURL: host.URL + "/jwks.json", Active: true})
	ask := func(key keyPair) int { return b.attempt("payer", key).send(t, b.server).Code }

	require.Equal(t, http.StatusOK, ask(rsaKey()))
	require.Equal(t, http.StatusOK, ask(rsaKey()))
	require.EqualValues(t, 1, host.hits.Load(), "cached")

	// Rotation: a kid that is not known makes the server look again, but not at every request.
	host.publish(rsaKey().public(), ecKey().public())
	require.Equal(t, http.StatusBadRequest, ask(ecKey()))
	require.EqualValues(t, 1, host.hits.Load(), "looked a moment ago")
	b.clock.advance(minRefetch)
	require.Equal(t, http.StatusOK, ask(ecKey()))
	require.EqualValues(t, 2, host.hits.Load())

	// A key that was taken down is refused once max-age is over.
	host.publish(ecKey().public())
	require.Equal(t, http.StatusOK, ask(rsaKey()))
	b.clock.advance(time.Minute)
	require.Equal(t, http.StatusBadRequest, ask(rsaKey()))
	require.EqualValues(t, 3, host.hits.Load())

	// With the host away and the set too old, nobody is let in, and the host is not hammered.
	host.setFail(true)
	b.clock.advance(time.Minute)
	require.Equal(t, http.StatusBadRequest, ask(ecKey()))
	require.Equal(t, http.StatusBadRequest, ask(ecKey()))
	require.EqualValues(t, 4, host.hits.Load())
	host.setFail(false)
	b.clock.advance(failureHold)
	require.Equal(t, http.StatusOK, ask(ecKey()))
}

func TestNoStoreIsFetchedEveryTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	host := newKeyHost(t, "no-store", ecKey().public())
	b.register(t, models.Client{ID: "payer", JWKSURL: host.URL, Active: true})
	for range 3 {
		require.Equal(t, http.StatusOK, b.attempt("payer", ecKey()).send(t, b.server).Code)
	}
	require.EqualValues(t, 3, host.hits.Load())
}

func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	elsewhere := newKeyHost(t, "", ecKey().public())
	serve := func(handler http.HandlerFunc) string {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		return s.URL
	}
	set := jwks(t, ecKey().public())
	tests := []struct{ name, url, want string }{
		{"redirect", serve(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }), "status 302"},
		{"error status", serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound); _, _ = w.Write(set) }), "status 404"},
		{"not a key set", serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), "key set"},
		{"a single key", serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"kty":"EC"}`)) }), "key set"},
		{"too large", serve(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[],"pad":"` + strings.Repeat("x", maxKeySet) + `"}`))
		}), "over"},
		{"cut short", serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write(set)
		}), "unexpected EOF"},
		{"file URL", "file:///etc/passwd", "not https"},
		{"no such scheme", "gopher://127.0.0.1/", "not https"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newKeyFetcher(true, newClock().now)
			key, err := f.find(t.Context(), tt.url, jose.ES384, ecKey().kid)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, key)
		})
	}
	require.Zero(t, elsewhere.hits.Load(), "the redirect was not followed")
}

// Outside development neither plain http nor an address inside is reached, whatever the registration says.
func TestFetchGuards(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(inside.Close)
	plain := newKeyHost(t, "", ecKey().public())
	f := newKeyFetcher(false, newClock().now)
	port := inside.URL[strings.LastIndexByte(inside.URL, ':'):]

	_, err := f.find(t.Context(), plain.URL, jose.ES384, "")
	require.ErrorContains(t, err, "not https")
	for _, url := range []string{inside.URL, "https://localhost" + port, "https://[::1]" + port, "https://[::ffff:127.0.0.1]" + port, "https://0.0.0.0" + port, "https://127.1.2.3" + port} {
		_, err := f.find(t.Context(), url, jose.ES384, "")
		require.ErrorIs(t, err, errPrivateAddress, url)
	}
	require.Zero(t, reached.Load())
	require.Zero(t, plain.hits.Load())
}

func TestPublicAddress(t *testing.T) {
	t.Parallel()
	for _, public := range []string{"1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8"} {
		require.True(t, publicAddress(netip.MustParseAddr(public)), public)
	}
	for _, private := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.168.1.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
		"240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1", "fe80::1", "fe80::1%eth0",
		"fc00::1", "fd12:3456::1", "ff02::1", "64:ff9b::a00:1", "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:a00:1::1", "fec0::1", "3fff::1",
	} {
		require.False(t, publicAddress(netip.MustParseAddr(private)), private)
	}
	require.False(t, publicAddress(netip.Addr{}))
	require.Error(t, refusePrivate("tcp", "nonsense", nil))
	require.Error(t, refusePrivate("tcp", "name.example:443", nil))
	require.NoError(t, refusePrivate("tcp", "8.8.8.8:443", nil))
	require.NoError(t, refusePrivate("tcp6", "[2606:4700::1111]:443", nil))
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cacheControl []string
		age          string
		want         time.Duration
	}{
		{nil, "", defaultKeyAge},
		{[]string{"max-age=60"}, "", time.Minute},
		{[]string{"public, Max-Age=60, must-revalidate"}, "", time.Minute},
		{[]string{`max-age="60"`}, "", time.Minute},
		{[]string{"max-age=600"}, "", 10 * time.Minute},
		{[]string{"max-age=86400"}, "", maxKeySetAge},
		{[]string{"max-age=60"}, "45", 15 * time.Second},
		{[]string{"max-age=60"}, "90", 0},
		{[]string{"max-age=0"}, "", 0},
		{[]string{"max-age=300, max-age=10"}, "", 10 * time.Second},
		{[]string{"max-age=10", "max-age=300"}, "", 10 * time.Second},
		{[]string{"max-age=60, no-store"}, "", 0},
		{[]string{"no-cache"}, "", 0},
		{[]string{`no-cache="Set-Cookie", max-age=60`}, "", 0},
		{[]string{"max-age=-1"}, "", 0},
		{[]string{"max-age=soon"}, "", 0},
		{[]string{"max-age=99999999999999999999"}, "", 0},
		{[]string{"private"}, "", defaultKeyAge},
	}
	for _, tt := range tests {
		h := http.Header{"Cache-Control": tt.cacheControl}
		if tt.age != "" {
			h.Set("Age", tt.age)
		}
		require.Equal(t, tt.want, freshness(h), "%v %s", tt.cacheControl, tt.age)
	}
}

func TestKnownKeySetsAreBounded(t *testing.T) {
	t.Parallel()
	f := newKeyFetcher(true, newClock().now)
	for i := range maxKeySetsKnown + 10 {
		f.set("https://client.example/" + strings.Repeat("x", i))
	}
	require.Len(t, f.sets, maxKeySetsKnown)
}

// Many who wait for one fetch are served by it.
func TestOneFetchServesAll(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	set := jwks(t, ecKey().public())
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-leave
		_, _ = w.Write(set)
	}))
	t.Cleanup(host.Close)
	f := newKeyFetcher(true, time.Now)
	var found atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if key, err := f.find(t.Context(), host.URL, jose.ES384, ecKey().kid); err == nil && key != nil {
				found.Add(1)
			}
		})
	}
	<-entered
	close(leave)
	wg.Wait()
	require.EqualValues(t, 20, found.Load())
	require.Empty(t, entered, "one request reached the host")
}
