package bulk

import (
	"net/http"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// ownGroup returns a Group of the caller's.
func (s *Service) ownGroup(r *http.Request, caller *auth.Caller, id string) (*store.Group, error) {
	unknown := models.Errorf(models.KindNotFound, "no Group of yours has this id")
	if !models.ValidID(id) || !caller.MayUseGroup(id) {
		return nil, unknown
	}
	g, err := s.Store.OwnGroup(r.Context(), caller.ClientID, id)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return nil, unknown
	case err != nil:
		return nil, models.Errorf(models.KindUnavailable, "the Group cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	if g.ExpiresAt != nil && !s.now().Before(*g.ExpiresAt) {
		return nil, models.Errorf(models.KindGone, "this Group has expired; run the match again")
	}
	return g, nil
}

// readGroup serves a Group as it was published.
func (s *Service) readGroup(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	if isMatchOperation(r.PathValue("id")) {
		w.Header().Set("Allow", http.MethodPost)
		return models.Errorf(models.KindMethod, "this operation takes POST")
	}
	if !caller.MayGet("Group") {
		return models.Errorf(models.KindForbidden, "the token does not cover Group")
	}
	g, err := s.ownGroup(r, caller, r.PathValue("id"))
	if err != nil {
		return err
	}
	body, err := s.Files.Open(r.Context(), g.BlobKey)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the Group cannot be read at the moment; try again").Wait(5).Because(err)
	}
	defer body.Close()
	h := w.Header()
	h.Set("Content-Type", answer.FHIRJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", `W/"1"`)
	http.ServeContent(w, r, "", g.CreatedAt, body)
	return nil
}
