package audit_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"pdexbulk/api/audit"
	"pdexbulk/api/server"
	"pdexbulk/dev/apitest"
	"pdexbulk/dev/client"
	"pdexbulk/dev/pki"
	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
	"pdexbulk/worker/boot"
)

const (
	bearer   = "Authorization: Bearer " + apitest.AdminToken
	jsonType = "Content-Type: application/json"
	secret   = "Zaphod-078-05-1120" // what is sent must never come into the log
)

type record struct {
	Seq                                                      int64
	Kind, Actor, Client, Action, Outcome, Job, Group, Target string
	Purpose, Reason, Source, Route                           string
	Status                                                   int
	Members                                                  []string
	Counts                                                   map[string]int64
	At                                                       time.Time
}

// search returns what the audit log has, newest first, over all pages.
func search(t *testing.T, a *apitest.API, filter string) []record {
	t.Helper()
	var all []record
	for cursor := ""; ; {
		var body map[string]any
		require.NoError(t, json.Unmarshal([]byte(filter), &body))
		body["limit"] = 3
		if cursor != "" {
			body["cursor"] = cursor
		}
		text, err := json.Marshal(body)
		require.NoError(t, err)
		resp := a.Do(t, http.MethodPost, "/admin/audit/search", string(text), bearer, jsonType)
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
		var page struct {
			Items []record
			Next  string
		}
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &page))
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

func report(t *testing.T, a *apitest.API) trail.Report {
	t.Helper()
	resp := a.Do(t, http.MethodGet, "/admin/audit/verify", "", bearer)
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
	var r trail.Report
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &r))
	return r
}

func lines(records []record) []string {
	out := []string{}
	for _, r := range records {
		out = append(out, fmt.Sprintf("%s %s %s %d", r.Kind, r.Action, r.Outcome, r.Status))
	}
	return out
}

// Everything a client does, and is refused, is in the log with who it was, and nothing of what was sent.
func TestClientsAreRecorded(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	job := c.KickOff(t, http.MethodGet, "/fhir/Patient/$export?_type=Patient", "")
	again := c.KickOff(t, http.MethodGet, "/fhir/Patient/$export?_type=Patient", "")
	require.Equal(t, job.ID, again.ID)
	c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "")                    // a poll
	c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID+"?status=separate", "") // another
	c.Do(t, http.MethodGet, "/fhir/Group?identifier="+secret, "")
	c.Do(t, http.MethodGet, "/fhir/Group/"+models.NewID(), "")
	c.Do(t, http.MethodGet, "/fhir/Group/"+secret, "")
	c.Do(t, http.MethodGet, "/fhir/$export?_type="+secret, "", apitest.Async, apitest.FHIR)
	c.Do(t, http.MethodGet, "/fhir/bulk-files/"+job.ID+"/"+secret, "")
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+job.ID, "").StatusCode)

	records := search(t, a, `{"client":"backend"}`)
	require.Equal(t, []string{
		"client delete-job success 202", "client get-file refused 404", "client system-export-by-query refused 400", "client read-group refused 404", "client read-group refused 404",
		"client search-groups success 200", "client patient-export-by-query success 202", "client patient-export-by-query success 202", "client token success 200",
	}, lines(records))
	for _, r := range records {
		require.Equal(t, "backend", r.Actor)
		require.Equal(t, "127.0.0.1", r.Source)
		require.NotEmpty(t, r.Route)
	}
	require.Equal(t, job.ID, records[0].Job)
	require.Equal(t, job.ID, records[7].Job)
	require.Equal(t, map[string]int64{"types": 1}, records[7].Counts)
	require.Len(t, search(t, a, `{"job":"`+job.ID+`"}`), 3, "kick-off, file, delete")

	all := a.Do(t, http.MethodPost, "/admin/audit/export", `{}`, bearer, jsonType)
	require.NotContains(t, all.Text, secret)
	require.NotContains(t, all.Text, c.Token)
	require.True(t, report(t, a).Sound)
}

