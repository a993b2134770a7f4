package activities

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
)

// walk holds every line that an export of the tests wrote against what must never leave, whatever the test is about: money
// for a client that may not see it, anybody who is not on the roster, anything labelled under a consent to the rest, and in an
// exchange between payers anything that is too old.
func (b *bundle) walk(job *models.Job, lines map[string][]string) {
	b.t.Helper()
	params, err := exportParams(job)
	require.NoError(b.t, err)
	terms, err := b.terms(b.t.Context(), job, params)
	require.NoError(b.t, err)
	policies := map[uuid.UUID]string{}
	if params.GroupID != "" {
		rows, err := b.Store.Pool.Query(b.t.Context(), `SELECT member_id, policy FROM group_members WHERE group_id = $1`, params.GroupID)
		require.NoError(b.t, err)
		defer rows.Close()
		for rows.Next() {
			var id uuid.UUID
			var policy string
			require.NoError(b.t, rows.Scan(&id, &policy))
			policies[id] = policy
		}
		require.NoError(b.t, rows.Err())
	}
	var facts fhir.Facts
	for kind, all := range lines {
		if kind == "error" || kind == "deleted" {
			continue
		}
		for _, line := range all {
			if err := fhir.Inspect([]byte(line), &facts); err != nil {
				continue // cut down by _elements
			}
			if !terms.financial {
				for _, mark := range []string{`"currency"`, `"valueMoney"`, `"costToBeneficiary"`, `"unitPrice"`, `"net":`} {
					require.NotContains(b.t, line, mark)
				}
			}
			sensitive := facts.Sensitive || b.Codes.Sensitive([]byte(line), facts.Codes)
			if params.GroupID != "" && facts.Patient != nil {
				policy, member := policies[models.MemberID(string(facts.Patient))]
				require.True(b.t, member, "a line of nobody on the roster")
				require.False(b.t, sensitive && policy != consent.PolicySensitive, "a sensitive %s of one who consented to the rest", kind)
			}
			if from := terms.window.From; from != nil && facts.Dated && !facts.PriorAuth && !strings.Contains(line, `"of-an-authorization"`) {
				require.GreaterOrEqual(b.t, facts.Last, *from, "a %s that is too old", kind)
			}
			if params.GroupID != "" && facts.PriorAuth {
				a := release.Authorize([]byte(line), fhir.DayOf(time.UnixMilli(facts.LastUpdated)))
				require.GreaterOrEqual(b.t, a.Until, fhir.DayOf(job.CreatedAt), "a prior authorization that is over")
				require.True(b.t, terms.drugs || !a.Drug)
			}
		}
	}
}

// client registers the client of the jobs of the tests.
func (b *bundle) client(kind models.ClientKind, valueBased bool) {
	b.t.Helper()
	_, err := b.Store.UpsertClient(b.t.Context(), models.Client{
		ID: "client", Name: "Client", Kind: kind, ValueBased: valueBased, JWKS: json.RawMessage(`{"keys":[]}`), Active: true, Scopes: []string{"system/*.rs"},
	})
	require.NoError(b.t, err)
}

const (
	fullOral  = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Oral"
	reviewURL = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/extension-reviewAction"
)

// authorization is a line of the PDex profile, decided on a day and supported by a letter.
func authorization(id, patient, action, decided, product string) string {
	return fmt.Sprintf(`{"resourceType":"ExplanationOfBenefit","id":"%s","meta":{"profile":["%s"]},"status":"active","use":"preauthorization","patient":{"reference":"Patient/%s"},"created":"2019-01-01","outcome":"complete",`+
		`"preAuthRefPeriod":[{"start":"2019-01-01","end":"%s"}],"supportingInfo":[{"sequence":1,"valueReference":{"reference":"DocumentReference/letter-%s"}}],`+
		`"item":[{"sequence":1,"productOrService":{"coding":[%s]},"adjudication":[{"extension":[{"url":"%s","extension":[{"url":"%sCode","valueCodeableConcept":{"coding":[{"system":"https://codesystem.x12.org/005010/306","code":"%s"}]}}]},`+
		`{"url":"http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/base-ext-when-adjudicated","valueDateTime":"%s"}],"category":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/adjudication","code":"submitted"}]},"amount":{"value":9,"currency":"USD"}}]}]}`,
		id, fhir.PriorAuthProfile, patient, decided, id, product, reviewURL, reviewURL, action, decided) + "\n" +
		`{"resourceType":"DocumentReference","id":"letter-` + id + `","subject":{"reference":"Patient/` + patient + `"},"date":"2026-11-01T00:00:00Z","description":"of-an-authorization"}` + "\n"
}

