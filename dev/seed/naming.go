package seed

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func chooseCulture(r *rng) *culture {
	d := r.n(totalCultureWeight)
	for i := range cultures {
		if d -= cultures[i].weight; d < 0 {
			return &cultures[i]
		}
	}
	return &cultures[0]
}

// surname draws a common surname, or makes one of the many that few people have. Both matter to whoever tells people apart: in
// the United States the 160 commonest are borne by about a quarter of all.
func surname(r *rng, c *culture) string {
	name := lean(r, c.surnames)
	if r.chance(c.rare) {
		name = pick(r, surnameHeads) + pick(r, surnameTails)
	}
	if r.chance(15) && !containsSpace(name) && !strings.Contains(name, "-") {
		if second := lean(r, c.surnames); second != name && !containsSpace(second) && !strings.Contains(second, "-") {
			name += "-" + second
		}
	}
	return name
}

// givenName draws from the person's own culture three times in four, else from the commonest pool.
func givenName(r *rng, c *culture, female bool) string {
	if r.chance(250) {
		c = &cultures[0]
	}
	if female {
		return lean(r, c.female)
	}
	return lean(r, c.male)
}

func containsSpace(s string) bool { return strings.IndexByte(s, ' ') >= 0 }

func firstLetter(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	return s[:size] + "."
}

// foldMarks removes combining marks (é becomes e); letters without a decomposition, such as ø and ł, stay.
func foldMarks(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(func(r rune) rune {
				if r >= 0x300 && r <= 0x36f {
					return -1
				}
				return r
			}, norm.NFD.String(s))
		}
	}
	return s
}

// asciiLetters returns the lower-case ASCII letters of a name, for mail addresses.
func asciiLetters(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, foldMarks(s))
}

// phoneNumber uses an exchange that begins with 0 or 1, which none does that is given to subscribers. There are two million
// such numbers in an area, so that strangers share one as seldom as they do in truth.
func phoneNumber(r *rng, area string) string {
	n := r.n(2_000_000)
	return area + "-" + string(appendPadded(nil, n/10_000, 3)) + "-" + string(appendPadded(nil, n%10_000, 4))
}

// ssn gives person n a number in the form of a Social Security number that is none: areas 900 to 999 are never issued, and
// groups 01 to 49 of them are not used for tax numbers either. It is unique for some 49 million people.
func ssn(seed, n uint64) string {
	const areas, groups, serials = 100, 49, 9999
	const size, stride = areas * groups * serials, 4_826_809 // 13^6: no common factor
	at := int((n%size*stride + mix(seed^0x53534e)%size) % size)
	b := append(make([]byte, 0, 11), '9')
	b = append(appendPadded(b, at%areas, 2), '-')
	b = append(appendPadded(b, 1+at/areas%groups, 2), '-')
	return string(appendPadded(b, 1+at/areas/groups, 4))
}

const mbiLetters = "ACDEFGHJKMNPQRTUVWXY"

// mbi makes a Medicare Beneficiary Identifier: eleven characters C A AN N A AN N A A N N, without the letters S L O I B Z.
func mbi(r *rng) string {
	b := make([]byte, 0, 11)
	for _, class := range "CAXNAXNAANN" {
		switch {
		case class == 'C':
			b = append(b, '1'+byte(r.n(9)))
		case class == 'N' || class == 'X' && r.chance(500):
			b = append(b, '0'+byte(r.n(10)))
		default:
			b = append(b, mbiLetters[r.n(len(mbiLetters))])
		}
	}
	return string(b)
}

// npi completes nine digits with the Luhn check digit over 80840 and them.
func npi(nine int) string {
	b := appendPadded(make([]byte, 0, 10), nine, 9)
	return string(append(b, luhn("80840"+string(b))))
}

// luhn returns the digit that makes digits followed by it pass the Luhn check.
func luhn(digits string) byte {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return '0' + byte((10-sum%10)%10)
}
