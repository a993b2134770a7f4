package match

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed nicknames.txt
var nicknameText string

//go:embed given_names.txt
var givenText string

// bearers is how many of ten million people in the United States have a given name, for the names that more than a few have.
var bearers = sync.OnceValue(func() map[string]int32 {
	table := make(map[string]int32, 16_000)
	for line := range strings.Lines(givenText) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(count, 10, 32); err == nil {
			table[name] = int32(n)
		}
	}
	return table
})

// nicknameTable maps a short form to the names it is short for.
var nicknameTable = sync.OnceValue(func() map[string][]string {
	table := map[string][]string{}
	for line := range strings.Lines(nicknameText) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		for _, short := range words[1:] {
			table[short] = append(table[short], words[0])
		}
	}
	return table
})

// isNickname reports whether one name is short for the other, or both are short for the same (Liz and Beth).
func isNickname(a, b string) bool {
	return isShortFor(a, b) || isShortFor(b, a) || slices.ContainsFunc(nicknameTable()[a], func(long string) bool { return isShortFor(b, long) })
}

func isShortFor(short, long string) bool { return slices.Contains(nicknameTable()[short], long) }

// areCousins reports whether two short forms of one name are names of their own, and neither is short for the other: Marie and
// Maria may well be sisters.
func areCousins(a, b string) bool {
	return !isShortFor(a, b) && !isShortFor(b, a) && isCommon(a) && isCommon(b)
}

// isShared reports whether a short form is as well that of another common name than this one: Debbie may be Debra's, or her twin
// Deborah's. Where it is not short for this one, but they have a form in common, the other must be none that this one is short for:
// Jess may be Jessica, whom nobody calls Janet.
func isShared(short, name string) bool {
	its := isShortFor(short, name)
	return slices.ContainsFunc(nicknameTable()[short], func(long string) bool {
		return long != name && isCommon(long) && (its || !isShortFor(name, long))
	})
}

// prefixes are given names that brothers and sisters have in common, and are told apart by the next: Maria Elena and Maria Teresa.
var prefixes = map[string]bool{
	"abd": true, "abdel": true, "abdul": true, "ma": true, "maria": true, "md": true, "mohamad": true, "mohamed": true, "mohammad": true, "mohammed": true,
	"mohd": true, "muhamad": true, "muhammad": true, "muhammed": true, "nur": true, "sai": true, "siti": true, "sri": true,
}

func isPrefix(name string) bool { return prefixes[name] }

// isSyllable reports whether a name may be half of one that is written in two words, as Chinese and Korean ones are: Mei, but not Aiko.
func isSyllable(name string) bool {
	vowels := strings.FieldsFunc(name, func(r rune) bool { return !strings.ContainsRune("aeiouy", r) })
	return len(name) <= 5 && isWhole(name) && len(vowels) == 1 && !isCommon(name)
}

// isCommon reports whether one in ten thousand people or more has the given name.
func isCommon(name string) bool { return bearers()[name] >= 1000 }

// isClipped reports whether one is the front of the other, and hardly anybody's whole name: Barb of Barbara.
func isClipped(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	const seldom, oftener = 500, 20
	return len(a) >= 4 && len(b) >= len(a)+2 && strings.HasPrefix(b, a) && bearers()[a] < seldom && bearers()[b] >= oftener*max(1, bearers()[a])
}
