package activities

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
)

// organized runs an export organized by Patient. It returns its lines by patient and its job, having checked that every line
// stands in a block of its own patient, and each patient has one block.
func (b *bundle) organized(op models.Operation, params models.ExportParams) (map[string][]string, []models.JobFile) {
	b.t.Helper()
	params.OrganizeBy = "Patient"
	id := b.job(op, params)
	b.write(id, must[ExportPlan](b.t, b.PrepareExport, id))
	must[Published](b.t, b.PublishExport, id)
	job, err := b.Store.Job(b.t.Context(), id)
	require.NoError(b.t, err)
	require.Empty(b.t, job.Accounting.Check())
	files, err := b.Store.Files(b.t.Context(), id)
	require.NoError(b.t, err)
	blocks := map[string][]string{}
	var lines, closed int64
	for _, f := range files {
		raw := b.download(f)
		require.EqualValues(b.t, f.Lines, strings.Count(raw, "\n"))
		if f.Kind != "output" {
			require.Equal(b.t, "error", f.Kind)
			continue
		}
		lines += f.Lines
		of := ""
		for line := range strings.Lines(raw) {
			r := gjson.Parse(line)
			switch {
			case r.Get("resourceType").Str == "Parameters":
				require.Equal(b.t, []any{"header"}, r.Get("parameter.#.name").Value())
				of = fhir.PatientID(r.Get("parameter.0.valueReference.reference").Str)
				require.NotEmpty(b.t, of)
				require.NotContains(b.t, blocks, of, "one block a patient")
				blocks[of] = []string{}
				continue
			case r.Get("id").Str == id:
				require.Equal(b.t, "Provenance", r.Get("resourceType").Str)
				closed++
				continue
			case r.Get("resourceType").Str == "Patient":
				require.Equal(b.t, of, r.Get("id").Str)
				require.Empty(b.t, blocks[of], "the Patient comes first")
			default:
				require.Contains(b.t, line, `{"reference":"Patient/`+of+`"}`)
			}
			blocks[of] = append(blocks[of], strings.TrimSuffix(line, "\n"))
		}
	}
	require.Equal(b.t, job.Accounting.Written, lines)
	require.Len(b.t, blocks, int(job.Accounting.Exported), "who has nothing has no block")
	if transmits(params) {
		require.EqualValues(b.t, len(blocks), closed, "each block says who transmitted it")
	} else {
		require.Zero(b.t, closed)
	}
	return blocks, files
}

func together(blocks map[string][]string) []string {
	var all []string
	for _, lines := range blocks {
		all = append(all, lines...)
	}
	slices.Sort(all)
	return all
}

// An export organized by Patient has the lines that it has otherwise, but for those of no patient.
func TestOrganizedByPatient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(60)
	b.clinic()
	seats := make([]seat, 0, 60)
	for p := range 60 {
		policy := consent.PolicySensitive
		if p%3 == 0 {
			policy = consent.PolicyRegular
		}
		end := noon.AddDate(1, 0, 0)
		if p%7 == 0 {
			end = noon.AddDate(0, 0, -1)
		}
		seats = append(seats, seat{fmt.Sprintf("p%d", p), policy, noon.AddDate(-1, 0, 0), end})
	}
	group := b.group(seats...)
	since, from := noon.AddDate(-3, 0, 0), int32(noon.AddDate(-2, 0, 0).Unix()/86400)
	for name, tc := range map[string]struct {
		op models.Operation
		p  models.ExportParams
	}{
		"all":              {models.OpPatientExport, models.ExportParams{}},
		"system":           {models.OpSystemExport, models.ExportParams{}},
		"a Group":          {models.OpDataExport, models.ExportParams{GroupID: group}},
		"since":            {models.OpPatientExport, models.ExportParams{Since: &since}},
		"service dates":    {models.OpDataExport, models.ExportParams{GroupID: group, ServiceFrom: &from}},
		"without Patients": {models.OpPatientExport, models.ExportParams{Types: []int16{code("Observation")}}},
		"a filter":         {models.OpPatientExport, models.ExportParams{Types: []int16{code("Encounter"), code("Provenance")}, TypeFilter: []string{"Encounter?class=EMER"}}},
		"elements":         {models.OpPatientExport, models.ExportParams{Elements: []string{"subject"}}},
		"some":             {models.OpDataExport, models.ExportParams{GroupID: group, Patients: []string{"p2", "p5"}}},
		"nothing":          {models.OpPatientExport, models.ExportParams{Types: []int16{code("Coverage")}}},
	} {
		_, _, plain := b.export(tc.op, tc.p)
		var want []string
		for typ, lines := range plain {
			c, ok := fhir.TypeCode(typ)
			if ok && fhir.InPatientCompartment(c) {
				want = append(want, lines...)
			}
		}
		slices.Sort(want)
		blocks, files := b.organized(tc.op, tc.p)
		require.Equal(t, want, together(blocks), name)
		if name == "nothing" {
			require.Empty(t, files)
		} else {
			require.NotEmpty(t, want, name)
		}
	}

	_, files := b.organized(models.OpPatientExport, models.ExportParams{})
	last := files[len(files)-1]
	require.Equal(t, "error", last.Kind)
	require.Contains(t, b.download(last), "left out of output that is organized by Patient")
}

// As whole gzip files the blocks are the same.
func TestOrganizedFilesAreComposed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.population(5)
	b.pass(time.Hour)
	want, _ := b.organized(models.OpPatientExport, models.ExportParams{})
	id := b.job(models.OpPatientExport, models.ExportParams{OrganizeBy: "Patient", Format: models.FormatGzip})
	b.write(id, must[ExportPlan](t, b.PrepareExport, id))
	for i := range must[int](t, b.CountFiles, id) {
		ok(t, b.ConvertFile, FileInput{id, i})
	}
	must[Published](t, b.PublishExport, id)
	files, err := b.Store.Files(t.Context(), id)
	require.NoError(t, err)
	var got []string
	for _, f := range files {
		for line := range strings.Lines(b.download(f)) {
			r := gjson.Parse(line)
			if f.Kind == "output" && r.Get("resourceType").Str != "Parameters" && r.Get("id").Str != id {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
		}
	}
	slices.Sort(got)
	require.Equal(t, together(want), got)
}

// An export that hands out nothing does not tell who transmitted it.
func TestNothingIsTransmitted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clinic()
	never := time.Unix(0, 0)
	for _, op := range []models.Operation{models.OpSystemExport, models.OpPatientExport} {
		job, files, _ := b.export(op, models.ExportParams{Until: &never})
		require.Empty(t, files, op)
		require.Zero(t, job.Accounting.Written)
		job, files, lines := b.export(op, models.ExportParams{})
		require.NotEmpty(t, files)
		told := int64(0)
		for _, f := range files {
			for line := range strings.Lines(b.download(f)) {
				if resourceID(json.RawMessage(line)) == job.ID {
					told++
				}
			}
		}
		require.EqualValues(t, 1, told, op)
		n := told
		for _, l := range lines {
			n += int64(len(l))
		}
		require.Equal(t, job.Accounting.Written, n)
	}
}
