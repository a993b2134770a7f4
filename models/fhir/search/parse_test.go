package search

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

func TestSplitQueries(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		"Observation?code=x":                                               {"Observation?code=x"},
		"MedicationRequest?status=active,completed":                        {"MedicationRequest?status=active,completed"},
		"MedicationRequest?status=active,Condition?code=x":                 {"MedicationRequest?status=active", "Condition?code=x"},
		"MedicationRequest?status=active, Condition?code=x":                {"MedicationRequest?status=active", "Condition?code=x"},
		"Observation?code=a,B,Condition?code=C,Patient":                    {"Observation?code=a,B", "Condition?code=C,Patient"},
		"Observation?code=a%2CCondition%3Fcode":                            {"Observation?code=a%2CCondition%3Fcode"},
		"Observation%3Fcode%3Da%2Cb":                                       {"Observation?code=a,b"},
		"MedicationRequest%3Fstatus%3Dactive%2CCondition%3fcode%3Dx%252Cy": {"MedicationRequest?status=active", "Condition?code=x%2Cy"},
		`Observation?code=a\,Condition?b`:                                  {`Observation?code=a\,Condition?b`},
		"Observation?code=a,Patient/1/Observation?code=b":                  {"Observation?code=a", "Patient/1/Observation?code=b"},
		"Observation?code=a,":                                              {"Observation?code=a,"},
		"":                                                                 {""},
	} {
		require.Equal(t, want, splitQueries(value), value)
	}
}

func TestTypeFiltersTakesBothSyntaxes(t *testing.T) {
	t.Parallel()
	comma, err := ParseTypeFilters([]string{"MedicationRequest?status=active,completed,Condition?code=x,Condition?code=y"})
	require.NoError(t, err)
	repeated, err := ParseTypeFilters([]string{"MedicationRequest?status=active%2Ccompleted", "Condition?code=x", "Condition?code=y"})
	require.NoError(t, err)
	require.Equal(t, comma, repeated)
	require.Equal(t, []int16{fhir.TypeCondition, fhir.TypeMedicationRequest}, comma.Types())
	filter, ok := comma.For(fhir.TypeCondition)
	require.True(t, ok)
	require.Len(t, filter.queries, 2)
	_, ok = comma.For(fhir.TypePatient)
	require.False(t, ok)

	none, err := ParseTypeFilters(nil)
	require.NoError(t, err)
	require.Empty(t, none.Types())
	require.True(t, Filter{}.Match([]byte(`{}`)))
}

