package workflows

import (
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
)

// slicesPerRun is after how many slices a match continues as a new run.
const slicesPerRun = 500

// MatchInput starts a member match. From and Done carry on from a run before.
type MatchInput struct {
	JobID  string
	Limits Limits
	From   int
	Done   int64
}

// MemberMatch finds the submitted people slice by slice and publishes the Groups: exactly one outcome a person.
func MemberMatch(ctx workflow.Context, in MatchInput) (*activities.Published, error) {
	progress, err := track(ctx, "planning")
	if err != nil {
		return nil, err
	}
	progress.heedPauses(ctx, in.JobID)
	out, err := match(ctx, in, progress)
	if err != nil && !workflow.IsContinueAsNewError(err) {
		return nil, failJob(ctx, in.JobID, err)
	}
	return out, err
}

func match(ctx workflow.Context, in MatchInput, progress *tracker) (*activities.Published, error) {
	var plan activities.MatchPlan
	if err := workflow.ExecuteActivity(short(ctx), a.PrepareMatch, in.JobID).Get(ctx, &plan); err != nil {
		return nil, err
	}
	progress.Done, progress.Total = in.Done, plan.Members
	if err := progress.stage(ctx, "matching"); err != nil {
		return nil, err
	}
	if err := progress.planned(ctx, plan.Paused); err != nil {
		return nil, err
	}
	to := min(plan.Slices, in.From+slicesPerRun)
	err := forEach(ctx, in.From, to, in.Limits.parallel(), func(ctx workflow.Context, slice int) error {
		if err := progress.pass(ctx); err != nil {
			return err
		}
		var members int64
		err := workflow.ExecuteActivity(long(ctx), a.MatchSlice, activities.SliceInput{JobID: in.JobID, Slice: slice}).Get(ctx, &members)
		if err != nil {
			return err
		}
		return progress.add(ctx, members)
	})
	if err != nil {
		return nil, err
	}
	if to < plan.Slices {
		in.From, in.Done = to, progress.Done
		return nil, workflow.NewContinueAsNewError(ctx, MemberMatch, in)
	}
	return publish(ctx, progress, a.PublishMatch, in.JobID)
}