// What hands out data is recorded with the file, and a member is found by what was done with the Groups the member is in.
func TestDownloadsAreRecorded(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "payer", models.ClientPayer, "")
	group, member := models.NewID(), models.MemberID("p1")
	_, err := a.Store.DB.NewRaw(`INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at) VALUES (?, 'payer', ?, ?, 'groups/x', 1, now())`, group, models.NewID(), "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-member-match-group").Exec(t.Context())
	require.NoError(t, err)
	_, err = a.Store.DB.NewRaw(`INSERT INTO group_members (group_id, member_id) VALUES (?, ?)`, group, member).Exec(t.Context())
	require.NoError(t, err)
	job := c.KickOff(t, http.MethodGet, "/fhir/Group/"+group+"/$export?_type=Patient", "")
	_, err = a.Store.StartJob(t.Context(), job.ID, "x", time.Now())
	require.NoError(t, err)
	w, err := a.Files.Create(t.Context(), "exports/x")
	require.NoError(t, err)
	_, err = w.Write([]byte("PAR1"))
	require.NoError(t, err)
	require.NoError(t, w.Commit())
	file := models.JobFile{JobID: job.ID, Kind: "output", Type: "Patient", BlobKey: "exports/x", Lines: 1, RawLen: 4, PackedLen: 4, Format: models.FormatParquet}
	done, err := a.Store.CompleteJob(t.Context(), job.ID, []models.JobFile{file}, models.Accounting{Members: 1, Exported: 1}, time.Now(), time.Now().Add(time.Hour), nil)
	require.NoError(t, err)
	require.True(t, done)
	manifest := c.Do(t, http.MethodGet, "/fhir/bulk-status/"+job.ID, "")
	require.Equal(t, 200, manifest.StatusCode, manifest.Text)
	var m struct{ Output []struct{ URL string } }
	require.NoError(t, json.Unmarshal([]byte(manifest.Text), &m))
	got := c.Do(t, http.MethodGet, m.Output[0].URL, "")
	require.Equal(t, "PAR1", got.Text)
	require.Equal(t, 206, c.Do(t, http.MethodGet, m.Output[0].URL, "", "Range: bytes=1-2").StatusCode)

	records := search(t, a, `{"patient":"p1"}`)
	require.GreaterOrEqual(t, len(records), 5)
	records = records[len(records)-5:] // before the pages of this very search
	require.Equal(t, []string{
		"client get-file success 206", "client get-file success 200", "client job-status success 200", "system end-job success 0", "client group-export-by-query success 202",
	}, lines(records))
	require.Equal(t, "0.Patient.parquet", records[0].Target)
	until := records[0].At.Add(time.Microsecond).Format(time.RFC3339Nano)
	require.Equal(t, records, search(t, a, `{"patient":"p1","to":"`+until+`"}`))
}

// Refusals of strangers are recorded as such: the client they claim to be is a claim.
func TestStrangersAreRecorded(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	a.Register(t, "payer", models.ClientPayer)
	a.Do(t, http.MethodGet, "/fhir/Group", "")
	a.Do(t, http.MethodGet, "/fhir/Group", "", "Authorization: Bearer "+secret)
	a.Do(t, http.MethodPost, "/auth/token", "grant_type="+secret, "Content-Type: application/x-www-form-urlencoded")
	a.Do(t, http.MethodGet, "/fhir/Patient/"+secret, "")
	a.Do(t, http.MethodGet, "/fhir/metadata", "")
	a.Do(t, http.MethodGet, "/healthz", "")
	a.Do(t, http.MethodGet, "/admin/jobs", "", "Authorization: Bearer "+secret)
	a.Do(t, http.MethodPut, "/admin/clients/"+secret, "{}", jsonType)
	require.ElementsMatch(t, []string{
		"anonymous search-groups refused 401", "anonymous search-groups refused 401", "anonymous token refused 400", "anonymous unknown refused 404",
		"anonymous list-jobs refused 401", "anonymous put-client refused 401",
	}, lines(search(t, a, `{"outcome":"refused"}`)))
	require.NotContains(t, a.Do(t, http.MethodPost, "/admin/audit/export", `{}`, bearer, jsonType).Text, secret)
}

