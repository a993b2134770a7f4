package capability

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Definition is an OperationDefinition (https://hl7.org/fhir/R4/operationdefinition.html) of an operation as it is served here.
type Definition struct {
	ResourceType string      `json:"resourceType"`
	ID           string      `json:"id"`
	URL          string      `json:"url"`
	Name         string      `json:"name"`
	Title        string      `json:"title"`
	Status       string      `json:"status"`
	Kind         string      `json:"kind"`
	Date         string      `json:"date"`
	Description  string      `json:"description"`
	AffectsState bool        `json:"affectsState"`
	Code         string      `json:"code"`
	Base         string      `json:"base"` // the canonical that the CapabilityStatement names
	Resource     []string    `json:"resource,omitempty"`
	System       bool        `json:"system"`
	Type         bool        `json:"type"`
	Instance     bool        `json:"instance"`
	Parameter    []parameter `json:"parameter"`
}

type parameter struct {
	Name          string      `json:"name"`
	Use           string      `json:"use"`
	Min           int         `json:"min"`
	Max           string      `json:"max"`
	Documentation string      `json:"documentation"`
	Type          string      `json:"type,omitempty"`
	Part          []parameter `json:"part,omitempty"`
}

func in(name, kind string, lo int, hi, documentation string) parameter {
	return parameter{Name: name, Use: "in", Min: lo, Max: hi, Documentation: documentation, Type: kind}
}

var exportInput = []parameter{
	in("_outputFormat", "string", 0, "1", "application/fhir+ndjson (the default), application/ndjson or ndjson."),
	in("_since", "instant", 0, "1", "Only resources changed after this instant."),
	in("_until", "instant", 0, "1", "Only resources changed before this instant."),
	in("_type", "string", 0, "*", "Resource types, separated by commas or repeated."),
	in("_typeFilter", "string", 0, "*", "Searches of the form Type?parameter=value, separated by commas or repeated. Of several for one type any may match."),
	in("_elements", "string", 0, "*", "Root elements to keep, as element or Type.element."),
	in("includeAssociatedData", "code", 0, "*", "LatestProvenanceResources or RelevantProvenanceResources. Of both the second holds."),
	in("organizeOutputBy", "string", 0, "1", "Patient: each patient's resources together, headed by a Parameters resource. NDJSON alone."),
	in("allowPartialManifests", "boolean", 0, "1", "A finished manifest of very many files comes in pages, each with a link to the next. While the job runs there is none."),
}

var (
	patientInput    = in("patient", "Reference", 0, "*", "With POST: only the data of these patients.")
	exportTypeInput = in("exportType", "canonical", 0, "1", "What the export is for. In a URL the # is written as %23. hl7.fhir.us.davinci-atr, of an attribution "+
		"list, needs the types Group, Patient and Coverage.")

	memberInput = []parameter{
		in("memberId", "Identifier", 0, "1", "The member, by a number on a card that is theirs alone. This or patientReference is needed."),
		in("patientReference", "Reference", 0, "1", "The member, by our Patient."),
		in("providerNpi", "Identifier", 0, "1", "To whom the member is attributed, by NPI."),
		in("providerReference", "Reference", 0, "1", "To whom the member is attributed, by a Practitioner, PractitionerRole or Organization of ours."),
	}
)

// Definitions returns the operations that are served, as they are served below the given base. since is when that began.
func Definitions(base string, since time.Time) []Definition {
	started := "Starts a job: send Prefer: respond-async, and follow Content-Location."
	all := []Definition{
		{ID: "export", Name: "SystemExport", Title: "Export everything", Code: "export", Base: SystemExport, System: true, Parameter: exportInput},
		{
			ID: "patient-export", Name: "PatientExport", Title: "Export all patients", Code: "export", Base: PatientExport,
			Resource: []string{"Patient"}, Type: true, Parameter: slices.Concat(exportInput, []parameter{patientInput}),
		},
		{
			ID: "group-export", Name: "GroupExport", Title: "Export a Group", Code: "export", Base: GroupExport,
			Resource: []string{"Group"}, Instance: true, Parameter: slices.Concat(exportInput, []parameter{patientInput}),
		},
		{
			ID: "davinci-data-export", Name: "DavinciDataExport", Title: "Export a Group for a payer or provider", Code: "davinci-data-export",
			Base: DavinciExport, Resource: []string{"Group"}, Instance: true,
			Parameter: slices.Concat([]parameter{exportTypeInput}, exportInput, []parameter{patientInput}),
		},
		{
			ID: "bulk-member-match", Name: "BulkMemberMatch", Title: "Find members for another payer", Code: "bulk-member-match", Base: BulkMemberMatch,
			Resource: []string{"Group"}, Type: true,
			Parameter: []parameter{{
				Name: "MemberBundle", Use: "in", Min: 1, Max: "*", Documentation: "One person to find.",
				Part: []parameter{
					in("MemberPatient", "Patient", 1, "1", "The person."),
					in("CoverageToMatch", "Coverage", 1, "1", "The person's coverage here."),
					in("CoverageToLink", "Coverage", 0, "1", "The person's coverage at the requesting payer."),
					in("Consent", "Consent", 1, "1", "The person's consent to the exchange."),
				},
			}},
		},
		{
			ID: "provider-member-match", Name: "ProviderMemberMatch", Title: "Find patients for a provider", Code: "provider-member-match",
			Base: ProviderMemberMatch, Resource: []string{"Group"}, Type: true,
			Parameter: []parameter{{
				Name: "MemberBundle", Use: "in", Min: 1, Max: "*", Documentation: "One patient to find.",
				Part: []parameter{
					in("MemberPatient", "Patient", 1, "1", "The patient."),
					in("CoverageToMatch", "Coverage", 1, "1", "The patient's coverage here."),
					in("Consent", "Consent", 1, "1", "The provider's attestation that the patient is treated."),
				},
			}},
		},
	}
	all = append(all, Definition{
		ID: "member-add", Name: "MemberAdd", Title: "Put a member on an attribution list", Code: "member-add", Base: MemberAdd,
		Resource: []string{"Group"}, Instance: true, AffectsState: true,
		Description: "Done at once, unless the list is final. The treatment relationship list must know that the provider treats the member. The provider is needed.",
		Parameter:   slices.Concat(memberInput, []parameter{in("attributionPeriod", "Period", 0, "1", "When the member is attributed; from now on unless given.")}),
	}, Definition{
		ID: "member-remove", Name: "MemberRemove", Title: "Take a member off an attribution list", Code: "member-remove", Base: MemberRemove,
		Resource: []string{"Group"}, Instance: true, AffectsState: true,
		Description: "Done at once, unless the list is final. On a draft the member becomes inactive. Without a provider all attributions of the member are meant.",
		Parameter:   slices.Concat(memberInput, []parameter{in("coverageReference", "Reference", 0, "1", "For this Coverage alone.")}),
	})
	for i := range all {
		d := &all[i]
		d.ResourceType, d.URL, d.Status, d.Kind = "OperationDefinition", base+"/OperationDefinition/"+d.ID, "active", "operation"
		d.Date, d.Description = since.UTC().Format(time.RFC3339), d.Title+", as this server does it. "+cmp.Or(d.Description, started)
	}
	return all
}

// SearchDefinitions writes a searchset Bundle of those definitions that have the given url (their own, or the canonical they
// stand on) and name; "" means any.
func SearchDefinitions(all []Definition, self, url, name string) ([]byte, error) {
	type search struct {
		Mode string `json:"mode"`
	}
	type entry struct {
		FullURL  string     `json:"fullUrl"`
		Resource Definition `json:"resource"`
		Search   search     `json:"search"`
	}
	type link struct {
		Relation string `json:"relation"`
		URL      string `json:"url"`
	}
	entries := []entry{}
	for _, d := range all {
		if (url == "" || url == d.URL || url == d.Base) && (name == "" || name == d.Name) {
			entries = append(entries, entry{d.URL, d, search{"match"}})
		}
	}
	text, err := json.Marshal(struct {
		ResourceType string  `json:"resourceType"`
		Type         string  `json:"type"`
		Total        int     `json:"total"`
		Link         []link  `json:"link"`
		Entry        []entry `json:"entry,omitempty"`
	}{"Bundle", "searchset", len(entries), []link{{"self", self}}, entries})
	if err != nil {
		return nil, fmt.Errorf("write a Bundle: %w", err)
	}
	return text, nil
}
