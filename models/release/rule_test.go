package release

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

var today = fhir.DayOf(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC))

func dayOf(t require.TestingT, s string) fhir.Day {
	d, err := fhir.ParseDate(s)
	require.NoError(t, err)
	return d.First
}

// item reads a line as an import does.
func item(t require.TestingT, codes *Codes, line string) Item {
	var f fhir.Facts
	require.NoError(t, fhir.Inspect([]byte(line), &f), line)
	return Item{
		Type: f.Type, ID: string(f.ID), Line: []byte(line), Sensitive: f.Sensitive || codes.Sensitive([]byte(line), f.Codes), Auth: f.PriorAuth, Updated: fhir.MinDay,
		Dated: f.Dated, First: f.First, Last: f.Last,
	}
}

// ruled rules lines together and returns what came out by Type/id.
func ruled(t require.TestingT, lines ...string) (map[string]Ruling, *Member) {
	var items []Item
	for _, l := range lines {
		items = append(items, item(t, nil, l))
	}
	m := Rule(items)
	out := map[string]Ruling{}
	for i := range items {
		out[fhir.TypeName(items[i].Type)+"/"+items[i].ID] = m.Ruling(i)
	}
	return out, m
}

const label = `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"SUD"}]},`

// What only makes sense with something sensitive is sensitive; what mentions it loses the mention.
func TestSensitivitySpreads(t *testing.T) {
	t.Parallel()
	got, m := ruled(t,
		`{"resourceType":"Patient","id":"p"}`,
		`{"resourceType":"Condition","id":"c",`+label+`"subject":{"reference":"Patient/p"}}`,
		`{"resourceType":"Encounter","id":"why","subject":{"reference":"Patient/p"},"reasonReference":[{"reference":"Condition/c"}]}`,
		`{"resourceType":"Encounter","id":"own",`+label+`"subject":{"reference":"Patient/p"}}`,
		`{"resourceType":"CarePlan","id":"plan","subject":{"reference":"Patient/p"},"addresses":[{"reference":"https://here.example/fhir/Condition/c/_history/2"}]}`,
		`{"resourceType":"Observation","id":"pulse","subject":{"reference":"Patient/p"},"encounter":{"reference":"Encounter/why"}}`,
		`{"resourceType":"Observation","id":"test","subject":{"reference":"Patient/p"},"encounter":{"reference":"Encounter/own"}}`,
		`{"resourceType":"DocumentReference","id":"note","subject":{"reference":"Patient/p"},"context":{"encounter":[{"reference":"Encounter/why"}]}}`,
		`{"resourceType":"DiagnosticReport","id":"report","subject":{"reference":"Patient/p"},"result":[{"reference":"Observation/test"},{"reference":"Observation/other"}]}`,
		`{"resourceType":"Observation","id":"other","subject":{"reference":"Patient/p"}}`,
		`{"resourceType":"MedicationRequest","id":"order","subject":{"reference":"Patient/p"},"reasonReference":[{"reference":"urn:uuid:c"}]}`,
		`{"resourceType":"MedicationDispense","id":"pills","subject":{"reference":"Patient/p"},"authorizingPrescription":[{"reference":"MedicationRequest/order"}]}`,
		`{"resourceType":"List","id":"list","subject":{"reference":"Patient/p"},"entry":[{"item":{"reference":"Condition/c"}},{"item":{"reference":"Observation/pulse"}}]}`,
		`{"resourceType":"Provenance","id":"alone","target":[{"reference":"Patient/p"},{"reference":"Condition/c"}]}`,
		`{"resourceType":"Provenance","id":"both","target":[{"reference":"Patient/p"},{"reference":"Condition/c"},{"reference":"Observation/pulse"}]}`,
		`{"resourceType":"Procedure","id":"plain","subject":{"reference":"Patient/p"}}`,
	)
	for _, ref := range []string{
		"Condition/c", "Encounter/why", "Encounter/own", "CarePlan/plan", "Observation/test", "DocumentReference/note", "DiagnosticReport/report", "Observation/other",
		"MedicationRequest/order", "MedicationDispense/pills", "Provenance/alone",
	} {
		require.NotZero(t, got[ref].Class&models.ClassSensitive, ref)
		require.False(t, got[ref].Linked, ref)
	}
	for ref, linked := range map[string]bool{"Patient/p": false, "Observation/pulse": true, "List/list": true, "Provenance/both": true, "Procedure/plain": false} {
		require.Zero(t, got[ref].Class&models.ClassSensitive, ref)
		require.Equal(t, linked, got[ref].Linked, ref)
	}
	var v Viewer
	for line, want := range map[string]string{
		`{"resourceType":"Observation","id":"pulse","subject":{"reference":"Patient/p"},"encounter":{"reference":"Encounter/why"}}`:                      `{"resourceType":"Observation","id":"pulse","subject":{"reference":"Patient/p"}}`,
		`{"resourceType":"List","id":"l","entry":[{"item":{"reference":"Condition/c"},"flag":{"text":"x"}},{"item":{"reference":"Observation/pulse"}}]}`: `{"resourceType":"List","id":"l","entry":[{"item":{"reference":"Observation/pulse"}}]}`,
		`{"resourceType":"Provenance","id":"b","target":[{"reference":"Condition/c","display":"Opioid use"}],"recorded":"2026"}`:                         `{"resourceType":"Provenance","id":"b","recorded":"2026"}`,
		`{"encounter":{"reference":"Encounter/why"},"resourceType":"Observation","id":"o"}`:                                                              `{"resourceType":"Observation","id":"o"}`,
	} {
		require.Equal(t, want, string(v.Mask(nil, []byte(line), m.Hidden)))
	}
}

