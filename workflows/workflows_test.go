package workflows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"pdexbulk/activities"
	"pdexbulk/models"
)

const jobID = "0197a1b2-0000-7000-8000-000000000001"

var expires = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// newEnv is a workflow test environment with all workflows and no activity that does anything.
func newEnv(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(30 * time.Second)
	env.RegisterWorkflow(Import)
	env.RegisterWorkflow(MemberMatch)
	env.RegisterWorkflow(Export)
	env.RegisterWorkflow(Expire)
	env.RegisterActivity(&activities.Activities{})
	return env
}

func progressOf(t *testing.T, env *testsuite.TestWorkflowEnvironment) Progress {
	t.Helper()
	v, err := env.QueryWorkflow(ProgressQuery)
	require.NoError(t, err)
	var p Progress
	require.NoError(t, v.Get(&p))
	return p
}

// calls counts how often each step of a workflow ran. It is safe for concurrent use, as activities run side by side.
type calls struct {
	mu  sync.Mutex
	log []string
}

func (c *calls) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, name)
}

func (c *calls) sorted() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(slices.Values(c.log))
}

func (c *calls) count(name string) (n int) {
	for _, l := range c.sorted() {
		if l == name {
			n++
		}
	}
	return n
}

func final(kind models.Kind, text string) error {
	return temporal.NewNonRetryableApplicationError(text, string(kind), nil)
}

func transient() error { return temporal.NewApplicationError("away", string(models.KindUnavailable)) }

// onExport makes an export of n chunks of 10 resources succeed; chunk stands in for the export of one.
func onExport(env *testsuite.TestWorkflowEnvironment, n int, chunk func(int) error) {
	env.OnActivity(a.PrepareExport, mock.Anything, jobID).Return(&activities.ExportPlan{Client: "c", Chunks: n, Resources: int64(10 * n)}, nil)
	env.OnActivity(a.ExportChunk, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ChunkInput) (*activities.ChunkResult, error) {
		return &activities.ChunkResult{Planned: 10, Written: 9}, chunk(in.Chunk)
	})
	env.OnActivity(a.PublishExport, mock.Anything, jobID).Return(&activities.Published{Files: 2, Resources: 9, Expires: expires}, nil)
	env.OnWorkflow(Expire, mock.Anything, ExpireInput{JobID: jobID, At: expires}).Return(nil)
}

func TestExport(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var memos []Progress
	var stages []string
	env.OnUpsertMemo(mock.Anything).Run(func(args mock.Arguments) {
		memos = append(memos, args.Get(0).(map[string]any)[ProgressMemo].(Progress))
	}).Return(nil)
	env.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		stage, ok := args.Get(0).(temporal.SearchAttributes).GetKeyword(StageAttribute)
		require.True(t, ok)
		stages = append(stages, stage)
	}).Return(nil)
	var c calls
	running, most := 0, 0
	onExport(env, 40, func(i int) error {
		c.mu.Lock()
		running++
		most = max(most, running)
		c.mu.Unlock()
		c.add(fmt.Sprintf("%02d", i))
		c.mu.Lock()
		running--
		c.mu.Unlock()
		return nil
	})
	child := ""
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converterArgs) { child = info.WorkflowExecution.ID })
	env.ExecuteWorkflow(Export, ExportInput{JobID: jobID, Limits: Limits{Parallel: 3}})
	require.NoError(t, env.GetWorkflowError())
	var out activities.Published
	require.NoError(t, env.GetWorkflowResult(&out))
	require.Equal(t, 2, out.Files)
	require.Len(t, c.sorted(), 40)
	require.Len(t, slices.Compact(c.sorted()), 40, "each chunk once")
	require.LessOrEqual(t, most, 3)
	require.Equal(t, "expire-"+jobID, child)
	require.Equal(t, Progress{Stage: "done", Done: 400, Total: 400}, progressOf(t, env))
	require.Equal(t, []string{"exporting", "done"}, stages)
	require.Equal(t, Progress{Stage: "done", Done: 400, Total: 400}, memos[len(memos)-1])
	require.LessOrEqual(t, len(memos), 23, "a memo every five per cent at most")
	require.GreaterOrEqual(t, len(memos), 20)
	require.True(t, slices.IsSortedFunc(memos, func(a, b Progress) int { return int(a.Done - b.Done) }))
}

