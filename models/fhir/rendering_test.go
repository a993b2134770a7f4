package fhir

import (
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// FuzzRenderers holds whatever is found to be a valid NPI or a literal reference to a type that can have one.
func FuzzRenderers(f *testing.F) {
	for _, seed := range []string{
		`{"resourceType":"ExplanationOfBenefit","status":"active","use":"claim","provider":{"identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}},"careTeam":[{"provider":{"reference":"Practitioner/a"}}]}`,
		`{"resourceType":"Encounter","status":"finished","participant":[{"individual":{"reference":"#r"}}],"contained":[{"resourceType":"PractitionerRole","id":"r","practitioner":{"reference":"#r"}}]}`,
		`{"resourceType":"Encounter","status":"finished","participant":[{"type":[{"coding":[{"code":"PPRF"}]}],"individual":{"reference":"http://x/PractitionerRole/b/_history/2"}}]}`,
		`{"status":"active","use":"claim","careTeam":"x","addItem":[{"provider":[{"reference":"Patient/a"}]}]}`,
		`{"resourceType":"PractitionerRole","practitioner":{"reference":"Practitioner/a"},"identifier":[{"system":"urn:oid:2.16.840.1.113883.4.6","value":"1234567893"}]}`, `[`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, typ := range []int16{TypeExplanationOfBenefit, TypeEncounter} {
			Renderers(line, typ, func(r Renderer) {
				if r.NPI != "" {
					require.Empty(t, r.Ref)
					require.True(t, models.ValidNPI(r.NPI))
					return
				}
				named, id, ok := literal(r.Ref)
				require.True(t, ok)
				require.Contains(t, []int16{TypePractitioner, TypePractitionerRole, TypeOrganization}, named)
				require.Equal(t, TypeName(named)+"/"+id, r.Ref)
			})
		}
		Renderers(line, TypePatient, func(Renderer) { t.Error("a Patient renders nothing") })
		npis, _ := ProviderNPIs(line)
		for _, npi := range npis {
			require.True(t, models.ValidNPI(npi))
		}
	})
}
