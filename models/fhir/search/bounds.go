package search

import (
	"math"

	"pdexbulk/models/fhir"
)

// Bounds says where the resources that a filter matches can be, in terms of what is known of lines without reading them:
// meta.lastUpdated and the first and last day of service, as fhir.Inspect finds them. They may be wider than the filter, and
// never exclude a match. The zero value is not usable; see Filter.Bounds.
type Bounds struct {
	// UpdatedFrom and UpdatedTo, both included, hold the lastUpdated of every match, in milliseconds since the epoch.
	// math.MinInt64 and math.MaxInt64 mean no bound.
	UpdatedFrom, UpdatedTo int64
	// Dated: only resources with a date of service match.
	Dated bool
	// A match has its last day of service on or after ServiceFrom, and its first on or before ServiceTo. A span of days
	// may reach over both, so ServiceFrom can be after ServiceTo. fhir.MinDay and fhir.MaxDay mean no bound.
	ServiceFrom, ServiceTo fhir.Day
}

var unbounded = Bounds{
	UpdatedFrom: math.MinInt64, UpdatedTo: math.MaxInt64,
	ServiceFrom: fhir.MinDay, ServiceTo: fhir.MaxDay,
}

// Updated reports whether lines whose lastUpdated lie from first to last, both included, can hold a match.
func (b Bounds) Updated(first, last int64) bool { return last >= b.UpdatedFrom && first <= b.UpdatedTo }

// Serviced reports whether lines whose days of service lie from first to last, both included, can hold a match, if all of
// them are dated or the filter wants dated ones. Lines without a date of service can hold one unless b.Dated.
func (b Bounds) Serviced(first, last fhir.Day) bool {
	return last >= b.ServiceFrom && first <= b.ServiceTo
}

// Bounds returns the bounds of the filter's matches.
func (f Filter) Bounds() Bounds {
	if len(f.queries) == 0 {
		return unbounded
	}
	b := f.queries[0].bounds()
	for _, q := range f.queries[1:] {
		o := q.bounds()
		b.UpdatedFrom, b.UpdatedTo = min(b.UpdatedFrom, o.UpdatedFrom), max(b.UpdatedTo, o.UpdatedTo)
		b.ServiceFrom, b.ServiceTo = min(b.ServiceFrom, o.ServiceFrom), max(b.ServiceTo, o.ServiceTo)
		b.Dated = b.Dated && o.Dated
	}
	return b
}

// bounds takes the conditions together: each moves the bounds inwards on its own.
func (q *query) bounds() Bounds {
	b := unbounded
	for i := range q.conditions {
		c := &q.conditions[i]
		if c.param.kind != KindDate || c.modifier != modNone {
			continue
		}
		from, to := c.reach()
		switch {
		case c.param.updated:
			b.UpdatedFrom = max(b.UpdatedFrom, from)
			b.UpdatedTo = min(b.UpdatedTo, to)
		case c.param.service != serviceNone:
			b.Dated = true
			b.ServiceFrom = max(b.ServiceFrom, dayOf(from))
			b.ServiceTo = min(b.ServiceTo, dayOf(to))
		}
	}
	return b
}

// slack is how far a moment can be from the day written with it: the widest time zone there is. It also covers the second
// that a moment without fractions stands for.
const slack = dayMillis

// reach returns the range, both ends included, that an element which meets the condition overlaps: the hull of its values.
func (c *condition) reach() (from, to int64) {
	from, to = math.MaxInt64, math.MinInt64
	for i := range c.dates {
		f, t := c.dates[i].reach(c.param.service == serviceClosed)
		if c.dates[i].clock || c.param.updated {
			f, t = shift(f, -slack), shift(t, slack)
		}
		from, to = min(from, f), max(to, t)
	}
	return from, to
}

// reach returns the range that an element overlaps which compares with the value as asked. If closed, the element may be a
// period without an end, of which only those that must have one or whose start alone decides are bounded.
func (d *dateValue) reach(closed bool) (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	switch d.op {
	case "eq":
		return d.from, d.to - 1
	case "sa":
		return d.to, to
	case "eb":
		return from, d.from - 1
	}
	if closed {
		return from, to
	}
	switch d.op {
	case "gt":
		from = d.to
	case "ge":
		from = d.from
	case "lt":
		to = d.from - 1
	case "le":
		to = d.to - 1
	case "ap":
		from, to = d.approximately()
		to--
	}
	return from, to
}

// shift moves a moment, but no bound that is none.
func shift(millis, by int64) int64 {
	if millis == math.MinInt64 || millis == math.MaxInt64 {
		return millis
	}
	return millis + by
}

// dayOf returns the day of a moment, within the days that FHIR can write.
func dayOf(millis int64) fhir.Day {
	day := millis / dayMillis
	if millis%dayMillis < 0 {
		day--
	}
	return fhir.Day(min(max(day, int64(fhir.MinDay)), int64(fhir.MaxDay)))
}
