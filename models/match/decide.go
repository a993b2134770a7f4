package match

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/google/uuid"
)

// Candidate is a member that came into question. It prints as "Candidate".
type Candidate struct {
	Member uuid.UUID
	Person Person
}

// Reason says in one fixed code how a decision came about. Codes are stored and shown to operators; they never change, and
// they are never disclosed to a caller.
type Reason string

// The reasons. Of several candidates who all fail, the best gives the reason.
const (
	ReasonIncomplete     Reason = "incomplete"           // submitted without a family name or a whole birth date
	ReasonNoCandidate    Reason = "no-candidate"         // nobody has anything in common
	ReasonWeak           Reason = "evidence-weak"        // what agrees could agree by chance
	ReasonBirthDate      Reason = "birth-date-conflict"  // or ours is not known
	ReasonGender         Reason = "gender-conflict"      // and no number of one person speaks for it
	ReasonSuffix         Reason = "suffix-conflict"      // father and son
	ReasonGeneration     Reason = "generation-conflict"  // the same, by their birth dates
	ReasonGiven          Reason = "given-conflict"       // given names differ: a twin, a spouse
	ReasonNational       Reason = "national-id-conflict" // social security or Medicare numbers differ
	ReasonDependent      Reason = "dependent-conflict"   // member ids are of two people on one subscriber number
	ReasonBirthOrder     Reason = "birth-order-conflict" // the other twin
	ReasonIdentifier     Reason = "no-identifier"        // identifiers were submitted, none is the member's, and nothing else makes up for it
	ReasonUncorroborated Reason = "uncorroborated"       // name and birth date agree, and address, telephone and e-mail are all others
	ReasonGivenWeak      Reason = "given-weak"           // the given name is missing or does not agree well enough to part relatives
	ReasonDemographics   Reason = "demographics-weak"    // nothing but demographics was submitted, and they do not agree in full
	ReasonSeveral        Reason = "several"              // more than one member is plausible
	ReasonMatched        Reason = "matched"
)

// Grade says what an operator may make of a decision. It is recorded and never disclosed.
type Grade string

// The grades.
const (
	GradeMatch  Grade = "match"  // one member, beyond doubt
	GradeReview Grade = "review" // a member comes near: worth a look, and nothing is disclosed
	GradeNone   Grade = "none"
)

// Decision is the answer. Member is the zero UUID unless Matched. Best and RunnerUp explain it: the best candidate, and the
// one after it, if there are.
type Decision struct {
	Member     uuid.UUID
	Matched    bool
	Reason     Reason
	Grade      Grade
	Version    int64 // of the model
	Candidates int
	Best       *Verdict
	RunnerUp   *Verdict
}

// Verdict is what is to be said about one candidate. It holds no value, only how values agree.
type Verdict struct {
	Member uuid.UUID
	Reason Reason // ReasonMatched if nothing is against it, taken alone
	Vetoes []Reason
	Fields [fieldCount]Finding
	Rivals [rivalCount]Rival
	barred bool
}

// Rival is another way to explain what agrees than that it is one person. Bits is the evidence against it, Needs what it
// takes.
type Rival struct{ Bits, Needs float64 }

// The rivals: somebody unknown, a member of the same household, a twin, and a parent or child of the same name.
const (
	Stranger = iota
	Relative
	Twin
	Namesake
	rivalCount
)

// RivalNames are the names of the rivals that explanations use.
var RivalNames = [rivalCount]string{"stranger", "relative", "twin", "namesake"}

// How much evidence a decision takes, in bits. The first is the certainty wanted: one error in 2^certainty, were each person
// asked about as likely to be the rival as the priors say. The priors are how many there are of the rivals.
const (
	certainty     = 8.
	relativePrior = 2.  // some four people in a household are not members
	twinPrior     = -4. // one person in sixteen has a twin or a sibling who is taken for one
	namesakePrior = -5.
	clearWinner   = 8. // by how much the winner must be ahead of anybody else who is not ruled out
)

