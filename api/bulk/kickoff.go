package bulk

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// maxKickoffBody bounds the Parameters of an export kick-off, in bytes.
const maxKickoffBody = 1 << 20

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
	if err := asyncHeaders(r.Header); err != nil {
		return err
	}
	given, err := readParameters(w, r)
	if err != nil {
		return err
	}
	if groupID == "" && c.Kind != models.ClientBackend {
		return models.Errorf(models.KindForbidden, "this client may export Groups only")
	}
	if groupID != "" {
		if _, err := s.ownGroup(r, c, groupID); err != nil {
			return err
		}
	}
	params, err := s.exportParams(given, op, groupID)
	if err != nil {
		return err
	}
	if err := mayExport(c, &params); err != nil {
		return err
	}
	text, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("write parameters: %w", err)
	}
	digest := sha256.Sum256(append([]byte(op), text...))
	return s.accept(w, r, &models.Job{
		ID: models.NewID(), ClientID: c.ClientID, Operation: op, RequestURL: s.requestURL(r), RequestDigest: digest[:],
		IdempotencyKey: idempotencyKey(r.Header), State: models.StateAccepted, Params: text, CreatedAt: s.now().UTC(),
	})
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
		if !c.MayRead(fhir.TypeName(code)) {
			return models.Errorf(models.KindForbidden, "the token does not cover %s", fhir.TypeName(code)).At("_type")
		}
	}
	return nil
}

// requestURL is the URL that was called, as the client knows it (Bulk Data Access 2.0.0, manifest "request").
func (s *Service) requestURL(r *http.Request) string {
	url := s.Base + strings.TrimPrefix(r.URL.EscapedPath(), "/fhir")
	if r.URL.RawQuery != "" {
		url += "?" + r.URL.RawQuery
	}
	return url
}

func idempotencyKey(h http.Header) string {
	key := h.Get("Idempotency-Key")
	if len(key) > 255 {
		sum := sha256.Sum256([]byte(key))
		return fmt.Sprintf("%x", sum)
	}
	return key
}

// asyncHeaders checks Accept and Prefer of a kick-off. Both are lists with parameters; other preferences are let be.
func asyncHeaders(h http.Header) error {
	if !prefers(h, "respond-async") {
		return models.Errorf(models.KindInvalid, "this operation only runs asynchronously: send Prefer: respond-async").At("http.Prefer")
	}
	accept := h.Values("Accept")
	if len(accept) == 0 {
		return models.Errorf(models.KindInvalid, "send Accept: application/fhir+json").At("http.Accept")
	}
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, _, err := mime.ParseMediaType(strings.TrimSpace(item))
		if err == nil && slices.Contains([]string{"application/fhir+json", "application/json", "application/*", "*/*"}, media) {
			return nil
		}
	}
	return models.Errorf(models.KindInvalid, "the answer can only be application/fhir+json: send Accept: application/fhir+json").At("http.Accept")
}

// prefers reports whether a Prefer header (RFC 7240) has a preference, given as "name" or "name=value".
func prefers(h http.Header, want string) bool {
	for item := range strings.SplitSeq(strings.Join(h.Values("Prefer"), ","), ",") {
		for part := range strings.SplitSeq(item, ";") {
			if strings.EqualFold(strings.ReplaceAll(strings.TrimSpace(part), " ", ""), want) {
				return true
			}
		}
	}
	return false
}

// parameter is one parameter of a kick-off, from the query or from a Parameters body.
type parameter struct {
	name  string
	value string
	where string
}

// readParameters reads the parameters of a kick-off from the query and, with POST, from a Parameters resource.
func readParameters(w http.ResponseWriter, r *http.Request) ([]parameter, error) {
	var out []parameter
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	out = append(out, query...)
	if r.Method != http.MethodPost {
		return out, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxKickoffBody))
	if _, over := asMaxBytes(err); over {
		return nil, models.Errorf(models.KindTooLarge, "the body is over the limit of %d bytes", maxKickoffBody)
	}
	if err != nil {
		return nil, models.Errorf(models.KindInvalid, "the body could not be read to its end")
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return out, nil
	}
	if err := jsonBody(r.Header); err != nil {
		return nil, err
	}
	doc, err := fhir.ParseParameters(body)
	if err != nil {
		return nil, err
	}
	for i, p := range doc.Parameter {
		where := fmt.Sprintf("Parameters.parameter[%d]", i)
		value, ok := p.Text()
		if p.Name == "" || !ok {
			return nil, models.Errorf(models.KindInvalid, "a parameter needs a name and a value[x]").At(where)
		}
		out = append(out, parameter{p.Name, value, where})
	}
	return out, nil
}

// jsonBody checks that a body is declared as JSON.
func jsonBody(h http.Header) error {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "application/fhir+json" && media != "application/json" {
		return models.Errorf(models.KindMediaType, "send the body as application/fhir+json").At("http.Content-Type")
	}
	return nil
}
