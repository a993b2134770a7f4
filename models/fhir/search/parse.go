package search

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Limits on a _typeFilter; no client comes near them.
const (
	maxQueries    = 1000
	maxConditions = 64   // in a query
	maxValues     = 1000 // of a parameter
)

const typeFilterName = "_typeFilter"

// Parser parses _typeFilter. The zero value is ready.
type Parser struct {
	// Base is the base URL of this server. A reference value below it means the same as the relative one.
	Base string
}

// ParseTypeFilters is Parser.TypeFilters without a base URL.
func ParseTypeFilters(values []string) (Filters, error) { return Parser{}.TypeFilters(values) }

// TypeFilters parses the values of the _typeFilter parameters of one request, from which the HTTP layer has taken one level of
// percent-encoding. A value is one query (Bulk Data 3.0) or several with commas between them (Bulk Data 2.0); a comma is
// between queries only if Type? follows it, every other belongs to a value. Inside a query names and values may be
// percent-encoded once more. Several queries on one type are alternatives.
//
// Anything that is not supported is an error, since PDex forbids to ignore it. The error is a models.Error of KindInvalid at
// _typeFilter. It names the query by its position, and a parameter by its name if it is one of ours, else by its position.
func (p Parser) TypeFilters(values []string) (Filters, error) {
	f := Filters{byType: map[int16]Filter{}}
	number := 0
	for _, value := range values {
		for _, text := range splitQueries(value) {
			if number++; number > maxQueries {
				return Filters{}, invalid("there are more than %d queries", maxQueries)
			}
			code, q, wrong := p.query(text)
			if wrong != "" {
				return Filters{}, invalid("query %d%s", number, wrong)
			}
			filter := f.byType[code]
			filter.queries = append(filter.queries, q)
			f.byType[code] = filter
		}
	}
	return f, nil
}

func invalid(format string, args ...any) error {
	return models.Errorf(models.KindInvalid, format, args...).At(typeFilterName)
}

// splitQueries cuts a value at the commas before a query. A value without any question mark that has encoded ones was
// encoded once too often.
func splitQueries(value string) (queries []string) {
	if !strings.Contains(value, "?") && strings.Contains(strings.ToUpper(value), "%3F") {
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
	}
	start := 0
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] == '\\':
			i++
		case value[i] == ',' && startsQuery(value[i+1:]):
			queries = append(queries, strings.TrimSpace(value[start:i]))
			start = i + 1
		}
	}
	return append(queries, strings.TrimSpace(value[start:]))
}

// startsQuery reports whether a text begins with a resource type and a question mark, or with a path and one, which is then
// refused as a query rather than taken for a value.
func startsQuery(text string) bool {
	text = strings.TrimLeft(text, " ")
	if text == "" || text[0] < 'A' || text[0] > 'Z' {
		return false
	}
	end := strings.IndexFunc(text, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '/' && r != '-' && r != '.'
	})
	return end >= 0 && text[end] == '?'
}

// query parses Type?name=value&name=value. What is wrong comes back as a text to put behind the number of the query.
func (p Parser) query(text string) (int16, *query, string) {
	name, search, ok := strings.Cut(text, "?")
	code, known := fhir.TypeCode(name)
	switch {
	case text == "":
		return 0, nil, " is empty"
	case !ok:
		return 0, nil, ": there is no ? behind the resource type"
	case strings.ContainsAny(name, "/"):
		return 0, nil, ": only a resource type may stand before the ?, no path"
	case !known:
		return 0, nil, ": what stands before the ? is no resource type of FHIR R4"
	case strings.Contains(search, "?"):
		return 0, nil, " (" + name + "): there is a second ?; write %3F for one that is part of a value"
	case search == "":
		return 0, nil, " (" + name + ") has no parameters"
	}
	q := &query{}
	for number, pair := range strings.Split(search, "&") {
		c, label, wrong := p.condition(code, pair)
		if wrong != "" {
			if label == "" {
				label = fmt.Sprintf("parameter %d", number+1)
			}
			return 0, nil, fmt.Sprintf(" (%s), %s: %s", name, label, wrong)
		}
		if len(q.conditions) == maxConditions {
			return 0, nil, fmt.Sprintf(" (%s) has more than %d parameters", name, maxConditions)
		}
		q.add(c)
	}
	return code, q, ""
}

