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

// matchKind is what tells one member-match operation from another at kick-off.
type matchKind struct {
	op      models.Operation
	summary string
	slots   []slot
	// admit checks, before the body is read, whether the caller may ask at all. nil lets everybody whose token covers it.
	admit func(context.Context, *Service, *auth.Caller) error
}

// payerMatch is $bulk-member-match (PDex 2.2.0, OperationDefinition BulkMemberMatch).
var payerMatch = matchKind{
	op:      models.OpBulkMemberMatch,
	summary: "Find a payer's members and open their data to the requesting payer (PDex 2.2.0)",
	slots: []slot{
		{"MemberPatient", "Patient", patientKey, true, ""},
		{"CoverageToMatch", "Coverage", "coverage", true, ""},
		{"CoverageToLink", "Coverage", "link", false, ""},
		{"Consent", "Consent", consentKey, true, ""},
	},
}

// matchOperations are the member matches by the names they are called by.
var matchOperations = map[string]*matchKind{
	"$bulk-member-match":     &payerMatch,
	"$multi-member-match":    &payerMatch, // as drafts of PDex call it
	"$provider-member-match": &providerMatch,
}

func isMatchOperation(name string) bool { return matchOperations[name] != nil }

// memberMatch returns the kick-off of a member match. The body is read once, person by person: its structure is checked as a
// whole, and what was read is stored for the workflow, so a request of any length takes no more memory than its longest
// MemberBundle.
func (s *Service) memberMatch(kind *matchKind) handler {
	return func(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
		return s.startMatch(w, r, c, kind)
	}
}

func (s *Service) startMatch(w http.ResponseWriter, r *http.Request, c *auth.Caller, kind *matchKind) error {
	if !c.MayOperate(kind.op) {
		return models.Errorf(models.KindForbidden, "the token does not cover $%s", kind.op)
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
	spec, err := specVersion(r.Header)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if kind.admit != nil {
		if err := kind.admit(ctx, s, c); err != nil {
			return err
		}
	}
	job := &models.Job{
		ID: models.NewID(), ClientID: c.ClientID, Operation: kind.op, RequestURL: s.requestURL(r),
		IdempotencyKey: idempotencyKey(r.Header), State: models.StateAccepted, CreatedAt: s.now().UTC().Truncate(time.Millisecond),
	}
	params := models.MatchParams{
		BlobKey: "matches/" + job.ID + "/request", GroupID: models.NewID(), Organizations: c.Organizations, RequesterName: c.Organization, Spec: spec,
		NPI: c.NPI, Purposes: c.PurposeOfUse,
	}
	cut, digest, err := s.storeRequest(ctx, http.MaxBytesReader(w, r.Body, s.MaxBody), kind, &params)
	if err != nil {
		return err
	}
	job.RequestDigest = digest
	if job.Params, err = json.Marshal(params); err != nil {
		return fmt.Errorf("write parameters: %w", err)
	}
	return s.acceptMatch(w, r, job, cut, params.BlobKey)
}

// acceptMatch records the job with its slices. When the same request is running already, this copy of it is dropped.
func (s *Service) acceptMatch(w http.ResponseWriter, r *http.Request, job *models.Job, cut []store.Slice, key string) error {
	stored, created, err := s.Store.CreateMatch(r.Context(), job, cut, s.OpenJobs)
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
