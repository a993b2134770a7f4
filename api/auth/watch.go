package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

const (
	watchTurn  = time.Second // the lease is renewed at least this often
	watchRetry = time.Second // after the connection was lost
	watchPurge = 10 * time.Minute
)

// feed is what this process knows of revocations by heart, and until when that may be believed.
type feed struct {
	began time.Time    // what until is counted from; durations since then are of the monotonic clock
	until atomic.Int64 // nanoseconds after began

	mu     sync.RWMutex
	tokens map[string]time.Time // revoked tokens, with the moment they expire
}

// revoked reports whether a token is revoked, and whether the answer may be believed.
func (f *feed) revoked(tokenID string) (revoked, watched bool) {
	f.mu.RLock()
	_, revoked = f.tokens[tokenID]
	f.mu.RUnlock()
	// Looked at last: what was believed until then was complete.
	return revoked, int64(time.Since(f.began)) < f.until.Load()
}

func (f *feed) believe(until time.Time) { f.until.Store(int64(until.Sub(f.began))) }

// Watch keeps this process informed of tokens that are revoked and clients that are changed anywhere, until ctx ends. Without
// it everything is still right, only slower.
//
// The process holds a lease in the database while it answers from memory. Whoever revokes a token waits until all who hold one
// have heard of it or lost their lease, so that a revoked token is refused everywhere from the moment its revocation is
// answered. When the connection is lost, this process stops answering from memory before its lease runs out.
func (s *Server) Watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.watch(ctx)
		s.feed.believe(s.feed.began)
		if ctx.Err() != nil {
			return
		}
		s.log.WarnContext(ctx, "revocations are looked up one by one: the connection that tells of them was lost", slog.Any("error", err))
		pause := time.NewTimer(watchRetry)
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
}

// watch watches over one connection and returns what ended it.
func (s *Server) watch(ctx context.Context) error {
	l, err := s.store.Listen(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchTurn)
		defer cancel()
		l.Close(ctx)
	}()
	s.clients.forgetAll() // a change may have been missed since the last connection
	purged := time.Now()
	for {
		if err := s.turn(ctx, l); err != nil {
			return err
		}
		if time.Since(purged) > watchPurge {
			purged = time.Now()
			if err := s.store.PurgeAuth(ctx, s.now().Add(-ClockSkew)); err != nil {
				return err
			}
			s.feed.purge(s.now().Add(-ClockSkew))
		}
		waiting, cancel := context.WithTimeout(ctx, watchTurn)
		err := l.Wait(waiting)
		cancel()
		if err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || !l.Alive()) {
			return err
		}
	}
}

// turn reads what is new and extends the time that memory may be believed.
func (s *Server) turn(ctx context.Context, l *store.Listener) error {
	ctx, cancel := context.WithTimeout(ctx, 2*watchTurn)
	defer cancel()
	began := time.Now()
	valid, err := l.Read(ctx, s.take)
	if err != nil {
		return err
	}
	s.feed.believe(began.Add(valid))
	return nil
}

// take takes events in.
func (s *Server) take(events []models.AuthEvent) {
	var changed []string
	s.feed.mu.Lock()
	for _, e := range events {
		if e.TokenID != "" {
			s.feed.tokens[e.TokenID] = e.Expires
		} else {
			changed = append(changed, e.ClientID)
		}
	}
	s.feed.mu.Unlock()
	s.clients.forget(changed)
}

// purge forgets tokens that had expired by then.
func (f *feed) purge(then time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, expires := range f.tokens {
		if expires.Before(then) {
			delete(f.tokens, id)
		}
	}
}
