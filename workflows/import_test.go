package workflows

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
	"pdexbulk/models"
)

type converterArgs = converter.EncodedValues

// payloads reads the input of the run that continues one.
func payloads(again *workflow.ContinueAsNewError, into any) error {
	return converter.GetDefaultDataConverter().FromPayloads(again.Input, into)
}

// onImport makes an import of 3 files and 4 buckets succeed; step is told of each activity and may fail it.
func onImport(env *testsuite.TestWorkflowEnvironment, step func(name string) error) {
	env.OnActivity(a.PlanImport, mock.Anything, jobID).Return(func(context.Context, string) (*activities.ImportPlan, error) {
		return &activities.ImportPlan{Files: 3, Buckets: 4}, step("plan")
	})
	env.OnActivity(a.ScanFile, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ScanInput) error { return step(fmt.Sprint("scan ", in.File)) })
	env.OnActivity(a.TakeTurn, mock.Anything, jobID).Return(func(context.Context, string) error { return step("turn") })
	env.OnActivity(a.MergeBucket, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.BucketInput) error {
		return step(fmt.Sprint("merge ", in.Bucket))
	})
	env.OnActivity(a.ApplyDeletes, mock.Anything, jobID).Return(func(context.Context, string) error { return step("deletes") })
}

func TestImport(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var c calls
	onImport(env, func(name string) error {
		c.add(name)
		if n := c.count(name); n == 1 && (name == "scan 1" || name == "merge 2") || n < 9 && name == "turn" {
			return transient()
		}
		return nil
	})
	env.OnActivity(a.FinishImport, mock.Anything, activities.FinishInput{ImportID: jobID, State: models.StateCompleted}).
		Return(&models.ImportStats{Lines: 7}, nil).Once()
	env.ExecuteWorkflow(Import, ImportInput{ImportID: jobID, Limits: Limits{Parallel: 2}})
	require.NoError(t, env.GetWorkflowError())
	var stats models.ImportStats
	require.NoError(t, env.GetWorkflowResult(&stats))
	require.EqualValues(t, 7, stats.Lines)
	require.Equal(t, []string{
		"deletes", "merge 0", "merge 1", "merge 2", "merge 2", "merge 3", "plan", "scan 0", "scan 1", "scan 1", "scan 2",
		"turn", "turn", "turn", "turn", "turn", "turn", "turn", "turn", "turn",
	}, c.sorted())
	require.Equal(t, Progress{Stage: "done", Done: 7, Total: 7}, progressOf(t, env))
}

// Nothing is merged before all is scanned and the turn has come.
func TestImportOrder(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var c calls
	onImport(env, func(name string) error {
		c.add(name)
		switch {
		case name == "turn":
			require.Equal(t, 3, c.count("scan 0")+c.count("scan 1")+c.count("scan 2"))
		case name[0] == 'm':
			require.Equal(t, 1, c.count("turn"))
		case name == "deletes":
			require.Len(t, c.sorted(), 1+3+1+4+1)
		}
		return nil
	})
	env.OnActivity(a.FinishImport, mock.Anything, mock.Anything).Return(&models.ImportStats{}, nil).Once()
	env.ExecuteWorkflow(Import, ImportInput{ImportID: jobID, Limits: Limits{Parallel: 8}})
	require.NoError(t, env.GetWorkflowError())
}

func TestImportThatFails(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"plan", "scan 1", "turn", "merge 3", "deletes"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			onImport(env, func(name string) error {
				if name == step {
					return final(models.KindUnprocessable, "file 1 of the import is damaged")
				}
				return nil
			})
			want := activities.FinishInput{ImportID: jobID, State: models.StateFailed, Reason: "file 1 of the import is damaged"}
			env.OnActivity(a.FinishImport, mock.Anything, want).Return(nil, transient()).Twice()
			env.OnActivity(a.FinishImport, mock.Anything, want).Return(&models.ImportStats{}, nil).Once()
			env.ExecuteWorkflow(Import, ImportInput{ImportID: jobID})
			require.ErrorContains(t, env.GetWorkflowError(), "damaged")
			env.AssertActivityNumberOfCalls(t, "FinishImport", 3)
		})
	}
}

func TestCancelledImport(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"scan 1", "turn", "merge 2"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			onImport(env, func(name string) error {
				if name == step {
					env.CancelWorkflow()
					return transient()
				}
				return nil
			})
			var finish activities.FinishInput
			env.OnActivity(a.FinishImport, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.FinishInput) (*models.ImportStats, error) {
				finish = in
				return &models.ImportStats{}, nil
			}).Once()
			env.ExecuteWorkflow(Import, ImportInput{ImportID: jobID, Limits: Limits{Parallel: 2}})
			require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
			require.Equal(t, models.StateCancelled, finish.State)
			require.NotEmpty(t, finish.Reason)
		})
	}
}

// An import that is cancelled while it is being closed is closed all the same: left open it would hold up every export.
func TestImportCancelledAtItsEnd(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	onImport(env, func(string) error { return nil })
	tries := 0
	env.OnActivity(a.FinishImport, mock.Anything, activities.FinishInput{ImportID: jobID, State: models.StateCompleted}).
		Return(func(context.Context, activities.FinishInput) (*models.ImportStats, error) {
			if tries++; tries < 3 {
				env.CancelWorkflow()
				return nil, transient()
			}
			return &models.ImportStats{Lines: 1}, nil
		})
	env.ExecuteWorkflow(Import, ImportInput{ImportID: jobID})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, tries)
}

// While others merge, an import waits for its turn and says so.
func TestImportWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	turns := 0
	onImport(env, func(name string) error {
		if name != "turn" {
			return nil
		}
		if turns++; turns < 9 {
			return transient()
		}
		return nil
	})
	env.OnActivity(a.FinishImport, mock.Anything, mock.Anything).Return(&models.ImportStats{}, nil).Once()
	stage := ""
	env.RegisterDelayedCallback(func() { stage = progressOf(t, env).Stage }, 3*time.Second)
	env.ExecuteWorkflow(Import, ImportInput{ImportID: jobID})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "waiting for its turn", stage)
}
