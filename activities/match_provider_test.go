package activities

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

const (
	doctorNPI = "1234567893"
	clinicNPI = "1982947230"
)

// attestation is what a doctor of the clinic says of somebody they treat.
func attestation(npi, end string) string {
	return `{"resourceType":"Consent","id":"a","status":"active","meta":{"profile":["` + consent.AttestationProfile + `"]},"patient":{"reference":"Patient/unresolved"},` +
		`"dateTime":"2026-11-01T10:00:00Z","performer":[{"identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"` + npi + `"}}],` +
		`"provision":{"type":"permit","period":{"start":"2026-01-01","end":"` + end + `"},"purpose":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT"}]}}`
}

func treated(n int) ask {
	a := theirs(n)
	a.consent = attestation(doctorNPI, "2027-06-30")
	return a
}

// practice enters a clinic and its doctor into the directory, and says what a member's line of business asks for.
func (b *bundle) practice(policy models.TreatmentPolicy, hide bool) {
	b.t.Helper()
	b.GroupLife.Provider = 30 * 24 * time.Hour
	for _, p := range []models.Provider{
		{NPI: doctorNPI, Kind: models.ProviderIndividual, Active: true, InNetwork: true, Taxonomies: []string{"207R00000X"}, Organizations: []string{clinicNPI}},
		{NPI: clinicNPI, Kind: models.ProviderOrganization, Active: true, InNetwork: true, Taxonomies: []string{"261QM2500X"}},
	} {
		_, err := b.Store.UpsertProvider(b.t.Context(), p)
		require.NoError(b.t, err)
	}
	_, err := b.Store.PutLine(b.t.Context(), models.LineOfBusiness{Code: models.DefaultLine, Treatment: policy, HideOptOuts: hide}, nil)
	require.NoError(b.t, err)
}

func (b *bundle) optOut(patient string, scope models.OptOutScope, target string) string {
	b.t.Helper()
	o, created, err := b.Store.CreateOptOut(b.t.Context(), models.OptOut{
		ID: models.NewID(), Member: models.MemberID(patient), Scope: scope, Target: target, Reason: models.ReasonPrivacy, Start: b.now().Add(-time.Hour),
		Source: models.OptOutByAdmin, CreatedBy: "test", CreatedAt: b.now(),
	})
	require.NoError(b.t, err)
	require.True(b.t, created)
	return o.ID
}

func (b *bundle) relate(patient string) {
	b.t.Helper()
	_, err := b.Store.PutRelationship(b.t.Context(), models.Relationship{
		ID: models.NewID(), Member: models.MemberID(patient), NPI: doctorNPI, Type: models.RelationshipActive, Start: b.now().AddDate(-1, 0, 0),
		Source: models.RelationshipByAdmin, CreatedBy: "test",
	})
	require.NoError(b.t, err)
}

// providerResult is what a provider's match published.
type providerResult struct {
	groups   map[string]fhir.Group // by outcome code
	lines    map[string]string
	outcomes []store.Outcome
	groupID  string
}

// submitProvider records a provider's match and plans it.
func (b *bundle) submitProvider(asks ...ask) (id, group string) {
	b.t.Helper()
	params := models.MatchParams{
		Members: len(asks), GroupID: models.NewID(), Organizations: []string{models.NPISystem + "|" + clinicNPI}, RequesterName: "Clinic", NPI: doctorNPI,
		BlobKey: "matches/request." + models.NewID(),
	}
	var text strings.Builder
	for _, a := range asks {
		line, err := json.Marshal(match.Submission{Patient: json.RawMessage(a.patient), Coverage: json.RawMessage(a.coverage), Consent: json.RawMessage(a.consent)})
		require.NoError(b.t, err)
		text.Write(append(line, '\n'))
	}
	w, err := b.Files.Create(b.t.Context(), params.BlobKey)
	require.NoError(b.t, err)
	_, err = io.WriteString(w, text.String())
	require.NoError(b.t, err)
	require.NoError(b.t, w.Commit())
	job := b.newJob(models.OpProviderMemberMatch, params)
	_, _, err = b.Store.CreateMatch(b.t.Context(), job, []store.Slice{{Members: len(asks), Length: int64(text.Len())}}, 0)
	require.NoError(b.t, err)
	must[MatchPlan](b.t, b.PrepareMatch, job.ID)
	return job.ID, params.GroupID
}

