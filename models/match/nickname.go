package match

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

//go:embed nicknames.txt
var nicknameText string

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

// familiar holds every name of the nickname table: names that people have, as against what a slip makes of one.
var familiar = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for short, longs := range nicknameTable() {
		names[short] = true
		for _, long := range longs {
			names[long] = true
		}
	}
	return names
})

// isNickname reports whether one name is short for the other, or both are short for the same (Liz and Beth).
func isNickname(a, b string) bool {
	table := nicknameTable()
	as, bs := table[a], table[b]
	if slices.Contains(as, b) {
		return true
	}
	if slices.Contains(bs, a) {
		return true
	}
	for _, x := range as {
		if slices.Contains(bs, x) {
			return true
		}
	}
	return false
}
