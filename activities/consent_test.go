package activities

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

// matched runs a match and returns its Group's id and, in the order of the request, why each person has the outcome they have.
func (b *bundle) matched(asks ...ask) (group string, reasons []string) {
	b.t.Helper()
	b.pass(time.Second)
	id, params := b.submit(3, asks)
	for _, o := range b.answer(id, params).outcomes {
		reasons = append(reasons, o.Reason)
	}
	return params.GroupID, reasons
}

// exported runs an export of a Group and returns its job and the ids of those whose Patient is in it.
func (b *bundle) exported(group string) (job *models.Job, patients []string) {
	b.t.Helper()
	b.pass(time.Second)
	job, _, lines := b.export(models.OpDataExport, models.ExportParams{GroupID: group, Types: typeCodes("Patient")})
	for _, line := range lines["Patient"] {
		patients = append(patients, resourceID(json.RawMessage(line)))
	}
	slices.Sort(patients)
	return job, patients
}

func typeCodes(names ...string) []int16 {
	var codes []int16
	for _, name := range names {
		code, _ := fhir.TypeCode(name)
		codes = append(codes, code)
	}
	return codes
}

// withdrawn says whether the first file of an export may not be handed out any more.
func (b *bundle) withdrawn(job *models.Job) bool {
	b.t.Helper()
	params, err := exportParams(job)
	require.NoError(b.t, err)
	files, err := b.Store.Files(b.t.Context(), job.ID)
	require.NoError(b.t, err)
	one, err := b.Store.Withdrawn(b.t.Context(), job, params.GroupID, &files[0], b.now())
	require.NoError(b.t, err)
	all, err := b.Store.Withdrawn(b.t.Context(), job, params.GroupID, nil, b.now())
	require.NoError(b.t, err)
	require.Equal(b.t, all, one, "there is one file")
	return one
}

// override has a member tell us not to share.
func (b *bundle) override(patient, requester string, start time.Time, end *time.Time) string {
	b.t.Helper()
	o := store.Override{
		ID: models.NewID(), Member: models.MemberID(patient), Requester: models.CanonicalOrganization(requester), Start: start, End: end,
		Source: "phone", CreatedBy: "test", CreatedAt: b.now(),
	}
	require.NoError(b.t, b.Store.AddOverride(b.t.Context(), o))
	return o.ID
}

func (b *bundle) consents(patient string) []store.Consent {
	b.t.Helper()
	list, err := b.Store.Consents(b.t.Context(), new(models.MemberID(patient)), "", 100)
	require.NoError(b.t, err)
	slices.SortFunc(list, func(x, y store.Consent) int { return x.SubmittedAt.Compare(y.SubmittedAt) })
	return list
}

func states(list []store.Consent) string {
	var all []string
	for _, c := range list {
		all = append(all, string(c.State))
	}
	return strings.Join(all, " ")
}

