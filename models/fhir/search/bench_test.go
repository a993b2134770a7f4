package search

import (
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
)

func BenchmarkMatch(b *testing.B) {
	for _, bench := range []struct{ name, typ, filter string }{
		{"needle", "Observation", "Observation?code=http://loinc.org|8302-2"},
		{"late", "Observation", "Observation?date=ge2019-01-01"},
		{"word", "Observation", "Observation?category=laboratory"},
		{"absent", "Observation", "Observation?category:not=laboratory"},
		{"two", "Observation", "Observation?code=http://loinc.org|8302-2,http://loinc.org|29463-7&date=ge2015&status=final"},
		{"items", "ExplanationOfBenefit", "ExplanationOfBenefit?service-date=gt2030"},
		{"first", "Encounter", "Encounter?status=finished"},
		{"name", "Patient", "Patient?name=smi"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			lines, size := benchLines(b, bench.typ)
			filters, err := ParseTypeFilters([]string{bench.filter})
			require.NoError(b, err)
			code, _ := fhir.TypeCode(bench.typ)
			filter, _ := filters.For(code)
			b.SetBytes(size)
			b.ReportAllocs()
			hits := 0
			for b.Loop() {
				hits = 0
				for _, line := range lines {
					if filter.Match(line) {
						hits++
					}
				}
			}
			b.ReportMetric(float64(hits)/float64(len(lines)), "hits/line")
		})
	}
}

func BenchmarkElements(b *testing.B) {
	lines, size := benchLines(b, "ExplanationOfBenefit")
	elements, err := ParseElements([]string{"identifier,created"})
	require.NoError(b, err)
	b.SetBytes(size)
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		for _, line := range lines {
			out = elements.Apply(out[:0], line, fhir.TypeExplanationOfBenefit)
		}
	}
}
