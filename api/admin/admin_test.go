package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/answer"
	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/worker/boot"
)

const (
	bearer   = "Authorization: Bearer " + apitest.AdminToken
	jsonType = "Content-Type: application/json"
	secret   = "Zaphod-078-05-1120" // what is sent must never come back
)

// refused checks that an answer is a problem document in good order and returns it.
func refused(t *testing.T, resp *apitest.Answer, status int) answer.Problem {
	t.Helper()
	require.Equal(t, status, resp.StatusCode, resp.Text)
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	require.NotContains(t, resp.Text, secret)
	var p answer.Problem
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &p), resp.Text)
	require.Equal(t, status, p.Status)
	require.Equal(t, http.StatusText(status), p.Title)
	require.NotEmpty(t, p.Detail)
	return p
}

func TestEveryRouteWantsTheToken(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	closed := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.AdminToken = "" })
	client := a.Client(t, "backend", models.ClientBackend, "")
	var doc struct{ Paths map[string]map[string]any }
	require.NoError(t, json.Unmarshal([]byte(a.Do(t, http.MethodGet, "/openapi.json", "").Text), &doc))
	n := 0
	for path, item := range doc.Paths {
		if !strings.HasPrefix(path, "/admin/") {
			continue
		}
		for method := range item {
			n++
			target := strings.ReplaceAll(path, "{id}", models.NewID())
			for _, header := range []string{
				"X-None: x", "Authorization: Bearer", "Authorization: Bearer ", "Authorization: Bearer wrong", "Authorization: Bearer " + apitest.AdminToken + "x",
				"Authorization: Bearer " + apitest.AdminToken[1:], "Authorization: Basic " + apitest.AdminToken, "Authorization: " + apitest.AdminToken,
				"Authorization: Bearer " + client.Token, "Cookie: token=" + apitest.AdminToken,
			} {
				resp := a.Do(t, strings.ToUpper(method), target+"?token="+apitest.AdminToken, `{"name":"`+secret+`"}`, jsonType, header)
				refused(t, resp, 401)
				require.Equal(t, `Bearer realm="admin"`, resp.Header.Get("WWW-Authenticate"))
			}
			for _, header := range []string{bearer, "Authorization: Bearer ", "Authorization: Bearer"} {
				refused(t, closed.Do(t, strings.ToUpper(method), target, "{}", jsonType, header), 401)
			}
			resp := a.Do(t, strings.ToUpper(method), target, "", "Authorization: bearer "+apitest.AdminToken)
			require.NotEqual(t, http.StatusUnauthorized, resp.StatusCode, path)
		}
	}
	require.GreaterOrEqual(t, n, 9)
	// And it opens nothing else.
	a.Do(t, http.MethodGet, "/fhir/Group", "", bearer).Refused(t, 401)
}

