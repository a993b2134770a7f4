package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
)

// The clinic that asks for its patients, and its doctor.
const (
	clinicNPI     = "1982947230"
	doctorNPI     = "1679576722"
	providerScope = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/ProviderMemberMatch"
)

var clinic = system.Partner{
	ID: "lakeside-clinic", Name: "Lakeside Clinic", Kind: models.ClientProvider, Organization: "Lakeside Clinic",
	OrganizationIDs: []string{seed.NPISystem + "|" + clinicNPI}, Scopes: []string{"system/*.rs", providerScope},
}

// provider tells the story of a clinic: it finds its patients and exports them; one opts out after the match and is missing from the
// next export; the opt-out is revoked, and after another match they are back.
func (r *run) provider(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	for npi, entry := range map[string]any{
		doctorNPI: map[string]any{"kind": "individual", "active": true, "inNetwork": true, "taxonomies": []string{"207R00000X"}, "organizations": []string{clinicNPI}},
		clinicNPI: map[string]any{"kind": "organization", "active": true, "inNetwork": true, "taxonomies": []string{"261QM2500X"}},
	} {
		if err := r.sys.Admin(ctx, http.MethodPut, "/admin/providers/"+npi, entry, nil); err != nil {
			return err
		}
	}
	c, err := r.sys.Register(ctx, clinic, client.ES384)
	if err != nil {
		return err
	}
	r.say("provider", "%s and its doctor are in the directory, in network", clinic.Organization)
	request, patients, err := r.patientsOfClinic()
	if err != nil {
		return err
	}
	for _, patient := range patients {
		rel := map[string]any{"patient": patient, "npi": doctorNPI, "type": "active", "start": r.seed.Anchor.AddDate(-1, 0, 0)}
		if err := r.sys.Admin(ctx, http.MethodPost, "/admin/relationships", rel, nil); err != nil {
			return err
		}
	}
	r.say("list", "%d treatment relationships are entered", len(patients))
	first, err := r.clinicMatch(ctx, c, request, len(patients))
	if err != nil {
		return err
	}
	if err := r.clinicExport(ctx, c, first, patients); err != nil {
		return err
	}
	who := patients[0]
	var optOut struct{ ID string }
	if err := r.sys.Admin(ctx, http.MethodPost, "/admin/opt-outs", map[string]any{"patient": who, "scope": "global", "reason": "member-choice"}, &optOut); err != nil {
		return err
	}
	r.say("opt-out", "one of them opts out of sharing with providers, after the match")
	if err := r.clinicExport(ctx, c, first, patients[1:]); err != nil {
		return err
	}
	if err := r.sys.Admin(ctx, http.MethodPost, "/admin/opt-outs/"+optOut.ID+"/revoke", map[string]any{"reason": "member-choice"}, nil); err != nil {
		return err
	}
	r.say("revoke", "they take it back")
	second, err := r.clinicMatch(ctx, c, request, len(patients))
	if err != nil {
		return err
	}
	if second == first {
		return errors.New("another match made the same Group")
	}
	if err := r.clinicExport(ctx, c, second, patients); err != nil {
		return err
	}
	fmt.Fprintf(r.Out, "demo: ok provider members=%d matched=%d seconds=%.1f\n", r.Members, len(patients), time.Since(r.started).Seconds())
	return nil
}

// patientsOfClinic makes a request about people who are members, each with the doctor's attestation, and returns their Patient ids.
func (r *run) patientsOfClinic() ([]byte, []string, error) {
	var body, truth bytes.Buffer
	if _, err := seed.WriteRequest(&body, &truth, r.seed, seed.RequestOptions{Seed: 8, Members: r.Ask, Clean: true}); err != nil {
		return nil, nil, err
	}
	var doc struct {
		ResourceType string           `json:"resourceType"`
		Parameter    []map[string]any `json:"parameter"`
	}
	if err := json.Unmarshal(body.Bytes(), &doc); err != nil {
		return nil, nil, err
	}
	attestation := map[string]any{
		"resourceType": "Consent", "status": "active", "meta": map[string]any{"profile": []string{consent.AttestationProfile}},
		"patient": map[string]any{"display": "the patient"}, "dateTime": r.seed.Anchor.Format(time.DateOnly),
		"performer": []any{map[string]any{"identifier": map[string]any{"system": seed.NPISystem, "value": doctorNPI}}},
		"provision": map[string]any{"type": "permit", "period": map[string]any{"start": r.seed.Anchor.AddDate(-1, 0, 0).Format(time.DateOnly)}},
	}
	var kept []map[string]any
	var patients []string
	for line := range bytes.Lines(truth.Bytes()) {
		var t seed.RequestTruth
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, nil, err
		}
		if t.Expect != seed.Matched || slices.Contains(patients, t.Patient) || len(patients) == 10 {
			continue
		}
		bundle := doc.Parameter[t.Index]
		for _, part := range bundle["part"].([]any) {
			if p := part.(map[string]any); p["name"] == "Consent" {
				p["resource"] = attestation
			}
		}
		kept, patients = append(kept, bundle), append(patients, t.Patient)
	}
	doc.Parameter = kept
	text, err := json.Marshal(doc)
	return text, patients, err
}

// clinicMatch runs the clinic's match, in which all are to be found, and returns the id of their Group.
func (r *run) clinicMatch(ctx context.Context, c *client.Client, request []byte, want int) (string, error) {
	header := http.Header{"Content-Type": {"application/fhir+json"}}
	job, err := c.KickOff(ctx, http.MethodPost, "/Group/$provider-member-match", nil, header, bytes.NewReader(request))
	if err != nil {
		return "", err
	}
	manifest, err := job.Wait(ctx, r.progress)
	if err != nil {
		return "", err
	}
	id, found := "", 0
	for _, f := range manifest.Output {
		if f.Type != "Group" {
			continue
		}
		_, err := c.Download(ctx, manifest, f, func(line []byte) error {
			g, err := fhir.ParseGroup(line)
			if err == nil && g.Code.Coding[0].Code == "match" {
				id, found = g.ID, len(g.Member)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	if found != want {
		return "", fmt.Errorf("%d of %d patients of the clinic were matched", found, want)
	}
	r.say("match", "%d patients of the clinic are found", found)
	return id, nil
}

// clinicExport exports a Group of the clinic's, which must have the data of the given patients and of nobody else.
func (r *run) clinicExport(ctx context.Context, c *client.Client, group string, patients []string) error {
	header := http.Header{"Content-Type": {"application/fhir+json"}}
	body := strings.NewReader(`{"resourceType":"Parameters","parameter":[{"name":"exportType","valueCanonical":"hl7.fhir.us.davinci-pdex#provider-download"}]}`)
	job, err := c.KickOff(ctx, http.MethodPost, "/Group/"+group+"/$davinci-data-export", nil, header, body)
	if err != nil {
		return err
	}
	manifest, err := job.Wait(ctx, r.progress)
	if err != nil {
		return err
	}
	got := map[string]int{}
	for _, f := range manifest.Output {
		_, err := c.Download(ctx, manifest, f, func(line []byte) error {
			var facts fhir.Facts
			if err := fhir.Inspect(line, &facts); err != nil {
				return err
			}
			if patient := string(facts.Patient); patient != "" {
				got[patient]++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, patient := range patients {
		if got[patient] == 0 {
			return errors.New("the data of a patient are missing from the export")
		}
		delete(got, patient)
	}
	if len(got) > 0 {
		return errors.New("the export has data of somebody it must not have")
	}
	r.say("export", "it has the data of %d patients, and of nobody else", len(patients))
	return nil
}
