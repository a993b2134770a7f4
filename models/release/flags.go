package release

import "pdexbulk/models/fhir"

// What the index of a segment keeps of a line (segment.Line.Flags), so that its resource can be ruled again without a look at
// its JSON. A line that says something else when it comes again is taken as changed.
const (
	FlagSensitive uint16 = 1 << iota // it has a label or a code that says so
	FlagAuth                         // it is a prior authorisation

	// FlagTouched: its lastUpdated is when an import changed how it may leave, and not when it came. It says nothing of the line itself.
	FlagTouched

	// FlagPlain: nothing in it has the name or the shape of money (fhir.Facts.Money). A type that holds money by its definition may hold
	// some all the same.
	FlagPlain

	// FlagRules is set for lines that came under the present rules. Change it when a rule gives other results, so that data that is
	// imported again is ruled again.
	FlagRules uint16 = 2 << 8
)

// Flags returns what to keep of a line that Inspect has read. That a code makes it sensitive is for the caller to add.
func Flags(f *fhir.Facts) uint16 {
	flags := FlagRules
	if f.Sensitive {
		flags |= FlagSensitive
	}
	if f.PriorAuth {
		flags |= FlagAuth
	}
	if !f.Money {
		flags |= FlagPlain
	}
	return flags
}
