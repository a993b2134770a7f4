package workflows_test

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"pdexbulk/activities"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/store"
	"pdexbulk/workflows"
)

// update makes TestOnServer replace the saved histories. It is to be given once a release, and whenever a workflow that no
// release has yet is changed.
var update = flag.Bool("update", false, "replace testdata/histories")

// server is a real Temporal server with a worker of ours, over a real database and file store.
type server struct {
	t      *testing.T
	client client.Client
	store  *store.Store
	files  blob.Store
	root   string
	dir    string // where files are
	worker worker.Worker
}

const queue = "test"

func start(t *testing.T, options worker.Options) *server {
	t.Helper()
	root, err := stack.Root()
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(root, "dev", "bin", "temporal")); err != nil && os.Getenv("PDEX_TEMPORAL_ADDRESS") == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no Temporal server: dev/bin/temporal is not built")
		}
		t.Skip("no Temporal server: dev/bin/temporal is not built")
	}
	dsn := pgtest.New(t, store.Migrate)
	running, err := stack.Start(t.Context(), stack.Options{
		Ephemeral: true, DatabaseURL: dsn, Out: io.Discard,
		SearchAttributes: map[string]string{"PdexClient": "Keyword", "PdexOperation": "Keyword", "PdexStage": "Keyword"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, running.Stop(context.Background())) })
	log := sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: running.TemporalAddress, Namespace: running.TemporalNamespace, Identity: "worker", Logger: log,
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	s := &server{t: t, client: c, root: t.TempDir(), dir: t.TempDir()}
	s.store, err = store.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(s.store.Close)
	s.files, err = blob.Open(t.Context(), "file://"+s.dir)
	require.NoError(t, err)

	s.work(options)
	t.Cleanup(func() { s.worker.Stop() })
	return s
}

// work starts a worker.
func (s *server) work(options worker.Options) {
	s.t.Helper()
	options.Identity = "worker"
	options.Interceptors = append([]interceptor.WorkerInterceptor{&activities.FailureInterceptor{}}, options.Interceptors...)
	w := worker.New(s.client, queue, options)
	w.RegisterWorkflow(workflows.Import)
	w.RegisterWorkflow(workflows.MemberMatch)
	w.RegisterWorkflow(workflows.Export)
	w.RegisterWorkflow(workflows.Expire)
	w.RegisterWorkflow(workflows.Sweep)
	w.RegisterWorkflow(workflows.ClaimsRelationships)
	w.RegisterActivity(&activities.Activities{
		Store: s.store, Files: s.files, Log: slog.New(slog.DiscardHandler), ImportRoots: []string{s.root}, Retention: time.Hour, ClaimsMonths: 18,
		Holder: activities.Holder{Name: "Old Health Plan", IDs: []string{"urn:x|holder"}, SensitiveData: "tagged"},
	})
	require.NoError(s.t, w.Start())
	s.worker = w
}

// begin starts a run.
func (s *server) begin(id string, operation models.Operation, workflow, in any) client.WorkflowRun {
	s.t.Helper()
	return s.beginFor("client", id, operation, workflow, in)
}

// beginFor starts a run of a client's.
func (s *server) beginFor(who, id string, operation models.Operation, workflow, in any) client.WorkflowRun {
	s.t.Helper()
	run, err := s.client.ExecuteWorkflow(s.t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: queue, TypedSearchAttributes: workflows.Attributes(who, string(operation), "accepted"),
	}, workflow, in)
	require.NoError(s.t, err)
	return run
}

// save keeps the history of a run that has ended for the replay test.
func (s *server) save(name string, run client.WorkflowRun) {
	s.t.Helper()
	events := s.client.GetWorkflowHistory(s.t.Context(), run.GetID(), run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	var history historypb.History
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(s.t, err)
		history.Events = append(history.Events, e)
	}
	text, err := protojson.Marshal(&history)
	require.NoError(s.t, err)
	require.Contains(s.t, decoded(text), `ID":"`, "the payloads were looked into")
	for _, secret := range secrets {
		require.NotContains(s.t, decoded(text), secret, "%s: nothing of a person passes through Temporal", name)
	}
	if !*update {
		return
	}
	var pretty json.RawMessage = text
	out, err := json.MarshalIndent(pretty, "", " ")
	require.NoError(s.t, err)
	require.NoError(s.t, os.WriteFile(filepath.Join("testdata", "histories", name+".json"), append(out, '\n'), 0o644))
}

// secrets are in the resources of this test, and must be nowhere else.
var secrets = []string{"Doemann", "Janine", "W1234567", "1980-02-03", "their-patient", "our-patient", "our-observation"}

// decoded is a history with its payloads as text.
func decoded(history []byte) string {
	var out strings.Builder
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		case string:
			out.WriteString(v + "\n")
			var data []byte
			if json.Unmarshal([]byte(`"`+v+`"`), &data) == nil {
				out.Write(append(data, '\n'))
			}
		}
	}
	var doc any
	if json.Unmarshal(history, &doc) == nil {
		walk(doc)
	}
	return out.String()
}

