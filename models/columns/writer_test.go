package columns_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/columns"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
)

var update = flag.Bool("update", false, "write the golden files anew")

// record is what a reader sees of a row; nil is null.
type record struct {
	ResourceType string  `parquet:"resourceType"`
	ID           string  `parquet:"id"`
	Patient      *string `parquet:"patient"`
	LastUpdated  int64   `parquet:"lastUpdated,timestamp(millisecond)"`
	ServiceStart *int32  `parquet:"serviceStart,date"`
	ServiceEnd   *int32  `parquet:"serviceEnd,date"`
	CodeSystem   *string `parquet:"codeSystem"`
	Code         *string `parquet:"code"`
	CodeDisplay  *string `parquet:"codeDisplay"`
	Status       *string `parquet:"status"`
	Resource     string  `parquet:"resource"`
}

// want is the record of a row, by way of the decoder and the documented elements.
func (r row) want(tb require.TestingT, elements columns.Type) record {
	var resource map[string]any
	require.NoError(tb, json.Unmarshal(r.line, &resource))
	out := record{
		ResourceType: resource["resourceType"].(string),
		ID:           resource["id"].(string),
		Patient:      known(r.meta.Patient, ""),
		LastUpdated:  r.meta.LastUpdated,
		Resource:     string(r.line),
	}
	if r.meta.ServiceStart != columns.NoDate {
		out.ServiceStart = known(r.meta.ServiceStart, fhir.MinDay)
	}
	if r.meta.ServiceEnd != columns.NoDate {
		out.ServiceEnd = known(r.meta.ServiceEnd, fhir.MaxDay)
	}
	if element := resource[elements.Code]; elements.Code != "" {
		system, code, display := coding(element)
		out.CodeSystem, out.Code, out.CodeDisplay = known(system, ""), known(code, ""), known(display, "")
	}
	if element := resource[elements.Status]; elements.Status != "" {
		_, code, _ := coding(element)
		out.Status = known(code, "")
	}
	return out
}

func known[T comparable](value, absent T) *T {
	if value == absent {
		return nil
	}
	return &value
}

func coding(element any) (system, code, display string) {
	if list, ok := element.([]any); ok && len(list) > 0 {
		element = list[0]
	}
	if code, ok := element.(string); ok {
		return "", code, ""
	}
	object, _ := element.(map[string]any)
	display, _ = object["text"].(string)
	if list, ok := object["coding"].([]any); ok && len(list) > 0 {
		object, _ = list[0].(map[string]any)
	}
	system, _ = object["system"].(string)
	code, _ = object["code"].(string)
	if text, ok := object["display"].(string); ok {
		display = text
	}
	return system, code, display
}

func elementsOf(resourceType string) columns.Type {
	for _, t := range columns.Describe().Types {
		if t.Name == resourceType {
			return t
		}
	}
	return columns.Type{}
}

// write returns the file of some rows.
func write(tb testing.TB, resourceType string, options columns.Options, rows []row) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := open(tb, &out, resourceType, options)
	for _, r := range rows {
		require.NoError(tb, w.Write(r.line, r.meta))
	}
	totals, err := w.Close()
	require.NoError(tb, err)
	require.Equal(tb, columns.Totals{Rows: int64(len(rows)), Bytes: int64(out.Len())}, totals)
	return out.Bytes()
}

func read(tb require.TestingT, file []byte) []record {
	records, err := parquet.Read[record](bytes.NewReader(file), int64(len(file)))
	require.NoError(tb, err)
	return records
}

func requireRows(tb require.TestingT, resourceType string, rows []row, file []byte) {
	got := read(tb, file)
	require.Len(tb, got, len(rows))
	elements := elementsOf(resourceType)
	for i, r := range rows {
		require.Equal(tb, r.want(tb, elements), got[i], "row %d", i)
	}
}

func footer(tb testing.TB, file []byte) *parquet.File {
	tb.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	require.NoError(tb, err)
	return f
}

func TestSampleData(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(devData, "*", "*.ndjson"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("no sample data")
	}
	for _, name := range files {
		resourceType := strings.TrimSuffix(filepath.Base(name), ".ndjson")
		t.Run(filepath.Base(filepath.Dir(name))+"/"+resourceType, func(t *testing.T) {
			t.Parallel()
			ndjson, err := os.ReadFile(name)
			require.NoError(t, err)
			rows := rowsOf(t, ndjson)
			file := write(t, resourceType, columns.Options{RowGroupRows: 500}, rows)
			require.Len(t, footer(t, file).RowGroups(), (len(rows)+499)/500)
			requireRows(t, resourceType, rows, file)
		})
	}
}

