package match

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

// Few values, so that people who look alike are the rule.
var (
	someFamilies = rapid.SampledFrom([]string{"smith", "smiht", "nunez", "smith jones", "jones"})
	someGivens   = rapid.SampledFrom([]string{"", "mary", "marie", "mary ann", "ann", "jose", "j", "jos", "bill", "william"})
	someBorn     = rapid.SampledFrom([]int32{1819, 1820, 2100, 5472, 18000})
	someGenders  = rapid.SampledFrom([]string{"", "male", "female", "other"})
	someSuffixes = rapid.SampledFrom([]string{"", "", "jr", "sr"})
	someHomes    = rapid.SampledFrom([]Address{{}, {"12", "main", "springfield", "62701"}, {"12", "mian", "springfield", "62701"}, {"7", "oak", "dover", "19901"}, {"", "", "dover", ""}})
	somePhones   = rapid.SampledFrom([]string{"", "5558675309", "5558675308", "4441234444"})
	someMails    = rapid.SampledFrom([]string{"", "mary.smith@example.org", "smiths@example.org", "ann@example.org"})
	someIDs      = rapid.SampledFrom([]ID{familyID, member1, member2, mbi, social, {models.CardMemberID, "W1234567"}, {models.CardOther, "K4711"}, {models.CardSubscriber, "Z7654321"}})
)

// A generator takes its name when it is first drawn from as part of another, which parallel tests that share one must not do at
// once.
func init() { _ = someIDs.String() }

func drawPerson(t *rapid.T) Person {
	p := Person{Gender: someGenders.Draw(t, "gender"), Suffix: someSuffixes.Draw(t, "suffix"), BirthDate: new(someBorn.Draw(t, "born"))}
	for range rapid.IntRange(1, 2).Draw(t, "names") {
		p.Families = appendNew(p.Families, someFamilies.Draw(t, "family"))
		p.Givens = appendNew(p.Givens, someGivens.Draw(t, "given"))
	}
	if a := someHomes.Draw(t, "home"); !a.isZero() {
		p.Addresses = []Address{a}
	}
	p.Phones = appendNew(nil, somePhones.Draw(t, "phone"))
	p.Emails = appendNew(nil, someMails.Draw(t, "mail"))
	p.IDs = rapid.SliceOfN(someIDs, 0, 3).Draw(t, "ids")
	if len(p.IDs) == 0 {
		p.IDs = nil
	}
	p.sortIDs()
	return p
}

// drawCrowd draws members. Most of the time one is nearly the probe, so that matches are met as often as not.
func drawCrowd(t *rapid.T, probe Person) []Candidate {
	var people []Person
	for i := range rapid.IntRange(0, 3).Draw(t, "members") {
		m := drawPerson(t)
		if i == 0 && rapid.IntRange(0, 3).Draw(t, "itself") > 0 {
			m.Families, m.Givens, m.BirthDate, m.Suffix = probe.Families, probe.Givens, probe.BirthDate, probe.Suffix
			if rapid.Bool().Draw(t, "ids too") {
				m.IDs, m.Addresses = probe.IDs, probe.Addresses
			}
		}
		people = append(people, m)
	}
	return roster(people...)
}

func TestDeterministicAndInNoOrder(t *testing.T) {
	t.Parallel()
	md := model()
	rapid.Check(t, func(t *rapid.T) {
		probe := drawPerson(t)
		crowd := drawCrowd(t, probe)
		want := md.Decide(probe, crowd)
		other := probe
		other.Families = rapid.Permutation(probe.Families).Draw(t, "families")
		other.Givens = rapid.Permutation(probe.Givens).Draw(t, "givens")
		other.IDs = rapid.Permutation(probe.IDs).Draw(t, "ids")
		got := md.Decide(other, rapid.Permutation(crowd).Draw(t, "crowd"))
		require.Equal(t, string(want.Explain()), string(got.Explain()))
		require.Equal(t, want.Reason, got.Reason)
		require.Equal(t, want.Member, got.Member)
	})
}

// TestSymmetric compares each with the other: what is found does not depend on who asks.
func TestSymmetric(t *testing.T) {
	t.Parallel()
	md := model()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPerson(t), drawPerson(t)
		x, y := md.compare(&a, &b, nil), md.compare(&b, &a, nil)
		require.Equal(t, x, y)
	})
}