// auth is an ExplanationOfBenefit of the PDex profile.
func auth(id, status, outcome, action, decided, until, rest string) string {
	line := fmt.Sprintf(`{"resourceType":"ExplanationOfBenefit","id":"%s","status":"%s","use":"preauthorization","patient":{"reference":"Patient/p"},"created":"2019-03-01","outcome":"%s"%s`, id, status, outcome, rest)
	if until != "" {
		line += `,"preAuthRefPeriod":[{"start":"2019-03-01","end":"` + until + `"}]`
	}
	line += `,"item":[{"sequence":1,"productOrService":{"coding":[{"system":"http://www.ama-assn.org/go/cpt","code":"27130"}]}`
	if action != "" {
		line += `,"adjudication":[{"category":{"text":"x"},"extension":[{"url":"` + pdexBase + `extension-reviewAction","extension":[{"url":"` + pdexBase + `extension-reviewActionCode","valueCodeableConcept":{"coding":[{"system":"https://codesystem.x12.org/005010/306","code":"` + action + `"}]}}]}`
		if decided != "" {
			line += `,{"url":"` + pdexBase + `base-ext-when-adjudicated","valueDateTime":"` + decided + `"}`
		}
		line += `]}]`
	}
	return line + `}]}`
}

// The scenarios of PR-03, PR-04 and PR-11, on the day of the request.
func TestPriorAuthorizations(t *testing.T) {
	t.Parallel()
	w := Window{Day: today, From: new(addYears(today, -5))}
	for name, c := range map[string]struct {
		line  string
		leave bool
	}{
		"approved six years ago, in force":        {auth("a", "active", "complete", "A1", "2020-10-01", "2027-01-01", ""), true},
		"approved without an end":                 {auth("a", "active", "complete", "A1", "2020-10-01", "", ""), true},
		"ended yesterday":                         {auth("a", "active", "complete", "A1", "2020-10-01", "2026-11-25", ""), true},
		"ended a year ago":                        {auth("a", "active", "complete", "A1", "2020-10-01", "2025-11-26", ""), true},
		"ended a year and a day ago":              {auth("a", "active", "complete", "A1", "2020-10-01", "2025-11-25", ""), false},
		"pending for years":                       {auth("a", "active", "queued", "A4", "", "", ""), true},
		"undecided":                               {auth("a", "active", "queued", "", "", "", ""), true},
		"the guide's: queued but certified, over": {auth("a", "active", "queued", "A1", "2024-07-23", "2021-10-31", ""), false},
		"denied eleven months ago":                {auth("a", "active", "complete", "A3", "2025-12-26T10:00:00Z", "", ""), true},
		"denied a year ago":                       {auth("a", "active", "complete", "A3", "2025-11-26", "", ""), true},
		"denied a year and a day ago":             {auth("a", "active", "complete", "A3", "2025-11-25", "", ""), false},
		"denied, not told when":                   {auth("a", "active", "complete", "A3", "", "", ""), false},
		"cancelled long ago":                      {auth("a", "cancelled", "complete", "A1", "2020-10-01", "2027-01-01", ""), false},
		"entered in error":                        {auth("a", "entered-in-error", "complete", "A1", "2026-10-01", "2027-01-01", ""), false},
	} {
		got, _ := ruled(t, c.line)
		r := got["ExplanationOfBenefit/a"]
		require.NotZero(t, r.Class&models.ClassPriorAuth, name)
		require.Zero(t, r.Class&models.ClassDrug, name)
		require.Equal(t, c.leave, w.Leaves(r.Class, r.First, r.Last, r.Dated), name)
	}
}