// releases loads a member p, and another q, with something for every rule.
func (b *bundle) releases() {
	b.t.Helper()
	codes, err := release.ReadCodes(release.Categories())
	require.NoError(b.t, err)
	b.Codes = codes
	var text strings.Builder
	for _, p := range []string{"p", "q"} {
		cpt := `{"system":"http://www.ama-assn.org/go/cpt","code":"27130"}`
		ndc := `{"system":"http://hl7.org/fhir/sid/ndc","code":"99999-0101-01"}`
		text.WriteString(patient(p, "") +
			`{"resourceType":"Coverage","id":"` + p + `-cov","beneficiary":{"reference":"Patient/` + p + `"},"costToBeneficiary":[{"valueMoney":{"value":20,"currency":"USD"}}]}` + "\n" +
			`{"resourceType":"ExplanationOfBenefit","id":"` + p + `-claim","meta":{"profile":["` + fullOral + `"]},"use":"claim","patient":{"reference":"Patient/` + p + `"},"billablePeriod":{"start":"2026-01-01"},"total":[{"amount":{"value":3,"currency":"USD"}}],"diagnosis":[{"sequence":1}]}` + "\n" +
			`{"resourceType":"Encounter","id":"` + p + `-old","subject":{"reference":"Patient/` + p + `"},"period":{"start":"2021-11-01","end":"2021-11-22"}}` + "\n" +
			`{"resourceType":"Encounter","id":"` + p + `-edge","subject":{"reference":"Patient/` + p + `"},"period":{"start":"2021-11-01","end":"2021-11-23"},"serviceProvider":{"reference":"Organization/clinic"}}` + "\n" +
			`{"resourceType":"Encounter","id":"` + p + `-2015","subject":{"reference":"Patient/` + p + `"},"period":{"start":"2015-12-31","end":"2015-12-31"},"serviceProvider":{"reference":"Organization/closed"}}` + "\n" +
			`{"resourceType":"Condition","id":"` + p + `-ongoing","subject":{"reference":"Patient/` + p + `"},"onsetDateTime":"2012-01-01","code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"E11.9"}]}}` + "\n" +
			`{"resourceType":"Condition","id":"` + p + `-sud","subject":{"reference":"Patient/` + p + `"},"onsetDateTime":"2026-01-01","code":{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"F11.20"}]}}` + "\n" +
			`{"resourceType":"Encounter","id":"` + p + `-sudvisit","subject":{"reference":"Patient/` + p + `"},"period":{"start":"2026-01-02","end":"2026-01-02"},"reasonReference":[{"reference":"Condition/` + p + `-sud"}]}` + "\n" +
			`{"resourceType":"Observation","id":"` + p + `-pulse","status":"final","subject":{"reference":"Patient/` + p + `"},"effectiveDateTime":"2026-01-02","encounter":{"reference":"Encounter/` + p + `-sudvisit"}}` + "\n" +
			`{"resourceType":"MedicationRequest","id":"` + p + `-opioid","subject":{"reference":"Patient/` + p + `"},"authoredOn":"2026-01-02","medicationReference":{"reference":"Medication/bup"}}` + "\n" +
			`{"resourceType":"MedicationRequest","id":"` + p + `-other","subject":{"reference":"Patient/` + p + `"},"authoredOn":"2026-01-02","medicationReference":{"reference":"Medication/asa"}}` + "\n" +
			`{"resourceType":"Provenance","id":"` + p + `-prov","target":[{"reference":"Patient/` + p + `"},{"reference":"Condition/` + p + `-sud"}],"recorded":"2026-01-02T00:00:00Z"}` + "\n" +
			`{"resourceType":"Provenance","id":"` + p + `-provold","target":[{"reference":"Patient/` + p + `"},{"reference":"Encounter/` + p + `-2015"}],"recorded":"2026-01-02T00:00:00Z"}` + "\n" +
			authorization(p+"-denied", p, "A3", "2025-01-01", cpt) + authorization(p+"-active", p, "A1", "2027-01-01", cpt) + authorization(p+"-drug", p, "A1", "2027-01-01", ndc))
	}
	for _, id := range []string{"clinic", "closed"} {
		text.WriteString(`{"resourceType":"Organization","id":"` + id + `"}` + "\n")
	}
	text.WriteString(`{"resourceType":"Medication","id":"bup","code":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"1819"}]}}` + "\n" +
		`{"resourceType":"Medication","id":"asa","code":{"coding":[{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"1191"}]}}` + "\n")
	b.loadText(text.String(), models.ImportBackfill)
	b.pass(time.Hour)
}

