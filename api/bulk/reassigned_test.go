package bulk_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/apitest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// A client that acts for another organisation now has nothing of what was opened to the one before; another number, or another
// spelling of one, does not make another organisation.
func TestClientOfAnotherOrganization(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	a.Register(t, "payer", models.ClientPayer)
	actFor := func(ids ...string) *apitest.Caller {
		c, err := a.Store.Client(t.Context(), "payer")
		require.NoError(t, err)
		c.OrganizationIDs = ids
		_, err = a.Store.UpsertClient(t.Context(), c)
		require.NoError(t, err)
		return a.Login(t, "payer", "")
	}
	const npi, oid = "http://hl7.org/fhir/sid/us-npi|1982947230", "urn:oid:2.16.840.1.113883.4.6|1982947230"
	c := actFor(npi)
	group := addGroup(t, c, func(g *store.Group) { g.Organizations = []string{npi} })
	match := c.KickOff(t, http.MethodPost, matchPath, parameters(member))
	path := "/fhir/Group/" + group
	require.Equal(t, http.StatusOK, c.Do(t, http.MethodGet, path, "").StatusCode)
	require.Equal(t, []string{group}, search(t, c, "/fhir/Group").found(t))
	require.Equal(t, http.StatusAccepted, status(t, c, match).StatusCode)
	export := c.KickOff(t, http.MethodGet, path+"/$davinci-data-export", "")
	g, err := c.Store.OwnGroup(t.Context(), "payer", group)
	require.NoError(t, err)
	file := &models.JobFile{LastChunk: -1}
	withdrawn := func() bool {
		job, err := c.Store.StartJob(t.Context(), export.ID, "exporting", g.CreatedAt)
		require.NoError(t, err)
		gone, err := c.Store.Withdrawn(t.Context(), job, group, file, g.CreatedAt)
		require.NoError(t, err)
		return gone
	}
	require.False(t, withdrawn())

	c = actFor("urn:another|1")
	c.Do(t, http.MethodGet, path, "").Refused(t, http.StatusNotFound)
	c.Do(t, http.MethodGet, path+"/_history", "").Refused(t, http.StatusNotFound)
	c.Do(t, http.MethodGet, path+"/$davinci-data-export", "", apitest.Async, apitest.FHIR).Refused(t, http.StatusNotFound)
	require.Empty(t, search(t, c, "/fhir/Group").found(t))
	status(t, c, match).Refused(t, http.StatusNotFound)
	require.True(t, withdrawn())

	for _, ids := range [][]string{{"urn:another|1", npi}, {oid}} {
		c = actFor(ids...)
		require.Equal(t, http.StatusOK, c.Do(t, http.MethodGet, path, "").StatusCode)
		require.Equal(t, []string{group}, search(t, c, "/fhir/Group").found(t))
		require.False(t, withdrawn())
	}
	require.Equal(t, http.StatusAccepted, c.Do(t, http.MethodDelete, "/fhir/bulk-status/"+match.ID, "").StatusCode)
}
