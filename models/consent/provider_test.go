package consent

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

// The providers of these tests: two doctors, the clinic that both work for and another one.
const (
	doctor    = "1234567893"
	colleague = "1245319599"
	clinic    = "1982947230"
	other     = "1679576722"
	stranger  = "1003000126"
)

var directory = map[string]models.Provider{
	doctor:    {NPI: doctor, Kind: models.ProviderIndividual, Active: true, InNetwork: true, Taxonomies: []string{"207R00000X"}, Organizations: []string{clinic}},
	colleague: {NPI: colleague, Kind: models.ProviderIndividual, Active: true, InNetwork: true, Taxonomies: []string{"2084P0800X"}, Organizations: []string{clinic}},
	clinic:    {NPI: clinic, Kind: models.ProviderOrganization, Active: true, InNetwork: true, Taxonomies: []string{"261QM2500X"}},
	other:     {NPI: other, Kind: models.ProviderOrganization, Active: true, InNetwork: true, Taxonomies: []string{"282N00000X"}},
}

const attested = `{
	"resourceType": "Consent", "id": "a", "status": "active",
	"meta": {"profile": ["http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/provider-treatment-relationship-consent"]},
	"scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
	"category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IDSCL"}]}],
	"patient": {"reference": "Patient/1"}, "dateTime": "2026-11-01T10:00:00Z",
	"performer": [{"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}, "display": "Dr."}],
	"provision": {
		"type": "permit", "period": {"start": "2026-01-15", "end": "2026-12-31"},
		"actor": [{"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
			"reference": {"identifier": {"system": "urn:oid:2.16.840.1.113883.4.6", "value": "1234567893"}}}],
		"purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]
	}
}`

func parsed(t require.TestingT, text string) Attestation {
	a, err := ParseAttestation([]byte(text))
	require.NoError(t, err)
	return a
}

// usualProvider is a request that is granted: a doctor of the clinic asks, is in the list, and attests.
func usualProvider(t require.TestingT) ProviderInput {
	return ProviderInput{
		At: noon, Subject: doctor, Organizations: []string{models.NPISystem + "|" + clinic, "urn:oid:2.16.840.1.113883.4.4|12-3456789"},
		Holder: []string{us}, Directory: directory, Attestation: parsed(t, attested),
		Line:          models.LineOfBusiness{Code: "default", HideOptOuts: true, Treatment: models.TreatmentByBoth, Lookback: 365},
		Relationships: []models.Relationship{{NPI: doctor, Type: models.RelationshipActive, Start: noon.AddDate(-1, 0, 0)}},
	}
}

func optOut(scope models.OptOutScope, target string) models.OptOut {
	return models.OptOut{Scope: scope, Target: target, Reason: models.ReasonOther, Start: noon.AddDate(0, -1, 0)}
}

