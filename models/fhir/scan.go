package fhir

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"pdexbulk/models/fhir/checked"
)

// Limits on a line. A FHIR resource stays far below them; they bound what a hostile line can cost.
const (
	MaxDepth   = 64  // levels of objects and arrays, the resource included
	MaxMembers = 256 // members of the resource object; the richest R4 type has fewer than 100, with _ siblings
)

// maxBytes keeps offsets in an int32.
const maxBytes = 1 << 30

// scanner checks JSON (RFC 8259) in place. Its methods take the offset to read at and return the offset behind what
// they read, or stop (-1) once they have noted the reason.
type scanner struct {
	b       []byte
	blank   uint64 // the bytes that count as blank, one bit each
	reason  Reason
	at      int
	escaped bool // str met a backslash; callers that care clear it first

	// What member names say in passing, wherever they stand.
	codes     []int32 // where the values of members called code begin
	money     bool    // a name or a system is that of an amount of money
	resources int     // members called resourceType
}

const stop = -1

func (s *scanner) fail(reason Reason, at int) int {
	s.reason, s.at = reason, at
	return stop
}

// Blanks between tokens. Line breaks are legal JSON, but cannot be inside an NDJSON line.
const (
	lineBlanks     = 1<<' ' | 1<<'\t'
	documentBlanks = lineBlanks | 1<<'\n' | 1<<'\r'
)

// Check reports whether a document, which may span lines, is what Inspect would take for JSON: RFC 8259, in valid UTF-8, at
// most MaxDepth deep, no name escaped. Any value is allowed at the top. The error is a *Reject.
func Check(document []byte) error {
	if len(document) > maxBytes {
		return &Reject{Reason: ReasonTooLong, Offset: maxBytes}
	}
	s := scanner{b: document, blank: documentBlanks}
	if s.document() < 0 {
		return &Reject{Reason: s.reason, Offset: s.at}
	}
	return nil
}

// document reads one value and nothing else.
func (s *scanner) document() int {
	i := s.skip(0, 0)
	if i < 0 {
		return stop
	}
	if i = s.space(i); i != len(s.b) {
		return s.fail(ReasonNotJSON, i)
	}
	return i
}

// space skips blanks.
func (s *scanner) space(i int) int {
	for i < len(s.b) && s.b[i] <= ' ' && s.blank>>s.b[i]&1 == 1 {
		i++
	}
	return i
}

// Byte masks of a word: one bit or byte value in each of eight bytes.
const (
	each     = 0x0101010101010101
	highBits = 0x80 * each
)

// str reads the rest of a string whose opening quote is before i, and returns the offset of its closing quote. It looks at
// eight bytes at a time for one that needs attention: a quote, a backslash, a control character, or one beyond ASCII.
func (s *scanner) str(i int) int {
	b := s.b
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		// Subtracting borrows only into bytes above the first hit, so the lowest marked byte is a true one.
		odd := ((w - 0x20*each) | ((w ^ '"'*each) - each) | ((w ^ '\\'*each) - each) | w) & highBits
		if odd == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(odd) >> 3
		if b[i] == '"' {
			return i
		}
		if i = s.special(i); i < 0 {
			return stop
		}
	}
	for i < len(b) {
		c := b[i]
		if c == '"' {
			return i
		}
		if c >= 0x20 && c < utf8.RuneSelf && c != '\\' {
			i++
			continue
		}
		if i = s.special(i); i < 0 {
			return stop
		}
	}
	return s.fail(ReasonNotJSON, i)
}

// special reads one escape, or a run of characters beyond ASCII.
func (s *scanner) special(i int) int {
	b := s.b
	if b[i] == '\\' {
		s.escaped = true
		return s.escape(i)
	}
	if b[i] < 0x20 {
		return s.fail(ReasonNotJSON, i)
	}
	for i < len(b) && b[i] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return s.fail(ReasonBadUTF8, i)
		}
		i += size
	}
	return i
}

// escape reads one escape sequence, or two when they are the halves of a surrogate pair.
func (s *scanner) escape(i int) int {
	b := s.b
	if i+1 >= len(b) {
		return s.fail(ReasonNotJSON, i)
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
	default:
		return s.fail(ReasonNotJSON, i)
	}
	r, ok := checked.Hex4(b, i+2)
	if !ok {
		return s.fail(ReasonNotJSON, i)
	}
	if r < 0xd800 || r > 0xdfff {
		return i + 6
	}
	if r < 0xdc00 && i+8 <= len(b) && b[i+6] == '\\' && b[i+7] == 'u' {
		if low, ok := checked.Hex4(b, i+8); ok && 0xdc00 <= low && low <= 0xdfff {
			return i + 12
		}
	}
	return s.fail(ReasonBadUTF8, i)
}

