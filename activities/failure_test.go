package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/models"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	final := map[models.Kind]bool{
		models.KindInternal: false, models.KindUnavailable: false, models.KindThrottled: false,
		models.KindInvalid: true, models.KindNotFound: true, models.KindConflict: true, models.KindForbidden: true, models.KindUnprocessable: true,
		models.KindGone: true, models.KindTooLarge: true,
	}
	for kind, want := range final {
		_, err := run(t, func(context.Context) error {
			return fmt.Errorf("step: %w", models.Errorf(kind, "what is wrong").Because(errors.New("Jane Doe")))
		})
		app, ok := errors.AsType[*temporal.ApplicationError](err)
		require.True(t, ok)
		require.Equal(t, want, app.NonRetryable(), kind)
		require.Equal(t, string(kind), app.Type())
		require.Equal(t, "what is wrong", app.Message(), "without the cause")
	}

	_, err := run(t, func(context.Context) error {
		return fmt.Errorf("insert: %w", &pgconn.PgError{Code: "23505", Message: `Key (value)=(Jane Doe)`, Detail: "Jane Doe", ConstraintName: "members_pkey"})
	})
	app, _ := errors.AsType[*temporal.ApplicationError](err)
	require.Equal(t, "the database answered SQLSTATE 23505 on members_pkey", app.Message())
	require.False(t, app.NonRetryable())

	for _, cause := range []error{context.Canceled, temporal.NewCanceledError()} {
		require.Equal(t, cause, failure(cause), "a cancellation stays one")
	}
	known := temporal.NewNonRetryableApplicationError("m", "t", nil)
	require.Equal(t, known, failure(known))
}

// An activity that says nothing for long is kept alive while its worker lives.
func TestBeat(t *testing.T) {
	t.Parallel()
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(30 * time.Second)
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&FailureInterceptor{}}})
	beats := make(chan struct{}, 100)
	env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) { beats <- struct{}{} })
	quiet := func(ctx context.Context) error {
		for range 3 {
			select {
			case <-beats:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	env.RegisterActivity(quiet)
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute, HeartbeatTimeout: 300 * time.Millisecond, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		}), quiet).Get(ctx, nil)
	})
	require.NoError(t, env.GetWorkflowError())
}
