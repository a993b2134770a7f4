package release

import (
	"time"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// ProviderFloor is the day from which data is kept for providers (CMS-9115-F and PDex provider access: dates of service on or after
// 2016-01-01).
const ProviderFloor = "2016-01-01"

// YearsBefore returns the day so many calendar years before that of a moment, both in UTC. From February 29 it goes to
// February 28 where there is no other: in doubt the window is wider, not narrower.
func YearsBefore(at time.Time, years int) fhir.Day { return addYears(fhir.DayOf(at), -years) }

func addYears(d fhir.Day, years int) fhir.Day {
	if d == fhir.MaxDay || d == fhir.MinDay {
		return d
	}
	t := time.Unix(int64(d)*86400, 0).UTC()
	moved := time.Date(t.Year()+years, t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	if moved.Day() != t.Day() {
		moved = moved.AddDate(0, 0, -moved.Day())
	}
	return min(max(fhir.DayOf(moved), fhir.MinDay), fhir.MaxDay)
}

// Window says which lines are not too old on the day of a request. The zero From means that only prior authorisations can be.
type Window struct {
	Day fhir.Day // of the request
	// From is the first day that counts; nil for no such bound. What ended before it stays; what has no date does not.
	From *fhir.Day
}

// Leaves reports whether a line of a class may leave. first and last are its days of service as its segment's index holds them
// (see models.Class), and dated is false when it has none.
func (w Window) Leaves(c models.Class, first, last fhir.Day, dated bool) bool {
	switch {
	case c&models.ClassPriorAuth != 0:
		return dated && last >= w.Day
	case w.From == nil, !dated, last >= *w.From:
		return true
	}
	return c&models.ClassSupport != 0 && first >= w.Day
}
