package admin

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"pdexbulk/models"
	"pdexbulk/models/manifest"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
	"pdexbulk/workflows"
)

// Exchange starts the runs of matches and exports.
type Exchange interface {
	// Start starts the run of a job. One that is there already is as good.
	Start(ctx context.Context, job *models.Job) error
	// Reissue makes the request of an export that has ended once more, as a new job, and starts that. created is false when key was used
	// for it before. KindConflict when the request could not be made now.
	Reissue(ctx context.Context, of *models.Job, key string) (job *models.Job, created bool, err error)
	// StatusURL is where the client of a job polls it.
	StatusURL(jobID string) string
}

// addJobRoutes registers what operators see of matches and exports, and what they do to them.
func (s *Service) addJobRoutes(api huma.API, op operation) {
	huma.Register(api, op(http.MethodGet, "/admin/jobs", "list-jobs", "List matches and exports, newest first", http.StatusOK), s.listJobs)
	huma.Register(api, op(http.MethodGet, "/admin/jobs/{id}", "get-job", "Show a match or an export with its plan, progress and accounting", http.StatusOK), s.getJob)
	huma.Register(api, op(http.MethodGet, "/admin/jobs/{id}/chunks", "list-chunks", "List the chunks of an export's plan, until its files expire", http.StatusOK), ofJob(s, s.Store.Steps, viewChunk, func(c chunkView) int { return c.Chunk }))
	huma.Register(api, op(http.MethodGet, "/admin/jobs/{id}/files", "list-files", "List the files of a job, until they expire; what they hold is for the client alone", http.StatusOK), ofJob(s, s.Store.FilesAfter, viewFile, func(f fileView) int { return f.File }))
	action := func(name, id, summary string, status int, role models.Role) huma.Operation {
		o := op(http.MethodPost, "/admin/jobs/{id}/"+name, id, summary, status)
		o.Metadata = map[string]any{RoleKey: string(role)}
		return o
	}
	huma.Register(api, action("pause", "pause-job", "Have a run begin nothing more until it is resumed; its client sees it in progress", http.StatusOK, models.RoleOperator), s.pauseJob)
	huma.Register(api, action("resume", "resume-job", "Have a run that is paused go on", http.StatusOK, models.RoleOperator), s.resumeJob)
	huma.Register(api, action("cancel", "cancel-job", "Cancel a run; its client is told so", http.StatusAccepted, models.RoleOperator), s.cancelJob)
	huma.Register(api, action("retry", "retry-job", "Have a failed export do what it has not done, under the same id", http.StatusAccepted, models.RoleOperator), s.retryJob)
	huma.Register(api, action("reissue", "reissue-job", "Make the request of an export that has ended once more, for the same client, by the rules of now", http.StatusCreated, models.RoleAdministrator), s.reissueJob)
}

// jobView is a job as operators see it.
type jobView struct {
	ID              string            `json:"id"`
	Client          string            `json:"client"`
	Operation       models.Operation  `json:"operation"`
	State           models.State      `json:"state" enum:"accepted,running,completed,failed,cancelled"`
	Paused          bool              `json:"paused,omitempty" doc:"its run begins nothing more until it is resumed"`
	Workflow        string            `json:"workflow" doc:"id of the run in Temporal"`
	CreatedAt       time.Time         `json:"createdAt"`
	TransactionTime *time.Time        `json:"transactionTime,omitempty"`
	FinishedAt      *time.Time        `json:"finishedAt,omitempty"`
	ExpiresAt       *time.Time        `json:"expiresAt,omitempty"`
	DeletedAt       *time.Time        `json:"deletedAt,omitempty" doc:"when its client deleted it"`
	Error           string            `json:"error,omitempty"`
	Retries         int               `json:"retries,omitempty" doc:"how often it was had go on after it failed"`
	ReissueOf       string            `json:"reissueOf,omitempty" doc:"the job whose request it repeats"`
	Accounting      models.Accounting `json:"accounting"`
}