// TestOptOutTable holds every scope against every kind of requester and purpose.
func TestOptOutTable(t *testing.T) {
	t.Parallel()
	requesters := map[string]Requester{
		"doctor of the clinic":    {NPIs: []string{doctor}, Organizations: []string{models.NPISystem + "|" + clinic}},
		"colleague of the clinic": {NPIs: []string{colleague}, Organizations: []string{clinic}},
		"the other clinic":        {Organizations: []string{other, "urn:x|7"}},
		"doctor for the other":    {NPIs: []string{doctor}, Organizations: []string{other}},
		"stranger":                {NPIs: []string{stranger}, Organizations: []string{"urn:x|8"}},
		"nobody":                  {},
	}
	purposes := map[string][]string{
		"none": nil, "treatment": {"TREAT"}, "treatment by system": {"urn:oid:2.16.840.1.113883.5.8#TREAT"}, "emergency": {"ETREAT"},
		"payment": {"HPAYMT"}, "payment and treatment": {"HPAYMT", "TREAT"}, "unheard of": {"WHATEVER"}, "empty": {""},
	}
	everybody := []string{"doctor of the clinic", "colleague of the clinic", "the other clinic", "doctor for the other", "stranger", "nobody"}
	everything := []string{"none", "treatment", "treatment by system", "emergency", "payment", "payment and treatment", "unheard of", "empty"}
	treating := []string{"none", "treatment", "treatment by system", "emergency", "payment and treatment", "unheard of", "empty"}
	unnamed := []string{"the other clinic", "nobody"} // who asks as a person is not known
	for name, tc := range map[string]struct {
		optOut   models.OptOut
		from     []string // requesters it is from
		purposes []string
		reason   Reason
	}{
		"global":                 {optOut(models.OptOutGlobal, ""), everybody, everything, ReasonOptOutGlobal},
		"from the doctor":        {optOut(models.OptOutProvider, doctor), append([]string{"doctor of the clinic", "doctor for the other"}, unnamed...), everything, ReasonOptOutProvider},
		"from the colleague":     {optOut(models.OptOutProvider, colleague), append([]string{"colleague of the clinic"}, unnamed...), everything, ReasonOptOutProvider},
		"from the clinic":        {optOut(models.OptOutProvider, clinic), append([]string{"doctor of the clinic", "colleague of the clinic", "doctor for the other"}, unnamed...), everything, ReasonOptOutProvider},
		"from an organisation":   {optOut(models.OptOutProvider, "urn:x|8"), append([]string{"stranger"}, unnamed...), everything, ReasonOptOutProvider},
		"from treatment":         {optOut(models.OptOutPurpose, "TREAT"), everybody, treating, ReasonOptOutPurpose},
		"from emergencies":       {optOut(models.OptOutPurpose, "ETREAT"), everybody, []string{"none", "emergency", "unheard of", "empty"}, ReasonOptOutPurpose},
		"from payment":           {optOut(models.OptOutPurpose, "HPAYMT"), everybody, []string{"none", "payment", "payment and treatment", "unheard of", "empty"}, ReasonOptOutPurpose},
		"from this payer":        {optOut(models.OptOutPayer, "urn:payer|1"), everybody, everything, ReasonOptOutPayer},
		"from another payer":     {optOut(models.OptOutPayer, "urn:payer|2"), nil, nil, ReasonOptOutPayer},
		"from internists":        {optOut(models.OptOutCategory, "207R00000X"), append([]string{"doctor of the clinic", "doctor for the other", "stranger"}, unnamed...), everything, ReasonOptOutCategory},
		"from psychiatry at all": {optOut(models.OptOutCategory, "2084"), append([]string{"colleague of the clinic", "stranger"}, unnamed...), everything, ReasonOptOutCategory},
		"from hospitals":         {optOut(models.OptOutCategory, "282N00000X"), append([]string{"doctor for the other", "stranger"}, unnamed...), everything, ReasonOptOutCategory},
		"of an unknown scope":    {optOut("tomorrow", ""), everybody, everything, ReasonOptOutGlobal},
	} {
		for who, r := range requesters {
			for purpose, codes := range purposes {
				r.Purposes, r.Payers = codes, []string{"urn:payer|1"}
				out, reason := OptedOut([]models.OptOut{tc.optOut}, r.From(directory), noon)
				want := slices.Contains(tc.from, who) && slices.Contains(tc.purposes, purpose)
				require.Equal(t, want, out, "%s: %s, for %s", name, who, purpose)
				if out {
					require.Equal(t, tc.reason, reason, name)
				}
			}
		}
	}
}

func TestOptOutTime(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*models.OptOut)
		want   bool
	}{
		"since a month":       {func(*models.OptOut) {}, true},
		"from now":            {func(o *models.OptOut) { o.Start = noon }, true},
		"from when entered":   {func(o *models.OptOut) { o.Start = noon.Add(time.Second); o.CreatedAt = o.Start }, true}, // by a clock that is ahead
		"from soon":           {func(o *models.OptOut) { o.Start = noon.Add(time.Millisecond) }, false},
		"from after that":     {func(o *models.OptOut) { o.Start = noon.Add(2 * time.Second); o.CreatedAt = noon.Add(time.Second) }, false},
		"until now":           {func(o *models.OptOut) { o.End = new(noon) }, false},
		"until soon":          {func(o *models.OptOut) { o.End = new(noon.Add(time.Millisecond)) }, true},
		"revoked":             {func(o *models.OptOut) { o.RevokedAt = new(noon.Add(-time.Hour)) }, false},
		"revoked by a clock ": {func(o *models.OptOut) { o.RevokedAt = new(noon.Add(time.Hour)) }, false},
	} {
		o := optOut(models.OptOutGlobal, "")
		tc.change(&o)
		out, _ := OptedOut([]models.OptOut{o}, Requester{}, noon)
		require.Equal(t, tc.want, out, name)
	}
}

