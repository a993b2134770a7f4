package release

import (
	"strings"
	"time"

	"pdexbulk/models/fhir"
)

const (
	provenanceProfile = pdexBase + "pdex-provenance"
	participantType   = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type"
)

// Transmission is an exchange of which a payer is the transmitter.
type Transmission struct {
	ID       string // of the Provenance: an export has one
	Recorded time.Time
	GroupID  string // whose members' data it is; "" when it is not a Group's
	Name     string // of the payer
	// Identifiers are the payer's, "system|value", the preferred one first.
	Identifiers []string
}

// Provenance is the Provenance of a transmission (PDex 2.2.0, StructureDefinition/pdex-provenance). R4 knows more elements.
type Provenance struct {
	ResourceType string            `json:"resourceType"`
	ID           string            `json:"id"`
	Meta         fhir.Meta         `json:"meta"`
	Contained    []organization    `json:"contained"`
	Target       []fhir.Reference  `json:"target"`
	Recorded     string            `json:"recorded"`
	Agent        []provenanceAgent `json:"agent"`
}

type organization struct {
	ResourceType string            `json:"resourceType"`
	ID           string            `json:"id"`
	Identifier   []fhir.Identifier `json:"identifier,omitempty"`
	Active       bool              `json:"active"`
	Name         string            `json:"name"`
}

type provenanceAgent struct {
	Type fhir.CodeableConcept `json:"type"`
	Who  fhir.Reference       `json:"who"`
}

// holder is the id of the payer within the Provenance. It is contained because the payer may hold no Organization of itself.
const holder = "transmitter"

// Provenance returns the Provenance that names the payer as transmitter.
func (t Transmission) Provenance() Provenance {
	at := fhir.FormatInstant(t.Recorded.UnixMilli())
	p := Provenance{
		ResourceType: "Provenance", ID: t.ID, Meta: fhir.Meta{LastUpdated: at, Profile: []string{provenanceProfile}},
		Contained: []organization{{ResourceType: "Organization", ID: holder, Active: true, Name: t.Name}},
		Target:    []fhir.Reference{{Type: "Bundle", Display: "all data of this export"}},
		Recorded:  at,
		Agent: []provenanceAgent{{
			Type: fhir.Concept(participantType, "transmitter", "Transmitter"), Who: fhir.Reference{Reference: "#" + holder, Type: "Organization", Display: t.Name},
		}},
	}
	if t.GroupID != "" {
		p.Target = []fhir.Reference{{Reference: "Group/" + t.GroupID}}
	}
	for i, id := range t.Identifiers {
		system, value, _ := strings.Cut(id, "|")
		identifier := fhir.Identifier{System: system, Value: value}
		p.Contained[0].Identifier = append(p.Contained[0].Identifier, identifier)
		if i == 0 {
			p.Agent[0].Who.Identifier = &identifier
		}
	}
	return p
}