func viewJob(j models.Job) jobView {
	v := jobView{
		ID: j.ID, Client: j.ClientID, Operation: j.Operation, State: j.State, Paused: j.PausedAt != nil && !j.State.Done(),
		Workflow: workflows.JobWorkflowID(&j), CreatedAt: j.CreatedAt, TransactionTime: j.TransactionTime, FinishedAt: j.FinishedAt,
		ExpiresAt: j.ExpiresAt, DeletedAt: j.DeletedAt, Error: j.Error, Retries: j.Retries, Accounting: j.Accounting,
	}
	if j.ReissueOf != nil {
		v.ReissueOf = *j.ReissueOf
	}
	return v
}

func (s *Service) listJobs(ctx context.Context, in *struct {
	Page
	Client    string           `query:"client" maxLength:"255" doc:"id of a client"`
	Operation models.Operation `query:"operation" enum:"bulk-member-match,provider-member-match,davinci-data-export,export,patient-export,group-export"`
	State     models.State     `query:"state" enum:"accepted,running,completed,failed,cancelled"`
	Paused    string           `query:"paused" enum:"true,false"`
	From      time.Time        `query:"from" doc:"made not before"`
	To        time.Time        `query:"to" doc:"made before"`
},
) (*listOf[jobView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	if in.Client != "" && !models.ValidClientID(in.Client) {
		return nil, problem(models.Errorf(models.KindInvalid, "must be the id of a client").At("client"))
	}
	f := store.JobFilter{Client: in.Client, Operation: in.Operation, State: in.State, Before: in.Cursor, From: optional(in.From), To: optional(in.To)}
	if in.Paused != "" {
		f.Paused = new(in.Paused == "true")
	}
	rows, err := s.Store.Jobs(ctx, f, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]jobView, len(rows))
	for i, j := range rows {
		views[i] = viewJob(j)
	}
	return newList(views, in.Limit, func(j jobView) string { return j.ID }), nil
}

// optional is nil for a moment that was not given.
func optional(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

type jobDetail struct {
	jobView
	Progress *progressView `json:"progress,omitempty"`
	Plan     *planView     `json:"plan,omitempty" doc:"of an export, until its files expire"`
	Balance  string        `json:"balance" enum:"even,open,uneven" doc:"whether the accounting adds up, by members and by resources; open while the run goes on"`
	Files    *filesView    `json:"files,omitempty" doc:"of a completed job, until they expire"`
	Withheld *withheldView `json:"withheld,omitempty" doc:"of an export of a Group, until its files expire"`
}

type progressView struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit" enum:"resources,members"`
}

type planView struct {
	Chunks        int   `json:"chunks"`
	ChunksDone    int   `json:"chunksDone"`
	ChunksFailed  int   `json:"chunksFailed" doc:"of an export that failed: those that are not done"`
	Resources     int64 `json:"resources"`
	ResourcesDone int64 `json:"resourcesDone"`
}

type filesView struct {
	Count       int64 `json:"count"`
	Resources   int64 `json:"resources"`
	Bytes       int64 `json:"bytes" doc:"of the lines, uncompressed"`
	StoredBytes int64 `json:"storedBytes"`
}

type withheldView struct {
	Members   int64 `json:"members" doc:"of whom nothing leaves because of what was said since the match, or of what is over"`
	Sensitive int64 `json:"sensitive" doc:"of whom nothing sensitive leaves any more"`
}

// job returns a job for a request that names it, also one that its client has deleted: what became of it stays to be told.
func (s *Service) job(ctx context.Context, in *ByID) (*models.Job, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	job, err := s.Store.AnyJob(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	entry := trail.Of(ctx)
	entry.Job, entry.Client = job.ID, job.ClientID
	return job, nil
}

func (s *Service) getJob(ctx context.Context, in *ByID) (*struct{ Body jobDetail }, error) {
	job, err := s.job(ctx, in)
	if err != nil {
		return nil, err
	}
	detail, err := s.detail(ctx, job)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body jobDetail }{detail}, nil
}

func (s *Service) detail(ctx context.Context, job *models.Job) (jobDetail, error) {
	v := jobDetail{jobView: viewJob(*job), Balance: "open"}
	if job.Operation.IsMatch() {
		done, total, err := s.Store.MatchProgress(ctx, job.ID)
		if err != nil {
			return v, err
		}
		if total > 0 {
			v.Progress = &progressView{done, total, "members"}
		}
	} else if err := s.showPlan(ctx, job, &v); err != nil {
		return v, err
	}
	if job.State != models.StateCompleted {
		return v, nil
	}
	v.Balance = "even"
	if job.Accounting.Check() != "" {
		v.Balance = "uneven"
	}
	files, err := s.Store.CountFiles(ctx, job.ID)
	if err != nil {
		return v, err
	}
	if files.Files > 0 {
		v.Files = &filesView{files.Files, files.Lines, files.RawBytes, files.PackedBytes}
	}
	return v, nil
}