func TestDrugs(t *testing.T) {
	t.Parallel()
	for line, drug := range map[string]bool{
		`{"resourceType":"Claim","id":"c","type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/claim-type","code":"pharmacy"}]}}`:                                     true,
		`{"resourceType":"Claim","id":"c","item":[{"productOrService":{"coding":[{"system":"http://hl7.org/fhir/sid/ndc","code":"99999-0101-01"}]}}]}`:                              true,
		`{"resourceType":"Claim","id":"c","item":[{"productOrService":{"coding":[{"system":"https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets","code":"J1885"}]}}]}`:         true,
		`{"resourceType":"Claim","id":"c","item":[{"productOrService":{"coding":[{"system":"http://hl7.org/fhir/sid/ndc","code":"1"}]}},{"productOrService":{"text":"infusion"}}]}`: false,
		`{"resourceType":"Claim","id":"c","item":[{"productOrService":{"coding":[{"system":"http://www.ama-assn.org/go/cpt","code":"27130"}]}}]}`:                                   false,
		`{"resourceType":"Claim","id":"c"}`: false,
	} {
		require.Equal(t, drug, Authorize([]byte(line), fhir.MinDay).Drug, line)
	}
}

// A Claim leaves as the newest answer to it says, and so do the other answers.
func TestPairsOfClaims(t *testing.T) {
	t.Parallel()
	request := `{"resourceType":"Claim","id":"%s","status":"active","use":"preauthorization","patient":{"reference":"Patient/p"},"created":"2019-01-01","item":[{"productOrService":{"coding":[{"system":"http://hl7.org/fhir/sid/ndc","code":"1"}]}}]}`
	answer := func(id, claim, created, action string) string {
		return fmt.Sprintf(`{"resourceType":"ClaimResponse","id":"%s","status":"active","use":"preauthorization","patient":{"reference":"Patient/p"},"created":"%s","outcome":"complete","request":{"reference":"Claim/%s"},"item":[{"adjudication":[{"extension":[{"url":"%sextension-reviewAction","extension":[{"url":"%sextension-reviewActionCode","valueCodeableConcept":{"coding":[{"system":"https://codesystem.x12.org/005010/306","code":"%s"}]}}]}]}]}]}`,
			id, created, claim, pasBase, pasBase, action)
	}
	got, _ := ruled(t, fmt.Sprintf(request, "open"), fmt.Sprintf(request, "shut"),
		answer("wait", "shut", "2019-01-02", "A4"), answer("no", "shut", "2019-02-02", "A3"), answer("lost", "gone", "2026-10-01", "A3"))
	require.Equal(t, fhir.MaxDay, got["Claim/open"].Last)
	for _, ref := range []string{"Claim/shut", "ClaimResponse/wait", "ClaimResponse/no"} {
		require.Equal(t, dayOf(t, "2020-02-02"), got[ref].Last, ref)
		require.NotZero(t, got[ref].Class&models.ClassDrug, "an answer is for a drug when the request is: "+ref)
	}
	require.Equal(t, dayOf(t, "2027-10-01"), got["ClaimResponse/lost"].Last)
}

