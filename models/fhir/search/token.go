package search

import "bytes"

// token is one value of a token parameter (https://hl7.org/fhir/R4/search.html#token).
type token struct {
	// anySystem: code alone was given. Otherwise system says which it must be, "" for none.
	anySystem bool
	system    string
	// anyCode: system| was given.
	anyCode bool
	code    []byte
}

// parseToken reads code, system|code, |code or system|.
func parseToken(value string) (token, string) {
	parts := splitEscaped(value, '|')
	switch len(parts) {
	case 1:
		code, ok := unescape(parts[0])
		if !ok {
			return token{}, badEscape
		}
		return token{anySystem: true, code: []byte(code)}, ""
	case 2:
		sys, ok1 := unescape(parts[0])
		code, ok2 := unescape(parts[1])
		switch {
		case !ok1 || !ok2:
			return token{}, badEscape
		case sys == "" && code == "":
			return token{}, "a value has neither a system nor a code"
		}
		return token{system: sys, code: []byte(code), anyCode: code == ""}, ""
	}
	return token{}, "a value has more than one |; write \\| for one that is part of it"
}

// covers reports whether a coding has what the token asks for. Codes are compared without regard to case, as R4 advises
// when the code system does not settle it, and ids with it; systems are URIs and compared as they are.
func (t *token) covers(sys, code []byte, exact bool) bool {
	if !t.anySystem && t.system != string(sys) {
		return false
	}
	if t.anyCode {
		return true
	}
	if exact {
		return bytes.Equal(t.code, code)
	}
	return bytes.EqualFold(t.code, code)
}

// token tests a value of any type that tokens apply to: a code, boolean or id; a Coding, CodeableConcept or Identifier.
func (c *condition) token(value []byte, s *state) bool {
	switch value[0] {
	case '"':
		var code []byte
		code, s.code = text(value, s.code)
		return c.primitive(code)
	case '{':
	default:
		return c.primitive(value)
	}
	sys, code, codings := s.parts(value)
	if code != nil || sys != nil {
		if c.coding(sys, code) {
			return true
		}
	}
	if codings == nil {
		return false
	}
	for e := elementsOf(codings); ; {
		coding, ok := e.next()
		if !ok {
			return false
		}
		if sys, code, _ := s.parts(coding); c.coding(sys, code) {
			return true
		}
	}
}

// primitive tests a code, id or boolean, whose system is not in the resource.
func (c *condition) primitive(code []byte) bool {
	for i := range c.tokens {
		t := &c.tokens[i]
		if t.anySystem || t.system == "" {
			if t.covers(nil, code, c.param.exact) {
				return true
			}
			continue
		}
		if t.system == c.param.system && (t.anyCode || bytes.EqualFold(t.code, code)) {
			return true
		}
	}
	return false
}

func (c *condition) coding(sys, code []byte) bool {
	if code == nil && sys == nil {
		return false
	}
	for i := range c.tokens {
		t := &c.tokens[i]
		if (code != nil || t.anyCode) && t.covers(sys, code, false) {
			return true
		}
	}
	return false
}

// parts returns the system and the code or value of a Coding or Identifier, nil for those that are absent, and the codings
// of a CodeableConcept.
func (s *state) parts(object []byte) (sys, code, codings []byte) {
	for m := membersOf(object); ; {
		name, value, ok := m.next()
		if !ok {
			return sys, code, codings
		}
		switch string(name) {
		case "system":
			sys, s.system = text(value, s.system)
		case "code", "value":
			if len(value) > 0 && value[0] == '"' {
				code, s.code = text(value, s.code)
			}
		case "coding":
			codings = value
		}
	}
}

// label tests the texts of a CodeableConcept, Coding or Identifier (modifier :text).
func (c *condition) label(value []byte, s *state) bool {
	for m := membersOf(value); ; {
		name, v, ok := m.next()
		if !ok {
			return false
		}
		switch string(name) {
		case "text", "display":
			ok = c.text(v, s)
		case "coding":
			ok = false
			for e := elementsOf(v); !ok; {
				coding, more := e.next()
				if !more {
					break
				}
				ok = c.text(member(coding, "display"), s)
			}
		case "type": // of an Identifier
			ok = c.text(member(v, "text"), s)
		default:
			ok = false
		}
		if ok {
			return true
		}
	}
}
