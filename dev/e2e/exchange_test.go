package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

const p2p = "hl7.fhir.us.davinci-pdex#payertopayer"

// payer registers a payer that asks under the identifiers the seed's consents name.
func (r *running) payer(t *testing.T, id string) *client.Client { return r.payerOf(t, id, id) }

// payerOf registers a client of a payer, and returns it.
func (r *running) payerOf(t *testing.T, id, organization string) *client.Client {
	t.Helper()
	p := demo.Requester
	p.ID, p.OrganizationIDs = id, []string{seed.NPISystem + "|" + payerNPI(organization)}
	return r.register(t, p)
}

// payerNPI is the number of a payer. Tests that run side by side are different payers: what a consent to one says bears on all
// its clients, and on no others.
func payerNPI(organization string) string {
	for nine := 100_000_000 + int(crc32.ChecksumIEEE([]byte(organization))%100_000_000); ; nine++ {
		for digit := range 10 {
			if npi := strconv.Itoa(nine*10 + digit); models.ValidNPI(npi) {
				return npi
			}
		}
	}
}

// backend registers a client that may export everything.
func (r *running) backend(t *testing.T, id string) *client.Client {
	t.Helper()
	return r.register(t, system.Partner{ID: id, Name: id, Kind: models.ClientBackend, Scopes: []string{"system/*.rs"}})
}

func (r *running) register(t *testing.T, p system.Partner) *client.Client {
	t.Helper()
	key, err := client.NewKey(client.ES384)
	require.NoError(t, err)
	_, err = r.RegisterKey(t.Context(), p, key)
	require.NoError(t, err)
	// The usual client waits as long as the server asks, a second at least.
	hasty := func(ctx context.Context, _ time.Duration) error {
		timer := time.NewTimer(20 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		}
	}
	return client.New(client.Config{BaseURL: r.Base, ClientID: p.ID, Key: key, Scope: strings.Join(p.Scopes, " "), Sleep: hasty})
}

// line stands for one line of a file.
type line [16]byte

// exported is the content of an export, in which the order of lines means nothing: how often each line is there.
type exported struct {
	lines  map[line]int
	byType map[string]int64
	// transmitted is how often the transmitter was named.
	transmitted int
}

// unique fails when a line is there more than once.
func (e exported) unique(t *testing.T) {
	t.Helper()
	for _, n := range e.lines {
		require.Equal(t, 1, n, "a line is there more than once")
	}
}

// equal fails when two exports do not hold the same lines.
func (e exported) equal(t *testing.T, want exported) {
	t.Helper()
	require.Equal(t, want.byType, e.byType)
	require.True(t, maps.Equal(want.lines, e.lines), "as many lines of each type, but not the same")
}

// export kicks an export off; path is below the FHIR base.
func export(t *testing.T, c *client.Client, path string, query url.Values) *client.Job {
	t.Helper()
	job, err := c.KickOff(t.Context(), http.MethodGet, path, query, nil, nil)
	require.NoError(t, err)
	return job
}

// finish waits for a job and downloads what it made. Each download checks that a file has as many lines as the manifest
// says, all of its type. The Provenance that names the transmitter is checked and counts for nothing; what is told in the
// manifest's error is no more than information.
func finish(t *testing.T, c *client.Client, job *client.Job) (exported, *client.Manifest) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	m, err := job.Wait(ctx, nil)
	require.NoError(t, err)
	got := exported{lines: map[line]int{}, byType: map[string]int64{}}
	var mu sync.Mutex
	_, err = c.DownloadAll(ctx, m, 2, client.Sink{Each: func(f client.File, text []byte) error {
		if f.Type == "OperationOutcome" {
			if gjson.GetBytes(text, "issue.0.severity").Str != "information" {
				return errors.New("the manifest tells of an error")
			}
			return nil
		}
		sum := sha256.Sum256(text)
		mu.Lock()
		defer mu.Unlock()
		if gjson.GetBytes(text, "id").Str == jobID(job.StatusURL) {
			got.transmitted++
			return transmitter(f, text)
		}
		got.lines[line(sum[:16])]++
		got.byType[f.Type]++
		return nil
	}})
	require.NoError(t, err)
	var promised int64
	for _, f := range m.Output {
		require.NotNil(t, f.Count)
		promised += *f.Count
	}
	require.EqualValues(t, len(got.lines)+got.transmitted, promised)
	return got, m
}

