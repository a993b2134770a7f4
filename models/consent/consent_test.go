package consent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

const (
	us   = "http://hl7.org/fhir/sid/us-npi|9876543210"
	them = "http://hl7.org/fhir/sid/us-npi|0123456789"
)

// usual is a consent that permits: that of the PDex example, with a period around noon.
const usual = `{
	"resourceType": "Consent", "id": "consent-1", "status": "active",
	"scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
	"category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IDSCL"}]}],
	"patient": {"reference": "Patient/1"},
	"performer": [{"reference": "Patient/1"}],
	"sourceReference": {"reference": "http://example.org/DocumentReference/someconsent"},
	"policy": [{"uri": "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"}],
	"provision": {
		"type": "permit",
		"period": {"start": "2026-01-01", "end": "2026-12-31"},
		"actor": [
			{"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "performer"}]},
			 "reference": {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "9876543210"}, "display": "Old Health Plan"}},
			{"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
			 "reference": {"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "0123456789"}, "display": "New Health Plan"}}],
		"action": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "disclose"}]}]
	}
}`

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// decide judges a Consent as it was submitted.
func decide(consentJSON []byte, in Input) Decision { return DecideP2P(Read(consentJSON), in) }

func usualInput() Input {
	return Input{At: noon, Requester: []string{them}, Holder: []string{us}, StoreMode: Tagged, SubmittedPatientID: "patient-1"}
}

// with sets the element at a path ("provision/period/end") of the usual consent; nil takes it away.
func with(t *testing.T, base, path string, value any) string {
	t.Helper()
	var c map[string]any
	require.NoError(t, json.Unmarshal([]byte(base), &c))
	at := c
	steps := strings.Split(path, "/")
	for _, step := range steps[:len(steps)-1] {
		at = at[step].(map[string]any)
	}
	last := steps[len(steps)-1]
	if value == nil {
		delete(at, last)
	} else {
		at[last] = value
	}
	out, err := json.Marshal(c)
	require.NoError(t, err)
	return string(out)
}

type (
	object = map[string]any
	list   = []any
)

func actor(code string, reference object) object {
	system := systemRecipient
	if code == "performer" {
		system = systemSource
	}
	return object{"role": object{"coding": list{object{"system": system, "code": code}}}, "reference": reference}
}

func npi(value string) object {
	return object{"identifier": object{"system": "http://hl7.org/fhir/sid/us-npi", "value": value}}
}

