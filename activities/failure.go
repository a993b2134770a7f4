package activities

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"pdexbulk/models"
)

// FailureInterceptor turns every error an activity returns into one that Temporal may keep: a fixed kind, a message that
// holds nothing of the data, and the decision whether to try again. It is the one place that makes that decision. It also
// sends the heartbeats of activities that have a heartbeat timeout.
type FailureInterceptor struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity wraps an activity.
func (FailureInterceptor) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &failureInbound{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type failureInbound struct {
	interceptor.ActivityInboundInterceptorBase
}

func (f *failureInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	stop := beat(ctx)
	out, err := f.Next.ExecuteActivity(ctx, in)
	stop()
	if err == nil {
		return out, nil
	}
	activity.GetLogger(ctx).Warn("activity attempt failed", "kind", models.KindOf(err), "error", describe(err))
	return out, failure(err)
}

// failure is what Temporal sees of an error.
func failure(err error) error {
	if errors.Is(err, context.Canceled) || temporal.IsCanceledError(err) {
		return err
	}
	if _, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return err
	}
	kind := models.KindOf(err)
	switch kind {
	case models.KindInternal, models.KindUnavailable, models.KindThrottled:
		return temporal.NewApplicationError(describe(err), string(kind))
	default:
		return temporal.NewNonRetryableApplicationError(describe(err), string(kind), nil)
	}
}

// describe puts an error into words that are safe to keep anywhere. Errors of ours say nothing of the data by rule;
// Postgres may quote a value, so of its errors only the code and the constraint are told.
func describe(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		text := "the database answered SQLSTATE " + pg.Code
		if pg.ConstraintName != "" {
			text += " on " + pg.ConstraintName
		}
		return text
	}
	if e, ok := errors.AsType[*models.Error](err); ok {
		return e.Error()
	}
	return err.Error()
}
