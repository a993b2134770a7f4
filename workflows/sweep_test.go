package workflows_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"pdexbulk/activities"
	"pdexbulk/models"
	"pdexbulk/workflows"
)

// Sweeps close the jobs whose run was ended by force, and only those, and delete what nobody else will.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := start(t, worker.Options{})
	ctx := t.Context()
	put := func(key string, age time.Duration) string {
		w, err := s.files.Create(ctx, key)
		require.NoError(t, err)
		_, err = w.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, w.Commit())
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(filepath.Join(s.dir, key), at, at))
		return key
	}
	aged := func(job *models.Job, age time.Duration) *models.Job {
		_, err := s.store.Pool.Exec(ctx, `UPDATE jobs SET created_at = $2 WHERE id = $1`, job.ID, time.Now().Add(-age))
		require.NoError(t, err)
		return job
	}
	// running makes a job whose run waits for a worker that never comes.
	running := func() *models.Job {
		job := aged(s.job(models.OpPatientExport, models.ExportParams{}), 10*time.Minute)
		_, err := s.store.StartJob(ctx, job.ID, "exporting", time.Now())
		require.NoError(t, err)
		_, err = s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: workflows.JobWorkflowID(job), TaskQueue: "nobody's"},
			workflows.Export, workflows.ExportInput{JobID: job.ID})
		require.NoError(t, err)
		put("exports/"+job.ID+"/0.x", 0)
		return job
	}
	sweep := func(in activities.SweepInput) (out activities.Swept) {
		run := s.begin("sweep-"+models.NewID(), "sweep", workflows.Sweep, in)
		require.NoError(t, run.Get(ctx, &out))
		return out
	}
	alive, dead := running(), running()
	rule := func() string {
		run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "rule-" + models.NewID(), TaskQueue: "nobody's"}, workflows.ClaimsRelationships, workflows.Limits{})
		require.NoError(t, err)
		_, err = s.store.StartRelationshipRun(ctx, run.GetRunID(), run.GetID(), 1, time.Now().Add(-10*time.Minute))
		require.NoError(t, err)
		return run.GetID()
	}
	ruled := func() models.State {
		runs, err := s.store.RelationshipRuns(ctx, "", 1)
		require.NoError(t, err)
		return runs[0].State
	}
	ruling := rule()
	require.NoError(t, s.client.TerminateWorkflow(ctx, workflows.JobWorkflowID(dead), "", "test"))
	young := aged(s.job(models.OpPatientExport, models.ExportParams{}), 10*time.Minute)
	old := aged(s.job(models.OpPatientExport, models.ExportParams{}), 2*time.Hour)
	fresh := s.job(models.OpPatientExport, models.ExportParams{})
	expired := s.job(models.OpPatientExport, models.ExportParams{})
	_, err := s.store.StartJob(ctx, expired.ID, "exporting", time.Now())
	require.NoError(t, err)
	file := models.JobFile{JobID: expired.ID, Kind: "output", Type: "Patient", BlobKey: put("exports/"+expired.ID+"/1", 0)}
	_, err = s.store.CompleteJob(ctx, expired.ID, []models.JobFile{file}, models.Accounting{}, time.Now(), time.Now().Add(-2*time.Hour), nil)
	require.NoError(t, err)

	require.Equal(t, activities.Swept{Closed: 2, Purged: 1}, sweep(activities.SweepInput{Jobs: true}))
	require.Equal(t, models.StateRunning, ruled())
	require.NoError(t, s.client.TerminateWorkflow(ctx, ruling, "", "test"))
	require.Equal(t, activities.Swept{Closed: 1}, sweep(activities.SweepInput{Jobs: true}))
	require.Equal(t, models.StateFailed, ruled())
	require.Equal(t, activities.Swept{}, sweep(activities.SweepInput{Jobs: true}))
	for job, want := range map[*models.Job]models.State{
		alive: models.StateRunning, dead: models.StateFailed, young: models.StateAccepted, old: models.StateFailed, fresh: models.StateAccepted,
		expired: models.StateCompleted,
	} {
		require.Equal(t, want, s.jobState(job.ID))
	}
	require.ElementsMatch(t, []string{"exports/" + alive.ID + "/0.x", "exports/" + dead.ID + "/0.x"}, s.blobs(), "the export that failed may go on")
	_, err = s.store.Pool.Exec(ctx, `UPDATE jobs SET finished_at = $2 WHERE id = $1`, dead.ID, time.Now().Add(-3*time.Hour))
	require.NoError(t, err)
	_, err = s.store.Pool.Exec(ctx, `INSERT INTO export_chunks (job_id, chunk, lo, hi, members, planned) VALUES ($1, 0, $1, $1, 0, 0)`, dead.ID)
	require.NoError(t, err)
	require.Equal(t, activities.Swept{Purged: 1}, sweep(activities.SweepInput{Jobs: true}))
	require.Equal(t, []string{"exports/" + alive.ID + "/0.x"}, s.blobs())

	// Files: what belongs to no job, or to one that ended without it, and is old.
	kept := []string{
		put("exports/"+alive.ID+"/0.x", 48*time.Hour),
		put("groups/"+models.NewID()+"/young", time.Hour),
		put("matches/"+models.NewID()+"/request", time.Hour),
	}
	done := s.job(models.OpPatientExport, models.ExportParams{})
	_, err = s.store.StartJob(ctx, done.ID, "exporting", time.Now())
	require.NoError(t, err)
	file = models.JobFile{JobID: done.ID, Kind: "output", Type: "Patient", BlobKey: put("exports/"+done.ID+"/1", 48*time.Hour), Format: models.FormatGzip}
	_, err = s.store.CompleteJob(ctx, done.ID, []models.JobFile{file}, models.Accounting{}, time.Now(), time.Now().Add(time.Hour), nil)
	require.NoError(t, err)
	kept = append(kept, file.BlobKey)
	put("exports/"+done.ID+"/2", 48*time.Hour)
	put("exports/"+dead.ID+"/late", 48*time.Hour)
	put("matches/"+models.NewID()+"/request", 48*time.Hour)
	put("groups/"+models.NewID()+"/g", 48*time.Hour)
	put("imports/"+models.NewID()+"/0.x/1", 48*time.Hour)
	put("matches/odd", 48*time.Hour)
	require.Equal(t, activities.Swept{Files: 6}, sweep(activities.SweepInput{Files: true}))
	require.ElementsMatch(t, kept, s.blobs())
}