func TestOverride(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	asks := []ask{theirs(0), theirs(1), theirs(2)}
	group, reasons := b.matched(asks...)
	require.Equal(t, []string{"permitted", "permitted", "permitted"}, reasons)
	before, got := b.exported(group)
	require.Equal(t, []string{"our-0", "our-1", "our-2"}, got)
	require.False(t, b.withdrawn(before))

	// To everybody, to the requester under the other spelling of its number, and to somebody else.
	id := b.override("our-0", "", b.now(), nil)
	b.override("our-1", "urn:oid:2.16.840.1.113883.4.6|0123456789", b.now(), nil)
	b.override("our-2", "http://hl7.org/fhir/sid/us-npi|1111111111", b.now(), nil)
	require.True(t, b.withdrawn(before), "a file with a member who has told us since is not handed out")
	after, got := b.exported(group)
	require.Equal(t, []string{"our-2"}, got)
	require.Equal(t, models.Accounting{Members: 3, Exported: 1, Withheld: 2, Planned: 3, Written: 1, WithheldResources: 2}, after.Accounting)
	require.False(t, b.withdrawn(after), "one without them is")
	_, reasons = b.matched(asks...)
	require.Equal(t, []string{"member-override", "member-override", "permitted"}, reasons)

	_, err := b.Store.RevokeOverride(t.Context(), id, "test", b.now())
	require.NoError(t, err)
	_, got = b.exported(group)
	require.Equal(t, []string{"our-0", "our-2"}, got)

	// One that is to come, and one that ends.
	start, end := b.now().Add(time.Hour), b.now().Add(2*time.Hour)
	b.override("our-2", "", start, &end)
	early, got := b.exported(group)
	require.Equal(t, []string{"our-0", "our-2"}, got)
	require.False(t, b.withdrawn(early))
	b.pass(time.Hour)
	require.True(t, b.withdrawn(early))
	_, got = b.exported(group)
	require.Equal(t, []string{"our-0"}, got)
	b.pass(time.Hour)
	require.False(t, b.withdrawn(early))
	_, got = b.exported(group)
	require.Equal(t, []string{"our-0", "our-2"}, got)
	err = b.Store.AddOverride(t.Context(), store.Override{ID: models.NewID(), Member: models.MemberID("nobody"), Start: b.now(), CreatedAt: b.now()})
	require.Equal(t, models.KindNotFound, models.KindOf(err))
}

// A consent, or an attestation, that names another person by a number is not this person's.
func TestConsentOfAnotherByNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	b.practice(models.TreatmentByAttestation, true)
	numbered := func(a ask, number string) ask {
		a.patient = strings.Replace(a.patient, `"gender"`, `"identifier":[{"system":"urn:plan","value":"A-1"}],"gender"`, 1)
		a.consent = strings.Replace(a.consent, `{"reference":"Patient/unresolved"}`, `{"identifier":{"system":"urn:plan","value":"`+number+`"}}`, 1)
		return a
	}
	_, reasons := b.matched(numbered(theirs(0), "A1"), numbered(theirs(1), "A2"))
	require.Equal(t, []string{"permitted", "consent-patient"}, reasons)
	r := b.askProvider(numbered(treated(0), "A1"), numbered(treated(1), "A2"))
	require.Equal(t, "permitted", r.outcomes[0].Reason)
	require.Equal(t, "attestation-patient", r.outcomes[1].Reason)
}

func TestStoredConsents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	expired, foreign, stranger := theirs(1), theirs(2), theirs(9)
	expired.consent = agreed(fhir.PolicyRegular, "2020-01-01", "2020-12-31")
	foreign.consent = `{"resourceType":"Consent","status":7}`
	group, _ := b.matched(theirs(0), expired, foreign, stranger)
	require.Equal(t, 3, b.count("consents"), "of those who are members, whatever was decided")
	one := b.consents("our-0")
	require.Equal(t, "active", states(one))
	require.Equal(t, requesterID, one[0].Requester)
	require.Equal(t, "our-0", one[0].PatientID)
	require.Equal(t, consent.PolicyRegular, one[0].Policy)
	full, err := b.Store.Consent(t.Context(), one[0].ID.String())
	require.NoError(t, err)
	require.JSONEq(t, agreement(), full.Document)
	require.Equal(t, "refused", states(b.consents("our-1")))
	require.Equal(t, "consent-expired", b.consents("our-1")[0].Reason)
	require.Equal(t, "consent-unreadable", b.consents("our-2")[0].Reason)

	// The same again is the same, another one closes it.
	b.matched(theirs(0))
	require.Equal(t, "active", states(b.consents("our-0")))
	job, got := b.exported(group)
	require.Equal(t, []string{"our-0"}, got)
	other := theirs(0)
	other.consent = agreed(fhir.PolicyRegular, "2026-02-01", "2026-12-31")
	b.matched(other)
	require.Equal(t, "superseded active", states(b.consents("our-0")))
	require.False(t, b.withdrawn(job))
	// A refused one closes nothing.
	late := theirs(0)
	late.consent = agreed(fhir.PolicyRegular, "2020-02-01", "2020-12-31")
	b.matched(late)
	require.Equal(t, "superseded active refused", states(b.consents("our-0")))
	// And what the newest says bounds the Groups of the earlier ones.
	b.clock.Store(time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC).UnixMilli())
	require.True(t, b.withdrawn(job), "its period has ended")
	_, got = b.exported(group)
	require.Empty(t, got)
	b.matched(theirs(0))
	require.Equal(t, "superseded refused active", states(b.consents("our-0")))
	_, got = b.exported(group)
	require.Equal(t, []string{"our-0"}, got)
}

