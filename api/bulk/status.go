package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/manifest"
	"pdexbulk/workflows"
)

// describeTimeout bounds how long a poll waits for Temporal. Without its answer the database's is given.
const describeTimeout = time.Second

// separateStatus is the preference of a client for which a poll is answered with its own status, and the job's is in a header of the answer
// (Bulk Data Access 3.0.0, "Headers"). The status URL that such a client is given says so, since the job may be another request's, too.
const (
	separateStatus  = "separate-export-status"
	exportStatus    = "X-Export-Status"
	separateMark    = "status"
	separateMarkIs  = "separate"
	separateStarted = "respond-async, " + separateStatus
)

func separate(r *http.Request) bool { return r.URL.Query().Get(separateMark) == separateMarkIs }

// told is the status that tells a client of a job's.
func told(w http.ResponseWriter, r *http.Request, job int) int {
	if !separate(r) {
		return job
	}
	w.Header().Set(exportStatus, strconv.Itoa(job)+" "+http.StatusText(job))
	return http.StatusOK
}

// status answers a poll (Bulk Data Access 2.0.0, "Bulk Data Status Request").
func (s *Service) status(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id := r.PathValue("job")
	pages := r.URL.Query().Has("page")
	if !pages {
		if err := s.inTime(caller, id); err != nil {
			return err
		}
	}
	job, err := s.ownJob(r.Context(), caller, id)
	if err != nil {
		return err
	}
	if pages && !job.State.Done() { // whoever turns the pages of a finished manifest is not polling
		if err := s.inTime(caller, id); err != nil {
			return err
		}
	}
	if err := covers(caller, job); err != nil {
		return err
	}
	if job.ExpiresAt != nil && !s.now().Before(*job.ExpiresAt) {
		return models.Errorf(models.KindGone, "the files of this job have expired; start it again")
	}
	switch job.State {
	case models.StateCompleted:
		return s.complete(w, r, job)
	case models.StateFailed:
		return s.tellFailed(w, r, job)
	case models.StateCancelled:
		return models.Errorf(models.KindNotFound, "the job was cancelled")
	case models.StateAccepted, models.StateRunning:
	}
	if s.runIsOver(r.Context(), job) {
		// The run may have finished after the job was read.
		if job, err = s.ownJob(r.Context(), caller, job.ID); err != nil {
			return err
		}
		if job.State == models.StateCompleted {
			return s.complete(w, r, job)
		}
		if !job.State.Done() {
			s.closeDead(r.Context(), job)
		}
		return s.tellFailed(w, r, job)
	}
	return s.inProgress(w, r, job)
}

// inTime refuses a poll that comes too early.
func (s *Service) inTime(caller *auth.Caller, jobID string) error {
	if early := s.polls.wait(caller.ClientID, jobID, s.now()); early > 0 {
		return models.Errorf(models.KindThrottled, "this job is polled too often; wait as long as Retry-After says. The job goes on").Wait(early)
	}
	return nil
}

// tellFailed answers that a job has failed.
func (s *Service) tellFailed(w http.ResponseWriter, r *http.Request, job *models.Job) error {
	err := failed(job)
	body, merr := json.Marshal(fhir.OutcomeOf(err))
	if merr != nil {
		return fmt.Errorf("write OperationOutcome: %w", merr)
	}
	answer.Write(w, told(w, r, answer.Status(err)), answer.FHIRJSON, body)
	return nil
}

func failed(job *models.Job) error {
	msg := job.Error
	if msg == "" {
		msg = "the job could not be completed; start it again, or ask the operator with this job's id"
	}
	return models.Errorf(models.KindInternal, "%s", msg)
}

// runIsOver asks Temporal whether the run of a job that is not finished has ended all the same, as it does when an operator
// terminates it. While Temporal cannot say, it has not.
func (s *Service) runIsOver(ctx context.Context, job *models.Job) bool {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	run, err := s.Temporal.DescribeWorkflowExecution(ctx, workflows.JobWorkflowID(job), "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return s.now().Sub(job.CreatedAt) > time.Minute // else it may be about to start
	}
	if err != nil {
		return false
	}
	switch run.GetWorkflowExecutionInfo().GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED:
		return false
	default:
		return true
	}
}

// closeDead closes a job whose run has ended without doing so, and has what was written for it deleted, but for what a failed export may
// go on from. What fails here is done by the next sweep.
func (s *Service) closeDead(ctx context.Context, job *models.Job) {
	reason := failed(job).Error()
	err := s.Store.FailJob(ctx, job.ID, models.StateFailed, reason, s.now())
	if err == nil && job.Operation.IsMatch() {
		err = s.purge(ctx, job)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "a job whose run was ended could not be closed", "job", job.ID, "error", answer.Trail(err))
	}
}

// purge has what was written for a job deleted at once.
func (s *Service) purge(ctx context.Context, job *models.Job) error {
	_, err := s.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.ExpireID(job.ID), TaskQueue: s.TaskQueue,
		TypedSearchAttributes: workflows.Attributes(job.ClientID, string(job.Operation), "keeping"),
	}, workflows.Expire, workflows.ExpireInput{JobID: job.ID, At: s.now()})
	if err != nil {
		return fmt.Errorf("start the purge: %w", err)
	}
	return nil
}

