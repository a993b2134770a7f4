package bulk

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

// maxConsents is how many Consents a search shows.
const maxConsents = 100

// ConsentSearch names the search parameters of Consent with their types, for whoever describes this server (decision D-17).
var ConsentSearch = []struct{ Name, Type, Definition string }{
	{"_id", "token", "http://hl7.org/fhir/SearchParameter/Resource-id"},
	{"patient", "reference", "http://hl7.org/fhir/SearchParameter/clinical-patient"},
	{"category", "token", "http://hl7.org/fhir/SearchParameter/Consent-category"},
	{"status", "token", "http://hl7.org/fhir/SearchParameter/Consent-status"},
}

func (s *Service) addConsentRoutes(api huma.API) {
	var params []*huma.Param
	for _, p := range ConsentSearch {
		params = append(params, queryParameter(p.Name, p.Type+" search parameter "+p.Definition))
	}
	s.route(api, http.MethodPost, "/fhir/Consent", "create-consent", "Say for a member whether to share with providers (pdex-provider-consent)",
		"For back ends with the scope system/Consent.c, such as a members' portal. A deny opts the member out of all sharing with providers, a permit ends that.", s.createConsent)
	s.route(api, http.MethodGet, "/fhir/Consent/{id}", "read-consent", "Read a Consent one has sent", "", s.readConsent, pathParameter("id", "Consent id"))
	s.route(api, http.MethodGet, "/fhir/Consent", "search-consents", "Search the Consents one has sent", "Answers a searchset Bundle, the newest first.", s.searchConsents, params...)
}

// speaksForMembers checks that a caller is a back end of the plan with the wanted right to Consents.
func speaksForMembers(c *auth.Caller, covered bool) error {
	if c.Kind != models.ClientBackend || !covered {
		return models.Errorf(models.KindForbidden, "Consents are for back ends whose token covers them")
	}
	return nil
}

// createConsent takes a member's word (PDex 2.2.0 Provider Access, 271). It counts from the next decision on, in every process.
func (s *Service) createConsent(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	if err := speaksForMembers(c, c.MayCreate("Consent")); err != nil {
		return err
	}
	if err := jsonBody(r.Header); err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.ConsentBody))
	if fault := bodyFault(err); fault != nil {
		return fault
	}
	if err != nil {
		return models.Errorf(models.KindInvalid, "the body could not be read to its end")
	}
	if err := fhir.Check(body); err != nil {
		return models.Errorf(models.KindInvalid, "the body is not one sound JSON resource")
	}
	if !unambiguous(body) {
		return models.Errorf(models.KindInvalid, "an element is there twice in one object")
	}
	said, err := consent.ParseMemberConsent(body)
	if err != nil {
		return err
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	if !said.Deny && said.Start.After(now) {
		return models.Errorf(models.KindUnprocessable, "a permit ends an opt-out at once; send it when it is to count").At("Consent.provision.period.start")
	}
	row := store.MemberConsent{ID: models.NewID(), Member: models.MemberID(said.Patient), ClientID: c.ClientID, Active: true, CreatedAt: now, UpdatedAt: now, Document: string(body)}
	var deny *models.OptOut
	if said.Deny {
		deny = &models.OptOut{
			ID: models.NewID(), Member: row.Member, Scope: models.OptOutGlobal, Reason: models.ReasonMemberChoice, Start: said.Start, End: said.End,
			Source: models.OptOutByConsent, CreatedBy: "client:" + c.ClientID, CreatedAt: now,
		}
	}
	err = s.Store.AddMemberConsent(r.Context(), row, deny)
	switch models.KindOf(err) {
	case "":
	case models.KindNotFound:
		return models.Errorf(models.KindUnprocessable, "no member has this Patient id").At("Consent.patient")
	case models.KindInternal:
		return models.Errorf(models.KindUnavailable, "the Consent cannot be stored at the moment; send it again").Wait(5).Because(err)
	default:
		return err
	}
	text, err := shown(row)
	if err != nil {
		return err
	}
	w.Header().Set("Location", s.Base+"/Consent/"+row.ID)
	w.Header().Set("ETag", consentTag(row))
	answer.Write(w, http.StatusCreated, answer.FHIRJSON, text)
	return nil
}

func consentTag(c store.MemberConsent) string { return `W/"` + consentVersion(c) + `"` }

// consentVersion is 1, and 2 when another Consent has taken its place.
func consentVersion(c store.MemberConsent) string {
	if c.Active {
		return "1"
	}
	return "2"
}