func TestRevokedConsent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	group, _ := b.matched(theirs(0), theirs(1))
	job, got := b.exported(group)
	require.Equal(t, []string{"our-0", "our-1"}, got)
	id := b.consents("our-0")[0].ID.String()
	revoked, err := b.Store.RevokeConsent(t.Context(), id, "test", "the member rang", b.now())
	require.NoError(t, err)
	require.Equal(t, store.ConsentRevoked, revoked.State)
	b.pass(time.Hour)
	again, err := b.Store.RevokeConsent(t.Context(), id, "test", "again", b.now())
	require.NoError(t, err)
	require.Equal(t, revoked, again)
	_, err = b.Store.RevokeConsent(t.Context(), models.NewID(), "test", "x", b.now())
	require.Equal(t, models.KindNotFound, models.KindOf(err))

	require.True(t, b.withdrawn(job))
	after, got := b.exported(group)
	require.Equal(t, []string{"our-1"}, got)
	require.EqualValues(t, 1, after.Accounting.Withheld)
	require.False(t, b.withdrawn(after))

	// Neither the same consent nor another from before opens anything again; one given afterwards does, to a new Group.
	another := theirs(0)
	another.consent = agreed(fhir.PolicySensitive, "2026-03-01", "2027-12-31")
	_, reasons := b.matched(theirs(0), another)
	require.Equal(t, []string{"consent-revoked", "consent-revoked"}, reasons)
	b.pass(24 * time.Hour)
	fresh := theirs(0)
	fresh.consent = agreed(fhir.PolicyRegular, b.now().Format(time.DateOnly), "2027-12-31")
	newer, reasons := b.matched(fresh)
	require.Equal(t, []string{"permitted"}, reasons)
	_, got = b.exported(newer)
	require.Equal(t, []string{"our-0"}, got)
	_, got = b.exported(group)
	require.Equal(t, []string{"our-1"}, got, "the old Group stays without them")

	// However soon after: a Group that was matched since is not held against what was taken back before.
	_, err = b.Store.RevokeConsent(t.Context(), b.consents("our-0")[len(b.consents("our-0"))-1].ID.String(), "test", "x", b.now())
	require.NoError(t, err)
	b.pass(time.Minute)
	fresh.consent = strings.Replace(agreement(), `"status"`, `"dateTime":"`+b.now().Format(time.RFC3339)+`","status"`, 1)
	newest, reasons := b.matched(fresh)
	require.Equal(t, []string{"permitted"}, reasons)
	soon, got := b.exported(newest)
	require.Equal(t, []string{"our-0"}, got)
	require.False(t, b.withdrawn(soon))
	for _, c := range b.consents("our-0") {
		_, err = b.Store.RevokeConsent(t.Context(), c.ID.String(), "test", "x", b.now().Add(-2*time.Minute)) // by a clock that is behind
		require.NoError(t, err)
	}
	require.True(t, b.withdrawn(soon))
}