func TestPayerOptedOut(t *testing.T) {
	t.Parallel()
	list := []models.OptOut{optOut(models.OptOutGlobal, ""), optOut(models.OptOutPayer, "urn:payer|2")}
	out, reason := PayerOptedOut(list, []string{"urn:payer|2"}, noon)
	require.True(t, out)
	require.Equal(t, ReasonOptOutPayer, reason)
	out, _ = PayerOptedOut(list, []string{"urn:payer|1"}, noon)
	require.False(t, out, "what is not about payers does not concern them")
	out, _ = PayerOptedOut(list, nil, noon)
	require.True(t, out, "nobody knows who asks")
}

func TestTreats(t *testing.T) {
	t.Parallel()
	day := func(n int) *time.Time { return new(noon.AddDate(0, 0, n)) }
	for name, tc := range map[string]struct {
		rel  models.Relationship
		want bool
	}{
		"active":                     {models.Relationship{NPI: doctor, Type: models.RelationshipActive, Start: *day(-9)}, true},
		"active, with the clinic":    {models.Relationship{NPI: clinic, Type: models.RelationshipActive, Start: *day(-9)}, true},
		"active, with another":       {models.Relationship{NPI: colleague, Type: models.RelationshipActive, Start: *day(-9)}, false},
		"active from tomorrow":       {models.Relationship{NPI: doctor, Type: models.RelationshipActive, Start: *day(1)}, false},
		"active until now":           {models.Relationship{NPI: doctor, Type: models.RelationshipActive, Start: *day(-9), End: day(0)}, false},
		"prospective":                {models.Relationship{NPI: doctor, Type: models.RelationshipProspective, Start: *day(30)}, true},
		"prospective, and missed":    {models.Relationship{NPI: doctor, Type: models.RelationshipProspective, Start: *day(-9), End: day(-1)}, false},
		"past":                       {models.Relationship{NPI: doctor, Type: models.RelationshipPast, Start: *day(-99), End: day(-9)}, true},
		"past, long ago":             {models.Relationship{NPI: doctor, Type: models.RelationshipPast, Start: *day(-99), End: day(-10)}, false},
		"past, and nobody says when": {models.Relationship{NPI: doctor, Type: models.RelationshipPast, Start: *day(-99)}, false},
		"of an unknown type":         {models.Relationship{NPI: doctor, Type: "friend", Start: *day(-9)}, false},
	} {
		r := Requester{NPIs: []string{doctor}, Organizations: []string{models.NPISystem + "|" + clinic}}
		require.Equal(t, tc.want, Treats([]models.Relationship{tc.rel}, r, 10, noon), name)
	}
	require.False(t, Treats([]models.Relationship{{NPI: doctor, Type: models.RelationshipActive, Start: *day(-9)}}, Requester{}, 10, noon))
}