// showPlan adds how far an export is, as far as that is kept.
func (s *Service) showPlan(ctx context.Context, job *models.Job, v *jobDetail) error {
	plan, err := s.Store.ExportPlan(ctx, job.ID)
	if err != nil || plan.Chunks == 0 {
		return err
	}
	v.Plan = &planView{Chunks: plan.Chunks, ChunksDone: plan.ChunksDone, Resources: plan.Resources, ResourcesDone: plan.ResourcesDone}
	v.Progress = &progressView{plan.ResourcesDone, plan.Resources, "resources"}
	if job.State == models.StateFailed {
		v.Plan.ChunksFailed = plan.Chunks - plan.ChunksDone
	}
	if job.State != models.StateCompleted {
		v.Accounting = plan.Accounting
	}
	members, sensitive, err := s.Store.WithheldMembers(ctx, job.ID)
	if err == nil && members+sensitive > 0 {
		v.Withheld = &withheldView{members, sensitive}
	}
	return err
}

// number reads a cursor that is a number, -1 for none.
func number(cursor string) (int, error) {
	if cursor == "" {
		return -1, nil
	}
	n, err := strconv.ParseUint(cursor, 10, 31)
	if err != nil {
		return 0, badCursor()
	}
	return int(n), nil
}

type chunkView struct {
	Chunk      int               `json:"chunk"`
	Members    int               `json:"members" doc:"0 for what comes along because of other chunks"`
	Planned    int64             `json:"planned" doc:"resources"`
	Done       bool              `json:"done"`
	Accounting models.Accounting `json:"accounting" doc:"of what it came to, once it is done"`
}

// ofJob returns the handler that lists what a job has, by number.
func ofJob[R, V any](s *Service, read func(ctx context.Context, jobID string, after, limit int) ([]R, error), view func(R) V, n func(V) int) func(context.Context, *jobRows) (*listOf[V], error) {
	return func(ctx context.Context, in *jobRows) (*listOf[V], error) {
		job, err := s.job(ctx, &in.ByID)
		if err != nil {
			return nil, err
		}
		after, err := number(in.Cursor)
		if err != nil {
			return nil, err
		}
		rows, err := read(ctx, job.ID, after, in.ask())
		if err != nil {
			return nil, s.fault(ctx, err)
		}
		views := make([]V, len(rows))
		for i, r := range rows {
			views[i] = view(r)
		}
		return newList(views, in.Limit, func(v V) string { return strconv.Itoa(n(v)) }), nil
	}
}

type jobRows struct {
	ByID
	Page
}

func viewChunk(c store.Step) chunkView { return chunkView(c) }

type fileView struct {
	File        int                 `json:"file"`
	Name        string              `json:"name" doc:"as in the manifest"`
	Kind        string              `json:"kind" enum:"output,deleted,error"`
	Type        string              `json:"type" doc:"of its resources"`
	Format      string              `json:"format" doc:"media type"`
	Count       int64               `json:"count" doc:"resources"`
	Bytes       int64               `json:"bytes" doc:"of the lines, uncompressed"`
	StoredBytes int64               `json:"storedBytes"`
	Checksum    []manifest.Checksum `json:"checksum,omitempty"`
}

func viewFile(f models.JobFile) fileView {
	format := f.Format
	if strings.HasSuffix(manifest.FileURL("", f), ".ndjson") {
		format = "application/fhir+ndjson"
	}
	return fileView{
		File: f.File, Name: path.Base(manifest.FileURL("", f)), Kind: f.Kind, Type: f.Type, Format: format, Count: f.Lines,
		Bytes: f.RawLen, StoredBytes: f.PackedLen, Checksum: manifest.Checksums(f),
	}
}

func (s *Service) pauseJob(ctx context.Context, in *ByID) (*struct{ Body jobView }, error) {
	return s.holdJob(ctx, in, true)
}

func (s *Service) resumeJob(ctx context.Context, in *ByID) (*struct{ Body jobView }, error) {
	return s.holdJob(ctx, in, false)
}

