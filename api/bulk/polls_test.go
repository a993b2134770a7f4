package bulk

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

// Who waits as long as Retry-After says is never refused, however old the job and however coarse the clock.
func TestPatientPollsAreNeverRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := &polls{burst: rapid.IntRange(1, 5).Draw(t, "burst")}
		job, start := models.NewID(), time.Unix(1_700_000_000, 0)
		now := start
		for range 200 {
			require.Zero(t, p.wait("c", job, now))
			wait := time.Duration(retryAfter(now.Sub(start))) * time.Second
			now = now.Add(wait + time.Duration(rapid.IntRange(0, 500).Draw(t, "late"))*time.Millisecond)
		}
	})
}

// Who is refused and waits as long as that says is served.
func TestRefusedPollsAreServedLater(t *testing.T) {
	t.Parallel()
	p := &polls{burst: 3}
	job, now := models.NewID(), time.Unix(1_700_000_000, 0)
	for i := range 1000 {
		wait := p.wait("c", job, now)
		require.Equal(t, i >= 3, wait > 0, "poll %d", i)
		require.LessOrEqual(t, wait, 1, "a refused poll does not put off the next")
	}
	require.Zero(t, p.wait("d", job, now), "other clients are others")
	require.Zero(t, p.wait("c", job, now.Add(time.Second)))
	require.Zero(t, (&polls{}).wait("c", job, now), "no bound")
}

func TestPollsAreForgotten(t *testing.T) {
	t.Parallel()
	p := &polls{burst: 2}
	now := time.Unix(1_700_000_000, 0)
	for range maxPolled {
		p.wait("c", models.NewID(), now)
	}
	require.Len(t, p.jobs, maxPolled)
	p.wait("c", models.NewID(), now)
	require.LessOrEqual(t, len(p.jobs), maxPolled/2+1, "none is idle: half of them go")
	for len(p.jobs) < maxPolled {
		p.wait("c", models.NewID(), now)
	}
	p.wait("c", models.NewID(), now.Add(time.Hour))
	require.Len(t, p.jobs, 1, "all are idle: all of them go")
	p.wait("c", "no-job", now)
	require.Len(t, p.jobs, 1)
}
