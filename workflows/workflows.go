// Package workflows holds what is durable: the order of the steps of an import, a match and an export, what happens when
// one fails or is cancelled, and when files expire. The steps themselves are activities.
//
// Workflow inputs, results, memos and search attributes are row ids, counts and client ids. Nothing in them tells of a
// person, because operators read them.
package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
	"pdexbulk/models"
)

// The search attributes of every run, and the memo with its progress.
var (
	ClientAttribute    = temporal.NewSearchAttributeKeyKeyword("PdexClient")
	OperationAttribute = temporal.NewSearchAttributeKeyKeyword("PdexOperation")
	StageAttribute     = temporal.NewSearchAttributeKeyKeyword("PdexStage")
)

// Attributes are the search attributes a run starts with.
func Attributes(client, operation, stage string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(ClientAttribute.ValueSet(client), OperationAttribute.ValueSet(operation), StageAttribute.ValueSet(stage))
}

// ProgressMemo is the memo key under which a run keeps its Progress.
const ProgressMemo = "progress"

// ProgressQuery is the query that answers with a run's Progress.
const ProgressQuery = "progress"

// Progress is how far a run has come.
type Progress struct {
	Stage string
	Done  int64 // of Total, in resources for an export, members for a match, steps for an import
	Total int64
}

// ImportID returns the workflow id of an import.
func ImportID(importID string) string { return activities.ImportWorkflowID(importID) }

// ExpireID returns the workflow id of the run that deletes a job's files when their time has come.
func ExpireID(jobID string) string { return "expire-" + jobID }

// JobWorkflowID returns the workflow id of a job. A job has one run at a time.
func JobWorkflowID(job *models.Job) string { return activities.JobWorkflowID(job) }

// Limits bounds how much of the workers one run may use at a time, so that others get their share.
type Limits struct {
	// Parallel is how many activities of the run may be in flight.
	Parallel int
}

func (l Limits) parallel() int { return max(1, l.Parallel) }

// retries is the policy of every activity: again and again, because accepted work is never dropped. What cannot succeed is
// non-retryable by its kind; what only an operator can mend shows in the UI meanwhile.
var retries = &temporal.RetryPolicy{
	InitialInterval:    200 * time.Millisecond,
	BackoffCoefficient: 2,
	MaximumInterval:    15 * time.Second,
}

// giveUp is when a run stops hoping for a step, in time to tell its client within the business day the rule allows.
const giveUp = 20 * time.Hour

// fairness makes a run's activities take turns with those of other clients, however many each has in the queue. The server has
// to be told to heed it; else what one run has in the queue is bounded by its Limits.
func fairness(ctx workflow.Context) temporal.Priority {
	client, _ := workflow.GetTypedSearchAttributes(ctx).GetKeyword(ClientAttribute)
	if len(client) > maxFairnessKey {
		client = client[:maxFairnessKey]
	}
	return temporal.Priority{FairnessKey: client}
}

// maxFairnessKey is how many bytes of a key Temporal takes.
const maxFairnessKey = 64

// short is for activities of a few queries.
func short(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		Priority:               fairness(ctx),
		StartToCloseTimeout:    2 * time.Minute,
		ScheduleToCloseTimeout: giveUp,
		RetryPolicy:            retries,
	})
}

// brief is for an activity of one query that a run waits for: when its worker dies, another soon does it.
func brief(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		Priority:               fairness(ctx),
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: giveUp,
		RetryPolicy:            retries,
	})
}

// long is for activities that move data. They heartbeat every few seconds, so a dead worker is noticed within heartbeat.
func long(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		Priority:               fairness(ctx),
		StartToCloseTimeout:    2 * time.Hour,
		ScheduleToCloseTimeout: giveUp,
		HeartbeatTimeout:       heartbeat,
		RetryPolicy:            retries,
	})
}

const heartbeat = 10 * time.Second

// cleanup is for what must happen even when the run was cancelled.
func cleanup(ctx workflow.Context) workflow.Context {
	free, _ := workflow.NewDisconnectedContext(ctx)
	return short(free)
}