// What a prior authorisation alone was supported by leaves with it, and only then; the rest leaves by itself, or with it.
func TestSupport(t *testing.T) {
	t.Parallel()
	supports := func(refs ...string) string {
		var infos []string
		for _, ref := range refs {
			infos = append(infos, `{"valueReference":{"reference":"`+ref+`"}}`)
		}
		return `,"supportingInfo":[` + strings.Join(infos, ",") + `]`
	}
	lines := []string{
		auth("old", "active", "complete", "A3", "2025-01-01", "", supports("DocumentReference/letter", "Observation/lab", "QuestionnaireResponse/form", "DocumentReference/visit")),
		auth("new", "active", "complete", "A1", "2026-01-01", "2027-06-01", supports("Observation/lab", "DocumentReference/shared", "Observation/recent")),
		`{"resourceType":"DocumentReference","id":"letter","subject":{"reference":"Patient/p"},"date":"2026-11-01T00:00:00Z"}`,
		`{"resourceType":"DocumentReference","id":"visit","subject":{"reference":"Patient/p"},"date":"2026-11-01T00:00:00Z","context":{"encounter":[{"reference":"Encounter/e"}]}}`,
		`{"resourceType":"DocumentReference","id":"shared","subject":{"reference":"Patient/p"},"date":"2012-11-01T00:00:00Z"}`,
		`{"resourceType":"List","id":"l","subject":{"reference":"Patient/p"},"date":"2026-01-01","entry":[{"item":{"reference":"DocumentReference/shared"}}]}`,
		`{"resourceType":"QuestionnaireResponse","id":"form","subject":{"reference":"Patient/p"},"authored":"2026-11-01"}`,
		`{"resourceType":"Observation","id":"lab","subject":{"reference":"Patient/p"},"effectiveDateTime":"2012-01-01"}`,
		`{"resourceType":"Observation","id":"recent","subject":{"reference":"Patient/p"},"effectiveDateTime":"2026-01-01"}`,
		`{"resourceType":"Provenance","id":"of","target":[{"reference":"DocumentReference/letter"}]}`,
	}
	got, _ := ruled(t, lines...)
	w := Window{Day: today, From: new(addYears(today, -5))}
	later := Window{Day: dayOf(t, "2030-01-01"), From: new(dayOf(t, "2025-01-01"))}
	for ref, want := range map[string][2]bool{
		"ExplanationOfBenefit/old": {false, false}, "DocumentReference/letter": {false, false}, "QuestionnaireResponse/form": {false, false}, "Provenance/of": {false, false},
		"ExplanationOfBenefit/new": {true, false}, "Observation/lab": {true, false}, "DocumentReference/shared": {true, false},
		"DocumentReference/visit": {true, true}, "Observation/recent": {true, true},
	} {
		r := got[ref]
		require.Equal(t, want, [2]bool{w.Leaves(r.Class, r.First, r.Last, r.Dated), later.Leaves(r.Class, r.First, r.Last, r.Dated)}, ref)
	}
}