func TestAdminRefuses(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(p *boot.Process, _ *server.Config) {
		p.Config.Work.ImportRoots = []string{"/srv/imports", "s3://bucket?prefix=in"}
	})
	client := func(change string) string {
		fields := map[string]any{"name": "n", "kind": "payer", "scopes": []string{"system/*.rs"}, "jwksUrl": "https://a.example/jwks"}
		var with map[string]any
		require.NoError(t, json.Unmarshal([]byte(change), &with))
		for k, v := range with {
			if fields[k] = v; v == nil {
				delete(fields, k)
			}
		}
		text, err := json.Marshal(fields)
		require.NoError(t, err)
		return string(text)
	}
	const put = "/admin/clients/c"
	id := models.NewID()
	tests := []struct {
		name   string
		method string
		path   string
		body   string
		ctype  string
		status int
		field  string
	}{
		{"no body", "PUT", put, "", jsonType, 400, ""},
		{"no JSON", "PUT", put, `{"name":"` + secret, jsonType, 400, ""},
		{"a list", "PUT", put, `["` + secret + `"]`, jsonType, 422, "body"},
		{"a text", "PUT", put, `"` + secret + `"`, jsonType, 422, "body"},
		{"text/plain", "PUT", put, secret, "Content-Type: text/plain", 415, ""},
		{"a type nobody knows", "PUT", put, "{}", "Content-Type: " + secret, 415, ""},
		{"CBOR", "PUT", put, "\xa0", "Content-Type: application/cbor", 415, ""},
		{"name missing", "PUT", put, client(`{"name":null}`), jsonType, 422, "body"},
		{"name blank", "PUT", put, client(`{"name":" "}`), jsonType, 400, "name"},
		{"name a number", "PUT", put, client(`{"name":1}`), jsonType, 422, "body.name"},
		{"name with a control character", "PUT", put, client(`{"name":"` + secret + `\u0007"}`), jsonType, 400, "name"},
		{"kind unknown", "PUT", put, client(`{"kind":"` + secret + `"}`), jsonType, 422, "body.kind"},
		{"scope unknown", "PUT", put, client(`{"scopes":["` + secret + `"]}`), jsonType, 400, "scopes"},
		{"scope that only writes", "PUT", put, client(`{"scopes":["system/*.c"]}`), jsonType, 400, "scopes"},
		{"scopes a text", "PUT", put, client(`{"scopes":"` + secret + `"}`), jsonType, 422, "body.scopes"},
		{"organisation without a system", "PUT", put, client(`{"organizationIds":["` + secret + `"]}`), jsonType, 400, "organizationIds"},
		{"no keys", "PUT", put, client(`{"jwksUrl":null}`), jsonType, 400, "jwks"},
		{"keys twice", "PUT", put, client(`{"jwks":{"keys":[]}}`), jsonType, 400, "jwks"},
		{"keys no set", "PUT", put, client(`{"jwksUrl":null,"jwks":{"` + secret + `":1}}`), jsonType, 400, "jwks"},
		{"address of another kind", "PUT", put, client(`{"jwksUrl":"ftp://` + secret + `/x"}`), jsonType, 400, "jwksUrl"},
		{"field nobody knows", "PUT", put, client(`{"` + secret + `":1}`), jsonType, 422, "body"},
		{"active a text", "PUT", put, client(`{"active":"` + secret + `"}`), jsonType, 422, "body.active"},
		{"id with a blank", "PUT", "/admin/clients/a%20b", client(`{}`), jsonType, 400, "id"},
		{"id not ASCII", "PUT", "/admin/clients/%C3%A9", client(`{}`), jsonType, 400, "id"},
		{"body too large", "PUT", put, client(`{"name":"` + strings.Repeat("x", 2<<20) + `"}`), jsonType, 413, ""},
		{"limit no number", "GET", "/admin/jobs?limit=" + secret, "", "", 422, "query.limit"},
		{"limit zero", "GET", "/admin/jobs?limit=0", "", "", 422, "query.limit"},
		{"limit too high", "GET", "/admin/jobs?limit=1001", "", "", 422, "query.limit"},
		{"cursor of jobs", "GET", "/admin/jobs?cursor=" + secret, "", "", 400, "cursor"},
		{"cursor of imports", "GET", "/admin/imports?cursor=" + secret, "", "", 400, "cursor"},
		{"cursor of clients", "GET", "/admin/clients?cursor=%01", "", "", 400, "cursor"},
		{"job no id", "GET", "/admin/jobs/" + secret, "", "", 404, ""},
		{"job unknown", "GET", "/admin/jobs/" + id, "", "", 404, ""},
		{"outcomes unknown", "GET", "/admin/jobs/" + id + "/outcomes", "", "", 404, ""},
		{"import no id", "GET", "/admin/imports/%00", "", "", 404, ""},
		{"import unknown", "GET", "/admin/imports/" + id, "", "", 404, ""},
		{"rejects unknown", "GET", "/admin/imports/" + id + "/rejects", "", "", 404, ""},
		{"source missing", "POST", "/admin/imports", `{}`, jsonType, 422, "body"},
		{"source empty", "POST", "/admin/imports", `{"source":""}`, jsonType, 422, "body.source"},
		{"source too long", "POST", "/admin/imports", `{"source":"/` + strings.Repeat("x", 2000) + `"}`, jsonType, 422, "body.source"},
		{"mode unknown", "POST", "/admin/imports", `{"source":"/srv/imports","mode":"` + secret + `"}`, jsonType, 422, "body.mode"},
		{"source relative", "POST", "/admin/imports", `{"source":"imports/` + secret + `"}`, jsonType, 400, "body.source"},
		{"source over http", "POST", "/admin/imports", `{"source":"http://` + secret + `/x"}`, jsonType, 400, "body.source"},
		{"source on another host", "POST", "/admin/imports", `{"source":"file://host/srv/imports"}`, jsonType, 400, "body.source"},
		{"source with a NUL", "POST", "/admin/imports", `{"source":"/srv/imports/\u0000"}`, jsonType, 400, "body.source"},
		{"source with an endpoint", "POST", "/admin/imports", `{"source":"s3://bucket/in/x?endpoint=` + secret + `"}`, jsonType, 400, "body.source"},
		{"source outside", "POST", "/admin/imports", `{"source":"/etc/passwd"}`, jsonType, 403, "body.source"},
		{"source that climbs out", "POST", "/admin/imports", `{"source":"/srv/imports/../../etc"}`, jsonType, 403, "body.source"},
		{"source beside", "POST", "/admin/imports", `{"source":"/srv/imports2"}`, jsonType, 403, "body.source"},
		{"bucket outside", "POST", "/admin/imports", `{"source":"s3://other/in/x"}`, jsonType, 403, "body.source"},
		{"bucket beside", "POST", "/admin/imports", `{"source":"s3://bucket/inner/x"}`, jsonType, 403, "body.source"},
		{"bucket that climbs out", "POST", "/admin/imports", `{"source":"s3://bucket/in/../x"}`, jsonType, 403, "body.source"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			headers := []string{bearer}
			if tt.ctype != "" {
				headers = append(headers, tt.ctype)
			}
			p := refused(t, a.Do(t, tt.method, tt.path, tt.body, headers...), tt.status)
			require.Equal(t, tt.field, p.Field, p.Detail)
		})
	}
	t.Cleanup(func() { require.NotContains(t, a.Log(), secret) })
}

