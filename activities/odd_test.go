package activities

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

// odd is a MemberBundle that is well-formed and odd in one element, with what is to become of it. The others of its request go
// their way (decision D-05).
type odd struct {
	Name    string
	Part    string
	Path    string          // of the element, "" for none
	Value   json.RawMessage // none takes the element away
	Foreign bool            // kick-off found that its Consent is about another Patient of the request
	Outcome string          // "any": a matter of the matcher alone
	Reason  string          // "": a matter of the matcher
}

// TestOddRequests asks for the same member once for each oddity, in one request.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/odd.ndjson")
	require.NoError(t, err)
	b := setup(t)
	b.members(2)
	var all []odd
	var asks []ask
	var foreign []int32
	for line := range strings.Lines(string(text)) {
		var o odd
		require.NoError(t, json.Unmarshal([]byte(line), &o))
		a := theirs(0)
		switch o.Part {
		case "patient":
			a.patient = changed(t, a.patient, o)
		case "coverage":
			a.coverage = changed(t, a.coverage, o)
		case "consent":
			a.consent = changed(t, a.consent, o)
		}
		if o.Foreign {
			foreign = append(foreign, int32(len(asks)))
		}
		all, asks = append(all, o), append(asks, a)
	}
	// What no line can hold.
	big := strings.Repeat("x", 3<<20)
	deep := strings.Repeat(`{"extension":[`, fhir.MaxDepth/2-4) + strings.Repeat("]}", fhir.MaxDepth/2-4)
	for _, more := range []struct {
		odd
		ask
	}{
		{odd{Name: "a family name of 3 MB", Outcome: store.OutcomeNoMatch}, ask{patient: strings.Replace(theirs(0).patient, "Familya", big, 1)}},
		{odd{Name: "3 MB beside", Outcome: store.OutcomeMatched, Reason: "permitted"}, ask{patient: strings.Replace(theirs(0).patient, `"id"`, `"language":"`+big+`","id"`, 1)}},
		{odd{Name: "a number of 3 MB", Outcome: "any"}, ask{coverage: strings.Replace(theirs(0).coverage, "W123450", big, 1)}},
		{odd{Name: "a policy of 3 MB", Outcome: store.OutcomeConstrained, Reason: "consent-policy"}, ask{consent: agreed(big, "2026-01-01", "2027-12-31")}},
		{odd{Name: "a deep patient", Outcome: "any"}, ask{patient: strings.Replace(theirs(0).patient, `"id"`, `"extension":[`+deep+`],"id"`, 1)}},
		{odd{Name: "ten thousand names", Outcome: "any"}, ask{patient: strings.Replace(theirs(0).patient, `"name":[`, `"name":[`+strings.Repeat(`{"family":"N","given":["M"]},`, 10_000), 1)}},
		{odd{Name: "ten thousand actors", Outcome: store.OutcomeMatched, Reason: "permitted"}, ask{consent: strings.Replace(agreement(), `"actor":[`, `"actor":[`+strings.Repeat(`{"role":{},"reference":{}},`, 10_000), 1)}},
	} {
		a := theirs(0)
		if more.patient != "" {
			a.patient = more.patient
		}
		if more.coverage != "" {
			a.coverage = more.coverage
		}
		if more.consent != "" {
			a.consent = more.consent
		}
		all, asks = append(all, more.odd), append(asks, a)
	}
	require.Greater(t, len(all), 80)
	id, params := b.submit(len(asks), asks, foreign...)
	r := b.answer(id, params)
	for i, o := range all {
		got := r.outcomes[i]
		if o.Outcome != "any" {
			require.Equal(t, o.Outcome, got.Outcome, "%s: %s", o.Name, got.Reason)
		}
		if o.Reason != "" {
			require.Equal(t, o.Reason, got.Reason, o.Name)
		}
	}
}

// changed returns a resource with one element as the oddity has it.
func changed(t *testing.T, resource string, o odd) string {
	t.Helper()
	var root any
	require.NoError(t, json.Unmarshal([]byte(resource), &root))
	var value any
	if o.Value != nil {
		require.NoError(t, json.Unmarshal(o.Value, &value))
	}
	steps := strings.Split(o.Path, "/")
	at := root
	for _, step := range steps[:len(steps)-1] {
		if i, err := strconv.Atoi(step); err == nil {
			at = at.([]any)[i]
		} else {
			at = at.(map[string]any)[step]
		}
	}
	last := steps[len(steps)-1]
	switch {
	case last == "1": // one more in a list
		parent := root.(map[string]any)
		parent[steps[0]] = append(parent[steps[0]].([]any), value)
	case o.Value == nil:
		_, there := at.(map[string]any)[last]
		require.True(t, there, o.Name)
		delete(at.(map[string]any), last)
	default:
		at.(map[string]any)[last] = value
	}
	text, err := json.Marshal(root)
	require.NoError(t, err)
	return string(text)
}
