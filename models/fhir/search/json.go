package search

import (
	"bytes"

	"pdexbulk/models/fhir/checked"
)

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
	i := checked.Blanks(m.b, m.end)
	if i < len(m.b) && m.b[i] == ',' {
		i = checked.Blanks(m.b, i+1)
	}
	m.end = i
	if i >= len(m.b) || m.b[i] != '"' {
		return nil, nil, false
	}
	m.start = i
	i = checked.Closing(m.b, i+1)
	name = m.b[m.start+1 : max(i-1, m.start+1)]
	if i = checked.Blanks(m.b, i); i < len(m.b) && m.b[i] == ':' {
		i = checked.Blanks(m.b, i+1)
	}
	m.end = checked.Value(m.b, i)
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
	i := checked.Blanks(e.b, e.end)
	if i < len(e.b) && e.b[i] == ',' {
		i = checked.Blanks(e.b, i+1)
	}
	e.end = checked.Value(e.b, i)
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
	scratch = checked.Unquote(scratch[:0], raw)
	return scratch, scratch
}
