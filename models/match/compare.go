package match

import (
	"slices"
	"strings"
)

// Finding is what the comparison of one field gave. Bits is the logarithm to base 2 of how many times likelier it is between
// records of one person than between those of strangers; Relative and Twin say the same against members of one household
// and against twins, whom much is common to. All are 0 where nothing could be compared.
type Finding struct {
	Level                Level
	Bits, Relative, Twin float64
}

// comparison is a person held against one member.
type comparison struct {
	found      [fieldCount]Finding
	generation bool // the birth dates are as far apart as those of a parent and a child
	sibling    bool // the numbers are of two people on one subscriber number
	order      bool // they are different ones of a multiple birth
	verified   bool // the member id that agrees is one person's for certain
	multiple   bool // one of them is known to be a twin
	crossed    bool // the given name of one is the family name of the other, and the other names are others
	half       bool // a given name may be half of one that brothers or sisters have the other half of, see givenAgreement
	prefixed   bool // the given name that agrees is one that brothers or sisters share, and the next one, which one of them has, does not
}

// compare holds p against m. shared tells the identifier values that more than one candidate has.
func (md *Model) compare(p, m *Person, shared map[string]bool) comparison {
	var c comparison
	md.compareNames(p, m, &c)
	c.found[Birth] = md.compareBirth(p, m, &c)
	if c.found[Given].Level == Exact && c.found[Birth].Level != Missing && !c.generation {
		c.found[Given].Relative = namesakeOfAge
	}
	if p.Gender != "" && m.Gender != "" && p.Gender != "other" && m.Gender != "other" {
		c.set(md, Gender, levelIf(p.Gender == m.Gender))
		c.personal(Gender)
	}
	if p.Suffix != "" && m.Suffix != "" {
		c.set(md, Suffix, levelIf(p.Suffix == m.Suffix))
		c.personal(Suffix)
	}
	c.multiple = p.Multiple || m.Multiple
	c.order = p.BirthOrder > 0 && m.BirthOrder > 0 && p.BirthOrder != m.BirthOrder
	c.set(md, Postal, compareAddresses(p.Addresses, m.Addresses))
	c.set(md, Phone, comparePhones(p.Phones, m.Phones))
	md.compareEmails(p, m, &c)
	md.compareIDs(p, m, shared, &c)
	c.set(md, Group, common(p.Groups, m.Groups))
	c.set(md, Payer, comparePayers(p.Payers, m.Payers))
	c.set(md, Period, comparePeriods(p.Periods, m.Periods))
	return c
}

// namesakeOfAge is the weight of a given name against relatives who are no generation apart. Relatives are called the same
// after each other; brothers, sisters and spouses are not.
const namesakeOfAge = 13

func levelIf(same bool) Level {
	if same {
		return Exact
	}
	return Conflict
}

// set gives a field its level and the weight that the level has in general.
func (c *comparison) set(md *Model, f Field, l Level) {
	c.found[f] = Finding{Level: l, Bits: md.bits[f][l]}
}

// personal says that a field tells members of a household apart as it tells strangers apart.
func (c *comparison) personal(f Field) {
	c.found[f].Relative, c.found[f].Twin = c.found[f].Bits, c.found[f].Bits
}

func (md *Model) compareNames(p, m *Person, c *comparison) {
	given := md.agreeGiven(p.Givens, m.Givens)
	family := md.agreeFamily(p.Families, m.Families)
	if (given.first == Conflict || given.first == Missing) && family.Level != Exact {
		if swapped, ok := md.exchanged(p, m); ok {
			given = swapped
			family = Finding{Level: Swapped, Bits: md.bits[Family][Swapped]}
		}
	}
	if family.Level == Missing || family.Level == Conflict || family.Level == Near {
		// Somebody may be called the same twice, Alexander Alexander: then what agrees may be either name.
		switch crossed := (given.first != Exact || family.Level == Conflict) && given.first != Swapped && halfExchanged(p, m); {
		case !crossed:
		case family.Level == Missing && given.first == Conflict:
			given = md.swappedNames()
		case family.Level != Missing: // also where the family name happens to be nearly the other's given name
			given.first = Conflict
			given.bits, given.twin = md.bits[Given][Conflict], md.bits[Given][Conflict]
			c.crossed = true
		}
	}
	c.found[Given] = Finding{given.first, given.bits, given.twin, given.twin}
	c.found[Family] = family
	c.set(md, Middle, given.middle)
	c.half = given.half
	c.prefixed = given.first == Exact && isPrefix(given.a) && given.middle != Exact && given.middle != Initial && (hasMore(p.Givens) || hasMore(m.Givens))
	c.personal(Middle)
}

