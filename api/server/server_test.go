package server_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/answer"
	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/search"
	"pdexbulk/worker/boot"
)

type operation struct{ Name, Definition string }

type statement struct {
	ResourceType, Status, Kind, FHIRVersion, Date string
	Format, Instantiates                          []string
	Implementation                                struct{ URL string }
	Rest                                          []struct {
		Mode     string
		Security struct {
			Extension []struct {
				URL       string
				Extension []struct{ URL, ValueURI string }
			}
			Service []struct {
				Coding []struct{ System, Code string }
			}
		}
		Operation []operation
		Resource  []struct {
			Type        string
			Operation   []operation
			Interaction []struct{ Code string }
			SearchParam []struct{ Name, Type, Definition, Documentation string }
		}
	}
}

func readStatement(t *testing.T, a *apitest.API) statement {
	t.Helper()
	resp := a.Do(t, http.MethodGet, "/fhir/metadata", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var s statement
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &s))
	return s
}

// CP-01 to CP-06.
func TestMetadata(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	for _, query := range []string{"", "?_format=json", "?_format=application/fhir%2Bjson", "?_format=application/fhir+json", "?_format=application/json;charset=utf-8", "?_pretty=true&mode=full"} {
		resp := a.Do(t, http.MethodGet, "/fhir/metadata"+query, "", "Accept: text/html")
		require.Equal(t, http.StatusOK, resp.StatusCode, query)
		require.Equal(t, "application/fhir+json", resp.Header.Get("Content-Type"))
	}
	require.Equal(t, "_format", a.Do(t, http.MethodGet, "/fhir/metadata?_format=xml", "").Refused(t, 400).At())
	require.Equal(t, http.StatusOK, a.Do(t, http.MethodHead, "/fhir/metadata", "").StatusCode)
	a.Do(t, http.MethodPost, "/fhir/metadata", "").Refused(t, 405)

	s := readStatement(t, a)
	require.Equal(t, "CapabilityStatement", s.ResourceType)
	require.Equal(t, "active", s.Status)
	require.Equal(t, "instance", s.Kind)
	require.Equal(t, "4.0.1", s.FHIRVersion)
	require.Contains(t, s.Format, "json")
	require.Equal(t, a.Base, s.Implementation.URL)
	require.Equal(t, []string{"http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"}, s.Instantiates)
	_, err := fhir.ParseDateTime(s.Date)
	require.NoError(t, err)
	require.Len(t, s.Rest, 1)
	security := s.Rest[0].Security
	require.Equal(t, "SMART-on-FHIR", security.Service[0].Coding[0].Code)
	require.Equal(t, "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", security.Extension[0].URL)
	require.Equal(t, "token", security.Extension[0].Extension[0].URL)
	require.Equal(t, a.Root+"/auth/token", security.Extension[0].Extension[0].ValueURI)
	seen := map[string]bool{}
	for _, r := range s.Rest[0].Resource {
		require.False(t, seen[r.Type], r.Type)
		seen[r.Type] = true
		_, known := fhir.TypeCode(r.Type)
		require.True(t, known, r.Type)
	}
	require.True(t, seen["Patient"] && seen["Group"])
}

