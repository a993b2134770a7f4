// Package capability writes the CapabilityStatement (https://hl7.org/fhir/R4/capabilitystatement.html) of what the api serves.
// It is pure, and it claims nothing that is not served: the server's tests hold it against the routes.
package capability

import (
	"encoding/json"
	"slices"
	"time"
)

// The canonical definitions of the operations. They are unversioned: clients compare them as they are.
const (
	bulkData = "http://hl7.org/fhir/uv/bulkdata/"

	SystemExport        = bulkData + "OperationDefinition/export"
	PatientExport       = bulkData + "OperationDefinition/patient-export"
	GroupExport         = bulkData + "OperationDefinition/group-export"
	DavinciExport       = "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/davinci-data-export"
	ProviderMemberMatch = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/ProviderMemberMatch"
	BulkMemberMatch     = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch"
	MemberAdd           = "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/member-add"
	MemberRemove        = "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/member-remove"
	bulkDataServer      = bulkData + "CapabilityStatement/bulk-data"
	providerMatchGroup  = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-member-match"
	providerConsent     = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-consent"
	matchGroup          = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-member-match-group"
	providerGroup       = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-group"
	atrGroup            = "http://hl7.org/fhir/us/davinci-atr/StructureDefinition/atr-group"
	oauthURIs           = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
	securityServices    = "http://terminology.hl7.org/CodeSystem/restful-security-service"
	udapServices        = "http://fhir.udap.org/CodeSystem/capability-rest-security-service"
)

// Server is what the statement is about.
type Server struct {
	// Base is the absolute FHIR base URL, TokenURL the token endpoint.
	Base     string
	TokenURL string
	// UDAP says whether clients may register and authenticate by UDAP.
	UDAP    bool
	Version string
	// Since is when the server began to be as it is: FHIR's "date (last changed)".
	Since time.Time
	// Types are the resource types an export can have.
	Types []string
	// Search are the search parameters of Group.
	Search []SearchParam
	// Consents are the search parameters of Consent.
	Consents []SearchParam
	// Filters are the search parameters that _typeFilter takes, by type. Group's own are those of Search.
	Filters map[string][]SearchParam
}

// SearchParam is a search parameter.
type SearchParam struct {
	Name       string `json:"name"`
	Definition string `json:"definition,omitempty"`
	Type       string `json:"type"`
	// Documentation is filterOnly, or empty.
	Documentation string `json:"documentation,omitempty"`
}

// filterOnly marks a parameter of a type that can be searched, but not by it.
const filterOnly = "In _typeFilter of exports only."

// Operation is an operation of a resource type or, in Statement.Rest.Operation, of the system.
type Operation struct {
	Name       string `json:"name"`
	Definition string `json:"definition"`
}

type statement struct {
	ResourceType   string         `json:"resourceType"`
	Status         string         `json:"status"`
	Date           string         `json:"date"`
	Kind           string         `json:"kind"`
	Instantiates   []string       `json:"instantiates"`
	Software       software       `json:"software"`
	Implementation implementation `json:"implementation"`
	FHIRVersion    string         `json:"fhirVersion"`
	Format         []string       `json:"format"`
	Rest           []rest         `json:"rest"`
}

type software struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type implementation struct {
	Description string `json:"description"`
	URL         string `json:"url"`
}

type rest struct {
	Mode          string      `json:"mode"`
	Documentation string      `json:"documentation"`
	Security      security    `json:"security"`
	Resource      []resource  `json:"resource"`
	Operation     []Operation `json:"operation"`
}

type security struct {
	Extension   []extension `json:"extension"`
	Service     []concept   `json:"service"`
	Description string      `json:"description"`
}

type extension struct {
	URL       string      `json:"url"`
	ValueURI  string      `json:"valueUri,omitempty"`
	Extension []extension `json:"extension,omitempty"`
}

type concept struct {
	Coding []coding `json:"coding"`
	Text   string   `json:"text,omitempty"`
}

type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

type resource struct {
	Type             string        `json:"type"`
	SupportedProfile []string      `json:"supportedProfile,omitempty"`
	Interaction      []interaction `json:"interaction,omitempty"`
	SearchParam      []SearchParam `json:"searchParam,omitempty"`
	Operation        []Operation   `json:"operation,omitempty"`
}

