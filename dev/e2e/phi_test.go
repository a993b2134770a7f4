package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/proxy"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	sdk "go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"pdexbulk/dev/seed"
	"pdexbulk/worker/boot"
)

// leaks returns the values that occur in a text, compared without case. A value of digits counts only when no further digit
// is on either side and it is not the fraction of a second.
func leaks(text []byte, values []string) []string {
	text = bytes.ToLower(text)
	var found []string
	for _, v := range values {
		for rest, at := text, 0; ; {
			i := bytes.Index(rest[at:], []byte(v))
			if i < 0 {
				break
			}
			at += i
			if !numeric(v) || !inNumber(rest, at, at+len(v)) {
				found = append(found, v)
				break
			}
			at++
		}
	}
	return found
}

func numeric(v string) bool { return strings.Trim(v, "0123456789") == "" }

func inNumber(text []byte, from, to int) bool {
	digit := func(i int) bool { return i >= 0 && i < len(text) && text[i] >= '0' && text[i] <= '9' }
	return digit(from-1) || digit(to) || from > 0 && text[from-1] == '.'
}

// temporal connects to the system's Temporal without a codec: it sees what Temporal holds.
func (r *running) temporal(t *testing.T) sdk.Client {
	t.Helper()
	c, err := sdk.DialContext(t.Context(), sdk.Options{HostPort: r.Stack.TemporalAddress, Namespace: r.Stack.TemporalNamespace})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// runs lists the runs that a visibility query finds.
func runs(t *testing.T, c sdk.Client, query string) []*workflowpb.WorkflowExecutionInfo {
	t.Helper()
	var all []*workflowpb.WorkflowExecutionInfo
	for token, first := []byte(nil), true; first || len(token) > 0; first = false {
		page, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: token})
		require.NoError(t, err)
		all, token = append(all, page.Executions...), page.NextPageToken
	}
	return all
}

// remembered is what Temporal holds of a run: ids, memo, search attributes and history, as it lies there and with the
// payloads opened.
type remembered struct {
	id             string
	sealed, opened []byte
	payloads       int
}

// notStarted is the one payload that is Temporal's own: why it knows of no end of a cancelled activity.
const notStarted = `"ACTIVITY_ID_NOT_STARTED"`