func (s *server) blobs() []string {
	s.t.Helper()
	var keys []string
	for info, err := range s.files.List(s.t.Context(), "") {
		require.NoError(s.t, err)
		keys = append(keys, info.Key)
	}
	return keys
}

// An import that was ended by force while it merged holds back the snapshots of exports no longer than until the next sweep, and what was
// uploaded for a load that nobody goes on with does not stay.
func TestSweepOfImportsAndLoads(t *testing.T) {
	t.Parallel()
	s := start(t, worker.Options{})
	ctx := t.Context()
	sweep := func(in activities.SweepInput) (out activities.Swept) {
		run := s.begin("sweep-"+models.NewID(), "sweep", workflows.Sweep, in)
		require.NoError(t, run.Get(ctx, &out))
		return out
	}
	hidden := func(workflowID string, workflow, in any) {
		_, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: workflowID, TaskQueue: "nobody's"}, workflow, in)
		require.NoError(t, err)
	}
	imported := func(age time.Duration) string {
		id := models.NewID()
		require.NoError(t, s.store.CreateImport(ctx, &models.Import{
			ID: id, Source: s.root, Mode: models.ImportLive, State: models.StateAccepted, CreatedBy: "test", CreatedAt: time.Now().Add(-age), Buckets: 1,
		}))
		return id
	}
	loaded := func(age time.Duration) *models.ListImport {
		l := &models.ListImport{
			ID: models.NewID(), Kind: models.ListOptOuts, Format: models.ListCSV, State: models.StateAccepted, CreatedBy: "test", CreatedAt: time.Now().Add(-age),
			BlobKey: "lists/" + models.NewID(),
		}
		require.NoError(t, s.store.CreateListImport(ctx, l))
		w, err := s.files.Create(ctx, l.BlobKey)
		require.NoError(t, err)
		require.NoError(t, w.Commit())
		return l
	}
	merging, waiting, begun, never := imported(10*time.Minute), imported(10*time.Minute), imported(10*time.Minute), imported(2*time.Hour)
	for _, id := range []string{merging, waiting} {
		hidden(workflows.ImportID(id), workflows.Import, workflows.ImportInput{ImportID: id})
	}
	_, err := s.store.StartImport(ctx, merging, nil, 1)
	require.NoError(t, err)
	imp, _, err := s.store.TakeTurn(ctx, merging, time.Now())
	require.NoError(t, err)
	dead, alive := loaded(10*time.Minute), loaded(10*time.Minute)
	for _, l := range []*models.ListImport{dead, alive} {
		hidden(workflows.ListID(l.ID), workflows.LoadList, l.ID)
	}
	require.NoError(t, s.client.TerminateWorkflow(ctx, workflows.ImportID(merging), "", "test"))
	require.NoError(t, s.client.TerminateWorkflow(ctx, workflows.ListID(dead.ID), "", "test"))

	snapshot := func() time.Time {
		job, err := s.store.StartJob(ctx, s.job(models.OpPatientExport, models.ExportParams{}).ID, "exporting", time.Now())
		require.NoError(t, err)
		return *job.TransactionTime
	}
	require.True(t, snapshot().Before(*imp.EffectiveAt))
	require.Equal(t, activities.Swept{Closed: 3}, sweep(activities.SweepInput{Jobs: true}))
	require.True(t, snapshot().After(*imp.EffectiveAt))
	for id, want := range map[string]models.State{merging: models.StateFailed, waiting: models.StateAccepted, begun: models.StateAccepted, never: models.StateFailed} {
		require.Equal(t, want, s.importState(id))
	}
	require.Equal(t, []string{alive.BlobKey}, s.blobs())

	old := time.Now().Add(-48 * time.Hour)
	w, err := s.files.Create(ctx, "lists/"+models.NewID())
	require.NoError(t, err)
	require.NoError(t, w.Commit())
	for _, key := range s.blobs() {
		require.NoError(t, os.Chtimes(filepath.Join(s.dir, key), old, old))
	}
	require.Equal(t, activities.Swept{Files: 1}, sweep(activities.SweepInput{Files: true}))
	require.Equal(t, []string{alive.BlobKey}, s.blobs())
}

