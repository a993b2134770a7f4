package bulk_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/activities"
	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
	"pdexbulk/worker/boot"
)

// addGroup gives a client a matched Group without members and returns its id.
func addGroup(t *testing.T, c *apitest.Caller, change func(*store.Group)) string {
	t.Helper()
	params, err := json.Marshal(models.MatchParams{Organizations: []string{apitest.OrganizationID(c.ID)}})
	require.NoError(t, err)
	job := &models.Job{
		ID: models.NewID(), ClientID: c.ID, Operation: models.OpBulkMemberMatch, RequestDigest: []byte(models.NewID()),
		State: models.StateCompleted, Params: params, CreatedAt: time.Now(),
	}
	_, err = c.Store.DB.NewInsert().Model(job).Exec(t.Context())
	require.NoError(t, err)
	g := &store.Group{
		ID: models.NewID(), ClientID: c.ID, JobID: job.ID, CreatedAt: time.Now().UTC(),
		Profile: "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-member-match-group",
	}
	g.BlobKey = "groups/" + g.ID
	if change != nil {
		change(g)
	}
	_, err = c.Store.DB.NewInsert().Model(g).Exec(t.Context())
	require.NoError(t, err)
	putBlob(t, c, g.BlobKey, []byte(`{"resourceType":"Group","id":"`+g.ID+`","actual":true}`))
	return g.ID
}

func putBlob(t *testing.T, c *apitest.Caller, key string, content []byte) {
	t.Helper()
	w, err := c.Files.Create(t.Context(), key)
	require.NoError(t, err)
	defer w.Abort()
	_, err = w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Commit())
}

func exportParams(t *testing.T, job *models.Job) models.ExportParams {
	t.Helper()
	var p models.ExportParams
	require.NoError(t, json.Unmarshal(job.Params, &p))
	return p
}

func unlimited(_ *boot.Process, cfg *server.Config) { cfg.OpenJobs = 0 }

