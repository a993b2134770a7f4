package activities

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

const listExport = "hl7.fhir.us.davinci-atr"

// list makes a list of the clinic's with members by number, attributed to its doctor.
func (b *bundle) list(members ...int) string {
	b.t.Helper()
	_, err := b.Store.UpsertClient(b.t.Context(), models.Client{
		ID: "client", Name: "client", Kind: models.ClientProvider, Organization: "Clinic", OrganizationIDs: []string{models.NPISystem + "|" + clinicNPI},
		Scopes: []string{"system/*.rs"}, JWKSURL: "https://clinic.example/keys", Active: true,
	})
	require.NoError(b.t, err)
	list := []models.Attribution{}
	for _, n := range members {
		list = append(list, b.attribution(n))
	}
	id := models.NewID()
	_, created, err := b.Store.PutAttributionList(b.t.Context(), models.AttributionList{
		ID: id, ClientID: "client", Name: "Main Street", Status: models.AttributionOpen, Purposes: []string{"TREAT"}, Start: b.now().AddDate(-1, 0, 0),
	}, b.Holder.IDs, &list, nil)
	require.NoError(b.t, err)
	require.True(b.t, created)
	return id
}

func (b *bundle) attribution(n int) models.Attribution {
	return models.Attribution{
		Member: models.MemberID(fmt.Sprintf("our-%d", n)), NPI: doctorNPI, Provider: "Practitioner/doc", Coverage: fmt.Sprintf("cov-%d", n), Start: b.now().AddDate(0, -1, 0),
	}
}

// listed is what an export of a list asks for.
func listed(id string, types ...string) models.ExportParams {
	return models.ExportParams{GroupID: id, ExportType: listExport, Types: typeCodes(types...), Listed: true, WithList: true}
}

// told are the ids of the Patients, and of those that the Group of an export names.
func told(t *testing.T, lines map[string][]string) (patients, named []string) {
	t.Helper()
	for _, line := range lines["Patient"] {
		patients = append(patients, resourceID([]byte(line)))
	}
	require.Len(t, lines["Group"], 1)
	g, err := fhir.ParseGroup([]byte(lines["Group"][0]))
	require.NoError(t, err)
	for _, m := range g.Member {
		if !*m.Inactive {
			named = append(named, strings.TrimPrefix(m.Entity.Reference, "Patient/"))
		}
	}
	require.Equal(t, len(g.Member), *g.Quantity)
	slices.Sort(named)
	return patients, named
}

