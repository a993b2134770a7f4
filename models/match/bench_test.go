package match

import "testing"

func BenchmarkDecide(b *testing.B) {
	probe := pat("Smith", "Mary", "female", familyID)
	crowd := roster(pat("Smith", "John", "male", familyID), pat("Smith", "Eve", "female", familyID), probe, pat("Jones", "Mary", "female"))
	md := model()
	b.ReportAllocs()
	for b.Loop() {
		if !md.Decide(probe, crowd).Matched {
			b.Fatal("no match")
		}
	}
}

func BenchmarkKeys(b *testing.B) {
	probe := pat("Smith-Jones", "Mary Ann", "female", familyID, member1)
	b.ReportAllocs()
	for b.Loop() {
		probe.Keys()
	}
}

func BenchmarkParseRecord(b *testing.B) {
	probe := pat("Smith-Jones", "Mary Ann", "female", familyID, member1)
	record := probe.Record()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRecord(record); err != nil {
			b.Fatal(err)
		}
	}
}