// However many workers start, each sweep is set up once.
func TestSweepsAreSetUp(t *testing.T) {
	t.Parallel()
	s := start(t, worker.Options{})
	for range 2 {
		require.NoError(t, workflows.StartSweeps(t.Context(), s.client, queue))
	}
	for _, id := range []string{"sweep-jobs", "sweep-files"} {
		run, err := s.client.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		require.NotNil(t, run)
	}
}

// However many workers start, the claims rule is scheduled once, as the last of them says, and not at all when it is off.
func TestTheClaimsRuleIsScheduled(t *testing.T) {
	t.Parallel()
	s := start(t, worker.Options{})
	ctx := t.Context()
	handle := s.client.ScheduleClient().GetHandle(ctx, workflows.ClaimsRelationshipsID)
	for _, every := range []time.Duration{time.Hour, time.Hour, 24 * time.Hour} {
		require.NoError(t, workflows.ScheduleClaimsRelationships(ctx, s.client, queue, every, workflows.Limits{Parallel: 2}))
		got, err := handle.Describe(ctx)
		require.NoError(t, err)
		require.Equal(t, every, got.Schedule.Spec.Intervals[0].Every)
	}
	require.NoError(t, handle.Trigger(ctx, client.ScheduleTriggerOptions{}))
	require.Eventually(t, func() bool {
		runs, err := s.store.RelationshipRuns(ctx, "", 10)
		return err == nil && len(runs) == 1 && runs[0].State == models.StateCompleted
	}, time.Minute, 50*time.Millisecond)
	for range 2 {
		require.NoError(t, workflows.ScheduleClaimsRelationships(ctx, s.client, queue, 0, workflows.Limits{}))
		_, err := handle.Describe(ctx)
		require.Error(t, err)
	}
}
