// Package openapi_test holds openapi.yaml, the description of the API that is published, against the API.
package openapi_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/server"
	"pdexbulk/worker/boot"
)

func TestPublishedDescriptionIsCurrent(t *testing.T) {
	t.Parallel()
	published, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	made, err := server.Describe()
	require.NoError(t, err)
	if line := firstDifference(made, published); line > 0 {
		t.Fatalf(`openapi.yaml is out of date from line %d on: run "make gen"`, line)
	}
}

func TestServedDescriptionIsThePublishedOne(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	routes(t).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/openapi.yaml", nil))
	made, err := server.Describe()
	require.NoError(t, err)
	require.Zero(t, firstDifference(made, answer.Body.Bytes()), "line from which on they differ")
}

// firstDifference is the number of the first line in which two texts differ, 0 when they do not.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	line := 1
	for i := 0; i < min(len(a), len(b)) && a[i] == b[i]; i++ {
		if a[i] == '\n' {
			line++
		}
	}
	return line
}

// document is an OpenAPI 3.1 document, as far as it is looked at here.
type document struct {
	OpenAPI    string                                `json:"openapi"`
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas         map[string]json.RawMessage `json:"schemas"`
		SecuritySchemes map[string]json.RawMessage `json:"securitySchemes"`
	} `json:"components"`
}

type operation struct {
	OperationID string                     `json:"operationId"`
	Summary     string                     `json:"summary"`
	Responses   map[string]json.RawMessage `json:"responses"`
	Security    []map[string][]string      `json:"security"`
	Parameters  []struct {
		Name     string          `json:"name"`
		In       string          `json:"in"`
		Required bool            `json:"required"`
		Schema   json.RawMessage `json:"schema"`
	} `json:"parameters"`
}

// routes is the api's handler with nothing behind it: enough for requests that are refused before anything is looked up.
func routes(t *testing.T) http.Handler {
	t.Helper()
	codec, err := boot.ParseCodec("test:" + strings.Repeat("A", 43) + "=")
	require.NoError(t, err)
	p := &boot.Process{
		Config: boot.Config{Dev: true, HTTP: boot.HTTPConfig{BaseURL: "https://payer.example.com/fhir"}},
		Log:    slog.New(slog.DiscardHandler), Health: boot.NewHealth(0), Codec: codec,
	}
	cfg := new(server.Config)
	_, err = boot.Load([]string{"PDEX_ADMIN_TOKEN=secret"}, cfg)
	require.NoError(t, err)
	h, _, err := server.Handler(p, cfg)
	require.NoError(t, err)
	return h
}

func served(t *testing.T) document {
	t.Helper()
	answer := httptest.NewRecorder()
	routes(t).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	require.Equal(t, http.StatusOK, answer.Code)
	var doc document
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &doc))
	return doc
}

// methods are the elements of a path item that are operations.
var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

func (d document) each(t *testing.T, fn func(path, method string, op operation)) {
	t.Helper()
	for path, item := range d.Paths {
		for method, raw := range item {
			if !slices.Contains(methods, method) {
				continue
			}
			var op operation
			require.NoError(t, json.Unmarshal(raw, &op))
			fn(path, method, op)
		}
	}
}

var inPath = regexp.MustCompile(`\{([^}]*)\}`)

func TestDescriptionIsSound(t *testing.T) {
	t.Parallel()
	doc := served(t)
	require.Regexp(t, `^3\.1\.`, doc.OpenAPI)
	ids := map[string]bool{}
	doc.each(t, func(path, method string, op operation) {
		where := method + " " + path
		require.NotEmpty(t, op.OperationID, where)
		require.False(t, ids[op.OperationID], "%s is there twice", op.OperationID)
		ids[op.OperationID] = true
		require.NotEmpty(t, op.Summary, where)
		require.NotEmpty(t, op.Responses, where)
		for _, alternative := range op.Security {
			for scheme := range alternative {
				require.Contains(t, doc.Components.SecuritySchemes, scheme, where)
			}
		}
		var named, declared []string
		for _, m := range inPath.FindAllStringSubmatch(path, -1) {
			named = append(named, m[1])
		}
		for _, p := range op.Parameters {
			require.NotEmpty(t, p.Schema, "%s: %s", where, p.Name)
			if p.In == "path" {
				require.True(t, p.Required, "%s: %s", where, p.Name)
				declared = append(declared, p.Name)
			}
		}
		require.ElementsMatch(t, named, declared, "%s: parameters in the path", where)
	})
	require.NotEmpty(t, ids)
}

var reference = regexp.MustCompile(`"\$ref":"([^"]*)"`)

func TestReferencesResolve(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	routes(t).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	doc := served(t)
	found := reference.FindAllStringSubmatch(answer.Body.String(), -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		name, ok := strings.CutPrefix(m[1], "#/components/schemas/")
		require.True(t, ok, m[1])
		require.Contains(t, doc.Components.Schemas, name)
	}
}

// open are the operations anybody may call.
var open = []string{"token", "keys", "smart-configuration", "metadata", "search-operation-definitions", "healthz", "readyz"}

func TestEveryOperationIsServedAndGuarded(t *testing.T) {
	t.Parallel()
	h := routes(t)
	doc := served(t)
	doc.each(t, func(path, method string, op operation) {
		if op.OperationID == "keys" {
			return // reads the store, which is not there
		}
		if op.OperationID == "read-operation-definition" {
			return // there is none of that id; the server's tests read those there are
		}
		r := httptest.NewRequest(strings.ToUpper(method), inPath.ReplaceAllString(path, "x"), nil)
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		where := method + " " + path
		require.NotContains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, answer.Code, where)
		if slices.Contains(open, op.OperationID) {
			require.NotEqual(t, http.StatusUnauthorized, answer.Code, where)
			require.Empty(t, op.Security, where)
			return
		}
		require.Equal(t, http.StatusUnauthorized, answer.Code, where)
		require.NotEmpty(t, op.Security, "%s asks for credentials and must say so", where)
	})
}

func TestWhatIsNotDescribedIsNotServed(t *testing.T) {
	t.Parallel()
	h := routes(t)
	for _, path := range []string{"/", "/fhir", "/fhir/Patient", "/fhir/Patient/1", "/admin", "/codec", "/auth", "/debug/pprof/"} {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusNotFound, answer.Code, path)
	}
}