func TestAdminsAreRecorded(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	client := `{"name":"n","kind":"payer","scopes":["system/*.rs"],"jwksUrl":"https://a.example/jwks"}`
	require.Equal(t, 200, a.Do(t, http.MethodPut, "/admin/clients/new", client, bearer, jsonType, "X-Reason: contract 7").StatusCode)
	require.Equal(t, 400, a.Do(t, http.MethodPut, "/admin/clients/new", `{"name":" ","kind":"payer","scopes":[]}`, bearer, jsonType).StatusCode)
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/admin/clients", "", bearer).StatusCode)
	a.Do(t, http.MethodGet, "/admin/jobs/"+models.NewID()+"/outcomes", "", bearer)
	records := search(t, a, `{"actor":"bootstrap"}`)
	require.Equal(t, []string{
		"admin list-outcomes refused 404", "admin put-client refused 400", "admin put-client begun 0", "admin put-client success 200", "admin put-client begun 0",
	}, lines(records[len(records)-5:]))
	first := records[len(records)-1]
	require.Equal(t, []string{"new", "contract 7", "PUT /admin/clients/{id}", "127.0.0.1"}, []string{first.Target, first.Reason, first.Route, first.Source})

	// Who looks for a member is recorded with the member.
	search(t, a, `{"patient":"p9"}`)
	found := search(t, a, `{"action":"search-audit","patient":"p9"}`)
	require.NotEmpty(t, found)
	require.Equal(t, []string{models.MemberID("p9").String()}, found[0].Members)
}

// Who registers, by whatever way, is found in the log by the id it got.
func TestRegistrationsAreRecorded(t *testing.T) {
	t.Parallel()
	var community *pki.Server
	a := apitest.New(t, func(p *boot.Process, cfg *server.Config) {
		var err error
		community, err = pki.NewServer(t.TempDir(), p.Config.HTTP.BaseURL)
		require.NoError(t, err)
		cfg.UDAPCert, cfg.UDAPKey = filepath.Join(community.Dir, "server.pem"), filepath.Join(community.Dir, "server-key.pem")
		cfg.UDAPCommunities = []string{pki.Community + "=" + filepath.Join(community.Dir, "anchors.pem")}
	})
	about := func(client string) []string { return lines(search(t, a, `{"client":"`+client+`"}`)) }

	// By an administrator (SMART).
	body := `{"name":"n","kind":"payer","scopes":["system/*.rs"],"jwksUrl":"https://a.example/jwks"}`
	require.Equal(t, 200, a.Do(t, http.MethodPut, "/admin/clients/by-hand", body, bearer, jsonType).StatusCode)
	require.Equal(t, []string{"admin put-client success 200", "admin put-client begun 0"}, about("by-hand"))

	// By an initial access token (RFC 7591), and on its own from then on (RFC 7592).
	var initial struct{ ID, Token string }
	resp := a.Do(t, http.MethodPost, "/admin/initial-tokens", `{"note":"n","kind":"payer","scopes":["system/*.rs"]}`, bearer, jsonType)
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &initial))
	said := `{"client_name":"n","grant_types":["client_credentials"],"token_endpoint_auth_method":"private_key_jwt","scope":"system/*.rs","jwks_uri":"https://a.example/jwks"`
	resp = a.Do(t, http.MethodPost, "/auth/register", said+`}`, jsonType, "Authorization: Bearer "+initial.Token)
	require.Equal(t, 201, resp.StatusCode, resp.Text)
	var made struct {
		ID    string `json:"client_id"`
		Token string `json:"registration_access_token"`
	}
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &made))
	own, by := "/auth/register/"+made.ID, "Authorization: Bearer "+made.Token
	require.Equal(t, 401, a.Do(t, http.MethodGet, own, "", by+"x").StatusCode)
	require.Equal(t, 200, a.Do(t, http.MethodPut, own, said+`,"client_id":"`+made.ID+`"}`, jsonType, by).StatusCode)
	require.Equal(t, 204, a.Do(t, http.MethodDelete, own, "", by).StatusCode)
	require.Equal(t, []string{
		"client register success 204", "client register success 200", "anonymous register refused 401", "client register success 201",
	}, about(made.ID))
	records := search(t, a, `{"client":"`+made.ID+`"}`)
	require.Equal(t, []string{made.ID, initial.ID}, []string{records[3].Actor, records[3].Target}, "which initial token was used")

	// By a software statement (UDAP), twice.
	const issuer = "https://partner.example"
	identity, err := community.Root.Issue(pki.Request{Name: "partner", URIs: []string{issuer}})
	require.NoError(t, err)
	partner := &client.UDAP{Identity: identity}
	statement := client.Statement{Issuer: issuer, Name: "n", Scope: "system/*.rs"}
	id, err := partner.Register(t.Context(), a.Root+"/auth/register", statement, time.Now())
	require.NoError(t, err)
	statement.Cancel = true
	_, err = partner.Register(t.Context(), a.Root+"/auth/register", statement, time.Now())
	require.NoError(t, err)
	require.Equal(t, []string{"client register success 200", "client register success 201"}, about(id))
}

