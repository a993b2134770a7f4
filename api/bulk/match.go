package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// bulkMemberMatch is the kick-off of $bulk-member-match (PDex 2.2.0, OperationDefinition BulkMemberMatch). The body is read
// once, person by person: its structure is checked as a whole, and what was read is stored for the workflow, so a request
// of any length takes no more memory than its longest MemberBundle.
func (s *Service) bulkMemberMatch(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	if !c.MayOperate(models.OpBulkMemberMatch) {
		return models.Errorf(models.KindForbidden, "the token does not cover $bulk-member-match")
	}
	if err := asyncHeaders(r.Header); err != nil {
		return err
	}
	if err := jsonBody(r.Header); err != nil {
		return err
	}
	if len(c.Organizations) == 0 {
		return models.Errorf(models.KindForbidden, "this client is registered without an organisation identifier, so no consent can name it")
	}
	ctx := r.Context()
	job := &models.Job{
		ID: models.NewID(), ClientID: c.ClientID, Operation: models.OpBulkMemberMatch, RequestURL: s.requestURL(r),
		IdempotencyKey: idempotencyKey(r.Header), State: models.StateAccepted, CreatedAt: s.now().UTC().Truncate(time.Millisecond),
	}
	params := models.MatchParams{
		BlobKey: "matches/" + job.ID + "/request", GroupID: models.NewID(), Organizations: c.Organizations, RequesterName: c.Organization,
	}
	slices, digest, err := s.storeRequest(ctx, requestBody(w, r, s.MaxBody), &params)
	if err != nil {
		return err
	}
	job.RequestDigest = digest
	if job.Params, err = json.Marshal(params); err != nil {
		return fmt.Errorf("write parameters: %w", err)
	}
	return s.acceptMatch(w, r, job, slices, params.BlobKey)
}

// acceptMatch records the job with its slices. When the same request is running already, this copy of it is dropped.
func (s *Service) acceptMatch(w http.ResponseWriter, r *http.Request, job *models.Job, slices []store.Slice, key string) error {
	stored, created, err := s.Store.CreateMatch(r.Context(), job, slices, s.OpenJobs)
	if !created {
		s.dropCopy(context.WithoutCancel(r.Context()), job.ID, key)
	}
	if err != nil {
		return err
	}
	return s.begin(w, r, stored, created)
}

// dropCopy removes a stored request that no job has. One whose job may have been recorded after all, because the answer of
// the database got lost, stays.
func (s *Service) dropCopy(ctx context.Context, jobID, key string) {
	_, err := s.Store.Job(ctx, jobID)
	if models.KindOf(err) == models.KindNotFound {
		err = s.Files.Delete(ctx, key)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "a superfluous copy of a request stays in the file store", "job", jobID, "error", answer.Trail(err))
	}
}