// The ways real clients start exports.
func TestKickOffForms(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	backend := a.Client(t, "backend", models.ClientBackend, "")
	payer := a.Client(t, "payer", models.ClientPayer, "")
	group := "/fhir/Group/" + addGroup(t, payer, nil)
	codes := func(names ...string) []int16 {
		var out []int16
		for _, n := range names {
			code, ok := fhir.TypeCode(n)
			require.True(t, ok, n)
			out = append(out, code)
		}
		return out
	}
	since := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)

	tests := []struct {
		name    string
		who     *apitest.Caller
		method  string
		path    string
		body    string
		headers []string
		want    models.ExportParams
		op      models.Operation
	}{
		{"system by GET", backend, "GET", "/fhir/$export", "", nil, models.ExportParams{}, models.OpSystemExport},
		{"dollar sign encoded", backend, "GET", "/fhir/%24export", "", nil, models.ExportParams{}, models.OpSystemExport},
		{"POST without a body", backend, "POST", "/fhir/$export?_type=Patient", "", []string{"Accept: application/fhir+json, */*; q=0.1"}, models.ExportParams{Types: codes("Patient")}, models.OpSystemExport},
		{"POST with an empty Parameters", backend, "POST", "/fhir/Patient/$export", `{"resourceType":"Parameters"}`, nil, models.ExportParams{}, models.OpPatientExport},
		{
			"SMART client", backend, "POST", "/fhir/Patient/$export",
			`{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient"},{"name":"_type","valueString":"Observation,Patient"},{"name":"_since","valueInstant":"2026-01-31T12:00:00+02:00"}]}`,
			[]string{"Content-Type: application/json; charset=UTF-8", "Prefer: respond-async, handling=lenient"},
			models.ExportParams{Types: codes("Observation", "Patient"), Since: &since},
			models.OpPatientExport,
		},
		{"plus sign as a blank", backend, "GET", "/fhir/$export?_since=2026-01-31T12:00:00+02:00&_outputFormat=application/fhir+ndjson", "", nil, models.ExportParams{Since: &since}, models.OpSystemExport},
		{"plus sign encoded", backend, "GET", "/fhir/$export?_since=2026-01-31T12:00:00%2B02:00&_outputFormat=application%2Ffhir%2Bndjson", "", nil, models.ExportParams{Since: &since}, models.OpSystemExport},
		{"short formats", backend, "GET", "/fhir/$export?_outputFormat=ndjson&_format=json", "", nil, models.ExportParams{}, models.OpSystemExport},
		{"types repeated", backend, "GET", "/fhir/$export?_type=Patient&_type=Coverage,Patient", "", nil, models.ExportParams{Types: codes("Coverage", "Patient")}, models.OpSystemExport},
		{"shared types at system level", backend, "GET", "/fhir/$export?_type=Organization", "", nil, models.ExportParams{Types: codes("Organization")}, models.OpSystemExport},
		{"Provenance beside types", backend, "GET", "/fhir/Patient/$export?_type=Patient&includeAssociatedData=RelevantProvenanceResources", "", nil, models.ExportParams{Types: codes("Patient", "Provenance")}, models.OpPatientExport},
		{"Provenance twice", backend, "GET", "/fhir/$export?includeAssociatedData=RelevantProvenanceResources&_type=Provenance,Patient", "", nil, models.ExportParams{Types: codes("Patient", "Provenance")}, models.OpSystemExport},
		{"Provenance of everything", backend, "GET", "/fhir/$export?includeAssociatedData=RelevantProvenanceResources", "", nil, models.ExportParams{}, models.OpSystemExport},
		{"Provenance of nobody's data", backend, "GET", "/fhir/$export?_type=Organization&includeAssociatedData=RelevantProvenanceResources", "", nil, models.ExportParams{Types: codes("Organization")}, models.OpSystemExport},
		{"until", backend, "GET", "/fhir/$export?_until=2026-01-31T10:00:00Z", "", nil, models.ExportParams{Until: &since}, models.OpSystemExport},
		{"Prefer over two lines", backend, "GET", "/fhir/$export", "", []string{"Prefer: handling=strict", "Prefer: wait=10, Respond-Async;x=1"}, models.ExportParams{}, models.OpSystemExport},
		{"Accept of JSON", backend, "GET", "/fhir/$export", "", []string{"Accept: text/html;q=0.3, application/json; fhirVersion=4.0"}, models.ExportParams{}, models.OpSystemExport},
		{"a Group", payer, "GET", group + "/$export", "", nil, models.ExportParams{GroupID: "x"}, models.OpGroupExport},
		{"Da Vinci by GET", payer, "GET", group + "/$davinci-data-export?exportType=hl7.fhir.us.davinci-pdex%23payertopayer", "", nil, models.ExportParams{GroupID: "x", ExportType: "hl7.fhir.us.davinci-pdex#payertopayer"}, models.OpDataExport},
		{
			"Da Vinci by POST", payer, "POST", group + "/$davinci-data-export",
			`{"resourceType":"Parameters","parameter":[{"name":"exportType","valueCanonical":"hl7.fhir.us.davinci-pdex#payertopayer"},{"name":"_outputFormat","valueCode":"ndjson"}]}`, nil,
			models.ExportParams{GroupID: "x", ExportType: "hl7.fhir.us.davinci-pdex#payertopayer"},
			models.OpDataExport,
		},
		{"organized by Patient", backend, "GET", "/fhir/Patient/$export?organizeOutputBy=Patient", "", nil, models.ExportParams{OrganizeBy: "Patient"}, models.OpPatientExport},
		{"organized by Patient, lenient, Parquet", backend, "GET", "/fhir/$export?organizeOutputBy=Patient&_outputFormat=" + models.FormatParquet, "", []string{"Prefer: handling=lenient"}, models.ExportParams{Format: models.FormatParquet, Ignored: []string{"organizeOutputBy"}}, models.OpSystemExport},
		{"organized by Patient in a body", payer, "POST", group + "/$export", `{"resourceType":"Parameters","parameter":[{"name":"organizeOutputBy","valueString":"Patient"}]}`, nil, models.ExportParams{GroupID: "x", OrganizeBy: "Patient"}, models.OpGroupExport},
		{"lenient", backend, "GET", "/fhir/Patient/$export?organizeOutputBy=Group&foo=1&bar=1&foo=2&9=9&_type=Patient,Basics", "", []string{"Prefer: handling=lenient"}, models.ExportParams{Types: codes("Patient"), Ignored: []string{"organizeOutputBy", "foo", "bar", "", "_type"}}, models.OpPatientExport},
		{"lenient, no type left", backend, "GET", "/fhir/$export?_type=Basics", "", []string{`Prefer: handling="lenient"`}, models.ExportParams{Types: []int16{0}, Ignored: []string{"_type"}}, models.OpSystemExport},
		{"lenient in a body", backend, "POST", "/fhir/$export", `{"resourceType":"Parameters","parameter":[{"name":"organizeOutputBy","valueString":"Group"},{"name":"allowPartialManifests","valueBoolean":true}]}`, []string{"Prefer: handling=lenient"}, models.ExportParams{Ignored: []string{"organizeOutputBy"}, Pages: true}, models.OpSystemExport},
		{"pages", backend, "GET", "/fhir/$export?allowPartialManifests=true", "", nil, models.ExportParams{Pages: true}, models.OpSystemExport},
		{"no pages", backend, "GET", "/fhir/$export?allowPartialManifests=false", "", nil, models.ExportParams{}, models.OpSystemExport},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			headers := []string{apitest.Async}
			for _, name := range []string{"Accept", "Content-Type"} {
				own := false
				for _, h := range tt.headers {
					own = own || strings.HasPrefix(h, name+": ")
				}
				if !own && (name == "Accept" || tt.body != "") {
					headers = append(headers, name+": application/fhir+json")
				}
			}
			resp := tt.who.Do(t, tt.method, tt.path, tt.body, append(headers, tt.headers...)...)
			require.Equal(t, http.StatusAccepted, resp.StatusCode, resp.Text)
			require.Empty(t, resp.Text)
			job := tt.who.Job(t, resp)
			if tt.want.GroupID != "" {
				tt.want.GroupID = strings.TrimPrefix(group, "/fhir/Group/")
			}
			tt.want.Base = a.Base
			require.Equal(t, tt.want, exportParams(t, job))
			require.Equal(t, tt.op, job.Operation)
			require.Equal(t, tt.who.ID, job.ClientID)
			require.Equal(t, a.Root+tt.path, job.RequestURL)
			run, err := a.Temporal.DescribeWorkflowExecution(t.Context(), "export-"+job.ID, "")
			require.NoError(t, err)
			require.Equal(t, "Export", run.GetWorkflowExecutionInfo().GetType().GetName())
			tt.who.Do(t, http.MethodDelete, "/fhir/bulk-status/"+job.ID, "") // so that the next is no twin
		})
	}
}

