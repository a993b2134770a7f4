package search

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
)

// matches parses a filter on the type of a resource and holds it against the resource.
func matches(t require.TestingT, filter, resource string) bool {
	filters, err := ParseTypeFilters([]string{filter})
	require.NoError(t, err, filter)
	typ, _, _ := strings.Cut(filter, "?")
	code, _ := fhir.TypeCode(typ)
	f, ok := filters.For(code)
	require.True(t, ok)
	return f.Match([]byte(resource))
}

// check holds filters against one resource: those that begin with ! must not match.
func check(t *testing.T, typ, resource string, filters ...string) {
	t.Helper()
	for _, filter := range filters {
		query, not := strings.CutPrefix(filter, "!")
		require.Equal(t, !not, matches(t, typ+"?"+query, resource), filter)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	check(t, "Observation", `{"resourceType":"Observation","id":"Obs-1","meta":{"tag":[{"code":"bare"}]},"status":"final",
		"category":[{"coding":[{"system":"http://cat","code":"laboratory","display":"Laboratory"}]},{"text":"Other things"}],
		"code":{"coding":[{"code":"x","display":"Largo"},{"system":"http://loinc.org","code":"8302-2","display":"Body Height","userSelected":true}],"text":"Gr\u00f6\u00dfe  \"now\""}}`,
		"code=8302-2", "code=http://loinc.org|8302-2", "!code=http://LOINC.org|8302-2", "!code=|8302-2", "code=|x", "code=X",
		"code=http://loinc.org|", "!code=http://other|", "!code=8302", "!code=8302-20", "code=a,8302-2", "!code=a,b",
		"!code=http://loinc.org|x", "code=http%3A%2F%2Floinc.org%7C8302-2", "code=HTTP://x,|X",
		"category=LABORATORY", "!category=lab", "category=laboratory&code=x", "!category=laboratory&code=y",
		"category=laboratory&category=http://cat|laboratory", "!category=laboratory&category=vital-signs",
		"code:not=y", "!code:not=x", "!code:not=y,x", "code:not=http://loinc.org|x", "!code:not=8302-2",
		"code:text=body", "code:text=BODY%20h", "code:text=body+height", "!code=body+height", "!code:text=height", "code:text=largo", "code:text=grosse,GRÖSSE,größe", `code:text=Größe "N`, "category:text=other",
		"!category:text=laboratory things", "category:text=LAB",
		"status=final", "status=Final", "status=http://hl7.org/fhir/observation-status|final", "!status=http://x|final", "status=|final",
		"status=http://hl7.org/fhir/observation-status|", "!status=amended", "status:not=amended", "!status:not=final,amended",
		"_id=Obs-1", "!_id=obs-1", "_id=x,Obs-1", "!_id:not=Obs-1", "_id:missing=false",
		"_tag=bare", "_tag=|bare", "!_tag=http://x|bare", "_security:missing=true", "!_security=R", "_security:not=R",
		"code:missing=false", "!code:missing=true", "date:missing=true", "!date:missing=false", "!patient:missing=false")
	check(t, "Patient", `{"resourceType":"Patient","id":"p","identifier":[{"type":{"coding":[{"code":"MR"}],"text":"Medical Record"},"system":"urn:s","value":"AB|1,2$\\"},{"value":"77"},{"system":"urn:only"}],
		"gender":null,"_gender":{"extension":[]},"deceasedBoolean":true}`,
		`identifier=urn:s|AB\|1\,2\$\\`, `identifier=AB\|1\,2$\\`, `identifier=ab\|1\,2\$\\`, "identifier=|77", "!identifier=|AB", "identifier=urn:s|", "identifier=urn:only|",
		"!identifier=MR", "identifier:text=medical", "!identifier:text=mr", "!identifier:not=77", "identifier:not=78",
		"gender:missing=true", "!gender=male", "gender:not=male", "death-date:missing=true")
	check(t, "Encounter", `{"resourceType":"Encounter","id":"e","class":{"system":"http://v3","code":"AMB","display":"ambulatory"},"hospitalization":{"dischargeDisposition":{"coding":[{"code":"home"}]}}}`,
		"class=AMB", "class=http://v3|amb", "!class=http://v2|AMB", "class:text=ambu", "discharge-disposition=home", "!discharge-disposition=hosp")
	check(t, "Consent", `{"resourceType":"Consent","id":"c","provision":{"type":"permit","action":[{"extension":[{"url":"http://other","valueBoolean":false},{"url":"`+providerAccess+`","valueBoolean":true}],"coding":[{"code":"disclose"}]}]}}`,
		"provider-access=true", "!provider-access=false", "provision-type=permit", "provision-action=disclose", "!provision-action=true", "provider-access:missing=false")
	check(t, "CareTeam", `{"resourceType":"CareTeam","id":"c","participant":[{"role":[{"coding":[{"code":"a"}]}]},{"member":{}},{"role":[{"coding":[{"code":"b"},{"code":"c"}]}]}]}`,
		"role=a", "role=b", "role=c", "!role=d", "role=a&role=c", "!role:not=c", "role:not=d")
}

// A text that is escaped in the resource is found all the same, whatever the quick look finds.
func TestEscapedText(t *testing.T) {
	t.Parallel()
	check(t, "Observation", `{"resourceType":"Observation","id":"o","code":{"coding":[{"system":"http:\/\/loinc.org","code":"\u0038302-2"}]},"subject":{"reference":"Patient\/\u0061bcd"}}`,
		"code=http://loinc.org|8302-2", "patient=Patient/abcd", "patient=abcd", "!patient=abce")
	check(t, "Patient", `{"resourceType":"Patient","id":"o","name":[{"family":"\ud83d\ude00 N\u00faN\u0303ez"}]}`, "family=😀 nunez", "family:exact=😀 NúN\u0303ez", "!family:exact=😀 NúÑez")
}

func TestString(t *testing.T) {
	t.Parallel()
	check(t, "Patient", `{"resourceType":"Patient","id":"p","name":[{"use":"official","text":"Dr. José María Núñez  O'Neil","family":"Núñez O'Neil","given":["José","Maria\tElena"],"prefix":["Dr."]},{"family":"SMITH","suffix":["Jr."]}]}`,
		"name=jose", "name=JOSÉ", "name=José", "!name=osé", "name=maria elena", "name=Maria+Elena", "name=dr", "name=jr", "!name=official",
		"family=nunez", "family=NÚÑEZ%20o'", "!family=o'neil", "family=smi", "family=x,smith", "!given=smith", "given=maria",
		"family:exact=SMITH", "!family:exact=Smith", "!family:exact=SMIT", "family:exact=Núñez O'Neil",
		"family:contains=neil", "family:contains=MIT", "!family:contains=jones", "name:contains=aría",
		"family=nunez&family=smith", "!family=nunez&family=jones", "name:missing=false", "!name:missing=true")
	check(t, "Location", `{"resourceType":"Location","id":"l","name":"Main Clinic","alias":["Old Mill","Hütte"],"address":{"use":"work","line":["1 High St","Floor 2"],"city":"Ann Arbor","state":"MI","postalCode":"48104","country":"US"}}`,
		"name=main", "name=old", "name=hutte", "!name=clinic", "name:contains=clinic", "address=1 high", "address=floor", "address=ann", "address=481", "!address=work",
		"address-city=ANN", "!address-city=arbor", "address-state=mi", "address-postalcode=48104", "address-postalcode:exact=48104", "!address-postalcode=04", "address-city:missing=false")
	check(t, "Organization", `{"resourceType":"Organization","id":"o","address":[{"city":"A"},{"city":"B"}]}`, "address=b", "!address=c", "name:missing=true")
}

func TestReference(t *testing.T) {
	t.Parallel()
	check(t, "Observation", `{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p1","identifier":{"system":"urn:s","value":"9"}}}`,
		"patient=p1", "patient=Patient/p1", "!patient=P1", "!patient=p", "!patient=http://x/Patient/p1", "patient:Patient=p1", "patient:Patient=Patient/p1", "subject=p1", "subject=Patient/p1",
		"!subject=Device/p1", "subject:Patient=p1", "!subject:Device=p1", "!patient=Patient/p1/_history/1", "patient:identifier=urn:s|9", "patient:identifier=9", "!patient:identifier=urn:t|9",
		"patient:missing=false", "patient=a,p1")
	check(t, "Observation", `{"resourceType":"Observation","id":"o","subject":{"reference":"https://x.org/fhir/Patient/p1/_history/3"}}`,
		"patient=p1", "patient=Patient/p1", "patient=https://x.org/fhir/Patient/p1", "!patient=https://y.org/fhir/Patient/p1", "patient=Patient/p1/_history/3", "!patient=Patient/p1/_history/4")
	check(t, "Observation", `{"resourceType":"Observation","id":"o","subject":{"reference":"Group/p1"}}`,
		"!patient=p1", "patient:missing=true", "subject=Group/p1", "subject=p1", "subject:missing=false", "subject:Group=p1", "!subject:Patient=p1")
	check(t, "Observation", `{"resourceType":"Observation","id":"o","subject":{"reference":"urn:uuid:0a"}}`,
		"patient=0a", "patient=Patient/0a", "patient=urn:uuid:0a", "!patient=0b", "patient:missing=false", "subject=0a", "!subject=Device/0a")
	check(t, "Observation", `{"resourceType":"Observation","id":"o","subject":{"reference":"urn:uuid:0a","type":"Device"}}`,
		"!patient=0a", "patient:missing=true", "subject=Device/0a", "!subject=Patient/0a")
	check(t, "Observation", `{"resourceType":"Observation","id":"o","subject":{"type":"Patient","display":"x"}}`, "patient:missing=false", "subject:missing=false", "!patient=x")
	check(t, "Observation", `{"resourceType":"Observation","id":"o","subject":{"display":"x"}}`, "patient:missing=true", "subject:missing=false")
	check(t, "ExplanationOfBenefit", `{"resourceType":"ExplanationOfBenefit","id":"e","careTeam":[{"provider":{"reference":"Practitioner/a"}},{"provider":{"reference":"Organization/b"}}],"insurance":[{"coverage":{"reference":"#cov"}}]}`,
		"care-team=a", "care-team=Organization/b", "!care-team=Organization/a", "care-team:Practitioner=a", "!coverage=cov", "coverage:missing=false", "insurer:missing=true")
	check(t, "QuestionnaireResponse", `{"resourceType":"QuestionnaireResponse","id":"q","questionnaire":"http://x.org/fhir/Questionnaire/q1|2.0"}`,
		"questionnaire=http://x.org/fhir/Questionnaire/q1", "questionnaire=http://x.org/fhir/Questionnaire/q1|2.0", "!questionnaire=http://x.org/fhir/Questionnaire/q1|1.0",
		"questionnaire=Questionnaire/q1", "questionnaire=q1", "!questionnaire=q2", "questionnaire:missing=false")
	check(t, "Group", `{"resourceType":"Group","id":"g","characteristic":[{"code":{"coding":[{"code":"match"}]},"valueBoolean":true},{"valueReference":{"reference":"Organization/o1"}}]}`,
		"characteristic-value-reference=Organization/o1", "characteristic-value-reference=o1", "characteristic-value-reference:Organization=o1", "!characteristic-value-reference=Patient/o1", "characteristic=match")
}

func TestReferenceBelowBase(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"https://me.org/fhir", "https://me.org/fhir/"} {
		filters, err := Parser{Base: base}.TypeFilters([]string{"Observation?patient=https://me.org/fhir/Patient/p1"})
		require.NoError(t, err)
		filter, _ := filters.For(fhir.TypeObservation)
		require.True(t, filter.Match([]byte(`{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p1"}}`)))
		require.True(t, filter.Match([]byte(`{"resourceType":"Observation","id":"o","subject":{"reference":"https://me.org/fhir/Patient/p1"}}`)))
		require.False(t, filter.Match([]byte(`{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p2"}}`)))
	}
}

