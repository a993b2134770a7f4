package search

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

func apply(t require.TestingT, elements, typ, line string) string {
	e, err := ParseElements(strings.Split(elements, ";"))
	require.NoError(t, err)
	code, _ := fhir.TypeCode(typ)
	return string(e.Apply(nil, []byte(line), code))
}

func TestApply(t *testing.T) {
	t.Parallel()
	const tag = `{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}`
	for _, c := range []struct{ name, elements, typ, line, want string }{
		{
			"as the specification has it", "Patient.id,name", "Patient",
			`{"resourceType":"Patient","id":"p","text":{"div":"x"},"name":[{"family":"A"}],"gender":"male","birthDate":"1990"}`,
			`{"resourceType":"Patient","id":"p","meta":{"tag":[` + tag + `]},"name":[{"family":"A"}]}`,
		},
		{
			"modifiers stay", "birthDate", "Patient",
			`{"resourceType":"Patient","id":"p","implicitRules":"r","language":"en","modifierExtension":[],"extension":[],"active":true,"deceasedBoolean":false,"_deceasedDateTime":{},"link":[1],"birthDate":"1990","_birthDate":{"id":"b"},"birthPlace":1}`,
			`{"resourceType":"Patient","id":"p","meta":{"tag":[` + tag + `]},"implicitRules":"r","modifierExtension":[],"active":true,"deceasedBoolean":false,"_deceasedDateTime":{},"link":[1],"birthDate":"1990","_birthDate":{"id":"b"}}`,
		},
		{
			"bytes stay", "Observation.value", "Observation",
			`{ "resourceType" : "Observation", "id" : "o" , "meta" : { "versionId" : "1" , "tag" : [ {"code":"a"} ] } ,  "status":"final","code" : {"text":"\u00e9 \/"},"valueQuantity" : {"value":1.50, "unit":"x"},"_valueString":{},"values":3,"value":4,"method":{}}` + "\n",
			`{"resourceType" : "Observation","id" : "o","meta" : { "versionId" : "1" , "tag" : [ {"code":"a"} ,` + tag + `] },"status":"final","code" : {"text":"\u00e9 \/"},"valueQuantity" : {"value":1.50, "unit":"x"},"_valueString":{},"value":4}` + "\n",
		},
		{
			"choices are those of the type", "medication,onset,status", "MedicationRequest",
			`{"resourceType":"MedicationRequest","id":"m","meta":{},"status":"active","statusReason":{},"intent":"order","medicationCodeableConcept":{},"onsetAge":{},"subject":{},"reportedBoolean":true}`,
			`{"resourceType":"MedicationRequest","id":"m","meta":{"tag":[` + tag + `]},"status":"active","intent":"order","medicationCodeableConcept":{},"subject":{}}`,
		},
		{
			"a name in full", "Observation.valueString", "Observation",
			`{"resourceType":"Observation","id":"o","valueString":"x","valueQuantity":{}}`,
			`{"resourceType":"Observation","id":"o","meta":{"tag":[` + tag + `]},"valueString":"x"}`,
		},
		{
			"tagged once", "name", "Patient",
			`{"resourceType":"Patient","id":"p","meta":{"tag":[{"code":"SUBSETTED"},{"display":"x","code":"SUBSETTED","system":"http:\/\/terminology.hl7.org/CodeSystem/v3-ObservationValue"}],"source":"s"}}`,
			`{"resourceType":"Patient","id":"p","meta":{"tag":[{"code":"SUBSETTED"},{"display":"x","code":"SUBSETTED","system":"http:\/\/terminology.hl7.org/CodeSystem/v3-ObservationValue"}],"source":"s"}}`,
		},
		{"an empty list of tags", "name", "Patient", `{"id":"p","meta":{"source":"s","tag":[ ]},"resourceType":"Patient"}`, `{"id":"p","meta":{"source":"s","tag":[ ` + tag + `]},"resourceType":"Patient"}`},
		{"meta without tags", "name", "Patient", `{"meta":{"source":"s" },"id":"p"}`, `{"meta":{"source":"s" ,"tag":[` + tag + `]},"id":"p"}`},
		{"no id", "name", "Patient", `{"name":1,"resourceType":"Patient"}`, `{"name":1,"resourceType":"Patient","meta":{"tag":[` + tag + `]}}`},
		{"id before the type", "name", "Patient", `{"id":"p","resourceType":"Patient","name":1}`, `{"id":"p","meta":{"tag":[` + tag + `]},"resourceType":"Patient","name":1}`},
		{"neither id nor type", "name", "Patient", `{"name":1}`, `{"meta":{"tag":[` + tag + `]},"name":1}`},
		{"nothing at all", "name", "Patient", `{}`, `{"meta":{"tag":[` + tag + `]}}`},
		{"what is no meta", "name", "Patient", `{"meta":null}`, `{"meta":{"tag":[` + tag + `]}}`},
		{"what are no tags", "name", "Patient", `{"meta":{"tag":3}}`, `{"meta":{"tag":[` + tag + `]}}`},
		{"what is no object", "name", "Patient", `[{"meta":1}]`, `[{"meta":1}]`},
		{"another type", "Patient.name;Group.member", "Coverage", `{"resourceType":"Coverage","x":1}`, `{"resourceType":"Coverage","x":1}`},
	} {
		require.Equal(t, c.want, apply(t, c.elements, c.typ, c.line), c.name)
		require.Equal(t, c.want, apply(t, c.elements, c.typ, c.want), c.name)
		e, err := ParseElements([]string{c.elements})
		if err == nil {
			code, _ := fhir.TypeCode(c.typ)
			require.Equal(t, "before"+c.want, string(e.Apply([]byte("before"), []byte(c.line), code)), c.name)
		}
	}
}

