package conformance

import (
	_ "embed" // for the list
	"fmt"
	"strings"
)

//go:embed requirements.txt
var list string

// Requirement is a row of the list.
type Requirement struct {
	ID string
	// Level is SHALL, SHOULD, MAY, SHALL-NOT or SHOULD-NOT.
	Level string
	// Issue is the number of the issue that the feature belongs to.
	Issue int
}

// openIssues are the issues still open, by what they are about. What belongs to one of them and has no check is todo.
var openIssues = map[int]string{
	3: "bulk data", 4: "security", 5: "payer-to-payer", 6: "provider access", 7: "content rules",
}

// Requirements returns the list in its order.
func Requirements() ([]Requirement, error) {
	var out []Requirement
	for line := range strings.Lines(list) {
		var r Requirement
		if _, err := fmt.Sscanf(line, "%s %s %d", &r.ID, &r.Level, &r.Issue); err != nil {
			return nil, fmt.Errorf("read requirements.txt, row %d: %w", len(out)+1, err)
		}
		out = append(out, r)
	}
	return out, nil
}
