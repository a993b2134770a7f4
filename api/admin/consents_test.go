package admin_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

func TestConsentOverrides(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	for _, id := range []string{"p1", "p2"} {
		_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, $2, true, now())`, models.MemberID(id), id)
		require.NoError(t, err)
	}
	const path = "/admin/consent-overrides"
	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{}`:                                 {422, "body"},
		`{"patient":"p1"}`:                   {422, "body"},
		`{"patient":"","source":"phone"}`:    {422, "body.patient"},
		`{"patient":"a b","source":"phone"}`: {422, "body.patient"},
		`{"patient":"p9","source":"phone"}`:  {404, ""},
		`{"patient":"p1","source":"rumour"}`: {422, "body.source"},
		`{"patient":"p1","source":"phone","requester":"New Health Plan"}`:                               {422, "body.requester"},
		`{"patient":"p1","source":"phone","start":"2026-01-02T00:00:00Z","end":"2026-01-02T00:00:00Z"}`: {422, "body.end"},
		`{"patient":"p1","source":"phone","end":"2020-01-01T00:00:00Z"}`:                                {422, "body.end"},
		`{"patient":"p1","source":"phone","start":"tomorrow"}`:                                          {422, "body.start"},
		`{"patient":"p1","source":"phone","permit":true}`:                                               {422, "body"},
	} {
		p := refused(t, a.Do(t, http.MethodPost, path, body, bearer, jsonType), want.status)
		if want.field != "body" {
			require.Equal(t, want.field, p.Field, body)
		}
	}
	var ids []string
	for _, body := range []string{
		`{"patient":"p1","source":"phone"}`,
		`{"patient":"p1","source":"letter","requester":"urn:oid:2.16.840.1.113883.4.6|0123456789","reason":"moved","start":"2026-01-02T00:00:00Z","end":"2027-01-02T00:00:00Z"}`,
		`{"patient":"p2","source":"portal"}`,
	} {
		resp := a.Do(t, http.MethodPost, path, body, bearer, jsonType)
		require.Equal(t, http.StatusCreated, resp.StatusCode, resp.Text)
		var o struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &o))
		require.Equal(t, path+"/"+o.ID, resp.Header.Get("Location"))
		ids = append([]string{o.ID}, ids...)
	}
	require.Equal(t, ids, pages(t, a, path, 2, "id"))
	require.Equal(t, ids[1:], pages(t, a, path+"?patient=p1", 2, "id"))
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.Do(t, http.MethodGet, path+"/"+ids[1], "", bearer).Text), &o))
	delete(o, "createdAt")
	delete(o, "$schema")
	require.Equal(t, map[string]any{
		"id": ids[1], "patient": "p1", "requester": "http://hl7.org/fhir/sid/us-npi|0123456789", "source": "letter", "reason": "moved",
		"start": "2026-01-02T00:00:00Z", "end": "2027-01-02T00:00:00Z", "createdBy": "bootstrap",
	}, o)
	revoke := func(id string, status int) *apitest.Answer {
		resp := a.Do(t, http.MethodPost, path+"/"+id+"/revoke", "", bearer)
		require.Equal(t, status, resp.StatusCode, resp.Text)
		return resp
	}
	first := revoke(ids[0], 200).Text
	require.Contains(t, first, `"revokedBy":"bootstrap"`)
	require.Equal(t, first, revoke(ids[0], 200).Text, "once is enough")
	revoke(models.NewID(), 404)
	revoke("x", 404)
	refused(t, a.Do(t, http.MethodGet, path+"/x", "", bearer), 404)
	refused(t, a.Do(t, http.MethodGet, path+"?cursor=x", "", bearer), 400)
	a.Do(t, http.MethodGet, path, "").Body.Close()
	require.Equal(t, http.StatusUnauthorized, a.Do(t, http.MethodGet, path, "").StatusCode)
}

func TestAdminConsents(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	job := &models.Job{
		ID: models.NewID(), ClientID: "c", Operation: models.OpBulkMemberMatch, RequestDigest: []byte{1}, State: models.StateAccepted, Params: json.RawMessage(`{}`), CreatedAt: time.Now(),
	}
	_, _, err := a.Store.CreateMatch(t.Context(), job, []store.Slice{{Members: 2, Length: 1}}, 0)
	require.NoError(t, err)
	var list []store.Consent
	for i, patient := range []string{"p1", "p2"} {
		_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, $2, true, now())`, models.MemberID(patient), patient)
		require.NoError(t, err)
		list = append(list, store.Consent{
			ID: models.MemberID(patient + "'s consent"), Member: models.MemberID(patient), Requester: "s|v", ClientID: "c", JobID: job.ID, Idx: int32(i),
			State: store.ConsentActive, Reason: "permitted", Policy: "regular", Start: new(time.Now()), End: new(time.Now()), SubmittedAt: time.Now(), Document: `{"resourceType":"Consent"}`,
		})
	}
	require.NoError(t, a.Store.SaveOutcomes(t.Context(), job.ID, 0, nil, list...))
	const path = "/admin/consents"
	require.Len(t, pages(t, a, path, 1, "id"), 2)
	id := list[1].ID.String()
	require.Equal(t, []string{id}, pages(t, a, path+"?patient=p2", 1, "id"))
	require.NotContains(t, a.Do(t, http.MethodGet, path, "", bearer).Text, "resourceType", "a list has no documents")
	one := a.Do(t, http.MethodGet, path+"/"+id, "", bearer).Text
	require.Contains(t, one, `"consent":{"resourceType":"Consent"}`)
	require.Contains(t, one, `"state":"active"`)
	refused(t, a.Do(t, http.MethodPost, path+"/"+id+"/revoke", `{}`, bearer, jsonType), 422)
	refused(t, a.Do(t, http.MethodPost, path+"/"+models.NewID()+"/revoke", `{"reason":"x"}`, bearer, jsonType), 404)
	resp := a.Do(t, http.MethodPost, path+"/"+id+"/revoke", `{"reason":"she rang"}`, bearer, jsonType)
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
	require.Contains(t, resp.Text, `"state":"revoked"`)
	require.Contains(t, resp.Text, `"revokeReason":"she rang"`)
	// Over FHIR there are none: the Consents there are those of members' portals.
	payer := a.Client(t, "payer", models.ClientPayer, "")
	payer.Do(t, http.MethodGet, "/fhir/Consent/"+id, "").Refused(t, 403)
	payer.Do(t, http.MethodGet, "/fhir/Consent", "").Refused(t, 403)
}
