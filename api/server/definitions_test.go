package server_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"pdexbulk/dev/apitest"
)

// Every definition that the CapabilityStatement names can be looked up, read, and says the code under which it is named.
func TestDefinitionsOfOperations(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	get := func(path string) gjson.Result {
		got := a.Do(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, got.StatusCode, got.Text)
		require.Equal(t, "application/fhir+json", got.Header.Get("Content-Type"))
		return gjson.Parse(got.Text)
	}
	statement := get("/fhir/metadata").Get("rest.0")
	named := map[string]bool{}
	for _, d := range append(statement.Get("operation.#.definition").Array(), statement.Get("resource.#.operation.#.definition|@flatten").Array()...) {
		named[d.Str] = true
	}
	require.GreaterOrEqual(t, len(named), 5)
	found := map[string]bool{}
	for canonical := range named {
		bundle := get("/fhir/OperationDefinition?url=" + url.QueryEscape(canonical+"|2.0.0"))
		require.EqualValues(t, 1, bundle.Get("total").Int(), canonical)
		resource := bundle.Get("entry.0.resource")
		require.Equal(t, a.Base+"/OperationDefinition/"+resource.Get("id").Str, bundle.Get("entry.0.fullUrl").Str)
		require.JSONEq(t, resource.Raw, get("/fhir/OperationDefinition/"+resource.Get("id").Str).Raw)
		require.EqualValues(t, 1, get("/fhir/OperationDefinition?name="+resource.Get("name").Str).Get("total").Int())
		require.NotEmpty(t, resource.Get("parameter").Array())
		found[resource.Get("code").Str] = true
	}
	require.EqualValues(t, len(named), get("/fhir/OperationDefinition").Get("total").Int(), "and no others")
	require.Equal(t, map[string]bool{"export": true, "davinci-data-export": true, "bulk-member-match": true, "provider-member-match": true, "member-add": true, "member-remove": true}, found)
	require.EqualValues(t, 0, get("/fhir/OperationDefinition?url=https://a.example").Get("total").Int())
	a.Do(t, http.MethodGet, "/fhir/OperationDefinition/nonesuch", "").Refused(t, 404)
	a.Do(t, http.MethodGet, "/fhir/OperationDefinition?code=export", "").Refused(t, 400)
	a.Do(t, http.MethodGet, "/fhir/OperationDefinition?name=a&name=b", "").Refused(t, 400)
	require.NotContains(t, statement.Get("resource.#.type").Raw, `"Binary"`)
}