func TestParseElements(t *testing.T) {
	t.Parallel()
	e, err := ParseElements([]string{"Patient.name, Patient.gender", "Group.member"})
	require.NoError(t, err)
	require.True(t, e.Applies(fhir.TypePatient))
	require.True(t, e.Applies(fhir.TypeGroup))
	require.False(t, e.Applies(fhir.TypeCoverage))
	e, err = ParseElements([]string{"name"})
	require.NoError(t, err)
	require.True(t, e.Applies(fhir.TypeVisionPrescription))
	require.False(t, e.Applies(0))
	e, err = ParseElements(nil)
	require.NoError(t, err)
	require.False(t, e.Applies(fhir.TypePatient))
	require.Equal(t, "x{}", string(e.Apply([]byte("x"), []byte("{}"), fhir.TypePatient)))

	const secret = "Xq7Zw"
	for value, want := range map[string]string{
		"":                                      "element 1 is empty",
		"name,":                                 "element 2 is empty",
		"Patient.":                              "element 1 is empty",
		secret + ".name":                        "element 1: what stands before the dot is no resource type of FHIR R4; only elements at the root of a resource can be named",
		"name.given":                            "element 1: what stands before the dot is no resource type of FHIR R4; only elements at the root of a resource can be named",
		"id,Patient.name." + secret:             "element 2: only elements at the root of a resource can be named",
		"value[x]" + secret:                     "element 1 is not the name of an element",
		"1a":                                    "element 1 is not the name of an element",
		"_birthDate":                            "element 1 is not the name of an element",
		strings.Repeat("a,", maxElements) + "a": "there are more than 1000 elements",
	} {
		_, err := ParseElements([]string{value})
		require.EqualError(t, err, "_elements: "+want, value)
		require.Equal(t, models.KindInvalid, models.KindOf(err))
		require.NotContains(t, err.Error(), secret)
	}
}

// On real resources, what stays is what a decoder would have kept, in its order and with the bytes it had.
func TestApplyOnSampleData(t *testing.T) {
	t.Parallel()
	elements, err := ParseElements([]string{"identifier,category,extension"})
	require.NoError(t, err)
	for code, lines := range devLines(t) {
		t.Run(fhir.TypeName(code), func(t *testing.T) {
			t.Parallel()
			var out []byte
			for _, line := range lines[:min(len(lines), 300)] {
				out = elements.Apply(out[:0], line, code)
				var facts fhir.Facts
				require.NoError(t, fhir.Inspect(out, &facts))
				var before, after map[string]json.RawMessage
				require.NoError(t, json.Unmarshal(line, &before))
				require.NoError(t, json.Unmarshal(out, &after))
				for name, value := range after {
					if name != "meta" {
						require.Equal(t, string(before[name]), string(value), name)
					}
				}
				for name := range before {
					plain := strings.TrimPrefix(name, "_")
					always := slices.Concat(everyType[:], strings.Fields(base[code].always), []string{"identifier", "category", "extension"})
					want := slices.Contains(always, plain)
					for choice := range strings.FieldsSeq(base[code].choices) {
						rest, ok := strings.CutPrefix(plain, choice)
						want = want || ok && slices.Contains(always, choice) && rest != "" && strings.ToUpper(rest[:1]) == rest[:1]
					}
					_, kept := after[name]
					require.Equal(t, want, kept, name)
				}
				require.Equal(t, 1, strings.Count(string(after["meta"]), Subsetted))
				require.Equal(t, string(out), string(elements.Apply(nil, out, code)))
			}
		})
	}
}

func FuzzElementsApply(f *testing.F) {
	elements, err := ParseElements([]string{"name,Observation.value,extension"})
	require.NoError(f, err)
	for _, seed := range []string{
		`{"resourceType":"Patient","id":"p","meta":{"tag":[{"code":"a"}]},"name":[1.50]}`, `{ }`, `[]`, `{"meta":{},"meta":{"tag":[]}}`, `{"meta":null}`,
		` {"id" : 1 , "x":{"a":[{}]} , "valueString":"\"}"} `, `{"meta":{"tag":{}},"_name":[null]}`, `{"meta":{"tag":[` + Subsetted + `]}}`, `{"":{"\"":1}}`,
	} {
		f.Add([]byte(seed), fhir.TypeObservation)
	}
	f.Fuzz(func(t *testing.T, line []byte, code int16) {
		once := elements.Apply(nil, line, code)
		if !json.Valid(line) {
			return
		}
		require.True(t, json.Valid(once))
		require.Equal(t, string(once), string(elements.Apply(nil, once, code)))
		if !elements.Applies(code) {
			require.Equal(t, string(line), string(once))
		}
	})
}