func (s *Service) complete(w http.ResponseWriter, r *http.Request, job *models.Job) error {
	files, err := s.Store.Files(r.Context(), job.ID)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the manifest cannot be read at the moment; try again").Wait(5).Because(err)
	}
	if whole, err := parametersFile(job, files); err != nil {
		return err
	} else if whole != nil {
		return s.parameters(w, r, job, whole)
	}
	files, next, err := s.page(r, job, files)
	if err != nil {
		return err
	}
	m, expires, err := s.manifest(r.Context(), job, files)
	if err != nil {
		return err
	}
	m.Link = next
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if expires != nil {
		w.Header().Set("Expires", expires.UTC().Format(http.TimeFormat))
	}
	answer.Write(w, told(w, r, http.StatusOK), "application/json", body)
	return nil
}

// page returns the files that the asked for page of a job's manifest names, and what leads to the page that follows. A manifest has pages
// when the client allows partial ones (Bulk Data Access 3.0.0, "allowPartialManifests"); each is the same whenever it is asked for.
func (s *Service) page(r *http.Request, job *models.Job, files []models.JobFile) ([]models.JobFile, []manifest.Link, error) {
	if !job.InPages() {
		return files, nil, nil
	}
	query := r.URL.Query()
	n := 1
	if text := query.Get("page"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			n = 0
		}
	}
	page, more, ok := manifest.Page(files, n, s.ManifestFiles)
	if !ok {
		return nil, nil, models.Errorf(models.KindNotFound, "the manifest has no such page").At("page")
	}
	for i := range page {
		// What is learned when a file is fetched would change a page that somebody has.
		if page[i].Format != models.FormatParquet {
			page[i].IdentitySHA256 = nil
		}
		if page[i].Format == models.FormatDeflate {
			page[i].GzipSHA256 = nil
		}
	}
	if !more {
		return page, nil, nil
	}
	query = url.Values{"page": {strconv.Itoa(n + 1)}}
	if separate(r) {
		query.Set(separateMark, separateMarkIs)
	}
	return page, []manifest.Link{{Relation: "next", URL: s.StatusURL(job.ID) + "?" + query.Encode()}}, nil
}

func (s *Service) inProgress(w http.ResponseWriter, r *http.Request, job *models.Job) error {
	var done, total int64
	var err error
	what := "resources"
	if job.Operation.IsMatch() {
		what = "members"
		done, total, err = s.Store.MatchProgress(r.Context(), job.ID)
	} else {
		done, total, err = s.Store.Progress(r.Context(), job.ID)
	}
	if err != nil {
		return models.Errorf(models.KindUnavailable, "progress cannot be read at the moment; try again").Wait(5).Because(err)
	}
	h := w.Header()
	switch {
	case total == 0:
		h.Set("X-Progress", "0%, waiting to be planned")
	case job.Operation == models.OpGroupExport || job.Operation == models.OpDataExport:
		// With the numbers of the manifest, how many resources there are would tell how many are held back.
		h.Set("X-Progress", fmt.Sprintf("%d%%, exporting", min(100*done/total, 99)))
	default:
		h.Set("X-Progress", fmt.Sprintf("%d%%, %d of %d %s", min(100*done/total, 99), done, total, what))
	}
	h.Set("Retry-After", strconv.Itoa(retryAfter(s.now().Sub(job.CreatedAt))))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.WriteHeader(told(w, r, http.StatusAccepted))
	return nil
}

// retryAfter asks for one poll a second at first and for fewer as the job grows old.
func retryAfter(age time.Duration) int { return int(min(max(age.Seconds()/10, 1), 30)) }

// deleteJob cancels a job, or drops the files of a finished one. Afterwards the job is unknown.
func (s *Service) deleteJob(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	job, err := s.ownJob(r.Context(), caller, r.PathValue("job"))
	if err != nil {
		return err
	}
	// From here on nothing of it is published or served, whatever its run still does.
	if err := s.Store.DeleteJob(r.Context(), job.ID, s.now()); err != nil {
		return models.Errorf(models.KindUnavailable, "the job cannot be deleted at the moment; try again").Wait(5).Because(err)
	}
	err = s.dismantle(r.Context(), job)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
		s.Log.ErrorContext(r.Context(), "a deleted job's run could not be told", "job", job.ID, "error", err.Error())
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// dismantle has the run stopped and the files removed.
func (s *Service) dismantle(ctx context.Context, job *models.Job) error {
	if !job.State.Done() {
		return s.Temporal.CancelWorkflow(ctx, workflows.JobWorkflowID(job), "")
	}
	if job.State == models.StateFailed && !job.Operation.IsMatch() { // it is kept, and no run waits to delete it
		return s.purge(ctx, job)
	}
	return s.Temporal.SignalWorkflow(ctx, workflows.ExpireID(job.ID), "", workflows.ExpireNowSignal, nil)
}