func TestExportOfNothing(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	onExport(env, 0, func(int) error { return errors.New("there is no chunk") })
	env.ExecuteWorkflow(Export, ExportInput{JobID: jobID})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "done", progressOf(t, env).Stage)
}

func TestExportTriesAgain(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var c calls
	onExport(env, 3, func(i int) error {
		c.add(fmt.Sprint(i))
		if i == 1 && c.count("1") < 4 {
			return transient()
		}
		return nil
	})
	env.ExecuteWorkflow(Export, ExportInput{JobID: jobID})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"0", "1", "1", "1", "1", "2"}, c.sorted())
	require.EqualValues(t, 30, progressOf(t, env).Done)
}

func TestExportThatCannotBeDone(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*testsuite.TestWorkflowEnvironment){
		"in its plan": func(env *testsuite.TestWorkflowEnvironment) {
			env.OnActivity(a.PrepareExport, mock.Anything, jobID).Return(nil, final(models.KindNotFound, "no job has this id"))
		},
		"in a chunk": func(env *testsuite.TestWorkflowEnvironment) {
			onExport(env, 5, func(i int) error {
				if i == 2 {
					return final(models.KindConflict, "x")
				}
				return nil
			})
		},
		"in its publication": func(env *testsuite.TestWorkflowEnvironment) {
			env.OnActivity(a.PublishExport, mock.Anything, jobID).Return(nil, final(models.KindConflict, "members do not add up")).Once()
			onExport(env, 1, func(int) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			set(env)
			var failed []activities.FailInput
			env.OnActivity(a.FailJob, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.FailInput) error {
				failed = append(failed, in)
				if len(failed) < 3 {
					return transient()
				}
				return nil
			})
			env.ExecuteWorkflow(Export, ExportInput{JobID: jobID, Limits: Limits{Parallel: 2}})
			require.Error(t, env.GetWorkflowError())
			require.False(t, temporal.IsCanceledError(env.GetWorkflowError()))
			require.Len(t, failed, 3, "until it is closed")
			require.Equal(t, jobID, failed[0].JobID)
			require.Equal(t, models.StateFailed, failed[0].State)
			require.NotEmpty(t, failed[0].Reason)
		})
	}
}

func TestCancelledExport(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var c calls
	onExport(env, 50, func(i int) error {
		c.add("chunk")
		if i == 3 {
			env.CancelWorkflow()
		}
		return transient() // so that only the cancellation ends it
	})
	var failed activities.FailInput
	env.OnActivity(a.FailJob, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.FailInput) error {
		failed = in
		return nil
	}).Once()
	env.ExecuteWorkflow(Export, ExportInput{JobID: jobID, Limits: Limits{Parallel: 4}})
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
	require.Equal(t, models.StateCancelled, failed.State)
	require.Equal(t, jobID, failed.JobID)
	env.AssertActivityNotCalled(t, "PublishExport", mock.Anything, mock.Anything)
}

// A cancellation that comes when the files are about to be visible comes too late: the job is completed and will expire.
func TestExportCancelledWhilePublishing(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(a.PublishExport, mock.Anything, jobID).Return(func(context.Context, string) (*activities.Published, error) {
		env.CancelWorkflow()
		return &activities.Published{Files: 1, Expires: expires}, nil
	}).Once()
	onExport(env, 1, func(int) error { return nil })
	child := false
	env.SetOnChildWorkflowStartedListener(func(*workflow.Info, workflow.Context, converterArgs) { child = true })
	env.ExecuteWorkflow(Export, ExportInput{JobID: jobID})
	require.NoError(t, env.GetWorkflowError())
	require.True(t, child, "its files will be deleted")
	env.AssertActivityNotCalled(t, "FailJob", mock.Anything, mock.Anything)
}

