package search

import (
	"math"
	"strings"

	"pdexbulk/models/fhir"
)

const (
	secondMillis = 1000
	minuteMillis = 60 * secondMillis
	dayMillis    = 24 * 60 * minuteMillis
)

// prefix is how a date parameter compares (https://hl7.org/fhir/R4/search.html#prefix).
type prefix string

// dateValue is one value of a date parameter: the half-open range of milliseconds since the epoch that it stands for.
type dateValue struct {
	op       prefix
	from, to int64
	// clock: a time was given, so moments are compared. Otherwise days are, as they were written: dates have no time zone
	// and it should not be considered, so 23:30-05:00 is on the day it says.
	clock bool
}

// span is the half-open range of milliseconds that an element stands for.
type span struct{ from, to int64 }

// parseDateValue reads [prefix]date.
func parseDateValue(value string) (dateValue, string) {
	value, ok := unescape(value)
	if !ok {
		return dateValue{}, badEscape
	}
	d := dateValue{op: "eq"}
	if len(value) > 2 && (value[0] < '0' || value[0] > '9') {
		switch d.op = prefix(value[:2]); d.op {
		case "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap":
		default:
			return dateValue{}, "the prefix of a date is none of eq, ne, gt, lt, ge, le, sa, eb and ap"
		}
		value = value[2:]
	}
	day, clock, timed := strings.Cut(value, "T")
	if !timed {
		date, err := fhir.ParseDate(day)
		if err != nil {
			return dateValue{}, badDate
		}
		d.from, d.to = date.Range()
		return d, ""
	}
	d.clock = true
	minute, clock := completeTime(clock)
	date, err := fhir.ParseDateTime(day + "T" + clock)
	if err != nil || date.Precision < fhir.PrecisionSecond {
		return dateValue{}, badDate
	}
	d.from, d.to = date.Range()
	if minute {
		d.to = d.from + minuteMillis
	}
	return d, ""
}

const badDate = "a value is not a date (YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.sss]] with Z, +hh:mm or -hh:mm)"

// completeTime adds what a search may leave out of a time: the seconds, in which case it means the whole minute, and the
// time zone, which then is UTC. A plus sign that was read as a blank on the way here is one again.
func completeTime(clock string) (minute bool, complete string) {
	zone := "Z"
	if i := strings.IndexAny(clock, "Z+- "); i >= 0 {
		clock, zone = clock[:i], strings.Replace(clock[i:], " ", "+", 1)
	}
	if len(clock) == len("hh:mm") {
		return true, clock + ":00" + zone
	}
	return false, clock + zone
}

// covers compares an element's range with the value's, by the definitions of R4: "above" and "below" mean the range from the
// end of the value's on and that before its start.
func (d *dateValue) covers(target span) bool {
	inside := d.from <= target.from && target.to <= d.to
	switch d.op {
	case "eq":
		return inside
	case "ne":
		return !inside
	case "gt":
		return target.to > d.to
	case "lt":
		return target.from < d.from
	case "ge":
		return target.to > d.to || inside
	case "le":
		return target.from < d.from || inside
	case "sa":
		return target.from >= d.to
	case "eb":
		return target.to <= d.from
	default: // ap: they overlap, the value's range widened by its own length at both ends
		from, to := d.approximately()
		return target.from < to && target.to > from
	}
}

func (d *dateValue) approximately() (from, to int64) {
	return d.from - (d.to - d.from), d.to + (d.to - d.from)
}

// date tests a date, dateTime, instant, Period or Timing. One that cannot be read compares with nothing.
func (c *condition) date(value []byte) bool {
	for i := range c.dates {
		d := &c.dates[i]
		if target, ok := spanOf(value, d.clock); ok && d.covers(target) {
			return true
		}
	}
	return false
}

// spanOf returns the range of a date, dateTime, instant, Period or Timing. Of a Timing it is the outer limits, whatever its
// rule says in between.
func spanOf(value []byte, clock bool) (span, bool) {
	if value[0] == '"' {
		return pointOf(value, clock)
	}
	if start, end := member(value, "start"), member(value, "end"); start != nil || end != nil {
		return periodOf(start, end, clock)
	}
	var limits span
	found := false
	add := func(s span, ok bool) {
		switch {
		case !ok:
		case !found:
			limits, found = s, true
		default:
			limits = span{min(limits.from, s.from), max(limits.to, s.to)}
		}
	}
	for e := elementsOf(member(value, "event")); ; {
		event, ok := e.next()
		if !ok {
			break
		}
		add(pointOf(event, clock))
	}
	if bounds := member(member(value, "repeat"), "boundsPeriod"); bounds != nil {
		add(periodOf(member(bounds, "start"), member(bounds, "end"), clock))
	}
	return limits, found
}

// periodOf returns the range of a Period; an end that is not given is open, whichever it is.
func periodOf(start, end []byte, clock bool) (span, bool) {
	if start == nil && end == nil {
		return span{}, false
	}
	s := span{math.MinInt64, math.MaxInt64}
	if start != nil {
		p, ok := pointOf(start, clock)
		if !ok {
			return span{}, false
		}
		s.from = p.from
	}
	if end == nil {
		return s, true
	}
	p, ok := pointOf(end, clock)
	if !ok {
		return span{}, false
	}
	if s.to = p.to; s.from >= s.to { // ends before it starts: whoever wrote it mixed them up
		first, _ := pointOf(start, clock)
		s = span{p.from, first.to}
	}
	return s, true
}

// pointOf returns the range of a date, dateTime or instant; without clock, the days it was on as written.
func pointOf(value []byte, clock bool) (span, bool) {
	raw := literal(value)
	if len(raw) > len("2006-01-02T15:04:05.999999999999999999-07:00") {
		return span{}, false
	}
	d, err := fhir.ParseDateTime(string(raw))
	if err != nil {
		return span{}, false
	}
	if !clock {
		return span{int64(d.First) * dayMillis, (int64(d.Last) + 1) * dayMillis}, true
	}
	from, to := d.Range()
	return span{from, to}, true
}
