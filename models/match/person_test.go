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
	require.Equal(t, []string{"nunez smith", "obrien"}, p.Families)
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
		"no birth date":       {`{"resourceType":"Patient","birthDate":"1900-01-01","name":[{"family":"Missing"}]}`, Person{}},
		"multiple birth":      {`{"resourceType":"Patient","multipleBirthInteger":2}`, Person{Multiple: true, BirthOrder: 2}},
		"unnamed twin":        {`{"resourceType":"Patient","name":[{"family":"Smith","given":["Baby Girl","B"]}]}`, Person{Families: []string{"smith"}, Multiple: true, BirthOrder: 2}},
		"replaced":            {`{"resourceType":"Patient","gender":"male","name":[{"family":"Smith"}],"link":[{"type":"replaced-by","other":{"reference":"Patient/2"}}]}`, Person{}},
		"replacing":           {`{"resourceType":"Patient","name":[{"family":"Smith"}],"link":[{"type":"replaces","other":{"reference":"Patient/2"}}]}`, Person{Families: []string{"smith"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := person(t, tc.in)
			got.own = nil
			require.Equal(t, tc.want, got)
		})
	}
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
	for _, v := range []any{p, &p, p.IDs[0], Candidate{Person: p}, Address{Street: "nunez"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			require.NotContains(t, fmt.Sprintf(verb, v), "nunez", "%T %s", v, verb)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		require.NotContains(t, log.String(), "nunez", "%T in a log", v)
	}
}

func TestContacts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"(555) 867-5309": "5558675309", "+1 555.867.5309": "5558675309", "001-555-867-5309": "5558675309", "555-867-5309 x12": "5558675309",
		"0000000000": "", "999-999-9999": "", "555-555-5555": "", "1234567890": "", "123": "", "unknown": "", "867-5309": "8675309",
	} {
		require.Equal(t, want, phone(in), in)
	}
	for in, want := range map[string]string{
		" Jo.Doe@Example.ORG ": "jo.doe@example.org", "jo+plan@example.org": "jo@example.org",
		"none@none.com": "", "jo": "", "jo@example": "", "noemail@example.org": "", "a b@example.org": "",
	} {
		require.Equal(t, want, email(in), in)
	}
	for name, tc := range map[string]struct {
		a, b fhir.Address
		want Level
	}{
		"same":               {at("12 Main Street Apt 4", "Springfield", "62701"), at("12 MAIN ST. #9", "Springfield", "62701-1234"), Exact},
		"a slip":             {at("12 Lincon Ave", "Springfield", "62701"), at("12 Lincoln Avenue", "Springfield", "62701"), Exact},
		"number lost":        {at("Lincoln Ave", "Springfield", "62701"), at("12 Lincoln Avenue", "Springfield", "62701"), Slip},
		"another number":     {at("7 Lincoln Ave", "Springfield", "62701"), at("12 Lincoln Avenue", "Springfield", "62701"), Near},
		"another street":     {at("12 Oak Ave", "Springfield", "62701"), at("7 Lincoln Avenue", "Springfield", "62701"), Conflict},
		"another town":       {at("12 Oak Ave", "Dover", "19901"), at("7 Lincoln Avenue", "Springfield", "62701"), Conflict},
		"no street":          {at("", "Springfield", ""), at("7 Lincoln Avenue", "Springfield", "62701"), Place},
		"homeless":           {at("Homeless", "", ""), at("7 Lincoln Avenue", "Springfield", "62701"), Missing},
		"placeholder ZIP":    {at("", "", "00000"), at("7 Lincoln Avenue", "Springfield", "00000"), Missing},
		"box":                {at("P.O. Box 77", "Dover", "19901"), at("PO BOX 77", "Dover", "19901"), Place},
		"street as typed on": {at("12 Lincoln", "Springfield", "62701"), at("12 Lincoln Park", "Springfield", "62701"), Exact},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, compareAddresses(addresses(tc.a), addresses(tc.b)))
			require.Equal(t, tc.want, compareAddresses(addresses(tc.b), addresses(tc.a)))
		})
	}
}

func at(line, city, zip string) fhir.Address {
	return fhir.Address{Line: []string{line}, City: city, PostalCode: zip}
}

func addresses(list ...fhir.Address) []Address {
	var p Person
	p.readAddresses(list)
	return p.Addresses
}

func TestCompareDates(t *testing.T) {
	t.Parallel()
	day := func(s string) int32 {
		d, err := fhir.ParseDate(s)
		require.NoError(t, err)
		return d.First
	}
	for name, tc := range map[string]struct {
		a, b       string
		want       Level
		generation bool
	}{
		"same":              {"1980-03-04", "1980-03-04", Exact, false},
		"exchanged":         {"1980-03-04", "1980-04-03", Swapped, false},
		"a digit":           {"1980-03-04", "1980-03-08", Slip, false},
		"two turned round":  {"1980-03-21", "1980-03-12", Slip, false},
		"the year's":        {"1980-03-04", "1981-03-04", Slip, false},
		"the decade":        {"1980-03-04", "1950-03-04", Slip, true},
		"some days":         {"1980-03-04", "1980-03-17", Near, false},
		"within a year":     {"1980-03-04", "1981-01-17", Near, false},
		"years":             {"1980-03-04", "1984-01-17", Conflict, false},
		"a generation":      {"1980-03-04", "1955-01-17", Conflict, true},
		"end of the year":   {"1979-12-31", "1980-01-01", Near, false},
		"turned round year": {"1987-03-04", "1978-03-04", Slip, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, pair := range [][2]string{{tc.a, tc.b}, {tc.b, tc.a}} {
				level, generation := compareDates(day(pair[0]), day(pair[1]))
				require.Equal(t, tc.want, level)
				require.Equal(t, tc.generation, generation)
			}
		})
	}
}