// hasMore reports whether any of given names is of more words than one.
func hasMore(givens []string) bool {
	return slices.ContainsFunc(givens, func(g string) bool { return strings.Contains(g, " ") })
}

// swappedNames is the agreement of given names that are found in the place of family names.
func (md *Model) swappedNames() givenAgreement {
	return givenAgreement{first: Swapped, bits: md.bits[Given][Swapped], twin: 9}
}

// exchanged reports whether the given name of one is the family name of the other, both ways, with a slip at most in one. The slip
// may be in the given name, and then weighs as one, unless nobody is called like that and somebody is called like the other. Of
// three names and more, a middle name may have changed places as well.
func (md *Model) exchanged(p, m *Person) (givenAgreement, bool) {
	if reordered(p, m) {
		return md.swappedNames(), true
	}
	best, found := md.swappedNames(), false
	for _, pg := range p.Givens {
		for _, mf := range m.Families {
			a := crossSlips(pg, mf)
			if a > 1 {
				continue
			}
			for _, pf := range p.Families {
				for _, mg := range m.Givens {
					slip, same := givenAgreement{first: Slip, a: FirstGiven(pg), b: solid(mf)}, FirstGiven(mg)
					switch b := crossSlips(mg, pf); {
					case a+b > 1:
						continue
					case a+b == 0:
						return md.swappedNames(), true
					case b == 1:
						slip.a, slip.b, same = FirstGiven(mg), solid(pf), FirstGiven(pg)
					}
					if md.named(same) && !md.named(slip.a) && !md.named(slip.b) {
						slip = md.swappedNames()
					} else {
						md.weighGiven(&slip)
					}
					best.bits, best.twin, found = min(best.bits, slip.bits), min(best.twin, slip.twin), true
				}
			}
		}
	}
	return best, found
}

// reordered reports whether two people have the same names, at least three, in other places.
func reordered(p, m *Person) bool {
	for _, pg := range p.Givens {
		for _, pf := range p.Families {
			names := strings.Fields(pg + " " + pf)
			if len(names) < 3 || !slices.ContainsFunc(strings.Fields(pg), isWhole) {
				continue
			}
			for _, mg := range m.Givens {
				for _, mf := range m.Families {
					if sameWords(names, strings.Fields(mg+" "+mf)) {
						return true
					}
				}
			}
		}
	}
	return false
}

// crossSlips compares given names with a family name: all of them, or those that come first. What comes after them may be a
// middle name that stayed where it was.
func crossSlips(given, family string) int {
	family = solid(family)
	least := slips(solid(given), family)
	for i := range len(given) {
		if given[i] == ' ' && least > 0 {
			least = min(least, slips(solid(given[:i]), family))
		}
	}
	return least
}

// halfExchanged reports whether the given name of one is the family name of the other.
func halfExchanged(p, m *Person) bool {
	in := func(givens, families []string) bool {
		return slices.ContainsFunc(givens, func(g string) bool {
			return slices.ContainsFunc(families, func(f string) bool { return len(g) > 2 && crossSlips(g, f) == 0 })
		})
	}
	return in(p.Givens, m.Families) || in(m.Givens, p.Families)
}

func (md *Model) agreeFamily(as, bs []string) Finding {
	var best Finding
	for _, a := range as {
		for _, b := range bs {
			f := md.agreeFamilies(a, b)
			if best.Level == Missing || f.Bits > best.Bits || f.Bits == best.Bits && f.Level < best.Level {
				best = f
			}
		}
	}
	return best
}