func TestKickOffRefuses(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	backend := a.Client(t, "backend", models.ClientBackend, "")
	payer := a.Client(t, "payer", models.ClientPayer, "")
	narrow := a.Login(t, "backend", "system/Patient.rs")
	group := "/fhir/Group/" + addGroup(t, payer, nil)
	expired := "/fhir/Group/" + addGroup(t, payer, func(g *store.Group) { g.ExpiresAt = new(time.Now().Add(-time.Second)) })
	body := func(params string) string { return `{"resourceType":"Parameters","parameter":[` + params + `]}` }
	const secret = "Zaphod-1970"

	tests := []struct {
		name   string
		who    *apitest.Caller
		method string
		path   string
		body   string
		prefer string
		status int
		at     string
	}{
		{"unknown parameter", backend, "GET", "/fhir/$export?foo=" + secret, "", "", 400, "foo"},
		{"unknown parameter of an odd name", backend, "GET", "/fhir/$export?" + secret + "=1", "", "", 400, ""},
		{"unknown parameter in a body", backend, "POST", "/fhir/$export", body(`{"name":"` + secret + `","valueString":"x"}`), "", 400, "Parameters.parameter[0]"},
		{"_typeFilter that is not supported, even lenient", backend, "GET", "/fhir/$export?_typeFilter=Observation%3Ffoo=1", "", "handling=lenient", 400, "_typeFilter"},
		{"patient of somebody else", payer, "POST", group + "/$export", body(`{"name":"patient","valueReference":{"reference":"Patient/` + secret + `"}}`), "", 400, "Parameters.parameter[0]"},
		{"patient at system level", backend, "POST", "/fhir/$export", body(`{"name":"patient","valueReference":{"reference":"Patient/` + secret + `"}}`), "", 400, "Parameters.parameter[0]"},
		{"patient by GET", backend, "GET", "/fhir/Patient/$export?patient=Patient/" + secret, "", "handling=lenient", 400, "patient"},
		{"patient no Patient", payer, "POST", group + "/$export", body(`{"name":"patient","valueReference":{"reference":"Group/` + secret + `"}}`), "", 400, "Parameters.parameter[0]"},
		{"_elements of another depth", backend, "GET", "/fhir/$export?_elements=Patient.name.family", "", "", 400, "_elements"},
		{"organized by another type", backend, "GET", "/fhir/$export?organizeOutputBy=" + secret, "", "", 400, "organizeOutputBy"},
		{"organized by nothing", backend, "GET", "/fhir/$export?organizeOutputBy=", "", "", 400, "organizeOutputBy"},
		{"organized twice", backend, "GET", "/fhir/$export?organizeOutputBy=Patient&organizeOutputBy=Patient", "", "", 400, "organizeOutputBy"},
		{"Parquet organized by Patient", backend, "GET", "/fhir/$export?organizeOutputBy=Patient&_outputFormat=" + models.FormatParquet, "", "", 400, "organizeOutputBy"},
		{"includeAssociatedData", backend, "GET", "/fhir/$export?includeAssociatedData=_foo", "", "", 400, "includeAssociatedData"},
		{"since no instant", backend, "GET", "/fhir/$export?_since=" + secret, "", "", 400, "_since"},
		{"since a day", backend, "GET", "/fhir/$export?_since=2026-01-01", "", "", 400, "_since"},
		{"since in the future", backend, "GET", "/fhir/$export?_since=2999-01-01T00:00:00Z", "", "", 400, "_since"},
		{"since in the future, lenient", backend, "GET", "/fhir/$export?_since=2999-01-01T00:00:00Z", "", "handling=lenient", 400, "_since"},
		{"since twice", backend, "GET", "/fhir/$export?_since=2026-01-01T00:00:00Z&_since=2026-01-02T00:00:00Z", "", "", 400, "_since"},
		{"since in query and body", backend, "POST", "/fhir/$export?_since=2026-01-01T00:00:00Z", body(`{"name":"_since","valueInstant":"2026-01-01T00:00:00Z"}`), "", 400, "Parameters.parameter[0]"},
		{"format twice", backend, "GET", "/fhir/$export?_outputFormat=ndjson&_outputFormat=ndjson", "", "", 400, "_outputFormat"},
		{"format CSV", backend, "GET", "/fhir/$export?_outputFormat=text/csv", "", "", 400, "_outputFormat"},
		{"format CSV, lenient", backend, "GET", "/fhir/$export?_outputFormat=text/csv", "", "handling=lenient", 400, "_outputFormat"},
		{"answers in XML", backend, "GET", "/fhir/$export?_format=xml", "", "", 400, "_format"},
		{"no such type", backend, "GET", "/fhir/$export?_type=Patient," + secret, "", "", 400, "_type"},
		{"empty type", backend, "GET", "/fhir/$export?_type=", "", "", 400, "_type"},
		{"no such type at Patient level", backend, "GET", "/fhir/Patient/$export?_type=AuditTrail", "", "", 400, "_type"},
		{"only shared types of a Group", payer, "GET", group + "/$export?_type=Organization", "", "", 400, "_type"},
		{"export type of another kind", payer, "GET", group + "/$davinci-data-export?exportType=hl7.fhir.us.davinci-pdex%23provider-delta", "", "", 400, "exportType"},
		{"export type cut at the fragment", payer, "GET", group + "/$davinci-data-export?exportType=hl7.fhir.us.davinci-pdex", "", "", 400, "exportType"},
		{"export type on $export", payer, "GET", group + "/$export?exportType=hl7.fhir.us.davinci-pdex%23payertopayer", "", "", 400, "exportType"},
		{"broken percent-encoding", backend, "GET", "/fhir/$export?_type=%zz", "", "", 400, ""},
		{"raw bytes in a name", backend, "GET", "/fhir/$export?\xff=1", "", "", 400, ""},
		{"too many ignored", backend, "GET", "/fhir/$export?" + distinct(60), "", "handling=lenient", 400, ""},
		{"body no JSON", backend, "POST", "/fhir/$export", `{"resourceType"`, "", 400, ""},
		{"body no Parameters", backend, "POST", "/fhir/$export", `{"resourceType":"Patient","name":[{"family":"` + secret + `"}]}`, "", 400, ""},
		{"body a list", backend, "POST", "/fhir/$export", `[]`, "", 400, ""},
		{"body not UTF-8", backend, "POST", "/fhir/$export", body("{\"name\":\"\xff\"}"), "", 400, ""},
		{"body a bomb", backend, "POST", "/fhir/$export", strings.Repeat("[", 500_000), "", 400, ""},
		{"body with a name twice", backend, "POST", "/fhir/$export", body(`{"name":"_type","valueString":"Patient","VALUEString":"Coverage"}`), "", 400, "Parameters"},
		{"body with two values", backend, "POST", "/fhir/$export", body(`{"name":"_type","valueString":"Patient","valueCode":"Coverage"}`), "", 400, "Parameters.parameter.value[x]"},
		{"body with a parameter without a name", backend, "POST", "/fhir/$export", body(`{"valueString":"Patient"}`), "", 400, "Parameters.parameter[0]"},
		{"body with a number", backend, "POST", "/fhir/$export", body(`{"name":"_since","valueInteger":1}`), "", 400, "Parameters.parameter[0]"},
		{"body too large", backend, "POST", "/fhir/$export", body(`{"name":"_type","valueString":"` + strings.Repeat("x", 1<<20) + `"}`), "", 413, ""},
		{"system level for a payer", payer, "GET", "/fhir/$export", "", "", 403, ""},
		{"Patient level for a payer", payer, "GET", "/fhir/Patient/$export", "", "", 403, ""},
		{"a type beyond the token", narrow, "GET", "/fhir/$export?_type=Observation", "", "", 403, "_type"},
		{"somebody else's Group", backend, "GET", group + "/$export", "", "", 404, ""},
		{"somebody else's Group, Da Vinci", backend, "POST", group + "/$davinci-data-export", "", "", 404, ""},
		{"no such Group", payer, "GET", "/fhir/Group/" + models.NewID() + "/$export", "", "", 404, ""},
		{"a Group's id of another form", payer, "GET", "/fhir/Group/x%00y/$export", "", "", 404, ""},
		{"an expired Group", payer, "GET", expired + "/$export", "", "", 410, ""},
		{"Da Vinci without a Group", payer, "POST", "/fhir/Group/$davinci-data-export", "", "", 405, ""},
		{"HEAD starts nothing", backend, "HEAD", "/fhir/$export", "", "", 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			headers := []string{apitest.Async, apitest.FHIR}
			if tt.prefer != "" {
				headers = append(headers, "Prefer: "+tt.prefer)
			}
			if tt.body != "" {
				headers = append(headers, apitest.JSON)
			}
			resp := tt.who.Do(t, tt.method, tt.path, tt.body, headers...)
			if tt.method == http.MethodHead {
				require.Equal(t, tt.status, resp.StatusCode)
			} else {
				require.Equal(t, tt.at, resp.Refused(t, tt.status).At(), resp.Text)
			}
			require.NotContains(t, resp.Text, secret)
			if tt.status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, resp.Header.Get("Allow"))
			}
			n, err := a.Store.DB.NewSelect().Table("jobs").Where("state = 'accepted'").Count(t.Context())
			require.NoError(t, err)
			require.Zero(t, n)
		})
	}
	require.NotContains(t, a.Log(), secret)
}

