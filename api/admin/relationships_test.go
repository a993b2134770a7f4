package admin_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
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