// drawRow makes a line that an import would let in, with all there is to get wrong.
func drawRow(t *rapid.T, i int) row {
	word := rapid.OneOf(rapid.SampledFrom([]string{"final", "a\"b", "\\", "é😀", "\x00", "Patient/1", "{", strings.Repeat("x", 5000)}), rapid.StringN(1, 20, -1))
	draw := func(name string) string {
		text, err := json.Marshal(word.Draw(t, name))
		require.NoError(t, err)
		return string(text)
	}
	members := []string{`"resourceType":"Observation"`, fmt.Sprintf(`"id":"o-%d"`, i)}
	optional := map[string]func() string{
		"status": func() string { return `"status":` + draw("status") },
		"text":   func() string { return `"code":{"text":` + draw("text") + `}` },
		"coding": func() string {
			return `"code":{"coding":[{"system":` + draw("system") + `,"code":` + draw("code") + `}]}`
		},
		"display": func() string {
			return `"code":{"text":"t","coding":[{"display":` + draw("display") + `},{"code":"2"}]}`
		},
		"contained": func() string { return `"contained":[{"resourceType":"Patient","id":"p","status":"no","code":"no"}]` },
	}
	if shape := rapid.SampledFrom([]string{"", "text", "coding", "display"}).Draw(t, "shape"); shape != "" {
		members = append(members, optional[shape]())
	}
	for _, name := range []string{"status", "contained"} {
		if rapid.Bool().Draw(t, name+"?") {
			members = append(members, optional[name]())
		}
	}
	line := "{" + strings.Join(rapid.Permutation(members).Draw(t, "members"), ",") + "}"
	day := rapid.SampledFrom([]int32{columns.NoDate, fhir.MinDay, fhir.MaxDay, 0, -1, 19000})
	return row{[]byte(line), columns.Meta{
		LastUpdated:  rapid.Int64Range(-1e14, 1e14).Draw(t, "lastUpdated"),
		ServiceStart: day.Draw(t, "start"),
		ServiceEnd:   day.Draw(t, "end"),
		Patient:      rapid.SampledFrom([]string{"", "p1", "p2"}).Draw(t, "patient"),
	}}
}

func TestRowsAreLinesInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		options := columns.Options{
			RowGroupRows:  rapid.IntRange(3, 20).Draw(rt, "rows"),
			RowGroupBytes: rapid.Int64Range(1000, 30_000).Draw(rt, "bytes"),
		}
		rows := make([]row, rapid.IntRange(0, 30).Draw(rt, "n"))
		var facts fhir.Facts
		for i := range rows {
			rows[i] = drawRow(rt, i)
			require.NoError(rt, fhir.Inspect(rows[i].line, &facts))
		}
		requireRows(rt, "Observation", rows, write(t, "Observation", options, rows))
	})
}

func observation(i int, rest string) row {
	line := fmt.Sprintf(`{"resourceType":"Observation","id":"o%07d","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"c%d","display":"secret display"}]}%s}`, i, i%10, rest)
	return row{[]byte(line), columns.Meta{LastUpdated: int64(i), ServiceStart: int32(i), ServiceEnd: int32(i + 1), Patient: fmt.Sprintf("p%05d", i/100)}}
}

func observations(n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = observation(i, "")
	}
	return rows
}

func TestEmptyFile(t *testing.T) {
	t.Parallel()
	file := write(t, "Patient", columns.Options{}, nil)
	require.Empty(t, read(t, file))
	f := footer(t, file)
	require.Zero(t, f.NumRows())
	require.Len(t, f.Schema().Columns(), len(columns.Describe().Columns))
}

func TestHugeLine(t *testing.T) {
	t.Parallel()
	huge := observation(1, `,"note":[{"text":"`+strings.Repeat("0123456789", 1_200_000)+`"}]`)
	rows := []row{observation(0, ""), huge, observation(2, "")}
	requireRows(t, "Observation", rows, write(t, "Observation", columns.Options{}, rows))

	// It fills the row group it is in.
	file := write(t, "Observation", columns.Options{RowGroupBytes: 10 << 20}, rows)
	requireRows(t, "Observation", rows, file)
	groups := footer(t, file).RowGroups()
	require.Len(t, groups, 2)
	require.EqualValues(t, 2, groups[0].NumRows())
}