// ids lists what came as Type/id.
func ids(lines map[string][]string) map[string]bool {
	out := map[string]bool{}
	for kind, all := range lines {
		for _, line := range all {
			if kind != "error" && kind != "deleted" {
				out[kind+"/"+resourceID(json.RawMessage(line))] = true
			}
		}
	}
	return out
}

func (b *bundle) bothMembers() string {
	day, year := noon.AddDate(0, 0, -1), noon.AddDate(1, 0, 0)
	return b.group(seat{"p", consent.PolicyRegular, day, year}, seat{"q", consent.PolicySensitive, day, year})
}

// patientsOf records the Group of a clinic's doctor with the given patients.
func (b *bundle) patientsOf(patients ...string) string {
	b.t.Helper()
	b.practice(models.TreatmentByAttestation, false)
	var seats []seat
	for _, p := range patients {
		seats = append(seats, seat{p, consent.PolicyRegular, noon.AddDate(0, 0, -1), noon.AddDate(1, 0, 0)})
	}
	id := b.group(seats...)
	b.exec(`UPDATE groups SET profile = $2 WHERE id = $1`, id, models.ProviderGroupProfile)
	b.exec(`INSERT INTO group_askers (group_id, organizations, holder) VALUES ($1, $2, $3)`, id, []string{models.NPISystem + "|" + clinicNPI}, []string{holderID})
	for _, p := range patients {
		b.exec(`INSERT INTO group_terms (group_id, member_id, idx, named, vouched, purposes, lines, ends_at) VALUES ($1, $2, 0, $3, $3, '{TREAT}', $4, NULL)`,
			id, models.MemberID(p), []string{doctorNPI}, []string{models.DefaultLine})
	}
	return id
}

func TestWhatAPayerGets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Release.PayerYears = 5
	b.releases()
	b.client(models.ClientPayer, true) // the flag of a provider means nothing for a payer
	job, _, got := b.export(models.OpDataExport, models.ExportParams{GroupID: b.bothMembers(), ExportType: "hl7.fhir.us.davinci-pdex#payertopayer"})
	want := map[string]bool{"Organization/clinic": true, "Medication/asa": true, "Medication/bup": true}
	for _, p := range []string{"p", "q"} {
		for _, ref := range []string{
			"Patient/" + p, "Coverage/" + p + "-cov", "ExplanationOfBenefit/" + p + "-claim", "Encounter/" + p + "-edge", "Condition/" + p + "-ongoing",
			"Observation/" + p + "-pulse", "MedicationRequest/" + p + "-other", "ExplanationOfBenefit/" + p + "-active", "DocumentReference/letter-" + p + "-active",
		} {
			want[ref] = true
		}
	}
	for _, ref := range []string{"Condition/q-sud", "Encounter/q-sudvisit", "MedicationRequest/q-opioid", "Provenance/q-prov"} {
		want[ref] = true
	}
	require.Equal(t, want, ids(got))
	require.Len(t, got["error"], 1)
	require.Contains(t, got["error"][0], `"severity":"information"`)
	require.EqualValues(t, 6, job.Accounting.TooOld, "two encounters and a Provenance of each")
	for _, line := range got["Observation"] {
		require.Equal(t, strings.Contains(line, `"id":"q-pulse"`), strings.Contains(line, "sudvisit"), "only who may see the visit is led to it")
	}
	for _, line := range got["ExplanationOfBenefit"] {
		if strings.Contains(line, "-claim") {
			require.Contains(t, line, fullOral+"-Basis")
		} else {
			require.Contains(t, line, "masked")
			require.Contains(t, line, `"A1"`)
		}
	}

	// Without a look-back everything that is not over comes, and nothing is told.
	b.Release.PayerYears = 0
	_, _, got = b.export(models.OpDataExport, models.ExportParams{GroupID: b.bothMembers()})
	require.True(t, ids(got)["Encounter/p-2015"])
	require.True(t, ids(got)["Provenance/p-provold"])
	require.Empty(t, got["error"])
}