func TestAttestation(t *testing.T) {
	t.Parallel()
	sign := func(npis ...string) list {
		var l list
		for _, n := range npis {
			l = append(l, npi(n))
		}
		return l
	}
	for name, tc := range map[string]struct {
		path  string
		value any
		want  Reason
	}{
		"as it is":                 {"id", "a", ReasonPermitted},
		"another profile":          {"meta/profile", list{"http://example.org/profile"}, ReasonAttestationProfile},
		"a version of the profile": {"meta/profile", list{AttestationProfile + "|2.2.0"}, ReasonPermitted},
		"no profile":               {"meta", nil, ReasonAttestationProfile},
		"entered in error":         {"status", "entered-in-error", ReasonAttestationStatus},
		"draft":                    {"status", "draft", ReasonAttestationStatus},
		"no status":                {"status", nil, ReasonAttestationStatus},
		"no patient":               {"patient", nil, ReasonAttestationPatient},
		"a patient by number":      {"patient", object{"identifier": object{"system": "urn:plan", "value": "A-100"}}, ReasonPermitted},
		"another's number":         {"patient", object{"identifier": object{"system": "urn:plan", "value": "A-200"}}, ReasonAttestationPatient},
		"a Group":                  {"patient", object{"reference": "Group/1"}, ReasonAttestationPatient},
		"deny":                     {"provision/type", "deny", ReasonAttestationType},
		"no provision":             {"provision", nil, ReasonAttestationType},
		"nested":                   {"provision/provision", list{object{"type": "deny"}}, ReasonAttestationNarrowed},
		"only some classes":        {"provision/class", list{object{"code": "Condition"}}, ReasonAttestationNarrowed},
		"another action":           {"provision/action", list{object{"coding": list{object{"system": systemAction, "code": "collect"}}}}, ReasonAttestationNarrowed},
		"to disclose":              {"provision/action", list{object{"coding": list{object{"system": systemAction, "code": "disclose"}}}}, ReasonPermitted},
		"undated":                  {"dateTime", nil, ReasonAttestationDate},
		"dated tomorrow":           {"dateTime", "2026-11-24", ReasonAttestationDate},
		"dated in a moment":        {"dateTime", "2026-11-23T12:00:20Z", ReasonPermitted},
		"dated in a minute":        {"dateTime", "2026-11-23T12:01:00Z", ReasonAttestationDate},
		"dated with nonsense":      {"dateTime", "yesterday", ReasonAttestationDate},
		"no period":                {"provision/period", nil, ReasonPermitted},
		"no end":                   {"provision/period", object{"start": "2026-01-01"}, ReasonPermitted},
		"over":                     {"provision/period/end", "2026-11-22", ReasonAttestationPeriod},
		"to come":                  {"provision/period/start", "2026-11-24", ReasonAttestationPeriod},
		"an end that is no date":   {"provision/period/end", "soon", ReasonAttestationPeriod},
		"signed by nobody":         {"performer", nil, ReasonAttestationPerformer},
		"signed without an NPI":    {"performer", list{object{"display": "Dr."}}, ReasonAttestationPerformer},
		"signed with a bad NPI":    {"performer", sign("1234567890"), ReasonAttestationPerformer},
		"one of two unnamed":       {"performer", append(sign(doctor), object{"display": "Dr."}), ReasonAttestationPerformer},
		"signed by a colleague":    {"performer", sign(colleague), ReasonAttestationRecipient},
		"signed by both":           {"performer", sign(doctor, colleague), ReasonPermitted},
		"signed by the clinic":     {"performer", sign(clinic), ReasonPermitted},
		"signed by another clinic": {"performer", sign(other), ReasonAttestationRequester},
		"signed by a stranger":     {"performer", sign(stranger), ReasonAttestationDirectory},
		"for somebody else":        {"provision/actor", list{actor("IRCP", npi(stranger))}, ReasonAttestationRecipient},
		"for somebody nameless":    {"provision/actor", list{actor("IRCP", object{"display": "Dr."})}, ReasonAttestationRecipient},
		"for nobody in particular": {"provision/actor", nil, ReasonPermitted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := usualProvider(t)
			in.SubmittedNumbers = []string{"urn:plan|A-100"}
			in.Attestation = parsed(t, with(t, attested, tc.path, tc.value))
			if name == "signed by a colleague" {
				in.Subject = "" // and the data are for the doctor, whom nobody else names
				in.Attestation.Recipients = []string{doctor}
				in.Relationships[0].NPI = clinic
			}
			got := DecideProvider(in)
			require.Equal(t, tc.want, got.Reason)
			require.Equal(t, tc.want == ReasonPermitted, got.Verdict == Matched)
		})
	}
	t.Run("contained", func(t *testing.T) {
		t.Parallel()
		for kind, resource := range map[string]object{
			"Practitioner":     {"resourceType": "Practitioner", "id": "p", "identifier": list{object{"system": models.NPISystem, "value": doctor}}},
			"PractitionerRole": {"resourceType": "PractitionerRole", "id": "p", "practitioner": npi(doctor)},
			"Organization":     {"resourceType": "Organization", "id": "p", "identifier": list{object{"system": models.NPISystem, "value": clinic}}},
		} {
			text := with(t, with(t, attested, "performer", list{object{"reference": "#p"}}), "contained", list{resource})
			in := usualProvider(t)
			in.Attestation = parsed(t, text)
			require.Equal(t, Matched, DecideProvider(in).Verdict, kind)
			in.Attestation = parsed(t, with(t, text, "contained", list{resource, object{"resourceType": "Patient", "id": "p"}}))
			require.Equal(t, ReasonAttestationPerformer, in.Attestation.Form(noon, false), "an id that two have names neither")
		}
	})
}

