package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestOutcomeOfError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{
			models.Errorf(models.KindInvalid, "not an instant").At("_since"),
			`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","diagnostics":"not an instant","expression":["_since"]}]}`,
		},
		{
			fmt.Errorf("start export: %w", models.Errorf(models.KindUnavailable, "try again").Because(errors.New("secret"))),
			`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient","diagnostics":"try again"}]}`,
		},
		{
			errors.New("secret"),
			`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception","diagnostics":"internal error"}]}`,
		},
	} {
		got, err := json.Marshal(OutcomeOf(c.err))
		require.NoError(t, err)
		require.Equal(t, c.want, string(got))
		back, err := ParseOutcome(got)
		require.NoError(t, err)
		require.Equal(t, OutcomeOf(c.err), back)
	}
}

func TestIssueCodes(t *testing.T) {
	t.Parallel()
	for kind, want := range map[models.Kind]IssueCode{
		models.KindInvalid: "invalid", models.KindUnauthorized: "login", models.KindForbidden: "forbidden",
		models.KindNotFound: "not-found", models.KindMethod: "not-supported", models.KindConflict: "conflict",
		models.KindGone: "deleted", models.KindTooLarge: "too-long", models.KindMediaType: "not-supported",
		models.KindUnprocessable: "business-rule", models.KindThrottled: "throttled", models.KindInternal: "exception",
		models.KindUnavailable: "transient", "something else": "exception",
	} {
		require.Equal(t, want, IssueCodeOf(kind), kind)
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	const in = `{"resourceType":"Parameters","id":"1","parameter":[
		{"name":"MemberBundle","part":[
			{"name":"MemberPatient","resource":{"resourceType":"Patient","id":"p","multipleBirthInteger":2}},
			{"name":"Consent","resource":{"resourceType":"Consent"}}]},
		{"name":"_since","valueInstant":"2020-01-01T00:00:00Z"},
		{"name":"patient","valueReference":{"reference":"Patient/1"}},
		{"name":"patient","valueReference":{"reference":"Patient/2"}},
		{"name":"n","valueDecimal":1.50}]}`
	p, err := ParseParameters([]byte(in))
	require.NoError(t, err)
	require.Len(t, p.Named("patient"), 2)
	bundle := p.Named("MemberBundle")[0]
	require.Empty(t, bundle.ValueType)
	require.JSONEq(t, `{"resourceType":"Patient","id":"p","multipleBirthInteger":2}`, string(bundle.Parts("MemberPatient")[0].Resource))
	since := p.Named("_since")[0]
	require.Equal(t, "Instant", since.ValueType)
	text, ok := since.Text()
	require.True(t, ok)
	require.Equal(t, "2020-01-01T00:00:00Z", text)
	_, ok = p.Named("patient")[0].Text()
	require.False(t, ok)
	out, err := json.Marshal(p)
	require.NoError(t, err)
	require.JSONEq(t, in, string(out))
	require.Contains(t, string(out), `"valueDecimal":1.50`, "decimals keep their text")

	_, err = ParseParameters([]byte(`{"resourceType":"Parameters","parameter":[{"name":"a","valueString":"b","valueCode":"c"}]}`))
	require.Equal(t, models.KindInvalid, models.KindOf(err))
}

// Errors reach the wire, so they must not quote what was sent.
func TestParseErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{"resourceType":"Patient","id":"4711","name":"SECRET"}`,
		`{"resourceType":"Patient","birthDate":4711}`,
		`{"resourceType":"SECRET"}`,
		`{"resourceType":"Patient","name":[{"family":SECRET}]}`,
		`["SECRET"]`, `4711`, ``, `{"resourceType":4711}`,
		strings.Repeat(`{"SECRET":`, 100) + "1" + strings.Repeat("}", 100),
	} {
		_, err := ParsePatient([]byte(in))
		require.Equal(t, models.KindInvalid, models.KindOf(err), in)
		require.NotContains(t, err.Error(), "SECRET", in)
		require.NotContains(t, err.Error(), "4711", in)
		_, err = ParseCards([]byte(in))
		require.Equal(t, models.KindInvalid, models.KindOf(err), in)
		require.NotContains(t, err.Error(), "SECRET", in)
		require.NotContains(t, err.Error(), "4711", in)
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	const in = `{"resourceType":"Consent","id":"c","status":"active",
		"scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},
		"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"IDSCL"}]}],
		"patient":{"reference":"Patient/1"},"performer":[{"reference":"Patient/1"}],
		"sourceReference":{"reference":"DocumentReference/d"},
		"policy":[{"uri":"` + PolicyRegular + `"}],
		"provision":{"type":"permit","period":{"start":"2023-12-01","end":"2024-03-31"},
			"actor":[{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"IRCP"}]},"reference":{"identifier":{"system":"s","value":"1"}}}],
			"action":[{"extension":[{"url":"u","valueBoolean":true}],"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentaction","code":"disclose"}]}],
			"provision":[{"type":"deny"}]}}`
	c, err := ParseConsent([]byte(in))
	require.NoError(t, err)
	require.Equal(t, PolicyRegular, c.Policy[0].URI)
	require.Equal(t, "1", PatientID(c.Patient.Reference))
	require.True(t, c.Provision.Actor[0].Role.Has("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"))
	require.True(t, c.Provision.Action[0].Has("http://terminology.hl7.org/CodeSystem/consentaction", "disclose"))
	require.True(t, *FindExtension(c.Provision.Action[0].Extension, "u").ValueBoolean)
	require.Nil(t, FindExtension(c.Provision.Action[0].Extension, "v"))
	require.Len(t, c.Provision.Provision, 1, "a nested provision must be seen")
	out, err := json.Marshal(c)
	require.NoError(t, err)
	require.JSONEq(t, in, string(out))

	for _, bad := range []string{
		`{"resourceType":"Consent","modifierExtension":[{"url":"u"}]}`,
		`{"resourceType":"Consent","provision":{"modifierExtension":[{"url":"u"}]}}`,
		`{"resourceType":"Consent","provision":{"actor":[{"modifierExtension":[{"url":"u"}]}]}}`,
	} {
		_, err := ParseConsent([]byte(bad))
		require.Equal(t, models.KindInvalid, models.KindOf(err), bad)
	}
}

func TestGroupAndBundle(t *testing.T) {
	t.Parallel()
	const group = `{"resourceType":"Group","id":"g","meta":{"profile":["p"]},"contained":[{"resourceType":"Patient","id":"1"}],
		"active":true,"type":"person","actual":true,"code":{"coding":[{"system":"s","code":"match"}]},"quantity":0,
		"characteristic":[{"code":{"coding":[{"code":"match"}]},"valueReference":{"identifier":{"value":"1"}},"exclude":false,"period":{"start":"2024-03-20"}}],
		"member":[{"entity":{"extension":[{"url":"u","valueReference":{"reference":"#1"}}],"reference":"Patient/1001"},"inactive":false}]}`
	g, err := ParseGroup([]byte(group))
	require.NoError(t, err)
	require.Equal(t, "match", g.Code.Code("s"))
	out, err := json.Marshal(g)
	require.NoError(t, err)
	require.JSONEq(t, group, string(out))

	const bundle = `{"resourceType":"Bundle","type":"searchset","total":0,"link":[{"relation":"self","url":"u"}],
		"entry":[{"fullUrl":"f","resource":{"resourceType":"Patient"},"search":{"mode":"match"}}]}`
	b, err := ParseBundle([]byte(bundle))
	require.NoError(t, err)
	out, err = json.Marshal(b)
	require.NoError(t, err)
	require.JSONEq(t, bundle, string(out))

	_, err = ParseGroup([]byte(bundle))
	require.Equal(t, models.KindInvalid, models.KindOf(err))
}

func TestParsePatient(t *testing.T) {
	t.Parallel()
	d, err := ParsePatient([]byte(`{"resourceType":"Patient","id":"p","active":false,
		"extension":[{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":"F"},
			{"url":"http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName","valueString":"Roe"}],
		"identifier":[{"use":"official","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},"system":"s","value":"1"}],
		"name":[{"use":"maiden","family":"Doe","given":["Jane","A."],"prefix":["Dr"],"suffix":["Jr"],"period":{"end":"2001"}}],
		"telecom":[{"system":"phone","value":"555","use":"home"}],
		"gender":"female","birthDate":"1974-12-25","deceasedDateTime":"2020-05","multipleBirthInteger":2,
		"address":[{"line":["1 Main St","Apt 2"],"city":"Boston","state":"MA","postalCode":"02108","country":"US"}],
		"link":[{"other":{"reference":"Patient/q"},"type":"replaced-by"}]}`))
	require.NoError(t, err)
	require.Equal(t, "p", d.ID)
	require.False(t, d.Active)
	require.Equal(t, "F", d.BirthSex)
	require.Equal(t, "Roe", d.MothersMaidenName)
	require.Equal(t, "MB", d.Identifiers[0].TypeCode(SystemIdentifierType))
	require.Empty(t, d.Identifiers[0].TypeCode("other"))
	require.Equal(t, HumanName{Use: "maiden", Family: "Doe", Given: []string{"Jane", "A."}, Prefix: []string{"Dr"}, Suffix: []string{"Jr"}, Period: &Period{End: "2001"}}, d.Names[0])
	require.Equal(t, "555", d.Telecoms[0].Value)
	require.Equal(t, []string{"1 Main St", "Apt 2"}, d.Addresses[0].Line)
	require.Equal(t, "1974-12-25", FormatDay(d.Born.First))
	require.True(t, d.Deceased)
	require.Equal(t, "2020-05", d.DeceasedAt)
	require.True(t, d.MultipleBirth)
	require.Equal(t, 2, d.BirthOrder)
	require.Equal(t, []PatientLink{{Type: "replaced-by", Patient: "q"}}, d.Links)

	d, err = ParsePatient([]byte(`{"resourceType":"Patient","birthDate":"unknown","deceasedBoolean":true,"multipleBirthBoolean":true}`))
	require.NoError(t, err)
	require.True(t, d.Active)
	require.Nil(t, d.Born)
	require.True(t, d.Deceased)
	require.True(t, d.MultipleBirth)
}

func TestParseCards(t *testing.T) {
	t.Parallel()
	cards, err := ParseCards([]byte(`{"resourceType":"Coverage","id":"c","status":"active",
		"identifier":[{"value":"other"},{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},"system":"s","value":"m1"}],
		"subscriber":{"reference":"Patient/sub"},"subscriberId":"s1","dependent":"01","beneficiary":{"reference":"Patient/ben"},
		"relationship":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/subscriber-relationship","code":"child"}]},
		"period":{"start":"2020-01-01"},
		"payor":[{"identifier":{"system":"n","value":"0123456789"},"display":"Old Health Plan"}],
		"class":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"group"}]},"value":"g1","name":"G"},
			{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"plan"}]},"value":"p1"},
			{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"rxbin"}]},"value":"r1"}]}`))
	require.NoError(t, err)
	require.Len(t, cards, 1)
	c := cards[0]
	require.Equal(t, "ben", c.Beneficiary)
	require.Equal(t, "sub", c.Subscriber)
	require.Equal(t, "child", c.Relationship)
	require.Equal(t, "s1", c.SubscriberID)
	require.Equal(t, "01", c.Dependent)
	require.Len(t, c.Identifiers, 2)
	require.Equal(t, "m1", c.MemberIDs[0].Value)
	require.Len(t, c.MemberIDs, 1)
	require.Equal(t, Period{Start: "2020-01-01"}, c.Period)
	require.Equal(t, []Payor{{Identifiers: []Identifier{{System: "n", Value: "0123456789"}}, Display: "Old Health Plan"}}, c.Payors)
	require.Equal(t, []ClassValue{{Value: "g1", Name: "G"}}, c.Groups)
	require.Equal(t, []ClassValue{{Value: "p1"}}, c.Plans)
	require.False(t, c.Contained)

	cards, err = ParseCards([]byte(`{"resourceType":"ExplanationOfBenefit","id":"e","patient":{"reference":"Patient/p"},"contained":[
		{"resourceType":"Organization","id":"org","name":"Plan","identifier":[{"value":"1"}]},
		{"resourceType":"ServiceRequest","id":"r"},
		{"resourceType":"Coverage","id":"a","status":"active","payor":[{"reference":"#org"}]},
		{"resourceType":"Coverage","id":"b","status":"active","beneficiary":{"reference":"Patient/q"},"payor":[{"display":"D"}],"relationship":{"coding":[{"code":"self"}]}},
		{"resourceType":"Coverage","id":"c","status":"active","beneficiary":{"identifier":{"value":"7"}}}]}`))
	require.NoError(t, err)
	require.Len(t, cards, 3)
	require.Equal(t, "p", cards[0].Beneficiary)
	require.True(t, cards[0].Contained)
	require.Equal(t, []Payor{{Reference: "#org", Identifiers: []Identifier{{Value: "1"}}, Display: "Plan"}}, cards[0].Payors)
	require.Equal(t, "q", cards[1].Beneficiary)
	require.Equal(t, "self", cards[1].Relationship)
	require.Empty(t, cards[2].Beneficiary, "somebody else is named, only not by reference")

	cards, err = ParseCards([]byte(`{"resourceType":"ExplanationOfBenefit","id":"e"}`))
	require.NoError(t, err)
	require.Empty(t, cards)
}

func TestPersonalDataDoesNotPrint(t *testing.T) {
	t.Parallel()
	d := Demographics{ID: "SECRET", Names: []HumanName{{Family: "SECRET"}}}
	c := Card{SubscriberID: "SECRET"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "d", d, "c", c)
	for _, printed := range []string{fmt.Sprint(d, c), fmt.Sprintf("%v %+v %#v %s %d", d, &d, d, c, c), log.String()} {
		require.NotContains(t, printed, "SECRET")
		require.Contains(t, printed, "Demographics")
	}
}
