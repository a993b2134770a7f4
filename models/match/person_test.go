package match

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// person parses a Patient and its Coverages, all in JSON.
func person(t require.TestingT, patient string, coverages ...string) Person {
	d, err := fhir.ParsePatient([]byte(patient))
	require.NoError(t, err)
	p := FromPatient(d)
	for _, coverage := range coverages {
		cards, err := fhir.ParseCards([]byte(coverage))
		require.NoError(t, err)
		p.AddCards(cards)
	}
	return p
}

func TestFromPatient(t *testing.T) {
	t.Parallel()
	p := person(t, `{"resourceType":"Patient","id":"x","active":true,"gender":"female","birthDate":"1974-12-25",
		"name":[
			{"use":"maiden","family":"O’Brien","given":["Patricia"]},
			{"use":"anonymous","family":"Nobody","given":["No"]},
			{"use":"nickname","given":["Patty"]},
			{"use":"official","family":"Núñez-Smith Jr.","given":["Patricia","Ann"],"suffix":["MD"]}],
		"identifier":[
			{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},"value":"0055-678"},
			{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"value":"MRN-1234"},
			{"type":{"coding":[{"system":"http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType","code":"um"}]},"value":"u-1234"},
			{"system":"http://hl7.org/fhir/sid/us-mbi","value":"1EG4-TE5-MK73"},
			{"system":"urn:oid:2.16.840.1.113883.4.1","value":"219-45-6789"},
			{"system":"http://example.org/ours","value":"K-4711"}]}`)
	require.Equal(t, []string{"nunezsmith", "obrien"}, p.Families)
	require.Equal(t, []string{"patricia ann", "patty", "patricia"}, p.Givens)
	require.Equal(t, "jr", p.Suffix)
	require.Equal(t, new(int32(1819)), p.BirthDate)
	require.Equal(t, "female", p.Gender)
	require.Equal(t, []ID{
		{models.CardMemberID, "55678"},
		{models.CardMemberID, "U1234"},
		{models.CardMBI, "1EG4TE5MK73"},
		{models.CardSSN, "219456789"},
		{models.CardOther, "K4711"},
	}, p.IDs)
	require.Equal(t, []string{"1EG4TE5MK73", "219456789", "55678", "K4711", "U1234"}, p.Values())
	require.Equal(t, []Row{
		{"nunezsmith", "patricia ann/jr"}, {"obrien", "patty/jr"}, {"obrien", "patricia/jr"},
	}, p.Rows())
}

func TestFromPatientWithGaps(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   string
		want Person
	}{
		"nothing":             {`{"resourceType":"Patient"}`, Person{}},
		"month of birth":      {`{"resourceType":"Patient","birthDate":"1974-12"}`, Person{}},
		"before the epoch":    {`{"resourceType":"Patient","birthDate":"1969-12-31"}`, Person{BirthDate: new(int32(-1))}},
		"sex at birth":        {`{"resourceType":"Patient","gender":"unknown","extension":[{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":"F"}]}`, Person{Gender: "female"}},
		"gender goes first":   {`{"resourceType":"Patient","gender":"male","extension":[{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":"F"}]}`, Person{Gender: "male"}},
		"other":               {`{"resourceType":"Patient","gender":"other"}`, Person{Gender: "other"}},
		"suffix in its place": {`{"resourceType":"Patient","name":[{"family":"Smith","given":["John"],"suffix":["Jr., MD"]}]}`, Person{Families: []string{"smith"}, Givens: []string{"john"}, Suffix: "jr"}},
		"replaced":            {`{"resourceType":"Patient","gender":"male","name":[{"family":"Smith"}],"link":[{"type":"replaced-by","other":{"reference":"Patient/2"}}]}`, Person{}},
		"replacing":           {`{"resourceType":"Patient","name":[{"family":"Smith"}],"link":[{"type":"replaces","other":{"reference":"Patient/2"}}]}`, Person{Families: []string{"smith"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, person(t, tc.in))
		})
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	require.Nil(t, Person{Givens: []string{"john"}}.Rows(), "nobody is found without a family name")
	require.Equal(t, []Row{{"smith", ""}}, Person{Families: []string{"smith"}}.Rows())
	require.Equal(t, []Row{{"smith", "/jr"}}, Person{Families: []string{"smith"}, Suffix: "jr"}.Rows())
	require.Equal(t, []Row{{"smith", "ann"}, {"jones", "ann"}}, Person{Families: []string{"smith", "jones"}, Givens: []string{"ann"}}.Rows())
}

func TestAddCards(t *testing.T) {
	t.Parallel()
	const mb = `{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},"value":%q}`
	for name, tc := range map[string]struct {
		in   string
		want []ID
	}{
		"member and subscriber": {
			`"subscriberId":"888009335","dependent":"01","identifier":[` + fmt.Sprintf(mb, "88800933501") + `]`,
			[]ID{{models.CardMemberID, "88800933501"}, {models.CardSubscriber, "888009335"}},
		},
		"dependant alone": {
			`"subscriberId":"W1234567","dependent":"2"`,
			[]ID{{models.CardMemberID, "W123456702"}, {models.CardMemberID, "W12345672"}, {models.CardSubscriber, "W1234567"}},
		},
		"the family's number as member id": {
			`"subscriberId":"W-1234567","identifier":[` + fmt.Sprintf(mb, "w1234567") + `]`,
			[]ID{{models.CardSubscriber, "W1234567"}},
		},
		"untyped": {
			`"identifier":[{"system":"http://example.org","value":"234567"}]`,
			[]ID{{models.CardOther, "234567"}},
		},
		"subscriber number type": {
			`"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"SN"}]},"value":"S-234567"}]`,
			[]ID{{models.CardSubscriber, "S234567"}},
		},
		"placeholders":     {`"subscriberId":"000000000","identifier":[` + fmt.Sprintf(mb, "UNKNOWN") + `]`, nil},
		"entered in error": {`"status":"entered-in-error","subscriberId":"W1234567"`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := person(t, `{"resourceType":"Patient"}`, `{"resourceType":"Coverage",`+tc.in+`}`)
			require.ElementsMatch(t, tc.want, p.IDs)
		})
	}
}

// TestNothingPrints holds every type against the verbs that could leak a person into a log.
func TestNothingPrints(t *testing.T) {
	t.Parallel()
	p := Person{Families: []string{"nunez"}, Givens: []string{"nunez"}, IDs: []ID{{models.CardSSN, "nunez"}}}
	for _, v := range []any{p, &p, p.IDs[0], p.Rows()[0], Candidate{Family: "nunez"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			require.NotContains(t, fmt.Sprintf(verb, v), "nunez", "%T %s", v, verb)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		require.NotContains(t, log.String(), "nunez", "%T in a log", v)
	}
}
