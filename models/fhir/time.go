package fhir

import (
	"errors"
	"time"
)

// Errors of the parsers below. They quote nothing: what was given may be somebody's birth date.
var (
	ErrInstant = errors.New("not a FHIR instant (YYYY-MM-DDThh:mm:ss.sssZ, with a time zone)")
	ErrDate    = errors.New("not a FHIR date (YYYY, YYYY-MM or YYYY-MM-DD, with a time and time zone where that is allowed)")
)

// Day counts days since 1970-01-01; days before are negative.
type Day = int32

// The first and last day that FHIR can write. A period without a start begins on MinDay, one without an end (it is
// still going on) ends on MaxDay.
const (
	MinDay Day = -719162 // 0001-01-01
	MaxDay Day = 2932896 // 9999-12-31
)

const (
	secondMillis = 1000
	minuteMillis = 60 * secondMillis
	hourMillis   = 60 * minuteMillis
	dayMillis    = 24 * hourMillis
)

// Precision says how much of a date was written.
type Precision uint8

// The precisions, from coarse to fine.
const (
	PrecisionYear Precision = iota + 1
	PrecisionMonth
	PrecisionDay
	PrecisionSecond
	PrecisionFraction // of a second
)

// Date is a FHIR date, dateTime or instant with the precision it was written in.
type Date struct {
	// First and Last are the days it spans, both included: 2020 spans 2020-01-01 to 2020-12-31. With a time they are
	// the calendar day that was written, whatever the time zone: a service at 23:30-05:00 was on that day.
	First, Last Day
	// Millis is the moment in milliseconds since the epoch, finer fractions cut off. Without a time it is midnight UTC
	// of First.
	Millis    int64
	Precision Precision
}

// Range returns the half-open range of milliseconds since the epoch that the date stands for. A date without a time, which
// has no time zone, is taken as UTC.
func (d Date) Range() (from, to int64) {
	if d.Precision < PrecisionSecond {
		return d.Millis, (int64(d.Last) + 1) * dayMillis
	}
	if d.Precision == PrecisionSecond {
		return d.Millis, d.Millis + secondMillis
	}
	return d.Millis, d.Millis + 1
}

// Time returns the moment of d.Millis in UTC.
func (d Date) Time() time.Time { return time.UnixMilli(d.Millis).UTC() }

// ParseInstant reads a FHIR instant (https://hl7.org/fhir/R4/datatypes.html#instant): a date and time to at least the
// second, with a time zone. Fractions finer than a millisecond are cut off; second 60 is the first of the next minute.
// It returns ErrInstant for anything else.
func ParseInstant(s string) (time.Time, error) {
	d, ok := parseDate(s)
	if !ok || d.Precision < PrecisionSecond {
		return time.Time{}, ErrInstant
	}
	return d.Time(), nil
}

// ParseDate reads a FHIR date (https://hl7.org/fhir/R4/datatypes.html#date): a year, a month or a day. It returns
// ErrDate for anything else, days that the calendar lacks included.
func ParseDate(s string) (Date, error) {
	d, ok := parseDate(s)
	if !ok || d.Precision > PrecisionDay {
		return Date{}, ErrDate
	}
	return d, nil
}

// ParseDateTime reads a FHIR dateTime (https://hl7.org/fhir/R4/datatypes.html#dateTime): a date, or an instant. It
// returns ErrDate for anything else.
func ParseDateTime(s string) (Date, error) {
	d, ok := parseDate(s)
	if !ok {
		return Date{}, ErrDate
	}
	return d, nil
}

// FormatInstant writes milliseconds since the epoch as the instant the server stamps: UTC, three decimals.
func FormatInstant(millis int64) string { return string(AppendInstant(nil, millis)) }

