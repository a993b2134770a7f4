package release

import "encoding/json"

// unescape resolves the escapes of a string literal's text. What is no JSON has no text.
func unescape(raw []byte) []byte {
	var s string
	quoted := append(append(append(make([]byte, 0, len(raw)+2), '"'), raw...), '"')
	if json.Unmarshal(quoted, &s) != nil {
		return nil
	}
	return []byte(s)
}