func (md *Model) agreeFamilies(a, b string) Finding {
	sa, sb := solid(a), solid(b)
	if sa == sb {
		return Finding{Level: Exact, Bits: md.exactBits(Family, sa)}
	}
	shorter := min(len(sa), len(sb))
	n := slips(sa, sb)
	if n == 1 && shorter >= 3 {
		return Finding{Level: Slip, Bits: md.apartBits(Family, sa, sb, slipRate, -2, 9)}
	}
	for x := range strings.FieldsSeq(a) {
		for y := range strings.FieldsSeq(b) {
			if x == y && len(x) > 2 && !particle[x] {
				return Finding{Level: Part, Bits: max(0, md.exactBits(Family, x)-4)}
			}
		}
	}
	switch {
	case n == 2 && shorter >= 5:
		return Finding{Level: Near, Bits: md.apartBits(Family, sa, sb, nearRate, -2, 5)}
	case shorter >= 4 && sound(sa) == sound(sb):
		return Finding{Level: Near, Bits: 1}
	}
	return Finding{Level: Conflict, Bits: md.bits[Family][Conflict]}
}

var particle = map[string]bool{"del": true, "los": true, "las": true, "van": true, "von": true, "der": true, "den": true, "san": true, "mac": true, "saint": true, "bin": true, "ibn": true}

func (md *Model) compareBirth(p, m *Person, c *comparison) Finding {
	if p.BirthDate == nil || m.BirthDate == nil {
		return Finding{}
	}
	level, generation := compareDates(*p.BirthDate, *m.BirthDate)
	c.generation = generation
	f := Finding{Level: level, Bits: md.bits[Birth][level]}
	if at := civilOf(*p.BirthDate); level == Exact && at.month == 1 && at.day == 1 { // where the day is not known
		f.Bits -= 4
	}
	f.Relative = f.Bits
	if level == Exact {
		f.Relative = min(f.Bits, 12)
	}
	return f
}

func compareAddresses(as, bs []Address) Level {
	best := Missing
	rank := [levelCount]int{Conflict: 1, Near: 2, Place: 3, Slip: 4, Exact: 5}
	for _, a := range as {
		for _, b := range bs {
			if l := a.level(b); rank[l] > rank[best] {
				best = l
			}
		}
	}
	return best
}

func (a Address) level(b Address) Level {
	zip := a.Zip != "" && a.Zip == b.Zip
	nearZip := zip || a.Zip != "" && len(a.Zip) == len(b.Zip) && slips(a.Zip, b.Zip) == 1
	place := a.Place != "" && b.Place != "" && (a.Place == b.Place || len(a.Place) > 3 && (slips(a.Place, b.Place) <= 1 || len(a.Place) > 6 && slips(a.Place, b.Place) <= 2))
	where := zip || place
	unplaced := (a.Zip == "" || b.Zip == "") && (a.Place == "" || b.Place == "")
	if a.Street == "" || b.Street == "" {
		switch {
		case where:
			return Place
		case unplaced:
			return Missing
		}
		return Conflict
	}
	alike, fewer := alikeWords(a.Street, b.Street)
	number := a.Number == b.Number && a.Number != ""
	nearNumber := number || a.Number == "" || b.Number == "" || len(a.Number) > 1 && slips(a.Number, b.Number) <= 1
	switch {
	case number && alike == fewer && (where || unplaced):
		return Exact
	case number && alike > 0 && (where || nearZip), nearNumber && alike == fewer && (where || nearZip):
		return Slip
	case alike > 1 && where && (zip || place && nearZip): // a house written with another number
		return Slip
	case where && (number || alike > 0):
		return Near
	}
	return Conflict
}

// alikeWords counts the words of two streets that are alike, and those of the one that has fewer.
func alikeWords(a, b string) (alike, fewer int) {
	as, bs := strings.Fields(a), strings.Fields(b)
	if len(as) > len(bs) {
		as, bs = bs, as
	}
	for _, x := range as {
		if slices.ContainsFunc(bs, func(y string) bool { return alikeWord(x, y) }) {
			alike++
		}
	}
	if alike == 0 && len(as) > 0 { // a blank more or less
		if x, y := solid(a), solid(b); slips(x, y) <= 2 && len(x) > 4 || min(len(x), len(y)) > 4 && (strings.HasPrefix(x, y) || strings.HasPrefix(y, x)) {
			alike = len(as)
		}
	}
	return alike, len(as)
}