func TestAdminBodyIsBounded(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(_ *boot.Process, cfg *server.Config) { cfg.AdminBody = 200 })
	const body = `{"name":"n","kind":"payer","scopes":["system/*.rs"],"jwksUrl":"https://a.example/jwks"}`
	padded := func(n int) string { return body + strings.Repeat(" ", n-len(body)) }
	refused(t, a.Do(t, http.MethodPut, "/admin/clients/c", padded(200), bearer, jsonType), http.StatusRequestEntityTooLarge)
	require.Equal(t, http.StatusOK, a.Do(t, http.MethodPut, "/admin/clients/c", padded(199), bearer, jsonType).StatusCode)
}

func TestClients(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	put := func(id, body string) map[string]any {
		t.Helper()
		resp := a.Do(t, http.MethodPut, "/admin/clients/"+url.PathEscape(id), body, bearer, jsonType)
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
		var view map[string]any
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &view))
		return view
	}
	const body = `{"name":"A payer","kind":"payer","organization":"Org","organizationIds":["urn:x|1"],"scopes":["system/*.rs"],"jwksUrl":"https://a.example/jwks"%s}`
	const id = "https://client.example/?a=b%20c"
	view := put(id, fmt.Sprintf(body, ""))
	require.Equal(t, id, view["id"])
	require.Equal(t, true, view["active"])
	for _, active := range []bool{false, true} {
		require.Equal(t, active, put(id, fmt.Sprintf(body, fmt.Sprintf(`,"active":%t`, active)))["active"])
		stored, err := a.Store.Client(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, active, stored.Active)
	}
	for i := range 5 {
		put(fmt.Sprintf("c%d", i), fmt.Sprintf(body, ""))
	}
	all := pages(t, a, "/admin/clients", 2, "id")
	require.Equal(t, []string{"c0", "c1", "c2", "c3", "c4", id}, all)
}

