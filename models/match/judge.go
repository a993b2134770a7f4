package match

import "slices"

// judge says of one candidate what is for it and against it.
func (md *Model) judge(p, m *Person, c *comparison) Verdict {
	v := Verdict{Fields: c.found}
	for f := range fieldCount {
		found := c.found[f]
		v.Rivals[Stranger].Bits += found.Bits
		v.Rivals[Relative].Bits += found.Relative
		v.Rivals[Twin].Bits += found.Twin
	}
	v.Rivals[Stranger].Needs = md.prior() + certainty
	v.Rivals[Relative].Needs = relativePrior + certainty
	v.Rivals[Twin].Needs = twinPrior + certainty
	if c.multiple {
		v.Rivals[Twin].Needs = certainty
	}
	v.Rivals[Namesake] = namesake(c)

	v.Vetoes = c.vetoes(md.adult(m))
	v.barred = len(v.Vetoes) > 0
	if uncorroborated(c) && !md.alone(c) {
		v.Vetoes = append(v.Vetoes, ReasonUncorroborated)
	}
	if md.doubtful(p, m, c) {
		v.Vetoes = append(v.Vetoes, ReasonGivenWeak)
	}
	v.Reason = ReasonMatched
	switch {
	case len(v.Vetoes) > 0:
		v.Reason = v.Vetoes[0]
	case v.Rivals[Stranger].Bits < v.Rivals[Stranger].Needs:
		v.Reason = ReasonWeak
	case v.Rivals[Relative].Bits < v.Rivals[Relative].Needs, v.Rivals[Twin].Bits < v.Rivals[Twin].Needs:
		v.Reason = ReasonGivenWeak
	case v.Rivals[Namesake].Bits < v.Rivals[Namesake].Needs:
		v.Reason = ReasonGeneration
	}
	if v.Reason == ReasonUncorroborated {
		v.Reason = whyUncorroborated(c)
	}
	return v
}

// vetoes returns what contradicts: whoever it is said of is somebody else, and stands in nobody's way.
func (c *comparison) vetoes(adult bool) []Reason {
	var out []Reason
	veto := func(when bool, why Reason) {
		if when {
			out = append(out, why)
		}
	}
	given, middle, family, birth, national := c.level(Given), c.level(Middle), c.level(Family), c.level(Birth), c.level(National)
	personal := national == Exact || c.level(MemberID) == Exact
	outvoted := c.outvotes(adult)
	veto((birth == Conflict || birth == Missing) && !outvoted, ReasonBirthDate)
	veto(given == Conflict && !outvoted, ReasonGiven)
	veto(given != Conflict && c.otherName() && !outvoted, ReasonGivenWeak)
	veto(c.level(Suffix) == Conflict, ReasonSuffix)
	veto(c.order, ReasonBirthOrder)
	veto(c.sibling, ReasonDependent)
	veto(national == Conflict && !(c.verified && given == Exact && (birth == Exact || birth == Near || birth == Slip)), ReasonNational)
	veto(c.level(Gender) == Conflict && !(personal && given == Exact && middle != Conflict && birth == Exact), ReasonGender)
	veto(c.generation && national != Exact, ReasonGeneration)
	// With one thing that differs, another that nearly agrees is a cousin's, a spouse's or a namesake's.
	veto((middle == Conflict || family == Conflict) && birth == Near && !personal, ReasonGivenWeak)
	veto(given != Missing && given != Conflict && c.found[Given].Twin <= mayBeTwins && birth != Exact && national != Exact, ReasonGivenWeak)
	return out
}

// doubtful reports whether the given name leaves open that somebody else of the family is meant, who has the member's card. Twins
// have each other's at times, and spouses; rosters seldom say who is a twin, a short form may be short for either's name, and
// one's first name the other's second.
func (md *Model) doubtful(p, m *Person, c *comparison) bool {
	given, adult := c.level(Given), md.adult(m)
	switch {
	case c.level(National) == Exact, given == Conflict:
		return false
	case given == Exact:
		return c.prefixed && c.multiple || c.half && (c.multiple || !adult)
	case given == Missing && namedByEmail(p, m, c):
		return false
	case given == Missing:
		// Of newborn twins who have no names yet often nothing but their gender tells whose card it is.
		unnamed := len(p.Givens) == 0 && len(m.Givens) == 0 && c.level(Gender) == Exact
		own := c.level(MemberID) == Exact && c.verified && !c.multiple
		return !(own && c.sameFamily() && c.level(Birth) != Near && bornTogether(p, m) && (adult || unnamed))
	}
	return c.multiple && c.found[Given].Twin < certainty/2 || !adult && c.found[Given].Twin <= mayBeTwins
}

// sameFamily reports whether family names agree, if not in full.
func (c *comparison) sameFamily() bool {
	return c.level(Family) != Conflict && c.level(Family) != Missing
}

func (c *comparison) level(f Field) Level { return c.found[f].Level }