func distinct(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, strings.Repeat("a", i%30+1)+strings.Repeat("b", i/30+1)+"=1")
	}
	return strings.Join(parts, "&")
}

func TestKickOffBodyIsBounded(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.KickoffBody = 200 })
	c := a.Client(t, "backend", models.ClientBackend, "")
	const body = `{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient"}]}`
	padded := func(n int) string { return body + strings.Repeat(" ", n-len(body)) }
	resp := c.Do(t, http.MethodPost, "/fhir/$export", padded(201), apitest.Async, apitest.FHIR, apitest.JSON)
	require.Contains(t, resp.Refused(t, 413).Issue[0].Diagnostics, "200 bytes")
	c.KickOff(t, http.MethodPost, "/fhir/$export", padded(200))
}

func TestKickOffWithoutToken(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	for _, path := range []string{"/fhir/$export", "/fhir/Patient/$export", "/fhir/Group/x/$export", "/fhir/Group/x/$davinci-data-export", "/fhir/Group", "/fhir/Group/x", "/fhir/bulk-status/x", "/fhir/bulk-files/x/y"} {
		resp := a.Do(t, http.MethodGet, path, "", apitest.Async, apitest.FHIR)
		require.Equal(t, "login", resp.Refused(t, 401).Issue[0].Code, path)
		require.Equal(t, `Bearer realm="fhir"`, resp.Header.Get("WWW-Authenticate"), path)
		resp = a.Do(t, http.MethodGet, path, "", apitest.Async, apitest.FHIR, "Authorization: Bearer "+apitest.AdminToken)
		resp.Refused(t, 401)
		require.Contains(t, resp.Header.Get("WWW-Authenticate"), "invalid_token", path)
	}
}