// A Consent that says no takes back what its requester submitted before.
func TestWithdrawingConsent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	group, _ := b.matched(theirs(0), theirs(1))
	job, _ := b.exported(group)
	no := theirs(0)
	no.consent = strings.Replace(agreement(), `"active"`, `"inactive"`, 1)
	_, reasons := b.matched(no)
	require.Equal(t, []string{"consent-inactive"}, reasons)
	require.Equal(t, "revoked revoked", states(b.consents("our-0")))
	require.True(t, b.withdrawn(job))
	_, got := b.exported(group)
	require.Equal(t, []string{"our-1"}, got)
	// Beside one that permits it denies in whatever order they are judged.
	no.consent = strings.Replace(agreed(fhir.PolicyRegular, "2026-04-01", "2027-12-31"), `"permit"`, `"deny"`, 1)
	no.patient, no.coverage = theirs(1).patient, theirs(1).coverage
	for _, asks := range [][]ask{{no, theirs(1)}, {theirs(1), no}} {
		both, _ := b.matched(asks...)
		_, got = b.exported(both)
		require.Empty(t, got)
	}
}

// A newer consent to less narrows the Groups that a wider one made, and so does the store when it cannot tell what is sensitive.
func TestNarrowedConsent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(1)
	b.loadText(`{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/our-0"},"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}}`+"\n"+
		`{"resourceType":"Condition","id":"c2","subject":{"reference":"Patient/our-0"}}`+"\n", models.ImportLive)
	b.pass(time.Minute)
	wide := theirs(0)
	wide.consent = agreed(fhir.PolicySensitive, "2026-01-01", "2027-12-31")
	group, _ := b.matched(wide)
	conditions := func() (*models.Job, int) {
		b.pass(time.Second)
		job, _, lines := b.export(models.OpDataExport, models.ExportParams{GroupID: group, Types: typeCodes("Condition")})
		return job, len(lines["Condition"])
	}
	all, n := conditions()
	require.Equal(t, 2, n)
	b.matched(theirs(0))
	require.True(t, b.withdrawn(all))
	some, n := conditions()
	require.Equal(t, 1, n)
	require.False(t, b.withdrawn(some))
	b.Holder.SensitiveData = "untagged"
	_, got := b.exported(group)
	require.Empty(t, got)
}

// A match may take longer than anything else: what it settles counts for files from then on, whenever it was asked for.
func TestNarrowedByASlowMatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(1)
	wide := theirs(0)
	wide.consent = agreed(fhir.PolicySensitive, "2026-01-01", "2027-12-31")
	group, _ := b.matched(wide)
	b.pass(time.Second)
	slow, params := b.submit(1, []ask{theirs(0)})
	b.pass(2 * time.Hour)
	all, got := b.exported(group)
	require.Len(t, got, 1)
	b.pass(time.Minute)
	require.False(t, b.withdrawn(all))
	b.answer(slow, params)
	require.True(t, b.withdrawn(all))
	_, got = b.exported(group)
	require.Len(t, got, 1)
}

// TestReassignedClient: what was opened to one organisation does not leave for another, though its client is the same.
func TestReassignedClient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(1)
	b.practice(models.TreatmentByAttestation, true)
	group, _ := b.matched(theirs(0))
	clinic := b.askProvider(treated(0)).groupID
	for _, tc := range []struct {
		ids      []string
		payer    int
		provider int
	}{
		{[]string{"urn:another|1", requesterID}, 1, 0}, {[]string{models.NPISystem + "|" + clinicNPI}, 0, 1}, {nil, 0, 0},
	} {
		_, err := b.Store.UpsertClient(t.Context(), models.Client{
			ID: "client", Name: "x", Kind: models.ClientPayer, OrganizationIDs: tc.ids, JWKS: json.RawMessage(`{"keys":[]}`), Active: true,
		})
		require.NoError(t, err)
		_, got := b.exported(group)
		require.Len(t, got, tc.payer)
		patients, _ := b.released(clinic)
		require.Len(t, patients, tc.provider)
	}
}

