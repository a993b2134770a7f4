package seed

// Kind says what is wrong with an entry of a match request, if anything.
type Kind string

// Members of the roster, described rightly or with differences that normalising removes.
const (
	KindExact       Kind = "exact"       // as we hold it
	KindCase        Kind = "case"        // names in upper or lower case
	KindPunctuation Kind = "punctuation" // hyphens, apostrophes or spaces in names dropped or exchanged
	KindDiacritics  Kind = "diacritics"  // accents dropped
	KindSpace       Kind = "space"       // stray spaces in names and ids
	KindIDHyphen    Kind = "id-hyphen"   // hyphens in the ids
	KindIDZeros     Kind = "id-zeros"    // leading zeros of the ids dropped or added
	KindMissing     Kind = "missing"     // one of the two ids left out, and some contact data
)

// Members of the roster, described with mistakes.
const (
	KindTypo     Kind = "typo"     // one slip in the given or family name
	KindNickname Kind = "nickname" // Bill for William
	KindSwapped  Kind = "swapped"  // given and middle name exchanged, or given and family name
	KindMoved    Kind = "moved"    // another address and phone
	KindSurname  Kind = "surname"  // another family name
	KindSparse   Kind = "sparse"   // names, birth date and the id the family shares; nothing else
)

// People who are not members.
const (
	KindAbsentTwin     Kind = "absent-twin"     // twin of a member, same birth date, address, subscriber id; not enrolled here
	KindAbsentRelative Kind = "absent-relative" // another of a member's household who is not enrolled here
	KindStranger       Kind = "stranger"        // nobody we know
	KindLookalike      Kind = "lookalike"       // a stranger with the name and birth date of a member
)

// Members of the roster whose consent does not carry. The description is exact.
const (
	KindExpired       Kind = "consent-expired"          // the period has ended
	KindNotYet        Kind = "consent-not-yet"          // the period begins after the anchor
	KindOtherPayer    Kind = "consent-other-payer"      // the recipient is another payer than the requester
	KindUnknownPolicy Kind = "consent-unknown-policy"   // the policy is neither of the two of HRex
	KindNoConsent     Kind = "stranger-without-consent" // a stranger, and the consent has expired too: nobody to match
)

// Outcome is the Group an entry belongs in.
type Outcome string

// The outcomes of a match, one for each Group of the answer.
const (
	Matched     Outcome = "matched"
	NoMatch     Outcome = "nomatch"
	Constrained Outcome = "constrained"
)

// Outcome returns where a matcher that makes no mistake puts an entry of this kind.
func (k Kind) Outcome() Outcome {
	switch k {
	case KindAbsentTwin, KindAbsentRelative, KindStranger, KindLookalike, KindNoConsent:
		return NoMatch
	case KindExpired, KindNotYet, KindOtherPayer, KindUnknownPolicy:
		return Constrained
	}
	return Matched
}

// share is the weight of a kind in a mix.
type share struct {
	kind   Kind
	weight int
}

// cleanMix can be told apart by comparing normalised family name, given name, birth date and either id.
var cleanMix = []share{
	{KindExact, 50},
	{KindCase, 5},
	{KindPunctuation, 3},
	{KindDiacritics, 3},
	{KindSpace, 4},
	{KindIDHyphen, 5},
	{KindIDZeros, 3},
	{KindMissing, 5},
	{KindStranger, 8},
	{KindAbsentTwin, 2},
	{KindAbsentRelative, 2},
	{KindExpired, 5},
	{KindOtherPayer, 4},
	{KindNoConsent, 1},
}

// hardMix is what requests look like in practice, with the dangerous kinds made common.
var hardMix = []share{
	{KindExact, 36},
	{KindCase, 2},
	{KindPunctuation, 2},
	{KindDiacritics, 2},
	{KindSpace, 1},
	{KindIDHyphen, 3},
	{KindIDZeros, 2},
	{KindMissing, 5},
	{KindTypo, 8},
	{KindNickname, 4},
	{KindSwapped, 3},
	{KindMoved, 6},
	{KindSurname, 4},
	{KindSparse, 3},
	{KindStranger, 6},
	{KindLookalike, 1},
	{KindAbsentTwin, 2},
	{KindAbsentRelative, 2},
	{KindExpired, 3},
	{KindNotYet, 1},
	{KindOtherPayer, 2},
	{KindUnknownPolicy, 1},
	{KindNoConsent, 1},
}

func drawKind(r *rng, mix []share) Kind {
	total := 0
	for _, s := range mix {
		total += s.weight
	}
	d := r.n(total)
	for _, s := range mix {
		if d -= s.weight; d < 0 {
			return s.kind
		}
	}
	return KindExact
}
