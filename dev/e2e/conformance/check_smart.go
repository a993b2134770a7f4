package conformance

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
	"pdexbulk/dev/system"
	"pdexbulk/models"
)

// configuration is the server's SMART configuration.
func (t *T) configuration() answer {
	return t.call(t.anonymous(), http.MethodGet, ".well-known/smart-configuration", nil, nil)
}

// token sends a form to the token endpoint.
func (t *T) token(form url.Values) answer { return t.tokenWith(form, nil) }

// tokenWith is token with headers of its own.
func (t *T) tokenWith(form url.Values, header http.Header) answer {
	return t.sendWith(t.configuration().get("token_endpoint").Str, "application/x-www-form-urlencoded", form.Encode(), header)
}

// send posts a body to a URL, without a token.
func (t *T) send(url, media, body string) answer { return t.sendWith(url, media, body, nil) }

func (t *T) sendWith(url, media, body string, header http.Header) answer {
	req, err := http.NewRequestWithContext(t.ctx, http.MethodPost, url, strings.NewReader(body))
	t.must(err)
	req.Header.Set("Content-Type", media)
	maps.Copy(req.Header, header)
	resp, err := http.DefaultClient.Do(req)
	t.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	t.must(err)
	return answer{resp.StatusCode, resp.Header, text}
}

// form is a token request of a client of our own, good as it is.
func (t *T) form(scope string) url.Values {
	t.backend()
	id, key := "check-"+strings.ToLower(t.id), t.world.key
	if t.world.sys == nil {
		id, key = t.world.o.ClientID, t.world.o.Key
	}
	return t.formOf(id, key, scope, t.configuration().get("token_endpoint").Str, time.Now())
}

