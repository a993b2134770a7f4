package activities

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

// loadList runs a load of a file of the given content to its end.
func (b *bundle) loadList(kind models.ListKind, format, text string, dry bool) (models.ListCounts, []models.ListReject) {
	b.t.Helper()
	dir := b.folder(map[string]string{"rows." + format: text})
	l := &models.ListImport{
		ID: models.NewID(), Kind: kind, Source: filepath.Join(dir, "rows."+format), Format: format, DryRun: dry,
		State: models.StateAccepted, CreatedBy: "test", CreatedAt: b.now(),
	}
	require.NoError(b.t, b.Store.CreateListImport(b.t.Context(), l))
	counts := must[models.ListCounts](b.t, b.LoadList, l.ID)
	require.Equal(b.t, counts, must[models.ListCounts](b.t, b.LoadList, l.ID), "another attempt finds it all done")
	ok(b.t, b.FinishList, FinishListInput{ID: l.ID, State: models.StateCompleted})
	rejects, err := b.Store.ListRejects(b.t.Context(), l.ID, 0, 100)
	require.NoError(b.t, err)
	return counts, rejects
}

func TestLoadOptOuts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(3)
	const text = "\ufeffpatient,scope,target,reason,start,end\r\n" +
		"our-0,global,,privacy-concern,2026-01-01,\r\n" +
		"our-1,provider-specific,http://hl7.org/fhir/sid/us-npi|1234567893,member-choice,2026-01-01,2026-12-31\r\n" +
		"our-2,provider-specific,Dr. Who,member-choice,,\r\n" +
		"our-2,everything,,other,,\r\n" +
		"our-2,global,,because,,\r\n" +
		"our-2,global,,other,soon,\r\n" +
		"nobody,global,,other,,\r\n" +
		"our-2,global\r\n" +
		"our-2,\"glo\"bal,,other,,\r\n" +
		"our-2,purpose-specific,\"TREAT\",other,,\r\n"
	rejects := []models.ListReject{
		{Line: 4, Field: "target", Reason: "must be an NPI, or an identifier as system|value"},
		{Line: 5, Field: "scope", Reason: "must be global, provider-specific, purpose-specific, payer-specific or provider-category"},
		{Line: 6, Field: "reason", Reason: "must be a code of the value set opt-out-reason"},
		{Line: 7, Field: "start", Reason: "must be a date or an instant"},
		{Line: 8, Field: "patient", Reason: "nothing is held under it"},
		{Line: 9, Reason: "has another number of columns than the first line"},
		{Line: 10, Reason: "is not CSV"},
	}
	for _, dry := range []bool{true, false} {
		counts, got := b.loadList(models.ListOptOuts, models.ListCSV, text, dry)
		require.Equal(t, models.ListCounts{Added: 3, Rejected: 7}, counts)
		require.Equal(t, rejects, got)
		want := 3
		if dry {
			want = 0
		}
		require.Equal(t, want, b.count("opt_outs"))
	}
	counts, _ := b.loadList(models.ListOptOuts, models.ListNDJSON, `{"patient":"our-0","scope":"global","reason":"privacy-concern","start":"2026-01-01"}

{"patient":"our-1","scope":"global","reason":"other"}
["our-1"]
`, false)
	require.Equal(t, models.ListCounts{Added: 1, Unchanged: 1, Rejected: 1}, counts)
	found, err := b.Store.OptOuts(t.Context(), store.OptOutFilter{Member: new(models.MemberID("our-1")), Scope: models.OptOutProvider}, 10)
	require.NoError(t, err)
	require.Equal(t, "1234567893", found[0].Target)
	require.Equal(t, "2027-01-01T00:00:00Z", found[0].End.UTC().Format("2006-01-02T15:04:05Z07:00"), "the whole day")
}

