package activities

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

// derive runs the claims rule to its end, each step twice.
func (b *bundle) derive() *models.RelationshipRun {
	b.t.Helper()
	if b.ClaimsMonths == 0 {
		b.ClaimsMonths = 18
	}
	id := models.NewID()
	for range 2 {
		ok(b.t, b.StartRelationships, id)
		ok(b.t, b.IndexProviders, id)
	}
	for part := range models.RelationshipParts {
		for range 2 {
			ok(b.t, b.DeriveRelationships, PartInput{id, part})
		}
	}
	for range 2 {
		ok(b.t, b.FinishRelationships, FinishRelationshipsInput{RunID: id, State: models.StateCompleted})
	}
	run, err := b.Store.RelationshipRun(b.t.Context(), id)
	require.NoError(b.t, err)
	require.Equal(b.t, models.StateCompleted, run.State)
	require.Zero(b.t, b.count("relationship_npis"))
	return run
}

// related lists the relationships of our members, each as "patient npi source start end".
func (b *bundle) related() []string {
	b.t.Helper()
	rows, err := b.Store.Pool.Query(b.t.Context(), `SELECT m.patient_id || ' ' || r.npi || ' ' || r.source || ' ' || to_char(r.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' '
		|| CASE WHEN r.ends_at = 'infinity' THEN '-' ELSE to_char(r.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') END
		FROM treatment_relationships r JOIN members m ON m.id = r.member_id ORDER BY 1`)
	require.NoError(b.t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		require.NoError(b.t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(b.t, rows.Err())
	return out
}

const (
	npiA = "1234567893"
	npiB = "1982947230"
	npiC = "1679576722"
	npiD = "1003000126"
)

func byNPI(npi string) string {
	return `{"identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":"` + npi + `"}}`
}

func byRef(ref string) string { return `{"reference":"` + ref + `"}` }

// bill is an ExplanationOfBenefit of services on the days from first to last.
func bill(id, patient, first, last, more string) string {
	return `{"resourceType":"ExplanationOfBenefit","id":"` + id + `","status":"active","use":"claim","patient":{"reference":"Patient/` + patient + `"},"billablePeriod":{"start":"` +
		first + `","end":"` + last + `"}` + more + "}\n"
}

func by(who string) string { return `,"provider":` + who }

func team(role, who string) string {
	return `,"careTeam":[{"sequence":1,"provider":` + who + `,"role":{"coding":[{"system":"http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimCareTeamRole","code":"` + role + `"}]}}]`
}

func visit(status, role, who string) string {
	return `{"resourceType":"Encounter","id":"visit","status":"` + status + `","class":{"code":"AMB"},"subject":{"reference":"Patient/our-0"},"period":{"start":"2026-03-01","end":"2026-03-01"},"participant":[{"type":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"` + role + `"}]}],"individual":` + who + "}]}\n"
}

const staff = `{"resourceType":"Practitioner","id":"doc","identifier":[{"system":"urn:oid:2.16.840.1.113883.4.6","value":"` + npiA + `"}]}
{"resourceType":"Practitioner","id":"nobody","identifier":[{"system":"urn:x","value":"` + npiA + `"}]}
{"resourceType":"PractitionerRole","id":"role","practitioner":{"reference":"Practitioner/doc"},"organization":{"reference":"Organization/clinic"}}
{"resourceType":"Organization","id":"clinic","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"` + npiB + `"}]}
`

// The clock stands at 2026-11-23, so that the window begins on 2025-05-23.
func TestDerivedRelationships(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		services string
		want     []string
	}{
		"a provider by NPI":           {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byNPI(npiC))), []string{"our-0 " + npiC + " claims 2026-01-05 2027-07-08"}},
		"one held":                    {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byRef("Organization/clinic"))), []string{"our-0 " + npiB + " claims 2026-01-05 2027-07-08"}},
		"a role":                      {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byRef("PractitionerRole/role"))), []string{"our-0 " + npiA + " claims 2026-01-05 2027-07-08"}},
		"one without an NPI":          {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byRef("Practitioner/nobody"))), nil},
		"one who is not held":         {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byRef("Practitioner/gone"))), nil},
		"a wrong NPI":                 {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byNPI("1234567890"))), nil},
		"the care team":               {bill("e", "our-0", "2026-01-05", "2026-01-07", team("rendering", byRef("Practitioner/doc"))), []string{"our-0 " + npiA + " claims 2026-01-05 2027-07-08"}},
		"one who refers":              {bill("e", "our-0", "2026-01-05", "2026-01-07", team("referring", byRef("Practitioner/doc"))), nil},
		"one who prescribes":          {bill("e", "our-0", "2026-01-05", "2026-01-07", team("prescribing", byRef("Practitioner/doc"))), nil},
		"the payer's own lines":       {bill("e", "our-0", "2026-01-05", "2026-01-07", `,"addItem":[{"provider":[`+byNPI(npiC)+`]}]`), []string{"our-0 " + npiC + " claims 2026-01-05 2027-07-08"}},
		"contained":                   {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byRef("#r"))+`,"contained":[{"resourceType":"PractitionerRole","id":"r","practitioner":{"reference":"#p"}},{"resourceType":"Practitioner","id":"p","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"`+npiC+`"}]}]`), []string{"our-0 " + npiC + " claims 2026-01-05 2027-07-08"}},
		"contained in a ring":         {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byRef("#r"))+`,"contained":[{"resourceType":"PractitionerRole","id":"r","practitioner":{"reference":"#r"}}]`), nil},
		"several services":            {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byNPI(npiC))) + bill("f", "our-0", "2025-08-01", "2025-08-01", by(byNPI(npiC))) + visit("finished", "ATND", byNPI(npiC)), []string{"our-0 " + npiC + " claims 2025-08-01 2027-09-02"}},
		"two members":                 {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byNPI(npiC))) + bill("f", "our-1", "2026-02-01", "2026-02-01", by(byNPI(npiC))), []string{"our-0 " + npiC + " claims 2026-01-05 2027-07-08", "our-1 " + npiC + " claims 2026-02-01 2027-08-02"}},
		"the first day of the window": {bill("e", "our-0", "2025-05-20", "2025-05-23", by(byNPI(npiC))), []string{"our-0 " + npiC + " claims 2025-05-23 2026-11-24"}},
		"the day before":              {bill("e", "our-0", "2025-05-20", "2025-05-22", by(byNPI(npiC))), nil},
		"a service to come":           {bill("e", "our-0", "2026-11-24", "2026-11-24", by(byNPI(npiC))), nil},
		"one under way":               {bill("e", "our-0", "2026-11-22", "2026-12-24", by(byNPI(npiC))), []string{"our-0 " + npiC + " claims 2026-11-22 2028-05-24"}},
		"a cancelled claim":           {strings.Replace(bill("e", "our-0", "2026-01-05", "2026-01-07", by(byNPI(npiC))), `"active"`, `"cancelled"`, 1), nil},
		"a prior authorisation":       {strings.Replace(bill("e", "our-0", "2026-01-05", "2026-01-07", by(byNPI(npiC))), `"claim"`, `"preauthorization"`, 1), nil},
		"a visit":                     {visit("finished", "PPRF", byRef("Practitioner/doc")), []string{"our-0 " + npiA + " claims 2026-03-01 2027-09-02"}},
		"a visit that was planned":    {visit("planned", "PPRF", byRef("Practitioner/doc")), nil},
		"one who came along":          {visit("finished", "ESC", byRef("Practitioner/doc")), nil},
		"somebody who is not held":    {bill("e", "nobody", "2026-01-05", "2026-01-07", by(byNPI(npiC))), nil},
		"a sensitive one, once":       {bill("e", "our-0", "2026-01-05", "2026-01-07", by(byNPI(npiC))+`,"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]},"payment":{"amount":{"value":1}}`), []string{"our-0 " + npiC + " claims 2026-01-05 2027-07-08"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.members(2)
			b.loadText(staff+c.services, models.ImportLive)
			run := b.derive()
			require.Equal(t, c.want, b.related())
			require.EqualValues(t, len(c.want), run.Added)
			require.Zero(t, run.Changed+run.Ended)
			if strings.HasSuffix(name, "once") {
				require.EqualValues(t, 1, run.Services)
			}
			again := b.derive()
			require.Zero(t, again.Added+again.Changed+again.Ended)
			require.Equal(t, c.want, b.related())
		})
	}
}

