package search

import (
	"bytes"
	"slices"
	"strings"

	"pdexbulk/models/fhir"
)

// refValue is one value of a reference parameter (https://hl7.org/fhir/R4/search.html#reference), or a URI.
type refValue struct {
	typ     string // "" for any
	id      string // of a relative reference
	version string // "" for any
	url     string // an absolute one; id is then ""
}

// parseReference reads id, Type/id, either of them with /_history/version, or an absolute URL. Those below base are as good
// as relative. typ is that of the :[type] modifier.
func parseReference(value, base, typ string, p *param) (refValue, string) {
	value, ok := unescape(value)
	if !ok {
		return refValue{}, badEscape
	}
	var r refValue
	if p.canonical {
		value, r.version, _ = strings.Cut(value, "|")
	}
	if base != "" {
		value = strings.TrimPrefix(value, strings.TrimSuffix(base, "/")+"/")
	}
	if strings.Contains(value, ":") {
		r.url = value
		return r, ""
	}
	if !p.canonical {
		value, r.version, _ = strings.Cut(value, "/_history/")
	}
	r.id = value
	if i := strings.IndexByte(value, '/'); i >= 0 {
		r.typ, r.id = value[:i], value[i+1:]
	}
	switch {
	case !fhir.ValidID(r.id):
		return refValue{}, "a value is neither an id, nor Type/id, nor an absolute URL"
	case r.typ == "":
		r.typ = typ
	case typ != "" && r.typ != typ:
		return refValue{}, "a value names another type than the modifier"
	}
	if r.typ != "" && !p.allows(r.typ) {
		return refValue{}, "a value names a type that the parameter never refers to"
	}
	return r, ""
}

// allows reports whether a reference may be to a type.
func (p *param) allows(typ string) bool {
	if p.targets == nil {
		_, known := fhir.TypeCode(typ)
		return known
	}
	return slices.Contains(p.targets, typ)
}

// parseURI reads a canonical or other URI, which is compared as it is, but for a |version that only one side has.
func parseURI(value string) (refValue, string) {
	value, ok := unescape(value)
	if !ok {
		return refValue{}, badEscape
	}
	var r refValue
	r.url, r.version, _ = strings.Cut(value, "|")
	if r.url == "" {
		return refValue{}, "a value is not a URI"
	}
	return r, ""
}

// reference tests a Reference or canonical.
func (c *condition) reference(value []byte, s *state) bool {
	raw, typ := value, []byte(nil)
	if !c.param.canonical {
		raw = nil
		for m := membersOf(value); ; {
			name, v, ok := m.next()
			if !ok {
				break
			}
			switch string(name) {
			case "reference":
				raw = v
			case "type":
				typ = literal(v)
			}
		}
	}
	var written []byte
	if written, s.code = text(raw, s.code); written == nil {
		return c.modifier == modMissing && (!c.param.patient || string(typ) == "Patient")
	}
	t := parseTarget(written, c.param.canonical)
	if t.typ == nil {
		t.typ = typ
	}
	if c.param.patient && string(t.typ) != "Patient" && (!t.uuid || t.typ != nil) {
		return false
	}
	if c.modifier == modMissing {
		return true
	}
	for i := range c.refs {
		if c.refs[i].covers(&t, c.param) {
			return true
		}
	}
	return false
}

// target is a reference taken apart.
type target struct {
	typ, id, version []byte
	whole            []byte // without the version
	uuid             bool
}

// parseTarget reads a reference or canonical as fhir.Inspect does: an absolute URL names, by its end, the same resource
// as a relative one, since what an import took in is this server's.
func parseTarget(written []byte, canonical bool) target {
	t := target{whole: written}
	separator := []byte("/_history/")
	if canonical {
		separator = []byte("|")
	}
	if i := bytes.LastIndex(written, separator); i >= 0 {
		t.whole, t.version = written[:i], written[i+len(separator):]
	}
	if id, ok := bytes.CutPrefix(t.whole, []byte("urn:uuid:")); ok {
		t.id, t.uuid = id, true
		return t
	}
	slash := bytes.LastIndexByte(t.whole, '/')
	if slash < 0 {
		return t
	}
	kind := t.whole[:slash]
	if i := bytes.LastIndexByte(kind, '/'); i >= 0 {
		if !bytes.HasPrefix(kind, []byte("http://")) && !bytes.HasPrefix(kind, []byte("https://")) {
			return t
		}
		kind = kind[i+1:]
	}
	t.typ, t.id = kind, t.whole[slash+1:]
	return t
}

func (r *refValue) covers(t *target, p *param) bool {
	if r.version != "" && r.version != string(t.version) {
		return false
	}
	if r.url != "" {
		return r.url == string(t.whole)
	}
	if r.id != string(t.id) {
		return false
	}
	if t.typ == nil { // a urn:uuid of a resource whose type is not said
		return t.uuid && (r.typ == "" || len(p.targets) == 1)
	}
	if r.typ != "" {
		return r.typ == string(t.typ)
	}
	return p.targets == nil || slices.ContainsFunc(p.targets, func(typ string) bool { return typ == string(t.typ) })
}

// uri tests a canonical or other URI.
func (c *condition) uri(value []byte, s *state) bool {
	var written []byte
	if written, s.code = text(value, s.code); written == nil {
		return false
	}
	whole, version, _ := bytes.Cut(written, []byte("|"))
	for i := range c.refs {
		r := &c.refs[i]
		if r.url == string(whole) && (r.version == "" || r.version == string(version)) {
			return true
		}
	}
	return false
}