func TestListExport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(4)
	b.loadText(`{"resourceType":"Practitioner","id":"doc","identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"`+doctorNPI+`"}]}`+"\n"+
		`{"resourceType":"Practitioner","id":"another"}`+"\n"+
		`{"resourceType":"Group","id":"theirs","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/our-0"}}]}`+"\n", models.ImportLive)
	b.practice(models.TreatmentByBoth, true)
	id := b.list(0, 1, 2)
	b.pass(time.Minute)
	before, files, lines := b.export(models.OpDataExport, listed(id, "Patient", "Coverage", "Practitioner"))
	patients, named := told(t, lines)
	require.Equal(t, []string{"our-0", "our-1", "our-2"}, patients)
	require.Equal(t, patients, named)
	require.Len(t, lines["Coverage"], 3)
	require.Len(t, lines["Practitioner"], 1, "whom the members are attributed to comes along")
	require.Len(t, lines, 4, "what was imported as a Group is not the list")
	g, err := fhir.ParseGroup([]byte(lines["Group"][0]))
	require.NoError(t, err)
	require.Equal(t, id, g.ID)
	require.Equal(t, models.AttributionGroupProfile, g.Meta.Profile[0])
	require.Equal(t, "Coverage/cov-0", fhir.FindExtension(g.Member[slices.IndexFunc(g.Member, func(m fhir.GroupMember) bool { return m.Entity.Reference == "Patient/our-0" })].Extension,
		"http://hl7.org/fhir/us/davinci-atr/StructureDefinition/ext-coverageReference").ValueReference.Reference)
	require.Equal(t, models.Accounting{Members: 3, Exported: 3, Planned: 8, Written: 8}, before.Accounting)

	// OP-15, RC-02: who opts out is in none of it, whatever happens first.
	out := b.optOut("our-0", models.OptOutGlobal, "")
	for _, f := range files {
		gone, err := b.Store.Withdrawn(t.Context(), before, id, &f, b.now())
		require.NoError(t, err)
		require.Equal(t, f.Type != "Practitioner", gone, "%s", f.Type)
	}
	after, _, lines := b.export(models.OpDataExport, listed(id, "Patient", "Coverage"))
	patients, named = told(t, lines)
	require.Equal(t, []string{"our-1", "our-2"}, patients)
	require.Equal(t, patients, named)
	require.EqualValues(t, 1, after.Accounting.Withheld)
	require.False(t, b.withdrawn(after))
	_, err = b.Store.RevokeOptOut(t.Context(), out, b.now(), "test", models.RevokedByMember)
	require.NoError(t, err)

	// An opt-out of less than all is looked into by who serves the files.
	b.optOut("our-1", models.OptOutProvider, clinicNPI)
	late, err := b.Store.LateOptOuts(t.Context(), after, id, nil, b.now())
	require.NoError(t, err)
	require.Len(t, late, 1)

	// Data of somebody who was taken off the list are not handed out any more.
	n, err := b.Store.RemoveAttributions(t.Context(), id, store.Attributed{Member: models.MemberID("our-2")})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.True(t, b.withdrawn(after))
	last, got := b.exportedList(id)
	require.Equal(t, []string{"our-0"}, got)
	require.False(t, b.withdrawn(last))
	short := b.attribution(0)
	short.End = new(b.now().Add(time.Hour))
	_, err = b.Store.AddAttributions(t.Context(), id, []models.Attribution{short})
	require.NoError(t, err)
	require.False(t, b.withdrawn(last))
	b.pass(2 * time.Hour)
	require.True(t, b.withdrawn(last), "an attribution that ends takes its data along")
	_, got = b.exportedList(id)
	require.Empty(t, got)
}

// exportedList exports the Patients of a list, without its Group.
func (b *bundle) exportedList(id string) (*models.Job, []string) {
	b.t.Helper()
	b.pass(time.Second)
	params := listed(id, "Patient")
	params.WithList = false
	job, _, lines := b.export(models.OpDataExport, params)
	var patients []string
	for _, line := range lines["Patient"] {
		patients = append(patients, resourceID([]byte(line)))
	}
	return job, patients
}

// A list goes on changing while it is exported.
func TestListChangesDuringItsExport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(4)
	b.practice(models.TreatmentByBoth, true)
	id := b.list(0, 1)
	job := b.job(models.OpDataExport, listed(id, "Patient"))
	plan := must[ExportPlan](t, b.PrepareExport, job)
	_, err := b.Store.RemoveAttributions(t.Context(), id, store.Attributed{Member: models.MemberID("our-0")})
	require.NoError(t, err)
	_, err = b.Store.AddAttributions(t.Context(), id, []models.Attribution{b.attribution(2)})
	require.NoError(t, err)
	require.Equal(t, plan, must[ExportPlan](t, b.PrepareExport, job), "another attempt plans the same")
	b.write(job, plan)
	done, _, lines := b.publishExport(job)
	patients, named := told(t, lines)
	require.Equal(t, []string{"our-1"}, patients, "who is off it leaves nothing, who has come waits for the next")
	require.Equal(t, []string{"our-1", "our-2"}, named, "the Group is as it is")
	require.EqualValues(t, 1, done.Accounting.Withheld)
}

