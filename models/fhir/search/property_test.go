package search

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/fhir"
)

// Few values, so that hits are as common as misses.
var (
	codes   = rapid.SampledFrom([]string{"a", "B", "1234", "12345", "http://s|1234", "http://t|1234", "|a", "http://s|"})
	moments = rapid.Custom(func(t *rapid.T) time.Time {
		at := time.Date(2019, 12, 30, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 6*24*60).Draw(t, "minutes")) * time.Minute)
		return at.In(time.FixedZone("", rapid.IntRange(-14, 14).Draw(t, "zone")*3600))
	})
	dates = rapid.Custom(func(t *rapid.T) string {
		layout := rapid.SampledFrom([]string{"2006", "2006-01", "2006-01-02", time.RFC3339, "2006-01-02T15:04:05.000Z07:00"}).Draw(t, "layout")
		return moments.Draw(t, "moment").Format(layout)
	})
	prefixes = rapid.SampledFrom([]string{"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})
	patients = rapid.SampledFrom([]string{"p1", "Patient/p1", "p2", "http://x/Patient/p1"})

	// conditions are single parameters with one value, of every kind.
	conditions = rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return "code=" + codes.Draw(t, "code")
		case 1:
			return "code:not=" + codes.Draw(t, "code")
		case 2:
			return "date=" + prefixes.Draw(t, "prefix") + strings.ReplaceAll(dates.Draw(t, "date"), "+", "%2B")
		case 3:
			return rapid.SampledFrom([]string{"code", "date", "patient", "status"}).Draw(t, "name") + ":missing=" + rapid.SampledFrom([]string{"true", "false"}).Draw(t, "missing")
		default:
			return "patient=" + patients.Draw(t, "patient")
		}
	})

	observations = rapid.Custom(func(t *rapid.T) string {
		members := []string{`"resourceType":"Observation"`, `"id":"o"`}
		if n := rapid.IntRange(-1, 2).Draw(t, "codings"); n >= 0 {
			var list []string
			for range n {
				sys, code, coded := strings.Cut(codes.Draw(t, "coding"), "|")
				if !coded {
					sys, code = "", sys
				}
				list = append(list, fmt.Sprintf(`{"system":%q,"code":%q}`, sys, code))
			}
			members = append(members, `"code":{"coding":[`+strings.Join(list, ",")+`]}`)
		}
		switch rapid.IntRange(0, 3).Draw(t, "effective") {
		case 0:
			members = append(members, `"effectiveDateTime":"`+dates.Draw(t, "when")+`"`)
		case 1:
			members = append(members, `"effectivePeriod":`+periods.Draw(t, "period"))
		case 2:
			members = append(members, fmt.Sprintf(`"effectiveTiming":{"event":["%s","%s"]}`, dates.Draw(t, "event"), dates.Draw(t, "event")))
		}
		if rapid.Bool().Draw(t, "subject") {
			members = append(members, `"subject":{"reference":"`+rapid.SampledFrom([]string{"Patient/p1", "Patient/p2", "Group/p1", "http://x/Patient/p1", "#p1"}).Draw(t, "reference")+`"}`)
		}
		return "{" + strings.Join(members, ",") + "}"
	})
	periods = rapid.Custom(func(t *rapid.T) string {
		var ends []string
		for _, end := range []string{"start", "end"} {
			if rapid.IntRange(0, 3).Draw(t, "open") > 0 {
				ends = append(ends, `"`+end+`":"`+dates.Draw(t, end)+`"`)
			}
		}
		return "{" + strings.Join(ends, ",") + "}"
	})
)

// Generators shared by parallel tests are named before any of them runs: rapid names one when it is first drawn from as
// part of another, while a second test may be reading the name.
func init() {
	for _, g := range []fmt.Stringer{codes, moments, dates, prefixes, patients, conditions, observations, periods} {
		_ = g.String()
	}
}

func TestConditionsAreAnded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := observations.Draw(t, "line")
		list := rapid.SliceOfN(conditions, 1, 5).Draw(t, "conditions")
		want := true
		for _, c := range list {
			want = want && matches(t, "Observation?"+c, line)
		}
		require.Equal(t, want, matches(t, "Observation?"+strings.Join(list, "&"), line))
		slices.Reverse(list)
		require.Equal(t, want, matches(t, "Observation?"+strings.Join(list, "&"), line))
	})
}