// agreements add to a probe and a member one thing that both have and neither had.
var agreements = map[string]func(p, m *Person) bool{
	"address": func(p, m *Person) bool {
		if len(p.Addresses)+len(m.Addresses) > 0 {
			return false
		}
		p.Addresses, m.Addresses = []Address{{"12", "main", "springfield", "62701"}}, []Address{{"12", "main", "springfield", "62701"}}
		return true
	},
	"phone": func(p, m *Person) bool {
		had := len(p.Phones)+len(m.Phones) > 0
		p.Phones, m.Phones = []string{"5558675309"}, []string{"5558675309"}
		return !had
	},
	"e-mail": func(p, m *Person) bool {
		had := len(p.Emails)+len(m.Emails) > 0
		p.Emails, m.Emails = []string{"m.s@example.org"}, []string{"m.s@example.org"}
		return !had
	},
	"gender": func(p, m *Person) bool {
		had := p.Gender != "" || m.Gender != ""
		p.Gender, m.Gender = "female", "female"
		return !had
	},
	"suffix": func(p, m *Person) bool {
		had := p.Suffix != "" || m.Suffix != ""
		p.Suffix, m.Suffix = "jr", "jr"
		return !had
	},
	"social security number": func(p, m *Person) bool {
		for _, id := range append(slices.Clip(p.IDs), m.IDs...) {
			if id.Kind == models.CardSSN || id.Kind == models.CardMBI {
				return false
			}
		}
		id := ID{models.CardSSN, "301998877"}
		p.IDs, m.IDs = append(slices.Clip(p.IDs), id), append(slices.Clip(m.IDs), id)
		return true
	},
	"group": func(p, m *Person) bool {
		p.Groups, m.Groups = []string{"G1"}, []string{"G1"}
		return true
	},
}

// TestMonotone adds agreements, none of which may undo a match of the one member there is, and conflicts, none of which may
// make one.
func TestMonotone(t *testing.T) {
	t.Parallel()
	md := model()
	conflicts := map[string]func(p, m *Person){
		"address": func(p, m *Person) {
			p.Addresses, m.Addresses = []Address{{"7", "oak", "dover", "19901"}}, []Address{{"12", "main", "springfield", "62701"}}
		},
		"phone":  func(p, m *Person) { p.Phones, m.Phones = []string{"5558675309"}, []string{"4441234444"} },
		"e-mail": func(p, m *Person) { p.Emails, m.Emails = []string{"a.b@example.org"}, []string{"zzzz@example.com"} },
		"gender": func(p, m *Person) { p.Gender, m.Gender = "female", "male" },
		"suffix": func(p, m *Person) { p.Suffix, m.Suffix = "jr", "sr" },
		"group":  func(p, m *Person) { p.Groups, m.Groups = []string{"G1"}, []string{"G2"} },
		"social security number": func(p, m *Person) {
			p.IDs = append(slices.Clip(p.IDs), ID{models.CardSSN, "301998877"})
			m.IDs = append(slices.Clip(m.IDs), ID{models.CardSSN, "411223344"})
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPerson(t)
		crowd := drawCrowd(t, p)
		if len(crowd) == 0 {
			return
		}
		m := crowd[0].Person
		before := md.Decide(p, roster(m)).Matched
		for name, add := range agreements {
			q, n := p, m
			if add(&q, &n) && before {
				require.True(t, md.Decide(q, roster(n)).Matched, "%s", name)
			}
		}
		for name, add := range conflicts {
			q, n := p, m
			switch { // it must be a conflict and not the end of an agreement
			case name == "address" && len(p.Addresses)+len(m.Addresses) > 0, name == "phone" && len(p.Phones)+len(m.Phones) > 0,
				name == "e-mail" && len(p.Emails)+len(m.Emails) > 0:
				continue
			}
			add(&q, &n)
			if !before {
				require.False(t, md.Decide(q, roster(n)).Matched, "%s", name)
			}
		}
	})
}

// TestSecondPlausibleMemberMakesItNone doubles the member who was matched.
func TestSecondPlausibleMemberMakesItNone(t *testing.T) {
	t.Parallel()
	md := model()
	rapid.Check(t, func(t *rapid.T) {
		probe := drawPerson(t)
		crowd := drawCrowd(t, probe)
		before := md.Decide(probe, crowd)
		if !before.Matched {
			return
		}
		for _, c := range crowd {
			if c.Member == before.Member {
				c.Member = uuid.UUID{99}
				crowd = append(crowd, c)
			}
		}
		require.False(t, md.Decide(probe, crowd).Matched)
	})
}

