package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/attribution"
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
	if !g.For(caller.Organizations) {
		return nil, unknown
	}
	if g.ExpiresAt != nil && !s.now().Before(*g.ExpiresAt) {
		if g.Profile == models.AttributionGroupProfile {
			return nil, models.Errorf(models.KindGone, "this attribution list has ended; ask the payer for the one that follows")
		}
		return nil, models.Errorf(models.KindGone, "this Group has expired; run the match again")
	}
	return g, nil
}

// groupVersion is the version of every Group but an attribution list: what a match has made never changes.
const groupVersion = "1"

// groupForm is a Group as FHIR.
type groupForm struct {
	version       string
	made, changed time.Time
	body          io.ReadSeekCloser // of what a match has published, nil for
	list          *attribution.Form // an attribution list, which is written as it is now
}

// openGroup makes ready to write a Group. Until something is written the answer can still be an error.
func (s *Service) openGroup(ctx context.Context, g *store.Group) (*groupForm, error) {
	f := &groupForm{version: groupVersion, made: g.CreatedAt, changed: g.CreatedAt}
	var err error
	if g.Profile == models.AttributionGroupProfile {
		err = s.openList(ctx, g, f)
	} else {
		f.body, err = s.Files.Open(ctx, g.BlobKey)
	}
	if err != nil {
		return nil, models.Errorf(models.KindUnavailable, "the Group cannot be read at the moment; try again").Wait(5).Because(err)
	}
	return f, nil
}

func (f *groupForm) writeTo(w io.Writer) (err error) {
	if f.list != nil {
		_, err = f.list.WriteTo(w)
	} else {
		_, err = io.Copy(w, f.body)
	}
	return err
}

func (f *groupForm) close() {
	if f.body != nil {
		_ = f.body.Close() // read only
	}
}

// groupHistory serves the versions of a Group, which are one: of an attribution list the present one is kept alone
// (https://hl7.org/fhir/R4/http.html#history).
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
	form, err := s.openGroup(r.Context(), g)
	if err != nil {
		return err
	}
	defer form.close()
	link, err := json.Marshal(s.Base + "/Group/" + g.ID)
	if err != nil {
		return fmt.Errorf("write link: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", answer.FHIRJSON)
	h.Set("Cache-Control", "no-store")
	request, status := `{"method":"POST","url":"Group"}`, http.StatusCreated
	if form.version != groupVersion {
		request, status = `{"method":"PUT","url":"Group/`+g.ID+`"}`, http.StatusOK
	}
	changed := form.changed.UTC().Format(time.RFC3339Nano)
	_, err = fmt.Fprintf(w, `{"resourceType":"Bundle","type":"history","total":1,"entry":[{"fullUrl":%s,"request":%s,`+
		`"response":{"status":"%d","etag":"W/\"%s\"","lastModified":"%s"},"resource":`, link, request, status, form.version, changed)
	if err == nil {
		err = form.writeTo(w)
	}
	if err == nil {
		_, err = io.WriteString(w, "}]}")
	}
	return s.toTheEnd(r, err)
}

// toTheEnd ends a request whose answer was begun. A client must see that an answer is cut short.
func (s *Service) toTheEnd(r *http.Request, err error) error {
	if err != nil && r.Context().Err() == nil {
		s.Log.ErrorContext(r.Context(), "a Group could not be written to its end", "error", answer.Trail(err))
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// readGroup serves a Group, or its version: what a match has made as it was published, an attribution list as it is.
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
	form, err := s.openGroup(r.Context(), g)
	if err != nil {
		return err
	}
	defer form.close()
	if version := r.PathValue("version"); version != "" && version != form.version {
		return models.Errorf(models.KindNotFound, "the Group has no such version, or has it no more")
	}
	h := w.Header()
	h.Set("Content-Type", answer.FHIRJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", `W/"`+form.version+`"`)
	if form.body != nil {
		http.ServeContent(w, r, "", form.changed, form.body)
		return nil
	}
	// Whom a list shows depends on more than its version, so it is always sent.
	h.Set("Last-Modified", form.changed.UTC().Format(http.TimeFormat))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	return s.toTheEnd(r, form.writeTo(w))
}

// openList makes ready to write an attribution list. Its first members are read.
func (s *Service) openList(ctx context.Context, g *store.Group, f *groupForm) error {
	l, err := s.Store.AttributionList(ctx, g.ID)
	if err != nil {
		return err
	}
	owner, err := s.Store.Client(ctx, l.ClientID)
	if err != nil {
		return err
	}
	f.version, f.changed = strconv.FormatInt(l.Version, 10), l.UpdatedAt
	f.list = &attribution.Form{
		List: l, HolderIDs: s.HolderIDs, Holder: s.Holder, Owner: owner.Organization, Now: s.now, Page: attribution.AsItIs(ctx, s.Store, g.ID),
	}
	return f.list.Begin()
}
