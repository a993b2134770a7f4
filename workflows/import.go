package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
	"pdexbulk/models"
)

// ImportInput starts an import.
type ImportInput struct {
	ImportID string
	Limits   Limits
}

// Import loads files into the store: scan them all, wait for the turn to merge, merge range after range of members, apply
// deletes, finish.
func Import(ctx workflow.Context, in ImportInput) (*models.ImportStats, error) {
	progress, err := track(ctx, "planning")
	if err != nil {
		return nil, err
	}
	finish := activities.FinishInput{ImportID: in.ImportID, State: models.StateCompleted}
	failed := runImport(ctx, in, progress)
	switch {
	case temporal.IsCanceledError(failed):
		finish.State, finish.Reason = models.StateCancelled, "the import was cancelled; what it had merged by then stays"
	case failed != nil:
		finish.State, finish.Reason = models.StateFailed, reason(failed)
	}
	// Cancelling does not reach this: until the import is closed, exports get no snapshot later than it.
	free, _ := workflow.NewDisconnectedContext(ctx)
	var stats models.ImportStats
	if err := workflow.ExecuteActivity(long(free), a.FinishImport, finish).Get(free, &stats); err != nil {
		return nil, errors.Join(failed, err)
	}
	if failed != nil {
		return nil, failed
	}
	trainAfterImport(ctx)
	return &stats, progress.stage(ctx, "done")
}

func runImport(ctx workflow.Context, in ImportInput, progress *tracker) error {
	var plan activities.ImportPlan
	if err := workflow.ExecuteActivity(short(ctx), a.PlanImport, in.ImportID).Get(ctx, &plan); err != nil {
		return err
	}
	progress.Total = int64(plan.Files + plan.Buckets)
	if err := progress.stage(ctx, "scanning"); err != nil {
		return err
	}
	// A scan uses every processor of its worker, so more than two at a time only add memory.
	err := forEach(ctx, 0, plan.Files, min(2, in.Limits.parallel()), func(ctx workflow.Context, file int) error {
		err := workflow.ExecuteActivity(long(ctx), a.ScanFile, activities.ScanInput{ImportID: in.ImportID, File: file}).Get(ctx, nil)
		if err != nil {
			return err
		}
		return progress.add(ctx, 1)
	})
	if err != nil {
		return err
	}
	if err := progress.stage(ctx, "waiting for its turn"); err != nil {
		return err
	}
	if err := workflow.ExecuteActivity(waiting(ctx), a.TakeTurn, in.ImportID).Get(ctx, nil); err != nil {
		return err
	}
	if err := progress.stage(ctx, "merging"); err != nil {
		return err
	}
	err = forEach(ctx, 0, plan.Buckets, in.Limits.parallel(), func(ctx workflow.Context, bucket int) error {
		err := workflow.ExecuteActivity(long(ctx), a.MergeBucket, activities.BucketInput{ImportID: in.ImportID, Bucket: bucket}).Get(ctx, nil)
		if err != nil {
			return err
		}
		return progress.add(ctx, 1)
	})
	if err != nil {
		return err
	}
	return workflow.ExecuteActivity(long(ctx), a.ApplyDeletes, in.ImportID).Get(ctx, nil)
}

// waiting is for an activity that fails until something else has ended. Attempts leave no trace in the history.
func waiting(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 1.5, MaximumInterval: 5 * time.Second},
	})
}

// reason is the message of the failure at the root of err. Messages of activities hold nothing of the data.
func reason(err error) string {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return app.Message()
	}
	return "the import could not be completed"
}