func TestLookBack(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"2026-11-26T00:00:00Z": "2021-11-26", "2026-11-26T23:59:59Z": "2021-11-26", "2028-02-29T12:00:00Z": "2023-02-28", "2024-02-29T12:00:00Z": "2019-02-28", "2025-03-01T00:00:00Z": "2020-03-01",
	} {
		moment, err := time.Parse(time.RFC3339, at)
		require.NoError(t, err)
		require.Equal(t, want, fhir.FormatDay(YearsBefore(moment, 5)), at)
	}
	from := dayOf(t, "2021-11-26")
	w := Window{Day: today, From: &from}
	require.True(t, w.Leaves(0, from, from, true))
	require.False(t, w.Leaves(0, from-1, from-1, true))
	require.True(t, w.Leaves(0, from-900, from, true), "a service that ended within the window")
	require.True(t, w.Leaves(0, 0, 0, false), "what has no date stays")
	require.True(t, Window{Day: today}.Leaves(0, fhir.MinDay, fhir.MinDay, true))
}

// Of the forms of a resource exactly one is counted for each audience, and a narrower audience gets nothing more.
func TestAudiences(t *testing.T) {
	t.Parallel()
	audiences := []Audience{}
	for i := range 8 {
		audiences = append(audiences, Audience{Financial: i&1 != 0, Sensitive: i&2 != 0, Drugs: i&4 != 0})
	}
	for i := range 64 {
		own := models.Class(0)
		for bit, class := range []models.Class{models.ClassSensitive, models.ClassPriorAuth, models.ClassDrug, models.ClassSupport} {
			if i>>bit&1 == 1 {
				own |= class
			}
		}
		forms := []models.Class{own}
		if i>>4&1 == 1 {
			forms = []models.Class{own | models.ClassFull, own | models.ClassBasis}
		}
		if i>>5&1 == 1 && own&models.ClassSensitive == 0 {
			var both []models.Class
			for _, f := range forms {
				both = append(both, f|models.ClassLinked, f|models.ClassMasked)
			}
			forms = both
		}
		left := map[Audience]bool{}
		for _, a := range audiences {
			counted := 0
			for _, f := range forms {
				switch a.Fate(f) {
				case Leave:
					counted++
					left[a] = true
					require.Zero(t, f&a.Without())
					require.True(t, a.Financial || f&models.ClassFull == 0)
					require.True(t, a.Sensitive || f&(models.ClassSensitive|models.ClassLinked) == 0)
				case Withhold:
					counted++
					require.NotZero(t, f&a.Without())
				case StandIn:
				}
				require.Equal(t, Withhold, a.Fate(f|models.ClassUnruled))
			}
			require.Equal(t, 1, counted, "%b for %+v", own, a)
		}
		for a := range left {
			for _, wider := range audiences {
				if (wider.Sensitive || !a.Sensitive) && (wider.Drugs || !a.Drugs) {
					require.True(t, left[wider])
				}
			}
		}
	}
}

// A window that reaches less far back lets nothing more leave, and neither does a later request for prior authorisations.
func TestNarrowingNeverWidens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		day := func(name string) fhir.Day { return today + fhir.Day(rapid.IntRange(-9000, 900).Draw(rt, name)) }
		c := rapid.SampledFrom([]models.Class{0, models.ClassPriorAuth, models.ClassSupport}).Draw(rt, "class")
		first, last, dated := day("first"), day("last"), rapid.Bool().Draw(rt, "dated")
		from := day("from")
		wide := Window{Day: day("day"), From: &from}
		nearer := from + fhir.Day(rapid.IntRange(0, 500).Draw(rt, "nearer"))
		narrow := Window{Day: wide.Day + fhir.Day(rapid.IntRange(0, 500).Draw(rt, "later")), From: &nearer}
		if narrow.Leaves(c, first, last, dated) {
			require.True(rt, wide.Leaves(c, first, last, dated))
			require.True(rt, Window{Day: wide.Day}.Leaves(c, first, last, dated))
		}
	})
}

