package bulk_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/segment"
)

// The result of a match in the form of PDex 2.1 is what a poll answers with.
func TestMatchInOlderForm(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	finish := func(job *models.Job) string {
		_, err := c.Store.StartJob(t.Context(), job.ID, "matching", time.Now())
		require.NoError(t, err)
		var text strings.Builder
		text.WriteString(`{"resourceType":"Parameters","id":"` + job.ID + `","parameter":[`)
		for i := range 20_000 { // more than a buffer holds
			text.WriteString(`{"name":"MatchedMembers` + strconv.Itoa(i) + `"},`)
		}
		text.WriteString(`{"name":"MatchedMembers"}]}` + "\n")
		packed, sum, err := segment.Pack(nil, []byte(text.String()))
		require.NoError(t, err)
		putBlob(t, c, "matches/"+job.ID+"/Parameters", packed)
		complete(t, c, job, time.Now().Add(time.Hour), models.JobFile{
			Kind: "output", Type: "Group", Lines: 1, RawLen: 3, PackedLen: 3,
		}, models.JobFile{
			Kind: "output", Type: "Parameters", BlobKey: "matches/" + job.ID + "/Parameters", Lines: 1, RawLen: sum.RawLen, PackedLen: sum.PackedLen, CRC: int32(sum.CRC),
		})
		return text.String()
	}
	older := c.KickOff(t, http.MethodPost, matchPath, parameters(member), "X-PDex-Spec-Version: 2.1.0")
	today := c.KickOff(t, http.MethodPost, matchPath, parameters(member))
	require.NotEqual(t, older.ID, today.ID, "the same request in another form is another")
	require.Equal(t, older.ID, c.KickOff(t, http.MethodPost, matchPath, parameters(member), "Prefer: pdex-spec=2.1").ID)
	require.Equal(t, today.ID, c.KickOff(t, http.MethodPost, matchPath, parameters(member), `Prefer: handling=lenient, pdex-spec="2.2"`).ID)
	require.Equal(t, today.ID, c.KickOff(t, http.MethodPost, matchPath, parameters(member), "Prefer: pdex-spec=2.1", "X-PDex-Spec-Version: 2.2").ID)

	want := finish(older)
	resp := status(t, c, older)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "application/fhir+json", resp.Header.Get("Content-Type"))
	require.NotEmpty(t, resp.Header.Get("Expires"))
	require.Equal(t, want, resp.Text)
	head := c.Do(t, http.MethodHead, "/fhir/bulk-status/"+older.ID, "")
	require.Equal(t, int64(len(want)), head.ContentLength)
	finish(today)
	var m struct{ Output []struct{ Type string } }
	require.NoError(t, json.Unmarshal([]byte(status(t, c, today).Text), &m))
	require.Len(t, m.Output, 2)

	for _, odd := range []struct{ header, at string }{
		{"X-PDex-Spec-Version: 2.0", "http.X-PDex-Spec-Version"},
		{"X-PDex-Spec-Version: 2.10", "http.X-PDex-Spec-Version"},
		{"X-PDex-Spec-Version: newest", "http.X-PDex-Spec-Version"},
		{"Prefer: pdex-spec=3", "http.Prefer"},
	} {
		resp := c.Do(t, http.MethodPost, matchPath, parameters(member), apitest.Async, apitest.FHIR, apitest.JSON, odd.header)
		require.Equal(t, odd.at, resp.Refused(t, 400).At())
	}
	// The Parameters are gone when the job's files are.
	require.NoError(t, c.Files.DeletePrefix(t.Context(), "matches/"+older.ID))
	status(t, c, older).Refused(t, 404)
}

// The names that drafts of PDex use lead to the same operations.
func TestOtherNamesOfOperations(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	const other = "/fhir/Group/$multi-member-match"
	job := c.KickOff(t, http.MethodPost, other, parameters(member))
	require.Equal(t, models.OpBulkMemberMatch, job.Operation)
	require.Equal(t, c.Base+"/Group/$multi-member-match", job.RequestURL)
	require.Equal(t, job.ID, c.KickOff(t, http.MethodPost, matchPath, parameters(member)).ID)
	c.Do(t, http.MethodGet, other, "").Refused(t, 405)
	c.API.Do(t, http.MethodPost, other, parameters(member), apitest.Async, apitest.FHIR, apitest.JSON).Refused(t, 401)

	group := "/fhir/Group/" + addGroup(t, c, nil)
	export := c.KickOff(t, http.MethodGet, group+"/$pdex-p2p-export?_type=Patient", "")
	require.Equal(t, models.OpDataExport, export.Operation)
	require.Equal(t, export.ID, c.KickOff(t, http.MethodPost, group+"/$davinci-data-export", `{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient"}]}`).ID)
	stranger := c.API.Client(t, "other", models.ClientPayer, "")
	stranger.Do(t, http.MethodGet, group+"/$pdex-p2p-export", "", apitest.Async, apitest.FHIR).Refused(t, 404)
}