// pages walks a list and returns a field of its items.
func pages(t *testing.T, a *apitest.API, path string, limit int, field string) []string {
	t.Helper()
	var out []string
	cursor := ""
	if !strings.Contains(path, "?") {
		path += "?"
	}
	for range 100 {
		resp := a.Do(t, http.MethodGet, fmt.Sprintf("%s&limit=%d&cursor=%s", path, limit, url.QueryEscape(cursor)), "", bearer)
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
		var page struct {
			Items []map[string]any
			Next  string
		}
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &page))
		require.NotEmpty(t, page.Items, "no empty page at the end")
		require.LessOrEqual(t, len(page.Items), limit)
		for _, item := range page.Items {
			out = append(out, fmt.Sprint(item[field]))
		}
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
	t.Fatal("the list does not end")
	return nil
}

func TestEmptyLists(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	for _, path := range []string{"/admin/clients", "/admin/imports", "/admin/jobs"} {
		resp := a.Do(t, http.MethodGet, path, "", bearer)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.JSONEq(t, `{"items":[]}`, resp.Text)
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	a := apitest.New(t, func(p *boot.Process, _ *server.Config) {
		p.Config.Work.ImportRoots = []string{"file://" + root, "s3://bucket?prefix=in"}
	})
	var ids []string
	for _, source := range []string{root, root + "/", root + "/new/data.ndjson", "file://" + root + "/x", "s3://bucket/in", "s3://bucket/in/x/y"} {
		resp := a.Do(t, http.MethodPost, "/admin/imports", fmt.Sprintf(`{"source":%q}`, source), bearer, jsonType)
		require.Equal(t, http.StatusAccepted, resp.StatusCode, "%s: %s", source, resp.Text)
		var imp models.Import
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &imp))
		require.Equal(t, source, imp.Source)
		require.Equal(t, models.ImportLive, imp.Mode)
		require.Equal(t, "/admin/imports/"+imp.ID, resp.Header.Get("Location"))
		_, err := a.Temporal.DescribeWorkflowExecution(t.Context(), "import-"+imp.ID, "")
		require.NoError(t, err)
		require.JSONEq(t, resp.Text, a.Do(t, http.MethodGet, resp.Header.Get("Location"), "", bearer).Text)
		ids = slices.Insert(ids, 0, imp.ID)
	}
	require.Equal(t, ids, pages(t, a, "/admin/imports", 4, "id"))
	require.Equal(t, ids, pages(t, a, "/admin/imports", 6, "id"))

	for n := range 2 {
		file := &models.ImportFile{ImportID: ids[0], File: n, Name: fmt.Sprintf("part-%d.ndjson", n), Scanned: true}
		_, err := a.Store.DB.NewInsert().Model(file).Exec(t.Context())
		require.NoError(t, err)
	}
	for line := range 7 {
		reject := &models.ImportReject{ImportID: ids[0], FileNo: line / 4, Line: int64(line), Reason: "not-json"}
		_, err := a.Store.DB.NewInsert().Model(reject).Exec(t.Context())
		require.NoError(t, err)
	}
	path := "/admin/imports/" + ids[0] + "/rejects"
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6"}, pages(t, a, path, 3, "line"))
	for _, cursor := range []string{"x", "1", "1.", ".1", "-1.1", "1.-1", "99999999999.1", "1.99999999999999999999", "1.1.1"} {
		require.Equal(t, "cursor", refused(t, a.Do(t, http.MethodGet, path+"?cursor="+cursor, "", bearer), 400).Field, cursor)
	}
	require.JSONEq(t, `{"items":[]}`, a.Do(t, http.MethodGet, "/admin/imports/"+ids[1]+"/rejects", "", bearer).Text)
}

