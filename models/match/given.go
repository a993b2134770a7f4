package match

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// givenAgreement is how two names agree in their given names.
type givenAgreement struct {
	first, middle Level
	a, b          string // the words by which the first agree or nearly do
	half          bool   // one may be half of the other, and of a brother's or sister's: Mei of Mei Ling, and of Mei Hua
	bits, twin    float64
}

// agreeGiven compares all given names that two people are known by and returns the best agreement of any pair.
func (md *Model) agreeGiven(as, bs []string) givenAgreement {
	best := givenAgreement{}
	for _, a := range as {
		for _, b := range bs {
			found := agreeNames(strings.Fields(a), strings.Fields(b))
			md.weighGiven(&found)
			if best.first == Missing || found.better(best) {
				best = found
			}
		}
	}
	return best
}

// garbled is the weight of a given name and what is two slips from it and nobody's name. One in sixty records of a person is
// so. Of a twin it takes a name that one in forty has, which is near this one by chance besides, or a name that was garbled as
// well, and happens to come near: together about one in three thousand.
const garbled = 5

// rhyme is how much likelier, in bits, a twin is to have a name that is nearly the other's than any name. What is nearly a name
// and is a name itself never tells twins apart.
const rhyme = 3

// mayBeTwins is the most that a given name weighs against a twin when it may be a twin's own. garbledAsNear is that of nobody's name
// that is as near to another name: a twin has to have the other name, and it has to be garbled besides.
const (
	mayBeTwins    = 2.
	garbledAsNear = 2.5
)

// weighGiven gives an agreement its weights: against strangers, and against brothers and sisters, who are seldom called
// the same and often nearly so.
func (md *Model) weighGiven(g *givenAgreement) {
	switch g.first {
	case Exact:
		g.bits = md.exactBits(Given, g.a)
		g.twin = 10
	case Swapped:
		g.bits = md.exactBits(Given, g.a)
		g.twin = 9
	case Nickname:
		rate, most := nicknameRate, 6.
		if areCousins(g.a, g.b) {
			rate, most = cousinRate, mayBeTwins
		}
		if isShared(g.a, g.b) || isShared(g.b, g.a) {
			most = mayBeTwins
		}
		g.bits = md.apartBits(Given, g.a, g.b, rate, 0, 8)
		g.twin = min(g.bits, most)
	case Slip:
		g.bits = md.apartBits(Given, g.a, g.b, slipRate, -4, 7)
		g.twin = g.bits
		if md.named(g.a) == md.named(g.b) {
			g.twin = min(g.bits-rhyme, mayBeTwins)
		} else if md.asNear(g.a, g.b) {
			g.twin = min(g.bits, garbledAsNear)
		}
	case Near:
		g.bits = md.apartBits(Given, g.a, g.b, nearRate, -5, 4)
		g.twin = min(g.bits, mayBeTwins)
		if md.named(g.a) != md.named(g.b) && !md.nearer(g.a) && !md.nearer(g.b) {
			g.bits, g.twin = garbled, garbled
		}
	case Part:
		g.bits = max(0, md.exactBits(Given, g.a)-5)
		g.twin = min(g.bits, mayBeTwins)
	case Initial:
		g.bits, g.twin = 1, 1
	case Conflict:
		g.bits = md.bits[Given][Conflict]
		g.twin = g.bits
	default:
	}
}

func (g givenAgreement) better(h givenAgreement) bool {
	if c := cmp.Or(cmp.Compare(g.twin, h.twin), cmp.Compare(g.bits, h.bits), cmp.Compare(givenRank[g.first], givenRank[h.first])); c != 0 {
		return c > 0
	}
	return middleRank[g.middle] > middleRank[h.middle]
}

// The orders of how well names agree.
var (
	givenRank  = [levelCount]int{Conflict: 1, Near: 2, Initial: 3, Part: 4, Slip: 5, Nickname: 6, Swapped: 7, Exact: 8}
	middleRank = [levelCount]int{Conflict: 1, Missing: 2, Initial: 3, Exact: 4}
)

