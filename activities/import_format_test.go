package activities

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"pdexbulk/models"
)

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := io.WriteString(z, text)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return out.Bytes()
}

type parquetResource struct {
	Extra    int64  `parquet:"extra"`
	Resource string `parquet:"resource,dict,zstd"`
}

type optionalResource struct {
	Resource *string `parquet:"resource,optional"`
}

func parquetFile[T any](t testing.TB, rows []T) string {
	t.Helper()
	var out bytes.Buffer
	w := parquet.NewGenericWriter[T](&out)
	_, err := w.Write(rows)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.String()
}

// The same lines give the same state in every format.
func TestFormats(t *testing.T) {
	t.Parallel()
	var lines []string
	for i := range 600 {
		lines = append(lines, strings.TrimSpace(observation(fmt.Sprintf("o%d", i), fmt.Sprintf("p%d", i%7), "", strings.Repeat("ä", i))))
	}
	text := strings.Join(lines, "\n") + "\n"
	var rows []parquetResource
	var optional []optionalResource
	for i, l := range lines {
		rows = append(rows, parquetResource{int64(i), l})
		optional = append(optional, optionalResource{&l})
	}
	half := len(text) / 2
	indented := "{\n  \"resourceType\": \"Observation\",\r\n \"id\": \"o0\"" + strings.TrimPrefix(lines[0], `{"resourceType":"Observation","id":"o0"`)
	plain := setup(t)
	plain.loadText(text, models.ImportLive)
	want := plain.current()
	require.Len(t, want, 600)
	for name, file := range map[string]struct{ name, body string }{
		"gzip":              {"x.ndjson.gz", string(zip(t, text))},
		"gzip, two members": {"x.ndjson.gz", string(zip(t, text[:half])) + string(zip(t, text[half:]))},
		"CRLF and BOM":      {"x.ndjson", "\xef\xbb\xbf" + strings.ReplaceAll(text, "\n", "\r\n")},
		"no last break":     {"x.ndjson", strings.TrimSuffix(text, "\n")},
		"parquet":           {"x.parquet", parquetFile(t, rows)},
		"optional column":   {"x.parquet", parquetFile(t, optional)},
		"indented parquet":  {"x.parquet", parquetFile(t, append([]parquetResource{{0, indented}}, rows[1:]...))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			stats := b.load(b.folder(map[string]string{file.name: file.body}), models.ImportLive)
			require.EqualValues(t, 600, stats.Lines)
			require.EqualValues(t, 1, stats.Files)
			require.EqualValues(t, len(file.body), stats.Bytes)
			require.Equal(t, want, b.current())
		})
	}
}

func TestRejects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := observation("long", "p", "", strings.Repeat("x", 10<<20))
	good := observation("o", "p", "", "x")
	source := b.folder(map[string]string{
		"a.ndjson": good + "\n" + "{\"resourceType\":\"Observation\"}\n" + long + "  \n" + "nonsense\n" + `{"resourceType":"Wish","id":"w"}` + "\n",
		"b.ndjson.gz": string(zip(t, "\n\n"+`{"resourceType":"Observation","id":"é"}`+"\n"+
			`{"resourceType":"Observation","id":"t","meta":{"lastUpdated":"yesterday"}}`)),
		"c.parquet": parquetFile(t, []parquetResource{{0, "null"}, {0, strings.Replace(good, `"o"`, `"o2"`, 1)}, {0, ""}, {0, "{\"a\":\n"}, {0, long}}),
		"d.txt":     "not ours",
		".e.ndjson": "hidden",
	})
	b.pass(time.Second)
	id, plan := b.scanned(source, models.ImportLive)
	require.Equal(t, 3, plan.Files)
	ok(t, b.TakeTurn, id)
	ok(t, b.MergeBucket, BucketInput{id, 0})
	stats := b.finish(id)
	require.EqualValues(t, 4+2+4, stats.Rejected)
	require.EqualValues(t, 2+2, stats.Blank)
	require.EqualValues(t, 7+4+5, stats.Lines)
	require.Len(t, b.current(), 2)

	var got []string
	rejects, err := b.Store.Rejects(t.Context(), id, -1, 0, 100)
	require.NoError(t, err)
	for _, r := range rejects {
		got = append(got, fmt.Sprintf("%s:%d %s", r.File, r.Line, r.Reason))
	}
	require.Equal(t, []string{
		"a.ndjson:3 no-id", "a.ndjson:4 too-long", "a.ndjson:6 not-json", "a.ndjson:7 unknown-resource-type",
		"b.ndjson.gz:3 bad-id", "b.ndjson.gz:4 bad-last-updated",
		"c.parquet:1 no-resource-type", "c.parquet:3 not-json", "c.parquet:4 not-json", "c.parquet:5 too-long", "d.txt:0 ignored-file",
	}, got)
	page, err := b.Store.Rejects(t.Context(), id, rejects[4].FileNo, rejects[4].Line, 2)
	require.NoError(t, err)
	require.Equal(t, rejects[5:7], page)
}