func TestTypeFiltersRefuses(t *testing.T) {
	t.Parallel()
	const secret = "Xq7Zw"
	for filter, want := range map[string]string{
		"":                   "query 1 is empty",
		"Observation":        "query 1: there is no ? behind the resource type",
		"?code=" + secret:    "query 1: what stands before the ? is no resource type of FHIR R4",
		secret + "?code=x":   "query 1: what stands before the ? is no resource type of FHIR R4",
		"observation?code=x": "query 1: what stands before the ? is no resource type of FHIR R4",
		"Patient/" + secret + "/Observation?code=x": "query 1: only a resource type may stand before the ?, no path",
		"Observation?":                                     "query 1 (Observation) has no parameters",
		"Observation?code=x,Observation?":                  "query 2 (Observation) has no parameters",
		"Observation?code=" + secret + "?x":                "query 1 (Observation): there is a second ?; write %3F for one that is part of a value",
		"Observation?" + secret:                            "query 1 (Observation), parameter 1: there is no = and no value",
		"Observation?code=x&":                              "query 1 (Observation), parameter 2: there is no = and no value",
		"Observation?code=":                                "query 1 (Observation), code: a value is empty",
		"Observation?code=x,,y":                            "query 1 (Observation), code: a value is empty",
		"Observation?code=x,":                              "query 1 (Observation), code: a value is empty",
		"Observation?" + secret + "=x":                     "query 1 (Observation), parameter 1: the server does not support it for this resource type",
		"Observation?code=x&" + secret + "=x":              "query 1 (Observation), parameter 2: the server does not support it for this resource type",
		"Observation?value-quantity=gt5":                   "query 1 (Observation), parameter 1: the server does not support it for this resource type",
		"Observation?_sort=date":                           "query 1 (Observation), parameter 1: _sort shapes a result and is not allowed in a filter",
		"Observation?_include=x":                           "query 1 (Observation), parameter 1: _include shapes a result and is not allowed in a filter",
		"Observation?_include:iterate=x":                   "query 1 (Observation), parameter 1: _include shapes a result and is not allowed in a filter",
		"Observation?_elements=x":                          "query 1 (Observation), parameter 1: _elements shapes a result and is not allowed in a filter",
		"Observation?_count=1":                             "query 1 (Observation), parameter 1: _count shapes a result and is not allowed in a filter",
		"Observation?_contained=true":                      "query 1 (Observation), parameter 1: _contained shapes a result and is not allowed in a filter",
		"Observation?patient.name=" + secret:               "query 1 (Observation), parameter 1: chained parameters are not supported",
		"Observation?patient:Patient.name=x":               "query 1 (Observation), patient: this modifier is not supported for it",
		"Patient?_has:Observation:patient:code=x":          "query 1 (Patient), parameter 1: reverse chaining is not supported",
		"Observation?code:in=x":                            "query 1 (Observation), code: this modifier is not supported for it",
		"Observation?code:" + secret + "=x":                "query 1 (Observation), code: this modifier is not supported for it",
		"Observation?code:=x":                              "query 1 (Observation), code: this modifier is not supported for it",
		"Observation?status:text=x":                        "query 1 (Observation), status: this modifier is not supported for it",
		"Observation?date:exact=2020":                      "query 1 (Observation), date: this modifier is not supported for it",
		"Observation?date:not=2020":                        "query 1 (Observation), date: this modifier is not supported for it",
		"Observation?patient:Group=1":                      "query 1 (Observation), patient: this modifier is not supported for it",
		"Observation?patient:" + secret + "=1":             "query 1 (Observation), patient: this modifier is not supported for it",
		"Observation?_profile:below=x":                     "query 1 (Observation), _profile: this modifier is not supported for it",
		"Observation?_profile:above=x":                     "query 1 (Observation), _profile: this modifier is not supported for it",
		"QuestionnaireResponse?questionnaire:identifier=x": "query 1 (QuestionnaireResponse), questionnaire: this modifier is not supported for it",
		"Patient?name:not=x":                               "query 1 (Patient), name: this modifier is not supported for it",
		"Patient?name:missing=" + secret:                   "query 1 (Patient), name: the value of :missing is neither true nor false",
		"Patient?name:missing=true,false":                  "query 1 (Patient), name: the value of :missing is neither true nor false",
		"Patient?name=%C3%28":                              "query 1 (Patient), name: its value is not percent-encoded UTF-8",
		"Patient?name=%zz":                                 "query 1 (Patient), name: its value is not percent-encoded UTF-8",
		"Patient?%zz=x":                                    "query 1 (Patient), parameter 1: its name is not percent-encoded as it should be",
		"Patient?name=%CC%81":                              "query 1 (Patient), name: a value has no letters",
		`Patient?name=\x`:                                  "query 1 (Patient), name: " + badEscape,
		`Patient?gender=x\`:                                "query 1 (Patient), gender: " + badEscape,
		"Patient?gender=%7C":                               "query 1 (Patient), gender: a value has neither a system nor a code",
		"Patient?gender=a|b|c":                             `query 1 (Patient), gender: a value has more than one |; write \| for one that is part of it`,
		"Patient?birthdate=" + secret:                      "query 1 (Patient), birthdate: the prefix of a date is none of eq, ne, gt, lt, ge, le, sa, eb and ap",
		"Patient?birthdate=gt":                             "query 1 (Patient), birthdate: " + badDate,
		"Patient?birthdate=2020-02-30":                     "query 1 (Patient), birthdate: " + badDate,
		"Patient?birthdate=2020-1-1":                       "query 1 (Patient), birthdate: " + badDate,
		"Patient?birthdate=20":                             "query 1 (Patient), birthdate: " + badDate,
		"Patient?birthdate=2020-01-01T24":                  "query 1 (Patient), birthdate: " + badDate,
		"Patient?birthdate=2020-01-01T":                    "query 1 (Patient), birthdate: " + badDate,
		"Patient?birthdate=2020-01T10:00Z":                 "query 1 (Patient), birthdate: " + badDate,
		"Observation?patient=a b":                          "query 1 (Observation), patient: a value is neither an id, nor Type/id, nor an absolute URL",
		"Observation?patient=%23" + secret:                 "query 1 (Observation), patient: a value is neither an id, nor Type/id, nor an absolute URL",
		"Observation?patient=Group/1":                      "query 1 (Observation), patient: a value names a type that the parameter never refers to",
		"Observation?subject:Patient=Group/1":              "query 1 (Observation), subject: a value names another type than the modifier",
		"Observation?_profile=%7C1":                        "query 1 (Observation), _profile: a value is not a URI",
		strings.Repeat("Patient?gender=x,", maxQueries) + "Patient?gender=x": "there are more than 1000 queries",
		"Patient?" + strings.Repeat("gender=x&", maxConditions) + "gender=x": "query 1 (Patient) has more than 64 parameters",
		"Patient?_id=" + strings.Repeat("x,", maxValues) + "x":               "query 1 (Patient), _id: it has more than 1000 values",
	} {
		_, err := ParseTypeFilters([]string{filter})
		require.EqualError(t, err, "_typeFilter: "+want, filter)
		require.Equal(t, models.KindInvalid, models.KindOf(err))
		require.NotContains(t, err.Error(), secret)
	}
}

func TestParametersAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	require.Nil(t, Parameters(0))
	require.Len(t, Parameters(fhir.TypeBasic), len(common))
	seen := map[string]bool{}
	for code := int16(1); fhir.TypeName(code) != ""; code++ {
		for _, p := range Parameters(code) {
			name := fhir.TypeName(code) + "." + p.Name
			require.False(t, seen[name], name)
			seen[name] = true
			got := find(code, p.Name)
			require.Equal(t, p.Kind, got.kind)
			require.NotEmpty(t, got.paths, name)
		}
	}
	require.Equal(t, Param{"clinical-status", KindToken}, Parameters(fhir.TypeAllergyIntolerance)[len(common)])
	require.Equal(t, []step{{"extension", assertedDate}, {"valueDateTime", ""}}, find(fhir.TypeCondition, "asserted-date").paths[0])
}

func FuzzParseTypeFilter(f *testing.F) {
	for _, seed := range []string{
		"MedicationRequest?status=active,completed", "Observation?date=ge2020-01-01T00:00:00+01:00&code=http://loinc.org|1",
		"Observation%3Fcode%3Da%2Cb", `Patient?name:contains=a\,b&_id:missing=true`, "Patient?identifier:not=|x,Condition?code=y",
		"Observation?patient:identifier=s|v&subject:Device=d", "Encounter?_profile=http://x|1&_lastUpdated=ap2020", "Patient?name=%CC%81",
	} {
		f.Add(seed)
	}
	line := []byte(`{"resourceType":"Patient","id":"a","name":[{"family":"Núñez"}],"subject":{"reference":"Patient/a"}}`)
	f.Fuzz(func(t *testing.T, value string) {
		filters, err := ParseTypeFilters([]string{value})
		if err != nil {
			require.Equal(t, models.KindInvalid, models.KindOf(err))
			require.Empty(t, filters.Types())
			return
		}
		require.NotEmpty(t, filters.Types())
		again, err := ParseTypeFilters([]string{value})
		require.NoError(t, err)
		require.Equal(t, filters, again)
		for _, code := range filters.Types() {
			filter, _ := filters.For(code)
			filter.Match(line)
			filter.Bounds()
		}
	})
}