func TestQueriesAreOred(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := observations.Draw(t, "line")
		list := rapid.SliceOfN(conditions, 1, 4).Draw(t, "queries")
		want := false
		for i, c := range list {
			list[i] = "Observation?" + c
			want = want || matches(t, list[i], line)
		}
		require.Equal(t, want, matches(t, strings.Join(list, ","), line))
		filters, err := ParseTypeFilters(list)
		require.NoError(t, err)
		filter, _ := filters.For(fhir.TypeObservation)
		require.Equal(t, want, filter.Match([]byte(line)))
	})
}

func TestValuesAreOred(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := observations.Draw(t, "line")
		for name, values := range map[string][]string{
			"code":    rapid.SliceOfN(codes, 1, 6).Draw(t, "codes"),
			"patient": rapid.SliceOfN(patients, 1, 3).Draw(t, "patients"),
		} {
			want := false
			for _, v := range values {
				want = want || matches(t, "Observation?"+name+"="+v, line)
			}
			for _, comma := range []string{",", "%2C", "%252C"} {
				require.Equal(t, want, matches(t, "Observation?"+name+"="+strings.Join(values, comma), line))
			}
			if name == "code" {
				require.Equal(t, !want, matches(t, "Observation?code:not="+strings.Join(values, ","), line))
			}
		}
	})
}

func TestMissingIsComplement(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := observations.Draw(t, "line")
		for _, name := range []string{"code", "date", "patient", "subject", "status", "_lastUpdated"} {
			missing := matches(t, "Observation?"+name+":missing=true", line)
			require.Equal(t, !missing, matches(t, "Observation?"+name+":missing=false", line), name)
		}
		if matches(t, "Observation?code="+codes.Draw(t, "code"), line) {
			require.True(t, matches(t, "Observation?code:missing=false", line))
		}
	})
}

// A point in time is before, in or after any range, and in just one of them.
func TestDatesPartition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.Bool().Draw(t, "day")
		at := moments.Draw(t, "at").Format("2006-01-02T15:04:05.000Z07:00")
		if day {
			at = at[:10]
		}
		date := dates.Draw(t, "date")
		if day && len(date) > 10 {
			date = date[:10]
		}
		line := `{"resourceType":"Observation","id":"o","effectiveDateTime":"` + at + `"}`
		is := func(op string) bool {
			return matches(t, "Observation?date="+op+strings.ReplaceAll(date, "+", "%2B"), line)
		}
		hits := 0
		for _, op := range []string{"eq", "lt", "gt"} {
			if is(op) {
				hits++
			}
		}
		require.Equal(t, 1, hits)
		require.Equal(t, is("eq"), !is("ne"))
		require.Equal(t, is("gt"), is("sa"))
		require.Equal(t, is("lt"), is("eb"))
	})
}

// Of any range, the prefixes keep their relations.
func TestDateLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := `{"resourceType":"Observation","id":"o","effectivePeriod":` + periods.Draw(t, "period") + "}"
		date := strings.ReplaceAll(dates.Draw(t, "date"), "+", "%2B")
		is := func(op string) bool { return matches(t, "Observation?date="+op+date, line) }
		if !is("eq") && !is("ne") {
			require.Contains(t, line, `"effectivePeriod":{}`)
			return
		}
		require.NotEqual(t, is("eq"), is("ne"))
		require.True(t, is("eq") || is("lt") || is("gt"))
		require.Equal(t, is("gt") || is("eq"), is("ge"))
		require.Equal(t, is("lt") || is("eq"), is("le"))
		require.False(t, is("sa") && is("eb"))
		require.True(t, is("gt") || !is("sa"))
		require.True(t, is("lt") || !is("eb"))
		require.True(t, is("ap") || is("sa") || is("eb"))
		require.True(t, is("ap") || !is("eq"))
		require.Equal(t, is("eq"), matches(t, "Observation?date="+date, line))
	})
}

