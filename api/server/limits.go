package server

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"pdexbulk/api/auth"
	"pdexbulk/models"
)

// maxBuckets bounds how many callers are remembered.
const maxBuckets = 10_000

// buckets bounds how often each of many callers may come, in this process.
type buckets struct {
	every rate.Limit
	burst int

	mu   sync.Mutex
	held map[string]*rate.Limiter
}

// newBuckets lets a caller come perSecond times a second for ever, and burst times at once. 0 is no limit.
func newBuckets(perSecond float64, burst int) *buckets {
	return &buckets{every: rate.Limit(perSecond), burst: max(burst, 1), held: map[string]*rate.Limiter{}}
}

// take returns how many seconds a caller comes too early, 0 when it is in time.
func (b *buckets) take(caller string, now time.Time) int {
	if b.every <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	limiter, known := b.held[caller]
	if !known {
		b.makeRoom(now)
		limiter = rate.NewLimiter(b.every, b.burst)
		b.held[caller] = limiter
	}
	taken := limiter.ReserveN(now, 1)
	delay := taken.DelayFrom(now)
	if delay <= 0 {
		return 0
	}
	taken.CancelAt(now) // a refused request does not put off the next
	return int(delay/time.Second) + 1
}

// wait is what take would return, and takes nothing.
func (b *buckets) wait(caller string, now time.Time) int {
	if b.every <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	limiter, known := b.held[caller]
	if !known || limiter.TokensAt(now) >= 1 {
		return 0
	}
	return int((1-limiter.TokensAt(now))/float64(b.every)) + 1
}

// attempts bounds how often an address may try tokens of the admin API that are none.
type attempts struct {
	guards *guards
	failed *buckets
}

// Wait returns how many seconds the sender of a request must wait for its next try, 0 when it need not.
func (a *attempts) Wait(r *http.Request) int { return a.failed.wait(a.guards.source(r), time.Now()) }

// Failed counts a try.
func (a *attempts) Failed(r *http.Request) { a.failed.take(a.guards.source(r), time.Now()) }

// makeRoom forgets callers that have not come lately, and when that is not enough, half of all: who is forgotten may only come a
// little more often.
func (b *buckets) makeRoom(now time.Time) {
	if len(b.held) < maxBuckets {
		return
	}
	for caller, limiter := range b.held {
		if limiter.TokensAt(now) >= float64(b.burst) {
			delete(b.held, caller)
		}
	}
	for caller := range b.held {
		if len(b.held) <= maxBuckets/2 {
			return
		}
		delete(b.held, caller)
	}
}

// admit refuses the request of a client that sends too many.
func (b *buckets) admit(clientID string) error {
	if wait := b.take(clientID, time.Now()); wait > 0 {
		return models.Errorf(models.KindThrottled, "this client sends too many requests; wait as long as Retry-After says").Wait(wait)
	}
	return nil
}

// nameless reports whether a request comes without saying who from, or to where nobody is asked: what such requests cost can
// only be bounded by where they come from.
func nameless(r *http.Request) bool {
	return r.Header.Get("Authorization") == "" || strings.HasPrefix(r.URL.Path, "/auth/")
}

// probes are the requests of load balancers.
func probe(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" }

// limited bounds how often an address may send nameless requests.
func limited(g *guards, addresses *buckets, refuse func(http.ResponseWriter, *http.Request, error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if nameless(r) && !probe(r) {
			if wait := addresses.take(g.source(r), time.Now()); wait > 0 {
				refuse(w, r, models.Errorf(models.KindThrottled, "too many requests from this address; wait as long as Retry-After says").Wait(wait))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// underFHIR reports whether a request is of the FHIR routes.
func underFHIR(r *http.Request) bool {
	return r.URL.Path == auth.FHIRPath || strings.HasPrefix(r.URL.Path, auth.FHIRPath+"/")
}