// outvotes reports whether a number that is one person's for certain outweighs a single thing that contradicts: a given name
// that was changed, or a birth date that was entered wrong. It takes everything else to agree, and nobody to be a twin: a
// family shares all else, and may mix its cards up.
//
// adult says that the member is too old to be insured as somebody's child: twins are on one number as children only.
func (c *comparison) outvotes(adult bool) bool {
	level := c.level
	if level(National) != Exact && !(level(MemberID) == Exact && c.verified) {
		return false
	}
	if c.multiple || level(Gender) == Conflict || level(Suffix) == Conflict {
		return false
	}
	if (level(Given) == Conflict || c.otherName()) && !c.sameFamily() && !c.crossed {
		return false // neither name is the member's: somebody else holds the numbers
	}
	if level(National) == Exact && level(MemberID) == Exact && c.verified {
		return true // two numbers of one person that do not depend on each other
	}
	contact := level(Postal) == Exact || level(Postal) == Slip || level(Phone) == Exact || level(Email) == Exact || level(Email) == Slip
	switch {
	case level(Given) == Conflict, c.otherName():
		if level(Birth) == Exact {
			return contact && (adult && level(Phone) != Conflict && level(Email) != Conflict || level(National) == Exact)
		}
		near := level(Birth) == Near || level(Birth) == Slip || level(Birth) == Swapped
		return contact && c.otherName() && near && level(National) == Exact
	case c.generation && level(National) != Exact: // a child who bears the name, with the parent's card
		return false
	case level(Birth) == Conflict || level(Birth) == Missing:
		switch level(Given) {
		case Exact, Nickname, Swapped:
			// Spouses of two family names are John and Jack; sisters may have the first of two names in common.
			others := c.found[Given].Twin <= mayBeTwins || level(Family) == Conflict || level(Middle) == Conflict || c.prefixed || c.half
			return (c.sameFamily() || contact) && !others
		case Missing:
			return c.sameFamily() && level(Email) == Exact && c.found[Email].Twin >= 4
		default:
		}
	}
	return false
}

// otherName reports whether given names that are nearly the same are more likely two people's: both are names many have.
func (c *comparison) otherName() bool {
	return c.found[Given].Level != Conflict && c.found[Given].Twin < 0
}

// dependantYears is the age up to which children are insured with their parents (45 CFR 147.120), and a year on top.
const dependantYears = 27

func (md *Model) adult(m *Person) bool {
	return m.BirthDate != nil && md.Today > 0 && md.Today-*m.BirthDate > dependantYears*365+7
}

// namesake weighs a parent or child of the same name, of whom birth dates and what is one person's speak.
func namesake(c *comparison) Rival {
	r := Rival{Needs: namesakePrior + certainty}
	for _, f := range []Field{Middle, Suffix, MemberID, National} {
		r.Bits += c.found[f].Relative
	}
	switch {
	case c.found[Birth].Level == Missing:
	case c.generation:
		r.Bits += min(c.found[Birth].Bits, -2)
	default:
		r.Bits += max(c.found[Birth].Bits, 8)
	}
	return r
}

// The fields that tell where somebody lives and is insured, as against who they are.
var contacts = [...]Field{Postal, Phone, Email, MemberID, SubscriberID, National, OtherID}

// uncorroborated reports whether nothing beside name, birth date and gender agrees. Where nothing else was submitted, or
// nothing that we hold, they have to agree in full.
func uncorroborated(c *comparison) bool {
	compared, agree, place, conflict := false, false, false, false
	elsewhere := c.found[Postal].Level == Conflict && c.found[Phone].Level == Conflict && c.found[Birth].Level != Exact
	for _, f := range contacts {
		switch c.found[f].Level {
		case Exact, Slip:
			compared, agree = true, agree || f != Email || !elsewhere
		case Place, Near: // the same town, or the same street in it
			compared, place = true, true
		case Conflict:
			compared, conflict = compared || f != OtherID, conflict || f != OtherID
		default:
		}
	}
	switch {
	case agree:
		return false
	case place && !conflict:
		return false
	case compared:
		return true
	}
	return !inFull(c)
}

// alone reports whether nobody else in the country is likely to be called so and born on the day: then somebody may have
// moved, and have another telephone. It takes a roster that tells how common names are. That names go together, and are not
// drawn by themselves, is allowed for.
func (md *Model) alone(c *comparison) bool {
	const country, together, rare, enough = 28.4, 3., 7., 10_000 // 340 million people; bits; bits; members
	if md.Members < enough || !inFull(c) || c.otherNumber() {
		return false
	}
	bits := 0.
	for _, f := range []Field{Given, Middle, Family, Birth, Gender} {
		bits += c.found[f].Bits
	}
	return bits >= country+together+rare
}

// inFull reports whether the demographics leave nothing open.
func inFull(c *comparison) bool {
	return (c.found[Given].Level == Exact) && c.found[Family].Level == Exact && c.found[Birth].Level == Exact && c.found[Gender].Level == Exact &&
		c.found[Middle].Level != Conflict
}

// otherNumber reports whether a number that was submitted is another than the member's.
func (c *comparison) otherNumber() bool {
	return slices.ContainsFunc([]Field{MemberID, SubscriberID, National}, func(f Field) bool { return c.found[f].Level == Conflict })
}

func whyUncorroborated(c *comparison) Reason {
	if c.otherNumber() {
		return ReasonIdentifier
	}
	for _, f := range contacts {
		if c.found[f].Level != Missing {
			return ReasonUncorroborated
		}
	}
	return ReasonDemographics
}

// bornTogether reports whether birth dates are so near that they are not those of brothers and sisters, who have each other's
// card at times.
func bornTogether(p, m *Person) bool {
	return p.BirthDate != nil && m.BirthDate != nil && daysApart(*p.BirthDate, *m.BirthDate) <= 31
}

// namedByEmail reports whether, instead of a given name, an e-mail address both have names the person, outside of a household
// that shares a number.
func namedByEmail(p, m *Person, c *comparison) bool {
	if c.multiple || c.found[SubscriberID].Level != Missing || c.found[MemberID].Level != Missing {
		return false
	}
	return c.found[Email].Level == Exact && c.found[Email].Twin >= 4 && (len(p.Givens) > 0 || len(m.Givens) > 0)
}