func TestDecideConsent(t *testing.T) {
	t.Parallel()
	const (
		regular   = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"
		sensitive = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#sensitive"
	)
	source, recipient := actor("performer", npi("9876543210")), actor("IRCP", npi("0123456789"))
	for name, tc := range map[string]struct {
		path  string
		value any
		want  Reason
	}{
		"as it is":         {"id", "consent-1", ReasonPermitted},
		"not a Consent":    {"resourceType", "Patient", ReasonUnreadable},
		"modified":         {"modifierExtension", list{object{"url": "http://example.org/not"}}, ReasonUnreadable},
		"modified inside":  {"provision/modifierExtension", list{object{"url": "http://example.org/not"}}, ReasonUnreadable},
		"of another shape": {"provision/actor", "me", ReasonUnreadable},
		"modified policy":  {"policy", list{object{"uri": regular, "modifierExtension": list{object{"url": "http://example.org/not"}}}}, ReasonUnreadable},
		"modified proof":   {"verification", list{object{"verified": true, "modifierExtension": list{object{"url": "http://example.org/not"}}}}, ReasonUnreadable},
		"by other rules":   {"implicitRules", "http://example.org/rules", ReasonUnreadable},

		"draft":            {"status", "draft", ReasonStatus},
		"inactive":         {"status", "inactive", ReasonStatus},
		"rejected":         {"status", "rejected", ReasonStatus},
		"entered in error": {"status", "entered-in-error", ReasonStatus},
		"no status":        {"status", nil, ReasonStatus},

		"no patient":                {"patient", nil, ReasonPatient},
		"an empty patient":          {"patient", object{}, ReasonPatient},
		"its patient":               {"patient", object{"reference": "Patient/patient-1"}, ReasonPermitted},
		"its patient by URL":        {"patient", object{"reference": "https://payer.example/fhir/Patient/patient-1/_history/2"}, ReasonPermitted},
		"another of the request":    {"patient", object{"reference": "Patient/patient-2"}, ReasonPatient},
		"another of it by URL":      {"patient", object{"reference": "https://payer.example/fhir/Patient/patient-2"}, ReasonPatient},
		"a patient not resolved":    {"patient", object{"reference": "Patient/9"}, ReasonPermitted},
		"a patient by identifier":   {"patient", object{"identifier": object{"value": "55678"}}, ReasonPermitted},
		"a patient by name":         {"patient", object{"display": "Patricia"}, ReasonPermitted},
		"a contained patient":       {"patient", object{"reference": "#p"}, ReasonPermitted},
		"a conditional reference":   {"patient", object{"reference": "Patient?identifier=x|y"}, ReasonPermitted},
		"a patient with its number": {"patient", object{"identifier": object{"system": "urn:plan", "value": "a 100"}}, ReasonPermitted},
		"with another's number":     {"patient", object{"identifier": object{"system": "urn:plan", "value": "A-200"}}, ReasonPatient},
		"its id, another's number":  {"patient", object{"reference": "Patient/patient-1", "identifier": object{"system": "urn:plan", "value": "A-200"}}, ReasonPatient},
		"a number of another kind":  {"patient", object{"identifier": object{"system": "urn:mrn", "value": "7"}}, ReasonPermitted},
		"an id not allowed":         {"patient", object{"reference": "Patient/patient_3"}, ReasonPatient},
		"a group":                   {"patient", object{"reference": "Group/patient-1"}, ReasonPatient},
		"a related person, by URL":  {"patient", object{"reference": "https://payer.example/fhir/RelatedPerson/patient-1"}, ReasonPatient},
		"a version of a Group":      {"patient", object{"reference": "Group/g/_history/1"}, ReasonPatient},
		"a Group of the same shape": {"patient", object{"reference": "https://payer.example/Patient/Group/1"}, ReasonPatient},

		"deny":                  {"provision/type", "deny", ReasonType},
		"neither":               {"provision/type", nil, ReasonType},
		"no provision":          {"provision", nil, ReasonType},
		"about treatment":       {"scope", object{"coding": list{object{"system": systemScope, "code": "treatment"}}}, ReasonScope},
		"about research too":    {"scope", object{"coding": list{object{"system": systemScope, "code": "patient-privacy"}, object{"system": systemScope, "code": "research"}}}, ReasonScope},
		"a local scope":         {"scope", object{"coding": list{object{"system": "http://example.org", "code": "treatment"}}}, ReasonPermitted},
		"no scope":              {"scope", nil, ReasonPermitted},
		"verified":              {"verification", list{object{"verified": false}, object{"verified": true}}, ReasonPermitted},
		"not verified":          {"verification", list{object{"verified": false}}, ReasonUnverified},
		"verified with nobody":  {"verification", list{object{"verificationDate": "2026-01-01"}}, ReasonUnverified},
		"another action":        {"provision/action", list{object{"coding": list{object{"system": systemAction, "code": "collect"}}}}, ReasonAction},
		"several actions":       {"provision/action", list{object{"coding": list{object{"system": systemAction, "code": "use"}}}, object{"coding": list{object{"system": systemAction, "code": "disclose"}}}}, ReasonPermitted},
		"no action":             {"provision/action", nil, ReasonPermitted},
		"nested deny":           {"provision/provision", list{object{"type": "deny"}}, ReasonNarrowed},
		"only one class":        {"provision/class", list{object{"code": "Condition"}}, ReasonNarrowed},
		"only one code":         {"provision/code", list{object{"text": "x"}}, ReasonNarrowed},
		"only some data":        {"provision/data", list{object{"meaning": "instance"}}, ReasonNarrowed},
		"only data of a period": {"provision/dataPeriod", object{"start": "2020"}, ReasonNarrowed},
		"only one label":        {"provision/securityLabel", list{object{"code": "N"}}, ReasonNarrowed},
		"only one purpose":      {"provision/purpose", list{object{"code": "TREAT"}}, ReasonNarrowed},

		"sensitive":            {"policy", list{object{"uri": sensitive}}, ReasonPermitted},
		"another policy":       {"policy", list{object{"uri": "http://example.org/policy"}}, ReasonPolicy},
		"nearly the policy":    {"policy", list{object{"uri": strings.TrimSuffix(regular, "regular")}}, ReasonPolicy},
		"both policies":        {"policy", list{object{"uri": regular}, object{"uri": sensitive}}, ReasonPolicy},
		"and another":          {"policy", list{object{"uri": regular}, object{"uri": "http://example.org/policy"}}, ReasonPolicy},
		"another first":        {"policy", list{object{"uri": "http://example.org/policy"}, object{"uri": regular}}, ReasonPolicy},
		"twice the same":       {"policy", list{object{"uri": regular}, object{"uri": regular}}, ReasonPermitted},
		"an authority besides": {"policy", list{object{"uri": regular}, object{"authority": "http://example.org"}}, ReasonPermitted},
		"no policy":            {"policy", nil, ReasonPolicy},

		"no period":             {"provision/period", nil, ReasonNoPeriod},
		"no end":                {"provision/period/end", nil, ReasonNoPeriod},
		"no start":              {"provision/period/start", nil, ReasonNoPeriod},
		"no date":               {"provision/period/end", "next year", ReasonNoPeriod},
		"not a day":             {"provision/period/end", "2026-02-30", ReasonNoPeriod},
		"ended yesterday":       {"provision/period/end", "2026-11-22", ReasonExpired},
		"ends today":            {"provision/period/end", "2026-11-23", ReasonPermitted},
		"ends this month":       {"provision/period/end", "2026-11", ReasonPermitted},
		"ended last month":      {"provision/period/end", "2026-10", ReasonExpired},
		"ends this year":        {"provision/period/end", "2026", ReasonPermitted},
		"ended a second ago":    {"provision/period/end", "2026-11-23T11:59:59Z", ReasonExpired},
		"ends this second":      {"provision/period/end", "2026-11-23T07:00:00-05:00", ReasonPermitted},
		"never ends":            {"provision/period/end", "9999-12-31", ReasonPermitted},
		"starts today":          {"provision/period/start", "2026-11-23", ReasonPermitted},
		"starts now":            {"provision/period/start", "2026-11-23T12:00:00Z", ReasonPermitted},
		"starts soon":           {"provision/period/start", "2026-11-23T12:00:01Z", ReasonNotYet},
		"starts tomorrow":       {"provision/period/start", "2026-11-24", ReasonNotYet},
		"ends before it starts": {"provision/period", object{"start": "2026-11-23", "end": "2026-11-22"}, ReasonExpired},

		"dated today":            {"dateTime", "2026-11-23", ReasonPermitted},
		"dated by another clock": {"dateTime", "2026-11-23T12:05:00Z", ReasonPermitted},
		"dated elsewhere":        {"dateTime", "2026-11-24", ReasonPermitted},
		"not given yet":          {"dateTime", "2026-11-25", ReasonNotYet},
		"dated with nonsense":    {"dateTime", "yesterday", ReasonPermitted},

		"no actors":              {"provision/actor", nil, ReasonRecipient},
		"to somebody else":       {"provision/actor", list{source, actor("IRCP", npi("1111111111"))}, ReasonRecipient},
		"to several":             {"provision/actor", list{actor("IRCP", npi("1111111111")), recipient, source}, ReasonPermitted},
		"the wrong way round":    {"provision/actor", list{actor("performer", npi("0123456789")), actor("IRCP", npi("9876543210"))}, ReasonRecipient},
		"from somebody else":     {"provision/actor", list{actor("performer", npi("1111111111")), recipient}, ReasonSource},
		"from nobody":            {"provision/actor", list{recipient}, ReasonSource},
		"to the source alone":    {"provision/actor", list{recipient, actor("IRCP", npi("9876543210"))}, ReasonSource},
		"in another role":        {"provision/actor", list{source, actor("PRCP", npi("0123456789"))}, ReasonRecipient},
		"a number without kind":  {"provision/actor", list{source, actor("IRCP", object{"identifier": object{"value": "0123456789"}})}, ReasonRecipient},
		"of another kind":        {"provision/actor", list{source, actor("IRCP", object{"identifier": object{"system": "http://example.org", "value": "0123456789"}})}, ReasonRecipient},
		"by OID":                 {"provision/actor", list{source, actor("IRCP", object{"identifier": object{"system": "urn:oid:2.16.840.1.113883.4.6", "value": "0123456789"}})}, ReasonPermitted},
		"by name":                {"provision/actor", list{source, actor("IRCP", object{"display": "New Health Plan"})}, ReasonRecipient},
		"by reference":           {"provision/actor", list{source, actor("IRCP", object{"reference": "Organization/new"})}, ReasonRecipient},
		"a reference like an id": {"provision/actor", list{source, actor("IRCP", object{"reference": them})}, ReasonRecipient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := usualInput()
			in.OtherPatientIDs = func(id string) bool { return id == "patient-1" || id == "patient-2" || id == "patient_3" }
			in.SubmittedNumbers = []string{"urn:plan|A-100", "urn:plan|B-1", "urn:mbi|1EG4TE5MK73"}
			got := decide([]byte(with(t, usual, tc.path, tc.value)), in)
			require.Equal(t, tc.want, got.Reason)
			require.Equal(t, tc.want == ReasonPermitted, got.Permit)
			if !got.Permit {
				require.Equal(t, Decision{Reason: tc.want}, got, "a denial holds nothing")
				return
			}
			_, reason := Recheck(got.Grant, Standing{}, in.StoreMode, noon)
			require.Equal(t, ReasonPermitted, reason, "what is permitted stands a moment later")
		})
	}
}

