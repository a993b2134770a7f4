package fhir

import (
	"bytes"
	"iter"

	"pdexbulk/models/fhir/checked"
)

// SharedReferences calls fn with every literal reference of a line to a type that is shareable (see Shareable), as Type/id,
// once for each time it stands there. References to what the resource contains, and conditional ones, are not literal. What fn
// gets may point into the line.
func SharedReferences(line []byte, fn func(typ int16, ref []byte)) {
	for text := range References(line) {
		if typ, ref, ok := literalIn(text); ok && Shareable(typ) {
			fn(typ, ref)
		}
	}
}

// The name of Reference.reference is searched for from its rarest letter on. Lines are full of quotes and of the other letters,
// and a search that begins with one of those stops at each: it takes four times as long.
var (
	referenceName = []byte(`"re`)
	referenceTail = []byte(`ference"`)
)

// References yields the text of every member called reference, anywhere in a line that has passed Inspect. It looks for the
// name alone, which is quick, and so also finds a string that is no Reference.reference; whoever follows a reference finds a
// resource there or does not. What it yields may point into the line.
func References(line []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := scanner{b: line, blank: documentBlanks}
		for from := 0; ; {
			i := bytes.Index(line[from:], referenceTail)
			if i < 0 {
				return
			}
			named := bytes.HasSuffix(line[:from+i], referenceName)
			from += i + len(referenceTail)
			at := s.space(from)
			if !named || at >= len(line) || line[at] != ':' {
				continue
			}
			if at = s.space(at + 1); at >= len(line) || line[at] != '"' {
				continue
			}
			s.escaped = false
			end := s.str(at + 1)
			if end < 0 {
				return
			}
			text := line[at+1 : end : end]
			if s.escaped {
				text = checked.Unquote(nil, text)
			}
			if !yield(text) {
				return
			}
			from = end
		}
	}
}

var history = []byte("/_history/")

// literalIn finds type and id, and both as Type/id, in a literal reference.
func literalIn(ref []byte) (typ int16, both []byte, ok bool) {
	ref, _, _ = bytes.Cut(ref, history)
	slash := bytes.LastIndexByte(ref, '/')
	if slash < 0 || !validID(ref[slash+1:]) {
		return 0, nil, false
	}
	name := bytes.LastIndexByte(ref[:slash], '/') + 1
	typ, ok = typeCodes[string(ref[name:slash])]
	return typ, ref[name:], ok
}

// Literal splits a literal reference, relative or absolute, into type and id.
func Literal(ref string) (typ int16, id string, ok bool) { return literal(ref) }

func literal(ref string) (typ int16, id string, ok bool) {
	typ, both, ok := literalIn([]byte(ref))
	if !ok {
		return 0, "", false
	}
	return typ, string(both[bytes.IndexByte(both, '/')+1:]), true
}
