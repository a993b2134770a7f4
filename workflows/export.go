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
	progress.heedPauses(ctx, in.JobID)
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
	if err := progress.planned(ctx, plan.Paused); err != nil {
		return nil, err
	}
	to := min(plan.Chunks, in.From+chunksPerRun)
	err := forEach(ctx, in.From, to, in.Limits.parallel(), func(ctx workflow.Context, chunk int) error {
		if err := progress.pass(ctx); err != nil {
			return err
		}
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
	if plan.Supporting {
		if err := progress.pass(ctx); err != nil {
			return nil, err
		}
		in := activities.ChunkInput{JobID: in.JobID, Chunk: plan.Chunks}
		if err := workflow.ExecuteActivity(long(ctx), a.ExportChunk, in).Get(ctx, nil); err != nil {
			return nil, err
		}
	}
	if plan.Convert {
		if err := convert(ctx, in, progress); err != nil {
			return nil, err
		}
	}
	return publish(ctx, progress, a.PublishExport, in.JobID)
}

// convert makes the files into the format that was asked for.
func convert(ctx workflow.Context, in ExportInput, progress *tracker) error {
	if err := progress.stage(ctx, "converting"); err != nil {
		return err
	}
	var files int
	if err := workflow.ExecuteActivity(short(ctx), a.CountFiles, in.JobID).Get(ctx, &files); err != nil {
		return err
	}
	return forEach(ctx, 0, files, in.Limits.parallel(), func(ctx workflow.Context, file int) error {
		if err := progress.pass(ctx); err != nil {
			return err
		}
		return workflow.ExecuteActivity(long(ctx), a.ConvertFile, activities.FileInput{JobID: in.JobID, File: file}).Get(ctx, nil)
	})
}
