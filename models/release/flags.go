package release

// What the index of a segment keeps of a line (segment.Line.Flags), so that its resource can be ruled again without a look at
// its JSON. A line that says something else when it comes again is taken as changed.
const (
	FlagSensitive uint16 = 1 << iota // it has a label or a code that says so
	FlagAuth                         // it is a prior authorisation

	// FlagTouched: its lastUpdated is when an import changed how it may leave, and not when it came. It says nothing of the line itself.
	FlagTouched

	// FlagRules is set for lines that came under the present rules. Change it when a rule gives other results, so that data that is
	// imported again is ruled again.
	FlagRules uint16 = 2 << 8
)