func TestDecideInput(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Input)
		want   Reason
	}{
		"as it is":                  {func(*Input) {}, ReasonPermitted},
		"override":                  {func(in *Input) { in.MemberOverride = true }, ReasonOverride},
		"another patient, known":    {func(in *Input) { in.ForeignPatient = true }, ReasonPatient},
		"a patient of that id":      {func(in *Input) { in.OtherPatientIDs = func(id string) bool { return id == "1" } }, ReasonPatient},
		"its own id in two bundles": {func(in *Input) { in.SubmittedPatientID = "1"; in.OtherPatientIDs = func(string) bool { return true } }, ReasonPermitted},
		"requester without a name":  {func(in *Input) { in.Requester = nil }, ReasonRecipient},
		"requester with an empty":   {func(in *Input) { in.Requester = []string{"", "|"} }, ReasonRecipient},
		"requester with several":    {func(in *Input) { in.Requester = []string{"x|y", them} }, ReasonPermitted},
		"requester by OID":          {func(in *Input) { in.Requester = []string{"urn:oid:2.16.840.1.113883.4.6|0123456789"} }, ReasonPermitted},
		"holder without a name":     {func(in *Input) { in.Holder = nil }, ReasonSource},
		"excluded":                  {func(in *Input) { in.StoreMode = Excluded }, ReasonPermitted},
		"untagged":                  {func(in *Input) { in.StoreMode = Untagged }, ReasonSegments},
		"unknown store mode":        {func(in *Input) { in.StoreMode = "" }, ReasonSegments},
		"before":                    {func(in *Input) { in.At = noon.AddDate(-1, 0, 0) }, ReasonNotYet},
		"after":                     {func(in *Input) { in.At = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }, ReasonExpired},
		"the last moment":           {func(in *Input) { in.At = time.Date(2026, 12, 31, 23, 59, 59, 999999999, time.UTC) }, ReasonPermitted},
		"the same, seen elsewhere":  {func(in *Input) { in.At = time.Date(2026, 12, 31, 19, 0, 0, 0, time.FixedZone("", -5*3600)) }, ReasonExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := usualInput()
			tc.change(&in)
			require.Equal(t, tc.want, decide([]byte(usual), in).Reason)
		})
	}
}

