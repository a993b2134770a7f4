package consent

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

const (
	pdex           = "http://hl7.org/fhir/us/davinci-pdex/"
	matchResults   = pdex + "CodeSystem/PdexMultiMemberMatchResultCS"
	rosterDateTime = "2006-01-02T15:04:05.000Z07:00"
)

var scopeNames = map[models.OptOutScope]string{
	models.OptOutGlobal: "Global Opt-Out", models.OptOutProvider: "Provider-Specific Opt-Out", models.OptOutPurpose: "Purpose-Specific Opt-Out",
	models.OptOutPayer: "Payer-Specific Opt-Out", models.OptOutCategory: "Provider Category Opt-Out",
}

// TreatmentGroup renders the relationships of one member, who is its characteristic, as a MemberProviderTreatmentRelationship
// (PDex 2.2.0, profile pdex-treatment-relationship). Those that do not stand at the given moment are inactive. Providers are named by NPI;
// directory says who they are. The profile knows individuals only, so an organisation is told without a type (decision D-23).
func TreatmentGroup(member uuid.UUID, patient string, list []models.Relationship, directory map[string]models.Provider, at time.Time) fhir.Group {
	trait := fhir.Characteristic{
		Code:           fhir.Concept(pdex+"CodeSystem/PdexMemberAttributionCS", "pdex-member", "PDex Member"),
		ValueReference: &fhir.Reference{Reference: "Patient/" + patient},
	}
	g := fhir.Group{
		ID: "treatment-" + member.String(), Meta: &fhir.Meta{Profile: []string{pdex + "StructureDefinition/pdex-treatment-relationship"}},
		Active: new(true), Type: "practitioner", Actual: true, Code: new(fhir.Concept(matchResults, "match", "Matched")), Quantity: new(len(list)),
	}
	var first time.Time
	for _, r := range list {
		if first.IsZero() || r.Start.Before(first) {
			first = r.Start
		}
		entity := fhir.Reference{
			Extension:  []fhir.Extension{{URL: pdex + "StructureDefinition/treatment-relationship-details", ValueString: string(r.Type) + ", by " + string(r.Source)}},
			Identifier: &fhir.Identifier{System: models.NPISystem, Value: r.NPI},
		}
		if directory[r.NPI].Kind == models.ProviderIndividual {
			entity.Type = "Practitioner"
		}
		g.Member = append(g.Member, fhir.GroupMember{Entity: entity, Period: period(r.Start, r.End), Inactive: new(!current(r, 0, at))})
	}
	if !first.IsZero() {
		trait.Period = period(first, nil)
	}
	g.Characteristic = []fhir.Characteristic{trait}
	return g
}

// OptOutGroup renders the opt-outs of one member that stand at the given moment or later as a MemberOptOut (PDex 2.2.0, profile
// pdex-member-opt-out), each as a characteristic. What they are from has no element and is told in the details. Without any the
// Group is empty.
func OptOutGroup(member uuid.UUID, patient string, list []models.OptOut, at time.Time) fhir.Group {
	result := fhir.Concept(matchResults, "consentconstraint", "Consent Constraint")
	g := fhir.Group{
		ID: "opt-outs-" + member.String(), Meta: &fhir.Meta{Profile: []string{pdex + "StructureDefinition/pdex-member-opt-out"}},
		Active: new(true), Type: "person", Actual: true, Code: &result, Quantity: new(0),
	}
	var details []string
	for _, o := range list {
		if o.RevokedAt != nil || o.End != nil && !at.Before(*o.End) {
			continue
		}
		reason := fhir.Concept(pdex+"CodeSystem/opt-out-reason", string(o.Reason), "")
		g.Characteristic = append(g.Characteristic, fhir.Characteristic{
			Extension:            []fhir.Extension{{URL: pdex + "StructureDefinition/opt-out-reason", ValueCodeableConcept: &reason}},
			Code:                 result,
			ValueCodeableConcept: new(fhir.Concept(pdex+"CodeSystem/opt-out-scope", string(o.Scope), scopeNames[o.Scope])),
			Period:               period(o.Start, o.End),
		})
		if o.Target != "" {
			details = append(details, string(o.Scope)+": "+o.Target)
		}
	}
	if len(g.Characteristic) == 0 {
		return g
	}
	entity := fhir.Reference{Reference: "Patient/" + patient}
	if len(details) > 0 {
		slices.Sort(details)
		entity.Extension = []fhir.Extension{{URL: pdex + "StructureDefinition/opt-out-details", ValueString: strings.Join(details, "; ")}}
	}
	g.Quantity, g.Member = new(1), []fhir.GroupMember{{Entity: entity, Inactive: new(false)}}
	return g
}

func period(start time.Time, end *time.Time) *fhir.Period {
	p := &fhir.Period{Start: start.UTC().Format(rosterDateTime)}
	if end != nil {
		p.End = end.UTC().Format(rosterDateTime)
	}
	return p
}