func (t *T) formOf(id string, key *client.Key, scope, audience string, at time.Time) url.Values {
	assertion, err := key.Assertion(id, audience, at)
	t.must(err)
	return url.Values{
		"grant_type": {"client_credentials"}, "scope": {scope}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

// oauthError wants an answer to be one of the OAuth errors.
func (t *T) oauthError(a answer, codes ...string) {
	t.check(a.status == http.StatusBadRequest || a.status == http.StatusUnauthorized, "status %d", a.status)
	t.check(a.media() == "application/json", "Content-Type is %q", a.header.Get("Content-Type"))
	for _, code := range codes {
		if a.get("error").Str == code {
			return
		}
	}
	t.fail("the error is %q instead of %v", a.get("error").Str, codes)
}

// granted wants a token request to be granted.
func (t *T) granted(form url.Values) answer {
	a := t.token(form)
	t.check(a.status == http.StatusOK, "a token request is answered with %d %s", a.status, a.get("error").Str)
	return a
}

func (t *T) lists(a answer, field string, values ...string) {
	for _, v := range values {
		found := false
		for _, got := range a.get(field).Array() {
			found = found || got.Str == v
		}
		t.check(found, "%s does not list %s", field, v)
	}
}

var smartChecks = []check{
	{id: "AS-01", about: "the SMART configuration: JSON whatever is accepted, with the fields of a backend service", run: func(t *T) {
		a := t.call(t.anonymous(), http.MethodGet, ".well-known/smart-configuration", http.Header{"Accept": {"application/fhir+xml"}}, nil)
		t.check(a.status == http.StatusOK && a.media() == "application/json", "%d with %q", a.status, a.header.Get("Content-Type"))
		t.lists(a, "grant_types_supported", "client_credentials")
		t.lists(a, "token_endpoint_auth_methods_supported", "private_key_jwt")
		t.lists(a, "capabilities", "client-confidential-asymmetric", "permission-v1", "permission-v2")
		t.check(len(a.get("token_endpoint_auth_signing_alg_values_supported").Array()) > 0 && len(a.get("scopes_supported").Array()) > 0, "algorithms or scopes are missing")
	}},
	{id: "AS-02", about: "the configuration advertises what ATR asks for", run: func(t *T) {
		a := t.configuration()
		for _, field := range []string{"token_endpoint", "scopes_supported", "token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported"} {
			t.check(a.get(field).Exists(), "%s is missing", field)
		}
	}},
	{id: "AS-03", about: "a token of the token endpoint opens an export", run: func(t *T) {
		token := t.granted(t.form(allData)).get("access_token").Str
		h := async()
		h.Set("Authorization", "Bearer "+token)
		a := t.call(t.anonymous(), http.MethodGet, "$export?_type=Organization", h, nil)
		t.check(a.status == http.StatusAccepted, "status %d", a.status)
	}},
	{id: "AS-04", about: "each part of the token request missing or wrong is an OAuth error", run: func(t *T) {
		for _, field := range []string{"grant_type", "client_assertion", "client_assertion_type", "scope"} {
			form := t.form(allData)
			form.Del(field)
			t.oauthError(t.token(form), "invalid_request", "invalid_scope", "unsupported_grant_type")
		}
		form := t.form(allData)
		form.Set("grant_type", "password")
		t.oauthError(t.token(form), "unsupported_grant_type")
	}},
	{id: "AS-05", about: "an assertion for another audience, an expired one and one far ahead are invalid_client", run: func(t *T) {
		t.ours()
		t.backend()
		id, endpoint := "check-as-05", t.configuration().get("token_endpoint").Str
		t.granted(t.formOf(id, t.world.key, allData, endpoint, time.Now()))
		t.oauthError(t.token(t.formOf(id, t.world.key, allData, "https://example.org/token", time.Now())), "invalid_client")
		t.oauthError(t.token(t.formOf(id, t.world.key, allData, endpoint, time.Now().Add(-time.Hour))), "invalid_client")
		t.oauthError(t.token(t.formOf(id, t.world.key, allData, endpoint, time.Now().Add(time.Hour))), "invalid_client")
		t.oauthError(t.token(t.formOf("nonesuch", t.world.key, allData, endpoint, time.Now())), "invalid_client")
	}},
	{id: "AS-06", about: "RS384 and ES384 are taken, another key and alg none are not", run: func(t *T) {
		sys := t.ours()
		endpoint := t.configuration().get("token_endpoint").Str
		for _, alg := range []string{client.RS384, client.ES384} {
			key, err := client.NewKey(alg)
			t.must(err)
			id := "check-as-06-" + strings.ToLower(alg)
			p := system.Partner{ID: id, Name: id, Kind: models.ClientBackend, Scopes: []string{allData}}
			_, err = sys.RegisterKey(t.ctx, p, key)
			t.must(err)
			t.granted(t.formOf(p.ID, key, allData, endpoint, time.Now()))
			other, err := client.NewKey(client.ES384)
			t.must(err)
			t.oauthError(t.token(t.formOf(p.ID, other, allData, endpoint, time.Now())), "invalid_client")
		}
		form := t.form(allData)
		claims := strings.Split(form.Get("client_assertion"), ".")[1]
		form.Set("client_assertion", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."+claims+".")
		t.oauthError(t.token(form), "invalid_client")
	}},
	{id: "AS-07", about: "a client with its keys inline and one with a URL of them get tokens", run: func(t *T) {
		t.ours()
		endpoint := t.configuration().get("token_endpoint").Str
		t.granted(t.form(allData))
		url, _ := t.publish("max-age=300", t.world.key)
		id := t.published(url)
		t.granted(t.formOf(id, t.world.key, allData, endpoint, time.Now()))
	}},
	{id: "AS-08", about: "a foreign jku is invalid_client and is not fetched, the registered one is taken; of two keys of a kid none is", run: func(t *T) {
		t.ours()
		endpoint := t.configuration().get("token_endpoint").Str
		own, _ := t.publish("max-age=300", t.world.key)
		foreign, fetched := t.publish("max-age=300", t.world.key)
		id := t.published(own)
		with := func(jku string) url.Values {
			assertion, err := t.world.key.AssertionWith(map[string]any{"jku": jku}, nil, id, endpoint, time.Now())
			t.must(err)
			form := t.formOf(id, t.world.key, allData, endpoint, time.Now())
			form.Set("client_assertion", assertion)
			return form
		}
		t.granted(with(own))
		t.oauthError(t.token(with(foreign)), "invalid_client")
		t.check(fetched() == 0, "the foreign URL was fetched")
		twice, _ := t.publish("max-age=300", t.world.key, t.world.key)
		id = t.published(twice)
		t.oauthError(t.token(t.formOf(id, t.world.key, allData, endpoint, time.Now())), "invalid_client")
	}},
	{id: "AS-09", slow: true, about: "a published key that is replaced is no longer taken after max-age, and the new one is", run: func(t *T) {
		t.ours()
		endpoint := t.configuration().get("token_endpoint").Str
		fresh, err := client.NewKey(client.ES384)
		t.must(err)
		url, _ := t.publish("max-age=1", t.world.key)
		id := t.published(url)
		t.granted(t.formOf(id, t.world.key, allData, endpoint, time.Now()))
		t.republish(url, fresh)
		t.wait(1100 * time.Millisecond)
		t.oauthError(t.token(t.formOf(id, t.world.key, allData, endpoint, time.Now())), "invalid_client")
		t.granted(t.formOf(id, fresh, allData, endpoint, time.Now()))
	}},
	{id: "AS-10", about: "an assertion is good once", run: func(t *T) {
		form := t.form(allData)
		t.granted(form)
		t.oauthError(t.token(form), "invalid_client")
	}},
	{id: "AS-11", about: "access_token, token_type bearer, expires_in, scope", run: func(t *T) {
		a := t.granted(t.form(allData))
		t.check(a.get("access_token").Str != "" && strings.EqualFold(a.get("token_type").Str, "bearer"), "no bearer token")
		t.check(a.get("expires_in").Int() > 0 && a.get("scope").Str != "", "expires_in or scope is missing")
	}},
	{id: "AS-12", about: "expires_in is 300 at most", run: func(t *T) {
		n := t.granted(t.form(allData)).get("expires_in").Int()
		t.check(n <= 300, "it is %d", n)
	}},
	{id: "AS-13", about: "there is no refresh_token", run: func(t *T) {
		t.check(!t.granted(t.form(allData)).get("refresh_token").Exists(), "there is one")
	}},
	{id: "AS-14", about: "invalid_client and invalid_scope as OAuth errors", run: func(t *T) {
		form := t.form(allData)
		form.Set("client_assertion", "x")
		t.oauthError(t.token(form), "invalid_client")
		t.oauthError(t.token(t.form("user/*.write")), "invalid_scope")
	}},
	{id: "AS-15", about: "who asks for more than is registered gets a subset or invalid_scope", run: func(t *T) {
		t.ours()
		t.register("check-as-15-narrow", models.ClientBackend, "system/Patient.rs")
		a := t.token(t.formOf("check-as-15-narrow", t.world.key, "system/*.rs system/*.cruds", t.configuration().get("token_endpoint").Str, time.Now()))
		if a.status != http.StatusOK {
			t.oauthError(a, "invalid_scope")
			return
		}
		t.check(a.get("scope").Str == "system/Patient.rs", "granted: %s", a.get("scope").Str)
	}},
	{id: "AS-16", about: "a token that has expired is a 401, one without the scope a 403", run: func(t *T) {
		sys := t.ours()
		t.backend()
		id := "check-as-16"
		h := async()
		h.Set("Authorization", "Bearer "+t.sealed(sys, id, time.Minute))
		a := t.call(t.anonymous(), http.MethodGet, "$export?_type=Organization", h, nil)
		t.check(a.status == http.StatusAccepted, "a token made with the server's key is answered with %d", a.status)
		h.Set("Authorization", "Bearer "+t.sealed(sys, id, -time.Second))
		t.refused("an expired token", t.call(t.anonymous(), http.MethodGet, "$export?_type=Organization", h, nil), 401)
		t.refused("outside the scope", t.call(t.narrow("system/Patient.rs"), http.MethodGet, "$export?_type=Coverage", async(), nil), 403)
	}},
	{id: "AS-17", about: "v1 and v2 spellings say the same", run: func(t *T) {
		for _, scope := range []string{"system/*.rs", "system/*.read", "system/*.cruds", "system/*.*", "system/Patient.rs", "system/Patient.read"} {
			granted := t.granted(t.form(scope)).get("scope").Str
			t.check(strings.HasSuffix(granted, ".rs") || strings.HasSuffix(granted, ".read"), "%s is granted as %q", scope, granted)
			c := t.narrow(scope)
			a := t.call(c, http.MethodGet, "Patient/$export?_type=Patient", async(), nil)
			t.check(a.status == http.StatusAccepted, "%s does not open Patient: %d", scope, a.status)
			t.call(c, http.MethodDelete, a.header.Get("Content-Location"), nil, nil)
		}
	}},
	{id: "AS-18", about: "what the scope does not cover fails at kick-off", run: func(t *T) {
		t.refused("_type=Observation", t.call(t.narrow("system/Patient.rs"), http.MethodGet, "$export?_type=Observation", async(), nil), 403)
	}},
	{id: "AS-19", about: "the canonical URL of the operation, in both spellings, is a scope that opens it", run: func(t *T) {
		t.ours()
		for i, scope := range []string{matching, "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/bulk-member-match"} {
			c := t.register("check-as-19-"+string(rune('a'+i)), models.ClientPayer, allData, scope)
			request, _ := t.request(41, 1)
			t.accepted(c, http.MethodPost, "Group/$bulk-member-match", posting(), request)
		}
	}},
	{id: "AS-20", about: "both spellings of the providers' scope are granted", run: func(t *T) {
		t.ours()
		for i, name := range []string{"ProviderMemberMatch", "provider-member-match"} {
			id, scope := "check-as-20-"+string(rune('a'+i)), "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/"+name
			t.register(id, models.ClientProvider, scope)
			a := t.granted(t.formOf(id, t.world.key, scope, t.configuration().get("token_endpoint").Str, time.Now()))
			t.check(a.get("scope").Str == scope, "granted: %s", a.get("scope").Str)
		}
	}},
	{id: "AS-21", about: "the Group scope as printed opens the match", run: func(t *T) {
		c := t.register("check-as-21", models.ClientPayer, allData, "system.Group.u?code=http://hl7.org/fhir/us/davinci-pdex/ValueSet/PDexMultiMemberMatchResultVS|match")
		request, _ := t.request(42, 1)
		t.accepted(c, http.MethodPost, "Group/$bulk-member-match", posting(), request)
	}},
	{id: "AS-22", about: "a client is registered through the admin API and gets a token", run: func(t *T) {
		t.ours()
		c := t.register("check-as-22", models.ClientBackend, allData)
		_, err := c.Token(t.ctx)
		t.must(err)
	}},
}

// groupChecks are about reading and searching Groups.
var groupChecks = []check{
	{id: "GA-01", about: "a Group without a token is a 401", run: func(t *T) {
		t.refused("read", t.get(t.anonymous(), "Group/nonesuch"), 401)
		t.refused("search", t.get(t.anonymous(), "Group"), 401)
	}},
	{id: "GA-02", about: "a search gives the caller's Groups, and its total counts no others", run: func(t *T) {
		p := t.payers()
		a := t.get(p.a, "Group")
		t.check(a.status == http.StatusOK && a.get("type").Str == "searchset", "%d and no searchset", a.status)
		t.check(a.get("total").Int() == 1 && len(a.get("entry").Array()) == 1, "total is %d", a.get("total").Int())
		t.check(a.get("entry.0.resource.id").Str == p.groupA, "it is another Group")
		t.check(!strings.Contains(string(a.body), p.groupB), "another's Group is there")
	}},
	{id: "GA-03", about: "its own Group 200, another's 404", run: func(t *T) {
		p := t.payers()
		a := t.get(p.a, "Group/"+p.groupA)
		t.check(a.status == http.StatusOK && a.get("id").Str == p.groupA, "status %d", a.status)
		t.refused("another's", t.get(p.a, "Group/"+p.groupB), 404)
	}},
	{id: "GA-05", about: "the credentials of the match open the Group and its export", run: func(t *T) {
		c, id := t.group()
		t.check(t.get(c, "Group/"+id).status == http.StatusOK, "the Group cannot be read")
		t.accepted(c, http.MethodGet, "Group/"+id+"/$export", async(), nil)
	}},
	{id: "GA-06", about: "search by identifier, characteristic, characteristic-value-reference and code", run: func(t *T) {
		p := t.payers()
		group := t.get(p.a, "Group/"+p.groupA)
		identifier := group.get("identifier.0.system").Str + "|" + group.get("identifier.0.value").Str
		count := func(query string) int64 {
			a := t.get(p.a, "Group?"+query)
			t.check(a.status == http.StatusOK && a.get("type").Str == "searchset", "%s is answered with %d", query, a.status)
			return a.get("total").Int()
		}
		t.check(count("identifier="+url.QueryEscape(identifier)) == 1, "not found by its identifier")
		t.check(count("code=match") == 1 && count("code=nonesuch") == 0, "code does not tell")
		t.check(count("characteristic=match") == 1 && count("characteristic=nonesuch") == 0, "characteristic does not tell")
		count("characteristic-value-reference=" + url.QueryEscape("Organization/nonesuch"))
	}},
	{id: "GA-07", about: "another search parameter is a 400, with handling=lenient it is ignored", run: func(t *T) {
		p := t.payers()
		a := t.get(p.a, "Group?actual=true")
		if a.status == http.StatusOK {
			return
		}
		t.refused("actual", a, 400)
		loose := t.call(p.a, http.MethodGet, "Group?actual=true", http.Header{"Prefer": {"handling=lenient"}}, nil)
		t.check(loose.status == http.StatusOK, "lenient: %d", loose.status)
	}},
	{id: "GA-08", about: "the owner reads a version and the history of a Group, another gets 404", run: func(t *T) {
		p := t.payers()
		version := t.get(p.a, "Group/"+p.groupA).header.Get("ETag")
		_, version, _ = strings.Cut(strings.Trim(version, `"`), `"`)
		a := t.get(p.a, "Group/"+p.groupA+"/_history")
		if a.status == http.StatusNotFound {
			t.na("no history of Groups is offered")
		}
		t.check(a.status == http.StatusOK && a.get("type").Str == "history" && a.get("entry.0.resource.id").Str == p.groupA, "no history: %d", a.status)
		a = t.get(p.a, "Group/"+p.groupA+"/_history/"+version)
		t.check(a.status == http.StatusOK && a.get("id").Str == p.groupA, "no version: %d", a.status)
		t.refused("a version that never was", t.get(p.a, "Group/"+p.groupA+"/_history/99"), 404)
		t.refused("another's history", t.get(p.b, "Group/"+p.groupA+"/_history"), 404)
		t.refused("another's version", t.get(p.b, "Group/"+p.groupA+"/_history/"+version), 404)
	}},
	{id: "GA-09", about: "no token 401, another's Group 404", run: func(t *T) {
		p := t.payers()
		t.refused("no token", t.get(t.anonymous(), "Group/"+p.groupA), 401)
		t.refused("another's", t.get(p.b, "Group/"+p.groupA), 404, 403)
	}},
	{id: "GA-10", about: "an export of another's Group is a 404 or 403", run: func(t *T) {
		p := t.payers()
		t.refused("$export", t.call(p.b, http.MethodGet, "Group/"+p.groupA+"/$export", async(), nil), 404, 403)
	}},
}

// equalJSON reports whether two values are the same, whatever the order of members.
func equalJSON(a, b gjson.Result) bool {
	var x, y any
	if json.Unmarshal([]byte(a.Raw), &x) != nil || json.Unmarshal([]byte(b.Raw), &y) != nil {
		return false
	}
	p, errP := json.Marshal(x)
	q, errQ := json.Marshal(y)
	return errP == nil && errQ == nil && string(p) == string(q)
}