func TestURI(t *testing.T) {
	t.Parallel()
	check(t, "ExplanationOfBenefit", `{"resourceType":"ExplanationOfBenefit","id":"e","meta":{"profile":["http://a","http://b|1.1"]}}`,
		"_profile=http://a", "_profile=http://b", "_profile=http://b|1.1", "!_profile=http://b|2", "!_profile=http://a|1", "!_profile=http://A", "!_profile=http://", "_profile:missing=false", "_profile=http://c,http://a")
}

func TestDate(t *testing.T) {
	t.Parallel()
	const head = `{"resourceType":"Observation","id":"o",`
	for _, c := range []struct {
		element string
		filters string
	}{
		{`"effectiveDateTime":"2020-03-15"`, "2020 2020-03 2020-03-15 !2020-03-14 !2020-03-15T00:00:00Z ge2020-03-15 le2020-03-15 !gt2020-03-15 !lt2020-03-15 gt2020-03-14 lt2020-03-16 " +
			"!ne2020 ne2021 sa2020-03-14 !sa2020-03-15 eb2020-03-16 !eb2020-03 ap2020-03-16 ap2020-03-14 !ap2020-03-17 ap2020-03 ge2020-03-15T12:00:00Z le2020-03-15T12:00:00Z"},
		// Partial dates stand for all they contain.
		{`"effectiveDateTime":"2020"`, "2020 !2020-06 ge2020-06 le2020-06 gt2020-06 lt2020-06 !gt2020 !lt2020 ge2020 sa2019 eb2021 ne2020-06 ap2020-06"},
		// Days are compared as written, moments as they were.
		{`"effectiveDateTime":"2020-01-01T23:30:00-05:00"`, "2020-01-01 !2020-01-02 !gt2020-01-01 2020-01-02T04:30Z 2020-01-02T04:30 2020-01-02T04:30:00+00:00 2020-01-01T23:30:00-05:00 !2020-01-01T23:30:00Z gt2020-01-02T00:00:00Z " +
			"2020-01-02T05:30:00+01:00 2020-01-02T05:30:00%2B01:00 2020-01-02T05:30:00%2001:00 !2020-01-02T04:30:00.000Z ge2020-01-02T04:30:00.500Z ap2020-01-02T04:30:01Z !ap2020-01-02T04:30:02Z"},
		{`"effectiveInstant":"2020-01-01T00:00:00.123Z"`, "2020-01-01T00:00:00Z 2020-01-01T00:00:00.123Z !2020-01-01T00:00:00.124Z gt2020-01-01T00:00:00.122Z"},
		{`"effectivePeriod":{"start":"2020-01-10","end":"2020-02"}`, "2020 !2020-01 !2020-02 !ge2020-02 ge2020-02-28 lt2020-01-11 gt2020-02-28 !gt2020-02-29 !gt2020-02 lt2020-01-11 !lt2020-01-10 sa2020-01-09 eb2020-03 !eb2020-02-29 ne2020-01 ap2020-01-20"},
		{`"effectivePeriod":{"start":"2020-01-10"}`, "!2020 gt2030 ge2030 !lt2020-01-10 lt2020-01-11 sa2019 !eb2030 ap2035 ne2020"},
		{`"effectivePeriod":{"end":"2020-01-10"}`, "!2020 lt2000 le2000 !gt2020-01-10 gt2020-01-09 eb2021 !sa2000 ap1990"},
		{`"effectivePeriod":{"start":"2020-02-01","end":"2020-01-01"}`, "2020 ge2020-01-31 le2020-01-02 !2020-01 !gt2020-02-01"},
		{`"effectivePeriod":{"start":"soon","end":"2020-01-01"}`, "!2020 !ne2020 !le2020"},
		{`"effectiveTiming":{"event":["2020-03-01","2020-01-01"]}`, "2020 gt2020-02 lt2020-02 !gt2020-03-01 2020-01-01,2020 !2020-02 ap2020-02"},
		{`"effectiveTiming":{"repeat":{"boundsPeriod":{"start":"2020-01-01","end":"2020-01-31"},"frequency":1}}`, "2020-01 !2020-01-02 le2020-01-02 ge2020-01-30"},
		{`"effectiveTiming":{"repeat":{"boundsDuration":{"value":1}}}`, "!2020 !ne2020"},
		{`"effectiveDateTime":"unknown"`, "!2020 !ne2020 !ge0001"},
		{`"issued":"2020-01-01T00:00:00Z"`, "!2020 !ne2020"},
	} {
		for filter := range strings.FieldsSeq(c.filters) {
			date, not := strings.CutPrefix(filter, "!")
			require.Equal(t, !not, matches(t, "Observation?date="+date, head+c.element+"}"), "%s %s", c.element, filter)
		}
		_, timing := strings.CutPrefix(c.element, `"effective`)
		require.Equal(t, timing, matches(t, "Observation?date:missing=false", head+c.element+"}"))
	}
	check(t, "Observation", head+`"effectiveDateTime":"2020-03-15"}`, "date=ge2020&date=lt2021", "!date=ge2020&date=lt2020", "date=2019,2020", "!date=2019,2021")
	check(t, "Observation", head+`"meta":{"lastUpdated":"2024-05-06T07:08:09.123Z"}}`, "_lastUpdated=2024-05-06", "_lastUpdated=gt2024-05-06T07:08:09.122Z", "!_lastUpdated=gt2024-05-06T07:08:09.123Z", "_lastUpdated=ge2024-05-06T07:08:09.123Z", "_lastUpdated=lt2024-05-06T07:09")
	check(t, "Condition", `{"resourceType":"Condition","id":"c","extension":[{"url":"http://other","valueDateTime":"1999"},{"url":"`+assertedDate+`","valueDateTime":"2015-10-31"}],"onsetAge":{"value":3},"abatementPeriod":{"start":"2016","end":"2017"}}`,
		"asserted-date=2015", "!asserted-date=1999", "onset-date:missing=true", "abatement-date=gt2016", "abatement-date:missing=false", "recorded-date:missing=true")
	check(t, "ExplanationOfBenefit", `{"resourceType":"ExplanationOfBenefit","id":"e","billablePeriod":{"start":"2020-01-01"},"item":[{"servicedDate":"2020-02-01"},{"servicedPeriod":{"start":"2020-03-01","end":"2020-03-02"}}]}`,
		"service-date=2020-02-01", "service-date=2020-03", "service-date=gt2030", "service-start-date=2020-03-01", "!service-start-date=2020-03-02", "!service-start-date=gt2030", "billable-period-start=2020-01-01", "!billable-period-start=2020-02-01",
		"service-date=2020-02&service-date=2020-03")
	check(t, "Goal", `{"resourceType":"Goal","id":"g","target":[{"dueDuration":{"value":1}},{"dueDate":"2020-02-01"}]}`, "target-date=2020-02", "!target-date=2021")
	check(t, "DocumentReference", `{"resourceType":"DocumentReference","id":"d","date":"2020-02-01T00:00:00Z","context":{"period":{"start":"2019-01-01","end":"2019-01-02"}}}`, "date=2020", "period=2019", "!date=2019", "!period=2020")
}

