package workflows

import (
	"context"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"pdexbulk/activities"
	"pdexbulk/models"
)

// claimsEnv is an environment in which the claims rule begins, derive derives, and the end is noted.
func claimsEnv(t *testing.T, derive func(context.Context, activities.PartInput) error) (*testsuite.TestWorkflowEnvironment, *activities.FinishRelationshipsInput) {
	t.Helper()
	env, finished := newEnv(t), &activities.FinishRelationshipsInput{}
	env.RegisterWorkflow(ClaimsRelationships)
	env.OnActivity(a.StartRelationships, mock.Anything, mock.Anything).Return(nil)
	env.OnActivity(a.IndexProviders, mock.Anything, mock.Anything).Return(nil)
	env.OnActivity(a.DeriveRelationships, mock.Anything, mock.Anything).Return(derive)
	env.OnActivity(a.FinishRelationships, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.FinishRelationshipsInput) error {
		*finished = in
		return nil
	})
	return env, finished
}

func TestClaimsRelationships(t *testing.T) {
	t.Parallel()
	parts := make(chan activities.PartInput, 100)
	env, finished := claimsEnv(t, func(_ context.Context, in activities.PartInput) error {
		parts <- in
		return nil
	})
	env.ExecuteWorkflow(ClaimsRelationships, Limits{Parallel: 3})
	require.NoError(t, env.GetWorkflowError())
	close(parts)
	seen := map[int]bool{}
	for in := range parts {
		require.Equal(t, finished.RunID, in.RunID)
		require.False(t, seen[in.Part])
		seen[in.Part] = true
	}
	require.Len(t, seen, models.RelationshipParts)
	require.Equal(t, models.StateCompleted, finished.State)
	require.NotEmpty(t, finished.RunID)
	require.Equal(t, Progress{Stage: "done", Done: models.RelationshipParts, Total: models.RelationshipParts}, progressOf(t, env))
}

func TestClaimsRelationshipsFail(t *testing.T) {
	t.Parallel()
	env, finished := claimsEnv(t, func(_ context.Context, in activities.PartInput) error {
		if in.Part == 5 {
			return temporal.NewNonRetryableApplicationError("it is broken", "internal", nil)
		}
		return nil
	})
	env.ExecuteWorkflow(ClaimsRelationships, Limits{Parallel: 3})
	require.Error(t, env.GetWorkflowError())
	require.Equal(t, models.StateFailed, finished.State)
}

func TestClaimsRelationshipsAreCancelled(t *testing.T) {
	t.Parallel()
	env, finished := claimsEnv(t, func(ctx context.Context, _ activities.PartInput) error {
		<-ctx.Done()
		return ctx.Err()
	})
	env.RegisterDelayedCallback(env.CancelWorkflow, 1)
	env.ExecuteWorkflow(ClaimsRelationships, Limits{Parallel: 1})
	require.Error(t, env.GetWorkflowError())
	require.Equal(t, models.StateCancelled, finished.State)
}
