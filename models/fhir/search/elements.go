package search

import (
	"bytes"
	"slices"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/checked"
)

// Elements is a parsed _elements. The zero value leaves every resource whole. It never changes and may be shared.
type Elements struct {
	byType map[int16]selection
}

// selection is what stays of a resource type.
type selection struct {
	names   map[string]bool
	choices []string // base names, which any type may follow
}

// maxElements bounds an _elements; no type has nearly as many.
const maxElements = 1000

// everyType stays in every resource.
var everyType = [...]string{"resourceType", "id", "meta", "implicitRules", "modifierExtension"}

// ParseElements parses the values of the _elements parameters of one request: element names between commas, each for one type
// (Patient.name) or for all (name). Only elements at the root of a resource can be named
// (https://hl7.org/fhir/uv/bulkdata/STU2/export.html#query-parameters). An element that a type does not have is not noticed.
// The error is a models.Error of KindInvalid at _elements.
func ParseElements(values []string) (Elements, error) {
	asked := map[int16][]string{} // 0 for all types
	number := 0
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if number++; number > maxElements {
				return Elements{}, badElements("there are more than %d elements", maxElements)
			}
			code, name, err := parseElement(strings.TrimSpace(part), number)
			if err != nil {
				return Elements{}, err
			}
			asked[code] = append(asked[code], name)
		}
	}
	e := Elements{byType: map[int16]selection{}}
	for code := int16(1); fhir.TypeName(code) != ""; code++ {
		if names := slices.Concat(asked[code], asked[0]); len(names) > 0 {
			e.byType[code] = choose(code, names)
		}
	}
	return e, nil
}

func badElements(format string, args ...any) error {
	return models.Errorf(models.KindInvalid, format, args...).At("_elements")
}

// parseElement reads name or Type.name.
func parseElement(part string, number int) (code int16, name string, err error) {
	name = part
	if typ, rest, typed := strings.Cut(part, "."); typed {
		var known bool
		if code, known = fhir.TypeCode(typ); !known {
			return 0, "", badElements("element %d: what stands before the dot is no resource type of FHIR R4; only elements at the root of a resource can be named", number)
		}
		name = rest
	}
	if strings.Contains(name, ".") {
		return 0, "", badElements("element %d: only elements at the root of a resource can be named", number)
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return 0, "", badElements("element %d is not the name of an element", number)
		}
	}
	if name == "" {
		return 0, "", badElements("element %d is empty", number)
	}
	return code, name, nil
}

// choose puts together what stays of a type.
func choose(code int16, asked []string) selection {
	s := selection{names: map[string]bool{}}
	for _, name := range everyType {
		s.names[name] = true
	}
	for _, name := range append(strings.Fields(base[code].always), asked...) {
		s.names[name] = true
	}
	for choice := range strings.FieldsSeq(base[code].choices) {
		if s.names[choice] {
			s.choices = append(s.choices, choice)
		}
	}
	return s
}

// keeps reports whether a member stays. _name goes where name goes.
func (s selection) keeps(name []byte) bool {
	name = bytes.TrimPrefix(name, []byte("_"))
	if s.names[string(name)] {
		return true
	}
	for _, choice := range s.choices {
		if len(name) > len(choice) && string(name[:len(choice)]) == choice && 'A' <= name[len(choice)] && name[len(choice)] <= 'Z' {
			return true
		}
	}
	return false
}

// Applies reports whether resources of a type lose elements.
func (e Elements) Applies(typeCode int16) bool {
	_, ok := e.byType[typeCode]
	return ok
}

// Subsetted is the tag of a resource that lost elements, as Apply writes it.
const Subsetted = `{"system":"` + subsettedSystem + `","code":"` + subsettedCode + `"}`

const (
	subsettedSystem = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
	subsettedCode   = "SUBSETTED"
)

// Apply appends a resource of a type to dst, without the elements that were not asked for, and returns the result. What was
// asked for stays, and what R4 does not let go: resourceType, id, meta, mandatory elements, and those that modify the meaning
// of others; and meta.tag says SUBSETTED. What stays is copied byte by byte. A line of a type that was not asked about, and
// one that is not an object, is copied whole, and so is what follows the resource (a line break).
func (e Elements) Apply(dst, line []byte, typeCode int16) []byte {
	s, ok := e.byType[typeCode]
	start := checked.Blanks(line, 0)
	if !ok || start == len(line) || line[start] != '{' {
		return append(dst, line...)
	}
	dst = append(dst, '{')
	// Where a meta goes if there is none: behind the id, else behind the resourceType, else first.
	metaAt, rank, tagged := len(dst), 0, false
	first := len(dst)
	m := membersOf(line[start:])
	for {
		name, value, ok := m.next()
		if !ok {
			break
		}
		if !s.keeps(name) {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		switch member := m.b[m.start:m.end]; string(name) {
		case "meta":
			dst = append(dst, member[:len(member)-len(value)]...)
			dst, tagged = appendMeta(dst, value), true
		case "id":
			dst = append(dst, member...)
			metaAt, rank = len(dst), 2
		case "resourceType":
			dst = append(dst, member...)
			if rank < 2 {
				metaAt, rank = len(dst), 1
			}
		default:
			dst = append(dst, member...)
		}
	}
	if !tagged {
		dst = insertMeta(dst, metaAt, first)
	}
	return append(dst, m.b[m.end:]...)
}

const newMeta = `"meta":{"tag":[` + Subsetted + `]}`

// insertMeta puts a meta into the members that begin at first, at an offset behind one of them or at first.
func insertMeta(dst []byte, at, first int) []byte {
	switch {
	case len(dst) == first:
		return append(dst, newMeta...)
	case at == first:
		return insert(dst, at, newMeta+",")
	default:
		return insert(dst, at, ","+newMeta)
	}
}

func insert(dst []byte, at int, text string) []byte {
	dst = append(dst, text...)
	copy(dst[at+len(text):], dst[at:])
	copy(dst[at:], text)
	return dst
}

// appendMeta appends a Meta with the tag. What cannot be a Meta or a list of tags is replaced.
func appendMeta(dst, meta []byte) []byte {
	if len(meta) == 0 || meta[0] != '{' {
		return append(append(append(dst, `{"tag":[`...), Subsetted...), `]}`...)
	}
	m := membersOf(meta)
	empty := true
	for {
		name, value, ok := m.next()
		if !ok {
			break
		}
		empty = false
		if string(name) == "tag" {
			dst = append(dst, meta[:m.end-len(value)]...)
			dst = appendTags(dst, value)
			return append(dst, meta[m.end:]...)
		}
	}
	dst = append(dst, meta[:m.end]...)
	if !empty {
		dst = append(dst, ',')
	}
	dst = append(append(append(dst, `"tag":[`...), Subsetted...), ']')
	return append(dst, meta[m.end:]...)
}

func appendTags(dst, tags []byte) []byte {
	if len(tags) == 0 || tags[0] != '[' {
		return append(append(append(dst, '['), Subsetted...), ']')
	}
	list := elementsOf(tags)
	empty := true
	for {
		tag, ok := list.next()
		if !ok {
			break
		}
		empty = false
		sys, _ := text(member(tag, "system"), nil)
		code, _ := text(member(tag, "code"), nil)
		if string(sys) == subsettedSystem && string(code) == subsettedCode {
			return append(dst, tags...)
		}
	}
	dst = append(dst, tags[:list.end]...)
	if !empty {
		dst = append(dst, ',')
	}
	return append(append(dst, Subsetted...), tags[list.end:]...)
}
