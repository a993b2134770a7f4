package fhir_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
)

func TestSharedReferences(t *testing.T) {
	t.Parallel()
	line := `{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/p"},
		"serviceProvider":{"reference": "Organization/o1"},"participant":[{"individual":{"reference" : "http://x.example/fhir/Practitioner/pr/_history/3"}}],
		"location":[{"location":{"reference":"#l"}},{"location":{"reference":"Location/a b"}},{"location":{"reference":"Location?identifier=1"}},
		{"location":{"reference":"Location/l1"}}],"note":"\"reference\":\"Organization/quoted\"","reference":7,"partOf":{"reference":"Encounter/e0"}}`
	var got []string
	fhir.SharedReferences([]byte(line), func(typ int16, id string) { got = append(got, fhir.TypeName(typ)+"/"+id) })
	require.Equal(t, []string{"Organization/o1", "Practitioner/pr", "Location/l1"}, got)
}

func FuzzSharedReferences(f *testing.F) {
	f.Add([]byte(`{"reference":"Organization/1"}`))
	f.Add([]byte(`"reference"`))
	f.Add([]byte(`"reference" : "`))
	f.Fuzz(func(t *testing.T, line []byte) {
		fhir.SharedReferences(line, func(typ int16, id string) {
			require.True(t, fhir.Shareable(typ))
			require.True(t, fhir.ValidID(id))
		})
	})
}
