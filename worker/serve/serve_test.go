package serve

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"pdexbulk/worker/boot"
)

// refusing is a Temporal whose schedules answer with an error.
type refusing struct {
	client.Client
	err error
}

func (r refusing) ScheduleClient() client.ScheduleClient { return schedules{err: r.err} }

type schedules struct {
	client.ScheduleClient
	err error
}

func (schedules) GetHandle(context.Context, string) client.ScheduleHandle { return nil }

func (r schedules) Create(context.Context, client.ScheduleOptions) (client.ScheduleHandle, error) {
	return nil, r.err
}

// A worker that may not make schedules works without, and says so. Any other fault is one.
func TestWithoutTheRightToSchedule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err   error
		fatal bool
	}{
		{serviceerror.NewPermissionDenied("no", ""), false},
		{serviceerror.NewUnimplemented("no"), false},
		{serviceerror.NewUnavailable("no"), true},
		{errors.New("no"), true},
	} {
		var log bytes.Buffer
		p := &boot.Process{Temporal: refusing{err: tt.err}, Log: slog.New(slog.NewTextHandler(&log, nil)), Health: boot.NewHealth(time.Second)}
		err := scheduleClaims(t.Context(), p, time.Hour)
		status, classes := p.Health.Ready(t.Context())
		require.Equal(t, http.StatusOK, status)
		if tt.fatal {
			require.ErrorIs(t, err, tt.err)
			require.NotContains(t, classes, "claims-schedule")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "forbidden", classes["claims-schedule"])
		require.Contains(t, log.String(), "not scheduled")
	}
}
