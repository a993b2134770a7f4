// Package apitest runs the api inside a test: the handler of the real process behind an HTTP server, on a Postgres database
// and a folder of its own and on a Temporal dev server that the tests of a package share. There is no worker: what a run
// would do, a test does through the store.
package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"pdexbulk/api/server"
	fhirclient "pdexbulk/dev/client"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/store"
	"pdexbulk/worker/boot"
	"pdexbulk/workflows"
)

// AdminToken opens the admin API of every API.
const AdminToken = "administrators-only"

// temporalServer is started when the first test needs it.
var temporalServer struct {
	once   sync.Once
	server *testsuite.DevServer
	err    error
}

// Main runs a package's tests and stops what they shared. Call it from TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if temporalServer.server != nil {
		if err := temporalServer.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop Temporal:", err)
		}
	}
	return code
}

// Temporal returns a client of the shared Temporal server. Without dev/bin/temporal the test is skipped, and fails when the
// environment has CI=true.
func Temporal(t testing.TB) client.Client {
	t.Helper()
	root, err := stack.Root()
	require.NoError(t, err)
	bin := filepath.Join(root, "dev", "bin", "temporal")
	if _, err := os.Stat(bin); errors.Is(err, os.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skip("apitest: dev/bin/temporal is not there")
	}
	s := &temporalServer
	s.once.Do(func() {
		s.server, s.err = testsuite.StartDevServer(context.Background(), testsuite.DevServerOptions{
			ExistingPath: bin, LogLevel: "error", Stdout: io.Discard, Stderr: io.Discard,
			ClientOptions: &client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))},
			SearchAttributes: temporal.NewSearchAttributes(workflows.ClientAttribute.ValueSet(""),
				workflows.OperationAttribute.ValueSet(""), workflows.StageAttribute.ValueSet("")),
		})
	})
	require.NoError(t, s.err)
	return s.server.Client()
}

// API is a running api.
type API struct {
	// Root is its URL, Base the FHIR base below it.
	Root, Base string
	Store      *store.Store
	Files      blob.Store
	Dir        string // where Files are
	Temporal   client.Client
	HTTP       *http.Client
	Process    *boot.Process
	log        *buffer
}

// New starts an api. change may change what it is told before it starts, and may be nil.
func New(t testing.TB, change func(p *boot.Process, cfg *server.Config)) *API {
	t.Helper()
	a := &API{Dir: t.TempDir(), log: &buffer{}, Temporal: Temporal(t)}
	var err error
	a.Store, err = store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(a.Store.Close)
	a.Files, err = blob.Open(t.Context(), "file://"+a.Dir)
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(nil)
	a.Root = "http://" + srv.Listener.Addr().String()
	a.Base = a.Root + "/fhir"
	a.Process = &boot.Process{
		Name: "api", Store: a.Store, Blob: a.Files, Temporal: a.Temporal, Health: boot.NewHealth(time.Second),
		Log: slog.New(slog.NewJSONHandler(a.log, nil)),
	}
	a.Process.Config.Dev = true
	a.Process.Config.HTTP.BaseURL = a.Base
	a.Process.Config.Temporal.TaskQueue = "apitest-" + models.NewID() // nobody serves it
	// The limits are the defaults, but for those on how often somebody may come, and on the shape of JSON, behind which handlers have
	// their own.
	cfg := new(server.Config)
	_, err = boot.Load([]string{
		"PDEX_ADMIN_TOKEN=" + AdminToken, "PDEX_POLL_BURST=1000", "PDEX_CLIENT_RATE=0", "PDEX_ADDRESS_RATE=0", "PDEX_ADMIN_FAILURES=0",
		"PDEX_MATCH_FAILURES=0", "PDEX_MATCH_MEMBERS=1000", "PDEX_JSON_DEPTH=0", "PDEX_JSON_MEMBERS=0",
	}, cfg)
	require.NoError(t, err)
	if change != nil {
		change(a.Process, cfg)
	}
	h, _, err := server.Handler(a.Process, cfg)
	require.NoError(t, err)
	srv.Config.Handler = h
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	// Compression is for each test to ask for, and redirects are answers like others.
	a.HTTP = &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(a.HTTP.CloseIdleConnections)
	return a
}

// Log is what the api has logged so far.
func (a *API) Log() string { return a.log.String() }

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var key = sync.OnceValues(func() (*fhirclient.Key, error) { return fhirclient.NewKey(fhirclient.ES384) })

// OrganizationID identifies the organisation of a client that Register made.
func OrganizationID(clientID string) string { return "urn:example:payers|" + clientID }

// MatchScope is the scope of $bulk-member-match.
const MatchScope = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch"

// Register adds a client of the given kind that may have everything.
func (a *API) Register(t testing.TB, id string, kind models.ClientKind) {
	t.Helper()
	k, err := key()
	require.NoError(t, err)
	jwks, err := fhirclient.JWKS(k)
	require.NoError(t, err)
	_, err = a.Store.UpsertClient(t.Context(), models.Client{
		ID: id, Name: id, Kind: kind, Organization: "Organisation of " + id, OrganizationIDs: []string{OrganizationID(id)},
		Scopes: []string{"system/*.rs", MatchScope}, JWKS: jwks, Active: true,
	})
	require.NoError(t, err)
}

// Caller sends requests as one client.
type Caller struct {
	*API
	ID    string
	Token string
}

// Client registers a client and returns it with a token of the given scope; "" asks for all.
func (a *API) Client(t testing.TB, id string, kind models.ClientKind, scope string) *Caller {
	t.Helper()
	a.Register(t, id, kind)
	return a.Login(t, id, scope)
}

