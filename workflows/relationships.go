package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
	"pdexbulk/models"
)

// ClaimsRelationshipsID is the workflow id of a run of the claims rule that an administrator asked for, and the id of the schedule.
const ClaimsRelationshipsID = "claims-relationships"

// ClaimsRelationships derives treatment relationships from the services that are held. A run that begins while another is under
// way takes its place.
func ClaimsRelationships(ctx workflow.Context, limits Limits) error {
	progress, err := track(ctx, "indexing")
	if err != nil {
		return err
	}
	id := workflow.GetInfo(ctx).WorkflowExecution.RunID
	failed := claimsRelationships(ctx, progress, id, limits)
	finish := activities.FinishRelationshipsInput{RunID: id, State: models.StateCompleted}
	switch {
	case temporal.IsCanceledError(failed):
		finish.State, finish.Reason = models.StateCancelled, "the run was cancelled; what it had derived by then stays"
	case failed != nil:
		finish.State, finish.Reason = models.StateFailed, "the run could not be completed"
	}
	if err := workflow.ExecuteActivity(cleanup(ctx), a.FinishRelationships, finish).Get(ctx, nil); err != nil {
		return errors.Join(failed, err)
	}
	if failed != nil {
		return failed
	}
	return progress.stage(ctx, "done")
}

func claimsRelationships(ctx workflow.Context, progress *tracker, id string, limits Limits) error {
	if err := workflow.ExecuteActivity(short(ctx), a.StartRelationships, id).Get(ctx, nil); err != nil {
		return err
	}
	if err := workflow.ExecuteActivity(long(ctx), a.IndexProviders, id).Get(ctx, nil); err != nil {
		return err
	}
	progress.Total = models.RelationshipParts
	if err := progress.stage(ctx, "deriving"); err != nil {
		return err
	}
	return forEach(ctx, 0, models.RelationshipParts, limits.parallel(), func(ctx workflow.Context, part int) error {
		if err := workflow.ExecuteActivity(long(ctx), a.DeriveRelationships, activities.PartInput{RunID: id, Part: part}).Get(ctx, nil); err != nil {
			return err
		}
		return progress.add(ctx, 1)
	})
}

// ScheduleClaimsRelationships sees to it that the claims rule runs at every multiple of an interval; 0 means never. A schedule that
// is there already is brought up to date.
func ScheduleClaimsRelationships(ctx context.Context, c client.Client, queue string, every time.Duration, limits Limits) error {
	handle := c.ScheduleClient().GetHandle(ctx, ClaimsRelationshipsID)
	if every == 0 {
		err := handle.Delete(ctx)
		if _, none := errors.AsType[*serviceerror.NotFound](err); err != nil && !none {
			return fmt.Errorf("delete the schedule of the claims rule: %w", err)
		}
		return nil
	}
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}
	action := &client.ScheduleWorkflowAction{
		ID: ClaimsRelationshipsID, Workflow: ClaimsRelationships, Args: []any{limits}, TaskQueue: queue,
		TypedSearchAttributes: Attributes("worker", "claims-relationships", "waiting"),
	}
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{ID: ClaimsRelationshipsID, Spec: spec, Action: action})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		err = handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			in.Description.Schedule.Spec, in.Description.Schedule.Action = &spec, action
			return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
		}})
	}
	if err != nil {
		return fmt.Errorf("schedule the claims rule: %w", err)
	}
	return nil
}