func (r *running) remembered(t *testing.T) []remembered {
	t.Helper()
	c := r.temporal(t)
	codec, err := boot.ParseCodec(r.PayloadKeys)
	require.NoError(t, err)
	var all []remembered
	for _, run := range runs(t, c, "") {
		id := run.GetExecution().GetWorkflowId()
		one := remembered{id: id}
		described, err := c.DescribeWorkflowExecution(t.Context(), id, run.GetExecution().GetRunId())
		require.NoError(t, err)
		messages := []proto.Message{run, described}
		history := c.GetWorkflowHistory(t.Context(), id, run.GetExecution().GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for history.HasNext() {
			event, err := history.Next()
			require.NoError(t, err)
			messages = append(messages, event)
		}
		for _, m := range messages {
			one.sealed = append(one.sealed, wire(t, m)...)
			err := proxy.VisitPayloads(t.Context(), m, proxy.VisitPayloadsOptions{
				SkipSearchAttributes: true, // never sealed
				Visitor: func(_ *proxy.VisitPayloadsContext, p []*commonpb.Payload) ([]*commonpb.Payload, error) {
					for _, payload := range p {
						if string(payload.GetMetadata()["encoding"]) != "binary/encrypted" && string(payload.GetData()) != notStarted {
							return nil, fmt.Errorf("%s: a payload is not sealed: %s", id, m)
						}
					}
					one.payloads += len(p)
					return codec.Decode(p)
				},
			})
			require.NoError(t, err)
			one.opened = append(one.opened, wire(t, m)...)
		}
		all = append(all, one)
	}
	return all
}

func wire(t *testing.T, m proto.Message) []byte {
	t.Helper()
	text, err := proto.Marshal(m)
	require.NoError(t, err)
	return text
}

// tellsNothing fails when anything that identifies a seeded person is in what Temporal remembers or in a log.
func (r *running) tellsNothing(t *testing.T, w *world) {
	t.Helper()
	for _, run := range r.remembered(t) {
		require.Empty(t, leaks(run.sealed, w.names), "sealed history of %s", run.id)
		require.Empty(t, leaks(run.opened, w.names), "opened history of %s", run.id)
	}
	for name, text := range r.logs(t) {
		require.Empty(t, leaks(text, w.names), "log %s", name)
	}
}

// TestNothingPersonalLeaves runs everything, the wrong with the right, and searches all that was emitted on the way.
func TestNothingPersonalLeaves(t *testing.T) {
	t.Parallel()
	r, w := shared(t)
	source, err := os.ReadFile(filepath.Join(w.dir, "Patient.ndjson"))
	require.NoError(t, err)
	require.Greater(t, len(leaks(source, w.names)), 4000, "the search finds what is there")
	require.Contains(t, leaks([]byte("time=2026-01-01T00:00:00.123456789Z id=123456789"), []string{"123456789"}), "123456789")
	require.Empty(t, leaks([]byte("time=2026-01-01T00:00:00.123456789Z n=41234567890"), []string{"123456789"}))

	c := r.payer(t, "discreet")
	body, truth, err := w.request("discreet", seed.RequestOptions{Seed: 9, Members: 300})
	require.NoError(t, err)
	job, err := c.MemberMatch(t.Context(), bytes.NewReader(body))
	require.NoError(t, err)
	got, group := matched(t, c, job)
	require.Len(t, got, len(truth))
	exported := export(t, c, "Group/"+group+"/$davinci-data-export", url.Values{"exportType": {p2p}})
	_, _ = finish(t, c, exported)

	// Requests that fail with something personal in them: in the query, the path, a header and the body.
	name, person := w.names[len(w.names)-1], truth[0].Submitted
	async := http.Header{"Accept": {"application/fhir+json"}, "Prefer": {"respond-async"}, "Content-Type": {"application/fhir+json"}}
	resp, text := call(t, c, http.MethodGet, "Group/"+group+"/$export?_type="+url.QueryEscape(name)+"&patient="+person, async, nil)
	refused(t, resp, text, http.StatusBadRequest, name)
	resp, text = call(t, c, http.MethodGet, "Patient/"+url.PathEscape(name), nil, nil)
	refused(t, resp, text, http.StatusNotFound, name)
	broken := async.Clone()
	broken.Set("Content-Type", name)
	resp, text = call(t, c, http.MethodPost, "Group/$bulk-member-match", broken, body)
	refused(t, resp, text, http.StatusUnsupportedMediaType, name)
	for _, wrong := range [][]byte{body[:len(body)/2], bytes.ReplaceAll(body, []byte(`"MemberPatient"`), []byte(`"Consent"`))} {
		resp, text = call(t, c, http.MethodPost, "Group/$bulk-member-match", async, wrong)
		require.GreaterOrEqual(t, resp.StatusCode, 400)
		refused(t, resp, text, resp.StatusCode)
		require.Empty(t, leaks(text, w.names))
	}
	damaged := filepath.Join(tests.temp, "damaged")
	require.NoError(t, os.Mkdir(damaged, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(damaged, "Patient.ndjson"), bytes.ReplaceAll(source[:200_000], []byte(`"birthDate":`), []byte(`"birthDate";`)), 0o600))
	imp, err := r.Import(t.Context(), damaged, "live", nil)
	require.NoError(t, err)
	require.Positive(t, imp.Stats.Rejected)

	r.tellsNothing(t, w)
	all := r.remembered(t)
	byID := map[string]remembered{}
	for _, run := range all {
		byID[run.id] = run
	}
	for id, job := range map[string]string{"match-" + jobID(job.StatusURL): jobID(job.StatusURL), "export-" + jobID(exported.StatusURL): jobID(exported.StatusURL)} {
		run := byID[id]
		require.Positive(t, run.payloads)
		require.Contains(t, string(run.opened), `{"JobID":"`+job+`"`, "the payloads were opened")
		require.NotContains(t, string(run.sealed), `{"JobID":"`+job+`"`, "the payloads were sealed")
	}
}

// TestRunsAreListed finds the runs of a client by their search attributes, as an operator does.
func TestRunsAreListed(t *testing.T) {
	t.Parallel()
	r, _ := shared(t)
	c := r.backend(t, "listed")
	job := export(t, c, "Patient/$export", url.Values{"_type": {"Patient"}})
	_, _ = finish(t, c, job)
	temporal := r.temporal(t)
	ids := func(query string) (ids []string) {
		for _, run := range runs(t, temporal, query) {
			ids = append(ids, run.GetExecution().GetWorkflowId())
		}
		return ids
	}
	eventually(t, 10*time.Second, "the run is not listed", func() bool {
		return len(ids(`PdexClient = 'listed' AND PdexOperation = 'patient-export' AND PdexStage = 'done' AND WorkflowType = 'Export'`)) == 1
	})
	require.Equal(t, []string{"export-" + jobID(job.StatusURL)}, ids(`PdexClient = 'listed' AND WorkflowType = 'Export'`))
	require.NotEmpty(t, ids(`PdexClient = 'admin' AND PdexOperation = 'import' AND PdexStage = 'done'`))
	eventually(t, 10*time.Second, "the run that will delete the files is not listed", func() bool {
		return len(ids(`PdexClient = 'listed' AND WorkflowType = 'Expire' AND ExecutionStatus = 'Running'`)) == 1
	})
	described, err := temporal.DescribeWorkflowExecution(noCancel(t), "export-"+jobID(job.StatusURL), "")
	require.NoError(t, err)
	require.Contains(t, described.GetWorkflowExecutionInfo().GetMemo().GetFields(), "progress")
}
