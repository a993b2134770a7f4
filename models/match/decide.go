package match

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/google/uuid"

	"pdexbulk/models"
)

// Candidate is one row of the member index that came into question: a member under one of its names. A member with several
// names comes once for each, with the same Member, and with the same Cards. It prints as "Candidate".
type Candidate struct {
	Member    uuid.UUID
	Family    string // as in Row
	Given     string // as in Row
	BirthDate *int32 // days since 1970-01-01
	Gender    string
	Cards     []ID // the identifiers of the member whose values are among Person.Values, with the member's kinds
}

// Reason says in one fixed code how a decision came about. Codes are stored and shown to operators; they never change, and
// they are never disclosed to a caller.
type Reason string

// The reasons. Of several candidates who all fail, the one that got furthest gives the reason; they are in that order.
const (
	ReasonIncomplete   Reason = "incomplete"          // submitted without family name or whole birth date
	ReasonNoCandidate  Reason = "no-candidate"        // nobody shares an identifier, or family name and birth date
	ReasonFamily       Reason = "family-conflict"     // family names differ
	ReasonBirthDate    Reason = "birth-date-conflict" // or ours is not known
	ReasonGender       Reason = "gender-conflict"
	ReasonSuffix       Reason = "suffix-conflict"   // father and son
	ReasonGiven        Reason = "given-conflict"    // given names differ: a twin, a spouse
	ReasonIdentifier   Reason = "no-identifier"     // identifiers were submitted, and none is the member's
	ReasonGivenWeak    Reason = "given-weak"        // the given name is missing or agrees in part, and the identifiers do not carry that
	ReasonDemographics Reason = "demographics-weak" // no identifier was submitted, and given name or gender do not agree in full
	ReasonSeveral      Reason = "several"           // more than one member qualifies
	ReasonMatched      Reason = "matched"
)

// progress orders the reasons why a candidate fails by how far it got.
var progress = []Reason{
	ReasonFamily, ReasonBirthDate, ReasonGender, ReasonSuffix, ReasonGiven, ReasonIdentifier, ReasonGivenWeak, ReasonDemographics,
}

// Decision is the answer. Member is the zero UUID unless Matched.
type Decision struct {
	Member  uuid.UUID
	Matched bool
	Reason  Reason
}

// Decide returns the one member among the candidates that p is, or none. The order of candidates does not matter.
func Decide(p Person, candidates []Candidate) Decision {
	if len(p.Families) == 0 || p.BirthDate == nil {
		return Decision{Reason: ReasonIncomplete}
	}
	members := gather(candidates)
	shared := sharedCards(members)
	decision := Decision{Reason: ReasonNoCandidate}
	furthest := -1
	for _, m := range members {
		reason := judge(p, m, shared)
		if reason == ReasonMatched {
			if decision.Matched {
				return Decision{Reason: ReasonSeveral}
			}
			decision = Decision{Member: m.id, Matched: true, Reason: ReasonMatched}
			continue
		}
		if at := slices.Index(progress, reason); !decision.Matched && at > furthest {
			decision.Reason, furthest = reason, at
		}
	}
	return decision
}

// member is a candidate under all its names.
type member struct {
	id       uuid.UUID
	families []string
	givens   []string
	suffixes []string
	born     []*int32
	genders  []string
	cards    []ID
}

// gather puts the rows of each member together.
func gather(candidates []Candidate) []*member {
	var members []*member
	byID := make(map[uuid.UUID]*member, len(candidates))
	for _, c := range candidates {
		m := byID[c.Member]
		if m == nil {
			m = &member{id: c.Member}
			byID[c.Member] = m
			members = append(members, m)
		}
		given, suffix := splitGiven(c.Given)
		m.families = appendNew(m.families, c.Family)
		m.givens = appendNew(m.givens, given)
		m.suffixes = appendNew(m.suffixes, suffix)
		m.genders = appendNew(m.genders, c.Gender)
		m.born = append(m.born, c.BirthDate)
		for _, id := range c.Cards {
			if !slices.Contains(m.cards, id) {
				m.cards = append(m.cards, id)
			}
		}
	}
	slices.SortFunc(members, func(a, b *member) int { return bytes.Compare(a.id[:], b.id[:]) })
	return members
}

