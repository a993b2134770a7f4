package workflows

import (
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
)

// chunksPerRun is after how many chunks an export continues as a new run, so that no history grows long.
const chunksPerRun = 500

// ExportInput starts an export. From and Done carry on from a run before.
type ExportInput struct {
	JobID  string
	Limits Limits
	From   int
	Done   int64
}

// Export writes what a client asked for: freeze the snapshot and plan, write the chunks, publish.
func Export(ctx workflow.Context, in ExportInput) (*activities.Published, error) {
	progress, err := track(ctx, "planning")
	if err != nil {
		return nil, err
	}
	out, err := export(ctx, in, progress)
	if err != nil && !workflow.IsContinueAsNewError(err) {
		return nil, failJob(ctx, in.JobID, err)
	}
	return out, err
}

func export(ctx workflow.Context, in ExportInput, progress *tracker) (*activities.Published, error) {
	var plan activities.ExportPlan
	if err := workflow.ExecuteActivity(long(ctx), a.PrepareExport, in.JobID).Get(ctx, &plan); err != nil {
		return nil, err
	}
	progress.Done, progress.Total = in.Done, plan.Resources
	if err := progress.stage(ctx, "exporting"); err != nil {
		return nil, err
	}
	to := min(plan.Chunks, in.From+chunksPerRun)
	err := forEach(ctx, in.From, to, in.Limits.parallel(), func(ctx workflow.Context, chunk int) error {
		var res activities.ChunkResult
		err := workflow.ExecuteActivity(long(ctx), a.ExportChunk, activities.ChunkInput{JobID: in.JobID, Chunk: chunk}).Get(ctx, &res)
		if err != nil {
			return err
		}
		return progress.add(ctx, res.Planned)
	})
	if err != nil {
		return nil, err
	}
	if to < plan.Chunks {
		in.From, in.Done = to, progress.Done
		return nil, workflow.NewContinueAsNewError(ctx, Export, in)
	}
	var out activities.Published
	if err := workflow.ExecuteActivity(short(ctx), a.PublishExport, in.JobID).Get(ctx, &out); err != nil {
		return nil, err
	}
	if err := progress.stage(ctx, "done"); err != nil {
		return nil, err
	}
	return &out, expireLater(ctx, in.JobID, out.Expires)
}