// TestDecideProviderOrder breaks what is looked at one after another: the first thing that is wrong decides (BK-12).
func TestDecideProviderOrder(t *testing.T) {
	t.Parallel()
	optedOut := func(in *ProviderInput) { in.OptOuts = []models.OptOut{optOut(models.OptOutGlobal, "")} }
	unrelated := func(in *ProviderInput) { in.Relationships = nil }
	unattested := func(in *ProviderInput) { in.Attestation.Status = "entered-in-error" }
	unsigned := func(in *ProviderInput) { in.Attestation.Performers = []string{stranger} }
	unreadable := func(in *ProviderInput) { in.Attestation, in.Unreadable = Attestation{}, true }
	told := func(in *ProviderInput) { in.Line.HideOptOuts = false }
	policy := func(p models.TreatmentPolicy) func(*ProviderInput) {
		return func(in *ProviderInput) { in.Line.Treatment = p }
	}
	type changes = []func(*ProviderInput)
	for name, tc := range map[string]struct {
		changes changes
		verdict Verdict
		reason  Reason
	}{
		"nothing":                           {nil, Matched, ReasonPermitted},
		"opted out":                         {changes{optedOut}, NoMatch, ReasonOptOutGlobal},
		"opted out, and that is told":       {changes{optedOut, told}, Constrained, ReasonOptOutGlobal},
		"all, and opt-outs are told":        {changes{optedOut, unrelated, unattested, unsigned, told}, Constrained, ReasonOptOutGlobal},
		"all that comes after the opt-out":  {changes{unrelated, unattested, unsigned}, NoMatch, ReasonNoRelationship},
		"attestation and its signature":     {changes{unattested, unsigned}, NoMatch, ReasonAttestationStatus},
		"signature":                         {changes{unsigned}, NoMatch, ReasonAttestationDirectory},
		"unreadable":                        {changes{unreadable}, NoMatch, ReasonAttestationUnreadable},
		"unreadable and opted out":          {changes{unreadable, optedOut, told}, Constrained, ReasonOptOutGlobal},
		"no list needed":                    {changes{unrelated, policy(models.TreatmentByAttestation)}, Matched, ReasonPermitted},
		"no list needed, but a signature":   {changes{unrelated, unsigned, policy(models.TreatmentByAttestation)}, NoMatch, ReasonAttestationDirectory},
		"the list, and no signature":        {changes{unsigned, policy(models.TreatmentByList)}, Matched, ReasonPermitted},
		"the list, and no form":             {changes{unattested, policy(models.TreatmentByList)}, NoMatch, ReasonAttestationStatus},
		"no list and policy is the list":    {changes{unrelated, policy(models.TreatmentByList)}, NoMatch, ReasonNoRelationship},
		"an unknown policy asks for both":   {changes{unrelated, policy("")}, NoMatch, ReasonNoRelationship},
		"an unknown policy, no signature":   {changes{unsigned, policy("")}, NoMatch, ReasonAttestationDirectory},
		"about another one of the request":  {changes{func(in *ProviderInput) { in.ForeignPatient = true }}, NoMatch, ReasonAttestationPatient},
		"a claim to be whom the list holds": {changes{func(in *ProviderInput) { in.Subject, in.Organizations = "", []string{other} }, policy(models.TreatmentByList)}, NoMatch, ReasonNoRelationship},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := usualProvider(t)
			for _, change := range tc.changes {
				change(&in)
			}
			got := DecideProvider(in)
			require.Equal(t, tc.verdict, got.Verdict)
			require.Equal(t, tc.reason, got.Reason)
			if got.Verdict != Matched {
				require.Zero(t, got.Terms)
				return
			}
			ok, reason := RecheckProvider(got.Terms, in.OptOuts, in.Relationships, in.Line, directory, noon)
			require.True(t, ok, "what is permitted stands a moment later: %s", reason)
		})
	}
}

