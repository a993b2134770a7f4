package conformance

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pdexbulk/dev/client"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/pki"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// The providers that the checks put into the directory, and one that they do not.
const (
	knownNPI   = "1234567893"
	outNPI     = "1245319599" // not in network
	goneNPI    = "1881692002" // deactivated
	unknownNPI = "1003000126"
	npiSystem  = "http://hl7.org/fhir/sid/us-npi"
	// b2bOrganization is an identifier of the clients' organization, as hl7-b2b spells it.
	b2bOrganization = "urn:example:conformance#1"
	treatment       = "urn:oid:2.16.840.1.113883.5.8#TREAT"
)

// udap is the server's UDAP metadata. Without UDAP the check does not apply.
func (t *T) udap() answer {
	a := t.call(t.anonymous(), http.MethodGet, ".well-known/udap", nil, nil)
	if a.status == http.StatusNotFound {
		t.na("UDAP is off")
	}
	t.check(a.status == http.StatusOK, "the metadata are answered with %d", a.status)
	return a
}

// partner is a UDAP client.
type partner struct {
	*client.UDAP
	issuer string
	id     string
}

// partner makes a client of the system's trust community that has not registered.
func (t *T) partner(alg string) *partner {
	sys := t.ours()
	p := &partner{issuer: "https://" + strings.ToLower(t.id) + ".example.org/" + strings.ToLower(alg)}
	key, err := pki.NewKey(alg)
	t.must(err)
	id, err := sys.UDAP.Root.Issue(pki.Request{Name: t.id, URIs: []string{p.issuer}, Key: key})
	t.must(err)
	p.UDAP = &client.UDAP{Identity: id, B2B: b2bObject(nil)}
	return p
}

// b2bObject is an object that is taken, changed by the members given; nil drops one.
func b2bObject(change map[string]any) map[string]any {
	object := map[string]any{"version": "1", "organization_id": b2bOrganization, "purpose_of_use": []string{treatment}}
	for name, value := range change {
		if object[name] = value; value == nil {
			delete(object, name)
		}
	}
	return object
}

func (t *T) statement(p *partner) client.Statement {
	return client.Statement{Issuer: p.issuer, Name: t.id, Scope: allData + " " + matching}
}

// registered registers a partner and has an administrator approve it.
func (t *T) registered(kind models.ClientKind) *partner {
	p := t.partner("ES256")
	var err error
	p.id, err = p.Register(t.ctx, t.udap().get("registration_endpoint").Str, t.statement(p), time.Now())
	t.must(err)
	t.approve(p, kind)
	return p
}

func (t *T) approve(p *partner, kind models.ClientKind) {
	organizations := []string{"urn:example:conformance|1"}
	if kind == models.ClientPayer {
		organizations = append(organizations, demo.Requester.OrganizationIDs...)
	}
	t.must(t.ours().Admin(t.ctx, http.MethodPut, "/admin/clients/"+p.id, map[string]any{
		"name": t.id, "kind": kind, "organizationIds": organizations, "scopes": []string{allData, matching}, "active": true,
	}, nil))
}

