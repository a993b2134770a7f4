package bulk_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

const consentPath = "/fhir/Consent"

// word is what a member says: deny or permit.
func word(patient, typ string) string {
	return `{"resourceType":"Consent","meta":{"profile":["http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-consent"]},"status":"active",` +
		`"scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},` +
		`"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"IDSCL"}]},` +
		`{"coding":[{"system":"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/pdex-consent-api-purpose","code":"provider-access"}]}],` +
		`"patient":{"reference":"Patient/` + patient + `"},"performer":[{"reference":"Patient/` + patient + `"}],"organization":[{"reference":"Organization/plan"}],` +
		`"provision":{"type":"` + typ + `","period":{"start":"2024-06-11"},"actor":[{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/provenance-participant-type","code":"performer"}]},` +
		`"reference":{"display":"My Health Plan"}}],"action":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentaction","code":"disclose"}]}]}}`
}

// portal is a back end that speaks for members.
func portal(t *testing.T, a *apitest.API, id, scope string, kind models.ClientKind) *apitest.Caller {
	t.Helper()
	a.Register(t, id, kind)
	c, err := a.Store.Client(t.Context(), id)
	require.NoError(t, err)
	c.Scopes = []string{scope}
	_, err = a.Store.UpsertClient(t.Context(), c)
	require.NoError(t, err)
	return a.Login(t, id, scope)
}

