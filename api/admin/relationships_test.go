package admin_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/activities"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

func TestAdminDerivedRelationships(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	const path = "/admin/relationships/"
	first := sent(t, a, http.StatusAccepted, http.MethodPost, path+"derive", "")
	require.Equal(t, "running", first["state"])
	require.Equal(t, path+"runs/"+first["id"].(string), first["location-header"])
	again := sent(t, a, http.StatusAccepted, http.MethodPost, path+"derive", "")
	require.Equal(t, first["id"], again["id"], "one that goes on is as good")
	require.Equal(t, first["id"], sent(t, a, http.StatusOK, http.MethodGet, first["location-header"].(string), "")["id"])
	list := sent(t, a, http.StatusOK, http.MethodGet, path+"runs", "")
	require.Len(t, items(list), 1)
	require.Empty(t, items(sent(t, a, http.StatusOK, http.MethodGet, path+"runs?cursor="+first["id"].(string), "")))
	refused(t, a.Do(t, http.MethodGet, path+"runs/"+models.NewID(), "", bearer), http.StatusNotFound)
	refused(t, a.Do(t, http.MethodGet, path+"runs/nonsense", "", bearer), http.StatusNotFound)
	refused(t, a.Do(t, http.MethodGet, path+"runs?cursor=nonsense", "", bearer), http.StatusBadRequest)
}

func TestAdminRosters(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	sent(t, a, http.StatusOK, http.MethodPost, "/admin/relationships", `{"patient":"our-1","npi":"1234567893","type":"active","start":"2026-01-01T00:00:00Z"}`)
	sent(t, a, http.StatusCreated, http.MethodPost, "/admin/opt-outs", `{"patient":"our-1","scope":"global","reason":"privacy-concern"}`)
	for path, profile := range map[string]string{"/treatment-relationships": "pdex-treatment-relationship", "/opt-outs": "pdex-member-opt-out"} {
		for patient, n := range map[string]int{"our-1": 1, "our-2": 0} {
			resp := a.Do(t, http.MethodGet, "/admin/members/"+models.MemberID(patient).String()+path, "", bearer)
			require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
			require.Equal(t, "application/fhir+json", resp.Header.Get("Content-Type"))
			g, err := fhir.ParseGroup([]byte(resp.Text))
			require.NoError(t, err)
			require.Equal(t, []string{"http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/" + profile}, g.Meta.Profile)
			require.Len(t, g.Member, n)
		}
		refused(t, a.Do(t, http.MethodGet, "/admin/members/"+models.MemberID("our-9").String()+path, "", bearer), http.StatusNotFound)
		refused(t, a.Do(t, http.MethodGet, "/admin/members/our-1"+path, "", bearer), http.StatusNotFound)
		require.Equal(t, http.StatusUnauthorized, a.Do(t, http.MethodGet, "/admin/members/"+models.MemberID("our-1").String()+path, "").StatusCode)
	}
}

func TestAdminSearchByCard(t *testing.T) {
	t.Parallel()
	a := withMembers(t)
	const path = "/admin/members/search"
	for _, p := range []string{"our-1", "our-2", "gone"} {
		parts := activities.IndexParts(p,
			[]byte(`{"resourceType":"Patient","id":"`+p+`","identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"SS"}]},"value":"123-45-6789"}]}`),
			[]byte(`{"resourceType":"Coverage","id":"c-`+p+`","status":"active","subscriberId":"W-0077","beneficiary":{"reference":"Patient/`+p+`"},`+
				`"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},"value":"M `+p+`"}]}`))
		require.NotEmpty(t, parts)
		err := a.Store.MergeMembers(t.Context(), []uuid.UUID{models.MemberID(p)}, time.Now(), func(*store.MergeTx) (*store.Merge, error) {
			return &store.Merge{Parts: parts}, nil
		}, nil)
		require.NoError(t, err)
	}
	patients := func(card string) (out []string) {
		for _, i := range items(sent(t, a, http.StatusOK, http.MethodPost, path, `{"card":"`+card+`"}`)) {
			out = append(out, i.(map[string]any)["patient"].(string))
		}
		return out
	}
	require.Equal(t, []string{"our-1", "our-2"}, patients("w0077"), "a family, of those who are held")
	require.Equal(t, []string{"our-2"}, patients("M-OUR-2"))
	require.Empty(t, patients("W0078"))
	require.Empty(t, patients("123456789"), "a social security number is no card")
	require.Empty(t, patients("-"))
	for _, body := range []string{`{}`, `{"card":"W0077","patient":"our-1"}`, `{"card":7}`} {
		refused(t, a.Do(t, http.MethodPost, path, body, bearer, jsonType), http.StatusUnprocessableEntity)
	}
}