func TestListExportParameters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	b.practice(models.TreatmentByBoth, true)
	id := b.list(0, 1)
	for name, tc := range map[string]struct {
		change func(*models.ExportParams)
		want   string // of the Group; "" for none
	}{
		"some elements":     {func(p *models.ExportParams) { p.Elements = []string{"Group.name"} }, `name`},
		"with the members":  {func(p *models.ExportParams) { p.Elements = []string{"Group.name,Group.member"} }, `name member`},
		"with how many":     {func(p *models.ExportParams) { p.Elements = []string{"Group.quantity"} }, `quantity`},
		"of other types":    {func(p *models.ExportParams) { p.Elements = []string{"Patient.name"} }, `name member quantity`},
		"that fits":         {func(p *models.ExportParams) { p.TypeFilter = []string{"Group?code=pdexprovidergroup"} }, `name member quantity`},
		"that does not":     {func(p *models.ExportParams) { p.TypeFilter = []string{"Group?code=match"} }, ``},
		"changed since":     {func(p *models.ExportParams) { p.Since = new(time.Now().Add(-time.Hour)) }, `name member quantity`},
		"not changed since": {func(p *models.ExportParams) { p.Since = new(time.Now().Add(time.Hour)) }, ``},
	} {
		params := listed(id, "Patient")
		tc.change(&params)
		_, _, lines := b.export(models.OpDataExport, params)
		if tc.want == "" {
			require.Empty(t, lines["Group"], name)
			continue
		}
		require.Len(t, lines["Group"], 1, name)
		require.Contains(t, lines["Group"][0], `"id":"`+id+`"`)
		var there []string
		for _, element := range []string{"name", "member", "quantity"} {
			if strings.Contains(lines["Group"][0], `,"`+element+`":`) {
				there = append(there, element)
			}
		}
		require.Equal(t, tc.want, strings.Join(there, " "), name)
	}

	params := listed(id, "Patient")
	params.Patients = []string{"our-1", "our-2"}
	_, _, lines := b.export(models.OpDataExport, params)
	patients, named := told(t, lines)
	require.Equal(t, []string{"our-1"}, patients)
	require.Equal(t, patients, named)

	empty := b.list()
	job, _, lines := b.export(models.OpDataExport, listed(empty, "Patient"))
	require.Len(t, lines, 1)
	require.Len(t, lines["Group"], 1)
	require.NotContains(t, lines["Group"][0], `"member"`)
	require.Equal(t, models.Accounting{Planned: 1, Written: 1}, job.Accounting)
}

// OP-16: when opt-outs cannot be looked up, nobody is matched, nothing is exported and no file is good.
func TestNothingLeavesWithoutOptOuts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	b.practice(models.TreatmentByAttestation, true)
	r := b.askProvider(treated(0))
	require.Len(t, r.groups["match"].Member, 1)
	list := b.list(0)
	before, got := b.exportedList(list)
	require.Equal(t, []string{"our-0"}, got)

	matching, _ := b.submitProvider(treated(1))
	slice := SliceInput{matching, 0}
	exports := map[string]ExportPlan{}
	for _, params := range []models.ExportParams{{GroupID: r.groupID}, listed(list, "Patient")} {
		id := b.job(models.OpDataExport, params)
		exports[id] = must[ExportPlan](t, b.PrepareExport, id)
	}
	b.exec(`ALTER TABLE opt_outs RENAME TO opt_outs_away`)
	_, err := run(t, b.MatchSlice, slice)
	require.Error(t, err)
	require.Zero(t, b.count(`match_outcomes WHERE job_id = $1`, matching), "nobody has an outcome")
	for id, plan := range exports {
		require.Positive(t, plan.Chunks)
		for i := range plan.Chunks {
			_, err := run(t, b.ExportChunk, ChunkInput{id, i})
			require.Error(t, err)
		}
		require.Zero(t, b.count(`export_parts WHERE job_id = $1`, id), "nothing is published")
		_, err := run(t, b.PublishExport, id)
		require.Error(t, err)
	}
	_, err = b.Store.Withdrawn(t.Context(), before, list, nil, b.now())
	require.Error(t, err, "whoever serves the files cannot know")
	_, err = b.Store.Claim(t.Context(), list, nil)
	require.Error(t, err)

	b.exec(`ALTER TABLE opt_outs_away RENAME TO opt_outs`)
	require.EqualValues(t, 1, must[int64](t, b.MatchSlice, slice))
	for id, plan := range exports {
		b.write(id, plan)
		_, _, lines := b.publishExport(id)
		require.Len(t, lines["Patient"], 1)
	}
}

