package match

import "encoding/json"

// Submission is one MemberBundle of a match request as it is stored, one a line. Each part is a whole resource.
type Submission struct {
	Patient  json.RawMessage `json:"patient"`
	Coverage json.RawMessage `json:"coverage"`
	Link     json.RawMessage `json:"link,omitempty"`
	Consent  json.RawMessage `json:"consent"`
}