const (
	ourPatient   = `{"resourceType":"Patient","id":"our-patient","name":[{"family":"Doemann","given":["Janine"]}],"gender":"female","birthDate":"1980-02-03"}` + "\n"
	ourCoverage  = `{"resourceType":"Coverage","id":"our-cov","status":"active","beneficiary":{"reference":"Patient/our-patient"},"subscriberId":"W1234567","payor":[{"display":"x"}]}` + "\n"
	observations = `{"resourceType":"Observation","id":"our-observation","status":"final","subject":{"reference":"Patient/our-patient"}}` + "\n"
	submission   = `{"patient":{"resourceType":"Patient","id":"their-patient","name":[{"family":"Doemann","given":["Janine"]}],"gender":"female","birthDate":"1980-02-03"},` +
		`"coverage":{"resourceType":"Coverage","id":"c","status":"active","beneficiary":{"reference":"Patient/their-patient"},"subscriberId":"W1234567","payor":[{"display":"x"}]},` +
		`"consent":{"resourceType":"Consent","id":"c","status":"active","patient":{"reference":"Patient/their-patient"},` +
		`"policy":[{"uri":"http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"}],` +
		`"provision":{"type":"permit","period":{"start":"2020-01-01","end":"2999-12-31"},"actor":[` +
		`{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/provenance-participant-type","code":"performer"}]},"reference":{"identifier":{"system":"urn:x","value":"holder"}}},` +
		`{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"IRCP"}]},"reference":{"identifier":{"system":"urn:x","value":"requester"}}}]}}}` + "\n"
)

// beginImport records an import of one folder and starts its run.
func (s *server) beginImport(name string, body []byte) (string, client.WorkflowRun) {
	s.t.Helper()
	source := filepath.Join(s.root, models.NewID())
	require.NoError(s.t, os.Mkdir(source, 0o755))
	require.NoError(s.t, os.WriteFile(filepath.Join(source, name), body, 0o600))
	id := models.NewID()
	require.NoError(s.t, s.store.CreateImport(s.t.Context(), &models.Import{
		ID: id, Source: source, Mode: models.ImportLive, State: models.StateAccepted, CreatedBy: "test", CreatedAt: time.Now(), Buckets: 1,
	}))
	return id, s.begin(workflows.ImportID(id), "import", workflows.Import, workflows.ImportInput{ImportID: id, Limits: workflows.Limits{Parallel: 2}})
}

func (s *server) importState(id string) models.State {
	s.t.Helper()
	imp, err := s.store.Import(s.t.Context(), id)
	require.NoError(s.t, err)
	return imp.State
}

// job records a job.
func (s *server) job(op models.Operation, params any, slices ...store.Slice) *models.Job {
	s.t.Helper()
	text, err := json.Marshal(params)
	require.NoError(s.t, err)
	id := models.NewID()
	job := &models.Job{
		ID: id, ClientID: "client", Operation: op, RequestURL: "https://payer.example/fhir", RequestDigest: []byte(id),
		State: models.StateAccepted, Params: text, CreatedAt: time.Now(),
	}
	_, _, err = s.store.CreateMatch(s.t.Context(), job, slices, 0)
	require.NoError(s.t, err)
	return job
}

func (s *server) jobState(id string) models.State {
	s.t.Helper()
	job, err := s.store.Job(s.t.Context(), id)
	require.NoError(s.t, err)
	return job.State
}

