package fhir

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func patientLine(body string) string {
	if body != "" {
		body = "," + body
	}
	return `{"resourceType":"Patient","id":"x"` + body + `}`
}

func TestInspectRejects(t *testing.T) {
	t.Parallel()
	deep := func(n int) string {
		return patientLine(`"a":` + strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(`,"m`)
			b.WriteString(FormatDay(Day(i)))
			b.WriteString(`":1`)
		}
		return `{"resourceType":"Patient","id":"x"` + b.String() + `}`
	}
	for _, c := range []struct {
		name string
		line string
		want Reason // "" when it is fine
	}{
		{"minimal", patientLine(""), ""},
		{"blanks", " { \"resourceType\" :\t\"Patient\" , \"id\" : \"x\" , \"a\" : [ 1 , { } , [ ] ] } ", ""},
		{"all kinds of values", patientLine(`"a":[null,true,false,0,-0,1.5,-2e10,3E-2,4e+1,"",{"b":{}}]`), ""},
		{"escapes", patientLine(`"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀"`), ""},
		{"empty", "", ReasonNotJSON},
		{"blank", "  ", ReasonNotJSON},
		{"cut off", `{"resourceType":"Patient","id":"x"`, ReasonNotJSON},
		{"cut off in a key", `{"resourceType":"Patient","i`, ReasonNotJSON},
		{"cut off in an escape", `{"resourceType":"Patient","id":"x","a":"\u12`, ReasonNotJSON},
		{"trailing data", patientLine("") + "{}", ReasonNotJSON},
		{"trailing comma", `{"resourceType":"Patient","id":"x",}`, ReasonNotJSON},
		{"trailing comma in a list", patientLine(`"a":[1,]`), ReasonNotJSON},
		{"two commas", patientLine(`"a":[1,,2]`), ReasonNotJSON},
		{"mixed brackets", patientLine(`"a":[{]}`), ReasonNotJSON},
		{"no colon", patientLine(`"a" 1`), ReasonNotJSON},
		{"bare name", patientLine(`a:1`), ReasonNotJSON},
		{"single quotes", patientLine(`"a":'b'`), ReasonNotJSON},
		{"leading zero", patientLine(`"a":01`), ReasonNotJSON},
		{"plus", patientLine(`"a":+1`), ReasonNotJSON},
		{"bare point", patientLine(`"a":1.`), ReasonNotJSON},
		{"bare minus", patientLine(`"a":-`), ReasonNotJSON},
		{"bare exponent", patientLine(`"a":1e`), ReasonNotJSON},
		{"not a number", patientLine(`"a":NaN`), ReasonNotJSON},
		{"wrong literal", patientLine(`"a":tru`), ReasonNotJSON},
		{"bad escape", patientLine(`"a":"\x"`), ReasonNotJSON},
		{"bad hex", patientLine(`"a":"\u12g4"`), ReasonNotJSON},
		{"raw tab in a string", patientLine("\"a\":\"\t\""), ReasonNotJSON},
		{"raw line break between tokens", patientLine("\n\"a\":1"), ReasonNotJSON},
		{"raw return between tokens", patientLine("\r\"a\":1"), ReasonNotJSON},
		{"byte order mark", "\xef\xbb\xbf" + patientLine(""), ReasonNotJSON},
		{"bad UTF-8", patientLine("\"a\":\"\xff\""), ReasonBadUTF8},
		{"overlong UTF-8", patientLine("\"a\":\"\xc0\xaf\""), ReasonBadUTF8},
		{"surrogate in UTF-8", patientLine("\"a\":\"\xed\xa0\x80\""), ReasonBadUTF8},
		{"UTF-8 cut off", patientLine("\"a\":\"12345678\xe2\x82\""), ReasonBadUTF8},
		{"lone high surrogate", patientLine(`"a":"\ud83d"`), ReasonBadUTF8},
		{"lone low surrogate", patientLine(`"a":"\ude00"`), ReasonBadUTF8},
		{"two high surrogates", patientLine(`"a":"\ud83d\ud83d"`), ReasonBadUTF8},
		{"as deep as allowed", deep(MaxDepth - 1), ""},
		{"too deep", deep(MaxDepth), ReasonTooDeep},
		{"too deep in an element of interest", `{"resourceType":"Observation","id":"x","subject":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, ReasonTooDeep},
		{"as many members as allowed", many(MaxMembers - 2), ""},
		{"too many members", many(MaxMembers - 1), ReasonTooManyMembers},
		{"member twice", patientLine(`"gender":"male","gender":"female"`), ReasonDuplicateKey},
		{"id twice", patientLine(`"id":"y"`), ReasonDuplicateKey},
		{"meta twice", patientLine(`"meta":{},"meta":{}`), ReasonDuplicateKey},
		{"security twice", patientLine(`"meta":{"security":[],"security":[]}`), ReasonDuplicateKey},
		{"reference twice", `{"resourceType":"Observation","id":"x","subject":{"reference":"Patient/a","reference":"Patient/b"}}`, ReasonDuplicateKey},
		{"label code twice", patientLine(`"meta":{"security":[{"code":"N","code":"R"}]}`), ReasonDuplicateKey},
		{"escaped name", patientLine(`"m\u0065ta":{}`), ReasonEscapedKey},
		{"escaped name below", patientLine(`"a":{"\u0062":1}`), ReasonEscapedKey},
		{"not an object", `[]`, ReasonNoType},
		{"a string", `"Patient"`, ReasonNoType},
		{"empty object", `{}`, ReasonNoType},
		{"no type", `{"id":"x","a":1}`, ReasonNoType},
		{"type not text", `{"resourceType":1,"id":"x"}`, ReasonNoType},
		{"type null", `{"resourceType":null,"id":"x"}`, ReasonNoType},
		{"unknown type", `{"resourceType":"Animal","id":"x"}`, ReasonUnknownType},
		{"type in the wrong case", `{"resourceType":"patient","id":"x"}`, ReasonUnknownType},
		{"no id", `{"resourceType":"Patient"}`, ReasonNoID},
		{"empty id", `{"resourceType":"Patient","id":""}`, ReasonBadID},
		{"id not text", `{"resourceType":"Patient","id":5}`, ReasonBadID},
		{"id in a list", `{"resourceType":"Patient","id":["x"]}`, ReasonBadID},
		{"id with a slash", `{"resourceType":"Patient","id":"a/b"}`, ReasonBadID},
		{"id with an underscore", `{"resourceType":"Patient","id":"a_b"}`, ReasonBadID},
		{"id of 64", `{"resourceType":"Patient","id":"` + strings.Repeat("a", 64) + `"}`, ""},
		{"id of 65", `{"resourceType":"Patient","id":"` + strings.Repeat("a", 65) + `"}`, ReasonBadID},
		{"meta not an object", patientLine(`"meta":[]`), ReasonBadMeta},
		{"meta null", patientLine(`"meta":null`), ReasonBadMeta},
		{"version not text", patientLine(`"meta":{"versionId":1}`), ReasonBadMeta},
		{"last updated not text", patientLine(`"meta":{"lastUpdated":1}`), ReasonBadLastUpdated},
		{"last updated a day", patientLine(`"meta":{"lastUpdated":"2020-01-01"}`), ReasonBadLastUpdated},
		{"last updated without zone", patientLine(`"meta":{"lastUpdated":"2020-01-01T00:00:00"}`), ReasonBadLastUpdated},
		{"last updated on no day", patientLine(`"meta":{"lastUpdated":"2019-02-29T00:00:00Z"}`), ReasonBadLastUpdated},
		{"security not a list", patientLine(`"meta":{"security":{"code":"R"}}`), ReasonBadSecurityMeta},
		{"security of text", patientLine(`"meta":{"security":["R"]}`), ReasonBadSecurityMeta},
		{"security code not text", patientLine(`"meta":{"security":[{"code":["R"]}]}`), ReasonBadSecurityMeta},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var f Facts
			err := Inspect([]byte(c.line), &f)
			if c.want == "" {
				require.NoError(t, err)
				require.True(t, json.Valid([]byte(c.line)))
				return
			}
			reject, ok := errors.AsType[*Reject](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.want, reject.Reason)
			require.GreaterOrEqual(t, reject.Offset, 0)
			require.LessOrEqual(t, reject.Offset, len(c.line))
		})
	}
}

func TestRejectHoldsNoContent(t *testing.T) {
	t.Parallel()
	var f Facts
	err := Inspect([]byte(`{"resourceType":"Patient","id":"Jane Roe"}`), &f)
	require.EqualError(t, err, "bad-id at byte 31")
}

func TestPatientReference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject string
		want    string
	}{
		{`{"reference":"Patient/abc"}`, "abc"},
		{`{"reference":"Patient\/abc"}`, "abc"},
		{`{"reference":"\u0050atient/abc"}`, "abc"},
		{`{"reference":"Patient/abc/_history/1"}`, "abc"},
		{`{"reference":"http://host/fhir/Patient/abc"}`, "abc"},
		{`{"reference":"https://host/fhir/Patient/abc/_history/2"}`, "abc"},
		{`{"reference":"urn:uuid:8c8bea6b-3352-4331-b5e8-544c0fef254a"}`, "8c8bea6b-3352-4331-b5e8-544c0fef254a"},
		{`{"display":"Jane","reference":"Patient/abc","identifier":{"value":"1"}}`, "abc"},
		{`{"identifier":{"value":"Patient/abc"}}`, ""},
		{`{"display":"Patient/abc"}`, ""},
		{`{"reference":"#abc"}`, ""},
		{`{"reference":"Group/abc"}`, ""},
		{`{"reference":"Patient"}`, ""},
		{`{"reference":"Patient/"}`, ""},
		{`{"reference":"Patient/a b"}`, ""},
		{`{"reference":"Patient?identifier=1"}`, ""},
		{`{"reference":"XPatient/abc"}`, ""},
		{`{"reference":"ftp://host/Patient/abc"}`, ""},
		{`{"reference":"http://host/XPatient/abc"}`, ""},
		{`{"reference":"urn:oid:1.2.3"}`, ""},
		{`{"reference":5}`, ""},
		{`null`, ""},
		{`"Patient/abc"`, ""},
		{`{}`, ""},
	} {
		var f Facts
		line := `{"resourceType":"Observation","id":"x","subject":` + c.subject + `}`
		require.NoError(t, Inspect([]byte(line), &f), line)
		require.Equal(t, c.want, string(f.Patient), line)
	}
	require.Equal(t, "abc", PatientID("Patient/abc"))
	require.Empty(t, PatientID("Practitioner/abc"))
}

func TestOtherPatients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line    string
		patient string
		others  bool
	}{
		{`{"resourceType":"Account","id":"x","subject":[{"reference":"Patient/a"},{"reference":"Patient/b"}]}`, "a", true},
		{`{"resourceType":"Account","id":"x","subject":[{"reference":"Patient/a"},{"reference":"http://h/Patient/a"}]}`, "a", false},
		{`{"resourceType":"Group","id":"x","member":[{"entity":{"reference":"Patient/a"}},{"entity":{"reference":"Patient/b"}}]}`, "a", true},
		{`{"resourceType":"Communication","id":"x","subject":{"reference":"Patient/a"},"recipient":[{"reference":"Patient/b"}]}`, "a", false},
		{`{"resourceType":"Communication","id":"x","recipient":[{"reference":"Patient/a"},{"reference":"Patient/b"}]}`, "a", true},
		// A urn may be anything here, so it says nothing.
		{`{"resourceType":"Appointment","id":"x","participant":[{"actor":{"reference":"urn:uuid:a"}},{"actor":{"reference":"Patient/b"}}]}`, "b", false},
	} {
		var f Facts
		require.NoError(t, Inspect([]byte(c.line), &f), c.line)
		require.Equal(t, c.patient, string(f.Patient), c.line)
		require.Equal(t, c.others, f.Others, c.line)
	}
}

func TestProvenanceTarget(t *testing.T) {
	t.Parallel()
	var f Facts
	require.NoError(t, Inspect([]byte(`{"resourceType":"Provenance","id":"x","target":[{"reference":"Observation\/1"},{"reference":"Patient/p"}]}`), &f))
	require.Equal(t, "p", string(f.Patient))
	require.Equal(t, "Observation/1", string(f.Target))
	require.NoError(t, Inspect([]byte(`{"resourceType":"Provenance","id":"x","target":[{"display":"a"},{"reference":"Observation/1"},{"reference":"Observation/2"}]}`), &f))
	require.Empty(t, f.Patient)
	require.Equal(t, "Observation/1", string(f.Target))
	// The same Facts must forget what the line before said.
	require.NoError(t, Inspect([]byte(patientLine("")), &f))
	require.Nil(t, f.Target)
}

func TestSensitive(t *testing.T) {
	t.Parallel()
	const confidentiality, act = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	coding := func(system, code string) string { return `{"system":"` + system + `","code":"` + code + `"}` }
	for _, c := range []struct {
		labels string
		want   bool
	}{
		{``, false},
		{`{}`, false},
		{coding(confidentiality, "R"), true},
		{coding(confidentiality, "V"), true},
		{coding(confidentiality, "N"), false},
		{coding(confidentiality, "HIV"), false},
		{coding("http://hl7.org/fhir/v3/Confidentiality", "R"), true},
		{coding(act, "HIV"), true},
		{coding(act, "SUD"), true},
		{coding(act, "TBOO"), true},
		{coding(act, "42CFRPart2"), true},
		{coding(act, "R"), false},
		{coding(act, "NOREUSE"), false},
		{coding("http://example.org", "HIV"), false},
		{`{"code":"PSY"}`, true},
		{`{"code":"R"}`, true},
		{`{"code":"N"}`, false},
		{`{"code":"\u0050SY","system":"http:\/\/terminology.hl7.org\/CodeSystem\/v3-ActCode","extension":[{"url":"a"}]}`, true},
		{coding(confidentiality, "N") + "," + coding(act, "MH"), true},
		{coding(act, "MH") + "," + coding(confidentiality, "N"), true},
	} {
		var f Facts
		line := patientLine(`"meta":{"security":[` + c.labels + `]}`)
		require.NoError(t, Inspect([]byte(line), &f), line)
		require.Equal(t, c.want, f.Sensitive, line)
	}
}

func TestPriorAuthAndUse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, body string
		prior      bool
		use        Use
	}{
		{"ExplanationOfBenefit", `"use":"preauthorization"`, true, UsePreauthorization},
		{"ExplanationOfBenefit", `"use":"claim"`, false, UseClaim},
		{"ExplanationOfBenefit", `"use":"predetermination"`, false, UsePredetermination},
		{"ExplanationOfBenefit", `"use":"claim","meta":{"profile":["http://a","` + PriorAuthProfile + `"]}`, true, UseClaim},
		{"ExplanationOfBenefit", `"meta":{"profile":["` + PriorAuthProfile + `|2.2.0"]}`, true, UseNone},
		{"ExplanationOfBenefit", `"meta":{"profile":["` + PriorAuthProfile + `-x"]}`, false, UseNone},
		{"Claim", `"use":"preauthorization"`, true, UsePreauthorization},
		{"ClaimResponse", `"use":"preauthorization"`, true, UsePreauthorization},
		{"Organization", `"use":"preauthorization"`, false, UseNone},
	} {
		var f Facts
		line := `{"resourceType":"` + c.kind + `","id":"x",` + c.body + `}`
		require.NoError(t, Inspect([]byte(line), &f), line)
		require.Equal(t, c.prior, f.PriorAuth, line)
		require.Equal(t, c.use, f.Use, line)
	}
}

func TestMetaFacts(t *testing.T) {
	t.Parallel()
	var f Facts
	require.NoError(t, Inspect([]byte(patientLine(`"meta":{"versionId":"3","lastUpdated":"2020-10-30T09:48:01.8462752-04:00"}`)), &f))
	require.Equal(t, "Patient", f.ResourceType())
	require.True(t, f.InCompartment())
	require.Equal(t, "3", string(f.VersionID))
	require.True(t, f.HasLastUpdated)
	require.Equal(t, "2020-10-30T13:48:01.846Z", FormatInstant(f.LastUpdated))
	require.NoError(t, Inspect([]byte(patientLine(`"meta":{}`)), &f))
	require.False(t, f.HasLastUpdated)
	require.Nil(t, f.VersionID)
}

func TestBadDates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, want string }{
		{`"period":{"start":"yesterday"}`, ""},
		{`"period":{"start":"2020-13-01","end":"2020-12-31"}`, "2020-12-31"},
		{`"period":{"start":"2020-01-01","end":"soon"}`, "2020-01-01"},
		{`"period":"2020-01-01T10:00"`, ""},
	} {
		var f Facts
		line := `{"resourceType":"Encounter","id":"x",` + c.body + `}`
		require.NoError(t, Inspect([]byte(line), &f), line)
		require.True(t, f.BadDate, line)
		require.Equal(t, c.want, days(f), line)
	}
}

// Not parallel: other tests would allocate meanwhile.
func TestInspectDoesNotAllocate(t *testing.T) {
	line := []byte(`{"id":"x","subject":{"reference":"Patient\/p"},"effectiveDateTime":"2020","meta":{"versionId":"\u0031"},"resourceType":"Observation"}`)
	var f Facts
	require.NoError(t, Inspect(line, &f))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := Inspect(line, &f); err != nil {
			t.Fatal(err)
		}
	}))
}

func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, Check([]byte("{\r\n  \"a\": [1,\n2]\n}\n")))
	require.NoError(t, Check([]byte("1")))
	for _, bad := range []string{"", "{", "1 2", "{\"a\":\"\n\"}", "\xef\xbb\xbf{}", strings.Repeat("[", 65) + strings.Repeat("]", 65)} {
		require.Error(t, Check([]byte(bad)), bad)
	}
}
