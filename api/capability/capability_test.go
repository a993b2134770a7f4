package capability

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Group is described whether or not it is among the types an export can have, and once.
func TestGroupIsAlwaysThere(t *testing.T) {
	t.Parallel()
	for _, types := range [][]string{{"Patient"}, {"Group", "Patient"}, nil} {
		text, err := Build(Server{Base: "https://a.example/fhir", Since: time.Unix(0, 0), Types: types})
		require.NoError(t, err)
		var s struct {
			Date string
			Rest []struct {
				Resource []struct {
					Type      string
					Operation []Operation
				}
			}
		}
		require.NoError(t, json.Unmarshal(text, &s))
		require.Equal(t, "1970-01-01T00:00:00Z", s.Date)
		groups := 0
		for _, r := range s.Rest[0].Resource {
			if r.Type == "Group" {
				groups++
				require.Len(t, r.Operation, 9)
			}
		}
		require.Equal(t, 1, groups)
	}
}
