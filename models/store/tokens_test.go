package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// A listener sees every event once, in order, whoever commits when.
func TestListenerMissesNothing(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	const writers, each = 8, 25
	expires := time.Now().Add(time.Hour)
	early := models.NewID()
	require.NoError(t, s.RevokeToken(t.Context(), early, expires))
	l, err := s.Listen(t.Context())
	require.NoError(t, err)
	defer l.Close(t.Context())
	seen := map[string]int{}
	last := int64(0)
	read := func() {
		_, err := l.Read(t.Context(), func(events []models.AuthEvent) {
			for _, e := range events {
				require.Greater(t, e.Seq, last)
				last = e.Seq
				seen[e.TokenID]++
			}
		})
		require.NoError(t, err)
	}
	read()
	require.Equal(t, 1, seen[early], "what came before is told as well")
	var wg sync.WaitGroup
	var done atomic.Int32
	for range writers {
		wg.Go(func() {
			defer done.Add(1)
			for range each {
				if err := s.RevokeToken(t.Context(), models.NewID(), expires); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for done.Load() < writers {
		require.NoError(t, l.Wait(t.Context()))
		read()
	}
	wg.Wait()
	read()
	require.Len(t, seen, writers*each+1)
	for _, n := range seen {
		require.Equal(t, 1, n)
	}
	require.NoError(t, s.AwaitListeners(t.Context()))
	require.NoError(t, s.RevokeToken(t.Context(), early, expires), "again is no error")
}

func TestEventsOfClients(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	c, err := s.UpsertClient(t.Context(), testClient("a"))
	require.NoError(t, err)
	l, err := s.Listen(t.Context())
	require.NoError(t, err)
	defer l.Close(t.Context())
	var changed []string
	read := func() []string {
		changed = nil
		_, err := l.Read(t.Context(), func(events []models.AuthEvent) {
			for _, e := range events {
				changed = append(changed, e.ClientID)
			}
		})
		require.NoError(t, err)
		return changed
	}
	read()
	c.Name = "Renamed"
	c, err = s.ChangeClient(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, read())
	require.Zero(t, c.Generation)
	c.Active = false
	stale := c
	c, err = s.ChangeClient(t.Context(), c)
	require.NoError(t, err)
	require.EqualValues(t, 1, c.Generation)
	_, err = s.ChangeClient(t.Context(), stale)
	require.Equal(t, models.KindConflict, models.KindOf(err))
	require.Equal(t, []string{"a"}, read())
	c, err = s.UpsertClient(t.Context(), c)
	require.NoError(t, err)
	require.EqualValues(t, 1, c.Generation, "it was inactive already")
	require.NoError(t, s.VoidTokens(t.Context(), "a"))
	require.Equal(t, models.KindNotFound, models.KindOf(s.VoidTokens(t.Context(), "nobody")))
	require.Equal(t, []string{"a", "a"}, read())
}

func TestPurgeAuth(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	now := time.Now()
	old, fresh := models.NewID(), models.NewID()
	require.NoError(t, s.RevokeToken(t.Context(), old, now.Add(-time.Second)))
	require.NoError(t, s.RevokeToken(t.Context(), fresh, now.Add(time.Minute)))
	require.NoError(t, s.PurgeAuth(t.Context(), now))
	for id, want := range map[string]bool{old: false, fresh: true} {
		revoked, err := s.TokenRevoked(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, revoked)
	}
}

// One issuer has one registration in a community, until it gives that up.
func TestUDAPClient(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	add := func(id, community string) error {
		_, err := s.AddClient(t.Context(), models.Client{
			ID: id, Name: "n", Kind: models.ClientPending, Origin: models.OriginUDAP, Issuer: "https://a.example", Community: community,
		})
		return err
	}
	_, err := s.UDAPClient(t.Context(), "https://a.example", "one")
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	require.NoError(t, add("a", "one"))
	require.NoError(t, add("b", "two"))
	require.Equal(t, models.KindConflict, models.KindOf(add("c", "one")))
	require.Equal(t, models.KindConflict, models.KindOf(add("a", "three")))
	c, err := s.UDAPClient(t.Context(), "https://a.example", "one")
	require.NoError(t, err)
	require.Equal(t, "a", c.ID)
	now := time.Now()
	c.CancelledAt = &now
	_, err = s.ChangeClient(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, add("c", "one"))
	c, err = s.UDAPClient(t.Context(), "https://a.example", "one")
	require.NoError(t, err)
	require.Equal(t, "c", c.ID)
}
