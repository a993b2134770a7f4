package seed

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// submission is what the requester claims to know about a person: our data, or a distortion of it.
type submission struct {
	family, given, middle, suffix string
	female, gendered              bool
	born                          day
	address                       *address // nil when the requester has none
	phone, email                  string
	memberID, subscriberID        string // ids at our payer; either may be missing
	role                          relationship
	group                         string
}

func submissionOf(h *household, p *person) submission {
	return submission{
		family: p.family, given: p.given, middle: p.middle, suffix: p.suffix, female: p.female, gendered: true, born: p.born,
		address: &h.address, phone: p.phone, email: p.email, memberID: h.memberID(p), subscriberID: h.subscriberID, role: p.role, group: h.group,
	}
}

// distorter changes a submission the way a kind of error does and reports whether it could: a name without an accent
// cannot lose one.
type distorter struct {
	kind  Kind
	apply func(r *rng, s *submission) bool
}

// cleanDistortions vanish when names are compared without case, marks, punctuation and spaces, and ids without hyphens,
// spaces and leading zeros, given that either id may be missing.
var cleanDistortions = []distorter{
	{KindCase, distortCase},
	{KindPunctuation, distortPunctuation},
	{KindDiacritics, distortDiacritics},
	{KindSpace, distortSpace},
	{KindIDHyphen, distortIDHyphen},
	{KindIDZeros, distortIDZeros},
	{KindMissing, distortMissing},
}

// hardDistortions are mistakes that need more than normalising.
var hardDistortions = []distorter{
	{KindTypo, distortTypo},
	{KindNickname, distortNickname},
	{KindSwapped, distortSwapped},
	{KindMoved, distortMoved},
	{KindSurname, distortSurname},
	{KindSparse, distortSparse},
}

func distortCase(r *rng, s *submission) bool {
	change := strings.ToUpper
	if r.chance(300) {
		change = strings.ToLower
	}
	if strings.ContainsAny(s.family+s.given, "ıİ") { // Turkish letters do not survive a change of case
		return false
	}
	s.family, s.given = change(s.family), change(s.given)
	return true
}

func distortPunctuation(r *rng, s *submission) bool {
	before := s.family + s.given
	with := pick(r, []string{"", " "})
	for _, name := range []*string{&s.family, &s.given} {
		switch {
		case strings.ContainsAny(*name, "'.-"):
			*name = strings.Join(strings.FieldsFunc(*name, func(c rune) bool { return c == '\'' || c == '.' || c == '-' }), with)
		case containsSpace(*name):
			*name = strings.ReplaceAll(*name, " ", "-")
		}
	}
	return s.family+s.given != before
}

func distortDiacritics(_ *rng, s *submission) bool {
	before := s.family + s.given
	s.family, s.given = foldMarks(s.family), foldMarks(s.given)
	return s.family+s.given != before
}

func distortSpace(r *rng, s *submission) bool {
	s.family, s.given = strings.ReplaceAll(s.family, " ", "  ")+" ", " "+s.given
	if r.chance(400) {
		s.memberID, s.subscriberID = s.memberID+" ", " "+s.subscriberID
	}
	return true
}

// distortIDHyphen writes the ids as people read them from the card: 123-456-789 and 123456789-01.
func distortIDHyphen(r *rng, s *submission) bool {
	if r.chance(500) {
		n := len(s.subscriberID)
		s.subscriberID = s.subscriberID[:n-6] + "-" + s.subscriberID[n-6:n-3] + "-" + s.subscriberID[n-3:]
	}
	s.memberID = s.memberID[:len(s.memberID)-2] + "-" + s.memberID[len(s.memberID)-2:]
	return true
}

// distortIDZeros drops the leading zeros of numeric ids or, where there are none, adds some.
func distortIDZeros(r *rng, s *submission) bool {
	if first := s.subscriberID[0]; first < '0' || first > '9' {
		return false
	}
	if trimmed := strings.TrimLeft(s.subscriberID, "0"); trimmed != s.subscriberID {
		s.subscriberID, s.memberID = trimmed, strings.TrimLeft(s.memberID, "0")
		return true
	}
	zeros := "000"[:1+r.n(3)]
	s.subscriberID, s.memberID = zeros+s.subscriberID, zeros+s.memberID
	return true
}

// distortMissing leaves out one of the ids and some of what is not needed.
func distortMissing(r *rng, s *submission) bool {
	if r.chance(500) {
		s.memberID = ""
	} else {
		s.subscriberID = ""
	}
	s.phone, s.email = "", ""
	if r.chance(500) {
		s.address = nil
	}
	return true
}

// distortSparse leaves the requester with names, birth date and a family-wide id.
func distortSparse(r *rng, s *submission) bool {
	s.memberID, s.middle, s.phone, s.email, s.address, s.suffix = "", "", "", "", nil, ""
	s.gendered = r.chance(500)
	return true
}

func distortTypo(r *rng, s *submission) bool {
	field := &s.family
	if r.chance(450) {
		field = &s.given
	}
	changed, ok := typo(r, *field)
	if ok {
		*field = changed
	}
	return ok
}

// typo makes one slip of the keyboard: a letter changed, dropped, doubled or exchanged with the next. The first stays.
func typo(r *rng, name string) (string, bool) {
	letters := []rune(name)
	if len(letters) < 4 {
		return name, false
	}
	i := 1 + r.n(len(letters)-2)
	switch r.n(4) {
	case 0:
		slip := rune(keyboard[r.n(len(keyboard))])
		if letters[i] == slip {
			slip = 'x'
		}
		letters[i] = slip
	case 1:
		letters = append(letters[:i], letters[i+1:]...)
	case 2:
		letters = append(letters[:i+1], letters[i:]...)
	default:
		letters[i], letters[i+1] = letters[i+1], letters[i]
	}
	changed := string(letters)
	return changed, changed != name
}

const keyboard = "aeiourstnlmdcbhkpgvyw"

func distortNickname(_ *rng, s *submission) bool {
	nick, ok := nicknames[s.given]
	if ok {
		s.given = nick
	}
	return ok
}

// distortSwapped exchanges given and middle name, or given and family where there is no full middle name.
func distortSwapped(_ *rng, s *submission) bool {
	if utf8.RuneCountInString(s.middle) > 2 && s.middle != s.given {
		s.given, s.middle = s.middle, s.given
		return true
	}
	if s.family == s.given {
		return false
	}
	s.given, s.family = s.family, s.given
	return true
}

func distortMoved(r *rng, s *submission) bool {
	h := household{metro: pick(r, metroPointers)}
	moved := h.newAddress(r)
	s.address, s.phone = &moved, phoneNumber(r, h.metro.area)
	return true
}

var metroPointers = func() []*metro {
	all := make([]*metro, len(metros))
	for i := range metros {
		all[i] = &metros[i]
	}
	return all
}()

func distortSurname(r *rng, s *submission) bool {
	next := surname(r, chooseCulture(r))
	if next == s.family {
		return false
	}
	if r.chance(300) {
		next = s.family + "-" + next
	}
	s.family = next
	return true
}

// plain reduces a name to its letters without marks and case: names that are the same under plain cannot be told apart by
// normalising.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsLetter(c) {
			return -1
		}
		return unicode.ToLower(c)
	}, foldMarks(name))
}