func TestLoadRelationshipsAndDirectory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(2)
	counts, rejects := b.loadList(models.ListRelationships, models.ListCSV, "patient,npi,type,start,end\nour-0,1234567893,active,2026-01-01,\nour-1,1234567893,past,2026-01-01,\n"+
		"our-1,1234567890,active,2026-01-01,\nour-1,1982947230,prospective,2026-12-01,2026-12-31\n", false)
	require.Equal(t, models.ListCounts{Added: 2, Rejected: 2}, counts)
	require.Equal(t, []string{"end", "npi"}, []string{rejects[0].Field, rejects[1].Field})

	counts, rejects = b.loadList(models.ListProviders, models.ListCSV, strings.Join([]string{
		`"NPI","Entity Type Code","Provider Last Name (Legal Name)","NPI Deactivation Date","NPI Reactivation Date","Healthcare Provider Taxonomy Code_1","Healthcare Provider Primary Taxonomy Switch_1","Healthcare Provider Taxonomy Code_2","Healthcare Provider Primary Taxonomy Switch_2"`,
		`"1234567893","1","Who","","","207R00000X","N","2084P0800X","Y"`,
		`"1982947230","2","","","","261QM2500X","Y","",""`,
		`"1679576722","","","05/01/2020","","","","",""`,
		`"1245319599","1","Back","05/01/2020","06/01/2021","207R00000X","Y","207R00000X","N"`,
		`"1003000127","1","Wrong","","","207R00000X","Y","",""`,
	}, "\n"), false)
	require.Equal(t, models.ListCounts{Added: 4, Rejected: 1}, counts)
	require.Equal(t, "npi", rejects[0].Field)
	directory, err := b.Store.Directory(t.Context(), []string{"1234567893", "1982947230", "1679576722", "1245319599"})
	require.NoError(t, err)
	require.Equal(t, []string{"2084P0800X", "207R00000X"}, directory["1234567893"].Taxonomies, "the primary one first")
	require.Equal(t, models.ProviderOrganization, directory["1982947230"].Kind)
	require.False(t, directory["1679576722"].Active)
	require.True(t, directory["1245319599"].Active)
	require.Equal(t, []string{"207R00000X"}, directory["1245319599"].Taxonomies)

	counts, _ = b.loadList(models.ListNetwork, models.ListNDJSON, `{"npi":"1234567893","inNetwork":true,"organizations":["1982947230"]}
{"npi":"1982947230","inNetwork":true}
{"npi":"1982947230","inNetwork":"perhaps"}
`, false)
	require.Equal(t, models.ListCounts{Changed: 2, Rejected: 1}, counts)
}

// TestLoadWithAQuote: a quote that is not closed costs the row it is in and no other, however long the file.
func TestLoadWithAQuote(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(4)
	counts, rejects := b.loadList(models.ListOptOuts, models.ListCSV,
		"patient,scope,target,reason\nour-0,global,,\"other\n\nour-1,global,,other\nour-2,global,,\"other\"\r\n\"our-3,global,,other", false)
	require.Equal(t, models.ListCounts{Added: 2, Rejected: 2}, counts)
	require.Equal(t, []models.ListReject{{Line: 2, Reason: "is not CSV"}, {Line: 6, Reason: "is not CSV"}}, rejects)
	read := &counted{in: io.MultiReader(strings.NewReader("patient\n\"x,"), endless{})}
	require.Equal(t, models.KindInvalid, models.KindOf(eachRecord(read, func(listRow) error { return nil })))
	require.Less(t, read.n, 2*maxListLine)
}

// endless is one line without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// counted gives up where a reader should have long before.
type counted struct {
	in io.Reader
	n  int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if c.n += n; c.n > 8*maxListLine {
		return n, io.EOF
	}
	return n, err
}