func TestSensitiveNeedsNoTags(t *testing.T) {
	t.Parallel()
	c := strings.Replace(usual, "#regular", "#sensitive", 1)
	for _, mode := range []StoreMode{Tagged, Excluded, Untagged} {
		in := usualInput()
		in.StoreMode = mode
		got := decide([]byte(c), in)
		require.True(t, got.Permit)
		require.Equal(t, PolicySensitive, got.Policy)
	}
}

func TestOverrideOfUnreadable(t *testing.T) {
	t.Parallel()
	require.Equal(t, Decision{Reason: ReasonUnreadable}, decide([]byte(`{`), usualInput()))
	in := usualInput()
	in.MemberOverride = true
	require.Equal(t, Decision{Reason: ReasonOverride}, decide([]byte(`{`), in))
}

func TestDecisionBounds(t *testing.T) {
	t.Parallel()
	got := decide([]byte(usual), usualInput())
	require.Equal(t, PolicyRegular, got.Policy)
	require.Equal(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), *got.Start)
	require.Equal(t, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), *got.End)

	forever := decide([]byte(strings.Replace(usual, "2026-12-31", "9999-12-31", 1)), usualInput())
	_, err := json.Marshal(forever)
	require.NoError(t, err, "the end can be stored")
}

func TestContainedOrganization(t *testing.T) {
	t.Parallel()
	c := strings.Replace(usual, `{"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "0123456789"}, "display": "New Health Plan"}`, `{"reference": "#new"}`, 1)
	org := func(typ string) object {
		return object{"resourceType": typ, "id": "new", "identifier": list{object{"system": "http://hl7.org/fhir/sid/us-npi", "value": "0123456789"}}}
	}
	for name, tc := range map[string]struct {
		contained list
		want      Reason
	}{
		"contained":     {list{org("Organization")}, ReasonPermitted},
		"not there":     {list{}, ReasonRecipient},
		"a person":      {list{org("Practitioner")}, ReasonRecipient},
		"there twice":   {list{org("Organization"), org("Organization")}, ReasonRecipient},
		"three times":   {list{org("Organization"), org("Organization"), org("Organization")}, ReasonRecipient},
		"without an id": {list{object{"resourceType": "Organization"}, org("Organization")}, ReasonPermitted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := usualInput()
			in.Requester = append(in.Requester, "#new")
			require.Equal(t, tc.want, decide([]byte(with(t, c, "contained", tc.contained)), in).Reason)
		})
	}
}

