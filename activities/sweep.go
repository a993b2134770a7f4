package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
)

const (
	// sweepJobs is how old a job must be to be looked at: one that was accepted a moment ago may be about to start.
	sweepJobs = 5 * time.Minute
	// sweepUnstarted is how long a job may stay accepted without a run: its client may send the request again.
	sweepUnstarted = time.Hour
	// sweepExpired is how long after its time a job's files are deleted here, if they have not been before.
	sweepExpired = time.Hour
	// sweepFiles is how old a file must be that leads nowhere: older than any attempt that may still publish it.
	sweepFiles = 24 * time.Hour
)

// SweepInput says what to sweep.
type SweepInput struct {
	Jobs  bool // jobs, imports, loads and runs of the claims rule that Temporal knows to be over, and files whose time is over
	Files bool // files that belong to nothing
}

// Swept says what was swept.
type Swept struct {
	Closed int // jobs, imports, loads, and runs of the claims rule
	Purged int // jobs
	Files  int
}

// JobWorkflowID is the id of a job's workflow.
func JobWorkflowID(job *models.Job) string {
	if job.Operation.IsMatch() {
		return "match-" + job.ID
	}
	return "export-" + job.ID
}

// runState is what Temporal knows of a run.
type runState int

const (
	runUnknown runState = iota
	runGoesOn
	runIsOver
)

// lookAt asks Temporal about a run, the last one of its workflow id where runID is "".
func lookAt(ctx context.Context, workflowID, runID string) (runState, error) {
	run, err := activity.GetClient(ctx).DescribeWorkflowExecution(ctx, workflowID, runID)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return runUnknown, nil
	}
	if err != nil {
		return runUnknown, fmt.Errorf("look at a run: %w", err)
	}
	switch run.GetWorkflowExecutionInfo().GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED:
		return runGoesOn, nil
	default:
		return runIsOver, nil
	}
}

