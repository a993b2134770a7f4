package bulk

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// p2pExport is the exportType of payer-to-payer Groups (PDex 2.2.0, 171).
const p2pExport = "hl7.fhir.us.davinci-pdex#payertopayer"

func (s *Service) systemExport(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	return s.export(w, r, c, models.OpSystemExport, "")
}

func (s *Service) patientExport(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	return s.export(w, r, c, models.OpPatientExport, "")
}

func (s *Service) groupExport(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	return s.export(w, r, c, models.OpGroupExport, r.PathValue("id"))
}

func (s *Service) dataExport(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	return s.export(w, r, c, models.OpDataExport, r.PathValue("id"))
}

// export is the kick-off of every export.
func (s *Service) export(w http.ResponseWriter, r *http.Request, c *auth.Caller, op models.Operation, groupID string) error {
	if r.Method == http.MethodHead { // it comes along with GET, but must not start anything
		w.Header().Set("Allow", "GET, POST")
		return models.Errorf(models.KindMethod, "an export is started with GET or POST")
	}
	if err := asyncHeaders(r.Header); err != nil {
		return err
	}
	given, err := readParameters(w, r, s.KickoffBody)
	if err != nil {
		return err
	}
	if groupID == "" && !exportsAll(c) {
		return models.Errorf(models.KindForbidden, "this client may export Groups only")
	}
	asked := &asked{op: op, lenient: lenient(r.Header), post: r.Method == http.MethodPost, base: s.Base, now: s.now()}
	if groupID != "" {
		g, err := s.ownGroup(r, c, groupID)
		if err != nil {
			return err
		}
		asked.profile = g.Profile
	}
	params, err := asked.export(given, groupID)
	if err != nil {
		return err
	}
	if asked.profile == models.ProviderGroupProfile || asked.profile == models.AttributionGroupProfile {
		if err := providerRules(&params); err != nil {
			return err
		}
	}
	if asked.profile == models.AttributionGroupProfile {
		if err := s.listRules(r.Context(), c, &params); err != nil {
			return err
		}
	}
	if err := s.checkPatients(r.Context(), asked, &params); err != nil {
		return err
	}
	if err := mayExport(c, &params); err != nil {
		return err
	}
	if params.Listed { // none but the list itself
		params.Types = without(params.Types, fhir.TypeGroup)
	}
	text, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("write parameters: %w", err)
	}
	digest := sha256.Sum256(append([]byte(op), text...)) // of what was asked for, not of how we keep it
	if text, err = s.keep(params, text); err != nil {
		return err
	}
	return s.accept(w, r, &models.Job{
		ID: models.NewID(), ClientID: c.ClientID, Operation: op, RequestURL: s.requestURL(r), RequestDigest: digest[:],
		IdempotencyKey: idempotencyKey(r.Header), State: models.StateAccepted, Params: text, CreatedAt: s.now().UTC().Truncate(time.Millisecond),
	})
}

// checkPatients finds the patients asked for that the export does not cover. $davinci-data-export goes on without them and
// tells so (ATR 2.1.0); $export refuses them (Bulk Data Access 2.0.0, "patient"), unless the client prefers leniency.
func (s *Service) checkPatients(ctx context.Context, a *asked, p *models.ExportParams) error {
	if len(p.Patients) == 0 {
		return nil
	}
	covered, err := s.Store.CoveredPatients(ctx, p.GroupID, p.Patients)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the patients cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	for i, id := range p.Patients {
		switch {
		case covered[id]:
		case a.op != models.OpDataExport && !a.lenient:
			return models.Errorf(models.KindInvalid, "not a patient that this export covers").At(a.patients[i])
		default:
			ignore(p, a.patients[i])
		}
	}
	return nil
}

// mayExport holds what is asked for against the token's scopes. Without _type, an export is of the types the token covers.
func mayExport(c *auth.Caller, p *models.ExportParams) error {
	if len(p.Types) == 0 {
		if c.MayReadAll() {
			return nil
		}
		for code := int16(1); fhir.TypeName(code) != ""; code++ {
			if c.MayRead(fhir.TypeName(code)) {
				p.Types = append(p.Types, code)
			}
		}
		if len(p.Types) == 0 {
			return models.Errorf(models.KindForbidden, "the token covers no resource type; ask for a scope such as system/*.rs")
		}
		return nil
	}
	for _, code := range p.Types {
		if code != noType && !c.MayRead(fhir.TypeName(code)) {
			return models.Errorf(models.KindForbidden, "the token does not cover %s", fhir.TypeName(code)).At("_type")
		}
	}
	return nil
}

