package match

import "time"

// placeholderDate reports whether a birth date is what systems put where they know none.
func placeholderDate(day int32) bool {
	t := time.Unix(int64(day)*86400, 0).UTC()
	year, month, dom := t.Date()
	switch {
	case year < 1890 || year > 2200:
		return true
	case month == 1 && dom == 1 && (year == 1900 || year == 1901):
		return true
	}
	return false
}

// civil is a birth date by its parts.
type civil struct{ year, month, day int }

func civilOf(day int32) civil {
	t := time.Unix(int64(day)*86400, 0).UTC()
	y, m, d := t.Date()
	return civil{y, int(m), d}
}

func daysApart(a, b int32) int32 { return max(a-b, b-a) }

// generationDays is by how much a parent is older than a child, at least: thirteen years.
const generationDays = 13 * 365

// compareDates returns the level of two birth dates and whether the difference could part a parent from a child.
func compareDates(a, b int32) (level Level, generation bool) {
	if a == b {
		return Exact, false
	}
	x, y := civilOf(a), civilOf(b)
	gap := daysApart(a, b)
	generation = gap >= generationDays
	if x.year == y.year && x.month == y.day && x.day == y.month {
		return Swapped, false
	}
	if digitSlip(x, y) {
		return Slip, generation
	}
	if gap <= 31 || x.year == y.year && (x.month == y.month || x.day == y.day) ||
		x.month == y.month && x.day == y.day && !generation || gap <= 366 && !generation {
		return Near, generation
	}
	return Conflict, generation
}

// digitSlip reports whether the dates, written as eight digits, differ by one digit or by two exchanged, neighbours or the
// two of a part.
func digitSlip(x, y civil) bool {
	a, b := x.digits(), y.digits()
	var at []int
	for i := range a {
		if a[i] != b[i] {
			at = append(at, i)
		}
	}
	switch len(at) {
	case 1:
		return true
	case 2:
		return at[1]-at[0] == 1 && a[at[0]] == b[at[1]] && a[at[1]] == b[at[0]]
	}
	return false
}

func (c civil) digits() [8]byte {
	n := c.year*10000 + c.month*100 + c.day
	var out [8]byte
	for i := 7; i >= 0; i-- {
		out[i] = byte(n % 10)
		n /= 10
	}
	return out
}