func TestRefusedLinesLeaveTheFileAlone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := open(t, &out, "Observation", columns.Options{})
	good := observations(2)
	require.NoError(t, w.Write(append(good[0].line, "\r\n"...), good[0].meta))
	for name, line := range map[string]string{
		"another type": `{"resourceType":"Patient","id":"secret"}`,
		"no type":      `{"id":"secret"}`,
		"no id":        `{"resourceType":"Observation"}`,
		"number id":    `{"resourceType":"Observation","id":7}`,
		"no object":    `["secret"]`,
		"empty":        "",
		"not JSON":     `secret`,
	} {
		err := w.Write([]byte(line), columns.Meta{})
		require.ErrorIs(t, err, columns.ErrLine, name)
		require.EqualError(t, err, "row 2: "+columns.ErrLine.Error(), name)
	}
	require.NoError(t, w.Write(good[1].line, good[1].meta))
	totals, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, 2, totals.Rows)
	requireRows(t, "Observation", good, out.Bytes())

	again, err := w.Close()
	require.NoError(t, err)
	require.Equal(t, totals, again)
	require.EqualValues(t, out.Len(), again.Bytes)
	require.ErrorIs(t, w.Write(good[0].line, good[0].meta), columns.ErrClosed)
}

func TestUnknownType(t *testing.T) {
	t.Parallel()
	for _, code := range []int16{-1, 0, 9999} {
		_, err := columns.NewWriter(io.Discard, code, columns.Options{})
		require.ErrorContains(t, err, "no resource type code")
	}
}

// fullDisk takes so many bytes.
type fullDisk struct {
	bytes.Buffer
	left int
}

var errFull = errors.New("disk full")

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.left {
		return 0, errFull
	}
	d.left -= len(b)
	return d.Buffer.Write(b)
}

func TestFailureIsFinal(t *testing.T) {
	t.Parallel()
	rows := observations(3000)
	whole := len(write(t, "Observation", columns.Options{RowGroupRows: 1000}, rows))
	for left := 0; left < whole; left += whole / 20 {
		disk := &fullDisk{left: left}
		w := open(t, disk, "Observation", columns.Options{RowGroupRows: 1000})
		var failed error
		for _, r := range rows {
			if failed = w.Write(r.line, r.meta); failed != nil {
				break
			}
		}
		disk.left = whole // room again does not mend the file
		if failed != nil {
			require.ErrorIs(t, failed, errFull)
			require.Equal(t, failed, w.Write(rows[0].line, rows[0].meta))
		}
		_, err := w.Close()
		if failed == nil {
			disk.left = 0
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, errFull)
		_, err = parquet.OpenFile(bytes.NewReader(disk.Bytes()), int64(disk.Len()))
		require.Error(t, err)
	}
}

func TestCloseFails(t *testing.T) {
	t.Parallel()
	w := open(t, &fullDisk{}, "Observation", columns.Options{})
	r := observation(0, "")
	require.NoError(t, w.Write(r.line, r.meta))
	_, err := w.Close()
	require.ErrorIs(t, err, errFull)
	_, again := w.Close()
	require.Equal(t, err, again)
	require.Equal(t, err, w.Write(r.line, r.meta))
}

func TestLayoutGolden(t *testing.T) {
	t.Parallel()
	file := write(t, "Observation", columns.Options{}, observations(1))
	got := columns.Describe().Markdown() + "\n" + footer(t, file).Schema().String() + "\n"
	golden := filepath.Join("testdata", "layout.md")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestNoDateIsThatOfSegments(t *testing.T) {
	t.Parallel()
	require.Equal(t, segment.NoDate, columns.NoDate)
}

// TestMemory is not parallel: other tests would be in its figures.
func TestMemory(t *testing.T) {
	const groupRows, groups = 300, 110
	w := open(t, io.Discard, "Observation", columns.Options{RowGroupRows: groupRows})
	heap := func() int64 {
		var m runtime.MemStats
		for range 3 { // a pool gives up what it holds in the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var early int64
	for i := range groupRows * groups {
		if i == 10*groupRows+groupRows-1 {
			early = heap()
		}
		r := observation(i, "")
		require.NoError(t, w.Write(r.line, r.meta))
	}
	late := heap()
	_, err := w.Close()
	require.NoError(t, err)
	perGroup := (late - early) / (groups - 10)
	t.Logf("%d bytes a row group", perGroup)
	require.Less(t, perGroup, int64(16<<10), "a row group may leave no more behind than its part of the footer")
}
