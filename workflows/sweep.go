package workflows

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
)

// Sweep closes and deletes what runs and requests that were broken off have left behind.
func Sweep(ctx workflow.Context, in activities.SweepInput) (*activities.Swept, error) {
	var out activities.Swept
	if err := workflow.ExecuteActivity(long(ctx), a.Sweep, in).Get(ctx, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// StartSweeps sees to it that sweeps run: over the jobs every ten minutes, over the file store once a night. Those that are
// set up already stay.
func StartSweeps(ctx context.Context, c client.Client, queue string) error {
	for id, every := range map[string]struct {
		cron string
		in   activities.SweepInput
	}{
		"sweep-jobs":  {"*/10 * * * *", activities.SweepInput{Jobs: true}},
		"sweep-files": {"23 3 * * *", activities.SweepInput{Files: true}},
	} {
		_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: id, TaskQueue: queue, CronSchedule: every.cron, TypedSearchAttributes: Attributes("worker", "sweep", "waiting"),
		}, Sweep, every.in)
		if err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return fmt.Errorf("start %s: %w", id, err)
		}
	}
	return nil
}