// Without _type an export is of what the token covers, and its status and files are for no narrower token.
func TestScopesBoundTheJob(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	wide := a.Client(t, "backend", models.ClientBackend, "")
	two := a.Login(t, "backend", "system/Patient.rs system/Coverage.rs")
	one := a.Login(t, "backend", "system/Patient.rs")
	reading := a.Login(t, "backend", "system/Patient.r")

	job := two.KickOff(t, http.MethodGet, "/fhir/$export", "")
	require.Len(t, exportParams(t, job).Types, 2)
	all := wide.KickOff(t, http.MethodGet, "/fhir/$export", "")
	require.Empty(t, exportParams(t, all).Types)
	reading.Do(t, http.MethodGet, "/fhir/$export", "", apitest.Async, apitest.FHIR).Refused(t, 403)

	poll := func(c *apitest.Caller, job *models.Job) int {
		return c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "").StatusCode
	}
	require.Equal(t, []int{202, 202, 403}, []int{poll(wide, job), poll(two, job), poll(one, job)})
	require.Equal(t, []int{202, 403, 403}, []int{poll(wide, all), poll(two, all), poll(one, all)})
}

// The deletions that a job tells of are for every token that covers the job, though a Bundle is no type that it exports.
func TestDeletedFileNeedsNoScopeOfBundles(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	a.Client(t, "backend", models.ClientBackend, "")
	two := a.Login(t, "backend", "system/Patient.rs system/Coverage.rs")
	one := a.Login(t, "backend", "system/Patient.rs")
	for _, query := range []string{"", "&organizeOutputBy=Patient"} {
		job := two.KickOff(t, http.MethodGet, "/fhir/Patient/$export?_since=2026-01-01T00:00:00Z&_type=Patient,Coverage"+query, "")
		complete(t, two, job, time.Now().Add(time.Hour), models.JobFile{Kind: "deleted", Type: "Bundle"}, models.JobFile{Kind: "error", Type: "OperationOutcome"})
		path := "/fhir/bulk-files/" + job.ID
		require.Equal(t, 404, two.Do(t, http.MethodGet, path+"/0.Bundle.ndjson", "").StatusCode, "404: nothing was written")
		one.Do(t, http.MethodGet, path+"/0.Bundle.ndjson", "").Refused(t, 403)
		require.Equal(t, 404, one.Do(t, http.MethodGet, path+"/1.OperationOutcome.ndjson", "").StatusCode)
	}
}