// AppendInstant appends what FormatInstant returns.
func AppendInstant(dst []byte, millis int64) []byte {
	return time.UnixMilli(millis).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

// DayOf returns the UTC day of a moment, held within MinDay and MaxDay.
func DayOf(t time.Time) Day {
	millis := t.UnixMilli()
	day := millis / dayMillis
	if millis%dayMillis < 0 {
		day--
	}
	return Day(min(max(day, int64(MinDay)), int64(MaxDay)))
}

// FormatDay writes a day as YYYY-MM-DD.
func FormatDay(d Day) string {
	return time.UnixMilli(int64(d) * dayMillis).UTC().Format(time.DateOnly)
}

// parseDate reads any of the three date types; the caller checks the precision. It works on both strings and bytes so that
// nothing is copied on the import path.
func parseDate[T ~string | ~[]byte](s T) (Date, bool) {
	year, ok := digits(s, 0, 4)
	if !ok || year == 0 {
		return Date{}, false
	}
	if len(s) == 4 {
		first := civilDay(year, 1, 1)
		return Date{First: first, Last: civilDay(year, 12, 31), Millis: int64(first) * dayMillis, Precision: PrecisionYear}, true
	}
	month, ok := digits(s, 5, 2)
	if !ok || s[4] != '-' || month < 1 || month > 12 {
		return Date{}, false
	}
	if len(s) == 7 {
		first := civilDay(year, month, 1)
		last := first + Day(daysIn(year, month)) - 1
		return Date{First: first, Last: last, Millis: int64(first) * dayMillis, Precision: PrecisionMonth}, true
	}
	day, ok := digits(s, 8, 2)
	if !ok || s[7] != '-' || day < 1 || day > daysIn(year, month) {
		return Date{}, false
	}
	first := civilDay(year, month, day)
	d := Date{First: first, Last: first, Millis: int64(first) * dayMillis, Precision: PrecisionDay}
	if len(s) == 10 {
		return d, true
	}
	if s[10] != 'T' {
		return Date{}, false
	}
	millis, precision, ok := parseTime(s, 11)
	if !ok {
		return Date{}, false
	}
	d.Millis += millis
	d.Precision = precision
	return d, true
}

// parseTime reads hh:mm:ss[.f+](Z|+hh:mm|-hh:mm) from offset i to the end of s. It returns the milliseconds to add to
// midnight UTC of the day written.
func parseTime[T ~string | ~[]byte](s T, i int) (millis int64, precision Precision, ok bool) {
	hour, ok1 := digits(s, i, 2)
	minute, ok2 := digits(s, i+3, 2)
	second, ok3 := digits(s, i+6, 2)
	if !ok1 || !ok2 || !ok3 || s[i+2] != ':' || s[i+5] != ':' || hour > 23 || minute > 59 || second > 60 {
		return 0, 0, false
	}
	millis = int64(hour)*hourMillis + int64(minute)*minuteMillis + int64(second)*secondMillis
	precision = PrecisionSecond
	i += 8
	if i < len(s) && s[i] == '.' {
		start := i + 1
		weight := int64(100)
		for i = start; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
			millis += int64(s[i]-'0') * weight
			weight /= 10
		}
		if i == start {
			return 0, 0, false
		}
		precision = PrecisionFraction
	}
	offset, ok := parseZone(s, i)
	return millis - offset, precision, ok
}

// parseZone reads Z or an offset of at most 14:00 from offset i to the end of s.
func parseZone[T ~string | ~[]byte](s T, i int) (millis int64, ok bool) {
	if len(s) == i+1 && s[i] == 'Z' {
		return 0, true
	}
	if len(s) != i+6 || s[i] != '+' && s[i] != '-' || s[i+3] != ':' {
		return 0, false
	}
	hour, ok1 := digits(s, i+1, 2)
	minute, ok2 := digits(s, i+4, 2)
	if !ok1 || !ok2 || minute > 59 || hour > 14 || hour == 14 && minute != 0 {
		return 0, false
	}
	millis = int64(hour)*hourMillis + int64(minute)*minuteMillis
	if s[i] == '-' {
		millis = -millis
	}
	return millis, true
}

// digits reads exactly n decimal digits at offset i.
func digits[T ~string | ~[]byte](s T, i, n int) (value int, ok bool) {
	if i+n > len(s) {
		return 0, false
	}
	for ; n > 0; n-- {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		value = value*10 + int(c)
		i++
	}
	return value, true
}

// civilDay counts the days from 1970-01-01 to a day of the proleptic Gregorian calendar. The year is taken to begin in
// March, so that a leap day is the last of its year.
func civilDay(year, month, day int) Day {
	if month <= 2 {
		year--
		month += 12
	}
	days := 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1
	return Day(days - 719468) // days from 0000-03-01 to 1970-01-01
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
