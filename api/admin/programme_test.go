package admin_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
)

// sent sends an admin request that must be answered with a status, and returns the body.
func sent(t *testing.T, a *apitest.API, status int, method, path, body string, headers ...string) map[string]any {
	t.Helper()
	resp := a.Do(t, method, path, body, append(headers, bearer, jsonType)...)
	require.Equal(t, status, resp.StatusCode, resp.Text)
	out := map[string]any{}
	if resp.Text != "" {
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &out), resp.Text)
	}
	out["etag-header"], out["location-header"] = resp.Header.Get("ETag"), resp.Header.Get("Location")
	return out
}

func items(body map[string]any) []any { return body["items"].([]any) }

// withMembers makes an api with members our-1 and our-2.
func withMembers(t *testing.T) *apitest.API {
	t.Helper()
	a := apitest.New(t, nil)
	for _, p := range []string{"our-1", "our-2"} {
		_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, $2, true, now())`, models.MemberID(p), p)
		require.NoError(t, err)
	}
	return a
}

func TestAdminOptOuts(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	const path = "/admin/opt-outs"
	first := sent(t, a, http.StatusCreated, http.MethodPost, path, `{"patient":"our-1","scope":"global","reason":"privacy-concern"}`, "Idempotency-Key: k")
	require.Equal(t, path+"/"+first["id"].(string), first["location-header"])
	require.Equal(t, "bootstrap", first["createdBy"])
	again := sent(t, a, http.StatusOK, http.MethodPost, path, `{"patient":"our-1","scope":"global","reason":"privacy-concern"}`, "Idempotency-Key: k")
	require.Equal(t, first["id"], again["id"])
	refused(t, a.Do(t, http.MethodPost, path, `{"patient":"our-2","scope":"global","reason":"privacy-concern"}`, bearer, jsonType, "Idempotency-Key: k"), http.StatusConflict)
	sent(t, a, http.StatusCreated, http.MethodPost, path, `{"patient":"our-2","scope":"provider-specific","target":"1234567893","reason":"member-choice","start":"2026-01-01T00:00:00Z","end":"2027-01-01T00:00:00Z"}`)

	for name, body := range map[string]string{
		"unknown member":    `{"patient":"` + secret + `","scope":"global","reason":"other"}`,
		"unknown scope":     `{"patient":"our-1","scope":"` + secret + `","reason":"other"}`,
		"unknown reason":    `{"patient":"our-1","scope":"global","reason":"` + secret + `"}`,
		"target of global":  `{"patient":"our-1","scope":"global","target":"` + secret + `","reason":"other"}`,
		"no such provider":  `{"patient":"our-1","scope":"provider-specific","target":"` + secret + `","reason":"other"}`,
		"end before start":  `{"patient":"our-1","scope":"global","reason":"other","end":"2020-01-01T00:00:00Z"}`,
		"not a patient id":  `{"patient":"our 1","scope":"global","reason":"other"}`,
		"start is no time":  `{"patient":"our-1","scope":"global","reason":"other","start":"` + secret + `"}`,
		"unknown attribute": `{"patient":"our-1","scope":"global","reason":"other","x":"` + secret + `"}`,
	} {
		t.Log(name)
		refused(t, a.Do(t, http.MethodPost, path, body, bearer, jsonType), http.StatusUnprocessableEntity)
	}

	found := sent(t, a, http.StatusOK, http.MethodPost, "/admin/members/search", `{"patient":"our-1"}`)
	require.Len(t, items(found), 1)
	member := items(found)[0].(map[string]any)["member"].(string)
	require.Equal(t, models.MemberID("our-1").String(), member)
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodPost, "/admin/members/search", `{"patient":"our-2"}`)), 1)
	require.Empty(t, items(sent(t, a, http.StatusOK, http.MethodPost, "/admin/members/search", `{"patient":"our-3"}`)))
	refused(t, a.Do(t, http.MethodPost, "/admin/members/search", `{}`, bearer, jsonType), http.StatusUnprocessableEntity)

	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"?member="+member, "")), 1)
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"?scope=provider-specific&revoked=false", "")), 1)
	page := sent(t, a, http.StatusOK, http.MethodGet, path+"?limit=1", "")
	require.Len(t, items(page), 1)
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"?cursor="+page["next"].(string), "")), 1)
	refused(t, a.Do(t, http.MethodGet, path+"?member="+secret, "", bearer), http.StatusBadRequest)
	refused(t, a.Do(t, http.MethodGet, path+"/"+models.NewID(), "", bearer), http.StatusNotFound)

	revoked := sent(t, a, http.StatusOK, http.MethodPost, path+"/"+first["id"].(string)+"/revoke", `{"reason":"member-choice"}`)
	require.NotEmpty(t, revoked["revokedAt"])
	require.Equal(t, revoked["revokedAt"], sent(t, a, http.StatusOK, http.MethodGet, path+"/"+first["id"].(string), "")["revokedAt"])
	refused(t, a.Do(t, http.MethodPost, path+"/"+first["id"].(string)+"/revoke", `{"reason":"because"}`, bearer, jsonType), http.StatusUnprocessableEntity)
}

func TestAdminRelationships(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	const path = "/admin/relationships"
	first := sent(t, a, http.StatusOK, http.MethodPost, path, `{"patient":"our-1","npi":"1234567893","type":"active","start":"2026-01-01T00:00:00Z"}`)
	second := sent(t, a, http.StatusOK, http.MethodPost, path, `{"patient":"our-1","npi":"1234567893","type":"active","start":"2026-02-01T00:00:00Z"}`)
	require.Equal(t, first["id"], second["id"])
	require.NotEqual(t, first["etag-header"], second["etag-header"])
	for _, body := range []string{
		`{"patient":"our-9","npi":"1234567893","type":"active","start":"2026-01-01T00:00:00Z"}`,
		`{"patient":"our-1","npi":"1234567890","type":"active","start":"2026-01-01T00:00:00Z"}`,
		`{"patient":"our-1","npi":"1234567893","type":"friend","start":"2026-01-01T00:00:00Z"}`,
		`{"patient":"our-1","npi":"1234567893","type":"past","start":"2026-01-01T00:00:00Z"}`,
	} {
		refused(t, a.Do(t, http.MethodPost, path, body, bearer, jsonType), http.StatusUnprocessableEntity)
	}
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"?npi=1234567893&source=admin", "")), 1)
	one := path + "/" + first["id"].(string)
	refused(t, a.Do(t, http.MethodDelete, one, "", bearer, "If-Match: "+first["etag-header"].(string)), http.StatusPreconditionFailed)
	refused(t, a.Do(t, http.MethodDelete, one, "", bearer, "If-Match: \"?\""), http.StatusBadRequest)
	sent(t, a, http.StatusNoContent, http.MethodDelete, one, "", "If-Match: "+second["etag-header"].(string))
	refused(t, a.Do(t, http.MethodDelete, one, "", bearer), http.StatusNotFound)
}

func TestAdminDirectoryAndLines(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	const doctor = "/admin/providers/1234567893"
	first := sent(t, a, http.StatusOK, http.MethodPut, doctor, `{"kind":"individual","active":true,"inNetwork":true,"taxonomies":["207R00000X"]}`)
	sent(t, a, http.StatusOK, http.MethodPut, doctor, `{"kind":"individual","active":true,"inNetwork":false}`, "If-Match: "+first["etag-header"].(string))
	refused(t, a.Do(t, http.MethodPut, doctor, `{"kind":"individual","active":true,"inNetwork":true}`, bearer, jsonType, "If-Match: "+first["etag-header"].(string)), http.StatusPreconditionFailed)
	require.Equal(t, false, sent(t, a, http.StatusOK, http.MethodGet, doctor, "")["inNetwork"])
	require.Empty(t, items(sent(t, a, http.StatusOK, http.MethodGet, "/admin/providers?inNetwork=true", "")))
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, "/admin/providers", "")), 1)
	refused(t, a.Do(t, http.MethodPut, "/admin/providers/1234567890", `{"kind":"individual","active":true,"inNetwork":true}`, bearer, jsonType), http.StatusBadRequest)
	sent(t, a, http.StatusNoContent, http.MethodDelete, doctor, "")
	refused(t, a.Do(t, http.MethodGet, doctor, "", bearer), http.StatusNotFound)

	line := sent(t, a, http.StatusOK, http.MethodPut, "/admin/lines/gold", `{"selectors":[{"class":"plan|GOLD"}],"hideOptOuts":false}`)
	require.Equal(t, "both", line["treatment"])
	require.Equal(t, false, line["hideOptOuts"])
	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, "/admin/lines", "")), 2)
	refused(t, a.Do(t, http.MethodPut, "/admin/lines/gold", `{"treatment":"none"}`, bearer, jsonType), http.StatusUnprocessableEntity)
	refused(t, a.Do(t, http.MethodPut, "/admin/lines/default", `{"selectors":[{"class":"plan|GOLD"}]}`, bearer, jsonType), http.StatusUnprocessableEntity)
	sent(t, a, http.StatusNoContent, http.MethodDelete, "/admin/lines/gold", "")
	refused(t, a.Do(t, http.MethodDelete, "/admin/lines/default", "", bearer), http.StatusConflict)
}

func TestAdminLists(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	const path = "/admin/lists"
	started := sent(t, a, http.StatusAccepted, http.MethodPost, path, `{"kind":"opt-outs","source":"/data/optouts.csv","dryRun":true}`)
	require.Equal(t, "accepted", started["state"])
	require.Equal(t, started["id"], sent(t, a, http.StatusOK, http.MethodGet, path+"/"+started["id"].(string), "")["id"])
	refused(t, a.Do(t, http.MethodPost, path, `{"kind":"people","source":"/data/x.csv"}`, bearer, jsonType), http.StatusUnprocessableEntity)
	refused(t, a.Do(t, http.MethodPost, path, `{"kind":"opt-outs","source":"relative.csv"}`, bearer, jsonType), http.StatusBadRequest)

	upload := path + "/upload?kind=opt-outs"
	resp := a.Do(t, http.MethodPost, upload, "patient,scope,reason\nour-1,global,other\n", bearer, "Content-Type: text/csv; charset=utf-8")
	require.Equal(t, http.StatusAccepted, resp.StatusCode, resp.Text)
	var l models.ListImport
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &l))
	require.Equal(t, models.ListCSV, l.Format)
	stored, err := a.Store.ListImport(t.Context(), l.ID)
	require.NoError(t, err)
	require.Equal(t, []string{stored.BlobKey}, a.Blobs(t))
	require.NotContains(t, resp.Text, stored.BlobKey)
	refused(t, a.Do(t, http.MethodPost, upload, secret, bearer, jsonType), http.StatusUnsupportedMediaType)
	refused(t, a.Do(t, http.MethodPost, path+"/upload?kind="+secret, secret, bearer, "Content-Type: text/csv"), http.StatusUnprocessableEntity)
	refused(t, a.Do(t, http.MethodPost, upload, secret, "Content-Type: text/csv"), http.StatusUnauthorized)
	require.Len(t, a.Blobs(t), 1, "what is refused leaves nothing")

	require.Len(t, items(sent(t, a, http.StatusOK, http.MethodGet, path, "")), 2)
	require.Empty(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"/"+l.ID+"/rejects", "")))
	sent(t, a, http.StatusAccepted, http.MethodPost, path+"/"+l.ID+"/cancel", "")
	refused(t, a.Do(t, http.MethodPost, path+"/"+models.NewID()+"/cancel", "", bearer), http.StatusNotFound)
}

// TestAdminProgrammeRoles: who keeps opt-outs need not be able to do anything else.
func TestAdminProgrammeRoles(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	token := func(role models.Role) string {
		made := sent(t, a, http.StatusCreated, http.MethodPost, "/admin/credentials", `{"name":"x","role":"`+string(role)+`","expiresAt":"`+soon()+`"}`, "X-Reason: test")
		return "Authorization: Bearer " + made["token"].(string)
	}
	editor, operator := token(models.RoleOptOutEditor), token(models.RoleOperator)
	const body = `{"patient":"our-1","scope":"global","reason":"other"}`
	for _, tc := range []struct {
		method, path, body, who string
		status                  int
	}{
		{http.MethodPost, "/admin/opt-outs", body, editor, http.StatusCreated},
		{http.MethodPost, "/admin/opt-outs", body, operator, http.StatusForbidden},
		{http.MethodGet, "/admin/opt-outs", "", operator, http.StatusOK},
		{http.MethodGet, "/admin/opt-outs", "", editor, http.StatusOK},
		{http.MethodPost, "/admin/members/search", `{"patient":"our-1"}`, operator, http.StatusForbidden},
		{http.MethodPost, "/admin/members/search", `{"patient":"our-1"}`, editor, http.StatusOK},
		{http.MethodPut, "/admin/lines/x", `{}`, editor, http.StatusForbidden},
		{http.MethodPut, "/admin/providers/1234567893", `{"kind":"individual","active":true,"inNetwork":true}`, editor, http.StatusForbidden},
		{http.MethodPost, "/admin/lists/upload?kind=opt-outs", "patient\n", operator, http.StatusForbidden},
	} {
		resp := a.Do(t, tc.method, tc.path, tc.body, tc.who, jsonType)
		require.Equal(t, tc.status, resp.StatusCode, "%s %s: %s", tc.method, tc.path, resp.Text)
	}
}

func soon() string { return time.Now().Add(time.Hour).UTC().Format(time.RFC3339) }
