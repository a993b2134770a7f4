package workflows

import "go.temporal.io/sdk/workflow"

// PauseSignal tells a run that its job was paused or resumed. It says not which: the run looks it up, so that the job's row has the
// last word in whatever order signals come.
const PauseSignal = "pause"

// PausedStage is the stage of a run that is paused. Steps that had begun still finish.
const PausedStage = "paused"

// heedPauses has the run look up whether its job is paused whenever it is told to.
func (t *tracker) heedPauses(ctx workflow.Context, jobID string) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		told := workflow.GetSignalChannel(ctx, PauseSignal)
		for told.Receive(ctx, nil) {
			for told.ReceiveAsync(nil) { // the last look serves all of them
			}
			// A worker of the version before took no notice; what it let pass must be let pass again when the history is replayed.
			if workflow.GetVersion(ctx, "pause", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
				continue
			}
			var paused bool
			t.looking = true
			err := workflow.ExecuteActivity(brief(ctx), a.IsPaused, jobID).Get(ctx, &paused)
			if err == nil {
				t.asked = true
				err = t.hold(ctx, paused)
			}
			t.looking = false
			if err != nil {
				workflow.GetLogger(ctx).Warn("a run could not look up whether it is paused", "job", jobID)
			}
		}
	})
}

// planned takes what a run's plan says of pauses, unless the run has looked since.
func (t *tracker) planned(ctx workflow.Context, paused bool) error {
	if t.asked {
		return nil
	}
	return t.hold(ctx, paused)
}

func (t *tracker) hold(ctx workflow.Context, paused bool) error {
	if t.paused == paused {
		return nil
	}
	t.paused = paused
	if paused {
		return t.enter(ctx, PausedStage)
	}
	return t.enter(ctx, t.working)
}

// pass returns when the run may begin a step: at once, unless it is paused, or about to be.
func (t *tracker) pass(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return !t.paused && !t.looking })
}
