package seed

import "time"

// day is a calendar date as days since 1970-01-01. The generator thinks in days and in seconds since the epoch; it never
// asks for the current time.
type day int

func dayOf(t time.Time) day {
	u := t.UTC()
	return day(time.Date(u.Year(), u.Month(), u.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// date returns the civil date of d, by the days-from-civil algorithm run backwards (valid for years 0 to 9999).
func (d day) date() (year, month, dayOfMonth int) {
	z := int(d) + 719468
	era := z / 146097
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	dayOfMonth = doy - (153*mp+2)/5 + 1
	month = mp + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, dayOfMonth
}

// years returns the whole years from d to at.
func (d day) years(at day) int {
	y0, m0, d0 := d.date()
	y1, m1, d1 := at.date()
	n := y1 - y0
	if m1 < m0 || m1 == m0 && d1 < d0 {
		n--
	}
	return n
}

// addYears moves d by n calendar years; 29 February becomes 28 February where there is none.
func (d day) addYears(n int) day {
	y, m, dom := d.date()
	t := time.Date(y+n, time.Month(m), dom, 0, 0, 0, 0, time.UTC)
	if int(t.Month()) != m {
		t = t.AddDate(0, 0, -1)
	}
	return dayOf(t)
}

// moment is an instant in seconds since the epoch.
type moment int64

// at returns the moment h hours and m minutes into d at an offset of the given hours from UTC.
func (d day) at(h, m, offset int) moment {
	return moment(int64(d)*86400 + int64(h-offset)*3600 + int64(m)*60)
}

func appendPadded(b []byte, n, width int) []byte {
	for div := pow10(width - 1); div > 0; div /= 10 {
		b = append(b, byte('0'+n/div%10))
	}
	return b
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

func appendDay(b []byte, d day) []byte {
	y, m, dom := d.date()
	b = appendPadded(b, y, 4)
	b = append(b, '-')
	b = appendPadded(b, m, 2)
	b = append(b, '-')
	return appendPadded(b, dom, 2)
}

// appendMoment writes t as a FHIR dateTime with the given offset in whole hours, "Z" for none.
func appendMoment(b []byte, t moment, offset int) []byte {
	local := int64(t) + int64(offset)*3600
	d, s := day(local/86400), int(local%86400)
	if s < 0 { // before 1970
		d, s = d-1, s+86400
	}
	b = appendDay(b, d)
	b = append(b, 'T')
	b = appendPadded(b, s/3600, 2)
	b = append(b, ':')
	b = appendPadded(b, s/60%60, 2)
	b = append(b, ':')
	b = appendPadded(b, s%60, 2)
	if offset == 0 {
		return append(b, 'Z')
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	b = append(b, sign)
	b = appendPadded(b, offset, 2)
	return append(b, ":00"...)
}

// appendInstant writes t in UTC with milliseconds, the form of meta.lastUpdated.
func appendInstant(b []byte, t moment, millis int) []byte {
	b = appendMoment(b, t, 0)
	b = append(b[:len(b)-1], '.')
	b = appendPadded(b, millis, 3)
	return append(b, 'Z')
}
