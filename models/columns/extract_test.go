package columns

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models/fhir"
)

// oracle says what extract should find, by way of the decoder.
func oracle(t require.TestingT, line []byte, p paths) (found elements) {
	var resource map[string]any
	require.NoError(t, json.Unmarshal(line, &resource))
	found.resourceType, _ = resource["resourceType"].(string)
	found.id, _ = resource["id"].(string)
	if p.code != "" {
		found.concept = oracleConcept(resource[p.code])
	}
	if p.status != "" {
		found.status = oracleConcept(resource[p.status]).code
	}
	return found
}

func oracleConcept(value any) (c concept) {
	value = head(value)
	if code, ok := value.(string); ok {
		c.code = code
		return c
	}
	object, _ := value.(map[string]any)
	c.text, _ = object["text"].(string)
	if coding, ok := head(object["coding"]).(map[string]any); ok {
		object = coding
	}
	c.system, _ = object["system"].(string)
	c.code, _ = object["code"].(string)
	c.display, _ = object["display"].(string)
	return c
}

func head(value any) any {
	list, ok := value.([]any)
	if !ok {
		return value
	}
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

var shapes = map[string]struct {
	line string
	want elements
}{
	"concept": {
		`{"resourceType":"Condition","id":"c","code":{"coding":[{"system":"s","code":"1","display":"One"},{"system":"t","code":"2"}],"text":"first"},"clinicalStatus":{"coding":[{"code":"active"}]}}`,
		elements{"Condition", "c", concept{"s", "1", "One", "first"}, "active"},
	},
	"text alone": {
		`{"resourceType":"Condition","id":"c","code":{"text":"Broken \"leg\""}}`,
		elements{"Condition", "c", concept{text: `Broken "leg"`}, ""},
	},
	"list": {
		`{"resourceType":"Encounter","id":"e","status":"finished","type":[{"coding":[{"code":"a"}]},{"coding":[{"code":"b"}]}]}`,
		elements{"Encounter", "e", concept{code: "a"}, "finished"},
	},
	"coding": {
		`{"resourceType":"Endpoint","id":"e","connectionType":{"system":"s","code":"hl7-fhir-rest","display":"REST"},"status":"off"}`,
		elements{"Endpoint", "e", concept{"s", "hl7-fhir-rest", "REST", ""}, "off"},
	},
	"nothing": {
		`{"resourceType":"Encounter","id":"e","type":[],"status":null,"_status":{"extension":[]}}`,
		elements{resourceType: "Encounter", id: "e"},
	},
	"not what R4 says": {
		`{"resourceType":"Encounter","id":"e","type":[null,{"text":"x"}],"status":5}`,
		elements{resourceType: "Encounter", id: "e"},
	},
	"no coding in the list": {
		`{"resourceType":"Observation","id":"o","code":{"coding":[7],"text":"x"}}`,
		elements{resourceType: "Observation", id: "o", concept: concept{text: "x"}},
	},
	"concept and coding in one": {
		`{"resourceType":"Observation","id":"o","code":{"system":"no","code":"no","coding":[{"display":"d"}],"display":"no"}}`,
		elements{resourceType: "Observation", id: "o", concept: concept{display: "d"}},
	},
	"what others say": {
		`{"contained":[{"resourceType":"Condition","id":"x","code":{"text":"no"},"status":"no"}],"component":[{"code":{"text":"no"}}],"resourceType":"Observation","id":"o","status":"final","code":{"extension":[{"url":"coding","valueCode":"no"}],"text":"yes"}}`,
		elements{"Observation", "o", concept{text: "yes"}, "final"},
	},
	"blanks and escapes": {
		"\t{ \"id\" : \"o\" , \"code\" : { \"coding\" : [ { \"display\" : \"\\u00e9\\ud83d\\ude00\\u0000\\/\" } ] } , \"resourceType\" : \"Observation\" } ",
		elements{"Observation", "o", concept{display: "é😀\x00/"}, ""},
	},
	"neither code nor status": {
		`{"":"x","code":"no","status":"no","resourceType":"Patient","id":"p"}`,
		elements{resourceType: "Patient", id: "p"},
	},
}

func TestExtract(t *testing.T) {
	t.Parallel()
	for name, tc := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, ok := fhir.TypeCode(tc.want.resourceType)
			require.True(t, ok)
			require.Equal(t, tc.want, extract(tc.line, pathsOf(code)))
			require.Equal(t, tc.want, oracle(t, []byte(tc.line), pathsOf(code)))
		})
	}
}

// FuzzExtract compares with the decoder what extract finds in any line that an import lets in.
func FuzzExtract(f *testing.F) {
	for _, tc := range shapes {
		f.Add([]byte(tc.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var facts fhir.Facts
		if fhir.Inspect(line, &facts) != nil {
			return
		}
		p := pathsOf(facts.Type)
		require.Equal(t, oracle(t, line, p), extract(string(line), p))
	})
}

func TestTable(t *testing.T) {
	t.Parallel()
	require.Equal(t, paths{typeCode: fhir.TypePatient}, pathsOf(fhir.TypePatient))
	for i, p := range table {
		require.NotEmpty(t, fhir.TypeName(p.typeCode))
		require.NotEmpty(t, p.code+p.status, fhir.TypeName(p.typeCode))
		if i > 0 {
			require.Less(t, table[i-1].typeCode, p.typeCode, "types in the order of their names, each once")
		}
	}
}
