package seed

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func testWorld() (Options, world) {
	o := Options{Seed: 9, Members: 8000, Anchor: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}
	return o, o.world()
}

// census walks a roster without writing it.
func census(visit func(h *household, p *person)) int {
	o, w := testWorld()
	ends := o.roster()
	for k := range ends.families {
		h := ends.household(w, k)
		for i := range h.people {
			visit(h, &h.people[i])
		}
	}
	return int(ends.families)
}

func TestFamiliesAreWhatTheyShouldBe(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	families := census(func(h *household, p *person) {
		tally := func(what string, is bool) { count[what] += bit(is) }
		tally("present", !p.absent)
		tally("absent", p.absent)
		tally("twin", p.twin)
		tally("absent twin", p.twin && p.absent)
		tally("newborn", p.newborn)
		tally("junior", p.suffix == "Jr")
		tally("child", p.role == isChild)
		tally("spouse", p.role == isSpouse)
		tally("senior", p.mbi != "")
		tally("accent", strings.IndexFunc(p.family+p.given, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0)
		tally("apostrophe", strings.Contains(p.family+p.given, "'"))
		tally("hyphen", strings.Contains(p.family, "-"))
		tally("compound", strings.Contains(p.family, " "))
		tally("own surname", p.role == isSpouse && p.family != h.people[0].family)
		tally("leading zero", p.role == isSelf && h.subscriberID[0] == '0')

		require.False(t, p.role == isSelf && p.absent, "a subscriber left out")
		require.NotEmpty(t, p.family)
		require.NotEmpty(t, p.given)
		if p.newborn {
			require.True(t, strings.HasPrefix(p.given, "Baby "))
			require.Less(t, int(dayOf(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))-p.born), 60)
		}
		if p.twin {
			other := &h.people[h.shape.twin-1]
			if other == p {
				other = &h.people[h.shape.twin]
			}
			require.True(t, other.twin && other.born == p.born && other.family == p.family)
			require.False(t, other.absent && p.absent, "both twins left out")
		}
		if p.role == isChild {
			for i := range h.shape.adults {
				require.GreaterOrEqual(t, h.people[i].born.years(p.born), 16, "parent too young")
			}
		}
		require.Equal(t, p.born.years(dayOf(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))) >= 65, p.mbi != "")
	})
	require.Equal(t, 8000, count["present"])
	share := func(what string, of int, lo, hi float64) {
		got := float64(count[what]) / float64(of)
		require.True(t, got >= lo && got <= hi, "%s: %.4f", what, got)
	}
	everyone := count["present"] + count["absent"]
	share("present", families, 2.0, 2.8)
	share("absent", everyone, 0.02, 0.07)
	share("twin", everyone, 0.02, 0.08)
	share("absent twin", count["twin"], 0.10, 0.25)
	share("newborn", everyone, 0.005, 0.02)
	share("junior", everyone, 0.003, 0.03)
	share("child", everyone, 0.25, 0.50)
	share("senior", everyone, 0.08, 0.20)
	share("accent", everyone, 0.05, 0.25)
	share("apostrophe", everyone, 0.002, 0.03)
	share("hyphen", everyone, 0.005, 0.06)
	share("compound", everyone, 0.01, 0.12)
	share("own surname", count["spouse"], 0.15, 0.5)
	share("leading zero", families, 0.02, 0.12)
}

var (
	ssnForm = regexp.MustCompile(`^9\d\d-(0[1-9]|[1-4]\d)-\d{4}$`)
	mbiForm = regexp.MustCompile(`^[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y]\d[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y]\d[AC-HJKMNP-RT-Y]{2}\d\d$`)
)

func TestNumbersBelongToOnePerson(t *testing.T) {
	t.Parallel()
	subscribers, numbers := map[string]uint64{}, map[string]bool{}
	census(func(h *household, p *person) {
		if k, ok := subscribers[h.subscriberID]; ok {
			require.Equal(t, k, h.index)
		}
		subscribers[h.subscriberID] = h.index
		for _, n := range []string{h.memberID(p), p.ssn, p.mbi} {
			if n == "" {
				continue
			}
			if numbers[n] {
				require.Fail(t, "number given twice", n)
			}
			numbers[n] = true
		}
		if p.ssn != "" && (!ssnForm.MatchString(p.ssn) || p.ssn[7:] == "0000") {
			require.Fail(t, "not the form of an SSN", p.ssn)
		}
		if p.mbi != "" && !mbiForm.MatchString(p.mbi) {
			require.Fail(t, "not the form of an MBI", p.mbi)
		}
	})
}