// Without a record there is neither a token nor data nor a change.
func TestNothingGoesUnrecorded(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	_, err := a.Store.DB.NewRaw(`ALTER TABLE audit_inbox ADD CONSTRAINT broken CHECK (false) NOT VALID`).Exec(t.Context())
	require.NoError(t, err)
	c.Do(t, http.MethodGet, "/fhir/Group", "").Refused(t, 503)
	resp := c.Do(t, http.MethodGet, "/fhir/$export", "", apitest.Async, apitest.FHIR)
	require.GreaterOrEqual(t, resp.StatusCode, 500)
	require.Empty(t, resp.Header.Get("Content-Location"))
	jobs, err := a.Store.Jobs(t.Context(), store.JobFilter{Operation: models.OpSystemExport}, 10)
	require.NoError(t, err)
	require.Empty(t, jobs)
	client := `{"name":"n","kind":"payer","scopes":["system/*.rs"],"jwksUrl":"https://a.example/jwks"}`
	require.Equal(t, 503, a.Do(t, http.MethodPut, "/admin/clients/new", client, bearer, jsonType).StatusCode)
	_, err = a.Store.Client(t.Context(), "new")
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	// What discloses nothing is answered as ever.
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/fhir/metadata", "").StatusCode)
	require.Equal(t, 200, a.Do(t, http.MethodGet, "/admin/jobs", "", bearer).StatusCode)
	c.Do(t, http.MethodGet, "/fhir/Group/"+models.NewID(), "").Refused(t, 404)
}

func TestExports(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	for range 5 {
		c.Do(t, http.MethodGet, "/fhir/Group", "")
	}
	member := uuid.New()
	var many []trail.Event
	for range 5000 {
		e := trail.System(time.Now(), "backend", "match-matched", trail.Success)
		e.Members = []uuid.UUID{member}
		many = append(many, e)
	}
	require.NoError(t, a.Store.AddAudit(t.Context(), many))
	resp := a.Do(t, http.MethodPost, "/admin/audit/export", `{"client":"backend"}`, bearer, jsonType)
	require.Equal(t, "application/fhir+ndjson", resp.Header.Get("Content-Type"))
	n := 0
	for in := bufio.NewScanner(strings.NewReader(resp.Text)); in.Scan(); n++ {
		var e struct {
			ResourceType string
			Agent        []struct {
				Who struct {
					Identifier struct{ System, Value string }
				}
			}
		}
		require.NoError(t, json.Unmarshal(in.Bytes(), &e))
		require.Equal(t, "AuditEvent", e.ResourceType)
		require.NotEmpty(t, e.Agent[0].Who.Identifier.Value)
	}
	require.Equal(t, 5006, n)
	resp = a.Do(t, http.MethodPost, "/admin/audit/export", `{"client":"backend","format":"parquet"}`, bearer, jsonType)
	require.Equal(t, "application/vnd.apache.parquet", resp.Header.Get("Content-Type"))
	type row struct {
		Seq     int64    `parquet:"seq"`
		Action  string   `parquet:"action"`
		Members []string `parquet:"members,list"`
	}
	rows, err := parquet.Read[row](bytes.NewReader([]byte(resp.Text)), int64(len(resp.Text)))
	require.NoError(t, err)
	require.Len(t, rows, 5006)
	require.Equal(t, "token", rows[0].Action)
	require.Equal(t, []string{member.String()}, rows[5005].Members)

	for _, body := range []string{
		`{"job":"` + secret + `"}`, `{"job":"` + strings.ToUpper(models.NewID()) + `"}`, `{"client":"` + secret + ` x"}`, `{"outcome":"` + secret + `"}`, `{"member":"x","patient":"y"}`,
		`{"member":"` + models.NewID() + `","patient":"` + secret + `"}`, `{"from":"` + secret + `"}`, `{"` + secret + `":1}`, `[]`, ``, `{"client":"\u0000"}`,
	} {
		for _, path := range []string{"/admin/audit/search", "/admin/audit/export"} {
			resp := a.Do(t, http.MethodPost, path, body, bearer, jsonType)
			require.Contains(t, []int{400, 422}, resp.StatusCode, body)
			require.NotContains(t, resp.Text, secret)
		}
	}
	for _, cursor := range []string{"x", "0", "-1", "99999999999999999999"} {
		require.Equal(t, 400, a.Do(t, http.MethodPost, "/admin/audit/search", `{"cursor":"`+cursor+`"}`, bearer, jsonType).StatusCode)
	}
}