// Bounds are sound: they hold what fhir.Inspect says of every match.
func TestBoundsHoldMatches(t *testing.T) {
	t.Parallel()
	types := map[string]func(t *rapid.T) string{
		"Procedure?date": func(t *rapid.T) string { return `"performedPeriod":` + periods.Draw(t, "period") },
		"Encounter?date": func(t *rapid.T) string { return `"period":` + periods.Draw(t, "period") },
		"Immunization?date": func(t *rapid.T) string {
			return `"occurrenceDateTime":"` + dates.Draw(t, "when") + `","recorded":"` + dates.Draw(t, "recorded") + `"`
		},
		"Condition?onset-date": func(t *rapid.T) string {
			return `"recordedDate":"` + dates.Draw(t, "recorded") + `","onsetPeriod":` + periods.Draw(t, "period")
		},
		"Goal?target-date": func(t *rapid.T) string {
			return fmt.Sprintf(`"target":[{"dueDate":"%s"},{"dueDate":"%s"}]`, dates.Draw(t, "due"), dates.Draw(t, "due"))
		},
		"ExplanationOfBenefit?service-date":          claim,
		"ExplanationOfBenefit?service-start-date":    claim,
		"ExplanationOfBenefit?billable-period-start": claim,
		"Observation?_lastUpdated":                   func(*rapid.T) string { return `"status":"final"` },
	}
	for name, element := range types {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typ, _, _ := strings.Cut(name, "?")
			code, _ := fhir.TypeCode(typ)
			hits := 0
			rapid.Check(t, func(t *rapid.T) {
				updated := moments.Draw(t, "updated").Format(rapid.SampledFrom([]string{time.RFC3339, "2006-01-02T15:04:05.000Z07:00"}).Draw(t, "layout"))
				line := []byte(`{"resourceType":"` + typ + `","id":"x","meta":{"lastUpdated":"` + updated + `"},` + element(t) + `}`)
				var facts fhir.Facts
				require.NoError(t, fhir.Inspect(line, &facts))
				queries := make([]string, rapid.IntRange(1, 2).Draw(t, "queries"))
				for i := range queries {
					queries[i] = name
					for j := range rapid.IntRange(1, 3).Draw(t, "values") {
						queries[i] += []string{"=", ",", "&" + strings.TrimPrefix(name, typ+"?") + "="}[j]
						queries[i] += prefixes.Draw(t, "prefix") + strings.ReplaceAll(dates.Draw(t, "date"), "+", "%2B")
					}
				}
				filters, err := ParseTypeFilters(queries)
				require.NoError(t, err)
				filter, _ := filters.For(code)
				if filter.Match(line) {
					hits++
					requireWithin(t, filter.Bounds(), &facts, strings.Join(queries, " "))
				}
			})
			require.NotZero(t, hits)
		})
	}
}

func claim(t *rapid.T) string {
	return fmt.Sprintf(`"billablePeriod":%s,"item":[{"servicedDate":"%s"},{"servicedPeriod":%s}]`,
		periods.Draw(t, "billable"), dates.Draw(t, "serviced"), periods.Draw(t, "item"))
}

func TestBoundsPrune(t *testing.T) {
	t.Parallel()
	bounds := func(filters ...string) Bounds {
		parsed, err := ParseTypeFilters(filters)
		require.NoError(t, err)
		filter, _ := parsed.For(parsed.Types()[0])
		return filter.Bounds()
	}
	day := func(s string) fhir.Day {
		d, err := fhir.ParseDate(s)
		require.NoError(t, err)
		return d.First
	}
	require.Equal(t, unbounded, Filter{}.Bounds())
	require.Equal(t, unbounded, bounds("Encounter?status=finished"))
	require.Equal(t, unbounded, bounds("Encounter?date=ge2020", "Encounter?status=finished"))
	require.Equal(t, unbounded, bounds("Condition?recorded-date=2020"))
	require.Equal(t, unbounded, bounds("Encounter?date:missing=true"))

	b := bounds("Encounter?date=ge2020&date=lt2021&status=finished")
	require.Equal(t, Bounds{unbounded.UpdatedFrom, unbounded.UpdatedTo, true, day("2020-01-01"), day("2020-12-31")}, b)
	require.True(t, b.Serviced(day("2019-01-01"), day("2020-01-01")))
	require.False(t, b.Serviced(day("2019-01-01"), day("2019-12-31")))
	require.False(t, b.Serviced(day("2021-01-01"), day("2022-12-31")))

	b = bounds("Encounter?date=2020,2022-02", "Encounter?date=eb2010&date=sa2005")
	require.Equal(t, Bounds{unbounded.UpdatedFrom, unbounded.UpdatedTo, true, day("2006-01-01"), day("2022-02-28")}, b)
	require.Equal(t, day("2020-05-04"), bounds("Encounter?date=gt2020-05-05T12:00:00Z").ServiceFrom)
	require.Equal(t, Bounds{unbounded.UpdatedFrom, unbounded.UpdatedTo, true, fhir.MinDay, fhir.MaxDay}, bounds("ExplanationOfBenefit?service-date=ge2020"))
	require.Equal(t, day("2020-01-01"), bounds("ExplanationOfBenefit?service-date=2020").ServiceFrom)

	b = bounds("Encounter?_lastUpdated=gt2024-01-02")
	require.False(t, b.Dated)
	require.True(t, b.Updated(0, time.Date(2024, 1, 3, 0, 0, 0, 0, time.UTC).UnixMilli()))
	require.False(t, b.Updated(0, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()))
}