// Sizes the documentation of the lists promises.
func TestNameListsAreLargeAndTidy(t *testing.T) {
	t.Parallel()
	surnames, female, male := map[string]bool{}, map[string]bool{}, map[string]bool{}
	weight := 0
	for _, c := range cultures {
		weight += c.weight
		for _, pool := range []struct {
			list []string
			into map[string]bool
		}{{c.surnames, surnames}, {c.female, female}, {c.male, male}} {
			for _, name := range pool.list {
				require.Equal(t, strings.TrimSpace(name), name)
				require.NotEmpty(t, name)
				require.True(t, utf8.ValidString(name))
				pool.into[name] = true
			}
		}
	}
	require.Equal(t, totalCultureWeight, weight)
	require.GreaterOrEqual(t, len(surnames), 400)
	require.GreaterOrEqual(t, len(female), 330)
	require.GreaterOrEqual(t, len(male), 330)
}

func TestDaysAgreeWithTheCalendar(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := day(rapid.IntRange(-30000, 350000).Draw(t, "day"))
		want := time.Unix(int64(d)*86400, 0).UTC()
		require.Equal(t, want.Format(time.DateOnly), string(appendDay(nil, d)))
		require.Equal(t, d, dayOf(want))
		n := rapid.IntRange(-60, 60).Draw(t, "years")
		moved := d.addYears(n)
		require.InDelta(t, float64(n), float64(moved-d)/365.2425, 0.01)
		if n >= 0 {
			require.InDelta(t, n, d.years(moved), 1)
		}
		offset := rapid.IntRange(-11, 0).Draw(t, "offset")
		at := d.at(rapid.IntRange(0, 26).Draw(t, "h"), rapid.IntRange(0, 59).Draw(t, "m"), offset)
		parsed, err := time.Parse(time.RFC3339, string(appendMoment(nil, at, offset)))
		require.NoError(t, err)
		require.Equal(t, int64(at), parsed.Unix())
	})
}

func TestWholeYears(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		born, at string
		want     int
	}{{"2000-11-20", "2026-11-20", 26}, {"2000-11-21", "2026-11-20", 25}, {"2000-02-29", "2026-02-28", 25}, {"2026-11-01", "2026-11-20", 0}} {
		parse := func(s string) day {
			v, err := time.Parse(time.DateOnly, s)
			require.NoError(t, err)
			return dayOf(v)
		}
		require.Equal(t, tc.want, parse(tc.born).years(parse(tc.at)), tc.born)
	}
	leap := dayOf(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC))
	require.Equal(t, "2021-02-28", string(appendDay(nil, leap.addYears(-3))))
}

func FuzzStringsAreJSON(f *testing.F) {
	for _, s := range []string{"", "plain", `O"Brien\`, "a\nb\tc\x00", "Peña", "\xff\xfe", "𝒳"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := jsonWriter{}
		w.obj("")
		w.str("v", s)
		w.end()
		var got struct{ V string }
		require.NoError(t, json.Unmarshal(w.b, &got))
		require.Equal(t, string([]rune(s)), got.V) // what is not UTF-8 becomes U+FFFD
	})
}

func TestDecimals(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		n, places int
		want      string
	}{{1234, 2, "12.34"}, {5, 2, "0.05"}, {-5, 1, "-0.5"}, {7, 0, "7"}, {0, 3, "0.000"}} {
		w := jsonWriter{}
		w.decimal("", tc.n, tc.places)
		require.Equal(t, tc.want, string(w.b))
	}
}

func TestAWalkMeetsEverybodyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Seed: rapid.Uint64().Draw(t, "seed"), Members: rapid.IntRange(1, 80).Draw(t, "members"), Anchor: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}
		w := newWalk(o.world(), o.roster(), rapid.Uint64().Draw(t, "key"), func(_ *household, p *person) bool { return !p.absent })
		met := map[uint64]bool{}
		for h, p := w.person(); p != nil; h, p = w.person() {
			require.False(t, met[h.number(p)])
			met[h.number(p)] = true
		}
		require.Len(t, met, o.Members)
	})
}
