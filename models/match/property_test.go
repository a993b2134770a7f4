package match

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Few values, so that people who look alike are the rule.
var (
	families = rapid.SampledFrom([]string{"Smith", "Núñez", "O'Neil", "Smith-Jones"})
	givens   = rapid.SampledFrom([]string{"Mary", "Ann", "Mary Ann", "José", "J", "Baby Boy", "Juan Carlos", "Juan"})
	numbers  = rapid.SampledFrom([]string{"W1234567", "W123456701", "W123456702", "219456789", "1EG4TE5MK73", "999999999", "K4711"})
	codes    = rapid.SampledFrom([]string{"MB", "SN", "SS", "MC", "XX"})
)

func patient(t *rapid.T) fhir.Demographics {
	born := fhir.Date{First: rapid.Int32Range(0, 1).Draw(t, "born"), Precision: fhir.PrecisionDay}
	d := fhir.Demographics{Gender: rapid.SampledFrom([]string{"", "male", "female", "other"}).Draw(t, "gender"), Born: &born}
	for range rapid.IntRange(1, 3).Draw(t, "names") {
		d.Names = append(d.Names, fhir.HumanName{
			Use:    rapid.SampledFrom([]string{"official", "", "old"}).Draw(t, "use"),
			Family: families.Draw(t, "family"),
			Given:  []string{givens.Draw(t, "given")},
			Suffix: rapid.SampledFrom([][]string{nil, nil, {"Jr."}, {"Sr."}}).Draw(t, "suffix"),
		})
	}
	return d
}

func card(t *rapid.T) fhir.Card {
	var c fhir.Card
	for range rapid.IntRange(0, 3).Draw(t, "numbers") {
		concept := fhir.Concept(fhir.SystemIdentifierType, codes.Draw(t, "code"), "")
		c.Identifiers = append(c.Identifiers, fhir.Identifier{Type: &concept, Value: numbers.Draw(t, "number")})
	}
	return c
}

func normal(d fhir.Demographics, c fhir.Card) Person {
	p := FromPatient(d)
	p.AddCards([]fhir.Card{c})
	return p
}

func drawPerson(t *rapid.T) Person { return normal(patient(t), card(t)) }

// crowd draws candidates. Half of the time one is the probe itself, so that matches are met as often as not.
func crowd(t *rapid.T, probe Person) []Candidate {
	var out []Candidate
	n := rapid.IntRange(0, 4).Draw(t, "members")
	for i := range n {
		m := drawPerson(t)
		if i == 0 && rapid.Bool().Draw(t, "itself") {
			m = probe
		}
		out = append(out, rows(byte(i+1), m, probe)...)
	}
	return out
}

func TestOrderOfCandidatesDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		probe := drawPerson(t)
		candidates := crowd(t, probe)
		require.Equal(t, Decide(probe, candidates), Decide(probe, rapid.Permutation(candidates).Draw(t, "order")))
	})
}

func TestSecondQualifyingMemberMakesItNone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		probe := drawPerson(t)
		candidates := crowd(t, probe)
		before := Decide(probe, candidates)
		var double []Candidate
		for _, c := range candidates {
			if before.Matched && c.Member == before.Member {
				c.Member = uuid.UUID{99}
				double = append(double, c)
			}
		}
		after := Decide(probe, append(candidates, double...))
		if !before.Matched {
			return
		}
		require.False(t, after.Matched)
	})
}

// TestMoreCandidatesNeverSwapTheMember adds members: a match may be lost to them, but only a member who was not there can
// be matched instead, and none who failed before.
func TestMoreCandidatesNeverSwapTheMember(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		probe := drawPerson(t)
		all := crowd(t, probe)
		some := all[:rapid.IntRange(0, len(all)).Draw(t, "some")]
		was := map[uuid.UUID]bool{}
		for _, c := range all[len(some):] {
			was[c.Member] = true // also a member of whom not all rows were there
		}
		before, after := Decide(probe, some), Decide(probe, all)
		if after.Matched && !was[after.Member] {
			require.Equal(t, before.Member, after.Member)
		}
	})
}

