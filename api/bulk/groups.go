package bulk

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

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

// groupVersion is the version of every Group: what a match has made never changes.
const groupVersion = "1"

// groupHistory serves the versions of a Group, which are one (https://hl7.org/fhir/R4/http.html#history).
func (s *Service) groupHistory(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	if !caller.MayGet("Group") {
		return models.Errorf(models.KindForbidden, "the token does not cover Group")
	}
	if r.URL.RawQuery != "" {
		return models.Errorf(models.KindInvalid, "the history of a Group takes no parameters")
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
	link, err := json.Marshal(s.Base + "/Group/" + g.ID)
	if err != nil {
		return fmt.Errorf("write link: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", answer.FHIRJSON)
	h.Set("Cache-Control", "no-store")
	made := g.CreatedAt.UTC().Format(time.RFC3339Nano)
	_, err = fmt.Fprintf(w, `{"resourceType":"Bundle","type":"history","total":1,"entry":[{"fullUrl":%s,"request":{"method":"POST","url":"Group"},`+
		`"response":{"status":"201","etag":"W/\"%s\"","lastModified":"%s"},"resource":`, link, groupVersion, made)
	if err == nil {
		_, err = io.Copy(w, body)
	}
	if err == nil {
		_, err = io.WriteString(w, "}]}")
	}
	if err != nil && r.Context().Err() == nil {
		s.Log.ErrorContext(r.Context(), "a Group's history could not be written to its end", "error", answer.Trail(err))
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client must see that it is cut short
	}
	return nil
}

// readGroup serves a Group, or its version, as it was published.
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
	if version := r.PathValue("version"); version != "" && version != groupVersion {
		return models.Errorf(models.KindNotFound, "the Group has no such version")
	}
	body, err := s.Files.Open(r.Context(), g.BlobKey)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the Group cannot be read at the moment; try again").Wait(5).Because(err)
	}
	defer body.Close()
	h := w.Header()
	h.Set("Content-Type", answer.FHIRJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", `W/"`+groupVersion+`"`)
	http.ServeContent(w, r, "", g.CreatedAt, body)
	return nil
}
