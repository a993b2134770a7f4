package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

// attachment serves the content of a Binary to the owner of a job whose lines refer to it (Bulk Data Access 2.0.0,
// "Attachments"), for as long as the job's files live and what let the line out still holds. To everybody else, and
// afterwards, it is unknown.
func (s *Service) attachment(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	job, err := s.ownJob(r.Context(), caller, r.PathValue("job"))
	if err != nil {
		return err
	}
	unknown := models.Errorf(models.KindNotFound, "no attachment of yours has this address")
	id := r.PathValue("id")
	if job.State != models.StateCompleted || !fhir.ValidID(id) {
		return unknown
	}
	if job.ExpiresAt != nil && !s.now().Before(*job.ExpiresAt) {
		return models.Errorf(models.KindGone, "the files of this job have expired; start it again")
	}
	if err := covers(caller, job); err != nil {
		return err
	}
	var params models.ExportParams
	if err := json.Unmarshal(job.Params, &params); err != nil {
		return fmt.Errorf("read the job's parameters: %w", err)
	}
	b, err := s.Store.ExportedBinary(r.Context(), job.ID, params.GroupID, id)
	may := false
	if err == nil {
		may, err = s.mayStillSee(r.Context(), params, b)
	}
	if err == nil && !may {
		return unknown
	}
	if err == nil && params.GroupID != "" {
		gone, werr := s.withdrawnMember(r.Context(), job, params.GroupID, b.Member)
		if gone {
			return unknown
		}
		err = werr
	}
	var data []byte
	if err == nil {
		data, err = s.Store.BinaryData(r.Context(), id, b.Hash)
	}
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return unknown
	case err != nil:
		return models.Errorf(models.KindUnavailable, "the attachment cannot be read at the moment; try again").Wait(5).Because(err)
	}
	h := w.Header()
	h.Set("Content-Type", b.ContentType)
	h.Set("Content-Disposition", "attachment") // it is somebody else's content, and never to be run on our origin
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", fmt.Sprintf(`"%016x"`, uint64(b.Hash)))
	http.ServeContent(&fileWriter{ResponseWriter: w, request: r, log: s.Log, size: int64(len(data))}, usableRange(r), "", time.Time{}, bytes.NewReader(data))
	return nil
}

// mayStillSee decides as the export did, with what holds at this moment. Of members of a Group that no consent is behind it says no.
func (s *Service) mayStillSee(ctx context.Context, p models.ExportParams, b *store.Exported) (may bool, err error) {
	if p.GroupID == "" {
		return true, nil
	}
	if !b.Listed {
		return false, nil
	}
	at := s.now()
	err = s.Store.InSnapshot(ctx, at, func(view *store.Snapshot) error {
		g, err := view.Group(p.GroupID)
		if err != nil || g.Profile != models.MatchGroupProfile || g.ExpiresAt != nil && !at.Before(*g.ExpiresAt) {
			return err
		}
		requester, err := view.Requester(g)
		if err != nil {
			return err
		}
		matched, err := view.MatchedAt(g)
		if err != nil {
			return err
		}
		said, err := view.Standing([]uuid.UUID{b.Member}, requester, at)
		if err != nil {
			return err
		}
		now := said[b.Member]
		standing := consent.Standing{Override: now.Override, Revoked: now.Revoked(matched), Current: now.Current}
		grant := consent.Grant{Policy: b.Policy, Start: b.ConsentStart, End: b.ConsentEnd}
		// How the store keeps sensitive data was decided about when the line was written.
		policy, _ := consent.Recheck(grant, standing, consent.Tagged, at)
		may = policy == consent.PolicySensitive || policy == consent.PolicyRegular && b.Class&models.ClassSensitive == 0
		return nil
	})
	return may, err
}
