package admin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestAdminAttributionLists(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	a.Register(t, "clinic", models.ClientProvider)
	a.Register(t, "payer", models.ClientPayer)
	const path = "/admin/attribution-lists"
	made := sent(t, a, http.StatusCreated, http.MethodPost, path, `{"client":"clinic","name":"Main Street","status":"draft","identifiers":["urn:oid:2.16.840.1.113883.4.6|1982947230","urn:c|7"],`+
		`"purposes":["treat","HPAYMT"],"start":"2026-01-01T00:00:00Z","members":[{"patient":"our-1","npi":"1234567893"}]}`, "Idempotency-Key: k")
	id := made["id"].(string)
	require.Equal(t, path+"/"+id, made["location-header"])
	require.Equal(t, []any{models.NPISystem + "|1982947230", "urn:c|7"}, made["identifiers"])
	require.Equal(t, []any{"HPAYMT", "TREAT"}, made["purposes"])
	require.EqualValues(t, 1, made["members"])
	again := sent(t, a, http.StatusOK, http.MethodPost, path, `{"client":"clinic","status":"draft"}`, "Idempotency-Key: k")
	require.Equal(t, id, again["id"])
	require.Equal(t, made["etag"], sent(t, a, http.StatusOK, http.MethodGet, path+"/"+id, "")["etag-header"])

	// A change of the head leaves the members, and the start; a stale one is refused.
	changed := sent(t, a, http.StatusOK, http.MethodPut, path+"/"+id, `{"client":"clinic","status":"open","end":"2027-01-01T00:00:00Z"}`, "If-Match: "+made["etag"].(string))
	require.Equal(t, "2026-01-01T00:00:00Z", changed["start"])
	require.EqualValues(t, 1, changed["members"])
	require.EqualValues(t, 2, changed["version"])
	refused(t, a.Do(t, http.MethodPut, path+"/"+id, `{"client":"clinic","status":"open"}`, bearer, jsonType, "If-Match: "+made["etag"].(string)), http.StatusPreconditionFailed)
	refused(t, a.Do(t, http.MethodDelete, path+"/"+id, "", bearer, "If-Match: "+made["etag"].(string)), http.StatusPreconditionFailed)

	// Members come and go, alone and all together.
	row := models.MemberID("our-2").String()
	sent(t, a, http.StatusOK, http.MethodPost, path+"/"+id+"/members", `{"members":[{"member":"`+row+`","inactive":true},{"patient":"our-1","npi":"1982947230"}]}`)
	page := sent(t, a, http.StatusOK, http.MethodGet, path+"/"+id+"/members?limit=1", "")
	require.Len(t, items(page), 1)
	rest := sent(t, a, http.StatusOK, http.MethodGet, path+"/"+id+"/members?limit=1&cursor="+page["next"].(string), "")
	seen := map[string]string{}
	for _, i := range append(items(page), items(rest)...) {
		m := i.(map[string]any)
		seen[m["patient"].(string)] = fmt.Sprint(len(m["attributions"].([]any)), " ", m["reason"], " ", m["open"])
	}
	require.Equal(t, map[string]string{"our-1": "2 permitted true", "our-2": "1 not-attributed false"}, seen)
	require.EqualValues(t, 1, sent(t, a, http.StatusOK, http.MethodPost, path+"/"+id+"/members/remove", `{"patient":"our-1","npi":"1982947230"}`)["removed"])
	require.EqualValues(t, 0, sent(t, a, http.StatusOK, http.MethodPost, path+"/"+id+"/members/remove", `{"patient":"our-1","npi":"1982947230"}`)["removed"])
	whole := sent(t, a, http.StatusOK, http.MethodPut, path+"/"+id, `{"client":"clinic","status":"open","members":[{"patient":"our-2"}]}`)
	require.EqualValues(t, 1, whole["members"])
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"/"+id+"/members", "")), 1)
	require.EqualValues(t, 0, sent(t, a, http.StatusOK, http.MethodPut, path+"/"+id, `{"client":"clinic","status":"open","members":[]}`)["members"])

	// An id of one's own, as PUT has it.
	own := models.NewID()
	sent(t, a, http.StatusOK, http.MethodPut, path+"/"+own, `{"client":"clinic","status":"final","members":[{"patient":"our-1"}]}`)
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"?client=clinic", "")), 2)
	require.Empty(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"?client=payer", "")))
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"?limit=1", "")), 1)

	good := `"client":"clinic","status":"open"`
	for name, tc := range map[string]struct{ body, at string }{
		"unknown client":           {`{"client":"` + secret + `","status":"open"}`, "client"},
		"a payer":                  {`{"client":"payer","status":"open"}`, "client"},
		"unknown status":           {`{"client":"clinic","status":"` + secret + `"}`, "status"},
		"an identifier of no form": {`{` + good + `,"identifiers":["` + secret + `"]}`, "identifiers"},
		"an unknown purpose":       {`{` + good + `,"purposes":["` + secret + `"]}`, "purposes"},
		"an end before the start":  {`{` + good + `,"start":"2026-01-01T00:00:00Z","end":"2025-01-01T00:00:00Z"}`, "end"},
		"an unknown field":         {`{` + good + `,"x":"` + secret + `"}`, ""},
		"an unknown Patient":       {`{` + good + `,"members":[{"patient":"our-1"},{"patient":"` + secret + `"}]}`, "members[1].patient"},
		"no Patient id":            {`{` + good + `,"members":[{"patient":"a b"}]}`, "members[0].patient"},
		"an unknown row":           {`{` + good + `,"members":[{"member":"` + models.NewID() + `"}]}`, "members[0].member"},
		"no row id":                {`{` + good + `,"members":[{"member":"` + secret + `"}]}`, "members[0].member"},
		"an unknown card":          {`{` + good + `,"members":[{"patient":"our-1"},{"card":"` + secret + `"}]}`, "members[1].card"},
		"nobody":                   {`{` + good + `,"members":[{}]}`, "members[0].patient"},
		"two ways":                 {`{` + good + `,"members":[{"patient":"our-1","card":"x"}]}`, "members[0].patient"},
		"a bad NPI":                {`{` + good + `,"members":[{"patient":"our-1","npi":"1234567890"}]}`, "members[0].npi"},
		"a Coverage of nobody":     {`{` + good + `,"members":[{"patient":"our-1","coverage":"` + secret + `"}]}`, "members[0].coverage"},
		"over before it begins":    {`{` + good + `,"members":[{"patient":"our-1","start":"2026-01-01T00:00:00Z","end":"2025-01-01T00:00:00Z"}]}`, "members[0].end"},
		"the same twice":           {`{` + good + `,"members":[{"patient":"our-1"},{"member":"` + models.MemberID("our-1").String() + `"}]}`, "members[1]"},
	} {
		p := refused(t, a.Do(t, http.MethodPost, path, tc.body, bearer, jsonType), http.StatusUnprocessableEntity)
		require.True(t, tc.at == "" || strings.HasSuffix(p.Field, tc.at), "%s: %v", name, p)
		refused(t, a.Do(t, http.MethodPut, path+"/"+own, tc.body, bearer, jsonType), http.StatusUnprocessableEntity)
	}
	refused(t, a.Do(t, http.MethodPut, path+"/"+own, `{"client":"clinic","status":"final"}`, bearer, jsonType), http.StatusConflict)
	a.Register(t, "another", models.ClientProvider)
	refused(t, a.Do(t, http.MethodPut, path+"/"+own, `{"client":"another","status":"open"}`, bearer, jsonType), http.StatusUnprocessableEntity)
	matched := models.NewID()
	_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at) VALUES ($1, 'clinic', $1, 'x', '', 0, now())`, matched)
	require.NoError(t, err)
	refused(t, a.Do(t, http.MethodPut, path+"/"+matched, `{`+good+`}`, bearer, jsonType), http.StatusConflict)
	refused(t, a.Do(t, http.MethodDelete, path+"/"+matched, "", bearer), http.StatusNotFound)
	for _, bad := range []string{models.NewID(), "nonsense", strings.ToUpper(own)} {
		refused(t, a.Do(t, http.MethodGet, path+"/"+bad, "", bearer), http.StatusNotFound)
		refused(t, a.Do(t, http.MethodGet, path+"/"+bad+"/members", "", bearer), http.StatusNotFound)
		refused(t, a.Do(t, http.MethodDelete, path+"/"+bad, "", bearer), http.StatusNotFound)
		refused(t, a.Do(t, http.MethodPost, path+"/"+bad+"/members", `{"members":[{"patient":"our-1"}]}`, bearer, jsonType), http.StatusNotFound)
		refused(t, a.Do(t, http.MethodPost, path+"/"+bad+"/members/remove", `{"patient":"our-1"}`, bearer, jsonType), http.StatusNotFound)
	}
	refused(t, a.Do(t, http.MethodGet, path+"?cursor=nonsense", "", bearer), http.StatusBadRequest)
	refused(t, a.Do(t, http.MethodGet, path+"/"+own+"/members?cursor=nonsense", "", bearer), http.StatusBadRequest)
	require.Equal(t, http.StatusUnauthorized, a.Do(t, http.MethodGet, path, "").StatusCode)

	sent(t, a, http.StatusNoContent, http.MethodDelete, path+"/"+own, "")
	refused(t, a.Do(t, http.MethodGet, path+"/"+own, "", bearer), http.StatusNotFound)
	var left int
	require.NoError(t, a.Store.Pool.QueryRow(t.Context(), `SELECT count(*) FROM attributions WHERE group_id = $1`, own).Scan(&left))
	require.Zero(t, left)
}