// TestFamilyEvidenceNeverMatches asks for somebody who shares all with a member that a family shares, and no name.
func TestFamilyEvidenceNeverMatches(t *testing.T) {
	t.Parallel()
	md := model()
	rapid.Check(t, func(t *rapid.T) {
		m := drawPerson(t)
		p := m
		p.Givens, p.Emails = nil, nil
		p.IDs = []ID{familyID, {models.CardMemberID, familyID.Value}}
		m.IDs = append(slices.Clip(m.IDs), familyID)
		if rapid.Bool().Draw(t, "named") {
			p.Givens, m.Givens = []string{"eve"}, []string{"zebulon"}
		}
		require.False(t, md.Decide(p, roster(m)).Matched)
	})
}

// TestNamesThatRhymeAreTwins asks for somebody by a name that is a slip or two from a member's, and a name that people have, with
// all that a family shares.
func TestNamesThatRhymeAreTwins(t *testing.T) {
	t.Parallel()
	md := model()
	names := slices.Sorted(maps.Keys(bearers()))
	rhymes := 0
	for i, a := range names {
		if i%19 != 0 {
			continue
		}
		m := pat("Smith", a, "female", familyID).born(childBorn)
		for _, b := range names {
			if n := slips(a, b); n == 0 || n > 2 || isNickname(a, b) || isClipped(a, b) {
				continue
			}
			rhymes++
			p := m
			p.Givens = []string{b}
			require.False(t, md.Decide(p, roster(m)).Matched, "%s and %s", a, b)
		}
	}
	require.Greater(t, rhymes, 3000)
}

// TestMatchRests takes a match apart: what is promised holds of it.
func TestMatchRests(t *testing.T) {
	t.Parallel()
	md := model()
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		probe := drawPerson(t)
		crowd := drawCrowd(t, probe)
		d := md.Decide(probe, crowd)
		if !d.Matched {
			require.NotEqual(t, ReasonMatched, d.Reason)
			return
		}
		matched++
		own := d.Best.Fields[National].Level == Exact || d.Best.Fields[MemberID].Level == Exact
		require.Empty(t, d.Best.Vetoes)
		require.NotEqual(t, Conflict, d.Best.Fields[Suffix].Level)
		require.NotEqual(t, Conflict, d.Best.Fields[National].Level)
		for _, r := range d.Best.Rivals {
			require.GreaterOrEqual(t, r.Bits, r.Needs)
		}
		for _, f := range []Field{Given, Birth, Gender} {
			require.True(t, own || d.Best.Fields[f].Level != Conflict)
		}
		require.True(t, own || d.Best.Fields[Email].Level == Exact || d.Best.Fields[Given].Level != Missing)
	})
	require.NotZero(t, matched, "the properties are about something")
}

// TestRecord writes and reads people.
func TestRecord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPerson(t)
		p.Multiple, p.BirthOrder = true, rapid.IntRange(0, 3).Draw(t, "order")
		p.Groups, p.Payers, p.Periods = []string{"G1"}, []string{"urn:x 17"}, []Span{{-5, 1 << 30}}
		got, err := ParseRecord(p.Record())
		require.NoError(t, err)
		require.Equal(t, p, got)
		require.Equal(t, p.Keys(), got.Keys())
	})
}

func FuzzParseRecord(f *testing.F) {
	p := pat("Smith", "Mary", "female", familyID)
	f.Add(p.Record())
	f.Add([]byte("\x1e\x1e"))
	f.Fuzz(func(t *testing.T, record []byte) {
		p, err := ParseRecord(record)
		if err != nil {
			require.Equal(t, models.KindInternal, models.KindOf(err))
			return
		}
		p.Keys()
		model().Decide(p, roster(p))
	})
}

func FuzzContacts(f *testing.F) {
	for _, s := range []string{"(555) 867-5309", "jo@example.org", "12 Main St Apt 4", "x", "@", "\x1e|\x1d", "P.O. Box 7"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		require.Equal(t, phone(a), phone(phone(a)))
		require.Equal(t, email(a), email(email(a)))
		p := Person{Families: appendNew(nil, Name(a)), BirthDate: new(int32(1)), Addresses: addresses(at(a, b, b))}
		p.Emails, p.Phones = appendNew(nil, email(a)), appendNew(nil, phone(b))
		got, err := ParseRecord(p.Record())
		require.NoError(t, err)
		require.Equal(t, p.Keys(), got.Keys())
		require.LessOrEqual(t, slips(a, b), 3)
		require.Equal(t, slips(a, b), slips(b, a))
	})
}