// What the rule derived follows what is held; what others entered stays as it is.
func TestDerivedRelationshipsAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	put := func(patient, npi string, source models.RelationshipSource) {
		_, err := b.Store.PutRelationship(t.Context(), models.Relationship{
			ID: models.NewID(), Member: models.MemberID(patient), NPI: npi, Type: models.RelationshipActive, Start: noon.AddDate(-1, 0, 0), Source: source, CreatedBy: "test",
		})
		require.NoError(t, err)
	}
	put("our-0", npiC, models.RelationshipByAdmin)
	put("our-1", npiC, models.RelationshipByImport)
	others := []string{"our-0 " + npiC + " admin 2025-11-23 -", "our-1 " + npiC + " import 2025-11-23 -"}
	b.loadText(staff+bill("e", "our-0", "2026-01-05", "2026-01-05", by(byNPI(npiC)))+bill("f", "our-0", "2026-02-01", "2026-02-01", by(byNPI(npiD)))+
		bill("g", "our-2", "2025-06-01", "2025-06-01", by(byNPI(npiD))), models.ImportLive)
	require.EqualValues(t, 3, b.derive().Added)
	require.ElementsMatch(t, append(others, "our-0 "+npiC+" claims 2026-01-05 2027-07-06", "our-0 "+npiD+" claims 2026-02-01 2027-08-02",
		"our-2 "+npiD+" claims 2025-06-01 2026-12-02"), b.related())

	// A later service moves the end, a claim taken back ends what it showed, and what leaves the window ends by itself.
	b.pass(30 * 24 * time.Hour)
	b.loadText(bill("h", "our-0", "2026-12-20", "2026-12-20", by(byNPI(npiC)))+deletes("ExplanationOfBenefit/f"), models.ImportLive)
	run := b.derive()
	require.Equal(t, []int64{0, 1, 1}, []int64{run.Added, run.Changed, run.Ended})
	want := []string{
		"our-0 " + npiD + " claims 2026-02-01 2026-12-23", others[0], "our-0 " + npiC + " claims 2026-01-05 2028-06-21", others[1],
		"our-2 " + npiD + " claims 2025-06-01 2026-12-02",
	}
	require.ElementsMatch(t, want, b.related())
	run = b.derive()
	require.Zero(t, run.Added+run.Changed+run.Ended)

	// A member whose Patient goes has no relationships by claims any more.
	b.loadText(deletes("Patient/our-0"), models.ImportLive)
	require.EqualValues(t, 1, b.derive().Ended)
	require.Contains(t, b.related(), "our-0 "+npiC+" claims 2026-01-05 2026-12-23")
}