// What was deleted of members who came onto a list after its export began, is not told: it has nothing else of them.
func TestListExportTellsOfItsOwnDeletes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	b.practice(models.TreatmentByBoth, true)
	id := b.list(0)
	since := b.now()
	b.pass(time.Minute)
	b.loadText(deletes("Coverage/cov-0", "Coverage/cov-1"), models.ImportLive)
	b.pass(time.Minute)
	params := listed(id, "Patient", "Coverage")
	params.Since = &since
	job := b.job(models.OpDataExport, params)
	plan := must[ExportPlan](t, b.PrepareExport, job)
	_, err := b.Store.AddAttributions(t.Context(), id, []models.Attribution{b.attribution(1)})
	require.NoError(t, err)
	b.write(job, plan)
	_, _, lines := b.publishExport(job)
	require.Len(t, lines["deleted"], 1)
	require.Contains(t, lines["deleted"][0], "Coverage/cov-0")
	require.NotContains(t, lines["deleted"][0], "Coverage/cov-1")
}

// A list that turns out wrong is made a draft again, whatever is under way.
func TestDraftStopsItsExport(t *testing.T) {
	t.Parallel()
	for _, unclinical := range []bool{false, true} {
		b := setup(t)
		b.members(2)
		b.practice(models.TreatmentByBoth, true)
		id := b.list(0, 1)
		params := listed(id, "Patient")
		params.Unclinical = unclinical
		job := b.job(models.OpDataExport, params)
		plan := must[ExportPlan](t, b.PrepareExport, job)
		_, _, err := b.Store.PutAttributionList(t.Context(), models.AttributionList{
			ID: id, ClientID: "client", Name: "Main Street", Status: models.AttributionDraft, Purposes: []string{"TREAT"}, Start: b.now().AddDate(-1, 0, 0),
		}, b.Holder.IDs, nil, nil)
		require.NoError(t, err)
		b.write(job, plan)
		done, _, lines := b.publishExport(job)
		if unclinical {
			require.Len(t, lines["Patient"], 2, "who is on a draft may be looked at")
			continue
		}
		require.Empty(t, lines["Patient"])
		require.EqualValues(t, 2, done.Accounting.Withheld)
	}
}

// An export of a list that begins anew, because what it had was purged, is of whom the list has by then.
func TestListExportThatBeginsAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	b.practice(models.TreatmentByAttestation, true)
	list := b.list(0, 1)
	b.pass(time.Minute)
	id := b.job(models.OpDataExport, listed(list, "Patient", "Coverage"))
	must[ExportPlan](t, b.PrepareExport, id)
	require.NoError(t, b.Store.FailJob(t.Context(), id, models.StateFailed, "x", b.now()))
	purged, err := b.Store.PurgeJob(t.Context(), id, b.now())
	require.NoError(t, err)
	require.True(t, purged)
	_, err = b.Store.RemoveAttributions(t.Context(), list, store.Attributed{Member: models.MemberID("our-0")})
	require.NoError(t, err)
	_, err = b.Store.AddAttributions(t.Context(), list, []models.Attribution{b.attribution(2)})
	require.NoError(t, err)
	_, err = b.Store.RetryJob(t.Context(), id)
	require.NoError(t, err)
	b.write(id, must[ExportPlan](t, b.PrepareExport, id))
	job, _, lines := b.publishExport(id)
	patients, named := told(t, lines)
	require.Equal(t, []string{"our-1", "our-2"}, patients)
	require.Equal(t, patients, named)
	require.EqualValues(t, 2, job.Accounting.Members)
}
