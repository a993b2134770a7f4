package bulk

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// Whatever a client sends as Parameters is understood or refused, always the same way and without repeating what was sent.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		`{"resourceType":"Parameters"}`,
		`{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient,Observation"},{"name":"_since","valueInstant":"2026-01-01T00:00:00Z"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"reference":"Patient/a"}},{"name":"_outputFormat","valueString":"ndjson"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"_typeFilter","valueString":"Observation?code=a"},{"name":"_elements","valueString":"Patient.id,name"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"exportType","valueCanonical":"hl7.fhir.us.davinci-pdex#payertopayer"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"includeAssociatedData","valueCode":"LatestProvenanceResources"},{"name":"organizeOutputBy","valueString":"Patient"}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"_until","valueInstant":"2026"},{"name":"allowPartialManifests","valueBoolean":true}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"x","part":[{"name":"y","resource":{}}]}]}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	ops := []models.Operation{models.OpSystemExport, models.OpPatientExport, models.OpGroupExport, models.OpDataExport}
	f.Fuzz(func(t *testing.T, body []byte, lenient bool) {
		given, err := bodyParameters(body)
		if err != nil {
			require.Equal(t, models.KindInvalid, models.KindOf(err))
			require.False(t, len(body) > 60 && strings.Contains(err.Error(), string(body)), "what was sent came back")
			return
		}
		for _, op := range ops {
			read := func() (models.ExportParams, error) {
				a := &asked{op: op, lenient: lenient, post: true, base: "https://a.example/fhir", now: now}
				return a.export(given, "g")
			}
			p, err := read()
			again, errAgain := read()
			require.Equal(t, p, again)
			if err == nil {
				require.NoError(t, errAgain)
				require.True(t, slices.IsSorted(p.Types))
				continue
			}
			require.EqualError(t, errAgain, err.Error())
			require.Equal(t, models.KindInvalid, models.KindOf(err))
			for _, g := range given {
				if len(g.value) > 40 {
					require.NotContains(t, err.Error(), g.value, "a value came back")
				}
			}
		}
	})
}
