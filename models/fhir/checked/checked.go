// Package checked finds its way in JSON that was proven to be JSON when it was imported (fhir.Inspect). It checks nothing; on other input
// its functions return what they find, always within the slice and always after finitely many steps.
package checked

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	each     = 0x0101010101010101 // one bit in each of eight bytes
	highBits = 0x80 * each
)

// Blanks returns the offset of the first byte from i that is no blank.
func Blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// Closing returns the offset behind the closing quote of the string whose text begins at i. It looks at eight bytes at a
// time for a quote or a backslash.
func Closing(b []byte, i int) int {
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

// Value returns the offset behind the value at i.
func Value(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return Closing(b, i+1)
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
			i = Closing(b, i+1)
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

// Members yields the members of an object, in order: the name as it is written, without its quotes, and the value. What is no object
// has none.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		if len(object) == 0 || object[0] != '{' {
			return
		}
		for i := Blanks(object, 1); i < len(object) && object[i] == '"'; {
			behind := Closing(object, i+1)
			name := object[i+1 : max(i+1, behind-1)]
			from := Blanks(object, min(len(object), Blanks(object, behind)+1)) // behind the colon
			end := Value(object, from)
			if !yield(name, object[from:end]) {
				return
			}
			if i = Blanks(object, end); i == len(object) || object[i] != ',' {
				return
			}
			i = Blanks(object, i+1)
		}
	}
}

// Unquote appends the text of a string literal, its escapes resolved. A broken escape stands for itself.
func Unquote(dst, raw []byte) []byte {
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
	if len(raw) < 2 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	return Hex4(raw, 2)
}

// Hex4 reads the four hexadecimal digits at i. ok is false when there are none; it checks, unlike the rest.
func Hex4(b []byte, i int) (r rune, ok bool) {
	if i+4 > len(b) {
		return 0, false
	}
	for _, c := range b[i : i+4] {
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