// A client that is no back end any more has no use of what it exported as one.
func TestWhoIsNoBackEndAnyMore(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	c := a.Client(t, "backend", models.ClientBackend, "")
	var jobs []*models.Job
	for _, path := range []string{"/fhir/$export", "/fhir/Patient/$export"} {
		jobs = append(jobs, c.KickOff(t, http.MethodGet, path, ""))
		complete(t, c, jobs[len(jobs)-1], time.Now().Add(time.Hour), models.JobFile{Kind: "output", Type: "Patient"}, models.JobFile{Kind: "error", Type: "OperationOutcome"})
	}
	running := c.KickOff(t, http.MethodGet, "/fhir/$export?_type=Patient", "")
	body := `{"name":"x","kind":"payer","organizationIds":["urn:x|y"],"scopes":["system/*.rs"],"jwks":` + string(jwksOf(t, c)) + `}`
	resp := a.Do(t, http.MethodPut, "/admin/clients/backend", body, "Authorization: Bearer "+apitest.AdminToken, "Content-Type: application/json")
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
	for _, job := range jobs {
		for _, path := range []string{"/fhir/bulk-status/" + job.ID, "/fhir/bulk-files/" + job.ID + "/0.Patient.ndjson", "/fhir/bulk-files/" + job.ID + "/1.OperationOutcome.ndjson", "/fhir/bulk-files/" + job.ID + "/Binary/x"} {
			c.Do(t, http.MethodGet, path, "").Refused(t, 403)
		}
	}
	status(t, c, running).Refused(t, 403)
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+running.ID, "").StatusCode)
}

