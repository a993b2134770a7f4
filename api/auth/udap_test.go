package auth

import (
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"pdexbulk/api/udap"
	"pdexbulk/dev/pki"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

const (
	udapIssuer = "https://client.example.org/app"
	udapOrg    = "urn:oid:2.16.840.1.113883.4.4#12-3456789"
	npiGood    = "1234567893" // active and in network
	npiOut     = "1245319599" // not in network
	npiOff     = "1881692002" // deactivated
	npiNobody  = "1003000126" // not in the directory
)

// udapBundle is a server that takes part in two communities.
type udapBundle struct {
	*testBundle
	root, second *pki.Authority
	client       *pki.Identity
	config       Config
}

func setupUDAP(t testing.TB, change func(*Config)) *udapBundle {
	t.Helper()
	b := &udapBundle{testBundle: setup(t)}
	one, err := pki.NewServer(filepath.Join(t.TempDir(), "one"), publicURL+FHIRPath)
	require.NoError(t, err)
	two, err := pki.NewServer(filepath.Join(t.TempDir(), "two"), publicURL+FHIRPath)
	require.NoError(t, err)
	b.root, b.second = one.Root, two.Root
	trust, err := udap.Open(udap.Files{
		Cert: filepath.Join(one.Dir, "server.pem"), Key: filepath.Join(one.Dir, "server-key.pem"),
		Communities: []string{"urn:example:one=" + filepath.Join(one.Dir, "anchors.pem"), "urn:example:two=" + filepath.Join(two.Dir, "anchors.pem")},
	}, publicURL+FHIRPath, testStart, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	b.config = Config{
		PublicURL: publicURL, ResourceTypes: []string{"Patient", "Coverage", "ExplanationOfBenefit", "Group"}, UDAP: trust,
		Now: b.clock.now, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&b.config)
	}
	b.server = New(b.config, b.store)
	b.client = b.identity(t, b.root, "ES256", nil)
	for _, p := range []models.Provider{
		{NPI: npiGood, Kind: models.ProviderIndividual, Active: true, InNetwork: true},
		{NPI: npiOut, Kind: models.ProviderIndividual, Active: true},
		{NPI: npiOff, Kind: models.ProviderIndividual, InNetwork: true},
	} {
		_, err := b.store.UpsertProvider(t.Context(), p)
		require.NoError(t, err)
	}
	return b
}

func (b *udapBundle) identity(t testing.TB, a *pki.Authority, alg string, edit func(*x509.Certificate)) *pki.Identity {
	t.Helper()
	key, err := pki.NewKey(alg)
	require.NoError(t, err)
	id, err := a.Issue(pki.Request{Name: "client", URIs: []string{udapIssuer}, Key: key, Edit: edit})
	require.NoError(t, err)
	return id
}

// statement are the claims of a software statement that is taken.
func (b *udapBundle) statement(change ...func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": udapIssuer, "sub": udapIssuer, "aud": publicURL + RegisterPath, "jti": models.NewID(),
		"iat": b.clock.now().Unix(), "exp": b.clock.now().Add(4 * time.Minute).Unix(),
		"client_name": "Example client", "contacts": []string{"mailto:ops@client.example.org"}, "grant_types": []string{"client_credentials"},
		"token_endpoint_auth_method": "private_key_jwt", "scope": "system/*.rs",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (b *udapBundle) post(t testing.TB, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	return do(t, b.server, http.MethodPost, path, body, change)
}

// do sends a JSON request.
func do(t testing.TB, s *Server, method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, publicURL+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	mux := http.NewServeMux()
	s.Mount(mux)
	mux.ServeHTTP(w, r)
	return w
}

// registration is the body of a registration by a statement.
func registration(t testing.TB, id *pki.Identity, claims map[string]any) string {
	t.Helper()
	text, err := id.Sign(claims)
	require.NoError(t, err)
	raw, err := json.Marshal(map[string]any{"software_statement": text, "certifications": []string{}, "udap": "1"})
	require.NoError(t, err)
	return string(raw)
}

// registerClient registers the bundle's client and has an administrator approve it.
func (b *udapBundle) registerClient(t testing.TB, kind models.ClientKind, organizations ...string) string {
	t.Helper()
	w := b.post(t, RegisterPath, registration(t, b.client, b.statement()), nil)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	id := answer["client_id"].(string)
	b.approve(t, id, kind, organizations...)
	return id
}

func (b *udapBundle) approve(t testing.TB, id string, kind models.ClientKind, organizations ...string) {
	t.Helper()
	c, err := b.store.Client(t.Context(), id)
	require.NoError(t, err)
	c.Kind, c.Active, c.Scopes = kind, true, []string{"system/*.rs", pdex + "OperationDefinition/ProviderMemberMatch"}
	c.OrganizationIDs = append([]string{"urn:oid:2.16.840.1.113883.4.4|12-3456789"}, organizations...)
	_, err = b.store.UpsertClient(t.Context(), c)
	require.NoError(t, err)
}

func treatment(change ...func(map[string]any)) map[string]any {
	m := map[string]any{"version": "1", "organization_id": udapOrg, "purpose_of_use": []string{"urn:oid:2.16.840.1.113883.5.8#TREAT"}}
	for _, f := range change {
		f(m)
	}
	return m
}

// udapAttempt is a token request of a UDAP client that succeeds as it is.
func (b *udapBundle) udapAttempt(clientID string, id *pki.Identity) *attempt {
	a := b.attempt(clientID, ecKey())
	a.header = map[string]any{"alg": id.Alg(), "x5c": id.X5C()}
	a.claims["iat"] = b.clock.now().Unix()
	a.claims["extensions"] = map[string]any{"hl7-b2b": treatment()}
	a.sign = func(message string) []byte {
		alg, _ := a.header["alg"].(string)
		signature, err := id.Signature(alg, []byte(message))
		if err != nil {
			panic(err)
		}
		return signature
	}
	a.form.Set("udap", "1")
	return a
}

func b2b(change ...func(map[string]any)) func(*attempt) {
	return func(a *attempt) { a.claims["extensions"] = map[string]any{"hl7-b2b": treatment(change...)} }
}

func put(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}

func drop(name string) func(map[string]any) { return func(m map[string]any) { delete(m, name) } }

func TestUDAPRegistration(t *testing.T) {
	t.Parallel()
	b := setupUDAP(t, nil)
	body := registration(t, b.client, b.statement(put("scope", "system/*.rs system/Nonsense openid")))
	w := b.post(t, RegisterPath, body, nil)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var answer, sent map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.NoError(t, json.Unmarshal([]byte(body), &sent))
	id := answer["client_id"].(string)
	delete(answer, "client_id")
	require.Equal(t, map[string]any{
		"software_statement": sent["software_statement"], "client_name": "Example client", "contacts": []any{"mailto:ops@client.example.org"},
		"grant_types": []any{"client_credentials"}, "token_endpoint_auth_method": "private_key_jwt", "scope": "system/*.rs",
	}, answer)

	// A certificate is no approval.
	stored, err := b.store.Client(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, models.ClientPending, stored.Kind)
	require.False(t, stored.Active)
	require.Equal(t, []string{"urn:example:one", udapIssuer}, []string{stored.Community, stored.Issuer})
	w = b.udapAttempt(id, b.client).send(t, b.server)
	require.JSONEq(t, `{"error":"invalid_client","error_description":"client authentication failed"}`, w.Body.String())

	// The same issuer again is the same client, with another certificate as well. It may ask for more and does not get it.
	renewed := b.identity(t, b.root, "RS256", nil)
	w = b.post(t, RegisterPath, registration(t, renewed, b.statement(put("client_name", "Renamed"))), nil)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Contains(t, w.Body.String(), id)
	require.Contains(t, w.Body.String(), "Renamed", "nobody has looked at it yet")
	b.approve(t, id, models.ClientProvider)
	w = b.post(t, RegisterPath, registration(t, b.client, b.statement(put("client_name", "Again"), put("scope", "system/Patient.rs"))), nil)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Contains(t, w.Body.String(), "Renamed", "the name that was approved stays")
	a := b.udapAttempt(id, renewed)
	a.form.Set("scope", "system/*.rs")
	w = a.send(t, b.server)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Contains(t, w.Body.String(), `"scope":"system/Patient.rs"`)

	// The same issuer in another community is another client.
	w = b.post(t, RegisterPath, registration(t, b.identity(t, b.second, "ES256", nil), b.statement()), nil)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.NotContains(t, w.Body.String(), id)

	// Without grant types the client goes, its tokens with it, and it never comes back.
	token := b.udapAttempt(id, b.client)
	w = token.send(t, b.server)
	var granted tokenAnswer
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &granted))
	r := requestWith(t, granted.AccessToken)
	_, err = b.server.Authenticate(r)
	require.NoError(t, err)
	w = b.post(t, RegisterPath, registration(t, b.client, b.statement(put("grant_types", []string{}))), nil)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Contains(t, w.Body.String(), `"grant_types":[]`)
	_, err = b.server.Authenticate(r)
	require.ErrorIs(t, err, ErrBadToken)
	require.Equal(t, http.StatusBadRequest, b.udapAttempt(id, b.client).send(t, b.server).Code)
	w = b.post(t, RegisterPath, registration(t, b.client, b.statement(put("grant_types", []string{}))), nil)
	require.Equal(t, http.StatusBadRequest, w.Code, "there is nothing left to cancel")
	w = b.post(t, RegisterPath, registration(t, b.client, b.statement()), nil)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.NotContains(t, w.Body.String(), id)
}