func TestLoadOfNoSense(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for i := range 10_000 {
		fmt.Fprintf(w, "patient-%d,%x\n", i, i*i*i)
	}
	require.NoError(t, w.Close())
	damaged := bytes.Clone(packed.Bytes())
	for i := range 100 {
		damaged[len(damaged)/2+i] ^= 0x55
	}
	for name, source := range map[string]string{
		"cut off":             filepath.Join(b.folder(map[string]string{"a.csv.gz": packed.String()[:packed.Len()/2]}), "a.csv.gz"),
		"damaged":             filepath.Join(b.folder(map[string]string{"a.csv.gz": string(damaged)}), "a.csv.gz"),
		"a folder of several": b.folder(map[string]string{"a.csv": "x", "b.csv": "y"}),
		"outside the roots":   "/etc/passwd",
		"an empty file":       filepath.Join(b.folder(map[string]string{"a.csv": ""}), "a.csv"),
		"not gzip":            filepath.Join(b.folder(map[string]string{"a.csv.gz": "patient,scope"}), "a.csv.gz"),
	} {
		l := &models.ListImport{
			ID: models.NewID(), Kind: models.ListOptOuts, Source: source, Format: models.ListCSV, State: models.StateAccepted, CreatedBy: "test", CreatedAt: b.now(),
		}
		require.NoError(t, b.Store.CreateListImport(t.Context(), l))
		_, err := run(t, b.LoadList, l.ID)
		app, ok := errors.AsType[*temporal.ApplicationError](err)
		require.True(t, ok, name)
		require.True(t, app.NonRetryable(), "%s: %v", name, err)
	}
}

func FuzzListRows(f *testing.F) {
	f.Add([]byte("patient,scope\nx,global\n\"y\n"))
	f.Add([]byte("{\"patient\":\"x\",\"organizations\":[\"a\",true]}\n[]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, each := range []func(io.Reader, func(listRow) error) error{eachRecord, eachRow} {
			last := int64(0)
			err := each(bytes.NewReader(data), func(r listRow) error {
				require.Greater(t, r.line, last, "every row is on a line of its own")
				last = r.line
				if r.bad == "" {
					_, _ = contract(r)
					_, _ = nppes(r)
				}
				return nil
			})
			if err != nil {
				require.NotEqual(t, models.KindInternal, models.KindOf(err))
			}
		}
	})
}

// TestLoadedLate: what a load enters is said when it is entered, however long ago the load was asked for, so that files written in
// between are held against it.
func TestLoadedLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(1)
	b.practice(models.TreatmentByAttestation, true)
	r := b.askProvider(treated(0))
	l := &models.ListImport{
		ID: models.NewID(), Kind: models.ListOptOuts, Source: filepath.Join(b.folder(map[string]string{"rows.csv": "patient,scope,target,reason\nour-0,global,,other\n"}), "rows.csv"),
		Format: models.ListCSV, State: models.StateAccepted, CreatedBy: "test", CreatedAt: b.now(),
	}
	require.NoError(t, b.Store.CreateListImport(t.Context(), l))
	b.pass(2 * time.Hour)
	job, _, _ := b.export(models.OpDataExport, models.ExportParams{GroupID: r.groupID})
	require.Equal(t, models.ListCounts{Added: 1}, must[models.ListCounts](t, b.LoadList, l.ID))
	gone, err := b.Store.Withdrawn(t.Context(), job, r.groupID, nil, b.now())
	require.NoError(t, err)
	require.True(t, gone)
}

// TestLoadGoesOn: an attempt that ended in the middle leaves what it had taken in, and the next goes on behind that.
func TestLoadGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(1)
	var text strings.Builder
	text.WriteString("patient,scope,target,reason\n")
	for range 2*listBatch + 5 {
		text.WriteString("nobody,global,,other\n")
	}
	text.WriteString("our-0,global,,other\n")
	dir := b.folder(map[string]string{"rows.csv": text.String()})
	l := &models.ListImport{
		ID: models.NewID(), Kind: models.ListOptOuts, Source: filepath.Join(dir, "rows.csv"), Format: models.ListCSV,
		State: models.StateAccepted, CreatedBy: "test", CreatedAt: b.now(),
	}
	require.NoError(t, b.Store.CreateListImport(t.Context(), l))
	b.exec(`UPDATE list_imports SET state = 'running' WHERE id = $1`, l.ID)
	_, err := b.Store.MergeBatch(t.Context(), l.ID, store.Batch{To: 1001, Rejects: []models.ListReject{{Line: 2, Reason: "x"}}})
	require.NoError(t, err)
	counts := must[models.ListCounts](t, b.LoadList, l.ID)
	require.Equal(t, models.ListCounts{Added: 1, Rejected: 1 + 2*listBatch + 5 - 1000}, counts)
	require.NoError(t, os.RemoveAll(dir))
	got, err := b.Store.ListImport(t.Context(), l.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2*listBatch+7, got.Line)
}
