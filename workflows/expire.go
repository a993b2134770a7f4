package workflows

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"
)

const parentAbandon = enumspb.PARENT_CLOSE_POLICY_ABANDON

// ExpireNowSignal tells an Expire run not to wait any longer: the client has deleted the job.
const ExpireNowSignal = "expire-now"

// ExpireInput says whose files go, and when.
type ExpireInput struct {
	JobID string
	At    time.Time
}

// Expire waits and then deletes a job's files. A download that is under way then is not cut off: until it ends, the deletion is
// tried again and again.
func Expire(ctx workflow.Context, in ExpireInput) error {
	now := workflow.GetSignalChannel(ctx, ExpireNowSignal)
	_, err := workflow.AwaitWithTimeout(ctx, in.At.Sub(workflow.Now(ctx)), func() bool { return now.Len() > 0 })
	if err != nil {
		return err
	}
	for now.ReceiveAsync(nil) { // taken, or Temporal warns of a signal nobody looked at
	}
	if err := workflow.ExecuteActivity(short(ctx), a.PurgeJob, in.JobID).Get(ctx, nil); err != nil {
		return err
	}
	return workflow.UpsertTypedSearchAttributes(ctx, StageAttribute.ValueSet("done"))
}