// transmitter checks the Provenance that names this payer.
func transmitter(f client.File, text []byte) error {
	agent := gjson.GetBytes(text, "agent.0")
	if f.Type != "Provenance" || agent.Get("type.coding.0.code").Str != "transmitter" || agent.Get("who.identifier.value").Str != seed.PayerNPI ||
		gjson.GetBytes(text, "contained.0.name").Str != seed.PayerName {
		return errors.New("the transmitter is not named")
	}
	return nil
}

// baseline is everything the world holds, exported from the shared system while nothing disturbed it.
var baseline = struct {
	sync.Mutex
	done bool
	all  exported
	acc  models.Accounting
}{}

func undisturbed(t *testing.T) (exported, models.Accounting) {
	t.Helper()
	r, w := shared(t)
	baseline.Lock()
	defer baseline.Unlock()
	if !baseline.done {
		c := r.backend(t, "baseline")
		job := export(t, c, "$export", nil)
		all, _ := finish(t, c, job)
		all.unique(t)
		require.Len(t, all.lines, w.made.Resources)
		baseline.all, baseline.acc, baseline.done = all, r.accounting(t, job), true
	}
	return baseline.all, baseline.acc
}

// accounting is a finished job's balance. It must be right.
func (r *running) accounting(t *testing.T, job *client.Job) models.Accounting {
	t.Helper()
	var view struct {
		State      models.State
		Accounting models.Accounting
	}
	require.NoError(t, r.Admin(t.Context(), http.MethodGet, "/admin/jobs/"+jobID(job.StatusURL), nil, &view))
	require.Equal(t, models.StateCompleted, view.State)
	require.Empty(t, view.Accounting.Check())
	return view.Accounting
}

// files lists the file store beneath a folder, unfinished files too.
func (r *running) files(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(r.Files), folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return found
}

// published lists the blobs that the database leads to for a job, beneath exports/ and matches/.
func (r *running) published(t *testing.T, job *client.Job) []string {
	t.Helper()
	rows, err := r.db.Query(t.Context(), `SELECT blob_key FROM export_chunks WHERE job_id = $1 AND blob_key <> ''
		UNION SELECT blob_key FROM job_files WHERE job_id = $1 AND blob_key <> ''
		UNION SELECT params->>'blobKey' FROM jobs WHERE id = $1 AND params ? 'blobKey' ORDER BY 1`, jobID(job.StatusURL))
	require.NoError(t, err)
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var key string
		require.NoError(t, rows.Scan(&key))
		keys = append(keys, key)
	}
	require.NoError(t, rows.Err())
	return keys
}

// nothingLeft fails when the file store holds more for a job than what was published.
func (r *running) nothingLeft(t *testing.T, job *client.Job) {
	t.Helper()
	id := jobID(job.StatusURL)
	there := slices.Concat(r.files(t, "exports/"+id), r.files(t, "matches/"+id))
	slices.Sort(there)
	require.Equal(t, r.published(t, job), there)
}

// outcome is what became of a submitted person: the Group's code and, when matched, our Patient.
type outcome struct{ code, patient string }

// matched reads the Groups of a finished match: the outcome of each submitted Patient id and the id of the matched Group.
// Exactly one outcome a person is asserted on the way.
func matched(t *testing.T, c *client.Client, job *client.Job) (map[string]outcome, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	m, err := job.Wait(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, m.Error)
	got, group := map[string]outcome{}, ""
	for _, f := range m.Output {
		_, err := c.Download(ctx, m, f, func(text []byte) error {
			if f.Type != "Group" {
				return nil
			}
			g, err := fhir.ParseGroup(text)
			if err != nil {
				return err
			}
			code := g.Code.Coding[0].Code
			if code == "match" {
				group = g.ID
			}
			for _, member := range g.Member {
				who := strings.TrimPrefix(member.Entity.Extension[0].ValueReference.Reference, "#")
				require.NotContains(t, got, who, "two outcomes for one person")
				got[who] = outcome{code, strings.TrimPrefix(member.Entity.Reference, "Patient/")}
			}
			return nil
		})
		require.NoError(t, err)
	}
	return got, group
}

// judge compares the outcomes of a match with the truth.
func judge(t *testing.T, got map[string]outcome, truth []seed.RequestTruth) {
	t.Helper()
	codes := map[seed.Outcome]string{seed.Matched: "match", seed.NoMatch: "nomatch", seed.Constrained: "consentconstraint"}
	for _, want := range truth {
		o := got[want.Submitted]
		require.Equal(t, codes[want.Expect], o.code, "entry %d (%s)", want.Index, want.Kind)
		if want.Expect == seed.Matched {
			require.Equal(t, want.Patient, o.patient, "entry %d (%s)", want.Index, want.Kind)
		}
	}
	require.Len(t, got, len(truth))
}

