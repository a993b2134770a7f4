package match

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// agreement says how well two sets of given names agree. The order is the strength.
type agreement int

const (
	contradict agreement = iota // both known, and not the same
	missing                     // one side has none
	partly                      // the first agrees and a later one does not, or is but an initial; or the only one is a later one of the other's
	fully                       // nothing differs that both have
)

// agree compares all given names that two people are known by and returns the best agreement of any pair.
func agree(as, bs []string) agreement {
	as, bs = slices.DeleteFunc(slices.Clone(as), isEmpty), slices.DeleteFunc(slices.Clone(bs), isEmpty)
	if len(as) == 0 || len(bs) == 0 {
		return missing
	}
	best := contradict
	for _, a := range as {
		for _, b := range bs {
			best = max(best, agreeOne(strings.Fields(a), strings.Fields(b)))
		}
	}
	return best
}

func isEmpty(s string) bool { return s == "" }

// agreeOne compares the given names of one name each. The result does not depend on which comes first.
func agreeOne(a, b []string) agreement {
	if restA, restB, ok := cutFirst(a, b); ok {
		if sameMiddle(restA, restB) && (isWhole(a[0]) || isWhole(b[0])) {
			return fully
		}
		return partly
	}
	if sameWords(a, b) && slices.ContainsFunc(a, isWhole) {
		return fully
	}
	if len(a) == 1 && isIn(a[0], b) || len(b) == 1 && isIn(b[0], a) {
		return partly
	}
	return contradict
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

// sameMiddle reports whether the given names after the first do not differ as far as both have them. An initial stands for
// any name it begins.
func sameMiddle(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] || isInitial(a[i]) && strings.HasPrefix(b[i], a[i]) || isInitial(b[i]) && strings.HasPrefix(a[i], b[i]) {
			continue
		}
		return false
	}
	return true
}

func isInitial(word string) bool { return utf8.RuneCountInString(word) == 1 }

func isWhole(word string) bool { return !isInitial(word) }

// sameWords reports whether both have the same words in another order.
func sameWords(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// isIn reports whether a whole given name, not an initial, is among others.
func isIn(word string, words []string) bool { return isWhole(word) && slices.Contains(words, word) }
