package columns_test

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"github.com/stretchr/testify/require"

	"pdexbulk/models/columns"
)

// TestEveryReader holds the file to what old readers know.
func TestEveryReader(t *testing.T) {
	t.Parallel()
	meta := footer(t, write(t, "Observation", columns.Options{RowGroupRows: 10_000}, observations(25_000))).Metadata()
	require.Equal(t, "pdexbulk version 1.0.0(build parquet-go)", meta.CreatedBy)
	require.Len(t, meta.RowGroups, 3)
	for _, group := range meta.RowGroups {
		for _, c := range group.Columns {
			require.Equal(t, format.Zstd, c.MetaData.Codec)
			for _, s := range c.MetaData.EncodingStats {
				require.Contains(t, []format.PageType{format.DataPage, format.DictionaryPage}, s.PageType)
				require.Contains(t, []format.Encoding{format.Plain, format.RLEDictionary}, s.Encoding)
			}
		}
	}
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	const groupRows, pageRows = 20_000, 8192
	rows := observations(50_000)
	file := write(t, "Observation", columns.Options{RowGroupRows: groupRows}, rows)
	f := footer(t, file)
	leaf := map[string]int{}
	for i, path := range f.Schema().Columns() {
		leaf[path[0]] = i
	}
	for g, group := range f.RowGroups() {
		first := g * groupRows
		chunks := group.ColumnChunks()
		last := first + int(group.NumRows()) - 1
		for name, value := range map[string]func(m columns.Meta) parquet.Value{
			"lastUpdated":  func(m columns.Meta) parquet.Value { return parquet.Int64Value(m.LastUpdated) },
			"serviceStart": func(m columns.Meta) parquet.Value { return parquet.Int32Value(m.ServiceStart) },
			"serviceEnd":   func(m columns.Meta) parquet.Value { return parquet.Int32Value(m.ServiceEnd) },
			"patient":      func(m columns.Meta) parquet.Value { return parquet.ByteArrayValue([]byte(m.Patient)) },
		} {
			statistics := f.Metadata().RowGroups[g].Columns[leaf[name]].MetaData.Statistics
			require.Equal(t, value(rows[first].meta).Bytes(), statistics.MinValue, name)
			require.Equal(t, value(rows[last].meta).Bytes(), statistics.MaxValue, name)

			// Pages end often enough to be worth asking, and answer for themselves.
			index, err := chunks[leaf[name]].ColumnIndex()
			require.NoError(t, err)
			offsets, err := chunks[leaf[name]].OffsetIndex()
			require.NoError(t, err)
			require.Equal(t, (last-first)/pageRows+1, index.NumPages(), name)
			for page := range index.NumPages() {
				from := first + page*pageRows
				to := min(from+pageRows-1, last)
				require.EqualValues(t, page*pageRows, offsets.FirstRowIndex(page))
				require.Equal(t, value(rows[from].meta).Bytes(), index.MinValue(page).Bytes(), name)
				require.Equal(t, value(rows[to].meta).Bytes(), index.MaxValue(page).Bytes(), name)
			}
		}
	}
}

// TestNoContentInFooter: what people wrote is in the pages and nowhere else, and yet the index rules out no page.
func TestNoContentInFooter(t *testing.T) {
	t.Parallel()
	rows := observations(20_000)
	rows = append(rows, row{[]byte(`{"resourceType":"Observation","id":"x","note":"secret note"}`), rows[0].meta})
	file := write(t, "Observation", columns.Options{RowGroupRows: 20_000}, rows)
	f := footer(t, file)
	index := f.Metadata().RowGroups[0].Columns[0].ColumnIndexOffset
	require.NotZero(t, index)
	require.NotContains(t, string(file[index:]), "secret")
	require.NotContains(t, string(file), string(rows[0].line), "nor is it in a page header")
	require.True(t, bytes.Contains(file[index:], []byte(rows[0].meta.Patient)), "the statistics that are wanted are there")

	schema := f.Schema()
	for _, name := range []string{"resource", "codeDisplay"} {
		leaf, ok := schema.Lookup(name)
		require.True(t, ok)
		for g, group := range f.RowGroups() {
			chunk := f.Metadata().RowGroups[g].Columns[leaf.ColumnIndex].MetaData
			require.Nil(t, chunk.Statistics.MinValue)
			require.Nil(t, chunk.Statistics.MaxValue)
			pages, err := group.ColumnChunks()[leaf.ColumnIndex].ColumnIndex()
			require.NoError(t, err)
			require.NotZero(t, pages.NumPages())
			for page := range pages.NumPages() {
				if pages.NullPage(page) {
					continue
				}
				for _, text := range []string{"", string(rows[0].line), "secret display", "\U0010ffff"} {
					value := []byte(text)
					require.LessOrEqual(t, bytes.Compare(pages.MinValue(page).ByteArray(), value), 0, name)
					require.GreaterOrEqual(t, bytes.Compare(pages.MaxValue(page).ByteArray(), value), 0, name)
				}
			}
		}
	}
	display, _ := schema.Lookup("codeDisplay")
	nulls := f.ColumnIndexes()[len(schema.Columns())+display.ColumnIndex] // of the second row group
	require.EqualValues(t, []bool{true}, nulls.NullPages)
	require.Empty(t, nulls.MinValues[0], "a page of nulls has no bounds")
	require.Empty(t, nulls.MaxValues[0])
}
