package workflows

import (
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
)

// TrainID is the workflow id of a training that an administrator asked for.
const TrainID = "train-matcher"

// TrainMatcher has the matcher learn its weights from the members there are.
func TrainMatcher(ctx workflow.Context) (*activities.Trained, error) {
	if _, err := track(ctx, "training"); err != nil {
		return nil, err
	}
	var out activities.Trained
	err := workflow.ExecuteActivity(long(ctx), a.TrainMatcher, activities.TrainInput{Always: true}).Get(ctx, &out)
	return &out, err
}

// trainAfterImport has the matcher learn again when the roster is no longer what it learned from. An import is as good
// without: its run does not fail over it.
func trainAfterImport(ctx workflow.Context) {
	// Version 1 came with the matcher's weights. Imports that began before it are long over when it goes.
	if workflow.GetVersion(ctx, "train-matcher", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return
	}
	if err := workflow.ExecuteActivity(long(ctx), a.TrainMatcher, activities.TrainInput{}).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the matcher could not be trained")
	}
}