func jwksOf(t *testing.T, c *apitest.Caller) json.RawMessage {
	t.Helper()
	client, err := c.Store.Client(t.Context(), c.ID)
	require.NoError(t, err)
	return client.JWKS
}

// PDex 2.2.0 Provider Access, 296: $davinci-data-export passes over references that are invalid, of whatever form, and exports no more for it.
func TestInvalidPatientsAreIgnored(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	c := a.Client(t, "payer", models.ClientPayer, "")
	group := "/fhir/Group/" + addGroup(t, c, nil)
	for _, value := range []string{
		`"valueReference":{"reference":"Patient/"}`, `"valueReference":{"reference":"x"}`, `"valueReference":{"reference":"Practitioner/1"}`, `"valueReference":{"reference":"Patient/a b"}`,
		`"valueReference":{"identifier":{"value":"1"}}`, `"valueReference":{}`, `"valueString":""`, `"valueInteger":7`, `"valueReference":{"reference":"Patient/stranger"}`,
	} {
		body := `{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient"},{"name":"patient",` + value + `}]}`
		p := exportParams(t, c.KickOff(t, http.MethodPost, group+"/$davinci-data-export", body))
		require.Len(t, p.Patients, 1, "none is not all: %s", value)
		require.Equal(t, []string{"Parameters.parameter[1]"}, p.Ignored)
		c.Do(t, http.MethodPost, group+"/$export", body, apitest.Async, apitest.FHIR, apitest.JSON).Refused(t, 400)
	}
}

// What is kept of a request is what was sent, so that the run reads what was understood.
func TestParametersAreKeptAsSent(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, unlimited).Client(t, "backend", models.ClientBackend, "")
	post := func(value string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"_typeFilter","valueString":"` + value + `"}]}`
	}
	for _, value := range []string{`Observation?code=\u0000`, `Patient?name=a\u0000b`, `Encounter?class=urn:x|\u0000`} {
		o := c.Do(t, http.MethodPost, "/fhir/$export", post(value), apitest.Async, apitest.FHIR, apitest.JSON).Refused(t, 400)
		require.Equal(t, "Parameters.parameter[0]", o.At())
	}
	for _, value := range []string{`Observation?code=%00`, `Patient?name=\\\\`, `Patient?name=\ud83d\ude00\u007f`, `Patient?name='\";--`} {
		var want string
		require.NoError(t, json.Unmarshal([]byte(`"`+value+`"`), &want))
		job := c.KickOff(t, http.MethodPost, "/fhir/$export", post(value))
		stored, err := c.Store.Job(t.Context(), job.ID)
		require.NoError(t, err)
		require.Equal(t, []string{want}, exportParams(t, stored).TypeFilter)
	}
}