func alikeWord(x, y string) bool {
	if x == y {
		return true
	}
	shorter := min(len(x), len(y))
	return shorter > 3 && (slips(x, y) == 1 || strings.HasPrefix(x, y) || strings.HasPrefix(y, x)) || shorter > 6 && slips(x, y) == 2
}

func comparePhones(as, bs []string) Level {
	best := Missing
	for _, a := range as {
		for _, b := range bs {
			switch {
			case a == b:
				return Exact
			case len(a) == len(b) && slips(a, b) == 1:
				best = Slip
			case len(a) != len(b) && min(len(a), len(b)) == 7 && (strings.HasSuffix(a, b) || strings.HasSuffix(b, a)):
				best = Slip
			case best == Missing:
				best = Conflict
			}
		}
	}
	return best
}

func (md *Model) compareEmails(p, m *Person, c *comparison) {
	best, rank := Missing, [levelCount]int{Conflict: 1, Near: 2, Slip: 3, Exact: 4}
	mail := ""
	for _, a := range p.Emails {
		for _, b := range m.Emails {
			l := Conflict
			la, da, _ := strings.Cut(a, "@")
			lb, db, _ := strings.Cut(b, "@")
			switch {
			case a == b:
				l = Exact
			case lettersOf(la) == lettersOf(lb) && la != lb: // john.smith75 and john.smith95 are two
			case slips(a, b) <= 2 && len(a) >= 10 && slips(la, lb) <= 1:
				l = Slip
			case slips(la, lb) <= 1 && len(la) >= 5 && da != db, da == db && slips(la, lb) <= 2 && len(la) >= 7:
				l = Near
			}
			if rank[l] > rank[best] {
				best, mail = l, la
			}
		}
	}
	c.set(md, Email, best)
	f := &c.found[Email]
	switch best {
	case Exact, Slip:
		f.Relative = max(emailNames(mail, p), emailNames(mail, m))
		if best == Slip {
			f.Relative -= 2
		}
		f.Twin = f.Relative
	case Conflict: // members of a household have addresses of their own as well
	default:
	}
}

// emailNames is how much an address speaks for one member of a household: families share addresses, but not one that names
// somebody.
func emailNames(local string, p *Person) float64 {
	best := 2.
	letters := lettersOf(local)
	for _, g := range p.Givens {
		word := FirstGiven(g)
		if len(word) >= 3 && strings.Contains(letters, word) {
			return 8
		}
		for _, f := range p.Families {
			f = solid(f)
			if len(word) > 0 && len(f) >= 3 && (strings.HasPrefix(letters, word[:1]+f) || letters == f+word[:1]) || len(f) > 0 && len(word) > 0 && len(letters) == 2 && letters == word[:1]+f[:1] {
				best = 4
			}
		}
	}
	return best
}

func lettersOf(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, s)
}

func common(as, bs []string) Level {
	if len(as) == 0 || len(bs) == 0 {
		return Missing
	}
	return levelIf(slices.ContainsFunc(as, func(a string) bool { return slices.Contains(bs, a) }))
}

// comparePayers compares identifiers of one system only.
func comparePayers(as, bs []string) Level {
	best := Missing
	for _, a := range as {
		for _, b := range bs {
			systemA, _, _ := strings.Cut(a, " ")
			systemB, _, _ := strings.Cut(b, " ")
			switch {
			case a == b:
				return Exact
			case systemA == systemB:
				best = Conflict
			}
		}
	}
	return best
}

func comparePeriods(as, bs []Span) Level {
	if len(as) == 0 || len(bs) == 0 {
		return Missing
	}
	return levelIf(slices.ContainsFunc(as, func(a Span) bool {
		return slices.ContainsFunc(bs, func(b Span) bool { return a.From <= b.To && b.From <= a.To })
	}))
}