// One more label never lets more leave.
func TestLabelsNeverWiden(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 8).Draw(rt, "resources")
		var items []Item
		for i := range n {
			typ := rapid.SampledFrom([]string{"Observation", "Condition", "Encounter", "DiagnosticReport", "List", "Provenance"}).Draw(rt, "type")
			line := fmt.Sprintf(`{"resourceType":"%s","id":"r%d"`, typ, i)
			for range rapid.IntRange(0, 2).Draw(rt, "links") {
				to := rapid.IntRange(0, n-1).Draw(rt, "to")
				member := rapid.SampledFrom([]string{"encounter", "reasonReference", "result", "target", "entry"}).Draw(rt, "member")
				line += fmt.Sprintf(`,"%s":{"reference":"urn:uuid:r%d"}`, member, to)
			}
			it := Item{ID: fmt.Sprintf("r%d", i), Line: []byte(line + "}")}
			it.Type, _ = fhir.TypeCode(typ)
			it.Sensitive = rapid.Bool().Draw(rt, "sensitive")
			items = append(items, it)
		}
		before := Rule(items)
		more := append([]Item(nil), items...)
		more[rapid.IntRange(0, n-1).Draw(rt, "labelled")].Sensitive = true
		after := Rule(more)
		for i := range items {
			if before.Ruling(i).Class&models.ClassSensitive != 0 {
				require.NotZero(rt, after.Ruling(i).Class&models.ClassSensitive)
			}
		}
	})
}

