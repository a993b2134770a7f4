package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"pdexbulk/api/admin"
	"pdexbulk/dev/apitest"
	"pdexbulk/models"
)

const because = "X-Reason: a test"

type issued struct {
	ID, Name, Token, CreatedBy string
	Role                       models.Role
	ExpiresAt, CreatedAt       time.Time
	RevokedAt                  *time.Time
}

func issue(t *testing.T, a *apitest.API, role models.Role, by string) issued {
	t.Helper()
	body := fmt.Sprintf(`{"name":"for %s","role":%q,"expiresAt":%q}`, role, role, time.Now().Add(time.Hour).Format(time.RFC3339))
	resp := a.Do(t, http.MethodPost, "/admin/credentials", body, by, jsonType, because)
	require.Equal(t, http.StatusCreated, resp.StatusCode, resp.Text)
	var c issued
	require.NoError(t, json.Unmarshal([]byte(resp.Text), &c))
	return c
}

// registered lists the operations of the admin API.
func registered(t *testing.T) []*huma.Operation {
	t.Helper()
	api := humago.New(http.NewServeMux(), huma.DefaultConfig("test", "1"))
	new(admin.Service).AddRoutes(api)
	var all []*huma.Operation
	for path, item := range api.OpenAPI().Paths {
		require.True(t, strings.HasPrefix(path, "/admin/"), path)
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete, item.Patch} {
			if op != nil {
				all = append(all, op)
			}
		}
	}
	return all
}

// Every operation is open to the roles it names, by default operators for a GET and administrators for all else, and to no
// other.
func TestEveryRouteHasItsRoles(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	tokens := map[models.Role]string{}
	for _, role := range models.Roles {
		tokens[role] = "Authorization: Bearer " + issue(t, a, role, bearer).Token
	}
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	routes := registered(t)
	require.GreaterOrEqual(t, len(routes), 12)
	for _, op := range routes {
		open := map[models.Role]bool{models.RoleAdministrator: true}
		switch named := op.Metadata["role"].(type) {
		case nil:
			open[models.RoleOperator] = op.Method == http.MethodGet
		case string:
			require.True(t, models.Role(named).Valid(), op.OperationID)
			open[models.Role(named)] = true
		case []string:
			for _, r := range named {
				require.True(t, models.Role(r).Valid(), op.OperationID)
				open[models.Role(r)] = true
			}
		default:
			t.Fatalf("%s: what is the role %v?", op.OperationID, named)
		}
		path := parameter.ReplaceAllString(op.Path, models.NewID())
		for role, header := range tokens {
			resp := a.Do(t, op.Method, path, "", header, because)
			require.NotEqual(t, http.StatusUnauthorized, resp.StatusCode)
			if !open[role] {
				refused(t, resp, http.StatusForbidden)
				continue
			}
			require.NotEqual(t, http.StatusForbidden, resp.StatusCode, "%s as %s", op.OperationID, role)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	first := issue(t, a, models.RoleAdministrator, bearer)
	require.Equal(t, admin.BootstrapID, first.CreatedBy)
	asFirst := "Authorization: Bearer " + first.Token
	second := issue(t, a, models.RoleOperator, asFirst)
	require.Equal(t, first.ID, second.CreatedBy)
	asSecond := "Authorization: Bearer " + second.Token
	require.Equal(t, http.StatusOK, a.Do(t, http.MethodGet, "/admin/jobs", "", asSecond).StatusCode)

	// The secret is shown once and kept nowhere.
	list := a.Do(t, http.MethodGet, "/admin/credentials", "", bearer)
	_, secret, ok := strings.Cut(second.Token, ".")
	require.True(t, ok)
	require.GreaterOrEqual(t, len(secret), 52)
	require.NotContains(t, list.Text, secret)
	require.NotContains(t, list.Text, "ecret")
	require.Equal(t, []string{second.ID, first.ID}, pages(t, a, "/admin/credentials", 1, "id"))
	stored, err := a.Store.Credential(t.Context(), second.ID)
	require.NoError(t, err)
	require.Len(t, stored.SecretHash, 32)

	// What is nearly a token is none.
	for _, token := range []string{
		second.Token[:len(second.Token)-1], second.Token + "x", strings.Replace(second.Token, second.ID, first.ID, 1), "pdexadm_" + second.ID + ".",
		"pdexadm_" + second.ID, "pdexadm_." + secret, "pdexadm_" + models.NewID() + "." + secret, strings.ToUpper(second.Token), secret, second.ID,
	} {
		refused(t, a.Do(t, http.MethodGet, "/admin/jobs", "", "Authorization: Bearer "+token), 401)
	}
	refused(t, a.Do(t, http.MethodGet, "/admin/jobs", "", asSecond, asFirst), 401)

	// A revoked one opens nothing any more.
	require.Equal(t, http.StatusNoContent, a.Do(t, http.MethodDelete, "/admin/credentials/"+second.ID, "", asFirst, because).StatusCode)
	refused(t, a.Do(t, http.MethodGet, "/admin/jobs", "", asSecond), 401)
	require.Equal(t, http.StatusNoContent, a.Do(t, http.MethodDelete, "/admin/credentials/"+second.ID, "", asFirst, because).StatusCode)
	var rows struct{ Items []issued }
	require.NoError(t, json.Unmarshal([]byte(a.Do(t, http.MethodGet, "/admin/credentials", "", asFirst).Text), &rows))
	require.NotNil(t, rows.Items[0].RevokedAt)
	require.Nil(t, rows.Items[1].RevokedAt)

	// Nor does one that has expired.
	past := models.Credential{
		ID: models.NewID(), Name: "past", Role: models.RoleOperator, SecretHash: stored.SecretHash, CreatedBy: "test",
		CreatedAt: time.Now().Add(-2 * time.Hour), ExpiresAt: time.Now().Add(-time.Hour),
	}
	require.NoError(t, a.Store.AddCredential(t.Context(), past))
	refused(t, a.Do(t, http.MethodGet, "/admin/jobs", "", "Authorization: Bearer pdexadm_"+past.ID+"."+secret), 401)
}

func TestCredentialsRefused(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	at := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339) }
	hour := at(time.Hour)
	for _, tt := range []struct {
		body   string
		header string
		status int
		field  string
	}{
		{`{"name":"n","role":"operator","expiresAt":"` + hour + `"}`, "X-Reason: ", 400, "X-Reason"},
		{`{"name":"n","role":"operator","expiresAt":"` + hour + `"}`, "X-Reason:  ", 400, "X-Reason"},
		{`{"name":"n","role":"operator","expiresAt":"` + hour + `"}`, "X-Reason: " + strings.Repeat("x", 201), 400, "X-Reason"},
		{`{"name":"","role":"operator","expiresAt":"` + hour + `"}`, because, 422, "body.name"},
		{`{"name":"` + secret + `\u0000","role":"operator","expiresAt":"` + hour + `"}`, because, 400, "name"},
		{`{"name":"n","role":"` + secret + `","expiresAt":"` + hour + `"}`, because, 422, "body.role"},
		{`{"name":"n","role":"operator"}`, because, 422, "body"},
		{`{"name":"n","role":"operator","expiresAt":"` + secret + `"}`, because, 422, "body.expiresAt"},
		{`{"name":"n","role":"operator","expiresAt":"` + at(-time.Minute) + `"}`, because, 400, "expiresAt"},
		{`{"name":"n","role":"operator","expiresAt":"` + at(400*24*time.Hour) + `"}`, because, 400, "expiresAt"},
	} {
		p := refused(t, a.Do(t, http.MethodPost, "/admin/credentials", tt.body, bearer, jsonType, tt.header), tt.status)
		require.Equal(t, tt.field, p.Field, tt.body)
	}
	refused(t, a.Do(t, http.MethodDelete, "/admin/credentials/"+models.NewID(), "", bearer, because), 404)
	refused(t, a.Do(t, http.MethodDelete, "/admin/credentials/"+secret, "", bearer, because), 404)
	refused(t, a.Do(t, http.MethodGet, "/admin/credentials?cursor="+secret, "", bearer), 400)
}

