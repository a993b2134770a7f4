package consent

import (
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestLinesOf(t *testing.T) {
	t.Parallel()
	all := []models.LineOfBusiness{
		{Code: "default"},
		{Code: "gold", Selectors: []models.LineSelector{{Class: "plan|GOLD"}}},
		{Code: "ma", Selectors: []models.LineSelector{{Type: "urn:types|MCPOL", Payor: "urn:payers|7"}, {Payor: "reference|Organization/ma"}}},
	}
	const gold = `{"status":"active","class":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"plan"}]},"value":"GOLD"}]}`
	for name, tc := range map[string]struct {
		coverages []string
		want      []string
	}{
		"none":                     {nil, []string{"default"}},
		"a plan":                   {[]string{gold}, []string{"gold"}},
		"a plan that is over":      {[]string{`{"status":"cancelled",` + gold[len(`{"status":"active",`):]}, []string{"default"}},
		"a group of that name":     {[]string{`{"class":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"group"}]},"value":"GOLD"}]}`}, []string{"default"}},
		"a payor by reference":     {[]string{`{"payor":[{"reference":"Organization/ma"}]}`}, []string{"ma"}},
		"a payor and not the type": {[]string{`{"payor":[{"identifier":{"system":"urn:payers","value":"7"}}]}`}, []string{"default"}},
		"a payor and the type":     {[]string{`{"type":{"coding":[{"system":"urn:types","code":"MCPOL"}]},"payor":[{"reference":"#o"}],"contained":[{"resourceType":"Organization","id":"o","identifier":[{"system":"urn:payers","value":"7"}]}]}`}, []string{"ma"}},
		"two":                      {[]string{gold, `{"payor":[{"reference":"Organization/ma"}]}`}, []string{"gold", "ma"}},
		"no JSON":                  {[]string{`{`}, []string{"default"}},
	} {
		var texts [][]byte
		for _, c := range tc.coverages {
			texts = append(texts, []byte(c))
		}
		var codes []string
		for _, l := range LinesOf(texts, all) {
			codes = append(codes, l.Code)
		}
		require.Equal(t, tc.want, codes, name)
	}
}
