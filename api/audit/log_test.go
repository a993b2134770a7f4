package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/audit"
	"pdexbulk/models/trail"
)

// shelf is a store that can be held up and can fail.
type shelf struct {
	hold   chan struct{} // closed to let writes through; nil lets them
	fail   error
	mu     sync.Mutex
	events []trail.Event
	writes int
	begun  chan struct{} // gets one for each write that begins, unless nil
}

func (s *shelf) AddAudit(ctx context.Context, events []trail.Event) error {
	if s.begun != nil {
		s.begun <- struct{}{}
	}
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.fail != nil {
		return s.fail
	}
	s.events = append(s.events, events...)
	return nil
}

func (s *shelf) actions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, e := range s.events {
		out = append(out, e.Action)
	}
	return out
}

func named(action string) trail.Event {
	e := trail.New(time.Now())
	e.Action = action
	return e
}

var quiet = slog.New(slog.DiscardHandler)

// However many write at once, they share a few writes, and each returns when its own event is stored.
func TestWritesAreShared(t *testing.T) {
	t.Parallel()
	s := &shelf{hold: make(chan struct{}), begun: make(chan struct{}, 1000)}
	log := audit.NewLog(s, quiet, nil)
	log.Note(named("first"))
	<-s.begun // its write has begun; the others gather behind it
	const n = 500
	for i := range n {
		log.Note(named(fmt.Sprint(i)))
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := log.Write(context.Background(), named(fmt.Sprint(n+i))); err != nil {
				t.Error(err)
			}
		})
	}
	close(s.hold)
	wg.Wait()
	require.NoError(t, log.Flush(t.Context()))
	require.Len(t, s.actions(), 2*n+1)
	require.Less(t, s.writes, n+n/2, "what gathered behind a write is written together")
}

// Nobody is told of success who had none, and what nobody waited for is at least counted.
func TestFailedWrites(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	s := &shelf{fail: errors.New("the disk is full")}
	log := audit.NewLog(s, slog.New(slog.NewTextHandler(&logged, nil)), nil)
	require.ErrorContains(t, log.Write(t.Context(), named("a")), "the disk is full")
	log.Note(named("b"))
	require.NoError(t, log.Flush(t.Context()))
	log.Note(named("c"))
	require.NoError(t, log.Flush(t.Context()))
	require.Contains(t, logged.String(), "the audit log could not be written")
	s.mu.Lock()
	s.fail = nil
	s.mu.Unlock()
	require.NoError(t, log.Write(t.Context(), named("d")))
	require.Equal(t, []string{"d", "lose-events"}, s.actions())
	require.Equal(t, trail.Counts{"events": 2}, s.events[1].Counts)
}

// A flood of what nobody waits for takes no more memory than it may, and what is dropped is counted.
func TestFloods(t *testing.T) {
	t.Parallel()
	s := &shelf{hold: make(chan struct{}), begun: make(chan struct{}, 1000)}
	log := audit.NewLog(s, quiet, nil)
	const n = 50_000
	for range n {
		log.Note(named("x"))
	}
	close(s.hold)
	require.NoError(t, log.Flush(t.Context()))
	require.NoError(t, log.Write(t.Context(), named("end")))
	stored, lost := 0, int64(0)
	for _, e := range s.events {
		switch e.Action {
		case "x":
			stored++
		case "lose-events":
			lost += e.Counts["events"]
		}
	}
	require.Equal(t, int64(n), int64(stored)+lost)
	require.Less(t, stored, 25_000)
}

// Who gives up waiting is told so.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	s := &shelf{hold: make(chan struct{})}
	log := audit.NewLog(s, quiet, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, log.Write(ctx, named("a")), context.Canceled)
	require.ErrorIs(t, log.Flush(ctx), context.Canceled)
	close(s.hold)
	require.NoError(t, log.Flush(t.Context()))
	require.Equal(t, []string{"a"}, s.actions())
}