func TestUDAPTokens(t *testing.T) {
	t.Parallel()
	b := setupUDAP(t, nil)
	id := b.registerClient(t, models.ClientProvider, "urn:ietf:rfc:3986|https://client.example.org/org")
	group := &store.Group{ID: models.NewID(), ClientID: id, Profile: "p", BlobKey: "k", CreatedAt: testStart}
	b.addGroup(t, group)
	rsa := b.identity(t, b.root, "RS256", nil)
	tests := []struct {
		name string
		id   *pki.Identity
		bend func(*attempt)
		want Caller
	}{
		{"ES256", b.client, nil, Caller{}},
		{"RS256", rsa, nil, Caller{}},
		{"RS384", rsa, header("alg", "RS384"), Caller{}},
		{"typ JWT", b.client, header("typ", "JWT"), Caller{}},
		{"an NPI", b.client, b2b(put("subject_id", npiGood), put("subject_name", "Dr Example")), Caller{NPI: npiGood}},
		{"an NPI as a URI", b.client, b2b(put("subject_id", "urn:oid:2.16.840.1.113883.4.6#"+npiGood)), Caller{NPI: npiGood}},
		{"a Group", b.client, b2b(put("subject_id", group.ID)), Caller{GroupID: group.ID}},
		{"a Group by its path", b.client, b2b(put("subject_id", "Group/"+group.ID)), Caller{GroupID: group.ID}},
		{"the URI of an organization", b.client, b2b(put("organization_id", "https://client.example.org/org")), Caller{OrganizationID: "https://client.example.org/org"}},
		{"the client's own URI as the organization", b.client, b2b(put("organization_id", udapIssuer)), Caller{OrganizationID: udapIssuer}},
		{
			"two purposes", b.client, b2b(put("purpose_of_use", []string{"urn:oid:2.16.840.1.113883.5.8#HPAYMT", "urn:oid:2.16.840.1.113883.5.8#TREAT"})),
			Caller{PurposeOfUse: []string{"HPAYMT", "TREAT"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := b.udapAttempt(id, tt.id)
			if tt.bend != nil {
				tt.bend(a)
			}
			w := a.send(t, b.server)
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			var answer tokenAnswer
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			require.Equal(t, 300, answer.ExpiresIn)
			caller, err := b.server.Authenticate(requestWith(t, answer.AccessToken))
			require.NoError(t, err)
			if tt.want.OrganizationID == "" {
				tt.want.OrganizationID = udapOrg
			}
			if tt.want.PurposeOfUse == nil {
				tt.want.PurposeOfUse = []string{"TREAT"}
			}
			require.Equal(t, tt.want, Caller{NPI: caller.NPI, GroupID: caller.GroupID, OrganizationID: caller.OrganizationID, PurposeOfUse: caller.PurposeOfUse})
			require.Equal(t, models.ClientProvider, caller.Kind)

			// The object is in the token as it was sent (decision D-11).
			token, err := jwt.ParseSigned(answer.AccessToken, []jose.SignatureAlgorithm{signAlg})
			require.NoError(t, err)
			var claims map[string]any
			require.NoError(t, token.UnsafeClaimsWithoutVerification(&claims))
			sent, err := json.Marshal(a.claims["extensions"])
			require.NoError(t, err)
			got, err := json.Marshal(claims["extensions"])
			require.NoError(t, err)
			require.JSONEq(t, string(sent), string(got))
		})
	}
}

func (b *udapBundle) addGroup(t testing.TB, g *store.Group) {
	t.Helper()
	_, err := b.store.Pool.Exec(t.Context(), `INSERT INTO groups (id, client_id, job_id, profile, members, blob_key, created_at)
		VALUES ($1, $2, $3, $4, 0, $5, $6)`, g.ID, g.ClientID, models.NewID(), g.Profile, g.BlobKey, g.CreatedAt)
	require.NoError(t, err)
}

func TestNPIChecks(t *testing.T) {
	t.Parallel()
	const none = ""
	taken := map[NPICheck][]string{
		NPIOff:      {npiGood, npiOut, npiOff, npiNobody, none},
		NPIKnown:    {npiGood, npiOut, none},
		NPINetwork:  {npiGood, none},
		NPIRequired: {npiGood},
	}
	for check, npis := range taken {
		t.Run(string(check), func(t *testing.T) {
			t.Parallel()
			b := setupUDAP(t, func(c *Config) { c.NPICheck = check })
			id := b.registerClient(t, models.ClientProvider)
			b.register(t, models.Client{
				ID: "smart", Kind: models.ClientProvider, JWKS: jwks(t, ecKey().public()), Active: true,
				OrganizationIDs: []string{"urn:oid:2.16.840.1.113883.4.4|12-3456789"},
			})
			for _, npi := range []string{npiGood, npiOut, npiOff, npiNobody, none} {
				want := http.StatusBadRequest
				for _, ok := range npis {
					if ok == npi {
						want = http.StatusOK
					}
				}
				for name, a := range map[string]*attempt{"udap": b.udapAttempt(id, b.client), "smart": b.attempt("smart", ecKey())} {
					b2b()(a)
					if npi != none {
						b2b(put("subject_id", npi))(a)
					}
					w := a.send(t, b.server)
					require.Equal(t, want, w.Code, "%s %s %s", name, npi, w.Body)
					if want != http.StatusOK {
						require.JSONEq(t, `{"error":"invalid_grant","error_description":"the hl7-b2b extension is missing or cannot be accepted"}`, w.Body.String())
					}
				}
			}
		})
	}
}

// What the directory says of a provider client's organization goes before its registration (PDex 2.2.0, 253).
func TestContract(t *testing.T) {
	t.Parallel()
	b := setupUDAP(t, nil)
	for npi, want := range map[string]int{npiGood: http.StatusOK, npiNobody: http.StatusOK, npiOut: http.StatusBadRequest, npiOff: http.StatusBadRequest} {
		for kind, want := range map[models.ClientKind]int{models.ClientProvider: want, models.ClientPayer: http.StatusOK} {
			id := string(kind) + npi
			b.register(t, models.Client{ID: id, Kind: kind, JWKS: jwks(t, ecKey().public()), Active: true, OrganizationIDs: []string{npiIdentifier + npi}})
			w := b.attempt(id, ecKey()).send(t, b.server)
			require.Equal(t, want, w.Code, id)
			if want != http.StatusOK {
				require.JSONEq(t, `{"error":"unauthorized_client","error_description":"the client may not have tokens"}`, w.Body.String())
			}
		}
	}
}

func TestUDAPDiscovery(t *testing.T) {
	t.Parallel()
	b := setupUDAP(t, nil)
	get := func(query string) *httptest.ResponseRecorder {
		return do(t, b.server, http.MethodGet, UDAPDiscoveryPath+query, "", func(r *http.Request) { r.Header.Set("Accept", "application/fhir+xml") })
	}
	for _, query := range []string{"", "?community=urn:example:one", "?community=urn:example:two"} {
		w := get(query)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		var answer map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		require.NotEmpty(t, answer["signed_metadata"])
		delete(answer, "signed_metadata")
		algs := []any{"RS256", "ES256", "RS384", "ES384"}
		require.Equal(t, map[string]any{
			"udap_versions_supported": []any{"1"}, "udap_profiles_supported": []any{"udap_dcr", "udap_authn", "udap_authz"},
			"udap_authorization_extensions_supported": []any{"hl7-b2b"}, "udap_authorization_extensions_required": []any{"hl7-b2b"},
			"udap_certifications_supported": []any{}, "udap_certifications_required": []any{}, "grant_types_supported": []any{"client_credentials"},
			"scopes_supported": toAny(b.server.supportedScopes()), "token_endpoint": publicURL + TokenPath,
			"registration_endpoint": publicURL + RegisterPath, "token_endpoint_auth_methods_supported": []any{"private_key_jwt"},
			"token_endpoint_auth_signing_alg_values_supported": algs, "registration_endpoint_jwt_signing_alg_values_supported": algs,
		}, answer)
	}
	w := get("?community=urn:example:three")
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Empty(t, w.Body.String())
	require.Equal(t, http.StatusMethodNotAllowed, b.post(t, UDAPDiscoveryPath, "", nil).Code)

	off := setup(t).server
	w = do(t, off, http.MethodGet, UDAPDiscoveryPath, "", nil)
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	w = do(t, off, http.MethodPost, RegisterPath, registration(t, b.client, b.statement()), nil)
	require.JSONEq(t, `{"error":"unapproved_software_statement","error_description":"software statements are not taken here"}`, w.Body.String())
}

func toAny(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func TestRegistrationRefuses(t *testing.T) {
	t.Parallel()
	b := setupUDAP(t, nil)
	other, err := pki.NewRoot("Somebody else's")
	require.NoError(t, err)
	stranger := b.identity(t, other, "ES256", nil)
	now := b.clock.now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	signed := func(change ...func(map[string]any)) string { return registration(t, b.client, b.statement(change...)) }
	wrapped := func(statement any) string {
		raw, err := json.Marshal(map[string]any{"software_statement": statement, "certifications": []string{}, "udap": "1"})
		require.NoError(t, err)
		return string(raw)
	}
	// raw signs a statement with a header of its own.
	raw := func(id *pki.Identity, head map[string]any, finish func(string) string) string {
		a := &attempt{header: map[string]any{"alg": id.Alg(), "x5c": id.X5C()}, claims: b.statement(), finish: finish}
		maps.Copy(a.header, head)
		a.sign = func(message string) []byte {
			signature, err := id.Signature(id.Alg(), []byte(message))
			require.NoError(t, err)
			return signature
		}
		return wrapped(a.assertion(t))
	}
	replayed := b.statement()
	require.Equal(t, http.StatusCreated, b.post(t, RegisterPath, registration(t, b.client, replayed), nil).Code)
	nameless, err := b.root.Issue(pki.Request{Name: "no names"})
	require.NoError(t, err)
	expired := b.identity(t, b.root, "ES256", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	encipher := b.identity(t, b.root, "ES256", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })

	const (
		invalid    = "invalid_software_statement"
		metadata   = "invalid_client_metadata"
		unapproved = "unapproved_software_statement"
		request    = "invalid_request"
	)
	tests := []struct {
		name   string
		body   string
		change func(*http.Request)
		status int // 400 when 0
		code   string
	}{
		// Who signs.
		{name: "chain to an authority of nobody's", body: registration(t, stranger, b.statement()), code: unapproved},
		{name: "stranger that brings its authority along", body: raw(stranger, map[string]any{"x5c": append(stranger.X5C(), (&pki.Identity{Chain: []*x509.Certificate{other.Cert}}).X5C()...)}, nil), code: unapproved},
		{name: "expired certificate", body: registration(t, expired, b.statement()), code: unapproved},
		{name: "certificate that may not sign", body: registration(t, encipher, b.statement()), code: invalid},
		{name: "signed by a stranger under our certificate", body: raw(stranger, map[string]any{"x5c": b.client.X5C()}, nil), code: invalid},
		{name: "iss not in the certificate", body: registration(t, nameless, b.statement()), code: invalid},
		{name: "iss of another client of the community", body: signed(put("iss", "https://victim.example.org"), put("sub", "https://victim.example.org")), code: invalid},
		{name: "iss with another path", body: signed(put("iss", udapIssuer+"/"), put("sub", udapIssuer+"/")), code: invalid},
		{name: "no x5c", body: raw(b.client, map[string]any{"x5c": nil}, nil), code: invalid},
		{name: "x5c empty", body: raw(b.client, map[string]any{"x5c": []string{}}, nil), code: invalid},
		{name: "x5c of garbage", body: raw(b.client, map[string]any{"x5c": []string{"AAAA"}}, nil), code: invalid},
		{name: "x5u in place of x5c", body: raw(b.client, map[string]any{"x5u": "https://evil.example/x"}, nil), code: invalid},
		{name: "jku beside x5c", body: raw(b.client, map[string]any{"jku": "https://evil.example/x"}, nil), code: invalid},
		{name: "jwk beside x5c", body: raw(b.client, map[string]any{"jwk": ecKey().public()}, nil), code: invalid},
		{name: "critical extension", body: raw(b.client, map[string]any{"crit": []string{"exp"}, "exp": 1}, nil), code: invalid},
		{name: "alg none", body: raw(b.client, map[string]any{"alg": "none"}, func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }), code: invalid},
		{name: "alg HS256", body: raw(b.client, map[string]any{"alg": "HS256"}, nil), code: invalid},
		{name: "alg PS256", body: raw(b.client, map[string]any{"alg": "PS256"}, nil), code: invalid},
		{name: "alg of another kind of key", body: raw(b.client, map[string]any{"alg": "RS256"}, nil), code: invalid},
		{name: "typ of an access token", body: raw(b.client, map[string]any{"typ": tokenType}, nil), code: invalid},
		{name: "signature cut off", body: raw(b.client, nil, func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }), code: invalid},
		{name: "claims changed after signing", body: raw(b.client, nil, func(s string) string {
			p := strings.Split(s, ".")
			return p[0] + "." + p[1][:len(p[1])-4] + "." + p[2]
		}), code: invalid},
		{name: "statement over the bound", body: signed(put("pad", strings.Repeat("x", 70<<10))), code: invalid},
		{name: "statement not a JWT", body: wrapped("hello"), code: invalid},
		{name: "statement empty", body: wrapped(""), code: invalid},
		{name: "statement a number", body: wrapped(1), code: invalid},
		{name: "statement an object", body: wrapped(b.statement()), code: invalid},
		{name: "statement null", body: wrapped(nil), code: invalid},
		{name: "statement in JSON form", body: wrapped(`{"protected":"e30","payload":"e30","signature":""}`), code: invalid},

		// What it claims.
		{name: "iss missing", body: signed(drop("iss")), code: invalid},
		{name: "sub missing", body: signed(drop("sub")), code: invalid},
		{name: "sub another's", body: signed(put("sub", "https://victim.example.org")), code: invalid},
		{name: "iss no URI", body: signed(put("iss", "client"), put("sub", "client")), code: invalid},
		{name: "aud missing", body: signed(drop("aud")), code: invalid},
		{name: "aud the token URL", body: signed(put("aud", publicURL+TokenPath)), code: invalid},
		{name: "aud another server", body: signed(put("aud", "https://other.example.org/auth/register")), code: invalid},
		{name: "aud two servers", body: signed(put("aud", []string{publicURL + RegisterPath, "https://other.example.org"})), code: invalid},
		{name: "exp missing", body: signed(drop("exp")), code: invalid},
		{name: "exp past", body: signed(put("iat", at(-10*time.Minute)), put("exp", at(-6*time.Minute))), code: invalid},
		{name: "exp over five minutes after iat", body: signed(put("exp", at(301*time.Second))), code: invalid},
		{name: "exp before iat", body: signed(put("exp", at(-time.Second))), code: invalid},
		{name: "exp a string", body: signed(put("exp", "soon")), code: invalid},
		{name: "iat missing", body: signed(drop("iat")), code: invalid},
		{name: "iat ahead", body: signed(put("iat", at(time.Minute)), put("exp", at(4*time.Minute))), code: invalid},
		{name: "nbf ahead", body: signed(put("nbf", at(time.Minute))), code: invalid},
		{name: "jti missing", body: signed(drop("jti")), code: invalid},
		{name: "jti over the bound", body: signed(put("jti", strings.Repeat("j", 256))), code: invalid},
		{name: "jti with NUL", body: signed(put("jti", "a\x00b")), code: invalid},
		{name: "replayed", body: registration(t, b.client, replayed), code: invalid},
		{name: "jti of an earlier statement", body: signed(put("jti", replayed["jti"])), code: invalid},

		// What it says of the client.
		{name: "client_name missing", body: signed(drop("client_name")), code: metadata},
		{name: "client_name empty", body: signed(put("client_name", " ")), code: metadata},
		{name: "client_name with a control character", body: signed(put("client_name", "a\nb")), code: metadata},
		{name: "client_name over the bound", body: signed(put("client_name", strings.Repeat("n", 201))), code: metadata},
		{name: "client_name a number", body: signed(put("client_name", 1)), code: invalid},
		{name: "contacts missing", body: signed(drop("contacts")), code: metadata},
		{name: "contacts empty", body: signed(put("contacts", []string{})), code: metadata},
		{name: "contacts null", body: signed(put("contacts", nil)), code: invalid},
		{name: "no mail among the contacts", body: signed(put("contacts", []string{"https://client.example.org"})), code: metadata},
		{name: "a contact that is no URI", body: signed(put("contacts", []string{"mailto:a@b.example", "call me"})), code: metadata},
		{name: "contacts too many", body: signed(put("contacts", strings.Split(strings.Repeat("mailto:a@b.example ", 21), " ")[:21])), code: metadata},
		{name: "grant_types missing", body: signed(drop("grant_types")), code: metadata},
		{name: "grant_types a string", body: signed(put("grant_types", "client_credentials")), code: invalid},
		{name: "authorization_code", body: signed(put("grant_types", []string{"authorization_code"})), code: metadata},
		{name: "refresh_token beside", body: signed(put("grant_types", []string{"client_credentials", "refresh_token"})), code: metadata},
		{name: "redirect_uris", body: signed(put("redirect_uris", []string{"https://client.example.org/cb"})), code: metadata},
		{name: "redirect_uris empty", body: signed(put("redirect_uris", []string{})), code: metadata},
		{name: "response_types", body: signed(put("response_types", []string{"code"})), code: metadata},
		{name: "auth method missing", body: signed(drop("token_endpoint_auth_method")), code: metadata},
		{name: "auth method a secret", body: signed(put("token_endpoint_auth_method", "client_secret_basic")), code: metadata},
		{name: "scope missing", body: signed(drop("scope")), code: metadata},
		{name: "scope empty", body: signed(put("scope", " ")), code: metadata},
		{name: "scope of nothing that is served", body: signed(put("scope", "openid system/Patient.cud")), code: metadata},
		{name: "scope a list", body: signed(put("scope", []string{"system/*.rs"})), code: invalid},
		{name: "scope over the bound", body: signed(put("scope", strings.Repeat("system/*.rs ", 1000))), code: metadata},
		{name: "cancelling what is not there", body: registration(t, b.identity(t, b.second, "ES256", nil), b.statement(put("grant_types", []string{}))), code: metadata},

		// The request.
		{name: "udap missing", body: `{"software_statement":"a.b.c"}`, code: metadata},
		{name: "udap 2", body: `{"software_statement":"a.b.c","udap":"2"}`, code: metadata},
		{name: "udap a number", body: `{"software_statement":"a.b.c","udap":1}`, code: metadata},
		{name: "certifications a string", body: `{"software_statement":"a.b.c","certifications":"x","udap":"1"}`, code: metadata},
		{name: "statement twice", body: `{"software_statement":"a.b.c","software_statement":"d.e.f","udap":"1"}`, code: request},
		{name: "an array", body: `[]`, code: request},
		{name: "null", body: `null`, code: request},
		{name: "not JSON", body: `software_statement=a.b.c`, code: request},
		{name: "empty", body: ``, code: request},
		{name: "two documents", body: `{"udap":"1"}{"udap":"1"}`, code: request},
		{name: "nested a million deep", body: `{"udap":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 100_000) + `}`, code: request},
		{name: "body over the bound", body: `{"udap":"1","pad":"` + strings.Repeat("x", DefaultRegistrationBody) + `"}`, status: http.StatusRequestEntityTooLarge, code: request},
		{name: "form", body: signed(), change: func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, code: request},
		{name: "no content type", body: signed(), change: func(r *http.Request) { r.Header.Del("Content-Type") }, code: request},
		{name: "gzip", body: signed(), change: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, code: request},
		{name: "parameters in the query", body: signed(), change: func(r *http.Request) { r.URL.RawQuery = "udap=1" }, code: request},
		{name: "a token beside the statement", body: signed(), change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, code: request},
		{name: "GET", body: signed(), change: func(r *http.Request) { r.Method = http.MethodGet }, status: http.StatusMethodNotAllowed, code: request},
	}
	require.GreaterOrEqual(t, len(tests), 80)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := b.post(t, RegisterPath, tt.body, tt.change)
			if tt.status == 0 {
				tt.status = http.StatusBadRequest
			}
			require.Equal(t, tt.status, w.Code, w.Body)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			var answer map[string]string
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			require.Equal(t, tt.code, answer["error"], answer["error_description"])
			require.NotContains(t, answer, "client_id")
			w = b.post(t, RegisterPath, registration(t, b.client, b.statement()), nil)
			require.Equal(t, http.StatusOK, w.Code, "others are still served")
		})
	}
}

func TestUDAPTokenRefuses(t *testing.T) {
	t.Parallel()
	b := setupUDAP(t, nil)
	id := b.registerClient(t, models.ClientProvider)
	b.register(t, models.Client{ID: "smart", JWKS: jwks(t, ecKey().public()), Active: true})
	otherRoot, err := pki.NewRoot("Somebody else's")
	require.NoError(t, err)
	stranger := b.identity(t, otherRoot, "ES256", nil)
	otherCommunity := b.identity(t, b.second, "ES256", nil)
	neighbour, err := b.root.Issue(pki.Request{Name: "neighbour", URIs: []string{"https://neighbour.example.org"}})
	require.NoError(t, err)
	expired := b.identity(t, b.root, "ES256", func(c *x509.Certificate) { c.NotAfter = b.clock.now().Add(-time.Second) })
	foreign := &store.Group{ID: models.NewID(), ClientID: "smart", Profile: "p", BlobKey: "k", CreatedAt: testStart}
	b.addGroup(t, foreign)
	over := &store.Group{ID: models.NewID(), ClientID: id, Profile: "p", BlobKey: "k", CreatedAt: testStart}
	b.addGroup(t, over)
	_, err = b.store.Pool.Exec(t.Context(), `UPDATE groups SET expires_at = $1 WHERE id = $2`, testStart, over.ID)
	require.NoError(t, err)
	at := func(d time.Duration) int64 { return b.clock.now().Add(d).Unix() }
	const client, grant, request = "invalid_client", "invalid_grant", "invalid_request"
	tests := []struct {
		name string
		id   *pki.Identity // the client's when nil
		of   string        // the client id, when not the client's
		bend func(*attempt)
		code string
	}{
		{name: "certificate of an authority of nobody's", id: stranger, code: client},
		{name: "certificate of another community", id: otherCommunity, code: client},
		{name: "certificate of a neighbour in the community", id: neighbour, code: client},
		{name: "expired certificate", id: expired, code: client},
		{name: "signed by a stranger under our certificate", id: stranger, bend: header("x5c", b.client.X5C()), code: client},
		{name: "no x5c", bend: func(a *attempt) { delete(a.header, "x5c") }, code: client},
		{name: "x5c a string", bend: header("x5c", b.client.X5C()[0]), code: client},
		{name: "x5c in another case", bend: func(a *attempt) { a.header["X5C"] = a.header["x5c"]; delete(a.header, "x5c") }, code: client},
		{name: "jku beside x5c", bend: header("jku", "https://evil.example/jwks"), code: client},
		{name: "jwk beside x5c", bend: header("jwk", ecKey().public()), code: client},
		{name: "alg none", bend: header("alg", "none"), code: client},
		{name: "alg of another kind of key", bend: header("alg", "RS256"), code: client},
		{name: "typ of an access token", bend: header("typ", tokenType), code: client},
		{name: "unknown client", of: "nobody", code: client},
		{name: "a SMART client by UDAP", of: "smart", code: client},
		{name: "the iss of the registration as the client", of: udapIssuer, code: client},
		{name: "without udap", bend: unset("udap"), code: client},
		{name: "by the way of SMART", bend: func(a *attempt) {
			unset("udap")(a)
			a.header = map[string]any{"alg": "ES384", "kid": "es-1", "typ": "JWT"}
			a.sign = ecKey().sign
		}, code: client},
		{name: "udap 2", bend: form("udap", "2"), code: request},
		{name: "udap empty", bend: form("udap", ""), code: request},
		{name: "udap twice", bend: form("udap", "1", "1"), code: request},
		{name: "sub is somebody else", bend: set("sub", "smart"), code: client},
		{name: "aud the registration URL", bend: set("aud", publicURL+RegisterPath), code: client},
		{name: "iat missing", bend: unset("iat"), code: client},
		{name: "exp over five minutes after iat", bend: set("iat", at(-2*time.Minute)), code: client},
		{name: "exp missing", bend: unset("exp"), code: client},
		{name: "jti missing", bend: unset("jti"), code: client},
		{name: "a software statement as the assertion", bend: func(a *attempt) { a.claims = b.statement() }, code: client},
		{name: "a secret beside the assertion", bend: form("client_secret", "s"), code: request},
		{name: "an Authorization header", bend: func(a *attempt) { a.request = func(r *http.Request) { r.SetBasicAuth("a", "b") } }, code: request},

		{name: "no extensions", bend: unset("extensions"), code: grant},
		{name: "extensions a list", bend: set("extensions", []string{"hl7-b2b"}), code: client},
		{name: "another extension only", bend: set("extensions", map[string]any{"hl7-b2b-user": map[string]any{}}), code: grant},
		{name: "hl7-b2b null", bend: set("extensions", map[string]any{"hl7-b2b": nil}), code: grant},
		{name: "hl7-b2b empty", bend: set("extensions", map[string]any{"hl7-b2b": map[string]any{}}), code: grant},
		{name: "version missing", bend: b2b(drop("version")), code: grant},
		{name: "version 2", bend: b2b(put("version", "2")), code: grant},
		{name: "organization_id missing", bend: b2b(drop("organization_id")), code: grant},
		{name: "organization_id of somebody else", bend: b2b(put("organization_id", "https://victim.example.org")), code: grant},
		{name: "organization_id of another identifier of that system", bend: b2b(put("organization_id", udapOrg+"0")), code: grant},
		{name: "purpose missing", bend: b2b(drop("purpose_of_use")), code: grant},
		{name: "purpose empty", bend: b2b(put("purpose_of_use", []string{})), code: grant},
		{name: "purpose of marketing", bend: b2b(put("purpose_of_use", []string{"urn:oid:2.16.840.1.113883.5.8#HMARKT"})), code: grant},
		{name: "a purpose of marketing among others", bend: b2b(put("purpose_of_use", []string{"urn:oid:2.16.840.1.113883.5.8#TREAT", "urn:oid:2.16.840.1.113883.5.8#HMARKT"})), code: grant},
		{name: "NPI with a wrong check digit", bend: b2b(put("subject_id", "1234567890")), code: grant},
		{name: "NPI of nobody", bend: b2b(put("subject_id", npiNobody)), code: grant},
		{name: "NPI out of network", bend: b2b(put("subject_id", npiOut)), code: grant},
		{name: "NPI deactivated", bend: b2b(put("subject_id", npiOff)), code: grant},
		{name: "NPI as an unknown URI", bend: b2b(put("subject_id", "urn:oid:1.2.3#"+npiGood)), code: grant},
		{name: "NPI URI without digits", bend: b2b(put("subject_id", "urn:oid:2.16.840.1.113883.4.6#")), code: grant},
		{name: "Group of another client", bend: b2b(put("subject_id", foreign.ID)), code: grant},
		{name: "Group that has expired", bend: b2b(put("subject_id", over.ID)), code: grant},
		{name: "Group that never was", bend: b2b(put("subject_id", models.NewID())), code: grant},
		{name: "subject with an SQL fragment", bend: b2b(put("subject_id", "x' OR '1'='1")), code: grant},
		{name: "a member nobody knows", bend: b2b(put("subject", "x")), code: grant},
		{name: "scope outside the registration", bend: form("scope", "system/Observation.rs"), code: "invalid_scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			who, of := tt.id, tt.of
			if who == nil {
				who = b.client
			}
			if of == "" {
				of = id
			}
			a := b.udapAttempt(of, who)
			if tt.bend != nil {
				tt.bend(a)
			}
			w := a.send(t, b.server)
			require.Equal(t, http.StatusBadRequest, w.Code, w.Body)
			var answer map[string]string
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			require.Equal(t, tt.code, answer["error"], answer["error_description"])
			require.NotContains(t, answer, "access_token")
			if tt.code == client {
				require.JSONEq(t, `{"error":"invalid_client","error_description":"client authentication failed"}`, w.Body.String())
			}
		})
	}
	a := b.udapAttempt(id, b.client)
	a.form.Set("client_assertion", a.assertion(t))
	require.Equal(t, http.StatusOK, a.send(t, b.server).Code)
	require.Equal(t, http.StatusBadRequest, a.send(t, New(b.config, b.store)).Code, "replayed at another process")
}