// udapForm is a token request of a partner, good as it is.
func (t *T) udapForm(p *partner, b2b map[string]any) url.Values {
	endpoint := t.udap().get("token_endpoint").Str
	assertion, err := (&client.UDAP{Identity: p.Identity, B2B: b2b}).Assertion(p.id, endpoint, time.Now())
	t.must(err)
	return url.Values{
		"grant_type": {"client_credentials"}, "scope": {allData}, "client_assertion": {assertion}, "udap": {"1"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

// submit sends a body to the registration endpoint.
func (t *T) submit(body map[string]any) answer {
	text, err := json.Marshal(body)
	t.must(err)
	return t.send(t.udap().get("registration_endpoint").Str, "application/json", string(text))
}

// state sends a partner's software statement with claims changed; nil drops one.
func (t *T) state(p *partner, change map[string]any, certifications ...string) answer {
	claims := t.statement(p).Claims(t.udap().get("registration_endpoint").Str, time.Now())
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	text, err := p.Identity.Sign(claims)
	t.must(err)
	if certifications == nil {
		certifications = []string{}
	}
	return t.submit(map[string]any{"software_statement": text, "certifications": certifications, "udap": "1"})
}

// directory puts the checks' providers into the directory.
func (t *T) directory() {
	s, err := store.Open(t.ctx, t.ours().Stack.DatabaseURL)
	t.must(err)
	defer s.Close()
	for _, p := range []models.Provider{
		{NPI: knownNPI, Kind: models.ProviderIndividual, Active: true, InNetwork: true},
		{NPI: outNPI, Kind: models.ProviderOrganization, Active: true},
		{NPI: goneNPI, Kind: models.ProviderIndividual, InNetwork: true},
	} {
		_, err := s.UpsertProvider(t.ctx, p)
		t.must(err)
	}
}

// withToken sends a request with the token of an answer.
func (t *T) withToken(granted answer, method, path string, body []byte) answer {
	h := posting()
	if body == nil {
		h = async()
	}
	h.Set("Authorization", "Bearer "+granted.get("access_token").Str)
	return t.call(t.anonymous(), method, path, h, body)
}

var udapChecks = []check{
	{id: "UD-01", about: "the UDAP metadata without a token: 200 and JSON, or 404", run: func(t *T) {
		a := t.call(t.anonymous(), http.MethodGet, ".well-known/udap", http.Header{"Accept": {"application/fhir+json"}}, nil)
		if a.status == http.StatusNotFound {
			return
		}
		t.check(a.status == http.StatusOK && a.media() == "application/json", "%d with %q", a.status, a.header.Get("Content-Type"))
	}},
	{id: "UD-02", about: "the metadata have what the guide requires", run: func(t *T) {
		a := t.udap()
		t.lists(a, "udap_versions_supported", "1")
		t.lists(a, "udap_profiles_supported", "udap_dcr", "udap_authn", "udap_authz")
		t.lists(a, "udap_authorization_extensions_supported", "hl7-b2b")
		t.lists(a, "grant_types_supported", "client_credentials")
		t.lists(a, "token_endpoint_auth_methods_supported", "private_key_jwt")
		t.lists(a, "token_endpoint_auth_signing_alg_values_supported", "RS256")
		t.lists(a, "registration_endpoint_jwt_signing_alg_values_supported", "RS256")
		for _, field := range []string{
			"udap_authorization_extensions_required", "udap_certifications_supported", "token_endpoint", "registration_endpoint", "signed_metadata",
			"scopes_supported",
		} {
			t.check(a.get(field).Exists(), "%s is missing", field)
		}
	}},
	{id: "UD-03", about: "signed_metadata: RS256, x5c that names the base URL, iss = sub, a year at most, the same endpoints", run: func(t *T) {
		a := t.udap()
		token, err := jwt.ParseSigned(a.get("signed_metadata").Str, []jose.SignatureAlgorithm{jose.RS256})
		t.must(err)
		roots := x509.NewCertPool()
		roots.AddCert(t.ours().UDAP.Root.Cert)
		chains, err := token.Headers[0].Certificates(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		t.must(err)
		leaf := chains[0][0]
		var claims struct {
			jwt.Claims
			Token    string `json:"token_endpoint"`
			Register string `json:"registration_endpoint"`
		}
		t.must(token.Claims(leaf.PublicKey, &claims))
		named := false
		for _, u := range leaf.URIs {
			named = named || u.String() == claims.Issuer
		}
		t.check(named && claims.Issuer == t.world.base && claims.Subject == claims.Issuer, "iss, sub, base URL and certificate do not agree")
		t.check(claims.Expiry != nil && claims.IssuedAt != nil && claims.ID != "", "exp, iat or jti is missing")
		t.check(claims.Expiry.Time().Sub(claims.IssuedAt.Time()) <= 365*24*time.Hour && claims.Expiry.Time().After(time.Now()), "exp is not within a year")
		t.check(claims.Token == a.get("token_endpoint").Str && claims.Register == a.get("registration_endpoint").Str, "the endpoints differ")
	}},
	{id: "UD-04", about: "a software statement is answered with 201, a client_id and itself", run: func(t *T) {
		p := t.partner("ES256")
		a := t.state(p, nil)
		t.check(a.status == http.StatusCreated && a.media() == "application/json", "%d with %q", a.status, a.header.Get("Content-Type"))
		t.check(a.get("client_id").Str != "" && strings.Count(a.get("software_statement").Str, ".") == 2, "client_id or software_statement is missing")
	}},
	{id: "UD-05", about: "each claim of the statement missing or wrong is a 400 with its error", run: func(t *T) {
		p := t.partner("RS256")
		now := time.Now()
		for _, c := range []struct {
			change map[string]any
			code   string
		}{
			{map[string]any{"iss": "https://elsewhere.example.org", "sub": "https://elsewhere.example.org"}, "invalid_software_statement"},
			{map[string]any{"sub": nil}, "invalid_software_statement"},
			{map[string]any{"aud": "https://elsewhere.example.org"}, "invalid_software_statement"},
			{map[string]any{"exp": now.Add(6 * time.Minute).Unix()}, "invalid_software_statement"},
			{map[string]any{"exp": now.Add(-time.Hour).Unix(), "iat": now.Add(-61 * time.Minute).Unix()}, "invalid_software_statement"},
			{map[string]any{"iat": nil}, "invalid_software_statement"},
			{map[string]any{"jti": nil}, "invalid_software_statement"},
			{map[string]any{"client_name": nil}, "invalid_client_metadata"},
			{map[string]any{"contacts": nil}, "invalid_client_metadata"},
			{map[string]any{"contacts": []string{"https://example.org"}}, "invalid_client_metadata"},
			{map[string]any{"grant_types": []string{"authorization_code"}}, "invalid_client_metadata"},
			{map[string]any{"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"},
			{map[string]any{"scope": nil}, "invalid_client_metadata"},
			{map[string]any{"redirect_uris": []string{"https://example.org"}}, "invalid_client_metadata"},
			{map[string]any{"response_types": []string{"code"}}, "invalid_client_metadata"},
		} {
			t.oauthError(t.state(p, c.change), c.code)
		}
		root, err := pki.NewRoot("elsewhere")
		t.must(err)
		stranger, err := root.Issue(pki.Request{Name: t.id, URIs: []string{p.issuer}})
		t.must(err)
		t.oauthError(t.state(&partner{UDAP: &client.UDAP{Identity: stranger}, issuer: p.issuer}, nil), "unapproved_software_statement")
	}},
	{id: "UD-06", about: "the same iss again is the same client; without grant types it is gone", run: func(t *T) {
		p := t.registered(models.ClientBackend)
		a := t.state(p, map[string]any{"scope": "system/Patient.rs"})
		t.check((a.status == http.StatusOK || a.status == http.StatusCreated) && a.get("client_id").Str == p.id, "a change is answered with %d", a.status)
		granted := t.granted(t.udapForm(p, b2bObject(nil)))
		t.check(granted.get("scope").Str == "system/Patient.rs", "the change has no effect: %s", granted.get("scope").Str)
		a = t.state(p, map[string]any{"grant_types": []string{}})
		t.check(a.status == http.StatusOK || a.status == http.StatusCreated, "cancelling is answered with %d", a.status)
		t.oauthError(t.token(t.udapForm(p, b2bObject(nil))), "invalid_client")
		t.refused("a token of before", t.withToken(granted, http.MethodGet, "Group", nil), 401)
	}},
	{id: "UD-07", about: "certifications that nobody knows are ignored", run: func(t *T) {
		a := t.state(t.partner("ES256"), nil, "e30.e30.x", "junk")
		t.check(a.status == http.StatusCreated, "status %d", a.status)
	}},
	{id: "UD-08", about: "a token by certificate and hl7-b2b; a wrong certificate, no udap and a missing object are refused", run: func(t *T) {
		p := t.registered(models.ClientBackend)
		t.granted(t.udapForm(p, b2bObject(nil)))
		neighbour := t.partner("RS256")
		neighbour.id = p.id
		t.oauthError(t.token(t.udapForm(neighbour, b2bObject(nil))), "invalid_client")
		form := t.udapForm(p, b2bObject(nil))
		form.Del("udap")
		t.oauthError(t.token(form), "invalid_client")
		t.oauthError(t.token(t.udapForm(p, nil)), "invalid_grant", "invalid_request", "invalid_client")
		form = t.udapForm(p, b2bObject(nil))
		t.granted(form)
		t.oauthError(t.token(form), "invalid_client") // replayed
	}},
	{id: "UD-09", about: "a token with hl7-b2b opens an export", run: func(t *T) {
		p := t.registered(models.ClientBackend)
		a := t.withToken(t.granted(t.udapForm(p, b2bObject(nil))), http.MethodGet, "$export?_type=Organization", nil)
		t.check(a.status == http.StatusAccepted, "status %d", a.status)
	}},
	{id: "UD-10", about: "hl7-b2b without version, organization_id or purpose_of_use is refused", run: func(t *T) {
		p := t.registered(models.ClientBackend)
		for name, value := range map[string]any{"version": "2", "organization_id": "", "purpose_of_use": []string{}} {
			t.oauthError(t.token(t.udapForm(p, b2bObject(map[string]any{name: nil}))), "invalid_grant", "invalid_request", "invalid_client")
			t.oauthError(t.token(t.udapForm(p, b2bObject(map[string]any{name: value}))), "invalid_grant", "invalid_request", "invalid_client")
		}
	}},
	{id: "UD-11", about: "an NPI with a wrong check digit is refused, a request without a person is not", run: func(t *T) {
		t.directory()
		p := t.registered(models.ClientProvider)
		t.oauthError(t.token(t.udapForm(p, b2bObject(map[string]any{"subject_id": "1234567890"}))), "invalid_grant", "invalid_client")
		t.granted(t.udapForm(p, b2bObject(nil)))
	}},
	{id: "UD-12", about: "the NPI of a provider in the directory is taken", run: func(t *T) {
		t.directory()
		p := t.registered(models.ClientProvider)
		for _, npi := range []string{knownNPI, "urn:oid:2.16.840.1.113883.4.6#" + knownNPI} {
			t.granted(t.udapForm(p, b2bObject(map[string]any{"subject_id": npi})))
		}
	}},
	{id: "UD-13", about: "a token for one's own Group exports that Group, and no other", run: func(t *T) {
		p := t.registered(models.ClientPayer)
		groups := make([]string, 2)
		for i := range groups {
			c := client.New(client.Config{BaseURL: t.world.base, ClientID: p.id, UDAP: p.UDAP, Scope: allData + " " + matching})
			request, _ := t.request(uint64(50+i), 12)
			groups[i] = t.match(c, request).matched(t).Get("id").Str
		}
		granted := t.granted(t.udapForm(p, b2bObject(map[string]any{"subject_id": groups[0]})))
		a := t.withToken(granted, http.MethodGet, "Group/"+groups[0]+"/$davinci-data-export", nil)
		t.check(a.status == http.StatusAccepted, "the Group of the token: %d", a.status)
		t.refused("another Group of the client's", t.withToken(granted, http.MethodGet, "Group/"+groups[1]+"/$davinci-data-export", nil), 404, 403)
		t.refused("reading it", t.withToken(granted, http.MethodGet, "Group/"+groups[1], nil), 404, 403)
		request, _ := t.request(52, 1)
		t.refused("a match", t.withToken(granted, http.MethodPost, "Group/$bulk-member-match", request), 403)
		foreign := t.payers().groupA
		t.oauthError(t.token(t.udapForm(p, b2bObject(map[string]any{"subject_id": foreign}))), "invalid_grant", "invalid_client")
	}},
	{id: "UD-14", about: "an NPI that is unknown, inactive or not in network gets no token", run: func(t *T) {
		t.directory()
		p := t.registered(models.ClientProvider)
		for _, npi := range []string{unknownNPI, goneNPI, outNPI} {
			t.oauthError(t.token(t.udapForm(p, b2bObject(map[string]any{"subject_id": npi}))), "invalid_grant", "invalid_client")
		}
	}},
	{id: "UD-15", about: "a token lives an hour at most", run: func(t *T) {
		n := t.granted(t.udapForm(t.registered(models.ClientBackend), b2bObject(nil))).get("expires_in").Int()
		t.check(n > 0 && n <= 3600, "it is %d", n)
	}},
	{id: "UD-16", about: "an Authorization header or a client secret in the token call is a 400", run: func(t *T) {
		p := t.registered(models.ClientBackend)
		form := t.udapForm(p, b2bObject(nil))
		form.Set("client_secret", "x")
		t.oauthError(t.token(form), "invalid_request")
		a := t.tokenWith(t.udapForm(p, b2bObject(nil)), http.Header{"Authorization": {"Basic eDp5"}})
		t.check(a.status == http.StatusBadRequest, "status %d", a.status)
	}},
	{id: "UD-17", about: "RS256 and ES256 for statements and assertions", run: func(t *T) {
		for _, alg := range []string{"RS256", "ES256"} {
			p := t.partner(alg)
			a := t.state(p, nil)
			t.check(a.status == http.StatusCreated, "%s: a statement is answered with %d", alg, a.status)
			p.id = a.get("client_id").Str
			t.approve(p, models.ClientBackend)
			t.granted(t.udapForm(p, b2bObject(nil)))
		}
	}},
	{id: "KM-10", about: "a provider whose organization is not under contract gets no token to match with", run: func(t *T) {
		t.directory()
		sys := t.ours()
		scope := "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/ProviderMemberMatch"
		form := func(npi string) url.Values {
			p := system.Partner{
				ID: "check-km-10-" + npi, Name: "x", Kind: models.ClientProvider, Scopes: []string{allData, scope}, OrganizationIDs: []string{npiSystem + "|" + npi},
			}
			_, err := sys.RegisterKey(t.ctx, p, t.world.key)
			t.must(err)
			return t.formOf(p.ID, t.world.key, scope, t.configuration().get("token_endpoint").Str, time.Now())
		}
		t.granted(form(knownNPI))
		t.oauthError(t.token(form(outNPI)), "unauthorized_client", "access_denied")
	}},
	{id: "KM-11", about: "the NPI of hl7-b2b is looked up before anything is matched", run: func(t *T) {
		t.directory()
		p := t.registered(models.ClientPayer)
		form := func(npi string) url.Values {
			f := t.udapForm(p, b2bObject(map[string]any{"subject_id": npi}))
			f.Set("scope", allData+" "+matching)
			return f
		}
		request, _ := t.request(53, 1)
		a := t.withToken(t.granted(form(knownNPI)), http.MethodPost, "Group/$bulk-member-match", request)
		t.check(a.status == http.StatusAccepted, "status %d", a.status)
		t.oauthError(t.token(form(unknownNPI)), "invalid_grant", "invalid_client")
	}},
}