func TestRecheckProvider(t *testing.T) {
	t.Parallel()
	in := usualProvider(t)
	terms := DecideProvider(in).Terms
	for name, tc := range map[string]struct {
		optOuts []models.OptOut
		rels    []models.Relationship
		at      time.Time
		want    Reason
	}{
		"as it was":             {nil, in.Relationships, noon, ReasonPermitted},
		"opted out":             {[]models.OptOut{optOut(models.OptOutGlobal, "")}, in.Relationships, noon, ReasonOptOutGlobal},
		"opted out of another":  {[]models.OptOut{optOut(models.OptOutProvider, other)}, in.Relationships, noon, ReasonPermitted},
		"opted out of treating": {[]models.OptOut{optOut(models.OptOutPurpose, "TREAT")}, in.Relationships, noon, ReasonOptOutPurpose},
		"no longer in the list": {nil, nil, noon, ReasonNoRelationship},
		"attestation over":      {nil, in.Relationships, noon.AddDate(0, 2, 0), ReasonAttestationPeriod},
	} {
		ok, reason := RecheckProvider(terms, tc.optOuts, tc.rels, in.Line, directory, tc.at)
		require.Equal(t, tc.want, reason, name)
		require.Equal(t, tc.want == ReasonPermitted, ok, name)
	}
}

func TestStrictest(t *testing.T) {
	t.Parallel()
	open := models.LineOfBusiness{Code: "a", Treatment: models.TreatmentByAttestation, Lookback: 9, Payers: []string{"x|1"}}
	strict := models.LineOfBusiness{Code: "b", Treatment: models.TreatmentByList, HideOptOuts: true, Lookback: 3, Payers: []string{"x|2"}}
	require.Equal(t, open, Strictest([]models.LineOfBusiness{open}))
	both := Strictest([]models.LineOfBusiness{open, strict})
	require.Equal(t, models.LineOfBusiness{
		Code: "a+b", Treatment: models.TreatmentByBoth, HideOptOuts: true, Lookback: 3, Payers: []string{"x|1", "x|2"},
	}, both)
	none := Strictest(nil)
	require.True(t, none.HideOptOuts)
	require.Equal(t, models.TreatmentByBoth, none.Treatment)
}

var drawnOptOut = rapid.Custom(func(t *rapid.T) models.OptOut {
	targets := map[models.OptOutScope][]string{
		models.OptOutGlobal: {""}, models.OptOutProvider: {doctor, colleague, clinic, other, "urn:x|7"}, models.OptOutPurpose: {"TREAT", "ETREAT", "HPAYMT"},
		models.OptOutPayer: {us, "urn:payer|2"}, models.OptOutCategory: {"207R00000X", "2084", "282N00000X"},
	}
	scope := rapid.SampledFrom([]models.OptOutScope{models.OptOutGlobal, models.OptOutProvider, models.OptOutPurpose, models.OptOutPayer, models.OptOutCategory}).Draw(t, "scope")
	o := optOut(scope, models.CanonicalID(rapid.SampledFrom(targets[scope]).Draw(t, "target")))
	o.Start = noon.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "start")) * time.Hour)
	if rapid.Bool().Draw(t, "ends") {
		o.End = new(o.Start.Add(time.Duration(rapid.IntRange(1, 4).Draw(t, "hours")) * time.Hour))
	}
	return o
})

