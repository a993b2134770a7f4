package fhir_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
)

func TestSharedReferences(t *testing.T) {
	t.Parallel()
	line := `{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/p"},
		"serviceProvider":{"reference": "Organization/o1"},"participant":[{"individual":{"reference" : "http://x.example/fhir/Practitioner/pr/_history/3"}}],
		"location":[{"location":{"reference":"#l"}},{"location":{"reference":"Location/a b"}},{"location":{"reference":"Location?identifier=1"}},
		{"location":{"reference":"Location\/l1"}}],"note":"\"reference\":\"Organization/quoted\"","reference":7,"partOf":{"reference":"Encounter/e0"}}`
	var got []string
	fhir.SharedReferences([]byte(line), func(_ int16, ref []byte) { got = append(got, string(ref)) })
	require.Equal(t, []string{"Organization/o1", "Practitioner/pr", "Location/l1"}, got)
}

func FuzzSharedReferences(f *testing.F) {
	f.Add([]byte(`{"reference":"Organization/1"}`))
	f.Add([]byte(`"reference"`))
	f.Add([]byte(`"reference" : "`))
	f.Fuzz(func(t *testing.T, line []byte) {
		fhir.SharedReferences(line, func(typ int16, ref []byte) {
			require.True(t, fhir.Shareable(typ))
			id, named := strings.CutPrefix(string(ref), fhir.TypeName(typ)+"/")
			require.True(t, named)
			require.True(t, fhir.ValidID(id))
		})
	})
}
