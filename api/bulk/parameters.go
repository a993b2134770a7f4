package bulk

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"pdexbulk/api/answer"
	"pdexbulk/models"
)

// parametersFile returns the file of a match that is its whole answer, nil when the answer is a manifest.
func parametersFile(job *models.Job, files []models.JobFile) (*models.JobFile, error) {
	if !job.Operation.IsMatch() {
		return nil, nil
	}
	var p models.MatchParams
	if err := json.Unmarshal(job.Params, &p); err != nil {
		return nil, fmt.Errorf("read the job's parameters: %w", err)
	}
	if p.Spec != models.Spec21 {
		return nil, nil
	}
	for i, f := range files {
		if f.Type == "Parameters" {
			return &files[i], nil
		}
	}
	return nil, models.Errorf(models.KindInternal, "the match has no Parameters")
}

// parameters answers a poll with the result itself (PDex 2.1: "the response is a Parameters resource").
func (s *Service) parameters(w http.ResponseWriter, r *http.Request, job *models.Job, f *models.JobFile) error {
	f, parts, err := s.Store.File(r.Context(), job.ID, f.File)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the result cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	if err := s.present(r.Context(), parts); err != nil {
		return err
	}
	body := &reader{ctx: r.Context(), files: s.Files, parts: parts, sum: fileSum(f)}
	defer body.Close()
	h := w.Header()
	h.Set("Content-Type", answer.FHIRJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.FormatInt(body.size(), 10))
	if job.ExpiresAt != nil {
		h.Set("Expires", job.ExpiresAt.UTC().Format(http.TimeFormat))
	}
	w.WriteHeader(told(w, r, http.StatusOK))
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(w, body); err != nil {
		if r.Context().Err() == nil {
			s.Log.ErrorContext(r.Context(), "a result could not be served to its end", "job", job.ID, "error", answer.Trail(err))
		}
		panic(http.ErrAbortHandler) // the client must see that it is cut short
	}
	return nil
}
