package activities

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/consent"
)

// clinic loads two members whose encounters name shared resources, and shared resources nobody names.
func (b *bundle) clinic() {
	b.t.Helper()
	encounter := func(id, patient, class, meta, practitioner string) string {
		return fmt.Sprintf(`{"resourceType":"Encounter","id":"%s"%s,"status":"finished","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"%s"},"subject":{"reference":"Patient/%s"},"participant":[{"individual":{"reference":"Practitioner/%s"}}],"length":{"value":1.50}}`+"\n", id, meta, class, patient, practitioner)
	}
	var text strings.Builder
	text.WriteString(patient("p1", "") + patient("p2", ""))
	text.WriteString(encounter("e1", "p1", "AMB", "", "d1"))
	text.WriteString(encounter("e2", "p1", "EMER", "", "d2"))
	text.WriteString(encounter("e3", "p2", "AMB", "", "d3"))
	text.WriteString(encounter("e4", "p2", "AMB", `,"meta":{"security":[{"code":"R"}]}`, "d4"))
	for _, d := range []string{"d1", "d2", "d3", "d4", "d5"} {
		text.WriteString(fmt.Sprintf(`{"resourceType":"Practitioner","id":"%s"}`, d) + "\n")
	}
	text.WriteString(`{"resourceType":"PractitionerRole","id":"r1","practitioner":{"reference":"Practitioner/d5"}}` + "\n")
	b.loadText(text.String(), models.ImportLive)
	b.pass(time.Minute)
}

func TestFiltersAndElements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clinic()
	types := []int16{code("Encounter"), code("Patient")}

	job, _, got := b.export(models.OpPatientExport, models.ExportParams{Types: types, TypeFilter: []string{"Encounter?class=AMB"}})
	require.Equal(t, []string{"e1", "e3", "e4"}, idsOf(got["Encounter"]))
	require.Equal(t, []string{"p1", "p2"}, idsOf(got["Patient"]), "a type without a filter is not filtered")
	require.EqualValues(t, 1, job.Accounting.Filtered)

	_, _, got = b.export(models.OpPatientExport, models.ExportParams{Types: types, TypeFilter: []string{"Encounter?class=EMER", "Encounter?_id=e3"}})
	require.Equal(t, []string{"e2", "e3"}, idsOf(got["Encounter"]), "several filters of one type are alternatives")

	since := b.now().Add(-time.Second)
	_, _, got = b.export(models.OpPatientExport, models.ExportParams{Types: types, TypeFilter: []string{"Encounter?class=AMB"}, Since: &since})
	require.Empty(t, got, "filter and window both hold")

	_, _, got = b.export(models.OpPatientExport, models.ExportParams{Types: types, Elements: []string{"Encounter.length"}})
	var e map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(got["Encounter"][0]), &e))
	require.Contains(t, string(e["meta"]), "SUBSETTED")
	require.JSONEq(t, `{"value":1.50}`, string(e["length"]))
	require.Contains(t, string(e["length"]), "1.50", "what is kept is not written anew")
	require.NotContains(t, e, "participant")
	require.Contains(t, e, "status", "mandatory elements stay")
	require.NotContains(t, got["Patient"][0], "SUBSETTED")
}

func TestPatientsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clinic()
	group := b.group(
		seat{"p1", consent.PolicySensitive, noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)},
		seat{"p2", consent.PolicyRegular, noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)},
	)
	for _, tc := range []struct {
		op       models.Operation
		group    string
		patients []string
		want     []string
		members  int64
	}{
		{models.OpPatientExport, "", []string{"p2"}, []string{"p2"}, 1},
		{models.OpDataExport, group, []string{"p1"}, []string{"p1"}, 1},
		{models.OpDataExport, group, []string{"p1", "stranger"}, []string{"p1"}, 1},
		{models.OpDataExport, group, []string{"stranger"}, nil, 0},
		{models.OpDataExport, group, nil, []string{"p1", "p2"}, 2},
	} {
		job, _, got := b.export(tc.op, models.ExportParams{GroupID: tc.group, Patients: tc.patients})
		require.Equal(t, tc.want, idsOf(got["Patient"]), tc.patients)
		require.Equal(t, tc.members, job.Accounting.Members, tc.patients)
	}
}