// No change is made without a reason, whatever route it goes by: it is refused, and told in the description. With one, the audit log says
// who tried and why before anything else is looked at.
func TestEveryChangeHasAReason(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, nil)
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	var writes int
	for _, op := range registered(t) {
		path := parameter.ReplaceAllString(op.Path, models.NewID())
		described := slices.IndexFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "X-Reason" })
		reads, _ := op.Metadata["read"].(bool)
		if reads || op.Method == http.MethodGet {
			require.Negative(t, described, op.OperationID)
			require.NotContains(t, a.Do(t, op.Method, path, "", bearer, "X-Reason: ").Text, "X-Reason", op.OperationID)
			continue
		}
		writes++
		require.GreaterOrEqual(t, described, 0, op.OperationID)
		require.True(t, op.Parameters[described].Required, op.OperationID)
		for _, reason := range []string{"", "  ", strings.Repeat("x", 201), "a\tb", "\xff"} {
			p := refused(t, a.Do(t, op.Method, path, "", bearer, "X-Reason: "+reason), http.StatusBadRequest)
			require.Equal(t, "X-Reason", p.Field, op.OperationID)
		}
		a.Do(t, op.Method, path, "", bearer, "X-Reason: because of "+op.OperationID)
		var found struct {
			Items []struct{ Actor, Outcome, Reason string }
		}
		resp := a.Do(t, http.MethodPost, "/admin/audit/search", `{"action":"`+op.OperationID+`","outcome":"begun"}`, bearer, jsonType)
		require.NoError(t, json.Unmarshal([]byte(resp.Text), &found), resp.Text)
		require.Len(t, found.Items, 1, "%s: %s", op.OperationID, resp.Text)
		require.Equal(t, []string{"because of " + op.OperationID, admin.BootstrapID}, []string{found.Items[0].Reason, found.Items[0].Actor})
	}
	require.GreaterOrEqual(t, writes, 15)
}