func TestAboutAnother(t *testing.T) {
	t.Parallel()
	inRequest := func(id string) bool { return id == "1" || id == "2" }
	for reference, want := range map[string]bool{
		"Patient/2": true, "http://a.example/Patient/2": true, "Patient/1": false, "Patient/3": false, "Group/2": false, "": false,
	} {
		require.Equal(t, want, AboutAnother(Consent{Patient: &Party{Reference: reference}}, "1", inRequest), "%q", reference)
	}
	require.True(t, AboutAnother(Consent{Patient: &Party{Reference: "Patient/2"}}, "", inRequest), "a MemberPatient without id")
	require.False(t, AboutAnother(Consent{}, "1", inRequest))
}

func TestContainedPatient(t *testing.T) {
	t.Parallel()
	in := usualInput()
	in.SubmittedNumbers = []string{"urn:plan|A-100"}
	c := with(t, usual, "patient", object{"reference": "#p"})
	patient := func(number string) object {
		return object{"resourceType": "Patient", "id": "p", "identifier": list{object{"system": "urn:plan", "value": number}}}
	}
	for name, tc := range map[string]struct {
		contained list
		want      Reason
	}{
		"this one":    {list{patient("A-100")}, ReasonPermitted},
		"another":     {list{patient("A-200")}, ReasonPatient},
		"one of two":  {list{patient("A-100"), patient("A-200")}, ReasonPermitted}, // names neither
		"no Patient":  {list{object{"resourceType": "Organization", "id": "p", "identifier": list{object{"system": "urn:plan", "value": "A-200"}}}}, ReasonPermitted},
		"not so call": {list{}, ReasonPermitted},
	} {
		require.Equal(t, tc.want, decide([]byte(with(t, c, "contained", tc.contained)), in).Reason, name)
	}
}

func TestKnownReference(t *testing.T) {
	t.Parallel()
	c := strings.Replace(usual, `{"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "0123456789"}, "display": "New Health Plan"}`, `{"reference": "https://new.example/fhir/Organization/1"}`, 1)
	in := usualInput()
	require.Equal(t, ReasonRecipient, decide([]byte(c), in).Reason)
	in.Requester = append(in.Requester, "https://new.example/fhir/Organization/1")
	require.Equal(t, ReasonPermitted, decide([]byte(c), in).Reason)
}