func TestExportContinuesAsNew(t *testing.T) {
	t.Parallel()
	in := ExportInput{JobID: jobID, Limits: Limits{Parallel: 8}}
	const chunks = 2*chunksPerRun + 1
	var c calls
	for run := range 3 {
		env := newEnv(t)
		onExport(env, chunks, func(i int) error {
			require.Equal(t, run, i/chunksPerRun)
			c.add(fmt.Sprintf("%05d", i))
			return nil
		})
		env.ExecuteWorkflow(Export, in)
		err := env.GetWorkflowError()
		if run == 2 {
			require.NoError(t, err)
			require.Equal(t, Progress{Stage: "done", Done: 10 * chunks, Total: 10 * chunks}, progressOf(t, env))
			break
		}
		again, ok := errors.AsType[*workflow.ContinueAsNewError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, "Export", again.WorkflowType.Name)
		in = ExportInput{JobID: jobID, Limits: in.Limits, From: (run + 1) * chunksPerRun, Done: int64(10 * (run + 1) * chunksPerRun)}
		var next ExportInput
		require.NoError(t, payloads(again, &next))
		require.Equal(t, in, next)
		env.AssertActivityNotCalled(t, "FailJob", mock.Anything, mock.Anything)
		env.AssertActivityNotCalled(t, "PublishExport", mock.Anything, mock.Anything)
	}
	require.Len(t, slices.Compact(c.sorted()), chunks)
	require.Len(t, c.sorted(), chunks)
}

func TestMatch(t *testing.T) {
	t.Parallel()
	onMatch := func(env *testsuite.TestWorkflowEnvironment, slice func(int) error) {
		env.OnActivity(a.PrepareMatch, mock.Anything, jobID).Return(&activities.MatchPlan{Client: "c", Slices: 4, Members: 20}, nil)
		env.OnActivity(a.MatchSlice, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.SliceInput) (int64, error) {
			return 5, slice(in.Slice)
		})
		env.OnActivity(a.PublishMatch, mock.Anything, jobID).Return(&activities.Published{Files: 2, Members: 20, Expires: expires}, nil)
		env.OnWorkflow(Expire, mock.Anything, ExpireInput{JobID: jobID, At: expires}).Return(nil)
	}
	t.Run("done", func(t *testing.T) {
		t.Parallel()
		env := newEnv(t)
		var c calls
		onMatch(env, func(i int) error {
			c.add(fmt.Sprint(i))
			if i == 2 && c.count("2") == 1 {
				return transient()
			}
			return nil
		})
		env.ExecuteWorkflow(MemberMatch, MatchInput{JobID: jobID, Limits: Limits{Parallel: 2}})
		require.NoError(t, env.GetWorkflowError())
		require.Equal(t, []string{"0", "1", "2", "2", "3"}, c.sorted())
		require.Equal(t, Progress{Stage: "done", Done: 20, Total: 20}, progressOf(t, env))
	})
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		env := newEnv(t)
		onMatch(env, func(int) error { return final(models.KindInternal, "the stored request is damaged") })
		env.OnActivity(a.FailJob, mock.Anything, mock.MatchedBy(func(in activities.FailInput) bool {
			return in.State == models.StateFailed && in.JobID == jobID
		})).Return(nil).Once()
		env.ExecuteWorkflow(MemberMatch, MatchInput{JobID: jobID})
		require.ErrorContains(t, env.GetWorkflowError(), "damaged")
		env.AssertActivityNumberOfCalls(t, "FailJob", 1)
	})
	t.Run("cancelled while waiting for a worker", func(t *testing.T) {
		t.Parallel()
		env := newEnv(t)
		env.OnActivity(a.PrepareMatch, mock.Anything, jobID).Return(nil, transient())
		env.OnActivity(a.FailJob, mock.Anything, mock.MatchedBy(func(in activities.FailInput) bool {
			return in.State == models.StateCancelled
		})).Return(nil).Once()
		env.RegisterDelayedCallback(env.CancelWorkflow, 10*time.Second)
		env.ExecuteWorkflow(MemberMatch, MatchInput{JobID: jobID})
		require.True(t, temporal.IsCanceledError(env.GetWorkflowError()))
	})
}