// key reads a member name, its colon and the blanks around it, from where a name must begin. It returns the bounds of the
// name and the offset of the value.
func (s *scanner) key(i int) (start, end, value int) {
	i = s.space(i)
	if i >= len(s.b) || s.b[i] != '"' {
		return 0, 0, s.fail(ReasonNotJSON, i)
	}
	start = i + 1
	s.escaped = false
	end = s.str(start)
	if end < 0 {
		return 0, 0, stop
	}
	if s.escaped {
		return 0, 0, s.fail(ReasonEscapedKey, start)
	}
	i = s.space(end + 1)
	if i >= len(s.b) || s.b[i] != ':' {
		return 0, 0, s.fail(ReasonNotJSON, i)
	}
	i = s.space(i + 1)
	s.notice(s.b[start:end], i)
	return start, end, i
}

// CurrencySystem is the system of currency codes (ISO 4217).
const CurrencySystem = "urn:iso:std:iso:4217"

// notice takes in the name of a member whose value begins at i.
func (s *scanner) notice(name []byte, i int) {
	switch string(name) {
	case "code":
		s.codes = append(s.codes, int32(i))
	case "system":
		// Where no escape is among as many bytes, they are the text itself.
		begins := s.b[min(i+1, len(s.b)):min(i+1+len(CurrencySystem), len(s.b))]
		s.money = s.money || string(begins) == CurrencySystem || bytes.IndexByte(begins, '\\') >= 0
	case "resourceType":
		s.resources++
	default:
		if n := len(name); n > 4 && name[n-1] == 'y' {
			s.money = s.money || bytes.HasSuffix(name, []byte("Money")) || bytes.HasSuffix(name, []byte("currency"))
		}
	}
}

// next reads what follows a member or element: a comma, after which there is more, or the closing bracket.
func (s *scanner) next(i int, bracket byte) (after int, more bool) {
	i = s.space(i)
	if i < len(s.b) {
		switch s.b[i] {
		case ',':
			return i + 1, true
		case bracket:
			return i + 1, false
		}
	}
	return s.fail(ReasonNotJSON, i), false
}

// skip checks one value of any kind. depth is how many levels enclose it. The open levels are kept as one bit each (1 an
// object), which MaxDepth allows.
func (s *scanner) skip(i, depth int) int {
	b := s.b
	var objects uint64
	floor := depth
	for {
		// A value begins at i.
		i = s.space(i)
		if i >= len(b) {
			return s.fail(ReasonNotJSON, i)
		}
		switch c := b[i]; c {
		case '"':
			if i = s.str(i + 1); i < 0 {
				return stop
			}
			i++
		case '{', '[':
			if depth++; depth > MaxDepth {
				return s.fail(ReasonTooDeep, i)
			}
			objects <<= 1
			i = s.space(i + 1)
			if c == '{' {
				objects |= 1
				if i < len(b) && b[i] == '}' {
					break
				}
				if _, _, i = s.key(i); i < 0 {
					return stop
				}
				continue
			}
			if i < len(b) && b[i] == ']' {
				break
			}
			continue
		default:
			if i = s.scalar(i); i < 0 {
				return stop
			}
		}
		// A value has ended: close what it ends, up to the next member or element.
		for {
			if depth == floor {
				return i
			}
			i = s.space(i)
			if i >= len(b) {
				return s.fail(ReasonNotJSON, i)
			}
			c := b[i]
			i++
			if c == ',' {
				break
			}
			if object := objects&1 == 1; object && c != '}' || !object && c != ']' {
				return s.fail(ReasonNotJSON, i-1)
			}
			objects >>= 1
			depth--
		}
		if objects&1 == 1 {
			if _, _, i = s.key(i); i < 0 {
				return stop
			}
		}
	}
}

// scalar reads a number, true, false or null.
func (s *scanner) scalar(i int) int {
	switch s.b[i] {
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	}
	return s.number(i)
}

func (s *scanner) literal(i int, word string) int {
	if i+len(word) > len(s.b) || string(s.b[i:i+len(word)]) != word {
		return s.fail(ReasonNotJSON, i)
	}
	return i + len(word)
}

func (s *scanner) number(i int) int {
	b := s.b
	if b[i] == '-' {
		i++
	}
	start := i
	if i = s.digits(i); i < 0 {
		return stop
	}
	if b[start] == '0' && i > start+1 {
		return s.fail(ReasonNotJSON, start)
	}
	if i < len(b) && b[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			return stop
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return s.digits(i)
	}
	return i
}

// digits reads one or more decimal digits.
func (s *scanner) digits(i int) int {
	start := i
	for i < len(s.b) && s.b[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return s.fail(ReasonNotJSON, i)
	}
	return i
}