func TestQueriesOnATypeAreAlternatives(t *testing.T) {
	t.Parallel()
	const filter = "Observation?status=final&code=1234,Observation?status=amended"
	for resource, want := range map[string]bool{
		`{"resourceType":"Observation","id":"o","status":"final","code":{"coding":[{"code":"1234"}]}}`:   true,
		`{"resourceType":"Observation","id":"o","status":"amended","code":{"coding":[{"code":"4321"}]}}`: true,
		`{"resourceType":"Observation","id":"o","status":"final","code":{"coding":[{"code":"4321"}]}}`:   false,
	} {
		require.Equal(t, want, matches(t, filter, resource), resource)
	}
}

func FuzzMatch(f *testing.F) {
	var all []Filter
	for _, value := range []string{
		"Observation?code=http://loinc.org|8302-2&date=ge2019&patient:missing=false", "Patient?name:contains=a&birthdate=lt2000,Patient?identifier:text=x",
		"Condition?asserted-date=ge2020&category:not=x", "Consent?provider-access=true", "ExplanationOfBenefit?service-date=le2020&_profile=http://x&care-team=a",
		"Observation?date=eb2020-01-01T00:00Z&subject:identifier=a|b", "Location?address=x&name:exact=y",
	} {
		filters, err := ParseTypeFilters([]string{value})
		require.NoError(f, err)
		for _, code := range filters.Types() {
			filter, _ := filters.For(code)
			all = append(all, filter)
		}
	}
	f.Add([]byte(`{"resourceType":"Observation","id":"a","code":{"coding":[{"system":"http:\/\/loinc.org","code":"8302-2"}],"text":"\u00e9\ud83d\ude00"},"effectivePeriod":{"start":"2020"},"subject":{"reference":"Patient/1"}}`))
	f.Add([]byte(`{"extension":[{"url":"` + assertedDate + `","valueDateTime":"2020"}],"name":[{"family":"a"}],"birthDate":"1990"}`))
	f.Add([]byte(`{"a":"\`))
	f.Add([]byte(`[[[[{"code":{"coding":[[null]]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		broken := append(append([]byte(nil), line...), '\r', '\n')
		for _, filter := range all {
			got := filter.Match(line)
			if fhir.Check(line) == nil {
				require.Equal(t, got, filter.Match(broken))
			}
		}
	})
}