// askProvider runs a provider's match from its stored request to its files.
func (b *bundle) askProvider(asks ...ask) providerResult {
	b.t.Helper()
	job, group := b.submitProvider(asks...)
	must[int64](b.t, b.MatchSlice, SliceInput{job, 0})
	must[Published](b.t, b.PublishMatch, job)

	r := providerResult{groups: map[string]fhir.Group{}, lines: map[string]string{}, groupID: group}
	_, lines := b.files(job)
	for _, line := range lines["Group"] {
		g, err := fhir.ParseGroup([]byte(line))
		require.NoError(b.t, err)
		r.groups[g.Code.Coding[0].Code], r.lines[g.Code.Coding[0].Code] = g, line
	}
	require.Contains(b.t, lines["Parameters"][0], providerOutProfile)
	require.NoError(b.t, b.Store.Outcomes(b.t.Context(), job, 0, 1000, func(o store.Outcome) error {
		r.outcomes = append(r.outcomes, o)
		return nil
	}))
	return r
}

func (r providerResult) reasons() []string {
	var out []string
	for _, o := range r.outcomes {
		out = append(out, o.Outcome+" "+o.Reason)
	}
	return out
}

func TestProviderMatchBuckets(t *testing.T) {
	t.Parallel()
	for _, hide := range []bool{true, false} {
		t.Run(fmt.Sprintf("opt-outs hidden: %t", hide), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.members(5)
			b.practice(models.TreatmentByBoth, hide)
			b.optOut("our-1", models.OptOutGlobal, "")
			for _, patient := range []string{"our-0", "our-1", "our-3", "our-4"} {
				b.relate(patient)
			}
			over, foreign := treated(3), treated(4)
			over.consent = attestation(doctorNPI, "2026-10-31")
			foreign.consent = attestation("1679576722", "2027-10-31")
			r := b.askProvider(treated(0), treated(1), treated(2), over, foreign, treated(20))
			outcome := map[bool]string{true: "nomatch", false: "constrained"}[hide]
			require.Equal(t, []string{
				"matched permitted", outcome + " opt-out-global", "nomatch no-treatment-relationship", "nomatch attestation-period", "nomatch attestation-directory",
				r.outcomes[5].Outcome + " " + r.outcomes[5].Reason,
			}, r.reasons())
			matched := r.groups["match"]
			require.Equal(t, []string{providerMatchGroup}, matched.Meta.Profile)
			require.Equal(t, "Patient/our-0", matched.Member[0].Entity.Reference)
			require.NotNil(t, matched.ManagingEntity)
			require.Equal(t, clinicNPI, matched.Characteristic[0].ValueReference.Identifier.Value)
			require.Equal(t, b.now().Add(b.GroupLife.Provider).Format(time.RFC3339), matched.Characteristic[0].Period.End, "EX-02")
			require.Equal(t, []string{providerNoMatchGroup}, r.groups["nomatch"].Meta.Profile)
			for code, line := range r.lines {
				for _, told := range []string{"opt-out-reason", "opt-out-details", "privacy-concern", `"our-1`, "opt-out-global\"", "attestation-"} {
					require.NotContains(t, line, told, code)
				}
			}
			optedOut, there := r.groups["consentconstraint"]
			require.Equal(t, !hide, there)
			if hide {
				require.Len(t, r.groups["nomatch"].Member, 5)
				require.Equal(t, "#their-1", r.groups["nomatch"].Member[0].Entity.Reference)
				return
			}
			require.Equal(t, []string{optOutGroup}, optedOut.Meta.Profile)
			require.Equal(t, "global", optedOut.Characteristic[0].ValueCodeableConcept.Coding[0].Code)
			require.Len(t, optedOut.Member, 1, "PV-04: those of the request alone")
			require.Equal(t, "#their-1", optedOut.Member[0].Entity.Reference)
		})
	}
}

// TestOptedOutLikeUnknown: an answer about a member who opted out differs from that about a stranger in nothing but what was
// submitted and the ids that are made anew.
func TestOptedOutLikeUnknown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	b.practice(models.TreatmentByAttestation, true)
	b.optOut("our-1", models.OptOutGlobal, "")
	known, unknown := b.askProvider(treated(1)), b.askProvider(treated(9))
	require.Equal(t, "nomatch opt-out-global", known.reasons()[0])
	require.NotContains(t, unknown.reasons()[0], "opt-out")
	same := func(r providerResult, code string) string {
		line := strings.ReplaceAll(r.lines[code], r.groups[code].ID, "id")
		return strings.NewReplacer("their-9", "their-1", "Familyj", "Familyb", "Givenj", "Givenb", "1980-01-10", "1980-01-02").Replace(line)
	}
	require.Len(t, known.lines, 2)
	for code := range known.lines {
		require.Equal(t, same(unknown, code), same(known, code))
	}
}

