package release

import (
	"bytes"

	"pdexbulk/models/fhir/checked"
)

// members goes through the members of the object that begins at i. fn gets the name and the bounds of the value, and may
// say that it has seen enough.
func members(b []byte, i int, fn func(name []byte, start, end int) bool) {
	for i = checked.Blanks(b, i+1); i < len(b) && b[i] == '"'; {
		behind := checked.Closing(b, i+1)
		name := b[i+1 : max(i+1, behind-1)]
		start := checked.Blanks(b, behind)
		start = checked.Blanks(b, start+1) // the colon
		end := checked.Value(b, start)
		if start > end || end > len(b) || !fn(name, start, end) {
			return
		}
		if i = checked.Blanks(b, end); i < len(b) && b[i] == ',' {
			i = checked.Blanks(b, i+1)
		} else {
			return
		}
	}
}

// elements goes through the elements of the array that begins at i.
func elements(b []byte, i int, fn func(start, end int) bool) {
	for i = checked.Blanks(b, i+1); i < len(b) && b[i] != ']'; {
		end := checked.Value(b, i)
		if end <= i || !fn(i, end) {
			return
		}
		if i = checked.Blanks(b, end); i < len(b) && b[i] == ',' {
			i = checked.Blanks(b, i+1)
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
	fn(i, checked.Value(b, i))
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
	return checked.Unquote(nil, raw)
}
