// Package audit writes the audit log of the api: an event for every request that is more than a look at what is public. Who
// it came from, and on what, handlers note in the request's trail.Entry; how it ended, the Recorder sees. Events of what runs
// do, and of what changes state, are written by models/store along with it.
//
// What hands out data or power is recorded before it is answered, or not answered. A refusal is answered at once and recorded
// within moments.
package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"pdexbulk/models/trail"
)

const (
	// writeTimeout is how long one write of the log may take.
	writeTimeout = 5 * time.Second
	// maxWaiting bounds the events nobody waits for, in memory. Those beyond are counted.
	maxWaiting = 20_000
	// maxBatch bounds the events of one write.
	maxBatch = 500
)

// Store is where events go.
type Store interface {
	AddAudit(ctx context.Context, events []trail.Event) error
}

// Log writes events together that come at about the same time: while one write is under way the next gathers, so that however
// many requests there are, one commit at a time is waited for.
type Log struct {
	store Store
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	next    []*batch // to be written, in order
	writing bool
	lost    int64 // events that could not be kept, not yet told of in the log
}

// batch is written by one statement.
type batch struct {
	events []trail.Event
	noted  int // of them, how many nobody waits for
	done   chan struct{}
	err    error // valid once done
}

// NewLog returns a Log that writes to a store; without one no event can be written. now is the clock; nil means time.Now.
func NewLog(store Store, log *slog.Logger, now func() time.Time) *Log {
	if now == nil {
		now = time.Now
	}
	return &Log{store: store, log: log, now: now}
}

// Write writes an event and returns when it is stored, or was not. When ctx ends before, its error is returned and the event may
// still be stored.
func (l *Log) Write(ctx context.Context, e trail.Event) error {
	b := l.add(e, false)
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Note has an event written soon. It never waits.
func (l *Log) Note(e trail.Event) { l.add(e, true) }

// Flush returns when all that was added before is written, or was not.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	waiting := l.writing
	l.mu.Unlock()
	if !waiting {
		return nil
	}
	b := l.join(nil)
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) add(e trail.Event, noted bool) *batch {
	return l.join(func(b *batch) {
		if noted && len(l.next)*maxBatch > maxWaiting {
			l.lost++
			return
		}
		b.events = append(b.events, e)
		if noted {
			b.noted++
		}
	})
}

// join lets fill add to the last batch that is not being written, and sees to it that somebody writes.
func (l *Log) join(fill func(*batch)) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.next); n == 0 || len(l.next[n-1].events) >= maxBatch {
		l.next = append(l.next, &batch{done: make(chan struct{})})
	}
	b := l.next[len(l.next)-1]
	if fill != nil {
		fill(b)
	}
	if !l.writing {
		l.writing = true
		go l.write()
	}
	return b
}

// write writes batches until there is none left.
func (l *Log) write() {
	for {
		l.mu.Lock()
		if len(l.next) == 0 {
			l.writing = false
			l.mu.Unlock()
			return
		}
		b, lost := l.next[0], l.lost
		l.next, l.lost = l.next[1:], 0
		l.mu.Unlock()
		if lost > 0 {
			e := trail.New(l.now())
			e.Kind, e.Actor, e.Action, e.Outcome, e.Counts = trail.ActorSystem, "api", "lose-events", trail.Failed, trail.Counts{"events": lost}
			b.events = append(b.events, e)
		}
		b.err = l.save(b.events)
		if b.err != nil {
			l.mu.Lock()
			l.lost += lost + int64(b.noted)
			l.mu.Unlock()
		}
		close(b.done)
	}
}

var errNoStore = errors.New("there is no audit log")

func (l *Log) save(events []trail.Event) error {
	if len(events) == 0 {
		return nil
	}
	if l.store == nil {
		return errNoStore
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	err := l.store.AddAudit(ctx, events)
	if err != nil {
		l.log.ErrorContext(ctx, "the audit log could not be written", "events", len(events), "error", err.Error())
	}
	return err
}