// ofMembers leaves out the types no member has, such as Organization: those come along when they are referred to.
func (e exported) ofMembers(w *world) map[string]int64 {
	own := map[string]int64{}
	for typ, n := range e.byType {
		if w.ofMembers[typ] {
			own[typ] = n
		}
	}
	return own
}

// due is how many lines of each type the consents of a match open.
func (w *world) due(truth []seed.RequestTruth) map[string]int64 {
	due := map[string]int64{}
	for _, t := range truth {
		if t.Expect != seed.Matched {
			continue
		}
		for typ, n := range demo.Due(w.truth[t.Patient], t.Policy) {
			due[typ] += int64(n)
		}
	}
	return due
}

// call sends a request with a client's token and returns the answer with its whole body.
func call(t *testing.T, c *client.Client, method, path string, header http.Header, body []byte) (*http.Response, []byte) {
	t.Helper()
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	resp, err := c.Do(t.Context(), method, path, header, in)
	require.NoError(t, err)
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) (*http.Response, []byte) {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, text
}

// refused asserts that an answer is an OperationOutcome with the status, and that it repeats nothing of what was sent.
func refused(t *testing.T, resp *http.Response, body []byte, status int, sent ...string) {
	t.Helper()
	require.Equal(t, status, resp.StatusCode, string(body))
	require.Equal(t, "application/fhir+json", resp.Header.Get("Content-Type"))
	var doc struct {
		ResourceType string
		Issue        []struct{ Severity, Code, Diagnostics string }
	}
	require.NoError(t, json.Unmarshal(body, &doc), string(body))
	require.Equal(t, "OperationOutcome", doc.ResourceType)
	require.NotEmpty(t, doc.Issue)
	for _, issue := range doc.Issue {
		require.Contains(t, []string{"error", "fatal"}, issue.Severity)
		require.NotEmpty(t, issue.Code)
	}
	for _, secret := range sent {
		require.NotContains(t, strings.ToLower(string(body)), strings.ToLower(secret))
	}
}

var reference = regexp.MustCompile(`"reference":"([A-Za-z]+/[^"/]+)"`)

// closed asserts that what a Group's export holds besides members' resources is exactly what is referred to, directly or by
// one another.
func closed(t *testing.T, c *client.Client, m *client.Manifest, w *world) {
	t.Helper()
	shared, wanted := map[string]bool{}, map[string]bool{}
	for _, f := range m.Output {
		_, err := c.Download(t.Context(), m, f, func(text []byte) error {
			if !w.ofMembers[f.Type] {
				shared[f.Type+"/"+gjson.GetBytes(text, "id").Str] = true
			}
			for _, ref := range reference.FindAllSubmatch(text, -1) {
				if w.shared[string(ref[1])] {
					wanted[string(ref[1])] = true
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
	require.NotEmpty(t, wanted)
	require.Equal(t, wanted, shared)
}

func TestExchange(t *testing.T) {
	t.Parallel()
	r, w := shared(t)
	c := r.payer(t, "exchange")
	body, truth, err := w.request("exchange", seed.RequestOptions{Seed: 3, Members: 600, Clean: true})
	require.NoError(t, err)
	job, err := c.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	got, group := matched(t, c, job)
	judge(t, got, truth)
	require.EqualValues(t, 600, r.accounting(t, job).Members)
	r.nothingLeft(t, job)

	for _, path := range []string{"Group/" + group + "/$davinci-data-export", "Group/" + group + "/$export"} {
		query := url.Values{}
		if strings.Contains(path, "davinci") {
			query.Set("exportType", p2p)
		}
		job = export(t, c, path, query)
		lines, m := finish(t, c, job)
		lines.unique(t)
		require.Equal(t, w.due(truth), lines.ofMembers(w))
		closed(t, c, m, w)
		require.Equal(t, strings.TrimSuffix(r.Base+"/"+path+"?"+query.Encode(), "?"), m.Request)
		require.True(t, m.RequiresAccessToken)
		require.Equal(t, 1, lines.transmitted)
		require.Equal(t, r.accounting(t, job).Written, int64(len(lines.lines)+1))
		r.nothingLeft(t, job)
	}
}
