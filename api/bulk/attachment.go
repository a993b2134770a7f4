package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/recheck"
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

// mayStillSee decides as the export did, with what holds at this moment.
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
		if err != nil {
			return err
		}
		entry := store.RosterEntry{Member: b.Member, Policy: b.Policy, ConsentStart: b.ConsentStart, ConsentEnd: b.ConsentEnd}
		// How the store keeps sensitive data was decided about when the line was written.
		allowed, err := recheck.Members(view, g, []store.RosterEntry{entry}, consent.Tagged, at)
		if models.KindOf(err) == models.KindForbidden {
			return nil
		}
		if err != nil {
			return err
		}
		may = !allowed[0].Withheld && !allowed[0].Draft && b.Class&allowed[0].Without == 0
		return nil
	})
	return may, err
}