func TestRecheck(t *testing.T) {
	t.Parallel()
	start, end := noon.Add(-time.Hour), noon.Add(time.Hour)
	for name, tc := range map[string]struct {
		policy     string
		start, end *time.Time
		standing   Standing
		at         time.Time
		want       Reason
	}{
		"still":          {PolicyRegular, &start, &end, Standing{}, noon, ReasonPermitted},
		"sensitive":      {PolicySensitive, &start, &end, Standing{}, noon, ReasonPermitted},
		"first moment":   {PolicyRegular, &start, &end, Standing{}, start, ReasonPermitted},
		"too early":      {PolicyRegular, &start, &end, Standing{}, start.Add(-1), ReasonNotYet},
		"last moment":    {PolicyRegular, &start, &end, Standing{}, end.Add(-1), ReasonPermitted},
		"over":           {PolicyRegular, &start, &end, Standing{}, end, ReasonExpired},
		"override":       {PolicySensitive, &start, &end, Standing{Override: true}, noon, ReasonOverride},
		"revoked":        {PolicySensitive, &start, &end, Standing{Revoked: true}, noon, ReasonRevoked},
		"another since":  {PolicySensitive, &start, &end, Standing{Current: &Grant{Policy: PolicySensitive, Start: &start, End: &end}}, noon, ReasonPermitted},
		"one that ended": {PolicySensitive, &start, &end, Standing{Current: &Grant{Policy: PolicySensitive, Start: &start, End: &noon}}, noon, ReasonExpired},
		"one to come":    {PolicySensitive, &start, &end, Standing{Current: &Grant{Policy: PolicySensitive, Start: &end, End: &end}}, noon, ReasonNotYet},
		"no policy":      {"", &start, &end, Standing{}, noon, ReasonPolicy},
		"unknown policy": {"#sensitive", &start, &end, Standing{}, noon, ReasonPolicy},
		"no start":       {PolicyRegular, nil, &end, Standing{}, noon, ReasonNoPeriod},
		"no end":         {PolicyRegular, &start, nil, Standing{}, noon, ReasonNoPeriod},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy, reason := Recheck(Grant{Policy: tc.policy, Start: tc.start, End: tc.end}, tc.standing, Tagged, tc.at)
			require.Equal(t, tc.want, reason)
			if reason != ReasonPermitted {
				tc.policy = ""
			}
			require.Equal(t, tc.policy, policy)
		})
	}
	granted := Grant{Policy: PolicySensitive, Start: &start, End: &end}
	policy, _ := Recheck(granted, Standing{Current: &Grant{Policy: PolicyRegular, Start: &start, End: &end}}, Tagged, noon)
	require.Equal(t, PolicyRegular, policy, "the narrower of the two")
	granted.Policy = PolicyRegular
	policy, _ = Recheck(granted, Standing{Current: &Grant{Policy: PolicySensitive, Start: &start, End: &end}}, Tagged, noon)
	require.Equal(t, PolicyRegular, policy, "no wider than what was granted")
	_, reason := Recheck(granted, Standing{}, Untagged, noon)
	require.Equal(t, ReasonSegments, reason)
}

func TestRevoked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		consent string
		revoked time.Time
		want    Reason
	}{
		"before it was given":      {usual, time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC), ReasonPermitted},
		"when it was given":        {usual, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ReasonRevoked},
		"afterwards":               {usual, noon, ReasonRevoked},
		"dated before":             {with(t, usual, "dateTime", "2026-11-20T08:00:00Z"), noon, ReasonRevoked},
		"dated afterwards":         {with(t, usual, "dateTime", "2026-11-20T08:00:01Z"), time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), ReasonPermitted},
		"dated that day":           {with(t, usual, "dateTime", "2026-11-20"), time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), ReasonRevoked},
		"given at an unknown time": {with(t, usual, "provision/period/start", nil), noon, ReasonRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := usualInput()
			in.RevokedAt = &tc.revoked
			require.Equal(t, tc.want, decide([]byte(tc.consent), in).Reason)
		})
	}
}