// holdJob notes that a job is paused or goes on, and has its run look. A run that is not there yet looks when it begins.
func (s *Service) holdJob(ctx context.Context, in *ByID, held bool) (*struct{ Body jobView }, error) {
	job, err := s.job(ctx, in)
	if err != nil {
		return nil, err
	}
	if job, err = s.Store.HoldJob(ctx, job.ID, held, s.now()); err != nil {
		return nil, s.fault(ctx, err)
	}
	err = s.Temporal.SignalWorkflow(ctx, workflows.JobWorkflowID(job), "", workflows.PauseSignal, nil)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
		return nil, s.fault(ctx, models.Errorf(models.KindUnavailable, "the run could not be told; try again").Wait(5).Because(err))
	}
	return &struct{ Body jobView }{viewJob(*job)}, nil
}

// cancelJob asks a run to end. Where there is none, the job is closed at once.
func (s *Service) cancelJob(ctx context.Context, in *ByID) (*struct{ Body jobView }, error) {
	job, err := s.job(ctx, in)
	if err != nil {
		return nil, err
	}
	switch {
	case job.State == models.StateCancelled:
		return &struct{ Body jobView }{viewJob(*job)}, nil
	case job.State.Done():
		return nil, problem(models.Errorf(models.KindConflict, "the job has ended: it is %s", job.State))
	}
	err = s.Temporal.CancelWorkflow(ctx, workflows.JobWorkflowID(job), "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
		return nil, s.fault(ctx, models.Errorf(models.KindUnavailable, "the run could not be cancelled; try again").Wait(5).Because(err))
	}
	over, err := s.runIsOver(ctx, job)
	if err == nil && over {
		err = s.Store.FailJob(ctx, job.ID, models.StateCancelled, "the job was cancelled", s.now())
	}
	if err == nil {
		job, err = s.Store.AnyJob(ctx, job.ID)
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body jobView }{viewJob(*job)}, nil
}

// retryJob opens a failed export again and starts its run. One that an earlier call has opened is started if it has no run.
func (s *Service) retryJob(ctx context.Context, in *ByID) (*struct{ Body jobView }, error) {
	job, err := s.job(ctx, in)
	if err != nil {
		return nil, err
	}
	if job.Retries == 0 || job.State.Done() {
		if job.State == models.StateFailed {
			over, err := s.runIsOver(ctx, job)
			if err == nil && !over {
				err = models.Errorf(models.KindUnavailable, "the run that failed is about to end; try again").Wait(1)
			}
			if err != nil {
				return nil, s.fault(ctx, err)
			}
		}
		if job, err = s.Store.RetryJob(ctx, job.ID); err != nil {
			return nil, s.fault(ctx, err)
		}
	}
	if err := s.Exchange.Start(ctx, job); err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body jobView }{viewJob(*job)}, nil
}

// runIsOver asks Temporal whether a job has no run, or none any more.
func (s *Service) runIsOver(ctx context.Context, job *models.Job) (bool, error) {
	run, err := s.Temporal.DescribeWorkflow(ctx, workflows.JobWorkflowID(job), "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return true, nil
	}
	if err != nil {
		return false, models.Errorf(models.KindUnavailable, "the run cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	return run.Status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

type reissuedJob struct {
	Status   int
	Location string `header:"Location"`
	Body     struct {
		jobView
		StatusURL string `json:"statusUrl" doc:"where the client polls it"`
	}
}

func (s *Service) reissueJob(ctx context.Context, in *struct {
	ByID
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"the same key again answers with the same job; without one, so does the same request while it runs"`
},
) (*reissuedJob, error) {
	of, err := s.job(ctx, &in.ByID)
	if err != nil {
		return nil, err
	}
	if of.DeletedAt != nil {
		return nil, problem(models.Errorf(models.KindConflict, "the client of the job has deleted it"))
	}
	job, created, err := s.Exchange.Reissue(ctx, of, in.IdempotencyKey)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	out := &reissuedJob{Status: http.StatusOK, Location: "/admin/jobs/" + job.ID}
	if created {
		out.Status = http.StatusCreated
	}
	out.Body.jobView, out.Body.StatusURL = viewJob(*job), s.Exchange.StatusURL(job.ID)
	return out, nil
}
