package segment

import "math/bits"

// A table entry says, for the next bits of the input, which symbol they begin with:
//
//	bits  0..4   how many bits to take: the code and the extra bits behind it
//	bits  5..7   unused
//	bits  8..11  how many of them are the code
//	bits 12..14  what it is; none of these: a length or a distance
//	bits 16..31  the literal, or the base of the length or distance, or where the second table starts
const (
	isLiteral = 1 << 12
	isNested  = 1 << 13 // longer than the first table: bits 8..11 say how many bits index the second
	isEnd     = 1 << 14 // end of block
)

// Bits that index the first tables. Longer codes are rare by construction.
const (
	literalBits  = 10
	distanceBits = 8
	preBits      = 7
	maxCodeBits  = 15
)

// Symbols of an alphabet (RFC 1951 section 3.2.5); the fixed code names two more lengths and distances that no block may use.
const (
	numLiterals  = 286
	numDistances = 30
	numPre       = 19
	endOfBlock   = 256
)

// Room for a first table and its second tables. No complete code of these alphabets needs more than 1334 and 402 entries;
// powers of two spare the decoder the bounds checks.
const (
	literalRoom  = 4096
	distanceRoom = 1024
)

// The entries of the alphabets without the lengths of their codes. 0 marks a symbol that must not occur.
var (
	literalSymbols = func() (s [288]uint32) {
		for v := range 256 {
			s[v] = isLiteral | uint32(v)<<16
		}
		s[endOfBlock] = isEnd
		base := uint32(3)
		for v := 257; v < 285; v++ {
			extra := uint32(max(0, (v-261)/4))
			s[v] = base<<16 | extra
			base += 1 << extra
		}
		s[285] = 258 << 16
		return s
	}()
	distanceSymbols = func() (s [32]uint32) {
		base := uint32(1)
		for v := range numDistances {
			extra := uint32(max(0, v/2-1))
			s[v] = base<<16 | extra
			base += 1 << extra
		}
		return s
	}()
	preSymbols = func() (s [numPre]uint32) {
		for v := range s {
			s[v] = isLiteral | uint32(v)<<16
		}
		return s
	}()
)

// buildTable fills table, whose first 2^root entries are indexed by the next root bits of the input, for the canonical code
// with the given lengths (0: the symbol has no code). It reports false for a code that is not complete; as in zlib, a
// single code of one bit is allowed, and so is none at all.
func buildTable(table []uint32, root int, lengths []uint8, symbols []uint32) bool {
	var count, next [maxCodeBits + 1]int
	for _, l := range lengths {
		count[l]++
	}
	count[0] = 0
	longest, code := 0, 0
	for l := 1; l <= maxCodeBits; l++ {
		code = (code + count[l-1]) << 1
		next[l] = code
		if count[l] > 0 {
			longest = l
		}
	}
	if longest == 0 {
		clear(table[:1<<root])
		return true
	}
	if used := next[longest] + count[longest]; used != 1<<longest {
		if longest != 1 || used != 1 {
			return false
		}
		clear(table[:1<<root])
	}
	if longest > root {
		return buildNested(table, root, lengths, symbols, &next)
	}
	for s, l := range lengths {
		if l == 0 {
			continue
		}
		fill(table[:1<<root], next[l], int(l), symbols[s], int(l))
		next[l]++
	}
	return true
}

// buildNested is buildTable for a code with codes longer than root bits.
func buildNested(table []uint32, root int, lengths []uint8, symbols []uint32, next *[maxCodeBits + 1]int) bool {
	first := table[:1<<root]
	clear(first)
	// The longest code behind each prefix decides the size of its second table.
	at := *next
	for _, l := range lengths {
		if int(l) <= root {
			continue
		}
		p := reverse(at[l], int(l)) & (1<<root - 1)
		at[l]++
		first[p] = max(first[p], uint32(l)-uint32(root))
	}
	free := 1 << root
	for p, k := range first {
		if k == 0 {
			continue
		}
		if free+1<<k > len(table) {
			return false
		}
		first[p] = isNested | uint32(free)<<16 | k<<8 | uint32(root)
		free += 1 << k
	}
	for s, l := range lengths {
		if l == 0 {
			continue
		}
		c := next[l]
		next[l]++
		if int(l) <= root {
			fill(first, c, int(l), symbols[s], int(l))
			continue
		}
		e := first[reverse(c, int(l))&(1<<root-1)]
		second := table[e>>16:][:1<<(e>>8&15)]
		// What is left of the code after its first root bits.
		fill(second, c&(1<<(int(l)-root)-1), int(l)-root, symbols[s], int(l)-root)
	}
	return true
}

// fill writes the entry of a symbol wherever table is indexed by its code of l bits and whatever follows it.
func fill(table []uint32, code, l int, symbol uint32, taken int) {
	if symbol != 0 {
		symbol += uint32(taken)<<8 + uint32(taken)
	}
	for i := reverse(code, l); i < len(table); i += 1 << l {
		table[i] = symbol
	}
}

// reverse returns a code of l bits as it lies in the input, first bit lowest.
func reverse(code, l int) int { return int(bits.Reverse16(uint16(code)) >> (16 - l)) }