// The transactionTime of an export that has just ended can lie ahead of this machine's clock.
func TestSinceAMomentAhead(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, unlimited).Client(t, "backend", models.ClientBackend, "")
	c.KickOff(t, http.MethodGet, "/fhir/$export?_since="+time.Now().Add(10*time.Second).UTC().Format(time.RFC3339), "")
	c.Do(t, http.MethodGet, "/fhir/$export?_since="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "", apitest.Async, apitest.FHIR).Refused(t, 400)
}

// A file that is organized by Patient has all types of its export in it, so a token that covers Patients does not open it.
func TestOrganizedFilesNeedAllTypes(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, unlimited)
	a.Client(t, "backend", models.ClientBackend, "")
	two := a.Login(t, "backend", "system/Patient.rs system/Coverage.rs")
	one := a.Login(t, "backend", "system/Patient.rs")
	for query, want := range map[string]int{"": 404, "&organizeOutputBy=Patient": 403} { // 404: nothing was written
		job := two.KickOff(t, http.MethodGet, "/fhir/Patient/$export?_type=Patient,Coverage"+query, "")
		complete(t, two, job, time.Now().Add(time.Hour), models.JobFile{Kind: "output", Type: "Patient"})
		path := "/fhir/bulk-files/" + job.ID + "/0.Patient.ndjson"
		require.Equal(t, want, one.Do(t, http.MethodGet, path, "").StatusCode, query)
		require.Equal(t, 404, two.Do(t, http.MethodGet, path, "").StatusCode, query)
	}
}

// KO-09: what was ignored is told in the manifest's error file, one OperationOutcome each.
func TestIgnoredIsTold(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/$export?organizeOutputBy=id&foo=1&_type=Basics", "", "Prefer: handling=lenient")
	work := &activities.Activities{Store: a.Store, Files: a.Files, Log: slog.New(slog.DiscardHandler), Retention: time.Hour}
	_, err := a.Store.StartJob(t.Context(), job.ID, "exporting", time.Now())
	require.NoError(t, err)
	_, err = work.PublishExport(t.Context(), job.ID)
	require.NoError(t, err)

	resp := c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "")
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
	var m struct {
		Output []any
		Error  []struct {
			Type  string
			URL   string
			Count int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &m))
	require.Empty(t, m.Output)
	require.Len(t, m.Error, 1)
	require.Equal(t, "OperationOutcome", m.Error[0].Type)
	require.Equal(t, 3, m.Error[0].Count)

	file := c.Do(t, http.MethodGet, m.Error[0].URL, "")
	require.Equal(t, http.StatusOK, file.StatusCode)
	var named []string
	for lines := bufio.NewScanner(strings.NewReader(file.Text)); lines.Scan(); {
		var o apitest.Outcome
		require.NoError(t, json.Unmarshal(lines.Bytes(), &o))
		require.Equal(t, "OperationOutcome", o.ResourceType)
		require.Equal(t, "warning", o.Issue[0].Severity)
		named = append(named, o.At())
	}
	require.Equal(t, []string{"organizeOutputBy", "foo", "_type"}, named)
	// The job's folder holds that file and nothing else, and goes with the job.
	require.Len(t, a.Blobs(t), 1)
	require.NoError(t, work.PurgeJob(t.Context(), job.ID))
	require.Empty(t, a.Blobs(t))
}

func gunzip(t *testing.T, text string) string {
	t.Helper()
	z, err := newGzip(bytes.NewReader([]byte(text)))
	require.NoError(t, err)
	plain, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(plain)
}
