package match

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestName(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		want  string
		forms []string
	}{
		"apostrophes":          {"oneil", []string{"O'Neil", "O’NEIL", "o neil", "O´Neil", "Oʼneil", "O`Neil"}},
		"accents":              {"nunez", []string{"Nuñez", "NUÑEZ", "Nun\u0303ez", "Nunez"}},
		"umlaut":               {"muller", []string{"Müller", "Mu\u0308ller", "Muller"}},
		"sharp s":              {"strauss", []string{"Strauß", "STRAUẞ", "Strauss"}},
		"stroke":               {"ostergard", []string{"Østergård", "ostergard"}},
		"ligatures":            {"aeschylus", []string{"Æschylus", "æschylus"}},
		"typographic ligature": {"fitzoffin", []string{"ﬁtzoﬃn", "Fitz-Offin"}},
		"polish":               {"lodz", []string{"Łódź", "lodz"}},
		"turkish":              {"ilisik", []string{"İLİŞIK", "ilişik", "ılısık"}},
		"hyphen":               {"smithjones", []string{"Smith-Jones", "Smith Jones", "SmithJones", "Smith–Jones", "Smith\u00adjones"}},
		"particles":            {"delacruz", []string{"de la Cruz", "De La Cruz", "DELACRUZ"}},
		"full width":           {"smith", []string{"Ｓｍｉｔｈ"}},
		"vietnamese":           {"dang", []string{"Đặng", "dang"}},
		"sigma":                {"παπαδοπουλοσ", []string{"Παπαδόπουλος", "ΠΑΠΑΔΟΠΟΥΛΟΣ"}},
		"hebrew points":        {"כהן", []string{"כֹּהֵן", "כהן"}},
		"arabic points":        {"محمد", []string{"مُحَمَّد", "محمـد"}},
		"no name":              {"", []string{"", "  ", "Unknown", "U.N.K.", "not provided", "--", "LNU"}},
		"a name after all":     {"null", []string{"Null"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, form := range tc.forms {
				require.Equal(t, tc.want, Name(form), "%q", form)
			}
		})
	}
}

func TestNameKeepsIndicVowels(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, Name("मीरा"), Name("मारी"))
	require.NotEqual(t, Name("कुमार"), Name("कमर"))
}

func TestGiven(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in     []string
		words  []string
		suffix string
	}{
		"two":                {[]string{"Patricia", "Ann"}, []string{"patricia", "ann"}, ""},
		"in one":             {[]string{"Patricia Ann"}, []string{"patricia", "ann"}, ""},
		"hyphen":             {[]string{"Jean-Pierre"}, []string{"jean", "pierre"}, ""},
		"initials":           {[]string{"J.R."}, []string{"j", "r"}, ""},
		"junior":             {[]string{"John", "Jr."}, []string{"john"}, "jr"},
		"in the same string": {[]string{"John M. III"}, []string{"john", "m"}, "3"},
		"second":             {[]string{"John II"}, []string{"john"}, "jr"},
		"a name of its own":  {[]string{"Junior"}, []string{"junior"}, ""},
		"middle V is no V.":  {[]string{"John", "V"}, []string{"john", "v"}, ""},
		"no middle name":     {[]string{"John", "NMN"}, []string{"john"}, ""},
		"unknown":            {[]string{"Unknown"}, nil, ""},
		"not provided":       {[]string{"Not Provided"}, nil, ""},
		"newborn":            {[]string{"Baby Girl"}, nil, ""},
		"newborn twin":       {[]string{"BabyBoy", "A"}, nil, ""},
		"newborn of":         {[]string{"Boy Maria"}, nil, ""},
		"none":               {nil, nil, ""},
		"blank":              {[]string{"", " "}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			words, suffix := GivenWords(tc.in)
			require.Equal(t, tc.words, words)
			require.Equal(t, tc.suffix, suffix)
		})
	}
}

func TestFamilySuffix(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"Smith Jr.":  {"smith", "jr"},
		"Smith, Sr":  {"smith", "sr"},
		"Smith IV":   {"smith", "4"},
		"Junior":     {"junior", ""},
		"Smith":      {"smith", ""},
		"Unknown Jr": {"", "jr"},
	} {
		name, suffix := family(in)
		require.Equal(t, want, [2]string{name, suffix}, "%q", in)
	}
}

