package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The limits of fetching a client's key set.
const (
	fetchTimeout    = 5 * time.Second
	maxKeySet       = 256 << 10
	maxKeySetAge    = time.Hour        // whatever max-age says
	defaultKeyAge   = 5 * time.Minute  // when the answer does not say
	minRefetch      = 10 * time.Second // between fetches for an unknown kid
	failureHold     = 5 * time.Second  // a failed fetch is not tried again sooner
	maxKeySetsKnown = 1000
)

// keyFetcher gets the key sets clients publish. The URLs are those of registrations, never what an assertion says. It
// follows no redirect, goes through no proxy, and dials public addresses over https only, unless it is insecure.
type keyFetcher struct {
	insecure bool
	now      func() time.Time
	client   *http.Client

	mu   sync.Mutex
	sets map[string]*keySet // by URL
}

// keySet is what is known of one URL. Its mutex is held while it is fetched, so that one fetch serves all who wait.
type keySet struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when the fetch that brought keys began
	expires time.Time
	tried   time.Time // when a fetch was last begun
	err     error     // of that fetch
}

func newKeyFetcher(insecure bool, now func() time.Time) *keyFetcher {
	dialer := &net.Dialer{Timeout: fetchTimeout}
	if !insecure {
		dialer.Control = refusePrivate
	}
	return &keyFetcher{
		insecure: insecure,
		now:      now,
		client: &http.Client{
			Timeout: fetchTimeout,
			// A redirect would lead to a URL nobody registered.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:                  nil, // a proxy would dial for us, and the address check would see only the proxy
				DialContext:            dialer.DialContext,
				TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
				DisableKeepAlives:      true,
				DisableCompression:     true, // the size bound is then on what was sent
				MaxResponseHeaderBytes: 16 << 10,
				ForceAttemptHTTP2:      true,
			},
		},
		sets: map[string]*keySet{},
	}
}

// find returns the one key at a URL that fits an assertion, nil when there is none. The set is fetched when it is not
// known or older than its Cache-Control allows, and once more, at most every minRefetch, when no key fits: the client may
// have rotated its keys.
func (f *keyFetcher) find(ctx context.Context, rawURL string, alg jose.SignatureAlgorithm, kid string) (*jose.JSONWebKey, error) {
	arrived := f.now()
	set := f.set(rawURL)
	set.mu.Lock()
	defer set.mu.Unlock()
	if !f.now().Before(set.expires) && !set.fetched.After(arrived) {
		if err := f.refresh(ctx, rawURL, set, failureHold); err != nil {
			return nil, err
		}
	}
	if key := pick(set.keys, alg, kid); key != nil {
		return key, nil
	}
	if f.now().Sub(set.tried) < minRefetch {
		return nil, nil
	}
	if err := f.refresh(ctx, rawURL, set, minRefetch); err != nil {
		return nil, err
	}
	return pick(set.keys, alg, kid), nil
}

// set returns the place of a URL. When too many are known an arbitrary one is forgotten: it will be fetched again.
func (f *keyFetcher) set(rawURL string) *keySet {
	f.mu.Lock()
	defer f.mu.Unlock()
	if set, ok := f.sets[rawURL]; ok {
		return set
	}
	if len(f.sets) >= maxKeySetsKnown {
		for other := range f.sets {
			delete(f.sets, other)
			break
		}
	}
	set := &keySet{}
	f.sets[rawURL] = set
	return set
}

// refresh fetches a set, whose mutex the caller holds. A fetch that failed less than hold ago is not repeated.
func (f *keyFetcher) refresh(ctx context.Context, rawURL string, set *keySet, hold time.Duration) error {
	began := f.now()
	if set.err != nil && began.Sub(set.tried) < hold {
		return set.err
	}
	set.tried = began
	// The caller may go away; others wait for the same answer.
	keys, age, err := f.fetch(context.WithoutCancel(ctx), rawURL)
	set.err = err
	if err != nil {
		return err
	}
	set.keys, set.fetched, set.expires = keys, began, began.Add(age)
	return nil
}

func (f *keyFetcher) fetch(ctx context.Context, rawURL string) ([]jose.JSONWebKey, time.Duration, error) {
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "https" && (!f.insecure || u.Scheme != "http")) {
		return nil, 0, errors.New("key set URL is not https")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, http.NoBody)
	if err != nil {
		return nil, 0, errors.New("key set URL is malformed")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch key set: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("fetch key set: status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, 0, fmt.Errorf("read key set: %w", err)
	}
	if len(body) > maxKeySet {
		return nil, 0, fmt.Errorf("key set is over %d bytes", maxKeySet)
	}
	keys, err := ParseJWKS(body)
	if err != nil {
		return nil, 0, fmt.Errorf("read key set: %w", err)
	}
	return keys, freshness(resp.Header), nil
}

// freshness is how long an answer may be kept: what its Cache-Control allows (SMART client-confidential-asymmetric:
// SHALL NOT cache longer), less the age it came with, at most maxKeySetAge.
func freshness(h http.Header) time.Duration {
	const unsaid = time.Duration(-1)
	life := unsaid
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch strings.TrimSpace(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0 // it was meant to limit us, and how far is not clear
			}
			if ttl := time.Duration(seconds) * time.Second; life == unsaid || ttl < life {
				life = ttl
			}
		}
	}
	if life == unsaid {
		life = defaultKeyAge
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		life -= time.Duration(age) * time.Second
	}
	return max(0, min(life, maxKeySetAge))
}