// shown is a Consent as it is read: as it was sent, with our id and meta, and inactive when another has taken its place.
func shown(c store.MemberConsent) ([]byte, error) {
	var fields, meta map[string]json.RawMessage
	if err := json.Unmarshal([]byte(c.Document), &fields); err != nil {
		return nil, fmt.Errorf("read a stored consent: %w", err)
	}
	if err := json.Unmarshal(fields["meta"], &meta); err != nil {
		return nil, fmt.Errorf("read the meta of a stored consent: %w", err)
	}
	meta["versionId"] = json.RawMessage(strconv.Quote(consentVersion(c)))
	meta["lastUpdated"] = json.RawMessage(strconv.Quote(fhir.FormatInstant(c.UpdatedAt.UnixMilli())))
	text, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	fields["meta"], fields["id"] = text, json.RawMessage(strconv.Quote(c.ID))
	if !c.Active {
		fields["status"] = json.RawMessage(`"inactive"`)
	}
	return json.Marshal(fields)
}

func (s *Service) consents(r *http.Request, c *auth.Caller, id, patient string, active *bool) ([]store.MemberConsent, error) {
	found, err := s.Store.MemberConsents(r.Context(), c.ClientID, id, patient, active, maxConsents)
	if err != nil {
		return nil, models.Errorf(models.KindUnavailable, "Consents cannot be read at the moment; try again").Wait(5).Because(err)
	}
	return found, nil
}

func (s *Service) readConsent(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	if err := speaksForMembers(c, c.MayGet("Consent")); err != nil {
		return err
	}
	unknown := models.Errorf(models.KindNotFound, "no Consent of yours has this id")
	id := r.PathValue("id")
	if !models.ValidID(id) {
		return unknown
	}
	found, err := s.consents(r, c, id, "", nil)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return unknown
	}
	text, err := shown(found[0])
	if err != nil {
		return err
	}
	w.Header().Set("ETag", consentTag(found[0]))
	answer.Write(w, http.StatusOK, answer.FHIRJSON, text)
	return nil
}

// searchConsents answers the Consents the caller has sent that fit.
func (s *Service) searchConsents(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	if err := speaksForMembers(c, c.MaySearch("Consent")); err != nil {
		return err
	}
	given, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	var id, patient string
	var active *bool
	none := false // when nothing can fit
	for _, g := range given {
		switch g.name {
		case "_id":
			none = none || !models.ValidID(g.value) || id != "" && id != g.value
			id = g.value
		case "patient":
			asked := g.value
			if strings.Contains(asked, "/") {
				asked = fhir.PatientID(asked)
			}
			none = none || !fhir.ValidID(asked) || patient != "" && patient != asked
			patient = asked
		case "category":
			none = none || !fitsCategory(g.value)
		case "status":
			want := g.value[strings.LastIndexByte(g.value, '|')+1:]
			none = none || want != "active" && want != "inactive" || active != nil && *active != (want == "active")
			active = new(want == "active")
		default:
			if !lenient(r.Header) {
				return models.Errorf(models.KindInvalid, "this parameter is not supported").At(g.where)
			}
		}
	}
	var found []store.MemberConsent
	if !none {
		if found, err = s.consents(r, c, id, patient, active); err != nil {
			return err
		}
	}
	type entry struct {
		FullURL  string            `json:"fullUrl"`
		Resource json.RawMessage   `json:"resource"`
		Search   map[string]string `json:"search"`
	}
	bundle := struct {
		ResourceType string  `json:"resourceType"`
		Type         string  `json:"type"`
		Total        int     `json:"total"`
		Entry        []entry `json:"entry,omitempty"`
	}{ResourceType: "Bundle", Type: "searchset", Total: len(found)}
	for _, row := range found {
		text, err := shown(row)
		if err != nil {
			return err
		}
		bundle.Entry = append(bundle.Entry, entry{s.Base + "/Consent/" + row.ID, text, map[string]string{"mode": "match"}})
	}
	body, err := json.Marshal(bundle)
	if err != nil {
		return err
	}
	answer.Write(w, http.StatusOK, answer.FHIRJSON, body)
	return nil
}

// fitsCategory reports whether a token is one of the two categories that every Consent here has.
func fitsCategory(token string) bool {
	for _, category := range []struct{ system, code string }{
		{"http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL"}, {"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/pdex-consent-api-purpose", "provider-access"},
	} {
		if token == category.code || token == category.system+"|"+category.code || token == category.system+"|" {
			return true
		}
	}
	return false
}