// sharedCards returns the values that more than one member holds: whatever they are called, they are not one person's.
func sharedCards(members []*member) map[string]bool {
	holder := map[string]*member{}
	shared := map[string]bool{}
	for _, m := range members {
		for _, id := range m.cards {
			if first := holder[id.Value]; first != nil && first != m {
				shared[id.Value] = true
			}
			holder[id.Value] = m
		}
	}
	return shared
}

// judge compares one member with the person and returns ReasonMatched or what is against it.
func judge(p Person, m *member, shared map[string]bool) Reason {
	if !slices.ContainsFunc(p.Families, func(f string) bool { return slices.Contains(m.families, f) }) {
		return ReasonFamily
	}
	if slices.ContainsFunc(m.born, func(b *int32) bool { return b == nil || *b != *p.BirthDate }) {
		return ReasonBirthDate
	}
	if slices.ContainsFunc(m.genders, func(g string) bool { return oppose(g, p.Gender) }) {
		return ReasonGender
	}
	if p.Suffix != "" && slices.ContainsFunc(m.suffixes, func(s string) bool { return s != p.Suffix }) {
		return ReasonSuffix
	}
	given := agree(p.Givens, m.givens)
	if given == contradict {
		return ReasonGiven
	}
	if len(p.IDs) == 0 {
		if given == fully && slices.Contains(m.genders, p.Gender) {
			return ReasonMatched
		}
		return ReasonDemographics
	}
	found := weigh(p.IDs, m.cards, shared)
	switch {
	case found == nothing:
		return ReasonIdentifier
	case found < needed[given]:
		return ReasonGivenWeak
	}
	return ReasonMatched
}

// oppose reports whether two genders exclude that it is one person. "other" excludes neither: systems differ in offering it.
func oppose(a, b string) bool { return a == "male" && b == "female" || a == "female" && b == "male" }

// evidence says whom the identifiers held in common point to. The order is the strength.
type evidence int

const (
	nothing  evidence = iota
	ofFamily          // a subscriber number, or one whose meaning is not known
	ofPerson          // a member id, which a payer may have given to one person or not
	national          // a Medicare or social security number
)

// needed is the evidence that each agreement of the given names takes.
var needed = map[agreement]evidence{missing: national, partly: ofPerson, fully: ofFamily}

// weigh returns the strongest evidence among the identifiers that the person and a member have in common.
func weigh(ids, cards []ID, shared map[string]bool) evidence {
	best := nothing
	for _, id := range ids {
		for _, card := range cards {
			if id.Value != card.Value {
				continue
			}
			found := between(id.Kind, card.Kind)
			if shared[id.Value] || found == ofPerson && (isSubscriber(ids, id.Value) || isSubscriber(cards, id.Value)) {
				found = min(found, ofFamily)
			}
			best = max(best, found)
		}
	}
	return best
}

// isSubscriber reports whether a value is also a subscriber number: then it is the family's, whatever else it is called.
func isSubscriber(ids []ID, value string) bool {
	return slices.Contains(ids, ID{models.CardSubscriber, value})
}

// between returns what it means that the same value is an identifier of one kind there and of another here. Payers put
// numbers in the wrong place, so most kinds meet; a social security number only meets its own.
func between(a, b models.CardKind) evidence {
	switch {
	case a == models.CardSSN && b == models.CardSSN, a == models.CardMBI && b == models.CardMBI:
		return national
	case a == models.CardSSN || b == models.CardSSN:
		return nothing
	case a == models.CardMemberID && b == models.CardMemberID:
		return ofPerson
	case !known(a) || !known(b):
		return nothing
	}
	return ofFamily
}

func known(kind models.CardKind) bool { return models.CardMemberID <= kind && kind <= models.CardOther }

// Format prints the name of the type, whatever the verb.
func (Candidate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Candidate") }

// LogValue logs the name of the type.
func (Candidate) LogValue() slog.Value { return slog.StringValue("Candidate") }
