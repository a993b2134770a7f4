package columns

import (
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// Where each column stands in the file.
const (
	colResourceType = iota
	colID
	colPatient
	colLastUpdated
	colServiceStart
	colServiceEnd
	colCodeSystem
	colCode
	colCodeDisplay
	colStatus
	colResource
	numColumns
)

// column is a column of the file and what its documentation says.
type column struct {
	name    string
	node    parquet.Node
	meaning string
}

// columns is the layout, in the order of the constants above.
var columns = [numColumns]column{
	{"resourceType", dictionary(parquet.String()), "The resource type; the same in every row of a file."},
	{"id", plain(parquet.String()), "The logical id."},
	{"patient", parquet.Optional(dictionary(parquet.String())), "The id of the Patient whose data it is."},
	{"lastUpdated", plain(parquet.Timestamp(parquet.Millisecond)), "meta.lastUpdated."},
	{"serviceStart", plain(parquet.Optional(parquet.Date())), "The first day of service; null when there is none or the period has no start."},
	{"serviceEnd", plain(parquet.Optional(parquet.Date())), "The last day of service; null when there is none or the period has no end."},
	{"codeSystem", parquet.Optional(dictionary(parquet.String())), "The system of the first coding of the type's main code."},
	{"code", parquet.Optional(dictionary(parquet.String())), "The code of that coding."},
	{"codeDisplay", parquet.Optional(dictionary(written())), "The display of that coding, else the text of the concept."},
	{"status", parquet.Optional(dictionary(parquet.String())), "The status; of a concept, the code of its first coding."},
	{"resource", plain(written()), "The NDJSON line without its line break, byte for byte."},
}

// The encodings every reader of the last decade knows. The delta encodings, which parquet-go prefers, are not among them.
func dictionary(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.RLEDictionary) }

func plain(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.Plain) }

// written is text that people wrote.
func written() parquet.Node { return parquet.Leaf(quiet{parquet.String().Type()}) }

// schema is the layout as Parquet has it. The name of the root says nothing to a reader.
var schema = func() *parquet.Schema {
	fields := ordered{parquet.Group{}}
	for _, c := range columns {
		fields.Group[c.name] = c.node
	}
	return parquet.NewSchema("resource", fields)
}()

// ordered is a group whose fields stand in the order of columns; those of a Group stand in that of the alphabet.
type ordered struct{ parquet.Group }

func (o ordered) Fields() []parquet.Field {
	byName := make(map[string]parquet.Field, numColumns)
	for _, f := range o.Group.Fields() {
		byName[f.Name()] = f
	}
	fields := make([]parquet.Field, numColumns)
	for i, c := range columns {
		fields[i] = byName[c.name]
	}
	return fields
}

// quiet is a text type whose content stays out of the page index: for columns that hold what people wrote.
//
// Leaving a column's bounds out is not enough. parquet-go then indexes each page with "" as its minimum and its maximum, and a
// reader who looks for a text passes over every page. So the index holds bounds that rule nothing out.
type quiet struct{ parquet.Type }

func (q quiet) NewColumnIndexer(sizeLimit int) parquet.ColumnIndexer {
	return wideIndex{q.Type.NewColumnIndexer(sizeLimit)}
}

// NewDictionary carries the type over to the dictionary, whose own type is the one that makes the index.
func (q quiet) NewDictionary(columnIndex, values int, data encoding.Values) parquet.Dictionary {
	return quietDictionary{q.Type.NewDictionary(columnIndex, values, data)}
}

type quietDictionary struct{ parquet.Dictionary }

func (d quietDictionary) Type() parquet.Type { return quiet{d.Dictionary.Type()} }

type wideIndex struct{ parquet.ColumnIndexer }

var (
	firstText = parquet.ByteArrayValue([]byte{})
	// lastText is as long as an index keeps; no text begins with four times the last code point, which is no character.
	lastText = parquet.ByteArrayValue([]byte("\U0010ffff\U0010ffff\U0010ffff\U0010ffff"))
)

func (w wideIndex) IndexPage(values, nulls int64, _, _ parquet.Value) {
	if values == nulls {
		w.ColumnIndexer.IndexPage(values, nulls, parquet.NullValue(), parquet.NullValue())
		return
	}
	w.ColumnIndexer.IndexPage(values, nulls, firstText, lastText)
}