// requireFinal checks that err is one that Temporal does not try again, with words that name no content.
func requireFinal(t *testing.T, err error, kind models.Kind) string {
	t.Helper()
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	require.True(t, ok, "%v", err)
	require.True(t, app.NonRetryable(), "%v", err)
	require.Equal(t, string(kind), app.Type())
	return app.Message()
}

func TestDamagedFilesFailForGood(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 5000 {
		text.WriteString(observation(fmt.Sprintf("o%d", i), "p", "", fmt.Sprint(i*7919%1000)))
	}
	whole := zip(t, text.String())
	flipped, badSum := bytes.Clone(whole), bytes.Clone(whole)
	for i := len(flipped) / 2; i < len(flipped)/2+64; i++ {
		flipped[i] ^= 0xff
	}
	badSum[len(badSum)-8] ^= 1
	table := parquetFile(t, []parquetResource{{0, text.String()[:1000]}})
	for name, file := range map[string]struct{ name, body, message string }{
		"cut":               {"x.ndjson.gz", string(whole[:len(whole)-100]), "damaged"},
		"cut in the header": {"x.ndjson.gz", string(whole[:5]), "damaged"},
		"empty":             {"x.ndjson.gz", "", "damaged"},
		"flipped":           {"x.ndjson.gz", string(flipped), "damaged"},
		"wrong checksum":    {"x.ndjson.gz", string(badSum), "damaged"},
		"trailing garbage":  {"x.ndjson.gz", string(whole) + "garbage", "damaged"},
		"not gzip":          {"x.ndjson.gz", text.String(), "damaged"},
		"not parquet":       {"x.parquet", text.String(), "damaged"},
		"empty parquet":     {"x.parquet", "", "damaged"},
		"cut parquet":       {"x.parquet", table[:len(table)-20], "damaged"},
		"no footer":         {"x.parquet", "PAR1" + "\xff\xff\xff\xffPAR1", "damaged"},
		"no column":         {"x.parquet", parquetFile(t, []struct{ Body string }{{"x"}}), "no text column named resource"},
		"column of numbers": {"x.parquet", parquetFile(t, []struct {
			Resource int64 `parquet:"resource"`
		}{{1}}), "no text column named resource"},
		"column of lists": {"x.parquet", parquetFile(t, []struct {
			Resource []string `parquet:"resource"`
		}{{nil}}), "no text column named resource"},
		"column of groups": {"x.parquet", parquetFile(t, []struct {
			Resource struct{ A string } `parquet:"resource"`
		}{{}}), "no text column named resource"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.accept(b.folder(map[string]string{"a.ndjson": observation("o", "p", "", "x"), file.name: file.body}), models.ImportLive)
			must[ImportPlan](t, b.PlanImport, id)
			ok(t, b.ScanFile, ScanInput{id, 0})
			_, err := run(t, b.ScanFile, ScanInput{id, 1})
			require.Contains(t, requireFinal(t, err, models.KindUnprocessable), file.message)
			require.Len(t, b.blobs("imports"), 1, "nothing of the damaged file is left")
		})
	}
}

// brokenReader is a source that fails on the way.
type brokenReader struct{ left int }

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errors.New("connection reset")
	}
	n := min(len(p), r.left)
	r.left -= n
	return copy(p, bytes.Repeat([]byte("\n"), n)), nil
}

// A source that cannot be reached is no damaged source.
func TestUnreachableSourceIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"x.ndjson", "x.ndjson.gz", "x.parquet"} {
		var n atomic.Int64
		s := &scan{file: models.ImportFile{Name: name}}
		src := &countingReader{r: &brokenReader{left: 0}, n: &n}
		in, err := openLines(t.Context(), name, src)
		if err == nil {
			_, _, err = in.Next()
		}
		err = failure(s.damaged(src, err))
		app, ok := errors.AsType[*temporal.ApplicationError](err)
		require.True(t, ok)
		require.False(t, app.NonRetryable(), name)
	}
}

func TestPlanImportRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for source, kind := range map[string]models.Kind{
		b.folder(map[string]string{"readme.txt": "x"}): models.KindInvalid,
		b.root + "/nowhere":                            models.KindNotFound,
		"/etc":                                         models.KindForbidden,
	} {
		_, err := run(t, b.PlanImport, b.accept(source, models.ImportLive))
		requireFinal(t, err, kind)
	}
	_, err := run(t, b.PlanImport, models.NewID())
	requireFinal(t, err, models.KindNotFound)

	// A second plan is the first one, whatever has come to the folder since.
	source := b.folder(map[string]string{"b.ndjson": ""})
	id := b.accept(source, models.ImportLive)
	require.Equal(t, ImportPlan{1, 1}, must[ImportPlan](t, b.PlanImport, id))

	require.NoError(t, os.WriteFile(source+"/a.ndjson", []byte(observation("o", "p", "", "x")), 0o644))
	require.Equal(t, ImportPlan{1, 1}, must[ImportPlan](t, b.PlanImport, id))
	ok(t, b.ScanFile, ScanInput{id, 0})
	require.EqualValues(t, 0, must[models.ImportStats](t, b.FinishImport, FinishInput{ImportID: id, State: models.StateFailed}).Lines)
	_, err = run(t, b.PlanImport, id)
	requireFinal(t, err, models.KindConflict)
	_, err = run(t, b.ScanFile, ScanInput{id, 0})
	requireFinal(t, err, models.KindConflict)
}

// A file may be of another kind than its name says. Every line of it is listed, however many, and none of them is held until the end.
func TestFileOfNothingButRejects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const lines = 2*heldRejects + 7
	dir := b.folder(map[string]string{"a.ndjson": strings.Repeat("1\n", lines), "b.ndjson": patient("p", "")})
	id := b.accept(dir, models.ImportLive)
	plan := must[ImportPlan](t, b.PlanImport, id)
	imp, err := b.Store.Import(t.Context(), id)
	require.NoError(t, err)
	sources, _, err := b.importSources(t.Context(), imp)
	require.NoError(t, err)
	cut := &scan{a: b.Activities, imp: imp, file: b.listed(id)[0], prefix: "imports/" + id + "/cut"}
	_, err = run(t, func(ctx context.Context) error { return cut.run(ctx, sources[0]) })
	require.NoError(t, err)
	require.Less(t, len(cut.rejects), heldRejects, "the rest is recorded")
	require.Positive(t, b.count("import_rejects"), "an attempt that was cut off leaves some")
	for i := range plan.Files {
		ok(t, b.ScanFile, ScanInput{id, i})
	}
	require.Equal(t, lines, b.count("import_rejects"))
	files, err := b.Store.ImportFiles(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, lines, files[0].Stats.Rejected)
	rejects, err := b.Store.Rejects(t.Context(), id, -1, 0, 1)
	require.NoError(t, err)
	require.EqualValues(t, 1, rejects[0].Line)
}

// Files of another name are not read, and said to be: they may have been meant.
func TestIgnoredFilesAreListed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dir := b.folder(map[string]string{"a.ndjson": patient("p", ""), "b.NDJSON": patient("q", ""), "c.jsonl": patient("r", ""), "z.ndjson": patient("s", "")})
	id, plan := b.scanned(dir, models.ImportLive)
	again := must[ImportPlan](t, b.PlanImport, id)
	require.Equal(t, plan, again)
	ok(t, b.TakeTurn, id)
	for i := range plan.Buckets {
		ok(t, b.MergeBucket, BucketInput{id, i})
	}
	stats := b.finish(id)
	require.Equal(t, []int64{2, 2, 2, 0}, []int64{stats.Files, stats.Ignored, stats.Lines, stats.Rejected})
	rejects, err := b.Store.Rejects(t.Context(), id, -1, 0, 10)
	require.NoError(t, err)
	var listed []string
	for _, r := range rejects {
		require.Zero(t, r.Line)
		listed = append(listed, r.File+" "+r.Reason)
	}
	require.Equal(t, []string{"b.NDJSON ignored-file", "c.jsonl ignored-file"}, listed)
	require.Len(t, b.current(), 2)
}