// tracker keeps a run's progress where operators and the status endpoint find it, and holds the run back while it is paused.
type tracker struct {
	Progress
	shown   int64  // percent last written to the memo
	working string // the stage, but for a pause
	paused  bool
	asked   bool // whether paused is an answer of IsPaused, which is later than the plan's
	looking bool // an answer is awaited, and no step begins before
}

// track registers the progress query, first of all, so that it answers from the first task on.
func track(ctx workflow.Context, stage string) (*tracker, error) {
	t := &tracker{Progress: Progress{Stage: stage}, shown: -1, working: stage}
	err := workflow.SetQueryHandler(ctx, ProgressQuery, func() (Progress, error) { return t.Progress, nil })
	return t, err
}

func (t *tracker) stage(ctx workflow.Context, stage string) error {
	t.working = stage
	if t.paused {
		return nil
	}
	return t.enter(ctx, stage)
}

func (t *tracker) enter(ctx workflow.Context, stage string) error {
	t.Stage = stage
	if err := workflow.UpsertTypedSearchAttributes(ctx, StageAttribute.ValueSet(stage)); err != nil {
		return err
	}
	return t.show(ctx)
}

// add moves the count on. The memo follows in steps of five per cent, to keep the history short.
func (t *tracker) add(ctx workflow.Context, n int64) error {
	t.Done += n
	if percent := 100 * t.Done / max(t.Total, 1); percent >= t.shown+5 {
		return t.show(ctx)
	}
	return nil
}

func (t *tracker) show(ctx workflow.Context) error {
	t.shown = 100 * t.Done / max(t.Total, 1)
	return workflow.UpsertMemo(ctx, map[string]any{ProgressMemo: t.Progress})
}

// forEach runs step for every i in [from, to), at most parallel at a time. After a failure it starts no more, cancels what
// runs, and returns the first error.
func forEach(ctx workflow.Context, from, to, parallel int, step func(workflow.Context, int) error) error {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	next := from
	var failed error
	wg := workflow.NewWaitGroup(ctx)
	for range min(parallel, to-from) {
		wg.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer wg.Done()
			for next < to && failed == nil {
				i := next
				next++
				if err := step(ctx, i); err != nil && failed == nil {
					failed = err
					cancel()
				}
			}
		})
	}
	wg.Wait(ctx)
	return failed
}

// publish makes a job's files visible with the given activity and sees to it that they expire. It runs to its end even when
// the run is cancelled meanwhile, for a job must not stay completed with files that nobody deletes.
func publish(ctx workflow.Context, progress *tracker, activity any, jobID string) (*activities.Published, error) {
	if err := progress.pass(ctx); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	var out activities.Published
	if err := workflow.ExecuteActivity(long(ctx), activity, jobID).Get(ctx, &out); err != nil {
		return nil, err
	}
	if err := progress.enter(ctx, "done"); err != nil {
		return nil, err
	}
	return &out, expireLater(ctx, jobID, out.Expires)
}

// failJob closes a job whose run ended with err and returns err.
func failJob(ctx workflow.Context, jobID string, err error) error {
	in := activities.FailInput{JobID: jobID, State: models.StateFailed, Reason: "the job could not be completed; start it again, or ask the operator with this job's id"}
	if temporal.IsCanceledError(err) {
		in.State, in.Reason = models.StateCancelled, "the job was cancelled"
	}
	if ferr := workflow.ExecuteActivity(cleanup(ctx), a.FailJob, in).Get(ctx, nil); ferr != nil {
		workflow.GetLogger(ctx).Error("job could not be closed", "job", jobID)
	}
	return err
}

// a names activities; it is never called.
var a *activities.Activities

// expireLater leaves a run behind that deletes the job's files when their time has come.
func expireLater(ctx workflow.Context, jobID string, at time.Time) error {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            ExpireID(jobID),
		ParentClosePolicy:     parentAbandon,
		TypedSearchAttributes: temporal.NewSearchAttributes(workflow.GetTypedSearchAttributes(ctx).Copy(), StageAttribute.ValueSet("keeping")),
	})
	child := workflow.ExecuteChildWorkflow(ctx, Expire, ExpireInput{JobID: jobID, At: at})
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return err
}
