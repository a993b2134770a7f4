package search

import (
	"slices"
	"strings"

	"pdexbulk/models/fhir"
)

// Kind is the type of a search parameter (http://hl7.org/fhir/search-param-type), as a CapabilityStatement writes it.
type Kind string

// The kinds that the supported parameters have.
const (
	KindToken     Kind = "token"
	KindDate      Kind = "date"
	KindReference Kind = "reference"
	KindString    Kind = "string"
	KindURI       Kind = "uri"
)

// Param is a search parameter of a resource type.
type Param struct {
	Name string
	Kind Kind
}

// Parameters returns the search parameters that filters on a resource type may use, those of every type first, each part
// in alphabetical order. It returns nil for a code that names no type.
func Parameters(typeCode int16) []Param {
	if fhir.TypeName(typeCode) == "" {
		return nil
	}
	own := byType[typeCode]
	list := make([]Param, 0, len(common)+len(own))
	for _, p := range common {
		list = append(list, Param{p.name, p.kind})
	}
	for _, p := range own {
		list = append(list, Param{p.name, p.kind})
	}
	slices.SortFunc(list[len(common):], func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// param is what the table says of a search parameter, made ready.
type param struct {
	name  string
	kind  Kind
	paths [][]step
	// code: a token over elements without codings: code, id or boolean.
	code bool
	// system is the code system that a required binding gives to a code element.
	system string
	// exact: the token is an id, which is compared with case.
	exact bool
	// targets are the types that a reference may be to; nil for any.
	targets []string
	// patient: only references to a Patient count, as in subject.where(resolve() is Patient).
	patient bool
	// canonical: the element is a canonical or uri, not a Reference.
	canonical bool
	service   service
	updated   bool // meta.lastUpdated
}

// step is one element of a path. With a URL it means the extensions of that URL alone.
type step struct{ name, url string }

// service says how the dates of a parameter relate to the dates of service that fhir.Inspect finds.
type service uint8

const (
	// serviceNone: not at all.
	serviceNone service = iota
	// serviceWithin: what the parameter looks at lies within them.
	serviceWithin
	// serviceClosed: that too, but fhir.Inspect closes periods that a search sees as open.
	serviceClosed
)

// byType holds the parameters of each type's own.
var byType = func() map[int16][]param {
	types := map[int16][]param{}
	for _, r := range table {
		types[r.code] = append(types[r.code], r.compile())
	}
	return types
}()

var common = func() (list []param) {
	for _, r := range commonTable {
		list = append(list, r.compile())
	}
	return list
}()

// find returns the parameter of a name for a type, nil when there is none.
func find(typeCode int16, name string) *param {
	for _, list := range [][]param{common, byType[typeCode]} {
		for i := range list {
			if list[i].name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// compile makes a row of the table ready.
func (r row) compile() param {
	p := param{name: r.name, kind: r.kind}
	for path := range strings.FieldsSeq(r.paths) {
		p.paths = append(p.paths, parsePath(path))
	}
	switch r.kind {
	case KindToken:
		switch r.detail {
		case "":
		case "id":
			p.code, p.exact = true, true
		default:
			p.code, p.system = true, r.detail
		}
	case KindReference:
		p.compileReference(r.detail)
	case KindDate:
		switch r.detail {
		case "service":
			p.service = serviceWithin
		case "service!":
			p.service = serviceClosed
		case "updated":
			p.updated = true
		}
	case KindURI:
		p.canonical = true
	case KindString:
	}
	return p
}

func (p *param) compileReference(detail string) {
	for word := range strings.FieldsSeq(detail) {
		switch word {
		case "where":
			p.patient = true
		case "canonical":
			p.canonical = true
		default:
			p.targets = append(p.targets, word)
		}
	}
}

// parsePath splits a path at its dots, except those in the URL of an extension.
func parsePath(path string) (steps []step) {
	for path != "" {
		i := strings.IndexAny(path, ".(")
		if i < 0 {
			return append(steps, step{name: path})
		}
		s := step{name: path[:i]}
		if path[i] == '(' {
			end := strings.IndexByte(path, ')')
			s.url = path[i+1 : end]
			i = end + 1
		}
		steps = append(steps, s)
		path = strings.TrimPrefix(path[i:], ".")
	}
	return steps
}