// The shared resources that exported ones refer to come along once each; what only withheld ones refer to does not.
func TestSupportingResources(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clinic()
	group := b.group(
		seat{"p1", consent.PolicySensitive, noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)},
		seat{"p2", consent.PolicyRegular, noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)},
	)
	practitioners := func(op models.Operation, p models.ExportParams) []string {
		_, _, got := b.export(op, p)
		return idsOf(got["Practitioner"])
	}
	require.Equal(t, []string{"d1", "d2", "d3"}, practitioners(models.OpDataExport, models.ExportParams{GroupID: group}))
	require.Equal(t, []string{"d3"}, practitioners(models.OpDataExport, models.ExportParams{GroupID: group, Patients: []string{"p2"}}))
	require.Equal(t, []string{"d1", "d2", "d3", "d4"}, practitioners(models.OpPatientExport, models.ExportParams{}))
	require.Equal(t, []string{"d1", "d2", "d3", "d4", "d5"}, practitioners(models.OpSystemExport, models.ExportParams{}))
	require.Empty(t, practitioners(models.OpPatientExport, models.ExportParams{Types: []int16{code("Encounter")}}), "a type that was not asked for")
	require.Equal(t, []string{"d1", "d2", "d3", "d4"},
		practitioners(models.OpPatientExport, models.ExportParams{Types: []int16{code("Encounter"), code("Practitioner")}}))

	// What a shared resource refers to follows too.
	b.loadText(`{"resourceType":"Encounter","id":"e9","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p1"},"participant":[{"individual":{"reference":"PractitionerRole/r1"}}]}`+"\n", models.ImportLive)
	b.pass(time.Minute)
	require.Equal(t, []string{"d1", "d2", "d3", "d4", "d5"}, practitioners(models.OpPatientExport, models.ExportParams{}))
}

// Parquet files hold the rows of the NDJSON files they are made of, and nothing else stays.
func TestParquet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(20)
	b.pass(time.Hour)
	_, _, want := b.export(models.OpSystemExport, models.ExportParams{})

	id := b.job(models.OpSystemExport, models.ExportParams{Format: models.FormatParquet})
	plan := must[ExportPlan](t, b.PrepareExport, id)
	require.True(t, plan.Convert)
	b.write(id, plan)
	count := must[int](t, b.CountFiles, id)
	_, err := run(t, b.PublishExport, id)
	require.Contains(t, requireFinal(t, err, models.KindConflict), "not converted")
	for i := range count {
		ok(t, b.ConvertFile, FileInput{id, i})
		ok(t, b.ConvertFile, FileInput{id, i}) // a second attempt changes nothing
	}
	must[Published](t, b.PublishExport, id)

	files, err := b.Store.Files(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, files, count)
	require.Len(t, b.blobs("exports/"+id), count, "only what is served stays")
	got := map[string][]string{}
	for _, f := range files {
		require.Equal(t, models.FormatParquet, f.Format)
		body, err := b.Files.Open(t.Context(), f.BlobKey)
		require.NoError(t, err)
		require.Equal(t, f.PackedLen, body.Size)
		raw, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		rows, err := parquet.Read[parquetRow](strings.NewReader(string(raw)), int64(len(raw)))
		require.NoError(t, err)
		require.Len(t, rows, int(f.Lines))
		for _, r := range rows {
			if resourceID(json.RawMessage(r.Resource)) != id { // the transmitter's Provenance
				got[f.Type] = append(got[f.Type], r.Resource)
			}
		}
	}
	for _, l := range got {
		slices.Sort(l)
	}
	require.Equal(t, want, got)
}