func TestImportThatDoesNotStart(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, func(p *boot.Process, _ *server.Config) { p.Config.Temporal.TaskQueue = "" }) // which Temporal refuses
	resp := a.Do(t, http.MethodPost, "/admin/imports", `{"source":"/srv/x"}`, bearer, jsonType)
	refused(t, resp, 503)
	require.Equal(t, "5", resp.Header.Get("Retry-After"))
	imports, err := a.Store.Imports(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, imports, 1)
	require.Equal(t, models.StateFailed, imports[0].State)
	require.NotEmpty(t, imports[0].Error)
}

func TestJobsAndOutcomes(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	var ids []string
	for i := range 5 {
		job := &models.Job{
			ID: models.NewID(), ClientID: "c", Operation: models.OpBulkMemberMatch, RequestDigest: []byte{byte(i)},
			State: models.StateAccepted, Params: json.RawMessage(`{}`), CreatedAt: time.Now(),
		}
		slices5 := []store.Slice{{Slice: 0, Members: 5, Length: 1}}
		_, created, err := a.Store.CreateMatch(t.Context(), job, slices5, 0)
		require.NoError(t, err)
		require.True(t, created)
		ids = slices.Insert(ids, 0, job.ID)
	}
	require.Equal(t, ids, pages(t, a, "/admin/jobs", 2, "id"))
	var view map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.Do(t, http.MethodGet, "/admin/jobs/"+ids[0], "", bearer).Text), &view))
	require.Equal(t, "match-"+ids[0], view["workflow"])
	require.Equal(t, "accepted", view["state"])

	var outcomes []store.Outcome
	for i := range 5 {
		outcomes = append(outcomes, store.Outcome{Idx: int32(i), Outcome: store.OutcomeNoMatch, Reason: "none"})
	}
	require.NoError(t, a.Store.SaveOutcomes(t.Context(), ids[0], 0, outcomes))
	path := "/admin/jobs/" + ids[0] + "/outcomes"
	require.Equal(t, []string{"0", "1", "2", "3", "4"}, pages(t, a, path, 2, "index"))
	require.Equal(t, []string{"0", "1", "2", "3", "4"}, pages(t, a, path, 5, "index"))
	for _, cursor := range []string{"x", "-1", "99999999999", "1.5"} {
		require.Equal(t, "cursor", refused(t, a.Do(t, http.MethodGet, path+"?cursor="+cursor, "", bearer), 400).Field, cursor)
	}
}

func TestAdminWithoutDatabase(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	a.Store.Close()
	p := refused(t, a.Do(t, http.MethodGet, "/admin/jobs", "", bearer), 500)
	require.Equal(t, "internal error", p.Detail)
	require.Contains(t, a.Log(), "select jobs", "the cause is logged")
}

// What the database cannot keep is refused wherever it stands.
func TestTextsThatCannotBeKept(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	for _, bad := range []string{"%00", "%ff", "a%00b", "%c3%28"} {
		for _, path := range []string{"/admin/lines/", "/admin/providers/", "/admin/clients/", "/admin/jobs/"} {
			refused(t, a.Do(t, http.MethodGet, path+bad, "", bearer), 404)
		}
		refused(t, a.Do(t, http.MethodDelete, "/admin/lines/"+bad, "", bearer), 404)
		refused(t, a.Do(t, http.MethodPost, "/admin/clients/"+bad+"/void-tokens", "", bearer), 404)
		for _, path := range []string{"/admin/providers?taxonomy=", "/admin/relationships?npi=", "/admin/attribution-lists?client=", "/admin/jobs?cursor="} {
			refused(t, a.Do(t, http.MethodGet, path+bad, "", bearer), 400)
		}
	}
	refused(t, a.Do(t, http.MethodPost, "/admin/consents/"+models.NewID()+"/revoke", `{"reason":"a\u0000b"}`, bearer, jsonType), 400)
}