// condition parses name[:modifier]=value[,value]. What is wrong comes back as a text; label is the parameter's name, once it is known to be one of ours.
func (p Parser) condition(code int16, pair string) (c condition, label, wrong string) {
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return c, "", "there is no = and no value"
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return c, "", "its name is not percent-encoded as it should be"
	}
	name, mod, modified := strings.Cut(name, ":")
	c.param = find(code, name)
	if c.param == nil {
		return c, "", unsupported(name)
	}
	label = c.param.name
	typ := ""
	if modified {
		if c.modifier, typ, ok = c.param.modifier(mod); !ok {
			return c, label, "this modifier is not supported for it"
		}
	}
	value, ok = decode(value, c.param.kind == KindString || c.modifier == modText)
	if !ok {
		return c, label, "its value is not percent-encoded UTF-8"
	}
	alternatives := splitEscaped(value, ',')
	if len(alternatives) > maxValues {
		return c, label, fmt.Sprintf("it has more than %d values", maxValues)
	}
	if c.modifier == modMissing {
		c.missing = value == "true"
		if value != "true" && value != "false" {
			return c, label, "the value of :missing is neither true nor false"
		}
		return c, label, ""
	}
	for _, alternative := range alternatives {
		if strings.TrimSpace(alternative) == "" {
			return c, label, "a value is empty"
		}
		if wrong = c.take(alternative, p.Base, typ); wrong != "" {
			return c, label, wrong
		}
	}
	return c, label, ""
}

// unsupported says why a name is none of a type's parameters.
func unsupported(name string) string {
	switch {
	case resultParameters[name]:
		return name + " shapes a result and is not allowed in a filter"
	case strings.HasPrefix(name, "_has"):
		return "reverse chaining is not supported"
	case strings.Contains(name, "."):
		return "chained parameters are not supported"
	}
	return "the server does not support it for this resource type"
}

// resultParameters are those that say what to do with what was found
// (https://hl7.org/fhir/R4/search.html#Summary).
var resultParameters = map[string]bool{
	"_sort": true, "_count": true, "_include": true, "_revinclude": true, "_summary": true, "_total": true,
	"_elements": true, "_contained": true, "_containedType": true, "_format": true, "_pretty": true,
	"_score": true, "_maxresults": true, "_graph": true,
}

// modifier returns the modifier of a name, and for a resource type that it refers to, the type.
func (p *param) modifier(name string) (m modifier, typ string, ok bool) {
	switch {
	case name == "missing":
		return modMissing, "", true
	case p.kind == KindToken && name == "not":
		return modNot, "", true
	case p.kind == KindToken && name == "text" && !p.code:
		return modText, "", true
	case p.kind == KindString && name == "exact":
		return modExact, "", true
	case p.kind == KindString && name == "contains":
		return modContains, "", true
	case p.kind == KindReference && name == "identifier" && !p.canonical:
		return modIdentifier, "", true
	case p.kind == KindReference && !p.canonical && p.allows(name):
		return modType, name, true
	}
	return modNone, "", false
}

// take parses one value. What is wrong comes back as a text.
func (c *condition) take(value, base, typ string) (wrong string) {
	switch {
	case c.modifier == modIdentifier, c.param.kind == KindToken && c.modifier != modText:
		var t token
		t, wrong = parseToken(value)
		c.tokens = append(c.tokens, t)
	case c.param.kind == KindDate:
		var d dateValue
		d, wrong = parseDateValue(value)
		c.dates = append(c.dates, d)
	case c.param.kind == KindReference:
		var r refValue
		r, wrong = parseReference(value, base, typ, c.param)
		c.refs = append(c.refs, r)
	case c.param.kind == KindURI:
		var r refValue
		r, wrong = parseURI(value)
		c.refs = append(c.refs, r)
	default:
		var p phrase
		p, wrong = parsePhrase(value, c.modifier == modExact)
		c.phrases = append(c.phrases, p)
	}
	return wrong
}

// decode takes the percent-encoding off a value. A comma that is still encoded then was encoded twice, as some clients do to
// keep it apart from those between queries. In words a plus sign is a blank; in codes and dates it is one.
func decode(value string, words bool) (string, bool) {
	if words {
		value = strings.ReplaceAll(value, "+", " ")
	}
	value, err := url.PathUnescape(value)
	if err != nil || !utf8.ValidString(value) {
		return "", false
	}
	return strings.NewReplacer("%2C", ",", "%2c", ",").Replace(value), true
}

// badEscape is what is wrong with a backslash.
const badEscape = "a \\ stands before something other than , | $ or \\"

// splitEscaped cuts a value at a character, where no backslash is before it.
func splitEscaped(value string, at byte) (parts []string) {
	start := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case at:
			parts = append(parts, value[start:i])
			start = i + 1
		}
	}
	return append(parts, value[start:])
}

// unescape resolves \, \| \$ and \\ (https://hl7.org/fhir/R4/search.html#escaping).
func unescape(value string) (string, bool) {
	if !strings.Contains(value, `\`) {
		return value, true
	}
	plain := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' {
			i++
			if i == len(value) || !strings.Contains(`,|$\`, value[i:i+1]) {
				return "", false
			}
		}
		plain = append(plain, value[i])
	}
	return string(plain), true
}
