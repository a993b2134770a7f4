package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"pdexbulk/activities"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
	"pdexbulk/workflows"
)

// turnstile has the chunks of exports wait to be let through, one by one, and can have one fail.
type turnstile struct {
	interceptor.WorkerInterceptorBase
	came  chan struct{} // a chunk has begun
	leave chan error    // let one go on, or fail for good

	mu    sync.Mutex
	begun int
}

func newTurnstile() *turnstile {
	return &turnstile{came: make(chan struct{}, 1000), leave: make(chan error, 1000)}
}

func (s *turnstile) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// let lets n chunks through.
func (s *turnstile) let(n int) {
	for range n {
		s.leave <- nil
	}
}

type turnstileInbound struct {
	interceptor.ActivityInboundInterceptorBase
	s *turnstile
}

func (s *turnstile) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &turnstileInbound{interceptor.ActivityInboundInterceptorBase{Next: next}, s}
}

func (i *turnstileInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	if activity.GetInfo(ctx).ActivityType.Name != "ExportChunk" {
		return i.Next.ExecuteActivity(ctx, in)
	}
	i.s.mu.Lock()
	i.s.begun++
	i.s.mu.Unlock()
	i.s.came <- struct{}{}
	select {
	case err := <-i.s.leave:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return i.Next.ExecuteActivity(ctx, in)
}

const pausedMembers = 6

// people brings members whose data an export has, each in a chunk of their own (see planned).
func (s *server) people() {
	s.t.Helper()
	var body strings.Builder
	for i := range pausedMembers {
		fmt.Fprintf(&body, `{"resourceType":"Patient","id":"p-%d","name":[{"family":"Doemann","given":["Janine"]}]}`+"\n", i)
		fmt.Fprintf(&body, `{"resourceType":"Observation","id":"o-%d","status":"final","subject":{"reference":"Patient/p-%d"},"valueString":"%d"}`+"\n", i, i, i)
	}
	_, run := s.beginImport("a.ndjson", []byte(body.String()))
	require.NoError(s.t, run.Get(s.t.Context(), nil))
}

// planned makes an export of the Patients and Observations, cut up into a chunk a member.
func (s *server) planned() *models.Job {
	s.t.Helper()
	ctx := s.t.Context()
	params := models.ExportParams{Types: []int16{code(s.t, "Patient"), code(s.t, "Observation")}}
	job := s.job(models.OpPatientExport, params)
	job, err := s.store.StartJob(ctx, job.ID, "exporting", time.Now())
	require.NoError(s.t, err)
	var chunks []store.Chunk
	require.NoError(s.t, s.store.Loads(ctx, "", "", params.Types, nil, *job.TransactionTime, func(l store.Load) error {
		chunks = append(chunks, store.Chunk{JobID: job.ID, Chunk: len(chunks), Lo: l.Member, Hi: l.Member, Members: 1, Planned: l.Lines})
		return nil
	}))
	require.Len(s.t, chunks, pausedMembers)
	require.NoError(s.t, s.store.SavePlan(ctx, job.ID, chunks))
	return job
}

func (s *server) export(job *models.Job) client.WorkflowRun {
	s.t.Helper()
	return s.begin(workflows.JobWorkflowID(job), job.Operation, workflows.Export, workflows.ExportInput{JobID: job.ID, Limits: workflows.Limits{Parallel: 2}})
}

// hold pauses a job, or has it go on, as the admin API does.
func (s *server) hold(job *models.Job, held bool) {
	s.t.Helper()
	_, err := s.store.HoldJob(s.t.Context(), job.ID, held, time.Now())
	require.NoError(s.t, err)
	require.NoError(s.t, s.client.SignalWorkflow(s.t.Context(), workflows.JobWorkflowID(job), "", workflows.PauseSignal, nil))
}

// requireStage checks the search attribute by which operators find runs.
func (s *server) requireStage(run client.WorkflowRun, want string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		seen, err := s.client.DescribeWorkflow(s.t.Context(), run.GetID(), "")
		if err != nil {
			return false
		}
		stage, _ := seen.TypedSearchAttributes.GetKeyword(workflows.StageAttribute)
		return stage == want
	}, 20*time.Second, 20*time.Millisecond, want)
}