func TestMemberConsents(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	for _, p := range []string{"our-1", "our-2"} {
		_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, $2, true, now())`, models.MemberID(p), p)
		require.NoError(t, err)
	}
	c := portal(t, a, "portal", "system/Consent.crs", models.ClientBackend)
	standing := func(patient string) []models.OptOut {
		all, err := a.Store.OptOuts(t.Context(), store.OptOutFilter{Member: new(models.MemberID(patient)), Revoked: new(false)}, 10)
		require.NoError(t, err)
		return all
	}
	post := func(c *apitest.Caller, body string) *apitest.Answer {
		return c.Do(t, http.MethodPost, consentPath, body, apitest.JSON)
	}
	denied := post(c, word("our-1", "deny"))
	require.Equal(t, http.StatusCreated, denied.StatusCode, denied.Text)
	require.Len(t, standing("our-1"), 1)
	require.Equal(t, models.OptOutGlobal, standing("our-1")[0].Scope)
	require.Equal(t, models.OptOutByConsent, standing("our-1")[0].Source)
	require.Equal(t, denied.Text, c.Do(t, http.MethodGet, denied.Header.Get("Location"), "").Text)
	again := post(c, word("our-1", "deny"))
	require.Equal(t, http.StatusCreated, again.StatusCode)
	require.Len(t, standing("our-1"), 1, "one takes the place of the other")

	_, _, err := a.Store.CreateOptOut(t.Context(), models.OptOut{
		ID: models.NewID(), Member: models.MemberID("our-1"), Scope: models.OptOutPurpose, Target: "TREAT", Reason: models.ReasonOther,
		Start: standing("our-1")[0].Start, Source: models.OptOutByAdmin, CreatedBy: "x", CreatedAt: standing("our-1")[0].CreatedAt,
	})
	require.NoError(t, err)
	permitted := post(c, word("our-1", "permit"))
	require.Equal(t, http.StatusCreated, permitted.StatusCode, permitted.Text)
	require.Len(t, standing("our-1"), 1, "what was said apart stays")
	require.Equal(t, models.OptOutPurpose, standing("our-1")[0].Scope)

	found := func(c *apitest.Caller, query string) []string {
		resp := c.Do(t, http.MethodGet, consentPath+"?"+query, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Text)
		var b struct {
			Total int
			Entry []struct{ Resource struct{ ID, Status string } }
		}
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &b))
		var out []string
		for _, e := range b.Entry {
			out = append(out, e.Resource.ID+" "+e.Resource.Status)
		}
		require.Len(t, out, b.Total)
		return out
	}
	id := func(r *apitest.Answer) string {
		return r.Header.Get("Location")[strings.LastIndexByte(r.Header.Get("Location"), '/')+1:]
	}
	require.Equal(t, []string{id(permitted) + " active", id(again) + " inactive", id(denied) + " inactive"}, found(c, "patient=our-1"))
	require.Equal(t, []string{id(permitted) + " active"}, found(c, "patient=Patient/our-1&category=provider-access&status=active"))
	require.Equal(t, []string{id(denied) + " inactive"}, found(c, "_id="+id(denied)))
	for _, none := range []string{"patient=our-2", "category=other", "status=draft", "_id=x", "status=active&status=inactive", "patient=our-1&patient=our-2"} {
		require.Empty(t, found(c, none), none)
	}
	c.Do(t, http.MethodGet, consentPath+"?name=x", "").Refused(t, http.StatusBadRequest)

	for name, body := range map[string]string{
		"another profile":   strings.Replace(word("our-1", "deny"), "pdex-provider-consent", "other", 1),
		"draft":             strings.Replace(word("our-1", "deny"), `"active"`, `"draft"`, 1),
		"another purpose":   strings.Replace(word("our-1", "deny"), "provider-access", "payer-to-payer", 1),
		"neither":           word("our-1", "maybe"),
		"nobody we know":    word("Zaphod", "deny"),
		"only some data":    strings.Replace(word("our-1", "deny"), `"type"`, `"class":[{"code":"Condition"}],"type"`, 1),
		"from one provider": strings.Replace(word("our-1", "deny"), "provenance-participant-type", "v3-ParticipationType", 1),
		"permit to come":    strings.Replace(word("our-1", "permit"), "2024-06-11", "2999-01-01", 1),
		"permit that ends":  strings.Replace(word("our-1", "permit"), `"2024-06-11"`, `"2024-06-11","end":"2999-01-01"`, 1),
		"no start":          strings.Replace(word("our-1", "deny"), `{"start":"2024-06-11"}`, `{}`, 1),
	} {
		resp := post(c, body)
		resp.Refused(t, http.StatusUnprocessableEntity)
		require.NotContains(t, resp.Text, "Zaphod", name)
	}
	for _, body := range []string{"", "{", `{"resourceType":"Patient"}`, `{"resourceType":"Consent","status":"active","status":"active"}`} {
		post(c, body).Refused(t, http.StatusBadRequest)
	}
	require.Len(t, standing("our-1"), 1)

	reader := portal(t, a, "reader", "system/Consent.rs", models.ClientBackend)
	post(reader, word("our-2", "deny")).Refused(t, http.StatusForbidden)
	require.Empty(t, found(reader, "patient=our-1"), "somebody else's")
	reader.Do(t, http.MethodGet, denied.Header.Get("Location"), "").Refused(t, http.StatusNotFound)
	for _, kind := range []models.ClientKind{models.ClientPayer, models.ClientProvider} {
		other := portal(t, a, string(kind), "system/Consent.crs", kind)
		post(other, word("our-2", "deny")).Refused(t, http.StatusForbidden)
		other.Do(t, http.MethodGet, consentPath+"?patient=our-1", "").Refused(t, http.StatusForbidden)
	}
	everything := portal(t, a, "everything", "system/*.cruds", models.ClientBackend)
	post(everything, word("our-2", "deny")).Refused(t, http.StatusForbidden)
	require.Empty(t, standing("our-2"))
}

// A deny for a time takes nothing from an opt-out that reaches beyond it: what a member says against sharing never opens anything.
func TestDenyNeverOpens(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO members (id, patient_id, present, updated_at) VALUES ($1, 'our-1', true, now())`, models.MemberID("our-1"))
	require.NoError(t, err)
	c := portal(t, a, "portal", "system/Consent.crs", models.ClientBackend)
	bounds := func() []string {
		all, err := a.Store.OptOuts(t.Context(), store.OptOutFilter{Member: new(models.MemberID("our-1")), Revoked: new(false)}, 10)
		require.NoError(t, err)
		var out []string
		for _, o := range all {
			end := ""
			if o.End != nil {
				end = o.End.UTC().Format(time.DateOnly)
			}
			out = append(out, o.Start.UTC().Format(time.DateOnly)+" "+end)
		}
		slices.Sort(out)
		return out
	}
	deny := func(period string) {
		t.Helper()
		body := strings.Replace(word("our-1", "deny"), `{"start":"2024-06-11"}`, period, 1)
		require.Equal(t, http.StatusCreated, c.Do(t, http.MethodPost, consentPath, body, apitest.JSON).StatusCode)
	}
	deny(`{"start":"2024-06-11"}`)
	deny(`{"start":"2999-01-01"}`)
	require.Equal(t, []string{"2024-06-11 ", "2999-01-01 "}, bounds(), "one that is to come leaves what stands until then")
	deny(`{"start":"2024-01-01","end":"2999-05-31"}`)
	require.Equal(t, []string{"2024-01-01 2999-06-01", "2024-06-11 ", "2999-01-01 "}, bounds(), "and so does one that ends")
	deny(`{"start":"2024-01-01","end":"2025-05-31"}`)
	require.Len(t, bounds(), 4, "or has ended")
	deny(`{"start":"2024-02-01"}`)
	require.Equal(t, []string{"2024-02-01 "}, bounds(), "one that holds from now on takes the place of all")
}
