package bulk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"pdexbulk/models"
)

// Reissue makes the request of an export that has ended once more, for the same client, as a job of its own: data and what may leave of
// them are those of now. With a key, the same call again returns the same job, and created is false. KindConflict when it could not be
// made now: the client, its scopes or the Group are no longer what they were.
func (s *Service) Reissue(ctx context.Context, of *models.Job, key string) (job *models.Job, created bool, err error) {
	switch {
	case of.Operation.IsMatch():
		return nil, false, models.Errorf(models.KindConflict, "who a match asked for is not kept; the client has to ask again")
	case !of.State.Done():
		return nil, false, models.Errorf(models.KindConflict, "the job goes on: it is %s", of.State)
	case of.State == models.StateCancelled:
		return nil, false, models.Errorf(models.KindConflict, "the job was cancelled; the client has to ask again")
	}
	var p models.ExportParams
	if err := json.Unmarshal(of.Params, &p); err != nil {
		return nil, false, fmt.Errorf("read the job's parameters: %w", err)
	}
	if err := s.mayStill(ctx, of, p); err != nil {
		return nil, false, err
	}
	if p.Format == models.FormatGzip { // see keep
		p.Format = models.FormatDeflate
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, false, fmt.Errorf("write parameters: %w", err)
	}
	if text, err = s.keep(p, text); err != nil {
		return nil, false, err
	}
	if key != "" { // apart from the keys of clients
		sum := sha256.Sum256([]byte(of.ID + "\x00" + key))
		key = "reissue:" + hex.EncodeToString(sum[:])
	}
	job, created, err = s.Store.CreateJob(ctx, &models.Job{
		ID: models.NewID(), ClientID: of.ClientID, Operation: of.Operation, RequestURL: of.RequestURL, RequestDigest: of.RequestDigest,
		IdempotencyKey: key, State: models.StateAccepted, Params: text, CreatedAt: s.now().UTC().Truncate(time.Millisecond), ReissueOf: &of.ID,
	}, 0)
	if err != nil {
		return nil, false, err
	}
	if created || job.State == models.StateAccepted {
		err = s.Start(ctx, job)
	}
	return job, created, err
}

// mayStill checks that a client may make a request now that it once made. What may leave of each member is decided by the run.
func (s *Service) mayStill(ctx context.Context, job *models.Job, p models.ExportParams) error {
	client, err := s.Store.Client(ctx, job.ClientID)
	switch {
	case models.KindOf(err) == models.KindNotFound, err == nil && !client.Active:
		return models.Errorf(models.KindConflict, "the client is not active")
	case err != nil:
		return err
	case p.GroupID == "" && client.Kind != models.ClientBackend:
		return models.Errorf(models.KindConflict, "the client may export Groups only")
	}
	if err := covers(s.Auth.Registered(client), job); models.KindOf(err) == models.KindForbidden {
		return models.Errorf(models.KindConflict, "the client's scopes no longer cover what the job exports")
	} else if err != nil {
		return err
	}
	if p.GroupID == "" {
		return nil
	}
	g, err := s.Store.OwnGroup(ctx, job.ClientID, p.GroupID)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return models.Errorf(models.KindConflict, "the Group is gone; the client has to match again")
	case err != nil:
		return err
	case !g.For(client.OrganizationIDs):
		return models.Errorf(models.KindConflict, "the Group was made for another organisation than the client acts for now")
	case g.ExpiresAt != nil && !s.now().Before(*g.ExpiresAt):
		return models.Errorf(models.KindConflict, "the Group has expired; the client has to match again")
	}
	return nil
}