// requireSame checks that two exports came to the same files.
func (s *server) requireSame(want, got *models.Job) {
	s.t.Helper()
	list := func(job *models.Job) (out []models.JobFile) {
		files, err := s.store.Files(s.t.Context(), job.ID)
		require.NoError(s.t, err)
		for _, f := range files {
			out = append(out, models.JobFile{Kind: f.Kind, Type: f.Type, Lines: f.Lines, RawLen: f.RawLen, CRC: f.CRC})
		}
		return out
	}
	require.Len(s.t, list(want), 2)
	require.Equal(s.t, list(want), list(got))
	one, err := s.store.Job(s.t.Context(), want.ID)
	require.NoError(s.t, err)
	other, err := s.store.Job(s.t.Context(), got.ID)
	require.NoError(s.t, err)
	require.Equal(s.t, one.Accounting, other.Accounting)
	require.Empty(s.t, other.Accounting.Check())
}

// A run that is paused lets the chunks finish that had begun and begins no other until it is resumed, whatever becomes of its
// worker meanwhile; what it comes to is the same.
func TestPause(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	free := newTurnstile()
	free.let(1000)
	s := start(t, worker.Options{Interceptors: []interceptor.WorkerInterceptor{free}})
	s.people()
	plain := s.planned()
	require.NoError(t, s.export(plain).Get(ctx, nil))

	gate := newTurnstile()
	s.worker.Stop()
	s.work(worker.Options{Interceptors: []interceptor.WorkerInterceptor{gate}})
	job := s.planned()
	run := s.export(job)
	<-gate.came
	<-gate.came // as many as may be in flight
	s.hold(job, true)
	s.requireStage(run, workflows.PausedStage)
	gate.let(2)
	done := func(n int64) func() bool {
		return func() bool {
			got, _, err := s.store.Progress(ctx, job.ID)
			return err == nil && got == n
		}
	}
	require.Eventually(t, done(4), 20*time.Second, 20*time.Millisecond, "the chunks that had begun end")
	require.Eventually(t, func() bool {
		return s.memo(run) == (workflows.Progress{Stage: workflows.PausedStage, Done: 4, Total: 12})
	}, 20*time.Second, 20*time.Millisecond)

	// Another worker takes over and answers a query: it has gone through all the run has seen, and begins nothing.
	s.worker.Stop()
	gate = newTurnstile()
	s.work(worker.Options{Interceptors: []interceptor.WorkerInterceptor{gate}})
	s.until(run, workflows.PausedStage)
	require.Zero(t, gate.count())
	require.Equal(t, models.StateRunning, s.jobState(job.ID), "its client sees it in progress")
	s.hold(job, true) // again, which changes nothing
	s.until(run, workflows.PausedStage)
	require.Zero(t, gate.count())

	gate.let(pausedMembers)
	s.hold(job, false)
	var out activities.Published
	require.NoError(t, run.Get(ctx, &out))
	require.Equal(t, pausedMembers-2, gate.count(), "what was done is not done again")
	require.Equal(t, models.StateCompleted, s.jobState(job.ID))
	s.requireSame(plain, job)
	s.requireStage(run, "done")
	s.save("export-paused", run)

	_, err := s.store.HoldJob(ctx, job.ID, true, time.Now())
	require.Equal(t, models.KindConflict, models.KindOf(err))
}

// A job that is paused before its run begins, or in its last chunk, does not go on either; and it can be cancelled.
func TestPauseAtTheEnds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	gate := newTurnstile()
	s := start(t, worker.Options{Interceptors: []interceptor.WorkerInterceptor{gate}})
	s.people()
	early := s.planned()
	_, err := s.store.HoldJob(ctx, early.ID, true, time.Now())
	require.NoError(t, err)
	run := s.export(early)
	s.until(run, workflows.PausedStage)
	require.Zero(t, gate.count())
	require.NoError(t, s.client.CancelWorkflow(ctx, run.GetID(), ""))
	err = run.Get(ctx, nil)
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.Equal(t, models.StateCancelled, s.jobState(early.ID))

	late := s.planned()
	run = s.export(late)
	gate.let(pausedMembers - 1)
	for range pausedMembers {
		<-gate.came
	}
	s.hold(late, true)
	s.requireStage(run, workflows.PausedStage)
	gate.let(1)
	require.Eventually(t, func() bool {
		done, total, err := s.store.Progress(ctx, late.ID)
		return err == nil && done == total
	}, 20*time.Second, 20*time.Millisecond)
	s.until(run, workflows.PausedStage)
	require.Equal(t, models.StateRunning, s.jobState(late.ID), "nothing is published")
	s.hold(late, false)
	require.NoError(t, run.Get(ctx, nil))
	require.Equal(t, models.StateCompleted, s.jobState(late.ID))
}

