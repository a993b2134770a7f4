package search

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
)

// The oracle decodes a resource into maps and judges it the slow and plain way. It shares the table of parameters with the
// package, and nothing else.

// pick returns the values at a path, lists flattened.
func pick(value any, path []step) []any {
	if list, ok := value.([]any); ok {
		var all []any
		for _, v := range list {
			all = append(all, pick(v, path)...)
		}
		return all
	}
	if value == nil {
		return nil
	}
	if len(path) == 0 {
		return []any{value}
	}
	object, _ := value.(map[string]any)
	child := object[path[0].name]
	if path[0].url != "" {
		var ours []any
		list, _ := child.([]any)
		for _, v := range list {
			if v.(map[string]any)["url"] == path[0].url {
				ours = append(ours, v)
			}
		}
		child = ours
	}
	return pick(child, path[1:])
}

func (p *param) pick(resource any) (all []any) {
	for _, path := range p.paths {
		all = append(all, pick(resource, path)...)
	}
	return all
}

func str(v any) string { s, _ := v.(string); return s }

func get(v any, names ...string) any {
	for _, name := range names {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// codings returns the system|code pairs of a value, the system of a primitive being the implied one.
func codings(p *param, v any) (pairs [][2]string) {
	switch v := v.(type) {
	case string:
		return [][2]string{{p.system, v}}
	case bool:
		return [][2]string{{p.system, map[bool]string{true: "true", false: "false"}[v]}}
	case map[string]any:
		for _, c := range pick(v["coding"], nil) {
			pairs = append(pairs, [2]string{str(get(c, "system")), str(get(c, "code"))})
		}
		if code := str(v["code"]) + str(v["value"]); code != "" {
			pairs = append(pairs, [2]string{str(v["system"]), code})
		}
	}
	return pairs
}

// within returns the first and the first following moment of a date, or of the days as written.
func within(date string, days bool) (from, to time.Time) {
	for layout, years := range map[string][3]int{"2006": {1, 0, 0}, "2006-01": {0, 1, 0}, "2006-01-02": {0, 0, 1}} {
		if t, err := time.Parse(layout, date); err == nil {
			return t, t.AddDate(years[0], years[1], years[2])
		}
	}
	if days {
		return within(date[:10], days)
	}
	t, err := time.Parse(time.RFC3339Nano, date)
	if err != nil {
		panic("sample data with a bad date")
	}
	if strings.Contains(date, ".") {
		return t.Truncate(time.Millisecond), t.Truncate(time.Millisecond).Add(time.Millisecond)
	}
	return t, t.Add(time.Second)
}

var (
	beginning = time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)
	ending    = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
)

func rangeOf(v any, days bool) (from, to time.Time) {
	if s, ok := v.(string); ok {
		return within(s, days)
	}
	from, to = beginning, ending
	if start := str(get(v, "start")); start != "" {
		from, _ = within(start, days)
	}
	if end := str(get(v, "end")); end != "" {
		_, to = within(end, days)
	}
	if !from.Before(to) {
		first, _ := within(str(get(v, "end")), days)
		_, last := within(str(get(v, "start")), days)
		return first, last
	}
	return from, to
}

func compares(op, date string, v any) bool {
	days := !strings.Contains(date, "T")
	from, to := within(date, days)
	first, last := rangeOf(v, days)
	eq := !first.Before(from) && !last.After(to)
	gt, lt := last.After(to), first.Before(from)
	switch op {
	case "eq":
		return eq
	case "ne":
		return !eq
	case "gt":
		return gt
	case "lt":
		return lt
	case "ge":
		return gt || eq
	case "le":
		return lt || eq
	case "sa":
		return !first.Before(to)
	case "eb":
		return !last.After(from)
	}
	panic(op)
}

func refers(p *param, v any, want string) bool {
	if p.canonical {
		whole, _, _ := strings.Cut(str(v), "|")
		return whole == want
	}
	parts := strings.Split(strings.Split(str(get(v, "reference")), "/_history/")[0], "/")
	if len(parts) < 2 {
		return false
	}
	return strings.Join(parts[len(parts)-2:], "/") == want && (!p.patient || parts[len(parts)-2] == "Patient")
}

func parts(v any) (texts []string) {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	for name, part := range v.(map[string]any) {
		switch name {
		case "use", "type", "period", "extension", "id", "_family", "_given", "_line", "_text":
			continue
		}
		for _, s := range pick(part, nil) {
			texts = append(texts, str(s))
		}
	}
	return texts
}

// question is a filter with its answer for a resource.
type question struct {
	filter string
	answer func(values []any) bool
}

func some(values []any, f func(any) bool) bool {
	return slices.ContainsFunc(values, f)
}

var fhirEscape = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `|`, `\|`, `$`, `\$`)

func escapeValue(s string) string {
	return strings.ReplaceAll(url.QueryEscape(fhirEscape.Replace(s)), "+", "%20")
}

