package workflows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/workflows"
)

// One client's huge export does not hold up another's small one, though a single worker does one thing at a time and the
// huge export has far more in the queue.
func TestClientsTakeTurns(t *testing.T) {
	t.Parallel()
	s := start(t, worker.Options{MaxConcurrentActivityExecutionSize: 1})
	ctx := t.Context()
	const people, queued = 300, 100
	var text strings.Builder
	for i := range people {
		fmt.Fprintf(&text, `{"resourceType":"Patient","id":"p%d"}`+"\n", i)
	}
	_, run := s.beginImport("a.ndjson", []byte(text.String()))
	require.NoError(t, run.Get(ctx, nil))

	// export starts an export of one chunk a patient.
	export := func(who string, n int) (*models.Job, client.WorkflowRun) {
		job := s.job(models.OpPatientExport, models.ExportParams{})
		_, err := s.store.StartJob(ctx, job.ID, "exporting", time.Now())
		require.NoError(t, err)
		var plan []store.Chunk
		for i := range n {
			id := models.MemberID(fmt.Sprint("p", i))
			plan = append(plan, store.Chunk{JobID: job.ID, Chunk: i, Lo: id, Hi: id, Members: 1, Planned: 1})
		}
		require.NoError(t, s.store.SavePlan(ctx, job.ID, plan))
		return job, s.beginFor(who, workflows.JobWorkflowID(job), job.Operation, workflows.Export,
			workflows.ExportInput{JobID: job.ID, Limits: workflows.Limits{Parallel: queued}})
	}
	huge, hugeRun := export("huge", people)
	require.Eventually(t, func() bool {
		done, _, err := s.store.Progress(ctx, huge.ID)
		return err == nil && done > 0
	}, 20*time.Second, 5*time.Millisecond)

	small, smallRun := export("small", 5)
	require.NoError(t, smallRun.Get(ctx, nil))
	require.Equal(t, models.StateCompleted, s.jobState(small.ID))
	require.Equal(t, models.StateRunning, s.jobState(huge.ID), "the huge one has more to do")
	require.NoError(t, hugeRun.Get(ctx, nil), "and it ends all the same")

	hugeOnes := s.turns(hugeRun)
	passed := 0
	for _, small := range s.turns(smallRun) {
		ahead := 0
		for _, huge := range hugeOnes {
			if huge.started.After(small.scheduled) && huge.started.Before(small.started) {
				ahead++
			}
		}
		passed = max(passed, ahead)
	}
	t.Logf("at most %d steps of the huge export, which had %d in the queue, came before one of the small one", passed, queued)
	require.Less(t, passed, queued/4)
}

// turn is when an activity was put into the queue, and when a worker got it.
type turn struct{ scheduled, started time.Time }

// turns lists those of a run that has ended.
func (s *server) turns(run client.WorkflowRun) []turn {
	s.t.Helper()
	scheduled := map[int64]time.Time{}
	var all []turn
	events := s.client.GetWorkflowHistory(s.t.Context(), run.GetID(), run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(s.t, err)
		switch e.EventType {
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			scheduled[e.EventId] = e.EventTime.AsTime()
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
			all = append(all, turn{scheduled[e.GetActivityTaskStartedEventAttributes().ScheduledEventId], e.EventTime.AsTime()})
		default:
		}
	}
	require.NotEmpty(s.t, all)
	return all
}