// routes lists the routes of the API description as "METHOD path".
func routes(t *testing.T, a *apitest.API) []string {
	t.Helper()
	var doc struct{ Paths map[string]map[string]any }
	require.NoError(t, json.Unmarshal([]byte(a.Do(t, http.MethodGet, "/openapi.json", "").Text), &doc))
	var out []string
	for path, item := range doc.Paths {
		for method := range item {
			out = append(out, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

// Each operation that is declared is served, each that is served is declared, and so are reads and searches.
func TestMetadataIsTrue(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	s := readStatement(t, a)
	declared := map[string]bool{}
	definitions := map[string]string{}
	declare := func(level string, ops []operation) {
		for _, o := range ops {
			name := o.Name
			if name == "patient-export" || name == "group-export" {
				name = "export" // the same operation under the name of its definition
			}
			at := level + "/$" + name
			declared[at] = true
			require.NotEmpty(t, o.Definition)
			if definitions[at] != "" {
				require.Equal(t, definitions[at], o.Definition)
			}
			definitions[at] = o.Definition
		}
	}
	reads, searches := map[string]bool{}, map[string]bool{}
	declare("", s.Rest[0].Operation)
	for _, r := range s.Rest[0].Resource {
		declare("/"+r.Type, r.Operation)
		for _, i := range r.Interaction {
			reads["/"+r.Type] = reads["/"+r.Type] || i.Code == "read"
			searches["/"+r.Type] = searches["/"+r.Type] || i.Code == "search-type"
		}
	}
	served := map[string]bool{}
	servedReads, servedSearches := map[string]bool{}, map[string]bool{}
	for _, route := range routes(t, a) {
		method, path, _ := strings.Cut(route, " ")
		rest, ok := strings.CutPrefix(path, "/fhir")
		if !ok {
			continue
		}
		resource := "/" + strings.Split(rest+"/", "/")[1]
		_, known := fhir.TypeCode(resource[1:])
		switch {
		case strings.Contains(rest, "$"):
			served[strings.Replace(rest, "/{id}", "", 1)] = true
		case known && method == http.MethodGet && rest == resource:
			servedSearches[resource] = true
		case known && method == http.MethodGet && rest == resource+"/{id}":
			servedReads[resource] = true
		}
	}
	require.Equal(t, served, declared)
	require.Equal(t, map[string]bool{"/Consent": true, "/Group": true, "/OperationDefinition": true}, reads)
	require.Equal(t, servedReads, reads)
	require.Equal(t, servedSearches, searches)
	require.Equal(t, "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch", definitions["/Group/$bulk-member-match"])
	require.Equal(t, "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/davinci-data-export", definitions["/Group/$davinci-data-export"])
	require.Equal(t, "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export", definitions["/Group/$export"])

	// The search parameters that are declared are taken: by the search where there is one, else by _typeFilter.
	c := a.Client(t, "backend", models.ClientBackend, "")
	for _, r := range s.Rest[0].Resource {
		require.NotEmpty(t, r.SearchParam, r.Type)
		for _, p := range r.SearchParam {
			if len(r.Interaction) == 0 || p.Documentation != "" {
				require.Contains(t, search.Parameters(typeCode(t, r.Type)), search.Param{Name: p.Name, Kind: search.Kind(p.Type)})
				continue
			}
			resp := c.Do(t, http.MethodGet, "/fhir/"+r.Type+"?"+p.Name+"=x", "")
			require.Equal(t, http.StatusOK, resp.StatusCode, p.Name)
			require.NotEmpty(t, p.Definition)
		}
	}
}

func typeCode(t *testing.T, name string) int16 {
	t.Helper()
	code, ok := fhir.TypeCode(name)
	require.True(t, ok, name)
	return code
}

// sealing is a process whose payloads are encrypted.
func sealing(t *testing.T) *apitest.API {
	t.Helper()
	return apitest.New(t, func(p *boot.Process, _ *server.Config) {
		codec, err := boot.ParseCodec("k:" + strings.Repeat("A", 43) + "=")
		require.NoError(t, err)
		p.Codec = codec
		p.Config.Temporal.UIOrigin = "https://ui.example"
	})
}

// Every route of the description exists, and those that are not for everybody want a token.
func TestDescribedRoutesExist(t *testing.T) {
	t.Parallel()
	a := sealing(t)
	for _, route := range routes(t, a) {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("{id}", models.NewID(), "{job}", models.NewID(), "{file}", "0.Patient.ndjson").Replace(path)
		if strings.HasPrefix(path, "/fhir/OperationDefinition/") {
			path = "/fhir/OperationDefinition/export"
		}
		resp := a.Do(t, method, path, "")
		require.NotEqual(t, http.StatusNotFound, resp.StatusCode, route)
		require.NotEqual(t, http.StatusMethodNotAllowed, resp.StatusCode, route)
		switch {
		case path == "/fhir/metadata", strings.HasPrefix(path, "/fhir/OperationDefinition"), strings.HasPrefix(path, "/fhir/.well-known/"), strings.HasPrefix(path, "/auth/"), path == "/healthz", path == "/readyz":
		default:
			require.Equal(t, http.StatusUnauthorized, resp.StatusCode, route)
		}
	}
}

func TestCodecServer(t *testing.T) {
	t.Parallel()
	a := sealing(t)
	for _, path := range []string{"/codec/encode", "/codec/decode"} {
		require.Equal(t, http.StatusUnauthorized, a.Do(t, http.MethodPost, path, `{"payloads":[]}`, "Content-Type: application/json").StatusCode)
		resp := a.Do(t, http.MethodPost, path, `{"payloads":[]}`, "Content-Type: application/json", "Authorization: Bearer "+apitest.AdminToken)
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
		resp = a.Do(t, http.MethodOptions, path, "", "Origin: https://ui.example")
		require.Equal(t, "https://ui.example", resp.Header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "POST, OPTIONS", a.Do(t, http.MethodGet, path, "").Header.Get("Allow"))
	}
	require.Equal(t, http.StatusNotFound, a.Do(t, http.MethodPost, "/codec/other", "").StatusCode)
}

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/fhir", 404, ""},
		{"GET", "/fhir/", 404, ""},
		{"GET", "/fhir/Patient", 404, ""},
		{"GET", "/fhir/Patient/1", 404, ""},
		{"POST", "/fhir", 404, ""},
		{"GET", "/fhir/$unknown", 404, ""},
		{"GET", "/fhir/metadata/", 404, ""},
		{"GET", "/fhir/Group/x/", 404, ""},
		{"GET", "/fhir/Group/x/y", 404, ""},
		{"GET", "/fhir/Group/x/_history/1/2", 404, ""},
		{"GET", "/fhir/../admin/clients", 404, ""},
		{"GET", "/fhir/./metadata", 404, ""},
		{"GET", "/fhir//metadata", 404, ""},
		{"GET", "//fhir/metadata", 404, ""},
		{"GET", "/fhir/%2e%2e/admin/clients", 404, ""},
		{"GET", "/fhir/..%2fadmin/clients", 404, ""},
		{"GET", "/FHIR/metadata", 404, ""},
		{"GET", "/", 404, ""},
		{"GET", "//", 404, ""},
		{"GET", "/..", 404, ""},
		{"GET", "/admin", 404, ""},
		{"GET", "/admin/", 404, ""},
		{"GET", "/admin/clients/", 404, ""},
		{"GET", "/codec/decode", 404, ""}, // payloads are not sealed here
		{"GET", "/debug/pprof/", 404, ""},
		{"DELETE", "/fhir/metadata", 405, "GET, HEAD"},
		{"OPTIONS", "/fhir/metadata", 405, "GET, HEAD"},
		{"PATCH", "/fhir/$export", 405, "GET, HEAD, POST"},
		{"PUT", "/fhir/Group/$bulk-member-match", 405, "GET, HEAD, POST"},
		{"POST", "/fhir/Group", 405, "GET, HEAD"},
		{"PUT", "/fhir/bulk-status/x", 405, "GET, HEAD, DELETE"},
		{"TRACE", "/fhir/bulk-files/x/y", 405, "GET, HEAD"},
		{"POST", "/healthz", 405, "GET, HEAD"},
		{"DELETE", "/admin/clients", 405, "GET, HEAD"},
		{"DELETE", "/admin/clients/x", 405, "GET, HEAD, PUT"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			resp := a.Do(t, tt.method, tt.path, "")
			require.Equal(t, tt.status, resp.StatusCode, resp.Text)
			require.Equal(t, tt.allow, resp.Header.Get("Allow"))
			if strings.HasPrefix(tt.path, "/fhir/") || tt.path == "/fhir" {
				resp.Refused(t, tt.status)
				return
			}
			require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
			var p answer.Problem
			require.NoError(t, json.Unmarshal([]byte(resp.Text), &p))
			require.Equal(t, tt.status, p.Status)
			require.NotEmpty(t, p.Detail)
		})
	}
}

func TestHugeAndOddRequests(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	long := strings.Repeat("x", 200_000)
	c.Do(t, http.MethodGet, "/fhir/$export?"+long+"=1", "", apitest.Async, apitest.FHIR).Refused(t, 400)
	require.Equal(t, http.StatusOK, c.Do(t, http.MethodGet, "/fhir/Group?_id="+long, "").StatusCode, "no Group has this id")
	c.Do(t, http.MethodGet, "/fhir/Group?"+strings.Repeat("_id=x&", 1000), "").Refused(t, 400)
	c.Do(t, http.MethodGet, "/fhir/Group/"+long, "").Refused(t, 404)
	resp := a.Do(t, http.MethodGet, "/fhir/Group", "", "Authorization: Bearer "+long)
	resp.Refused(t, 401)
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	for _, path := range []string{"/fhir/metadata", "/fhir/nothing", "/admin/clients", "/healthz", "/nothing", "/fhir/.well-known/smart-configuration"} {
		h := a.Do(t, http.MethodGet, path, "").Header
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), path)
	}
}