// Login returns a client that Register made with a token of the given scope; "" asks for all.
func (a *API) Login(t testing.TB, id, scope string) *Caller {
	t.Helper()
	if scope == "" {
		scope = "system/*.rs " + MatchScope
	}
	k, err := key()
	require.NoError(t, err)
	c := fhirclient.New(fhirclient.Config{BaseURL: a.Base, TokenURL: a.Root + "/auth/token", ClientID: id, Key: k, Scope: scope, HTTP: a.HTTP})
	token, err := c.Token(t.Context())
	require.NoError(t, err)
	return &Caller{API: a, ID: id, Token: token}
}

// LoginFor returns a client that Register made with a token for one Group of its own, by hl7-b2b.
func (a *API) LoginFor(t testing.TB, id, groupID string) *Caller {
	t.Helper()
	system, value, _ := strings.Cut(OrganizationID(id), "|")
	k, err := key()
	require.NoError(t, err)
	c := fhirclient.New(fhirclient.Config{
		BaseURL: a.Base, TokenURL: a.Root + "/auth/token", ClientID: id, Key: k, Scope: "system/*.rs " + MatchScope, HTTP: a.HTTP,
		B2B: map[string]any{
			"version": "1", "organization_id": system + "#" + value, "purpose_of_use": []string{"urn:oid:2.16.840.1.113883.5.8#TREAT"},
			"subject_id": groupID,
		},
	})
	token, err := c.Token(t.Context())
	require.NoError(t, err)
	return &Caller{API: a, ID: id, Token: token}
}

// Answer is what came back.
type Answer struct {
	*http.Response
	Text string
}

// Do sends a request to a path below Root. Each header is "Name: value". Without an X-Reason it gives one where the admin API wants
// it. It fails the test when no whole answer comes.
func (a *API) Do(t testing.TB, method, path, body string, headers ...string) *Answer {
	t.Helper()
	answer, err := a.Try(t.Context(), method, path, strings.NewReader(body), headers...)
	require.NoError(t, err)
	return answer
}

// Try is Do for answers that may break off.
func (a *API) Try(ctx context.Context, method, path string, body io.Reader, headers ...string) (*Answer, error) {
	if !strings.HasPrefix(path, "http") {
		path = a.Root + path
	}
	if r, ok := body.(*strings.Reader); ok && r.Len() == 0 {
		body = http.NoBody
	}
	req, err := http.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	if _, given := req.Header["X-Reason"]; !given && method != http.MethodGet && strings.HasPrefix(req.URL.Path, "/admin/") {
		req.Header.Set("X-Reason", "a test")
	}
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return &Answer{resp, string(text)}, err
}

// Do sends a request with the caller's token.
func (c *Caller) Do(t testing.TB, method, path, body string, headers ...string) *Answer {
	t.Helper()
	return c.API.Do(t, method, path, body, append(headers, "Authorization: Bearer "+c.Token)...)
}

// The headers of a kick-off.
const (
	Async = "Prefer: respond-async"
	FHIR  = "Accept: application/fhir+json"
	JSON  = "Content-Type: application/fhir+json"
)

// KickOff sends a kick-off that must be accepted and returns the job.
func (c *Caller) KickOff(t testing.TB, method, path, body string, headers ...string) *models.Job {
	t.Helper()
	headers = append([]string{Async, FHIR}, headers...)
	if body != "" {
		headers = append(headers, JSON)
	}
	resp := c.Do(t, method, path, body, headers...)
	require.Equal(t, http.StatusAccepted, resp.StatusCode, resp.Text)
	return c.Job(t, resp)
}

// Job returns the job that a kick-off's answer points to.
func (c *Caller) Job(t testing.TB, resp *Answer) *models.Job {
	t.Helper()
	require.Len(t, resp.Header.Values("Content-Location"), 1)
	id, ok := strings.CutPrefix(resp.Header.Get("Content-Location"), c.Base+"/bulk-status/")
	require.True(t, ok, resp.Header.Get("Content-Location"))
	job, err := c.Store.Job(t.Context(), id)
	require.NoError(t, err)
	return job
}

// Outcome is an OperationOutcome in an answer.
type Outcome struct {
	ResourceType string `json:"resourceType"`
	Issue        []struct {
		Severity    string   `json:"severity"`
		Code        string   `json:"code"`
		Diagnostics string   `json:"diagnostics"`
		Expression  []string `json:"expression"`
	} `json:"issue"`
}

// Refused checks that an answer is an error of the FHIR routes in good order and returns what it says.
func (r *Answer) Refused(t testing.TB, status int) Outcome {
	t.Helper()
	require.Equal(t, status, r.StatusCode, r.Text)
	require.Equal(t, "application/fhir+json", r.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
	var o Outcome
	require.NoError(t, json.Unmarshal([]byte(r.Text), &o), r.Text)
	require.Equal(t, "OperationOutcome", o.ResourceType)
	require.Len(t, o.Issue, 1)
	require.Equal(t, "error", o.Issue[0].Severity)
	require.NotEmpty(t, o.Issue[0].Diagnostics)
	return o
}

// At is the expression of the one issue, "" without.
func (o Outcome) At() string {
	if len(o.Issue) == 0 || len(o.Issue[0].Expression) == 0 {
		return ""
	}
	return o.Issue[0].Expression[0]
}

// Blobs lists the keys in the file store.
func (a *API) Blobs(t testing.TB) []string {
	t.Helper()
	var keys []string
	for info, err := range a.Files.List(t.Context(), "") {
		require.NoError(t, err)
		keys = append(keys, info.Key)
	}
	return keys
}

// Scratch lists every file in the file store's folder, unfinished writes among them.
func (a *API) Scratch(t testing.TB) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(a.Dir, func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while we looked
		}
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	})
	require.NoError(t, err)
	return names
}
