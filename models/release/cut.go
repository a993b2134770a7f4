package release

// cut takes bytes out of a line and may put others in their place.
type cut struct {
	from, to int
	with     string
}

// splice appends the line without what the cuts, in their order, take out.
func splice(dst, line []byte, cuts []cut) []byte {
	at := 0
	for _, c := range cuts {
		dst = append(dst, line[at:c.from]...)
		dst = append(dst, c.with...)
		at = c.to
	}
	return append(dst, line[at:]...)
}

// cutter takes members out of an object, or elements out of an array, together with their commas.
type cutter struct {
	v    *Viewer
	from int // how many cuts there were before
	kept int
	last int // the end of the member kept last
	lead int // where the members begin that went before any was kept; 0 for none
	gone bool
}

// next settles one member, which lies between start and end. before is how many cuts there were when it was begun.
func (c *cutter) next(start, end, before int, stays bool) {
	switch {
	case stays && c.lead > 0:
		// What went in front goes with the comma behind it.
		c.v.cuts = append(c.v.cuts, cut{})
		copy(c.v.cuts[before+1:], c.v.cuts[before:])
		c.v.cuts[before] = cut{c.lead, start, ""}
		c.lead = 0
		fallthrough
	case stays:
		c.kept, c.last = c.kept+1, end
	default:
		c.v.cuts = c.v.cuts[:before]
		c.gone = true
		if c.kept == 0 {
			if c.lead == 0 {
				c.lead = start
			}
			return
		}
		if n := len(c.v.cuts); n > c.from && c.v.cuts[n-1].to == c.last && c.v.cuts[n-1].with == "" {
			c.v.cuts[n-1].to = end
		} else {
			c.v.cuts = append(c.v.cuts, cut{c.last, end, ""})
		}
		c.last = end
	}
}

// done reports whether anything is left. If nothing is, what was noted within it is void: it goes as a whole.
func (c *cutter) done() bool {
	if c.gone && c.kept == 0 {
		c.v.cuts = c.v.cuts[:c.from]
		return false
	}
	return true
}