func TestWhatAProviderGets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Release = ReleaseRules{PayerYears: 5, ProviderFrom: new(fhir.DayOf(time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC))), DrugAuths: true}
	b.releases()
	group := b.patientsOf("p", "q")
	for _, flagged := range []bool{false, true} {
		b.client(models.ClientProvider, flagged)
		_, _, got := b.export(models.OpGroupExport, models.ExportParams{GroupID: group})
		all := ids(got)
		require.True(t, all["Encounter/p-old"], "five years are for payers")
		require.False(t, all["Encounter/p-2015"])
		require.True(t, all["ExplanationOfBenefit/p-drug"], "the setting lets it go")
		require.True(t, all["DocumentReference/letter-p-drug"])
		require.False(t, all["ExplanationOfBenefit/p-denied"])
		require.Equal(t, flagged, strings.Contains(strings.Join(got["ExplanationOfBenefit"], ""), `"currency"`))
		require.Equal(t, flagged, strings.Contains(strings.Join(got["Coverage"], ""), `"costToBeneficiary"`))
	}
	// A back end has no Group: it gets every prior authorization, without amounts.
	b.client(models.ClientBackend, false)
	_, _, got := b.export(models.OpSystemExport, models.ExportParams{})
	require.True(t, ids(got)["ExplanationOfBenefit/p-denied"])
	require.True(t, ids(got)["Encounter/p-2015"])
}

// A Group was made for a payer by its members' consents: what its client is registered as later opens no more of it.
func TestAPayersGroupStaysAPayers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Release = ReleaseRules{PayerYears: 5, DrugAuths: false}
	b.releases()
	group := b.bothMembers()
	for _, kind := range []models.ClientKind{models.ClientProvider, models.ClientBackend} {
		b.client(kind, true)
		for _, op := range []models.Operation{models.OpGroupExport, models.OpDataExport} {
			_, _, got := b.export(op, models.ExportParams{GroupID: group})
			require.NotContains(t, fmt.Sprint(got), `"currency"`)
			require.True(t, ids(got)["Encounter/p-edge"])
			require.False(t, ids(got)["Encounter/p-old"])
		}
	}
}

// A later import that makes something sensitive, or takes that back, changes how what was held before may leave.
func TestRulingsFollowTheNewestState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.releases()
	b.client(models.ClientPayer, false)
	group := b.bothMembers()
	export := func() map[string]bool {
		_, _, got := b.export(models.OpDataExport, models.ExportParams{GroupID: group})
		b.current() // holds all views against their lines
		return ids(got)
	}
	require.True(t, export()["Encounter/p-edge"])
	b.pass(time.Minute)
	b.loadText(`{"resourceType":"Observation","id":"p-drugtest","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"SUD"}]},"status":"final","subject":{"reference":"Patient/p"}}`+"\n"+
		`{"resourceType":"Encounter","id":"p-edge","subject":{"reference":"Patient/p"},"period":{"start":"2021-11-01","end":"2021-11-23"},"reasonReference":[{"reference":"Observation/p-drugtest"}]}`+"\n", models.ImportLive)
	b.pass(time.Minute)
	require.False(t, export()["Encounter/p-edge"])
	b.loadText(`{"resourceType":"Observation","id":"p-drugtest","status":"final","subject":{"reference":"Patient/p"}}`+"\n", models.ImportLive)
	b.pass(time.Minute)
	require.True(t, export()["Encounter/p-edge"])
	// The condition goes, and the visit and the pulse are ordinary again.
	require.False(t, export()["Encounter/p-sudvisit"])
	b.loadText(deletes("Condition/p-sud"), models.ImportLive)
	b.pass(time.Minute)
	require.True(t, export()["Encounter/p-sudvisit"])
	// A prior authorization that is gone takes its letter's rule along.
	b.loadText(deletes("ExplanationOfBenefit/p-denied"), models.ImportLive)
	b.pass(time.Minute)
	require.True(t, export()["DocumentReference/letter-p-denied"])
}