// The chain is held against heads in the file store, so records that are gone from its end are missed.
func TestAnchors(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := a.Client(t, "backend", models.ClientBackend, "")
	c.Do(t, http.MethodGet, "/fhir/Group", "")
	s := &audit.Sealer{Store: a.Store, Files: a.Files, Log: quiet}
	require.NoError(t, s.Seal(t.Context()))
	require.NoError(t, s.Anchor(t.Context()))
	require.NoError(t, s.Anchor(t.Context()))
	r := report(t, a)
	require.True(t, r.Sound, r.Faults)
	require.Equal(t, 1, r.Anchors)
	_, err := a.Store.Pool.Exec(t.Context(), `ALTER TABLE audit_log DISABLE TRIGGER ALL`)
	require.NoError(t, err)
	_, err = a.Store.Pool.Exec(t.Context(), `DELETE FROM audit_log WHERE seq >= 2`)
	require.NoError(t, err)
	found, err := s.Verify(t.Context())
	require.NoError(t, err)
	require.False(t, found.Sound)
}

// An answer that is replaced because it cannot be recorded tells nothing of what it would have been, however it is written.
func TestReplacedAnswers(t *testing.T) {
	t.Parallel()
	log := audit.NewLog(&shelf{fail: http.ErrBodyNotAllowed}, quiet, nil)
	rec := &audit.Recorder{Log: log, Source: func(*http.Request) string { return "" }, Refuse: func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}}
	for name, write := range map[string]func(w http.ResponseWriter){
		"write":        func(w http.ResponseWriter) { _, _ = w.Write([]byte(secret)) },
		"write header": func(w http.ResponseWriter) { w.WriteHeader(200); w.WriteHeader(200); _, _ = w.Write([]byte(secret)) },
		"flush":        func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush(); _, _ = w.Write([]byte(secret)) },
		"serve content": func(w http.ResponseWriter) {
			w.Header().Set("ETag", `"`+secret+`"`)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(secret))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.HandleFunc("GET /fhir/x", func(w http.ResponseWriter, _ *http.Request) { write(w) })
			srv := httptest.NewServer(rec.Wrap(mux))
			t.Cleanup(srv.Close)
			resp, err := srv.Client().Get(srv.URL + "/fhir/x")
			require.NoError(t, err)
			defer resp.Body.Close()
			var text bytes.Buffer
			_, err = text.ReadFrom(resp.Body)
			require.NoError(t, err)
			require.Equal(t, 503, resp.StatusCode)
			require.NotContains(t, text.String()+fmt.Sprint(resp.Header), secret)
		})
	}
}