// A generator takes its name when it is first drawn from as part of another, which parallel tests that share one must not do at
// once.
func init() { _ = drawnOptOut.String() }

func drawProvider(t *rapid.T) ProviderInput {
	in := usualProvider(t)
	in.Subject = rapid.SampledFrom([]string{"", doctor, colleague, stranger}).Draw(t, "subject")
	in.Organizations = rapid.SampledFrom([][]string{nil, {clinic}, {models.NPISystem + "|" + clinic}, {other, "urn:x|7"}}).Draw(t, "organisation")
	in.Purposes = rapid.SampledFrom([][]string{nil, {"TREAT"}, {"HPAYMT"}, {"WHATEVER"}}).Draw(t, "purposes")
	in.Attestation.Performers = rapid.SampledFrom([][]string{nil, {doctor}, {clinic}, {stranger}}).Draw(t, "performers")
	in.Attestation.Recipients = nil
	in.Line.Treatment = rapid.SampledFrom([]models.TreatmentPolicy{models.TreatmentByList, models.TreatmentByAttestation, models.TreatmentByBoth}).Draw(t, "policy")
	in.Line.HideOptOuts = rapid.Bool().Draw(t, "hide")
	in.OptOuts = rapid.SliceOfN(drawnOptOut, 0, 4).Draw(t, "optOuts")
	return in
}

// TestOptOutsNeverWiden: with an opt-out more, nobody gets what they did not get before; their order does not matter, and
// where opt-outs are not told of, no answer tells of one.
func TestOptOutsNeverWiden(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawProvider(t)
		before := DecideProvider(in)
		reversed := in
		reversed.OptOuts = slices.Clone(in.OptOuts)
		slices.Reverse(reversed.OptOuts)
		require.Equal(t, before, DecideProvider(reversed))
		more := in
		more.OptOuts = append(slices.Clone(in.OptOuts), drawnOptOut.Draw(t, "another"))
		after := DecideProvider(more)
		if before.Verdict != Matched {
			require.NotEqual(t, Matched, after.Verdict)
		}
		if in.Line.HideOptOuts {
			require.NotEqual(t, Constrained, after.Verdict)
		}
		if after.Verdict == Matched {
			ok, _ := RecheckProvider(after.Terms, more.OptOuts, more.Relationships, more.Line, directory, in.At)
			require.True(t, ok)
		}
	})
}

// TestUnknownFailsClosed: who is not known gets nothing past an opt-out that could be from them.
func TestUnknownFailsClosed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := drawnOptOut.Draw(t, "optOut")
		o.Start, o.End = noon, nil
		out, _ := OptedOut([]models.OptOut{o}, Requester{}.From(directory), noon)
		require.True(t, out)
		ok, _ := RecheckProvider(Terms{}, []models.OptOut{o}, nil, models.LineOfBusiness{Treatment: models.TreatmentByAttestation}, directory, noon)
		require.False(t, ok)
	})
}

func FuzzParseAttestation(f *testing.F) {
	f.Add([]byte(attested))
	f.Add([]byte(`{"resourceType":"Consent","performer":[{"reference":"#p"}],"contained":[{"resourceType":"PractitionerRole","id":"p"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseAttestation(data)
		if err != nil {
			require.Equal(t, models.KindInvalid, models.KindOf(err))
			return
		}
		for _, npi := range a.Performers {
			require.True(t, models.ValidNPI(npi))
		}
		require.Equal(t, "Attestation", fmt.Sprintf("%+v", a))
		in := usualProvider(t)
		in.Attestation = a
		if DecideProvider(in).Verdict == Matched {
			require.True(t, json.Valid(data))
			require.True(t, a.Profiled && a.Status == "active" && a.Type == "permit" && a.DateTime != nil)
		}
	})
}
