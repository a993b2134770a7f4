package bulk

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Whatever a client sends to change a list is refused with a parameter's name and nothing else of what was sent, or names one member and
// at most one provider.
func FuzzReconciliation(f *testing.F) {
	for _, seed := range []string{
		`{"name":"memberId","valueIdentifier":{"system":"urn:x","value":"W123"}},{"name":"providerNpi","valueIdentifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}}`,
		`{"name":"patientReference","valueReference":{"reference":"Patient/a"}},{"name":"providerReference","valueReference":{"reference":"https://a.example/fhir/Practitioner/b"}}`,
		`{"name":"patientReference","valueReference":{"reference":"Patient/a"}},{"name":"attributionPeriod","valuePeriod":{"start":"2026-01","end":"2026-12-31T00:00:00Z"}}`,
		`{"name":"patientReference","valueReference":{"reference":"Patient/a"}},{"name":"coverageReference","valueReference":{"reference":"Coverage/c"}}`,
		`{"name":"providerReference","valueReference":{"identifier":{"system":"urn:oid:2.16.840.1.113883.4.6","value":"1234567893"}}}`,
		`{"name":"memberId","part":[{"name":"x"}]},{"name":"memberId"}`,
		`{"name":"attributionPeriod","valuePeriod":{"start":"x"}}`,
	} {
		f.Add([]byte(`{"resourceType":"Parameters","parameter":[` + seed + `]}`))
	}
	names := slices.Concat(addParameters, removeParameters, []string{""})
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := fhir.ParseParameters(body)
		if err != nil {
			return
		}
		for _, parameters := range [][]string{addParameters, removeParameters} {
			q := &reconciliation{parameters: parameters, base: "https://a.example/fhir"}
			if err := q.read(doc); err != nil {
				require.Equal(t, models.KindInvalid, models.KindOf(err))
				where, _, _ := strings.Cut(err.Error(), ": ")
				known := slices.Contains(names, where) || slices.ContainsFunc(doc.Parameter, func(p fhir.Parameter) bool { return showable(p.Name) == where })
				require.True(t, known || where == err.Error(), "%q", where)
				continue
			}
			require.NotEqual(t, q.card == "", q.patient == "")
			require.True(t, q.patient == "" || fhir.ValidID(q.patient))
			require.True(t, q.coverage == "" || fhir.ValidID(q.coverage))
			require.LessOrEqual(t, len(q.card), maxCard)
			require.True(t, q.npi == "" || models.ValidNPI(q.npi))
			require.Equal(t, q.providerAt == "", q.npi == "" && q.provider == "")
		}
	})
}