func TestExpire(t *testing.T) {
	t.Parallel()
	start := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		at     time.Time
		signal time.Duration // 0 for none
		want   time.Duration
	}{
		"when its time has come":   {start.Add(72 * time.Hour), 0, 72 * time.Hour},
		"when told":                {start.Add(72 * time.Hour), time.Hour, time.Hour},
		"at once when it is past":  {start.Add(-time.Hour), 0, 0},
		"at once when it is now":   {start, 0, 0},
		"when told, after a while": {start.Add(1000 * time.Hour), 999 * time.Hour, 999 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			env.SetStartTime(start)
			var purged time.Time
			tries := 0
			env.OnActivity(a.PurgeJob, mock.Anything, jobID).Return(func(context.Context, string) error {
				if tries++; tries == 1 {
					purged = env.Now()
					return transient()
				}
				return nil
			})
			if tc.signal > 0 {
				env.RegisterDelayedCallback(func() { env.SignalWorkflow(ExpireNowSignal, nil) }, tc.signal)
			}
			env.ExecuteWorkflow(Expire, ExpireInput{JobID: jobID, At: tc.at})
			require.NoError(t, env.GetWorkflowError())
			require.Equal(t, 2, tries)
			require.InDelta(t, tc.want, purged.Sub(start), float64(time.Second))
		})
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	require.Equal(t, "import-x", ImportID("x"))
	require.Equal(t, "match-x", JobWorkflowID(&models.Job{ID: "x", Operation: models.OpBulkMemberMatch}))
	require.Equal(t, "export-x", JobWorkflowID(&models.Job{ID: "x", Operation: models.OpDataExport}))
	require.Equal(t, "expire-x", ExpireID("x"))
}

// From the moment a run is told to look, it begins no step before it knows.
func TestNothingBeginsBeforeTheLook(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var c calls
	looked := 0
	env.OnActivity(a.IsPaused, mock.Anything, jobID).Return(func(context.Context, string) (bool, error) {
		looked++
		return looked == 1, nil
	}).After(time.Minute)
	onExport(env, 8, func(i int) error {
		c.add(fmt.Sprintf("%02d", i))
		return nil
	})
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(PauseSignal, nil) }, 0)
	env.RegisterDelayedCallback(func() {
		require.Empty(t, c.sorted(), "it looks")
		require.NotEqual(t, PausedStage, progressOf(t, env).Stage)
	}, 30*time.Second)
	env.RegisterDelayedCallback(func() {
		require.Empty(t, c.sorted())
		require.Equal(t, PausedStage, progressOf(t, env).Stage)
		env.SignalWorkflow(PauseSignal, nil)
	}, time.Hour)
	env.ExecuteWorkflow(Export, ExportInput{JobID: jobID, Limits: Limits{Parallel: 2}})
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, c.sorted(), 8)
	require.Equal(t, 2, looked)
	require.Equal(t, "done", progressOf(t, env).Stage)
}

// A match waits as an export does.
func TestPausedMatch(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(a.IsPaused, mock.Anything, jobID).Return(false, nil)
	env.OnActivity(a.PrepareMatch, mock.Anything, jobID).Return(&activities.MatchPlan{Client: "c", Slices: 3, Members: 30, Paused: true}, nil)
	var slices atomic.Int32
	env.OnActivity(a.MatchSlice, mock.Anything, mock.Anything).Return(func(context.Context, activities.SliceInput) (int64, error) {
		slices.Add(1)
		return 10, nil
	})
	env.OnActivity(a.PublishMatch, mock.Anything, jobID).Return(&activities.Published{Expires: expires}, nil)
	env.OnWorkflow(Expire, mock.Anything, ExpireInput{JobID: jobID, At: expires}).Return(nil)
	env.RegisterDelayedCallback(func() {
		require.Zero(t, slices.Load())
		require.Equal(t, PausedStage, progressOf(t, env).Stage)
		env.SignalWorkflow(PauseSignal, nil)
	}, time.Hour)
	env.ExecuteWorkflow(MemberMatch, MatchInput{JobID: jobID, Limits: Limits{Parallel: 2}})
	require.NoError(t, env.GetWorkflowError())
	require.EqualValues(t, 3, slices.Load())
}