// Sweep closes jobs whose run was ended by force, and deletes files that nobody else will.
func (a *Activities) Sweep(ctx context.Context, in SweepInput) (*Swept, error) {
	out := new(Swept)
	if in.Jobs {
		if err := a.sweepOpen(ctx, out); err != nil {
			return nil, err
		}
		if err := a.sweepImports(ctx, out); err != nil {
			return nil, err
		}
		if err := a.sweepLists(ctx, out); err != nil {
			return nil, err
		}
		if err := a.sweepRelationships(ctx, out); err != nil {
			return nil, err
		}
		if err := a.sweepEnded(ctx, out); err != nil {
			return nil, err
		}
	}
	if in.Files {
		for _, folder := range []string{"exports", "groups", "imports", "lists", "matches"} {
			if err := a.sweepFolder(ctx, folder, out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (a *Activities) sweepOpen(ctx context.Context, out *Swept) error {
	open, err := a.Store.OpenJobs(ctx, a.now().Add(-sweepJobs))
	if err != nil {
		return err
	}
	for i := range open {
		job := &open[i]
		activity.RecordHeartbeat(ctx, out.Closed)
		over, err := a.isOver(ctx, JobWorkflowID(job), job.State, job.CreatedAt)
		if err != nil {
			return err
		}
		if !over {
			continue
		}
		in := FailInput{JobID: job.ID, State: models.StateFailed, Reason: "the job could not be completed; start it again, or ask the operator with this job's id"}
		if err := a.FailJob(ctx, in); err != nil {
			return err
		}
		out.Closed++
	}
	return nil
}

// isOver reports whether what has not ended has no run that could end it, and is not about to get one.
func (a *Activities) isOver(ctx context.Context, workflow string, state models.State, created time.Time) (bool, error) {
	run, err := lookAt(ctx, workflow, "")
	mayYetStart := run == runUnknown && state == models.StateAccepted && created.After(a.now().Add(-sweepUnstarted))
	return run != runGoesOn && !mayYetStart, err
}

// sweepImports closes imports whose run was ended by force. One that is merging holds back the snapshots of all exports until then.
func (a *Activities) sweepImports(ctx context.Context, out *Swept) error {
	open, err := a.Store.OpenImports(ctx, a.now().Add(-sweepJobs))
	if err != nil {
		return err
	}
	for _, imp := range open {
		over, err := a.isOver(ctx, ImportWorkflowID(imp.ID), imp.State, imp.CreatedAt)
		if err != nil {
			return err
		}
		if !over {
			continue
		}
		in := FinishInput{ImportID: imp.ID, State: models.StateFailed, Reason: "its workflow was ended before it was done"}
		if _, err := a.FinishImport(ctx, in); err != nil {
			return err
		}
		out.Closed++
	}
	return nil
}

// sweepLists closes loads whose run was ended by force, and removes what was uploaded for them.
func (a *Activities) sweepLists(ctx context.Context, out *Swept) error {
	open, err := a.Store.OpenListImports(ctx, a.now().Add(-sweepJobs))
	if err != nil {
		return err
	}
	for _, l := range open {
		over, err := a.isOver(ctx, ListWorkflowID(l.ID), l.State, l.CreatedAt)
		if err != nil {
			return err
		}
		if !over {
			continue
		}
		if err := a.FinishList(ctx, FinishListInput{ID: l.ID, State: models.StateFailed, Reason: "its workflow was ended before it was done"}); err != nil {
			return err
		}
		out.Closed++
	}
	return nil
}

// sweepRelationships closes runs of the claims rule whose run was ended by force.
func (a *Activities) sweepRelationships(ctx context.Context, out *Swept) error {
	open, err := a.Store.OpenRelationshipRuns(ctx, a.now().Add(-sweepJobs))
	if err != nil {
		return err
	}
	for _, r := range open {
		run, err := lookAt(ctx, r.WorkflowID, r.ID)
		if err != nil {
			return err
		}
		if run == runGoesOn {
			continue
		}
		in := FinishRelationshipsInput{RunID: r.ID, State: models.StateFailed, Reason: "the run was ended before it was done"}
		if err := a.FinishRelationships(ctx, in); err != nil {
			return err
		}
		out.Closed++
	}
	return nil
}

func (a *Activities) sweepEnded(ctx context.Context, out *Swept) error {
	ids, err := a.Store.JobsToPurge(ctx, a.now().Add(-sweepExpired), min(models.KeepFailed, a.Retention))
	if err != nil {
		return err
	}
	for _, id := range ids {
		activity.RecordHeartbeat(ctx, out.Purged)
		err := a.PurgeJob(ctx, id)
		if models.KindOf(err) == models.KindUnavailable {
			continue // a download, or a file store that will be there next time
		}
		if err != nil {
			return err
		}
		out.Purged++
	}
	return nil
}

// sweepFolder deletes the old files beneath a folder that belong to no job or import, or to one that has ended without them.
func (a *Activities) sweepFolder(ctx context.Context, folder string, out *Swept) error {
	seen := ""
	var keep func(key string) bool
	for blob, err := range a.Files.List(ctx, folder) {
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		if blob.ModTime.After(a.now().Add(-sweepFiles)) {
			continue
		}
		owner, _, _ := strings.Cut(strings.TrimPrefix(blob.Key, folder+"/"), "/")
		if owner, _, _ = strings.Cut(owner, "."); keep == nil || owner != seen {
			activity.RecordHeartbeat(ctx, out.Files)
			if keep, err = a.keeps(ctx, folder, owner); err != nil {
				return err
			}
			seen = owner
		}
		if keep(blob.Key) {
			continue
		}
		if err := a.Files.Delete(ctx, blob.Key); err != nil {
			return fmt.Errorf("delete a file that belongs to nothing: %w", err)
		}
		out.Files++
	}
	return nil
}

// keeps tells which files beneath a job's or import's folder are still needed.
func (a *Activities) keeps(ctx context.Context, folder, owner string) (func(key string) bool, error) {
	all, none := func(string) bool { return true }, func(string) bool { return false }
	if !models.ValidID(owner) {
		return none, nil
	}
	if folder == "lists" {
		needed, err := a.Store.ListNeeds(ctx, folder+"/"+owner)
		return func(string) bool { return needed }, err
	}
	if folder == "imports" {
		imp, err := a.Store.Import(ctx, owner)
		switch {
		case models.KindOf(err) == models.KindNotFound, err == nil && imp.State.Done():
			return none, nil
		default:
			return all, err
		}
	}
	state, err := a.Store.JobState(ctx, owner)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return none, nil
	case err != nil, !state.Done():
		return all, err
	}
	counts, err := a.Store.Blobs(ctx, owner)
	return func(key string) bool { return counts[key] }, err
}