// ask makes questions about a value that some resource has.
func ask(p *param, v any) (list []question) {
	add := func(filter string, answer func(v any) bool) {
		list = append(list, question{p.name + filter, func(values []any) bool { return some(values, answer) }})
	}
	switch p.kind {
	case KindToken:
		for _, pair := range codings(p, v) {
			code := func(v any) bool {
				for _, c := range codings(p, v) {
					if strings.EqualFold(c[1], pair[1]) && (!p.exact || c[1] == pair[1]) {
						return true
					}
				}
				return false
			}
			both := func(v any) bool {
				for _, c := range codings(p, v) {
					if c[0] == pair[0] && strings.EqualFold(c[1], pair[1]) {
						return true
					}
				}
				return false
			}
			add("="+escapeValue(pair[1]), code)
			if pair[0] != "" {
				add("="+escapeValue(pair[0])+"|"+escapeValue(pair[1]), both)
			}
			list = append(list, question{p.name + ":not=" + escapeValue(pair[1]), func(values []any) bool { return !some(values, code) }})
		}
	case KindDate:
		date := str(v)
		if date == "" {
			date = str(get(v, "start")) + str(get(v, "end"))
			date = date[:min(len(date), 10)]
		}
		for _, cut := range []int{4, 7, 10, len(date)} {
			if cut > len(date) || cut == len(date) && !strings.Contains(date, "T") && cut > 10 {
				continue
			}
			for _, op := range []string{"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"} {
				add("="+op+url.QueryEscape(date[:cut]), func(v any) bool { return compares(op, date[:cut], v) })
			}
		}
	case KindReference:
		want := str(v)
		if !p.canonical {
			if parts := strings.Split(str(get(v, "reference")), "/"); len(parts) == 2 {
				want = parts[0] + "/" + parts[1]
			}
		} else {
			want, _, _ = strings.Cut(want, "|")
		}
		if want != "" && (p.canonical || p.allows(strings.Split(want, "/")[0])) {
			add("="+url.QueryEscape(want), func(v any) bool { return refers(p, v, want) })
		}
	case KindURI:
		want, _, _ := strings.Cut(str(v), "|")
		add("="+url.QueryEscape(want), func(v any) bool { return refers(p, v, want) })
	case KindString:
		for _, text := range parts(v) {
			start := []rune(text)
			start = start[:min(len(start), 4)]
			has := func(test func(s string) bool) func(v any) bool {
				return func(v any) bool {
					return slices.ContainsFunc(parts(v), test)
				}
			}
			if strings.TrimSpace(string(start)) == string(start) && text == strings.ToValidUTF8(text, "") && isASCII(text) {
				add("="+escapeValue(strings.ToUpper(string(start))), has(func(s string) bool { return isPrefixFold(s, string(start)) }))
			}
			add(":exact="+escapeValue(text), has(func(s string) bool { return s == text }))
		}
	}
	return list
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 126 }) < 0
}

func isPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Every parameter of the table, asked about values that the sample data has, gives the oracle's answer for every resource of
// the type; and the bounds of the filter never exclude what it matches.
func TestEveryParameterOnSampleData(t *testing.T) {
	t.Parallel()
	const perParameter, perType = 40, 300
	for code, lines := range devLines(t) {
		t.Run(fhir.TypeName(code), func(t *testing.T) {
			t.Parallel()
			lines := lines[:min(len(lines), perType)]
			resources := make([]any, len(lines))
			facts := make([]fhir.Facts, len(lines))
			for i, line := range lines {
				require.NoError(t, json.Unmarshal(line, &resources[i]))
				require.NoError(t, fhir.Inspect(line, &facts[i]))
			}
			for _, named := range Parameters(code) {
				p := find(code, named.Name)
				asked := map[string]bool{}
				questions := []question{
					{p.name + ":missing=true", func(values []any) bool { return len(values) == 0 }},
					{p.name + ":missing=false", func(values []any) bool { return len(values) > 0 }},
				}
				values := make([][]any, len(resources))
				for i, resource := range resources {
					values[i] = p.pick(resource)
					for _, v := range values[i] {
						for _, q := range ask(p, v) {
							if !asked[q.filter] && len(questions) < perParameter {
								asked[q.filter] = true
								questions = append(questions, q)
							}
						}
					}
				}
				for _, q := range questions {
					if p.patient && strings.Contains(q.filter, ":missing") {
						continue // depends on the types of the references
					}
					filters, err := ParseTypeFilters([]string{fhir.TypeName(code) + "?" + q.filter})
					require.NoError(t, err, q.filter)
					filter, _ := filters.For(code)
					bounds := filter.Bounds()
					for i := range resources {
						got := filter.Match(lines[i])
						if q.answer(values[i]) != got {
							require.Failf(t, "the oracle disagrees", "%s %s %v", q.filter, facts[i].ID, got)
						}
						if got {
							requireWithin(t, bounds, &facts[i], q.filter)
						}
					}
				}
			}
		})
	}
}

// requireWithin checks that the bounds of a filter allow a resource that it matched.
func requireWithin(t require.TestingT, b Bounds, f *fhir.Facts, filter string) {
	updated := !f.HasLastUpdated || b.Updated(f.LastUpdated, f.LastUpdated)
	serviced := !f.Dated && !b.Dated || f.Dated && b.Serviced(f.First, f.Last)
	if !updated || !serviced {
		require.Failf(t, "a match is out of bounds", "%s %s", filter, f.ID)
	}
}