func TestCodes(t *testing.T) {
	t.Parallel()
	codes, err := ReadCodes(Categories())
	require.NoError(t, err)
	line := func(system, code string) []byte {
		return []byte(`{"resourceType":"Condition","id":"c","code":{"coding":[{"system":"http://example.org","code":"x"},{"code":"` + code + `","system":"` + system + `"}]}}`)
	}
	for _, c := range []struct {
		system, code string
		want         bool
	}{
		{"http://hl7.org/fhir/sid/icd-10-cm", "F11.20", true},
		{"http://hl7.org/fhir/sid/icd-10-cm", "F1120", true},
		{"http://hl7.org/fhir/sid/icd-10-cm", "f11.20", true},
		{"http://hl7.org/fhir/sid/icd-10-cm", "F17.210", false},
		{"http://hl7.org/fhir/sid/icd-10-cm", "E11.9", false},
		{"http://hl7.org/fhir/sid/icd-10-cm", "B20", true},
		{"http://hl7.org/fhir/sid/icd-10-cm", "O09.90", true},
		{"http://loinc.org", "75622-1", true},
		{"http://loinc.org", "718-7", false},
		{"http://snomed.info/sct", "370143000", true},
		{"http://example.org", "370143000", false},
		{"http://www.ama-assn.org/go/cpt", "90834", true},
		{"http://www.ama-assn.org/go/cpt", "90900", false},
		{"http://www.ama-assn.org/go/cpt", "81220", true},
		{"http://www.ama-assn.org/go/cpt", "27130", false},
		{"https://www.nubc.org/CodeSystem/RevenueCodes", "0905", true},
		{"http://www.nlm.nih.gov/research/umls/rxnorm", "1819", true},
	} {
		require.Equal(t, c.want, sensitive(t, codes, line(c.system, c.code)), "%s %s", c.system, c.code)
	}
	require.True(t, sensitive(t, codes, []byte(`{"resourceType":"Claim","id":"c","item":[{"x":{"code" : "\u0042\u0032\u0030","system":"http://hl7.org/fhir/sid/icd-10-cm"}}]}`)), "escapes are read")
	require.False(t, sensitive(t, codes, []byte(`{"resourceType":"Basic","id":"c","code":"B20"}`)))
	for coding, want := range map[string]bool{
		`{"system":"http://example.org","code":"B20"}`: false,
		`{"system":"http://example.org","code":"B20"},{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"B20","display":"\"}"}`:    true,
		`{"system":"http://example.org","code":"B20","system":"http://hl7.org/fhir/sid/icd-10-cm"}`:                                   true,
		`{"system":"http://example.org","code":"B20","display":"x","system":"http://hl7.org/fhir/sid/icd-10-cm"}`:                     true,
		`{"code":"B20","system":"http://hl7.org/fhir/sid/icd-10-cm"}`:                                                                 true,
		`{"system":"http:\/\/hl7.org\/fhir\/sid\/icd-10-cm","code":"B20"}`:                                                            true,
		`{"version":"1","system":"http://hl7.org/fhir/sid/icd-10-cm","code":"B20"}`:                                                   true,
		`{ "system" : "http://hl7.org/fhir/sid/icd-10-cm" , "code" : "B20" }`:                                                         true,
		`{"display":"\"system\":\"http://hl7.org/fhir/sid/icd-10-cm","code":"B20"}`:                                                   false,
		`{"x":{"system":"http://hl7.org/fhir/sid/icd-10-cm"},"code":"B20"}`:                                                           false,
		`{"system":"http://example.org","code":"B20","display":"x"},{"system":"http://example.org","code":"B20","display":"\\"}`:      false,
		`{"extension":[{"url":"x"}],"system":"http://example.org","code":"B20","_system":{"id":"http://hl7.org/fhir/sid/icd-10-cm"}}`: false,
	} {
		require.Equal(t, want, sensitive(t, codes, []byte(`{"resourceType":"Condition","id":"c","code":{"coding":[`+coding+`]}}`)), coding)
	}
	none, err := ReadCodes(nil)
	require.NoError(t, err)
	require.False(t, sensitive(t, none, line("http://hl7.org/fhir/sid/icd-10-cm", "B20")))
	require.False(t, sensitive(t, nil, line("http://hl7.org/fhir/sid/icd-10-cm", "B20")))
	for _, bad := range []string{"nothing", "../x.tsv", t.TempDir() + "/absent.tsv"} {
		_, err := ReadCodes([]string{bad})
		require.Equal(t, models.KindInvalid, models.KindOf(err), bad)
	}
	for _, text := range []string{"icd10 B20", "nowhere\tB20", "icd10\t", "icd10\t*", "cpt\t00001-99999", "cpt\tB-A"} {
		require.Error(t, (&Codes{exact: map[string][]string{}}).read(strings.NewReader(text)), text)
	}
}

func TestTransmission(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	text, err := json.Marshal(Transmission{ID: "j", Recorded: at, GroupID: "g", Name: "Old Plan", Identifiers: []string{"http://hl7.org/fhir/sid/us-npi|1", "urn:x|2"}}.Provenance())
	require.NoError(t, err)
	var f fhir.Facts
	require.NoError(t, fhir.Inspect(text, &f))
	require.JSONEq(t, `{"resourceType":"Provenance","id":"j","meta":{"lastUpdated":"2026-11-26T12:00:00.000Z","profile":["`+pdexBase+`pdex-provenance"]},
		"contained":[{"resourceType":"Organization","id":"transmitter","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"1"},{"system":"urn:x","value":"2"}],"active":true,"name":"Old Plan"}],
		"target":[{"reference":"Group/g"}],"recorded":"2026-11-26T12:00:00.000Z",
		"agent":[{"type":{"coding":[{"system":"http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type","code":"transmitter","display":"Transmitter"}]},
		"who":{"reference":"#transmitter","type":"Organization","display":"Old Plan","identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"1"}}}]}`, string(text))
}

// sensitive reports whether a line has one of the codes.
func sensitive(t *testing.T, codes *Codes, line []byte) bool {
	t.Helper()
	var f fhir.Facts
	require.NoError(t, fhir.Inspect(line, &f))
	return codes.Sensitive(line, f.Codes)
}
