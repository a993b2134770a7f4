package segment

import "math"

// Line is what the index of a segment knows of one line, so that lines can be compared, selected and dated without a look
// at their JSON.
type Line struct {
	ID           string // the resource's logical id
	Version      int32
	LastUpdated  int64 // ms since 1970-01-01T00:00:00Z
	ServiceStart int32 // days since 1970-01-01, or NoDate
	ServiceEnd   int32 // days since 1970-01-01, or NoDate
	Flags        uint16
	Hash         uint64 // Hash of the line as it came
	Offset       uint32 // where the line starts in the raw segment
	Length       uint32 // bytes, with the newline
}

// NoDate is the service date of a line that has none.
const NoDate int32 = math.MinInt32