// released runs an export of a provider's Group and returns the Patients that came out.
func (b *bundle) released(groupID string) (patients []string, acc models.Accounting) {
	b.t.Helper()
	job, _, lines := b.export(models.OpDataExport, models.ExportParams{GroupID: groupID, ExportType: "hl7.fhir.us.davinci-pdex#provider-download"})
	for _, line := range lines["Patient"] {
		p, err := fhir.ParsePatient([]byte(line))
		require.NoError(b.t, err)
		patients = append(patients, p.ID)
	}
	slices.Sort(patients)
	return patients, job.Accounting
}

func TestProviderExport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(4)
	b.practice(models.TreatmentByBoth, true)
	for _, patient := range []string{"our-0", "our-1", "our-2"} {
		b.relate(patient)
	}
	short := treated(2)
	short.consent = attestation(doctorNPI, "2026-12-01")
	r := b.askProvider(treated(0), treated(1), short)
	require.Len(t, r.groups["match"].Member, 3, r.reasons())
	patients, _ := b.released(r.groupID)
	require.Equal(t, []string{"our-0", "our-1", "our-2"}, patients)

	// RC-02: what is said after the match counts, whatever the snapshot of the data is of.
	id := b.optOut("our-0", models.OptOutPurpose, "TREAT")
	patients, acc := b.released(r.groupID)
	require.Equal(t, []string{"our-1", "our-2"}, patients)
	require.EqualValues(t, 1, acc.Withheld)
	require.Equal(t, "nomatch opt-out-purpose", b.askProvider(treated(0)).reasons()[0], "a new match finds the same")
	_, err := b.Store.RevokeOptOut(t.Context(), id, b.now(), "test", models.RevokedByMember)
	require.NoError(t, err)
	again := b.askProvider(treated(0), treated(1))
	require.NotEqual(t, r.groupID, again.groupID, "KD-09")
	patients, _ = b.released(again.groupID)
	require.Equal(t, []string{"our-0", "our-1"}, patients)

	// TR-03: the relationship has to stand.
	rels, err := b.Store.Relationships(t.Context(), store.RelationshipFilter{Member: new(models.MemberID("our-1"))}, 1)
	require.NoError(t, err)
	require.NoError(t, b.Store.DeleteRelationship(t.Context(), rels[0].ID, nil))
	patients, _ = b.released(again.groupID)
	require.Equal(t, []string{"our-0"}, patients)

	b.pass(9 * 24 * time.Hour) // the attestation of one is over
	patients, _ = b.released(r.groupID)
	require.Equal(t, []string{"our-0"}, patients)
	b.pass(22 * 24 * time.Hour) // EX-02: and now the Group is
	patients, _ = b.released(r.groupID)
	require.Empty(t, patients)
}

// TestLines: what is asked of a provider depends on the line of business that a member's Coverage is of.
func TestLines(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	b.loadText(strings.Replace(card("gold", "our-1", "W999"), `"payor"`,
		`"class":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"plan"}]},"value":"GOLD"}],"payor"`, 1)+"\n", models.ImportLive)
	b.pass(time.Minute)
	b.practice(models.TreatmentByAttestation, true)
	_, err := b.Store.PutLine(t.Context(), models.LineOfBusiness{
		Code: "gold", Treatment: models.TreatmentByBoth, Selectors: []models.LineSelector{{Class: "plan|GOLD"}}, Payers: []string{"urn:naic|12345"},
	}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"matched permitted", "nomatch no-treatment-relationship"}, b.askProvider(treated(0), treated(1)).reasons())
	b.relate("our-1")
	r := b.askProvider(treated(0), treated(1))
	require.Equal(t, []string{"matched permitted", "matched permitted"}, r.reasons())
	for _, patient := range []string{"our-0", "our-1"} {
		b.optOut(patient, models.OptOutPayer, "urn:naic|12345")
	}
	patients, _ := b.released(r.groupID)
	require.Equal(t, []string{"our-0"}, patients, "OP-11: the other is not that payer's")
	require.Equal(t, []string{"matched permitted", "constrained opt-out-payer"}, b.askProvider(treated(0), treated(1)).reasons())
}