// Decide returns the one member among the candidates that p is, or none. The order of candidates does not matter.
func (md *Model) Decide(p Person, candidates []Candidate) Decision {
	d := Decision{Reason: ReasonIncomplete, Grade: GradeNone, Version: md.Version, Candidates: len(candidates)}
	if len(p.Families) == 0 || p.BirthDate == nil { // both are required (HRex Patient Demographics)
		return d
	}
	d.Reason = ReasonNoCandidate
	if len(candidates) == 0 {
		return d
	}
	shared := sharedCards(candidates)
	verdicts := make([]Verdict, len(candidates))
	for i := range candidates {
		c := md.compare(&p, &candidates[i].Person, shared)
		c.multiple = c.multiple || hasTwin(candidates, i)
		verdicts[i] = md.judge(&p, &candidates[i].Person, &c)
		verdicts[i].Member = candidates[i].Member
	}
	slices.SortFunc(verdicts, func(a, b Verdict) int {
		return cmp.Or(boolCompare(a.barred, b.barred), cmp.Compare(b.Rivals[Stranger].Bits, a.Rivals[Stranger].Bits), bytes.Compare(a.Member[:], b.Member[:]))
	})
	// Whoever qualifies comes first, also behind one with more evidence of a weaker kind.
	slices.SortStableFunc(verdicts, func(a, b Verdict) int {
		return boolCompare(a.Reason != ReasonMatched, b.Reason != ReasonMatched)
	})
	d.Best = &verdicts[0]
	if len(verdicts) > 1 {
		d.RunnerUp = &verdicts[1]
	}
	d.Reason = d.Best.Reason
	if d.Reason != ReasonMatched {
		if d.Best.near() {
			d.Grade = GradeReview
		}
		return d
	}
	for i := range verdicts[1:] {
		other := &verdicts[1+i]
		if other.Reason == ReasonMatched || !other.barred && other.Rivals[Stranger].Bits > d.Best.Rivals[Stranger].Bits-clearWinner {
			d.Reason, d.Grade, d.RunnerUp = ReasonSeveral, GradeReview, other
			return d
		}
	}
	d.Member, d.Matched, d.Grade = d.Best.Member, true, GradeMatch
	return d
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// near reports whether an operator should see the candidate: it would be no stranger.
func (v *Verdict) near() bool { return v.Rivals[Stranger].Bits >= v.Rivals[Stranger].Needs-certainty }

// sharedCards returns the values that more than one candidate holds: whatever they are called, they are not one person's.
func sharedCards(candidates []Candidate) map[string]bool {
	var shared map[string]bool
	if len(candidates) < 2 {
		return nil
	}
	holder := map[string]int{}
	for i := range candidates {
		for _, id := range candidates[i].Person.IDs {
			if first, ok := holder[id.Value]; ok && first != i {
				if shared == nil {
					shared = map[string]bool{}
				}
				shared[id.Value] = true
			}
			holder[id.Value] = i
		}
	}
	return shared
}

// hasTwin reports whether another candidate was born on the same day into the same household under another name.
func hasTwin(candidates []Candidate, i int) bool {
	m := &candidates[i].Person
	if m.BirthDate == nil {
		return false
	}
	for j := range candidates {
		o := &candidates[j].Person
		if j == i || o.BirthDate == nil || *o.BirthDate != *m.BirthDate {
			continue
		}
		if slices.ContainsFunc(o.Families, func(f string) bool { return slices.Contains(m.Families, f) }) && together(o, m) {
			return true
		}
	}
	return false
}

// together reports whether two members have a number, an address or a telephone in common.
func together(a, b *Person) bool {
	return slices.ContainsFunc(a.IDs, func(id ID) bool {
		return slices.ContainsFunc(b.IDs, func(other ID) bool { return id.Value == other.Value })
	}) || slices.ContainsFunc(a.Phones, func(s string) bool { return slices.Contains(b.Phones, s) }) ||
		compareAddresses(a.Addresses, b.Addresses) == Exact
}

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

	personal := c.found[National].Level == Exact || c.found[MemberID].Level == Exact
	level := func(f Field) Level { return c.found[f].Level }
	veto := func(when bool, why Reason) {
		if when {
			v.Vetoes = append(v.Vetoes, why)
		}
	}
	outvoted := c.outvotes(md.adult(m))
	veto((level(Birth) == Conflict || level(Birth) == Missing) && !outvoted, ReasonBirthDate)
	veto(level(Given) == Conflict && !outvoted, ReasonGiven)
	veto(level(Given) != Conflict && c.otherName() && !outvoted, ReasonGivenWeak)
	veto(level(Suffix) == Conflict, ReasonSuffix)
	veto(c.order, ReasonBirthOrder)
	veto(c.sibling, ReasonDependent)
	veto(level(National) == Conflict && !(c.verified && level(Given) == Exact && (level(Birth) == Exact || level(Birth) == Near || level(Birth) == Slip)), ReasonNational)
	veto(level(Gender) == Conflict && !(personal && level(Given) == Exact && level(Birth) == Exact), ReasonGender)
	veto(c.generation && level(National) != Exact, ReasonGeneration)
	v.barred = len(v.Vetoes) > 0

	veto(uncorroborated(c) && !md.alone(c), ReasonUncorroborated)
	if level(Given) == Missing {
		own := level(MemberID) == Exact && c.verified && !c.multiple && bornTogether(p, m)
		veto(!(level(National) == Exact || own || namedByEmail(p, m, c)), ReasonGivenWeak)
	}
	// Twins have each other's card at times.
	veto(c.multiple && level(Given) != Exact && level(Given) != Conflict && level(National) != Exact && c.found[Given].Twin < certainty/2, ReasonGivenWeak)
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

// outvotes reports whether a number that is one person's for certain outweighs a single thing that contradicts: a given name
// that was changed, or a birth date that was entered wrong. It takes everything else to agree, and nobody to be a twin: a
// family shares all else, and may mix its cards up.
//
// adult says that the member is too old to be insured as somebody's child: twins are on one number as children only.
func (c *comparison) outvotes(adult bool) bool {
	level := func(f Field) Level { return c.found[f].Level }
	if level(National) != Exact && !(level(MemberID) == Exact && c.verified) {
		return false
	}
	if c.multiple || level(Gender) == Conflict || level(Suffix) == Conflict {
		return false
	}
	if (level(Given) == Conflict || c.otherName()) && (level(Family) == Conflict || level(Family) == Missing) && !c.crossed {
		return false // neither name is the member's: somebody else holds the numbers
	}
	if level(National) == Exact && level(MemberID) == Exact && c.verified {
		return true // two numbers of one person that do not depend on each other
	}
	contact := level(Postal) == Exact || level(Postal) == Slip || level(Phone) == Exact || level(Email) == Exact || level(Email) == Slip
	family := level(Family) != Conflict && level(Family) != Missing
	switch {
	case level(Given) == Conflict, c.otherName():
		if level(Birth) == Exact {
			return contact && (adult || level(National) == Exact)
		}
		near := level(Birth) == Near || level(Birth) == Slip || level(Birth) == Swapped
		return contact && c.otherName() && near && level(National) == Exact
	case c.generation && level(National) != Exact: // a child who bears the name, with the parent's card
		return false
	case level(Birth) == Conflict || level(Birth) == Missing:
		switch level(Given) {
		case Exact, Slip, Nickname, Swapped:
			return family || contact
		case Missing:
			return family && level(Email) == Exact && c.found[Email].Twin >= 4
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
	for _, f := range contacts {
		switch c.found[f].Level {
		case Exact, Slip:
			compared, agree = true, true
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
	const country, together, enough = 28.4, 3., 10_000 // 340 million people; bits; members
	if md.Members < enough || !inFull(c) || c.otherNumber() {
		return false
	}
	bits := 0.
	for _, f := range []Field{Given, Middle, Family, Birth, Gender} {
		bits += c.found[f].Bits
	}
	return bits >= country+together+certainty
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

// Format prints the name of the type, whatever the verb.
func (Candidate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Candidate") }

// LogValue logs the name of the type.
func (Candidate) LogValue() slog.Value { return slog.StringValue("Candidate") }
