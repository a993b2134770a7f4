package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
	"pdexbulk/models"
)

// ListID returns the workflow id of a load of opt-outs, relationships or directory entries.
func ListID(id string) string { return activities.ListWorkflowID(id) }

// LoadList takes in a load. What it had taken in stays when it is cancelled.
func LoadList(ctx workflow.Context, id string) (*models.ListCounts, error) {
	progress, err := track(ctx, "loading")
	if err != nil {
		return nil, err
	}
	if err := progress.stage(ctx, "loading"); err != nil {
		return nil, err
	}
	var counts models.ListCounts
	failed := workflow.ExecuteActivity(long(ctx), a.LoadList, id).Get(ctx, &counts)
	finish := activities.FinishListInput{ID: id, State: models.StateCompleted}
	switch {
	case temporal.IsCanceledError(failed):
		finish.State, finish.Reason = models.StateCancelled, "the load was cancelled; what it had taken in by then stays"
	case failed != nil:
		finish.State, finish.Reason = models.StateFailed, "the load could not be completed"
		if app, ok := errors.AsType[*temporal.ApplicationError](failed); ok {
			finish.Reason = app.Message()
		}
	}
	if err := workflow.ExecuteActivity(cleanup(ctx), a.FinishList, finish).Get(ctx, nil); err != nil {
		return nil, errors.Join(failed, err)
	}
	if failed != nil {
		return nil, failed
	}
	return &counts, progress.stage(ctx, "done")
}