// A delta brings what an import has changed the release of, though it did not bring it, and nothing else.
func TestDeltasFollowRulings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var last *time.Time
	b.client(models.ClientPayer, false)
	ndc := `{"system":"http://hl7.org/fhir/sid/ndc","code":"99999-0101-01"}`
	cpt := `{"system":"http://www.ama-assn.org/go/cpt","code":"27130"}`
	sensitive := `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"SUD"}]},`
	condition := func(id, meta string) string {
		return `{"resourceType":"Condition","id":"` + id + `",` + meta + `"subject":{"reference":"Patient/p"},"onsetDateTime":"2026-01-01"}` + "\n"
	}
	encounter := func(id, condition string) string {
		return `{"resourceType":"Encounter","id":"` + id + `","subject":{"reference":"Patient/p"},"period":{"start":"2026-01-02","end":"2026-01-02"},"reasonReference":[{"reference":"Condition/` + condition + `"}]}` + "\n"
	}
	visit := func(id, encounter string) string {
		return `{"resourceType":"Observation","id":"` + id + `","status":"final","subject":{"reference":"Patient/p"},"effectiveDateTime":"2026-01-02","encounter":{"reference":"Encounter/` + encounter + `"}}` + "\n"
	}
	request := `{"resourceType":"Claim","id":"request","use":"preauthorization","status":"active","patient":{"reference":"Patient/p"},"created":"2019-01-01"}` + "\n"
	answer := func(id, until string) string {
		return `{"resourceType":"ClaimResponse","id":"` + id + `","use":"preauthorization","status":"active","outcome":"complete","patient":{"reference":"Patient/p"},"created":"2019-01-02","request":{"reference":"Claim/request"},"preAuthPeriod":{"start":"2019-01-02","end":"` + until + `"}}` + "\n"
	}
	load := func(text string, mode models.ImportMode) {
		b.loadText(text, mode)
		b.pass(time.Minute)
	}
	load(patient("p", "")+condition("c", sensitive)+condition("d", sensitive)+condition("plain", "")+encounter("e", "c")+encounter("f", "d")+visit("o", "e")+visit("u", "f")+
		observation("v", "p", "", "x")+request+answer("answer", "2019-06-01")+authorization("a", "p", "A1", "2027-01-01", cpt)+authorization("drug", "p", "A1", "2027-01-01", ndc), models.ImportBackfill)
	group := b.group(seat{"p", consent.PolicyRegular, noon.AddDate(0, 0, -1), noon.AddDate(1, 0, 0)})
	delta := func() map[string]bool {
		job, _, got := b.export(models.OpDataExport, models.ExportParams{GroupID: group, Since: last})
		last = job.TransactionTime
		b.current()
		b.pass(time.Minute)
		all := ids(got)
		maps.DeleteFunc(all, func(ref string, _ bool) bool { return strings.HasPrefix(ref, "Provenance/") })
		return all
	}
	set := func(refs ...string) map[string]bool {
		out := map[string]bool{}
		for _, ref := range refs {
			out[ref] = true
		}
		return out
	}
	require.Equal(t, set("Patient/p", "Condition/plain", "Observation/o", "Observation/u", "Observation/v", "ExplanationOfBenefit/a", "DocumentReference/letter-a"), delta())

	load(condition("c", ""), models.ImportLive)
	require.Equal(t, set("Condition/c", "Encounter/e", "Observation/o"), delta(), "the visit leaves, and what happened there says so")
	load(observation("w", "p", "", "x"), models.ImportLive)
	require.Equal(t, set("Observation/w"), delta(), "nothing else has changed")
	load(answer("answer", "2027-06-01"), models.ImportLive)
	require.Equal(t, set("Claim/request", "ClaimResponse/answer"), delta(), "what was over is in force")
	load(deletes("Condition/d"), models.ImportLive)
	require.Equal(t, set("Encounter/f", "Observation/u"), delta())
	load(deletes("ExplanationOfBenefit/drug"), models.ImportLive)
	require.Equal(t, set("DocumentReference/letter-drug"), delta(), "it belongs to nothing that stays")

	// What an import touches it can take away as well, and a backfill touches nothing.
	load(condition("c", sensitive)+deletes("Encounter/e"), models.ImportLive)
	require.NotContains(t, b.current(), "Encounter/e")
	require.Equal(t, set("Observation/o"), delta())
	load(condition("c", `"meta":{"lastUpdated":"2026-12-01T00:00:00Z"},`), models.ImportBackfill)
	for _, id := range []string{"o", "u", "v", "w"} {
		require.Less(t, b.current()["Observation/"+id].line.LastUpdated, last.UnixMilli())
	}
}

// What was imported before there were classes stays until it is imported again.
func TestUnruledStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	line := `{"resourceType":"Observation","id":"o","meta":{"lastUpdated":"2026-01-01T00:00:00.000Z"},"status":"final","subject":{"reference":"Patient/p"}}` + "\n"
	b.loadText(patient("p", "")+line, models.ImportBackfill)
	b.exec(`UPDATE segments SET class = class | 256`)
	b.exec(`UPDATE segment_lines SET class = class | 256`)
	b.pass(time.Hour)
	job, _, got := b.export(models.OpPatientExport, models.ExportParams{})
	require.Empty(t, ids(got))
	require.EqualValues(t, 2, job.Accounting.WithheldResources)
	b.pass(time.Hour)
	stats := b.loadText(patient("p", "")+line, models.ImportBackfill)
	require.EqualValues(t, 1, stats.Types["Observation"].Replaced+stats.Types["Observation"].New, "it is taken although it is the same")
	b.pass(time.Hour)
	_, _, got = b.export(models.OpPatientExport, models.ExportParams{})
	require.Equal(t, map[string]bool{"Patient/p": true, "Observation/o": true}, ids(got))
}
