package bulk

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"pdexbulk/models"
)

const (
	// pollEvery is how often a job may be asked about for ever. It is half of the shortest wait that Retry-After asks for, so
	// a client that does as it was told is never refused, though its clock be coarse and its requests come in pairs.
	pollEvery = 500 * time.Millisecond
	// maxPolled bounds how many jobs are remembered.
	maxPolled = 10_000
)

// polls bounds how often a client may ask about a job (Bulk Data Access 2.0.0, "Bulk Data Status Request": 429 with
// Retry-After). It knows of the requests of this process alone and never touches the job.
type polls struct {
	burst int // polls that may come at once; 0 means no bound

	mu   sync.Mutex
	jobs map[polled]*rate.Limiter
}

type polled struct{ client, job string }

// wait returns how many seconds a poll comes too early, 0 when it is in time.
func (p *polls) wait(client, job string, now time.Time) int {
	if p.burst <= 0 || !models.ValidID(job) {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := polled{client, job}
	limiter, known := p.jobs[key]
	if !known {
		p.makeRoom(now)
		limiter = rate.NewLimiter(rate.Every(pollEvery), p.burst)
		p.jobs[key] = limiter
	}
	taken := limiter.ReserveN(now, 1)
	delay := taken.DelayFrom(now)
	if delay <= 0 {
		return 0
	}
	taken.CancelAt(now) // a refused poll does not put off the next
	return int(delay/time.Second) + 1
}

// makeRoom forgets jobs that have not been asked about lately, and when that is not enough, half of all: who is forgotten
// may only poll a little more.
func (p *polls) makeRoom(now time.Time) {
	if p.jobs == nil {
		p.jobs = map[polled]*rate.Limiter{}
	}
	if len(p.jobs) < maxPolled {
		return
	}
	for key, limiter := range p.jobs {
		if limiter.TokensAt(now) >= float64(p.burst) {
			delete(p.jobs, key)
		}
	}
	if len(p.jobs) < maxPolled {
		return
	}
	for key := range p.jobs {
		if len(p.jobs) <= maxPolled/2 {
			return
		}
		delete(p.jobs, key)
	}
}