// TestSpellingDoesNotMatter writes the query in other ways that mean the same.
func TestSpellingDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d, c := patient(t), card(t)
		probe := normal(d, c)
		candidates := crowd(t, probe)

		names := rapid.Permutation(d.Names).Draw(t, "names")
		d.Names = nil
		for _, n := range names {
			n.Family = respell(t, n.Family)
			n.Given = strings.Fields(respell(t, n.Given[0]))
			d.Names = append(d.Names, n)
		}
		numbers := rapid.Permutation(c.Identifiers).Draw(t, "identifiers")
		c.Identifiers = nil
		for _, id := range numbers {
			id.Value = rapid.SampledFrom([]string{" ", "00", ""}).Draw(t, "front") + strings.ToLower(id.Value[:2]) + "-" + id.Value[2:4] + "-" + id.Value[4:]
			if id.TypeCode(fhir.SystemIdentifierType) == "SS" || id.TypeCode(fhir.SystemIdentifierType) == "MC" {
				id.Value = strings.TrimLeft(id.Value, "0") // these have a length
			}
			c.Identifiers = append(c.Identifiers, id)
		}
		respelt := normal(d, c)
		require.Equal(t, probe.Values(), respelt.Values())
		require.Equal(t, Decide(probe, candidates), Decide(respelt, candidates))
	})
}

// respell changes case, accents and punctuation.
func respell(t *rapid.T, s string) string {
	switch rapid.IntRange(0, 4).Draw(t, "spelling") {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return norm.NFD.String(strings.ToLower(s))
	case 2:
		return strings.Map(func(r rune) rune {
			if unicode.IsMark(r) {
				return -1
			}
			return r
		}, norm.NFD.String(s))
	case 3:
		return strings.NewReplacer("'", "’", "-", " ", " ", "  ").Replace(s) + "."
	}
	return s
}

// TestMatchRests takes a match apart: what the rule promises holds of it.
func TestMatchRests(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		probe, member := drawPerson(t), drawPerson(t)
		if rapid.Bool().Draw(t, "alike") {
			member.Families, member.BirthDate, member.IDs = probe.Families, probe.BirthDate, probe.IDs
		}
		got := Decide(probe, rows(1, member, probe))
		if !got.Matched {
			return
		}
		require.Equal(t, *probe.BirthDate, *member.BirthDate)
		require.NotEqual(t, contradict, agree(probe.Givens, member.Givens))
		require.False(t, oppose(probe.Gender, member.Gender))
		require.False(t, probe.Suffix != "" && member.Suffix != "" && probe.Suffix != member.Suffix)
		if len(probe.Givens) == 0 || len(member.Givens) == 0 {
			for _, id := range probe.IDs {
				if id.Kind == models.CardSSN || id.Kind == models.CardMBI {
					return
				}
			}
			t.Fatal("matched without a given name")
		}
	})
}

// TestLessEvidenceNeverMatches takes what the probe has in common with a member away: no match comes of it.
func TestLessEvidenceNeverMatches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		probe := drawPerson(t)
		member := rows(1, drawPerson(t), probe)
		if len(probe.IDs) == 0 || Decide(probe, member).Matched {
			return
		}
		for i := range member {
			member[i].Cards = nil
		}
		require.False(t, Decide(probe, member).Matched)
	})
}

// TestDrawnMatches proves that the properties above are about something.
func TestDrawnMatches(t *testing.T) {
	t.Parallel()
	matched, several := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		probe := drawPerson(t)
		got := Decide(probe, crowd(t, probe))
		if got.Matched {
			matched++
		}
		double := append(rows(1, probe, probe), rows(2, probe, probe)...)
		if Decide(probe, double).Reason == ReasonSeveral {
			several++
		}
	})
	require.NotZero(t, matched)
	require.NotZero(t, several)
}