// A run that begins takes the place of one that is under way, of which nothing more is taken in.
func TestTheLaterRunCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ClaimsMonths = 18
	b.members(1)
	b.loadText(staff+bill("e", "our-0", "2026-01-05", "2026-01-05", by(byNPI(npiC))), models.ImportLive)
	early, late := models.NewID(), models.NewID()
	ok(t, b.StartRelationships, early)
	ok(t, b.IndexProviders, early)
	ok(t, b.StartRelationships, late)
	refused := func(fn any, in any) {
		_, err := run(t, fn, in)
		app, ok := errors.AsType[*temporal.ApplicationError](err)
		require.True(t, ok)
		require.Equal(t, string(models.KindConflict), app.Type())
		require.True(t, app.NonRetryable())
	}
	for part := range models.RelationshipParts {
		refused(b.DeriveRelationships, PartInput{early, part})
	}
	refused(b.IndexProviders, early)
	refused(b.StartRelationships, early)
	require.Empty(t, b.related())
	runs, err := b.Store.RelationshipRuns(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, runs, 2)
	states := map[string]models.State{runs[0].ID: runs[0].State, runs[1].ID: runs[1].State}
	require.Equal(t, map[string]models.State{early: models.StateFailed, late: models.StateRunning}, states)
}

// Many members are derived chunk after chunk, and a part that was broken off goes on where it was.
func TestDerivingInChunks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ClaimsMonths = 18
	const n = 9000 // over one chunk a part
	b.exec(`INSERT INTO members (id, patient_id, present, updated_at)
		SELECT (substr(h, 1, 12) || '8' || substr(h, 14, 3) || 'b' || substr(h, 18))::uuid, 'x-' || i, true, now()
		FROM generate_series(1, $1) i, LATERAL (SELECT md5(i::text) AS h) k`, n)
	b.members(40)
	var text strings.Builder
	for i := range 40 {
		text.WriteString(bill(fmt.Sprint("e", i), fmt.Sprint("our-", i), "2026-01-05", "2026-01-05", by(byNPI(npiC))))
	}
	b.loadText(text.String(), models.ImportLive)
	id := models.NewID()
	ok(t, b.StartRelationships, id)
	ok(t, b.IndexProviders, id)
	// The first chunk of a part is done already, by an attempt that was lost then.
	last, count, err := b.Store.MembersBetween(t.Context(), models.FirstMember, models.FirstShared, claimsMembers)
	require.NoError(t, err)
	require.Equal(t, claimsMembers, count)
	require.NoError(t, b.Store.MergeClaims(t.Context(), store.ClaimsChunk{RunID: id, Lo: models.FirstMember, Hi: last, Members: count}, b.now()))
	require.NoError(t, b.Store.MergeClaims(t.Context(), store.ClaimsChunk{RunID: id, Lo: models.FirstMember, Hi: last, Members: count}, b.now()), "it is taken in already")
	for part := range models.RelationshipParts {
		ok(t, b.DeriveRelationships, PartInput{id, part})
	}
	run, err := b.Store.RelationshipRun(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, n+40, run.Members)
	early := b.count("members WHERE id <= $1 AND patient_id LIKE 'our-%'", last)
	require.EqualValues(t, 40-early, run.Added)
}