func TestWithdraws(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		consent string
		want    bool
	}{
		"permit":           {usual, false},
		"deny":             {with(t, usual, "provision/type", "deny"), true},
		"inactive":         {with(t, usual, "status", "inactive"), true},
		"entered in error": {with(t, usual, "status", "entered-in-error"), true},
		"draft":            {with(t, usual, "status", "draft"), false},
		"neither":          {with(t, usual, "provision/type", nil), false},
		"expired":          {with(t, usual, "provision/period/end", "2026-02"), false},
		"not a Consent":    {`{"resourceType":"Patient"}`, false},
		"of somebody else": {with(t, with(t, usual, "patient", object{"reference": "Patient/2"}), "status", "inactive"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := usualInput()
			in.OtherPatientIDs = func(id string) bool { return id == "2" }
			require.Equal(t, tc.want, Withdraws(Read([]byte(tc.consent)), in))
		})
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	member := models.MemberID("1")
	id := ID(them, member, []byte(usual))
	require.Equal(t, id, ID(them, member, []byte(usual)))
	for _, other := range []uuid.UUID{ID(us, member, []byte(usual)), ID(them, models.MemberID("2"), []byte(usual)), ID(them, member, []byte("{}"))} {
		require.NotEqual(t, id, other)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	c, err := parse([]byte(usual))
	require.NoError(t, err)
	start, end := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	require.Equal(t, Consent{
		Status:   "active",
		Patient:  &Party{Reference: "Patient/1"},
		Policies: []string{"http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"},
		Type:     "permit", Given: &start, Start: &start, End: &end,
		Actors: []Actor{
			{Source: true, Party: Party{Identifiers: []string{us}, Display: "Old Health Plan"}},
			{Recipient: true, Party: Party{Identifiers: []string{them}, Display: "New Health Plan"}},
		},
		Performers: []Party{{Reference: "Patient/1"}},
		Actions:    true, Disclose: true,
	}, c)
	_, err = parse([]byte(`{"resourceType":"Consent","status":["secret"]}`))
	require.Equal(t, models.KindInvalid, models.KindOf(err))
	require.NotContains(t, err.Error(), "secret")
}

func TestNothingPrints(t *testing.T) {
	t.Parallel()
	c := Consent{Patient: &Party{Display: "nunez"}, Performers: []Party{{Display: "nunez"}}, Actors: []Actor{{Party: Party{Display: "nunez"}}}}
	for _, v := range []any{c, &c, c.Patient, c.Actors[0], c.Performers[0]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			require.NotContains(t, fmt.Sprintf(verb, v), "nunez", "%T %s", v, verb)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		require.NotContains(t, log.String(), "nunez", "%T in a log", v)
	}
}

// TestReasonsDiffer keeps two reasons from being stored under one code.
func TestReasonsDiffer(t *testing.T) {
	t.Parallel()
	all := []Reason{
		ReasonUnreadable, ReasonOverride, ReasonRevoked, ReasonStatus, ReasonPatient, ReasonType, ReasonScope, ReasonUnverified, ReasonAction, ReasonNarrowed, ReasonPolicy,
		ReasonNoPeriod, ReasonNotYet, ReasonExpired, ReasonRecipient, ReasonSource, ReasonSegments, ReasonPermitted,
	}
	set := map[Reason]bool{}
	for _, r := range all {
		set[r] = true
	}
	require.Len(t, slices.Collect(maps.Keys(set)), len(all))
}

func FuzzDecide(f *testing.F) {
	f.Add(usual)
	f.Add(strings.Replace(usual, "permit", "deny", 1))
	f.Add(strings.Replace(usual, "2026-12-31", "2025", 1))
	f.Add(`{"resourceType":"Consent"}`)
	f.Add(`{`)
	f.Fuzz(func(t *testing.T, s string) {
		in := usualInput()
		got := decide([]byte(s), in)
		if !got.Permit {
			require.Equal(t, Decision{Reason: got.Reason}, got)
			return
		}
		policy, _ := Recheck(got.Grant, Standing{}, in.StoreMode, in.At)
		require.Equal(t, got.Policy, policy)
		_, err := json.Marshal(got)
		require.NoError(t, err)
		c, err := parse([]byte(s))
		require.NoError(t, err)
		require.Equal(t, "active", c.Status)
		require.Equal(t, "permit", c.Type)
		in.MemberOverride = true
		require.False(t, decide([]byte(s), in).Permit)
	})
}