// covers reports whether a token's scopes reach all that a job exports: its status and files are for no narrower one (Bulk
// Data Access 2.0.0, "Privacy and Security Considerations"). The results of a match are what the caller sent, and who of them are members;
// they are for the organisation that asked.
func covers(c *auth.Caller, job *models.Job) error {
	if job.Operation.IsMatch() {
		var p models.MatchParams
		if err := json.Unmarshal(job.Params, &p); err != nil {
			return fmt.Errorf("read the job's parameters: %w", err)
		}
		if !models.SameOrganization(p.Organizations, c.Organizations) {
			return models.Errorf(models.KindNotFound, "no job of yours has this id")
		}
		return nil
	}
	p, err := openTo(c, job)
	if err != nil {
		return err
	}
	if len(p.Types) == 0 && !c.MayReadAll() || p.WithList && !c.MayRead("Group") {
		return models.Errorf(models.KindForbidden, "the token does not cover all that this job exports")
	}
	for _, code := range p.Types {
		if code != noType && !c.MayRead(fhir.TypeName(code)) {
			return models.Errorf(models.KindForbidden, "the token does not cover all that this job exports: %s", fhir.TypeName(code))
		}
	}
	return nil
}

// exportsAll reports whether a caller may export beyond Groups.
func exportsAll(c *auth.Caller) bool { return c.Kind == models.ClientBackend && c.GroupID == "" }

// openTo returns what an export was asked for, if it is of a kind that its client may have made now: one that is a back end no more has
// no use of what it exported as one.
func openTo(c *auth.Caller, job *models.Job) (p models.ExportParams, err error) {
	if err := json.Unmarshal(job.Params, &p); err != nil {
		return p, fmt.Errorf("read the job's parameters: %w", err)
	}
	if p.GroupID == "" && !exportsAll(c) {
		return p, models.Errorf(models.KindForbidden, "this client may have exports of Groups only")
	}
	return p, nil
}

// requestURL is the URL that was called, as the client knows it (Bulk Data Access 2.0.0, manifest "request").
func (s *Service) requestURL(r *http.Request) string {
	url := s.Base + strings.TrimPrefix(r.URL.EscapedPath(), "/fhir")
	if r.URL.RawQuery == "" {
		return url
	}
	var b strings.Builder
	b.WriteString(url + "?")
	for _, c := range []byte(r.URL.RawQuery) {
		if c > ' ' && c < 0x7f {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c) // it should have been sent so
		}
	}
	return b.String()
}

// parameter is one parameter of a kick-off, from the query or from a Parameters body.
type parameter struct {
	name  string
	value string
	where string
}

// readParameters reads the parameters of a kick-off from the query and, with POST, from a Parameters resource.
func readParameters(w http.ResponseWriter, r *http.Request, limit int64) ([]parameter, error) {
	out, err := parseQuery(r.URL.RawQuery)
	if err != nil || r.Method != http.MethodPost {
		return out, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if fault := bodyFault(err); fault != nil {
		return nil, fault
	}
	if err != nil {
		return nil, models.Errorf(models.KindInvalid, "the body could not be read to its end")
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return out, nil // with neither body nor Content-Type some clients send all they have to say in the query
	}
	if err := jsonBody(r.Header); err != nil {
		return nil, err
	}
	more, err := bodyParameters(body)
	return append(out, more...), err
}

// bodyParameters reads the parameters of a Parameters resource.
func bodyParameters(body []byte) ([]parameter, error) {
	doc, err := fhir.ParseParameters(body)
	if err != nil {
		return nil, err
	}
	if !unambiguous(body) {
		return nil, models.Errorf(models.KindInvalid, "an element is there twice in one object").At("Parameters")
	}
	var out []parameter
	for i, p := range doc.Parameter {
		where := fmt.Sprintf("Parameters.parameter[%d]", i)
		if p.Name == "" {
			return nil, models.Errorf(models.KindInvalid, "a parameter needs a name").At(where)
		}
		value, text := p.Text() // "" for values that are neither a string, a boolean nor a Reference
		if p.ValueType == "Boolean" {
			value = string(p.Value)
		}
		if ref := new(fhir.Reference); !text && p.Name == "patient" && json.Unmarshal(p.Value, ref) == nil {
			value = ref.Reference
		}
		out = append(out, parameter{p.Name, value, where})
	}
	return out, nil
}
