package match

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Name returns the form in which family names are compared: letters and digits alone, in lower case, without accents,
// apostrophes, hyphens and spaces. O'Neil, O’NEIL and o neil are one name, and so are Müller and Muller. Scripts are not
// transliterated. It is "" for a name that has no letters or that says there is none ("Unknown").
func Name(s string) string {
	name := strings.ReplaceAll(fold(s), " ", "")
	if placeholderName[name] {
		return ""
	}
	return name
}

// placeholderName holds what is written where no name is known. "Null" and "Na" are names that people have.
var placeholderName = map[string]bool{
	"unknown": true, "unk": true, "none": true, "noname": true, "anonymous": true, "notprovided": true, "notgiven": true,
	"missing": true, "unnamed": true, "refused": true, "declined": true, "fnu": true, "lnu": true, "nfn": true, "nln": true, "nmn": true, "nmi": true,
	"nofirstname": true, "nolastname": true, "nomiddlename": true, "nogivenname": true, "nofamilyname": true,
}

// newborn holds what stands in for the given name of a child who has none yet, alone or in front ("Baby Girl A",
// "Boy Maria").
var newborn = map[string]bool{
	"baby": true, "babyboy": true, "babygirl": true, "boy": true, "girl": true, "newborn": true, "infant": true,
	"twin": true, "twina": true, "twinb": true, "triplet": true, "male": true, "female": true,
}

// GivenWords returns the words of one name's given names in the order written, each normalised as Name does, and the generational
// suffix that was written among them ("Jr." in John Jr.). There are no words for a name that is a stand-in ("Baby Boy").
func GivenWords(given []string) (words []string, suffix string) {
	for _, part := range given {
		if len(part) > maxName {
			continue
		}
		for word := range strings.FieldsSeq(fold(part)) {
			if s := generation[word]; s != "" && len(words) > 0 {
				suffix = s
				continue
			}
			if placeholderName[word] {
				continue
			}
			words = append(words, word)
		}
	}
	if len(words) > 0 && (newborn[words[0]] || placeholderName[strings.Join(words, "")]) {
		return nil, suffix
	}
	return words, suffix
}

// generation maps the ways to write a generational suffix to one form. Jr. and II both follow Sr.; V and I are left out,
// because alone they are initials.
var generation = map[string]string{
	"sr": "sr", "snr": "sr", "senior": "sr", "1st": "sr",
	"jr": "jr", "jnr": "jr", "junior": "jr", "ii": "jr", "2nd": "jr",
	"iii": "3", "3rd": "3",
	"iv": "4", "4th": "4",
}

// family returns the words of a family name, one space between, and takes a generational suffix off its end. A name that is
// nothing but such a word, like the Brazilian Junior, is a name. Two families are one if Name makes the same of them.
func family(s string) (name, suffix string) {
	if len(s) > maxName {
		return "", "" // nobody's name
	}
	words := strings.Fields(fold(s))
	for n := len(words); n > 1 && generation[words[n-1]] != ""; n-- {
		suffix = generation[words[n-1]]
		words = words[:n-1]
	}
	name = strings.Join(words, " ")
	if placeholderName[strings.Join(words, "")] {
		name = ""
	}
	return name, suffix
}

// maxName is how many bytes a name may have; FHIR has no bound, and what is longer is no name.
const maxName = 400

// solid takes the spaces out of a folded name.
func solid(name string) string { return strings.ReplaceAll(name, " ", "") }

// fold returns the words of s, with one space between: lower-case letters and digits without accents. Apostrophes and
// invisible characters vanish, everything else that is neither letter nor digit parts two words.
func fold(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	var b strings.Builder
	b.Grow(len(s))
	gap := false // a separator was met since the last letter
	add := func(r rune) {
		if gap && b.Len() > 0 {
			b.WriteByte(' ')
		}
		gap = false
		if plain := letters[r]; plain != "" {
			b.WriteString(plain)
			return
		}
		b.WriteRune(r)
	}
	if ascii {
		for i := range len(s) {
			switch c := s[i]; {
			case 'A' <= c && c <= 'Z':
				add(rune(c) | 0x20)
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
				add(rune(c))
			case c != '\'' && c != '`':
				gap = true
			}
		}
		return b.String()
	}
	for _, r := range norm.NFKD.String(strings.Map(dropApostrophe, s)) {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Cf, r), unicode.Is(points, r), r == tatweel, dropApostrophe(r) < 0:
		case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
			add(unicode.ToLower(unicode.ToUpper(r))) // some small letters share a capital
		default:
			gap = true
		}
	}
	// What was between two marks may be gone, so they have to be put in order once more.
	return norm.NFKD.String(b.String())
}

// dropApostrophe takes apostrophes out. That has to be before anything is decomposed, because the acute accent would become
// a space, and once more after, because there is an n with an apostrophe.
func dropApostrophe(r rune) rune {
	switch r {
	case '\'', '`', '´', '‘', '’', '‛', 'ʹ', 'ʻ', 'ʼ', 'ʽ', 'ʾ', 'ʿ', 'ˈ', '′', '＇', '｀':
		return -1
	}
	return r
}

const tatweel = 'ـ' // stretches an Arabic word and means nothing

// points are the marks that a name may be written without: the accents of Latin, Greek and Cyrillic, and the vowel points of
// Arabic and Hebrew. The vowel signs of Indic scripts are letters in all but name and stay.
var points = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x0300, Hi: 0x036f, Stride: 1},
	{Lo: 0x0483, Hi: 0x0489, Stride: 1},
	{Lo: 0x0591, Hi: 0x05bd, Stride: 1},
	{Lo: 0x05bf, Hi: 0x05bf, Stride: 1},
	{Lo: 0x05c1, Hi: 0x05c2, Stride: 1},
	{Lo: 0x05c4, Hi: 0x05c5, Stride: 1},
	{Lo: 0x05c7, Hi: 0x05c7, Stride: 1},
	{Lo: 0x064b, Hi: 0x065f, Stride: 1},
	{Lo: 0x0670, Hi: 0x0670, Stride: 1},
	{Lo: 0x1ab0, Hi: 0x1aff, Stride: 1},
	{Lo: 0x1dc0, Hi: 0x1dff, Stride: 1},
	{Lo: 0x20d0, Hi: 0x20ff, Stride: 1},
	{Lo: 0xfe00, Hi: 0xfe0f, Stride: 1},
	{Lo: 0xfe20, Hi: 0xfe2f, Stride: 1},
}}

// letters replaces letters that do not decompose by what people type for them.
var letters = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'đ': "d", 'ð': "d", 'þ': "th", 'ł': "l", 'ħ': "h", 'ŧ': "t",
	'ı': "i", 'ŋ': "n", 'ĸ': "k",
}