// TestPatientGone: what is left of a Patient who is not held any more does not leave by a Group either, but that they went does.
func TestPatientGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	b.loadText(`{"resourceType":"Condition","id":"c0","subject":{"reference":"Patient/our-0"}}`+"\n"+
		`{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/our-1"}}`+"\n", models.ImportLive)
	b.pass(time.Minute)
	group, _ := b.matched(theirs(0), theirs(1))
	b.pass(time.Minute)
	since := b.now()
	_, _, lines := b.export(models.OpDataExport, models.ExportParams{GroupID: group, Types: typeCodes("Condition")})
	require.Len(t, lines["Condition"], 2)
	b.pass(time.Minute)
	b.loadText(deletes("Patient/our-0"), models.ImportLive)
	b.pass(time.Minute)
	job, _, lines := b.export(models.OpDataExport, models.ExportParams{GroupID: group})
	require.Len(t, lines["Patient"], 1)
	require.Len(t, lines["Condition"], 1)
	require.Contains(t, lines["Condition"][0], "our-1")
	require.EqualValues(t, 2, job.Accounting.WithheldResources, "the Condition and the Coverage")
	_, _, lines = b.export(models.OpDataExport, models.ExportParams{GroupID: group, Since: &since})
	require.Contains(t, lines["deleted"][0], `"Patient/our-0"`)
}

func TestExpiredGroup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	group, _ := b.matched(theirs(0), theirs(1))
	b.exec(`UPDATE groups SET expires_at = $2 WHERE id = $1`, group, b.now().Add(time.Hour))
	_, got := b.exported(group)
	require.Len(t, got, 2)
	b.pass(time.Hour)
	job, got := b.exported(group)
	require.Empty(t, got)
	require.EqualValues(t, 2, job.Accounting.Withheld)
	// Nor does anything leave of a Group of which nobody knows what its members agreed to.
	b.exec(`UPDATE groups SET expires_at = NULL, profile = 'other'`)
	id := b.job(models.OpDataExport, models.ExportParams{GroupID: group})
	must[ExportPlan](t, b.PrepareExport, id)
	_, err := run(t, b.ExportChunk, ChunkInput{id, 0})
	requireFinal(t, err, models.KindForbidden)
}

// TestNothingSaidWidens adds one thing after the other that members, requesters and administrators may say, as drawn. What leaves
// never grows, and nobody is missing of whom nothing was said.
func TestNothingSaidWidens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(4)
	for seed := range uint64(10) {
		draw := rand.New(rand.NewPCG(seed, 5))
		b.exec(`TRUNCATE consents, consent_overrides`)
		b.pass(time.Minute)
		group, _ := b.matched(theirs(0), theirs(1), theirs(2), theirs(3))
		_, left := b.exported(group)
		require.Len(t, left, 4)
		said := map[string]bool{}
		for range 3 {
			n := draw.IntN(4)
			patient := fmt.Sprintf("our-%d", n)
			said[patient] = true
			b.say(draw, patient, n)
			b.pass(time.Minute)
			_, now := b.exported(group)
			require.Subset(t, left, now, seed)
			for i := range 4 {
				id := fmt.Sprintf("our-%d", i)
				require.True(t, said[id] || slices.Contains(now, id), seed)
			}
			left = now
		}
	}
}

// say says something about a member.
func (b *bundle) say(draw *rand.Rand, patient string, n int) {
	b.t.Helper()
	switch draw.IntN(4) {
	case 0:
		to := []string{"", requesterID, "x|y"}[draw.IntN(3)]
		b.override(patient, to, b.now().Add(time.Duration(draw.IntN(4)-2)*time.Minute), nil)
	case 1:
		list := b.consents(patient)
		_, err := b.Store.RevokeConsent(b.t.Context(), list[draw.IntN(len(list))].ID.String(), "test", "x", b.now())
		require.NoError(b.t, err)
	case 2:
		newer := theirs(n)
		newer.consent = agreed([]string{fhir.PolicyRegular, fhir.PolicySensitive}[draw.IntN(2)],
			fmt.Sprintf("2026-%02d-01", 1+draw.IntN(12)), fmt.Sprintf("2026-%02d-28", 1+draw.IntN(12)))
		b.matched(newer)
	case 3:
		no := theirs(n)
		no.consent = strings.Replace(agreement(), `"active"`, `"rejected"`, 1)
		b.matched(no)
	}
}