// agreeNames compares the given names of one name each. The result does not depend on which comes first.
func agreeNames(a, b []string) givenAgreement {
	if len(a) == 0 || len(b) == 0 {
		return givenAgreement{}
	}
	if restA, restB, ok := cutFirst(a, b); ok {
		first, rest := Exact, middle(restA, restB)
		switch {
		case !isWhole(a[0]) && !isWhole(b[0]):
			first = Initial
		case rest == Conflict && (isPrefix(a[0]) || isWhole(restA[0]) && isWhole(restB[0])): // brother and sister, Min Jun and Min Ji
			first = Part
		}
		found := agreed(first, rest, a[0], b[0])
		found.half = isSyllable(a[0]) && isSyllable(b[0]) && min(len(restA), len(restB)) == 0 && slices.ContainsFunc(slices.Concat(restA, restB), isSyllable)
		return found
	}
	rest := middle(a[1:], b[1:])
	switch {
	case len(a) > 1 && sameWords(a, b) && slices.ContainsFunc(a, isWhole):
		return agreed(Swapped, Missing, a[0], a[0])
	case isNickname(a[0], b[0]), isClipped(a[0], b[0]):
		return agreed(Nickname, rest, a[0], b[0])
	}
	if x, y, ok := exchangedSlip(a, b); ok {
		return agreed(Slip, Missing, x, y)
	}
	// Known by the middle name: the only name there is one of the later ones here.
	if len(a) == 1 && isIn(a[0], b) || len(b) == 1 && isIn(b[0], a) {
		word := a[0]
		if len(b) == 1 {
			word = b[0]
		}
		return agreed(Part, Missing, word, word)
	}
	if isInitial(a[0]) && strings.HasPrefix(b[0], a[0]) || isInitial(b[0]) && strings.HasPrefix(a[0], b[0]) {
		return agreed(Initial, rest, a[0], b[0])
	}
	shorter := min(len(a[0]), len(b[0]))
	switch n := slips(a[0], b[0]); {
	case n == 1 && shorter >= 3:
		return agreed(Slip, rest, a[0], b[0])
	case n == 2 && shorter >= 4:
		return agreed(Near, rest, a[0], b[0])
	}
	// One of the two may have been written together, with a slip (Maryan, Mary Ann), or cut short.
	if (len(a) > 1 || len(b) > 1) && shorter >= 3 && slips(strings.Join(a, ""), strings.Join(b, "")) <= 1 {
		return agreed(Slip, Missing, strings.Join(a, ""), strings.Join(b, ""))
	}
	return agreed(Conflict, Missing, a[0], b[0])
}

// exchangedSlip returns the words that a slip parts, of two given names that are in another order besides.
func exchangedSlip(a, b []string) (x, y string, ok bool) {
	if len(a) != 2 || len(b) != 2 {
		return "", "", false
	}
	for i := range a {
		if x, y = a[i], b[1-i]; a[1-i] == b[i] && min(len(x), len(y)) >= 4 && slips(x, y) == 1 {
			return x, y, true
		}
	}
	return "", "", false
}

// cutFirst takes the first given name off both, if it is the same. It may be one word here and several there: Maryann and
// Mary Ann.
func cutFirst(a, b []string) (restA, restB []string, ok bool) {
	for i := range a {
		if strings.Join(a[:i+1], "") == b[0] {
			return a[i+1:], b[1:], true
		}
	}
	for i := range b {
		if strings.Join(b[:i+1], "") == a[0] {
			return a[1:], b[i+1:], true
		}
	}
	return nil, nil, false
}

// middle compares the given names after the first, as far as both have them. An initial stands for any name it begins.
func middle(a, b []string) Level {
	best := Missing
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == b[i] && isWhole(a[i]):
			best = Exact
		case a[i] == b[i] || isInitial(a[i]) && strings.HasPrefix(b[i], a[i]) || isInitial(b[i]) && strings.HasPrefix(a[i], b[i]):
			if best == Missing {
				best = Initial
			}
		case slips(a[i], b[i]) == 1 && min(len(a[i]), len(b[i])) >= 4, isNickname(a[i], b[i]):
			if best == Missing {
				best = Initial
			}
		default:
			return Conflict
		}
	}
	return best
}

func isInitial(word string) bool { return utf8.RuneCountInString(word) == 1 }

func isWhole(word string) bool { return !isInitial(word) }

// sameWords reports whether both have the same words in another order.
func sameWords(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// isIn reports whether a whole given name, not an initial, is among others.
func isIn(word string, words []string) bool { return isWhole(word) && slices.Contains(words, word) }

func agreed(first, middle Level, a, b string) givenAgreement {
	return givenAgreement{first: first, middle: middle, a: a, b: b}
}
