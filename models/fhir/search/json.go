package search

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions here read JSON that was proven to be JSON when it was imported. They check nothing; on other input they
// return what they find, always within the slice and always after finitely many steps.

const (
	each     = 0x0101010101010101 // one bit in each of eight bytes
	highBits = 0x80 * each
)

// blanks returns the offset of the first byte from i that is no blank.
func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// closing returns the offset behind the closing quote of the string whose text begins at i. It looks at eight bytes at a
// time for a quote or a backslash.
func closing(b []byte, i int) int {
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^'"'*each, w^'\\'*each
		// Subtracting borrows only into bytes above the first hit, so the lowest marked byte is a true one.
		hit := ((quote-each)&^quote | (slash-each)&^slash) & highBits
		if hit == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(hit) >> 3
		if b[i] == '"' {
			return i + 1
		}
		i += 2
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// skip returns the offset behind the value at i.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return closing(b, i+1)
	case '{', '[':
	default:
		for i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']' {
			i++
		}
		return i
	}
	depth := 1
	for i++; i < len(b); {
		switch b[i] {
		case '"':
			i = closing(b, i+1)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(b)
}

// members iterates over the members of an object, in order.
type members struct {
	b []byte
	// start and end bound the member last returned, from the opening quote of its name to behind its value. After the
	// last one, end is the offset at which the closing brace was looked for.
	start, end int
}

// membersOf returns the iterator of a value; one that is no object has no members.
func membersOf(value []byte) members {
	if len(value) == 0 || value[0] != '{' {
		return members{}
	}
	return members{b: value, end: 1}
}

// next returns the name as it is written, without its quotes, and the value.
func (m *members) next() (name, value []byte, ok bool) {
	i := blanks(m.b, m.end)
	if i < len(m.b) && m.b[i] == ',' {
		i = blanks(m.b, i+1)
	}
	m.end = i
	if i >= len(m.b) || m.b[i] != '"' {
		return nil, nil, false
	}
	m.start = i
	i = closing(m.b, i+1)
	name = m.b[m.start+1 : max(i-1, m.start+1)]
	if i = blanks(m.b, i); i < len(m.b) && m.b[i] == ':' {
		i = blanks(m.b, i+1)
	}
	m.end = skip(m.b, i)
	return name, m.b[i:m.end], true
}

// elements iterates over the elements of an array. Anything else counts as an array of itself, as FHIRPath has it.
type elements struct {
	b   []byte
	end int
	one bool
}

func elementsOf(value []byte) elements {
	if len(value) > 0 && value[0] == '[' {
		return elements{b: value, end: 1}
	}
	return elements{b: value, one: true}
}

func (e *elements) next() (value []byte, ok bool) {
	if e.one {
		value, e.b = e.b, nil
		return value, len(value) > 0
	}
	i := blanks(e.b, e.end)
	if i < len(e.b) && e.b[i] == ',' {
		i = blanks(e.b, i+1)
	}
	e.end = skip(e.b, i)
	if e.end == i {
		return nil, false
	}
	return e.b[i:e.end], true
}

// member returns the value of the first member of an object with a name, nil when there is none.
func member(object []byte, name string) []byte {
	for m := membersOf(object); ; {
		n, value, ok := m.next()
		if !ok {
			return nil
		}
		if string(n) == name {
			return value
		}
	}
}

// literal returns what is between the quotes of a string, escapes and all, and nil for any other value.
func literal(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	return value[1 : len(value)-1 : len(value)-1]
}

// text returns the text of a string and nil for any other value. Without escapes that is the slice itself; otherwise it
// is made in, and returned as, scratch.
func text(value, scratch []byte) (txt, scratchAfter []byte) {
	raw := literal(value)
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw, scratch
	}
	scratch = unquote(scratch[:0], raw)
	return scratch, scratch
}

// unquote appends the text of a string literal, its escapes resolved. A broken escape stands for itself.
func unquote(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' || i+1 == len(raw) {
			dst = append(dst, raw[i])
			i++
			continue
		}
		switch c := raw[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := escaped(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		default: // a quote, a backslash or a slash
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}

// escaped reads a \uXXXX escape, or two that are the halves of a surrogate pair, and says how long it is.
func escaped(raw []byte) (r rune, n int) {
	r, ok := hex4(raw)
	if !ok {
		return utf8.RuneError, 2
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hex4(raw[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 reads the \uXXXX at the start of raw.
func hex4(raw []byte) (r rune, ok bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	for _, c := range raw[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