type interaction struct {
	Code string `json:"code"`
}

// Build writes the statement as JSON.
func Build(s Server) ([]byte, error) {
	return json.Marshal(statement{
		ResourceType: "CapabilityStatement",
		Status:       "active",
		Date:         s.Since.UTC().Format(time.RFC3339),
		Kind:         "instance",
		Instantiates: []string{bulkDataServer},
		Software:     software{Name: "PDex Bulk Exchange", Version: s.Version},
		Implementation: implementation{
			Description: "Da Vinci PDex payer-to-payer exchange and FHIR Bulk Data Access",
			URL:         s.Base,
		},
		FHIRVersion: "4.0.1",
		Format:      []string{"application/fhir+json", "json"},
		Rest: []rest{{
			Mode: "server",
			Documentation: "Exports and matches run asynchronously: send Prefer: respond-async and follow Content-Location. " +
				"The types listed without an interaction are those an export can have; they are not read or searched one by one: their " +
				"search parameters are those of _typeFilter.",
			Security: security{
				Extension: []extension{{URL: oauthURIs, Extension: []extension{{URL: "token", ValueURI: s.TokenURL}}}},
				Service:   s.services(),
				Description: "SMART Backend Services (client_credentials with a signed JWT assertion). Unauthorized requests are " +
					"answered with 401.",
			},
			Resource:  s.resources(),
			Operation: []Operation{{"export", SystemExport}},
		}},
	})
}

func (s Server) services() []concept {
	services := []concept{{Coding: []coding{{securityServices, "SMART-on-FHIR"}}, Text: "SMART Backend Services"}}
	if s.UDAP {
		services = append(services, concept{Coding: []coding{{udapServices, "UDAP"}}, Text: "UDAP Business-to-Business"})
	}
	return services
}

// union joins what a search takes with what _typeFilter alone takes, each parameter once.
func union(search, filters []SearchParam) []SearchParam {
	all := slices.Clone(search)
	for _, f := range filters {
		if !slices.ContainsFunc(all, func(p SearchParam) bool { return p.Name == f.Name }) {
			f.Documentation = filterOnly
			all = append(all, f)
		}
	}
	return all
}

// resources lists every type that can be exported, those with operations and interactions of their own among them. Clients
// look for the exports of a type under "export" or under the name of the definition, so each is there under both.
func (s Server) resources() []resource {
	out := make([]resource, 0, len(s.Types)+1)
	group := false
	for _, t := range s.Types {
		r := resource{Type: t, SearchParam: s.Filters[t]}
		switch t {
		case "Patient":
			r.Operation = []Operation{{"export", PatientExport}, {"patient-export", PatientExport}}
		case "OperationDefinition":
			r.Interaction = []interaction{{"read"}, {"search-type"}}
			r.SearchParam = []SearchParam{
				{Name: "url", Definition: "http://hl7.org/fhir/SearchParameter/conformance-url", Type: "uri"},
				{Name: "name", Definition: "http://hl7.org/fhir/SearchParameter/conformance-name", Type: "string"},
			}
		case "Consent":
			r.SupportedProfile, r.SearchParam = []string{providerConsent}, union(s.Consents, r.SearchParam)
			r.Interaction = []interaction{{"create"}, {"read"}, {"search-type"}}
		case "Group":
			r, group = s.group(), true
		}
		out = append(out, r)
	}
	if !group {
		out = append(out, s.group())
	}
	return out
}

func (s Server) group() resource {
	return resource{
		Type:             "Group",
		SupportedProfile: []string{matchGroup, providerMatchGroup, providerGroup, atrGroup},
		Interaction:      []interaction{{"read"}, {"vread"}, {"history-instance"}, {"search-type"}},
		SearchParam:      s.Search,
		Operation: []Operation{
			{"export", GroupExport},
			{"group-export", GroupExport},
			{"davinci-data-export", DavinciExport},
			{"pdex-p2p-export", DavinciExport},
			{"bulk-member-match", BulkMemberMatch},
			{"multi-member-match", BulkMemberMatch},
			{"provider-member-match", ProviderMemberMatch},
			{"member-add", MemberAdd},
			{"member-remove", MemberRemove},
		},
	}
}
