package match

import (
	"testing"

	"pdexbulk/models"
)

func BenchmarkPerson(b *testing.B) {
	const patient = `{"resourceType":"Patient","gender":"female","birthDate":"1974-12-25","name":[{"use":"official","family":"Núñez","given":["Patricia","Ann"]}]}`
	const coverage = `{"resourceType":"Coverage","subscriberId":"W1234567","identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},"value":"W1234567-01"}]}`
	b.ReportAllocs()
	for b.Loop() {
		person(b, patient, coverage)
	}
}

func BenchmarkDecide(b *testing.B) {
	number := ID{models.CardSubscriber, "W1234567"}
	probe := pat("Smith", "Mary", "female", number)
	var candidates []Candidate
	for i, given := range []string{"John", "Eve", "Mary", "Ann"} {
		candidates = append(candidates, rows(byte(i+1), pat("Smith", given, "", number), probe)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !Decide(probe, candidates).Matched {
			b.Fatal("no match")
		}
	}
}
