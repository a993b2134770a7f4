package fhir

import (
	"bytes"
	"strings"
)

var referenceKey = []byte(`"reference"`)

// SharedReferences calls fn with every literal reference of a line to a type that is shareable (see Shareable), as Type/id,
// once for each time it stands there. References to what the resource contains, and conditional ones, are not literal.
//
// It looks for the member name alone, which is quick, and so also finds a string that is no Reference.reference; whoever
// follows a reference finds a resource there or does not.
func SharedReferences(line []byte, fn func(typ int16, id string)) {
	for {
		i := bytes.Index(line, referenceKey)
		if i < 0 {
			return
		}
		line = line[i+len(referenceKey):]
		value := bytes.TrimLeft(line, " \t")
		if len(value) == 0 || value[0] != ':' {
			continue
		}
		value = bytes.TrimLeft(value[1:], " \t")
		if len(value) == 0 || value[0] != '"' {
			continue
		}
		value = value[1:]
		end := bytes.IndexByte(value, '"')
		if end < 0 {
			return
		}
		if typ, id, ok := literal(string(value[:end])); ok && Shareable(typ) {
			fn(typ, id)
		}
	}
}

// literal splits a literal reference into type and id.
func literal(ref string) (typ int16, id string, ok bool) {
	ref, _, _ = strings.Cut(ref, "/_history/")
	slash := strings.LastIndexByte(ref, '/')
	if slash < 0 || !ValidID(ref[slash+1:]) {
		return 0, "", false
	}
	name := ref[:slash]
	typ, ok = TypeCode(name[strings.LastIndexByte(name, '/')+1:])
	return typ, ref[slash+1:], ok
}
