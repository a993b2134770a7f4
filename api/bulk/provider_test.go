package bulk_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
)

const (
	providerMatchPath  = "/fhir/Group/$provider-member-match"
	providerMatchScope = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/ProviderMemberMatch"
	providerProfile    = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-member-match"
)

// provider registers a provider client of an organisation with the given identifiers and returns it with a token.
func provider(t *testing.T, a *apitest.API, id string, kind models.ClientKind, ids ...string) *apitest.Caller {
	t.Helper()
	a.Register(t, id, kind)
	c, err := a.Store.Client(t.Context(), id)
	require.NoError(t, err)
	c.OrganizationIDs, c.Scopes = ids, []string{"system/*.rs", providerMatchScope}
	_, err = a.Store.UpsertClient(t.Context(), c)
	require.NoError(t, err)
	return a.Login(t, id, "system/*.rs "+providerMatchScope)
}

func TestProviderMatchKickOff(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	npis := map[string]string{"in network": "1982947230", "out of network": "1679576722", "inactive": "1245319599", "unknown": "1003000126"}
	enter := func(name string, active, inNetwork bool) {
		_, err := a.Store.UpsertProvider(t.Context(), models.Provider{NPI: npis[name], Kind: models.ProviderOrganization, Active: active, InNetwork: inNetwork})
		require.NoError(t, err)
	}
	for name := range npis {
		enter(name, true, true)
	}
	known := models.NPISystem + "|" + npis["in network"]
	headers := []string{apitest.Async, apitest.FHIR, apitest.JSON}
	cases := map[string]struct {
		caller *apitest.Caller
		body   string
		status int
	}{
		"a payer":                      {provider(t, a, "payer", models.ClientPayer, known), parameters(member), http.StatusForbidden},
		"without an NPI":               {provider(t, a, "anybody", models.ClientProvider, "urn:x|1"), parameters(member), http.StatusForbidden},
		"unknown":                      {provider(t, a, "unknown", models.ClientProvider, models.NPISystem+"|"+npis["unknown"]), parameters(member), http.StatusForbidden},
		"no longer active":             {provider(t, a, "inactive", models.ClientProvider, models.NPISystem+"|"+npis["inactive"]), parameters(member), http.StatusForbidden},
		"out of network":               {provider(t, a, "out", models.ClientProvider, models.NPISystem+"|"+npis["out of network"]), parameters(member), http.StatusForbidden},
		"one of two out of network":    {provider(t, a, "both", models.ClientProvider, known, models.NPISystem+"|"+npis["out of network"]), parameters(member), http.StatusForbidden},
		"without a Consent":            {provider(t, a, "careless", models.ClientProvider, known), parameters(memberBundle(three[:2]...)), http.StatusUnprocessableEntity},
		"in network":                   {provider(t, a, "clinic", models.ClientProvider, known), parameters(member), http.StatusAccepted},
		"in network, by OID":           {provider(t, a, "clinic-2", models.ClientProvider, "urn:oid:2.16.840.1.113883.4.6|"+npis["in network"]), parameters(member), http.StatusAccepted},
		"by the part's former name":    {provider(t, a, "clinic-4", models.ClientProvider, known), parameters(strings.Replace(member, `"Consent"`, `"TreatmentAttestation"`, 1)), http.StatusAccepted},
		"by both its names":            {provider(t, a, "clinic-5", models.ClientProvider, known), parameters(memberBundle(append(slices.Clone(three), strings.Replace(three[2], `"Consent"`, `"TreatmentAttestation"`, 1))...)), http.StatusUnprocessableEntity},
		"with a CoverageToLink: KM-06": {provider(t, a, "clinic-3", models.ClientProvider, known), parameters(memberBundle(append(three, part("CoverageToLink", coverage))...)), http.StatusAccepted},
	}
	// What has become of them since they got their tokens counts.
	enter("out of network", true, false)
	enter("inactive", false, true)
	require.NoError(t, a.Store.DeleteProvider(t.Context(), npis["unknown"], nil))
	for name, tc := range cases {
		resp := tc.caller.Do(t, http.MethodPost, providerMatchPath, tc.body, headers...)
		if tc.status == http.StatusAccepted {
			require.Equal(t, tc.status, resp.StatusCode, "%s: %s", name, resp.Text)
			require.Equal(t, models.OpProviderMemberMatch, tc.caller.Job(t, resp).Operation)
			continue
		}
		resp.Refused(t, tc.status)
		for _, npi := range npis {
			require.NotContains(t, resp.Text, npi)
		}
	}
	resp := a.Login(t, "clinic", "system/*.rs").Do(t, http.MethodPost, providerMatchPath, parameters(member), headers...)
	resp.Refused(t, http.StatusForbidden)
	a.Login(t, "clinic", "system/*.rs").Do(t, http.MethodGet, providerMatchPath, "").Refused(t, http.StatusMethodNotAllowed)
}

func TestProviderExportKickOff(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	c := provider(t, a, "clinic", models.ClientProvider, models.NPISystem+"|1982947230")
	group := func(profile string, expires *time.Time) string {
		id := models.NewID()
		_, err := a.Store.Pool.Exec(t.Context(), `INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at, expires_at)
			VALUES ($1, 'clinic', $1, $2, '', 0, now(), $3)`, id, profile, expires)
		require.NoError(t, err)
		return "/fhir/Group/" + id + "/$davinci-data-export?"
	}
	ours := group(providerProfile, new(time.Now().Add(time.Hour)))
	pdex := "hl7.fhir.us.davinci-pdex"
	for name, tc := range map[string]struct {
		exportType, since string
		status            int
	}{
		"no type":                {"", "", http.StatusAccepted},
		"download":               {pdex + "#provider-download", "", http.StatusAccepted},
		"snapshot":               {pdex + "#provider-snapshot", "", http.StatusAccepted},
		"delta":                  {pdex + "#provider-delta", "2026-01-01T00:00:00Z", http.StatusAccepted},
		"delta from nowhere":     {pdex + "#provider-delta", "", http.StatusBadRequest},
		"of payers":              {pdex + "#payertopayer", "", http.StatusBadRequest},
		"the # got lost":         {pdex, "", http.StatusBadRequest},
		"unknown":                {pdex + "#provider", "", http.StatusBadRequest},
		"of an attribution list": {"hl7.fhir.us.davinci-atr", "", http.StatusBadRequest},
	} {
		q := url.Values{}
		if tc.exportType != "" {
			q.Set("exportType", tc.exportType)
		}
		if tc.since != "" {
			q.Set("_since", tc.since)
		}
		resp := c.Do(t, http.MethodGet, ours+q.Encode(), "", apitest.Async, apitest.FHIR)
		require.Equal(t, tc.status, resp.StatusCode, "%s: %s", name, resp.Text)
		if tc.status == http.StatusAccepted { // make room for the next
			c.Do(t, http.MethodDelete, resp.Header.Get("Content-Location"), "")
		}
	}
	gone := c.Do(t, http.MethodGet, group(providerProfile, new(time.Now().Add(-time.Hour))), "", apitest.Async, apitest.FHIR).Refused(t, http.StatusGone)
	require.Contains(t, gone.Issue[0].Diagnostics, "match again", "EX-03")
}