// TestPayerOptOut: a member may opt out of sharing with a payer as well (OP-11), at the match and at any time after it.
func TestPayerOptOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	id, params := b.submit(5, []ask{theirs(0), theirs(1)})
	b.optOut("our-1", models.OptOutPayer, "urn:payers|somebody-else")
	b.optOut("our-1", models.OptOutGlobal, "") // is about providers
	require.Len(t, b.answer(id, params).groups["match"].Member, 2)
	patients := func() (ids []string, job *models.Job) {
		job, _, lines := b.export(models.OpDataExport, models.ExportParams{GroupID: params.GroupID})
		for _, line := range lines["Patient"] {
			p, err := fhir.ParsePatient([]byte(line))
			require.NoError(t, err)
			ids = append(ids, p.ID)
		}
		slices.Sort(ids)
		return ids, job
	}
	ids, job := patients()
	require.Equal(t, []string{"our-0", "our-1"}, ids)
	gone, err := b.Store.Withdrawn(t.Context(), job, params.GroupID, nil, b.now())
	require.NoError(t, err)
	require.False(t, gone)

	b.pass(time.Minute)
	b.optOut("our-1", models.OptOutPayer, requesterID)
	gone, err = b.Store.Withdrawn(t.Context(), job, params.GroupID, nil, b.now())
	require.NoError(t, err)
	require.True(t, gone, "a file that was written before is not handed out any more")
	ids, job = patients()
	require.Equal(t, []string{"our-0"}, ids)
	gone, err = b.Store.Withdrawn(t.Context(), job, params.GroupID, nil, b.now())
	require.NoError(t, err)
	require.False(t, gone)
	id, params = b.submit(5, []ask{theirs(0), theirs(1)})
	r := b.answer(id, params)
	require.Len(t, r.groups["consentconstraint"].Member, 1)
	require.Equal(t, "opt-out-payer", r.outcomes[1].Reason)
}

// TestProviderFilesWithdrawn: what was written before an opt-out is not handed out after it, whatever kind it is of.
func TestProviderFilesWithdrawn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	b.practice(models.TreatmentByAttestation, true)
	r := b.askProvider(treated(0), treated(1), treated(2))
	job, _, _ := b.export(models.OpDataExport, models.ExportParams{GroupID: r.groupID})
	check := func(gone bool, late ...string) {
		t.Helper()
		got, err := b.Store.Withdrawn(t.Context(), job, r.groupID, nil, b.now())
		require.NoError(t, err)
		require.Equal(t, gone, got)
		members, err := b.Store.LateOptOuts(t.Context(), job, r.groupID, nil, b.now())
		require.NoError(t, err)
		require.Len(t, members, len(late))
		for _, patient := range late {
			require.Contains(t, members, models.MemberID(patient))
			of, err := b.Store.LateOptOutsOf(t.Context(), job, r.groupID, models.MemberID(patient), b.now())
			require.NoError(t, err)
			require.Len(t, of, 1)
		}
	}
	check(false)
	b.pass(2 * time.Hour)
	b.optOut("our-1", models.OptOutProvider, doctorNPI)
	check(false, "our-1")
	id := b.optOut("our-2", models.OptOutGlobal, "")
	check(true, "our-1")
	_, err := b.Store.RevokeOptOut(t.Context(), id, b.now(), "x", models.RevokedByMember)
	require.NoError(t, err)
	check(false, "our-1")
	job, _, _ = b.export(models.OpDataExport, models.ExportParams{GroupID: r.groupID})
	check(false)
}

// TestOverrideForProviders: who told the plan to share with nobody, or not with this organisation, is not shared with providers either.
func TestOverrideForProviders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(4)
	b.practice(models.TreatmentByAttestation, true)
	all := []ask{treated(0), treated(1), treated(2), treated(3)}
	r := b.askProvider(all...)
	require.Len(t, r.groups["match"].Member, 4)
	before, _, _ := b.export(models.OpDataExport, models.ExportParams{GroupID: r.groupID})
	late := func(job *models.Job) int {
		t.Helper()
		members, err := b.Store.LateOptOuts(t.Context(), job, r.groupID, nil, b.now())
		require.NoError(t, err)
		return len(members)
	}
	require.Zero(t, late(before))
	b.pass(2 * time.Hour)
	id := b.override("our-0", "", b.now(), nil)
	b.override("our-1", "urn:oid:2.16.840.1.113883.4.6|"+clinicNPI, b.now(), nil)
	b.override("our-2", requesterID, b.now(), nil) // a payer
	b.override("our-3", "", b.now().Add(time.Hour), nil)
	require.Equal(t, 3, late(before), "whether they apply is for who decides")
	patients, acc := b.released(r.groupID)
	require.Equal(t, []string{"our-2", "our-3"}, patients)
	require.EqualValues(t, 2, acc.Withheld)
	require.Equal(t, []string{"nomatch member-override", "nomatch member-override", "matched permitted", "matched permitted"}, b.askProvider(all...).reasons())
	after, _, _ := b.export(models.OpDataExport, models.ExportParams{GroupID: r.groupID})
	require.Equal(t, 1, late(after), "of whom it may hold data: the payer's, to no effect")

	_, err := b.Store.RevokeOverride(t.Context(), id, "test", b.now())
	require.NoError(t, err)
	patients, _ = b.released(r.groupID)
	require.Equal(t, []string{"our-0", "our-2", "our-3"}, patients)
	b.pass(time.Hour)
	patients, _ = b.released(r.groupID)
	require.Equal(t, []string{"our-0", "our-2"}, patients)
}