// TestOnServer runs an exchange as it is in production: import, match, export, expiry; and what goes wrong.
func TestOnServer(t *testing.T) {
	t.Parallel()
	s := start(t, worker.Options{})
	ctx := t.Context()

	_, run := s.beginImport("a.ndjson", []byte(ourPatient+ourCoverage+observations))
	var stats models.ImportStats
	require.NoError(t, run.Get(ctx, &stats))
	require.EqualValues(t, 3, stats.Lines)
	s.save("import", run)

	bad, run := s.beginImport("a.ndjson.gz", []byte("this is not gzip"))
	require.ErrorContains(t, run.Get(ctx, nil), "damaged")
	require.Equal(t, models.StateFailed, s.importState(bad))
	s.save("import-failed", run)

	params := models.MatchParams{
		Members: 1, BlobKey: "matches/request", GroupID: models.NewID(), Organizations: []string{"urn:x|requester"}, RequesterName: "New Health Plan",
	}
	w, err := s.files.Create(ctx, params.BlobKey)
	require.NoError(t, err)
	_, err = io.WriteString(w, submission)
	require.NoError(t, err)
	require.NoError(t, w.Commit())
	match := s.job(models.OpBulkMemberMatch, params, store.Slice{Members: 1, Length: int64(len(submission))})
	run = s.begin(workflows.JobWorkflowID(match), match.Operation, workflows.MemberMatch, workflows.MatchInput{JobID: match.ID})
	var done activities.Published
	require.NoError(t, run.Get(ctx, &done))
	require.Equal(t, 2, done.Files)
	acc, err := s.store.CountOutcomes(ctx, match.ID)
	require.NoError(t, err)
	require.EqualValues(t, 1, acc.Matched)
	s.save("match", run)

	export := s.job(models.OpDataExport, models.ExportParams{GroupID: params.GroupID})
	run = s.begin(workflows.JobWorkflowID(export), export.Operation, workflows.Export, workflows.ExportInput{JobID: export.ID, Limits: workflows.Limits{Parallel: 2}})
	require.NoError(t, run.Get(ctx, &done))
	require.Equal(t, models.StateCompleted, s.jobState(export.ID))
	require.EqualValues(t, 4, done.Resources, "with the Provenance of the transmission")
	s.save("export", run)
	s.requireMemo(run, workflows.Progress{Stage: "done", Done: 3, Total: 3})

	// Its files go when the client says so.
	expire := s.client.GetWorkflow(ctx, workflows.ExpireID(export.ID), "")
	files, err := s.store.Files(ctx, export.ID)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	require.NoError(t, s.client.SignalWorkflow(ctx, expire.GetID(), "", workflows.ExpireNowSignal, nil))
	require.NoError(t, expire.Get(ctx, nil))
	files, err = s.store.Files(ctx, export.ID)
	require.NoError(t, err)
	require.Empty(t, files)
	s.save("expire", expire)

	failed := s.job(models.OpPatientExport, models.ExportParams{})
	require.NoError(t, s.store.FailJob(ctx, failed.ID, models.StateFailed, "x", time.Now()))
	run = s.begin(workflows.JobWorkflowID(failed), failed.Operation, workflows.Export, workflows.ExportInput{JobID: failed.ID})
	require.ErrorContains(t, run.Get(ctx, nil), "has ended")
	s.save("export-failed", run)

	// An import whose run was ended by force holds its turn until the next one closes it.
	dead, run := s.beginImport("a.ndjson", []byte(observations))
	require.NoError(t, run.Get(ctx, nil))
	_, err = s.store.Pool.Exec(ctx, `UPDATE imports SET state = 'running' WHERE id = $1`, dead)
	require.NoError(t, err)
	next, run := s.beginImport("a.ndjson", []byte(observations))
	require.NoError(t, run.Get(ctx, nil))
	require.Equal(t, models.StateFailed, s.importState(dead))
	require.Equal(t, models.StateCompleted, s.importState(next))

	// One that waits for its turn can be cancelled.
	holder := models.NewID()
	require.NoError(t, s.store.CreateImport(ctx, &models.Import{ID: holder, Source: "/", Mode: models.ImportLive, State: models.StateAccepted, CreatedBy: "test", CreatedAt: time.Now(), Buckets: 1}))
	_, err = s.store.StartImport(ctx, holder, nil, 1)
	require.NoError(t, err)
	_, _, err = s.store.TakeTurn(ctx, holder, time.Now())
	require.NoError(t, err)
	_, err = s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: workflows.ImportID(holder), TaskQueue: "nobody's"}, workflows.Import, workflows.ImportInput{ImportID: holder})
	require.NoError(t, err)
	waiting, run := s.beginImport("a.ndjson", []byte(observations))
	s.until(run, "waiting for its turn")
	require.NoError(t, s.client.CancelWorkflow(ctx, run.GetID(), ""))
	err = run.Get(ctx, nil)
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.Equal(t, models.StateCancelled, s.importState(waiting))
	require.Equal(t, models.StateRunning, s.importState(holder), "who merges is left alone")
	s.save("import-cancelled", run)
}

// until waits for a run to come to a stage.
func (s *server) until(run client.WorkflowRun, stage string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		v, err := s.client.QueryWorkflow(s.t.Context(), run.GetID(), run.GetRunID(), workflows.ProgressQuery)
		var p workflows.Progress
		return err == nil && v.Get(&p) == nil && p.Stage == stage
	}, 20*time.Second, 20*time.Millisecond)
}

// requireMemo checks what an operator sees of a run without asking its worker.
func (s *server) requireMemo(run client.WorkflowRun, want workflows.Progress) {
	s.t.Helper()
	require.Equal(s.t, want, s.memo(run))
}

func (s *server) memo(run client.WorkflowRun) workflows.Progress {
	s.t.Helper()
	seen, err := s.client.DescribeWorkflowExecution(s.t.Context(), run.GetID(), run.GetRunID())
	require.NoError(s.t, err)
	var got workflows.Progress
	require.NoError(s.t, json.Unmarshal(seen.WorkflowExecutionInfo.Memo.Fields[workflows.ProgressMemo].Data, &got))
	return got
}

// TestReplay runs today's workflows over the histories of earlier runs: what is in flight when a worker is replaced must
// go on as it began.
func TestReplay(t *testing.T) {
	t.Parallel()
	saved, err := filepath.Glob(filepath.Join("testdata", "histories", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, saved)
	for _, file := range saved {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			r := worker.NewWorkflowReplayer()
			r.RegisterWorkflow(workflows.Import)
			r.RegisterWorkflow(workflows.MemberMatch)
			r.RegisterWorkflow(workflows.Export)
			r.RegisterWorkflow(workflows.Expire)
			r.RegisterWorkflow(workflows.Sweep)
			require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)), file))
		})
	}
}
