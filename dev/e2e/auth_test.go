package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/client"
	"pdexbulk/dev/system"
	"pdexbulk/models"
)

// TestTwoAPIs has two api processes on one database. What one has seen the other must know at once: a used assertion, a revoked
// token, a client that is locked out.
func TestTwoAPIs(t *testing.T) {
	t.Parallel()
	r, _ := shared(t)
	second, _, err := r.StartSecondAPI(t.Context())
	require.NoError(t, err)
	key, err := client.NewKey(client.ES384)
	require.NoError(t, err)
	partner := system.Partner{ID: "two-apis", Name: "two-apis", Kind: models.ClientBackend, Scopes: []string{"system/*.rs"}}
	_, err = r.RegisterKey(t.Context(), partner, key)
	require.NoError(t, err)

	post := func(root, path string, form url.Values) (int, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, root+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		var answer map[string]any
		require.NoError(t, json.Unmarshal(text, &answer))
		return resp.StatusCode, answer
	}
	proof := func(more url.Values) url.Values {
		assertion, err := key.Assertion(partner.ID, r.Root+"/auth/token", time.Now())
		require.NoError(t, err)
		more.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		more.Set("client_assertion", assertion)
		return more
	}
	grant := func() url.Values {
		return proof(url.Values{"grant_type": {"client_credentials"}, "scope": {"system/*.rs"}})
	}
	check := func(token string, want int) {
		t.Helper()
		for _, root := range []string{r.Root, second} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, root+"/fhir/Group", http.NoBody)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, want, resp.StatusCode, root)
		}
	}

	form := grant()
	status, answer := post(r.Root, "/auth/token", form)
	require.Equal(t, http.StatusOK, status)
	status, refusal := post(second, "/auth/token", form)
	require.Equal(t, http.StatusBadRequest, status, "replayed between the two")
	require.Equal(t, "invalid_client", refusal["error"])

	token := answer["access_token"].(string)
	check(token, http.StatusOK)
	for _, root := range []string{second, r.Root} {
		status, _ = post(root, "/auth/revoke", proof(url.Values{"token": {token}}))
		require.Equal(t, http.StatusOK, status)
		check(token, http.StatusUnauthorized)
		status, answer = post(root, "/auth/token", grant())
		require.Equal(t, http.StatusOK, status)
		token = answer["access_token"].(string)
		check(token, http.StatusOK)
	}
	require.NoError(t, r.Admin(t.Context(), http.MethodPost, "/admin/clients/two-apis/void-tokens", nil, nil))
	check(token, http.StatusUnauthorized)
}