// TestFoldEveryRune folds each character there is, and expects words that fold to themselves.
func TestFoldEveryRune(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if utf8.ValidRune(r) {
			checkFold(t, "a"+string(r)+"b")
		}
	}
}

func TestAgreeNames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		a, b          string
		first, middle Level
	}{
		"same":                       {"john", "john", Exact, Missing},
		"middle name on one side":    {"john michael", "john", Exact, Missing},
		"middle names":               {"john michael", "john michael", Exact, Exact},
		"initial":                    {"john m", "john michael", Exact, Initial},
		"wrong initial":              {"john p", "john michael", Exact, Conflict},
		"another middle name":        {"juan carlos", "juan pablo", Part, Conflict},
		"known by the middle name":   {"ann", "patricia ann", Part, Missing},
		"common middle name alone":   {"james michael", "john michael", Conflict, Missing},
		"turned round":               {"ann patricia", "patricia ann", Swapped, Missing},
		"run together":               {"maryann", "mary ann", Exact, Missing},
		"run together, with a third": {"mary ann lee", "maryann l", Exact, Initial},
		"an initial":                 {"j", "john", Initial, Missing},
		"two initials":               {"j", "j", Initial, Missing},
		"a slip":                     {"jhon", "john", Slip, Missing},
		"a short name":               {"jo", "jon", Conflict, Missing},
		"two slips":                  {"katherin", "kathreine", Near, Missing},
		"nickname":                   {"bill", "william", Nickname, Missing},
		"nicknames of one name":      {"liz", "beth", Nickname, Missing},
		"different":                  {"mary", "john", Conflict, Missing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, got := range []givenAgreement{agreeNames(strings.Fields(tc.a), strings.Fields(tc.b)), agreeNames(strings.Fields(tc.b), strings.Fields(tc.a))} {
				require.Equal(t, [2]Level{tc.first, tc.middle}, [2]Level{got.first, got.middle})
			}
		})
	}
}

func TestSlips(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		a, b string
		want int
	}{
		"none":       {"smith", "smith", 0},
		"changed":    {"smith", "smyth", 1},
		"dropped":    {"smith", "smth", 1},
		"doubled":    {"smith", "smiith", 1},
		"exchanged":  {"smith", "smtih", 1},
		"two":        {"smith", "smyht", 2},
		"far":        {"smith", "jones", 3},
		"by length":  {"smith", "smithson", 3},
		"empty":      {"", "ab", 2},
		"very long":  {strings.Repeat("a", 99), strings.Repeat("a", 98), 3},
		"end to end": {"ab", "ba", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, slips(tc.a, tc.b))
			require.Equal(t, tc.want, slips(tc.b, tc.a))
		})
	}
}

func checkFold(t *testing.T, s string) {
	t.Helper()
	once := fold(s)
	if again := fold(once); again != once {
		t.Fatalf("fold(%q) = %q folds to %q", s, once, again)
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"O'Neil", "Müller", "de la Cruz", "Łódź", "Smith Jr.", "Unknown", "\xff", "मीरा", "ﬁ", "कि-\u093c", "a\u0301\u0327"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkFold(t, s)
		require.True(t, utf8.ValidString(fold(s)))
		name := Name(s)
		require.Equal(t, name, Name(name))
		require.NotContains(t, name, " ")
		require.NotContains(t, name, "/")
		bare, suffix := family(s)
		require.Equal(t, solid(bare), Name(bare))
		again, none := family(bare)
		require.Equal(t, bare, again)
		require.Empty(t, none)
		require.NotContains(t, suffix, " ")
		if utf8.ValidString(s) {
			require.Equal(t, name, Name(strings.ToUpper(name)), "in capitals")
		}
	})
}

func FuzzGiven(f *testing.F) {
	for _, s := range []string{"Patricia Ann", "John Jr.", "Baby Girl A", "J.R.", "Not Provided", "Jr Jr", "no unk name"} {
		f.Add(s, "")
		f.Add("Mary", s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		words, _ := GivenWords([]string{a, b})
		again, suffix := GivenWords(words)
		require.Equal(t, words, again)
		require.Empty(t, suffix)
		joined, _ := GivenWords([]string{strings.Join(words, " ")})
		require.Equal(t, words, joined)
	})
}