// An export that failed goes on from the chunks that are done, with the same files as if nothing had happened.
func TestRetry(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	gate := newTurnstile()
	s := start(t, worker.Options{Interceptors: []interceptor.WorkerInterceptor{gate}})
	s.people()
	gate.let(pausedMembers)
	plain := s.planned()
	require.NoError(t, s.export(plain).Get(ctx, nil))

	job := s.planned()
	before := gate.count()
	gate.let(3)
	gate.leave <- models.Errorf(models.KindConflict, "as it happens")
	require.ErrorContains(t, s.export(job).Get(ctx, nil), "as it happens")
	require.Equal(t, models.StateFailed, s.jobState(job.ID))
	steps, err := s.store.Steps(ctx, job.ID, -1, 100)
	require.NoError(t, err)
	open := len(slices.DeleteFunc(slices.Clone(steps), func(c store.Step) bool { return c.Done }))
	require.Less(t, open, pausedMembers)
	require.Positive(t, open)
	files, err := s.store.Files(ctx, job.ID)
	require.NoError(t, err)
	require.Empty(t, files, "nobody can have what there is of it")

	// The data move on; the export does not.
	_, run := s.beginImport("b.ndjson", []byte(`{"resourceType":"Observation","id":"o-1","status":"amended","subject":{"reference":"Patient/p-1"}}`+"\n"))
	require.NoError(t, run.Get(ctx, nil))
	_, err = s.store.PurgeSegments(ctx)
	require.NoError(t, err)

	before = gate.count() - before
	require.GreaterOrEqual(t, before, 4)
	again, err := s.store.RetryJob(ctx, job.ID)
	require.NoError(t, err)
	require.Equal(t, models.StateRunning, again.State)
	require.Equal(t, 1, again.Retries)
	gate.let(100) // an attempt of the run that failed may still be there
	require.NoError(t, s.export(again).Get(ctx, nil))
	s.requireSame(plain, job)
	_, err = s.store.RetryJob(ctx, job.ID)
	require.Equal(t, models.KindConflict, models.KindOf(err))
}

func code(t *testing.T, name string) int16 {
	t.Helper()
	c, ok := fhir.TypeCode(name)
	require.True(t, ok)
	return c
}

// A worker of the version before pauses took no notice of the signal. A run that got it from there goes on as it began.
func TestReplayOfAnIgnoredPause(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "histories", "export.json"))
	require.NoError(t, err)
	var doc struct {
		Events []map[string]any `json:"events"`
	}
	require.NoError(t, json.Unmarshal(text, &doc))
	var shift func(v any)
	shift = func(v any) { // what follows the first event comes one later
		m, _ := v.(map[string]any)
		for key, inner := range m {
			id, err := strconv.Atoi(fmt.Sprint(inner))
			if (strings.HasSuffix(key, "ventId") || key == "activityId") && err == nil && id > 1 {
				m[key] = strconv.Itoa(id + 1)
			}
			shift(inner)
		}
	}
	for _, e := range doc.Events {
		shift(e)
	}
	signal := map[string]any{
		"eventId": "2", "eventTime": doc.Events[0]["eventTime"], "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED",
		"workflowExecutionSignaledEventAttributes": map[string]any{"signalName": workflows.PauseSignal, "identity": "api"},
	}
	doc.Events = slices.Insert(doc.Events, 1, signal)
	text, err = json.Marshal(doc)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "export.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	r := worker.NewWorkflowReplayer()
	r.RegisterWorkflow(workflows.Export)
	require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)), file))
}
