package bulk_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// A Group's export of two files, with one member each: who withdraws closes the one that holds their data, at once.
func TestFilesOfThoseWhoWithdraw(t *testing.T) {
	t.Parallel()
	c := startPayer(t, nil)
	group := addGroup(t, c, nil)
	members := []uuid.UUID{models.MemberID("a"), models.MemberID("b"), models.MemberID("c")}
	slices.SortFunc(members, func(x, y uuid.UUID) int { return bytes.Compare(x[:], y[:]) })
	patient := map[uuid.UUID]string{models.MemberID("a"): "a", models.MemberID("b"): "b", models.MemberID("c"): "c"}
	for _, m := range members {
		_, err := c.Store.Pool.Exec(t.Context(), `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, $2, true, now())`, m, patient[m])
		require.NoError(t, err)
		_, err = c.Store.Pool.Exec(t.Context(), `INSERT INTO group_members (group_id, member_id, policy, consent_start, consent_end)
			VALUES ($1, $2, 'regular', '2020-01-01', '2099-01-01')`, group, m)
		require.NoError(t, err)
	}
	job := c.KickOff(t, http.MethodGet, "/fhir/Group/"+group+"/$davinci-data-export", "")
	_, err := c.Store.StartJob(t.Context(), job.ID, "exporting", time.Now())
	require.NoError(t, err)
	var plan []store.Chunk
	for i, m := range members {
		plan = append(plan, store.Chunk{JobID: job.ID, Chunk: i, Lo: m, Hi: m, Members: 1, Planned: 1})
	}
	require.NoError(t, c.Store.SavePlan(t.Context(), job.ID, plan))
	code, _ := fhir.TypeCode("Patient")
	var files []models.JobFile
	for i, m := range members {
		packed, sum, err := segment.Pack(nil, fmt.Appendf(nil, `{"resourceType":"Patient","id":"%s"}`+"\n", patient[m]))
		require.NoError(t, err)
		key := fmt.Sprintf("exports/%s/%d", job.ID, i)
		putBlob(t, c, key, packed)
		// The third has been kept back, as far as this job knows.
		var kept []store.Withheld
		if i == 2 {
			kept = append(kept, store.Withheld{Member: m, Whole: true})
		}
		parts := []store.Part{{Type: code, Packed: sum.PackedLen, Raw: sum.RawLen, Lines: 1, CRC: sum.CRC}}
		_, err = c.Store.PublishChunk(t.Context(), job.ID, i, models.NewID(), key, models.Accounting{}, parts, store.Referred{}, kept...)
		require.NoError(t, err)
		files = append(files, models.JobFile{
			JobID: job.ID, File: i, Kind: "output", Type: "Patient", FirstChunk: i, LastChunk: i, Lines: 1, RawLen: sum.RawLen, PackedLen: sum.PackedLen, CRC: int32(sum.CRC),
		})
	}
	putBlob(t, c, "exports/"+job.ID+"/small", []byte("x"))
	for _, kind := range []string{"deleted", "error"} {
		files = append(files, models.JobFile{
			JobID: job.ID, File: len(files), Kind: kind, Type: map[string]string{"deleted": "Bundle", "error": "OperationOutcome"}[kind],
			BlobKey: "exports/" + job.ID + "/small", LastChunk: -1, Lines: 1, RawLen: 1, PackedLen: 1, Format: "text/plain",
		})
	}
	_, err = c.Store.CompleteJob(t.Context(), job.ID, files, models.Accounting{}, time.Now(), time.Now().Add(time.Hour), nil)
	require.NoError(t, err)
	get := func(i int) *apitest.Answer {
		return c.Do(t, http.MethodGet, fmt.Sprintf("/fhir/bulk-files/%s/%d.%s.ndjson", job.ID, i, files[i].Type), "")
	}
	statuses := func() (all []int) {
		for i := range files {
			all = append(all, get(i).StatusCode)
		}
		return all
	}
	require.Equal(t, []int{200, 200, 200, 200, 200}, statuses())

	tell := func(m uuid.UUID, requester string) string {
		o := store.Override{ID: models.NewID(), Member: m, Requester: requester, Start: time.Now(), CreatedAt: time.Now(), Source: "phone", CreatedBy: "x"}
		require.NoError(t, c.Store.AddOverride(t.Context(), o))
		return o.ID
	}
	tell(members[0], "urn:example:payers|another")
	tell(members[2], "")
	require.Equal(t, []int{200, 200, 200, 200, 200}, statuses(), "to somebody else, or not in the file")
	id := tell(members[1], apitest.OrganizationID(c.ID))
	require.Equal(t, []int{200, 410, 200, 410, 200}, statuses())
	o := get(1).Refused(t, 410)
	require.Contains(t, o.Issue[0].Diagnostics, "start the export again")
	require.NotContains(t, get(1).Text, patient[members[1]]+`"`)
	require.Equal(t, http.StatusOK, status(t, c, job).StatusCode, "the manifest does not change")
	_, err = c.Store.RevokeOverride(t.Context(), id, "x", time.Now())
	require.NoError(t, err)
	require.Equal(t, []int{200, 200, 200, 200, 200}, statuses())
	_, err = c.Store.Pool.Exec(t.Context(), `UPDATE group_members SET consent_end = now() WHERE member_id = $1`, members[0])
	require.NoError(t, err)
	require.Equal(t, []int{410, 200, 200, 410, 200}, statuses(), "the consent has ended")
	_, err = c.Store.Pool.Exec(t.Context(), `DELETE FROM groups`)
	require.NoError(t, err)
	require.Equal(t, []int{410, 410, 410, 410, 200}, statuses(), "nobody can tell any more")
}
