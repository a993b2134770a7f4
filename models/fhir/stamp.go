package fhir

// splice is where meta.lastUpdated goes in the line that was inspected. Offsets of 0 mean that the thing is not there.
type splice struct {
	idEnd      int  // behind the value of id
	metaStart  int  // behind the opening brace of meta
	metaEmpty  bool // meta has no members
	start, end int  // the value of meta.lastUpdated, quotes included
}

const lastUpdatedKey = `"lastUpdated":"`

// Stamp appends line to dst with meta.lastUpdated set to an instant, in milliseconds since the epoch, and returns the
// result. f must come from Inspect of that very line. Nothing else changes: the old value is replaced, or the member is
// put first in meta, or a meta is put behind the id.
func Stamp(dst, line []byte, f *Facts, millis int64) []byte {
	at := f.splice
	switch {
	case at.end > 0:
		dst = append(dst, line[:at.start]...)
		dst = append(dst, '"')
		dst = AppendInstant(dst, millis)
		dst = append(dst, '"')
		return append(dst, line[at.end:]...)
	case at.metaStart > 0:
		dst = append(dst, line[:at.metaStart]...)
		dst = append(dst, lastUpdatedKey...)
		dst = AppendInstant(dst, millis)
		dst = append(dst, '"')
		if !at.metaEmpty {
			dst = append(dst, ',')
		}
		return append(dst, line[at.metaStart:]...)
	}
	dst = append(dst, line[:at.idEnd]...)
	dst = append(dst, `,"meta":{`+lastUpdatedKey...)
	dst = AppendInstant(dst, millis)
	dst = append(dst, `"}`...)
	return append(dst, line[at.idEnd:]...)
}

// StampAt returns where, in what Stamp appends for f, the instant's 24 characters begin.
func StampAt(f *Facts) int {
	switch at := f.splice; {
	case at.end > 0:
		return at.start + 1
	case at.metaStart > 0:
		return at.metaStart + len(lastUpdatedKey)
	default:
		return at.idEnd + len(`,"meta":{`) + len(lastUpdatedKey)
	}
}
