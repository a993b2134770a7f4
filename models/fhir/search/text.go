package search

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// phrase is one value of a string parameter, or of a token with :text. For :exact it is as given, otherwise folded.
type phrase []byte

// parsePhrase reads a value (https://hl7.org/fhir/R4/search.html#string).
func parsePhrase(value string, exact bool) (phrase, string) {
	plain, ok := unescape(value)
	if !ok {
		return nil, badEscape
	}
	if exact {
		return phrase(plain), ""
	}
	p := fold(nil, []byte(plain))
	if len(p) == 0 {
		return nil, "a value has no letters"
	}
	return p, ""
}

// string tests a string, a HumanName or an Address. Of the latter two any part will do.
func (c *condition) string(value []byte, s *state) bool {
	if value[0] == '"' {
		return c.text(value, s)
	}
	for m := membersOf(value); ; {
		name, v, ok := m.next()
		if !ok {
			return false
		}
		switch string(name) {
		case "text", "family", "given", "prefix", "suffix", // of a HumanName
			"line", "city", "district", "state", "postalCode", "country": // of an Address
		default:
			continue
		}
		for e := elementsOf(v); ; {
			part, ok := e.next()
			if !ok {
				break
			}
			if c.text(part, s) {
				return true
			}
		}
	}
}

// text tests one JSON string.
func (c *condition) text(value []byte, s *state) bool {
	var plain []byte
	plain, s.code = text(value, s.code)
	if plain == nil {
		return false
	}
	if c.modifier != modExact {
		s.folded = fold(s.folded[:0], plain)
		plain = s.folded
	}
	for _, p := range c.phrases {
		switch c.modifier {
		case modExact:
			if bytes.Equal(p, plain) {
				return true
			}
		case modContains:
			if bytes.Contains(plain, p) {
				return true
			}
		default:
			if bytes.HasPrefix(plain, p) {
				return true
			}
		}
	}
	return false
}

// fold appends text in lower case, without accents, and with one blank for each run of white space inside it.
func fold(dst, plain []byte) []byte {
	start := len(dst)
	blank := false
	for _, c := range plain {
		switch {
		case c >= utf8.RuneSelf:
			return foldUnicode(dst[:start], plain)
		case c == ' ' || '\t' <= c && c <= '\r':
			blank = len(dst) > start
			continue
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		if blank {
			dst, blank = append(dst, ' '), false
		}
		dst = append(dst, c)
	}
	return dst
}

func foldUnicode(dst, plain []byte) []byte {
	start := len(dst)
	blank := false
	for _, r := range string(norm.NFKD.Bytes(plain)) {
		if unicode.Is(unicode.Mn, r) {
			continue
		}
		if unicode.IsSpace(r) {
			blank = len(dst) > start
			continue
		}
		if blank {
			dst, blank = append(dst, ' '), false
		}
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
	}
	return dst
}
