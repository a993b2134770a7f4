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

// Format prints the name of the type, whatever the verb.
func (Candidate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Candidate") }

// LogValue logs the name of the type.
func (Candidate) LogValue() slog.Value { return slog.StringValue("Candidate") }
