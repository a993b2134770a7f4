package release

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The functions below walk JSON that has been checked before (fhir.Inspect): they find bounds and do not validate. On
// anything else they stay within the slice.

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// Byte masks of a word: one bit, or the top bit, in each of eight bytes.
const (
	each8    = 0x0101010101010101
	topBits8 = 0x80 * each8
)

// text returns the offset behind the string that begins at i. It looks at eight bytes at a time for a quote or a backslash.
func text(b []byte, i int) int {
	for i++; i < len(b); {
		if i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, escape := w^'"'*each8, w^'\\'*each8
			// Subtracting borrows only into bytes above the first hit, so the lowest marked byte is a true one.
			hit := ((quote-each8)&^quote | (escape-each8)&^escape) & topBits8
			if hit == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(hit) >> 3
		}
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
		i++
	}
	return len(b)
}

// value returns the offset behind the value that begins at i.
func value(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return text(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = text(b, i)
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
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// members goes through the members of the object that begins at i. fn gets the name and the bounds of the value, and may
// say that it has seen enough.
func members(b []byte, i int, fn func(name []byte, start, end int) bool) {
	for i = blank(b, i+1); i < len(b) && b[i] == '"'; {
		behind := text(b, i)
		name := b[i+1 : max(i+1, behind-1)]
		start := blank(b, behind)
		start = blank(b, start+1) // the colon
		end := value(b, start)
		if start > end || end > len(b) || !fn(name, start, end) {
			return
		}
		if i = blank(b, end); i < len(b) && b[i] == ',' {
			i = blank(b, i+1)
		} else {
			return
		}
	}
}

// elements goes through the elements of the array that begins at i.
func elements(b []byte, i int, fn func(start, end int) bool) {
	for i = blank(b, i+1); i < len(b) && b[i] != ']'; {
		end := value(b, i)
		if end <= i || !fn(i, end) {
			return
		}
		if i = blank(b, end); i < len(b) && b[i] == ',' {
			i = blank(b, i+1)
		} else {
			return
		}
	}
}

// member returns the bounds of an object's member of this name; the first, if there are several.
func member(b []byte, i int, name string) (start, end int, ok bool) {
	if i >= len(b) || b[i] != '{' {
		return 0, 0, false
	}
	members(b, i, func(n []byte, s, e int) bool {
		if string(n) == name {
			start, end, ok = s, e, true
		}
		return !ok
	})
	return start, end, ok
}

// each calls fn with the value at i or, when that is an array, with every element of it.
func each(b []byte, i int, fn func(start, end int)) {
	if i < len(b) && b[i] == '[' {
		elements(b, i, func(s, e int) bool { fn(s, e); return true })
		return
	}
	fn(i, value(b, i))
}

// at follows a path of member names from the value at i, through arrays, and calls fn with the bounds of what it leads to.
func at(b []byte, i int, fn func(start, end int), path ...string) {
	each(b, i, func(s, e int) {
		if len(path) == 0 {
			fn(s, e)
			return
		}
		if next, _, ok := member(b, s, path[0]); ok {
			at(b, next, fn, path[1:]...)
		}
	})
}

// str returns the text of a string value, its escapes resolved where it has any; "" when it is no string.
func str(b []byte, start, end int) []byte {
	if end-start < 2 || b[start] != '"' || b[end-1] != '"' {
		return nil
	}
	raw := b[start+1 : end-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return unescape(raw)
}
