package consent

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestRosters(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	day := func(months int) *time.Time { return new(at.AddDate(0, months, 0)) }
	member := models.MemberID("p")
	got := func(v any) string {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return string(text)
	}

	list := []models.Relationship{
		{NPI: "1234567893", Type: models.RelationshipActive, Start: *day(-2), Source: models.RelationshipByClaims, End: day(3)},
		{NPI: "1982947230", Type: models.RelationshipPast, Start: *day(-9), Source: models.RelationshipByAdmin, End: day(-1)},
	}
	directory := map[string]models.Provider{"1234567893": {Kind: models.ProviderIndividual}, "1982947230": {Kind: models.ProviderOrganization}}
	require.JSONEq(t, `{"resourceType":"Group","id":"treatment-`+member.String()+`","meta":{"profile":["http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-treatment-relationship"]},
		"active":true,"type":"practitioner","actual":true,"quantity":2,
		"code":{"coding":[{"system":"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMultiMemberMatchResultCS","code":"match","display":"Matched"}]},
		"characteristic":[{"code":{"coding":[{"system":"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMemberAttributionCS","code":"pdex-member","display":"PDex Member"}]},
			"valueReference":{"reference":"Patient/p"},"exclude":false,"period":{"start":"2026-02-23T12:00:00.000Z"}}],
		"member":[
			{"entity":{"extension":[{"url":"http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/treatment-relationship-details","valueString":"active, by claims"}],
				"type":"Practitioner","identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}},
				"period":{"start":"2026-09-23T12:00:00.000Z","end":"2027-02-23T12:00:00.000Z"},"inactive":false},
			{"entity":{"extension":[{"url":"http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/treatment-relationship-details","valueString":"past, by admin"}],
				"identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"1982947230"}},
				"period":{"start":"2026-02-23T12:00:00.000Z","end":"2026-10-23T12:00:00.000Z"},"inactive":true}]}`,
		got(TreatmentGroup(member, "p", list, directory, at)))
	none := TreatmentGroup(member, "p", nil, nil, at)
	require.Empty(t, none.Member)
	require.Len(t, none.Characteristic, 1)

	said := []models.OptOut{
		{Scope: models.OptOutProvider, Target: "1234567893", Reason: "member-choice", Start: *day(-1)},
		{Scope: models.OptOutGlobal, Reason: "other", Start: *day(-3), End: day(-1)},
		{Scope: models.OptOutGlobal, Reason: "other", Start: *day(-3), RevokedAt: day(-1)},
	}
	require.JSONEq(t, `{"resourceType":"Group","id":"opt-outs-`+member.String()+`","meta":{"profile":["http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-member-opt-out"]},
		"active":true,"type":"person","actual":true,"quantity":1,
		"code":{"coding":[{"system":"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMultiMemberMatchResultCS","code":"consentconstraint","display":"Consent Constraint"}]},
		"characteristic":[{"extension":[{"url":"http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/opt-out-reason",
				"valueCodeableConcept":{"coding":[{"system":"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/opt-out-reason","code":"member-choice"}]}}],
			"code":{"coding":[{"system":"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMultiMemberMatchResultCS","code":"consentconstraint","display":"Consent Constraint"}]},
			"valueCodeableConcept":{"coding":[{"system":"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/opt-out-scope","code":"provider-specific","display":"Provider-Specific Opt-Out"}]},
			"exclude":false,"period":{"start":"2026-10-23T12:00:00.000Z"}}],
		"member":[{"entity":{"extension":[{"url":"http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/opt-out-details","valueString":"provider-specific: 1234567893"}],
			"reference":"Patient/p"},"inactive":false}]}`, got(OptOutGroup(member, "p", said, at)))
	gone := OptOutGroup(member, "p", said[1:], at)
	require.Empty(t, gone.Member)
	require.Zero(t, *gone.Quantity)
}
