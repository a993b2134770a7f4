package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pdexbulk/dev/client"
	"pdexbulk/models"
)

const p2p = "hl7.fhir.us.davinci-pdex#payertopayer"

var kickoffChecks = []check{
	{id: "KO-01", about: "kick-off answers 202 and no data", run: func(t *T) {
		a := t.accepted(t.backend(), http.MethodGet, "$export", async(), nil)
		t.check(len(a.body) == 0 || a.get("resourceType").Str == "OperationOutcome", "the 202 has a body that is no OperationOutcome")
	}},
	{id: "KO-02", about: "202 with one absolute Content-Location that can be polled", run: func(t *T) {
		c := t.backend()
		a := t.call(c, http.MethodGet, "$export?_type=Organization", async(), nil)
		t.check(a.status == http.StatusAccepted, "status %d", a.status)
		t.check(len(a.header.Values("Content-Location")) == 1, "%d Content-Location headers", len(a.header.Values("Content-Location")))
		u, err := url.Parse(a.header.Get("Content-Location"))
		t.check(err == nil && u.Host != "" && strings.HasPrefix(u.Scheme, "http"), "Content-Location is no absolute http URL")
		polled := t.get(c, u.String())
		t.check(polled.status == http.StatusOK || polled.status == http.StatusAccepted, "polling it answers %d", polled.status)
	}},
	{id: "KO-03", about: "the body of a 202 is empty or an OperationOutcome", run: func(t *T) {
		a := t.accepted(t.backend(), http.MethodGet, "$export", async(), nil)
		if len(a.body) > 0 {
			t.outcome("kick-off", a)
		}
	}},
	{id: "KO-04", about: "GET starts $export at every level", run: func(t *T) {
		c := t.backend()
		t.accepted(c, http.MethodGet, "$export", async(), nil)
		t.accepted(c, http.MethodGet, "Patient/$export", async(), nil)
		if t.world.sys != nil || t.world.o.GroupID != "" {
			g, id := t.group()
			t.accepted(g, http.MethodGet, "Group/"+id+"/$export", async(), nil)
		}
	}},
	{id: "KO-05", about: "POST with a Parameters body starts $export", run: func(t *T) {
		c := t.backend()
		for _, media := range []string{"application/fhir+json", "application/json", "application/fhir+json; charset=utf-8"} {
			t.accepted(c, http.MethodPost, "Patient/$export", with("Content-Type", media), body(named("_type", "Patient")))
		}
		t.accepted(c, http.MethodPost, "$export", posting(), body(""))
	}},
	{id: "KO-06", about: "without Accept: 202, or 4xx with an OperationOutcome", run: func(t *T) { t.acceptedOrRefused("$export", with("Accept", "")) }},
	{id: "KO-07", about: "without Prefer: 202, or 4xx with an OperationOutcome", run: func(t *T) { t.acceptedOrRefused("$export", with("Prefer", "")) }},
	{id: "KO-08", about: "handling=lenient: an unsupported parameter does not stop the export", run: func(t *T) {
		t.acceptedOrRefused("$export?_type=Patient,Nonesuch&nonesuch=1", lenient())
	}},
	{id: "KO-09", about: "the manifest's error tells of each parameter that was ignored", run: func(t *T) {
		c := t.backend()
		job := t.start(c, http.MethodGet, "$export", url.Values{"_type": {"Organization,Nonesuch"}, "nonesuch": {"1"}}, lenient(), nil)
		x := t.finish(c, job)
		t.check(x.names("_type") && x.names("nonesuch"), "the %d lines of error do not name both parameters", len(x.errors))
	}},
	{id: "KO-10", about: "a token for Patient gets nothing but Patients, or is refused", run: func(t *T) {
		c := t.narrow("system/Patient.rs")
		a := t.call(c, http.MethodGet, "$export", async(), nil)
		if a.status >= 400 {
			t.refused("an export", a, http.StatusForbidden)
			return
		}
		x := t.finish(c, c.Job(a.header.Get("Content-Location")))
		t.check(len(x.lines) == 1 && len(x.lines["Patient"]) > 0, "the output holds %s", x.types())
	}},
	{id: "KO-11", about: "handshakes with TLS 1.0 and 1.1 are refused, with 1.2 and 1.3 they are not", run: tlsVersions},
	{id: "KO-12", about: "_type twice is _type with a comma", run: func(t *T) {
		c := t.backend()
		twice := t.export(c, "$export", url.Values{"_type": {"Organization", "Practitioner"}})
		comma := t.export(c, "$export", url.Values{"_type": {"Organization,Practitioner"}})
		t.same(twice, comma, "Organization", "Practitioner")
	}},
	{id: "KO-13", about: "errors at kick-off are 4xx with an OperationOutcome", run: func(t *T) {
		c := t.backend()
		for _, path := range []string{"$export?_since=yesterday", "$export?_outputFormat=text/csv", "$export?_type=Nonesuch", "$export?nonesuch=1"} {
			t.refused(path, t.call(c, http.MethodGet, path, async(), nil), http.StatusBadRequest, http.StatusUnprocessableEntity)
		}
		t.refused("XML", t.call(c, http.MethodGet, "$export", with("Accept", "application/fhir+xml"), nil), 400, 406)
	}},
	{id: "KO-14", about: "a Group export holds its members' compartments and what supports them", run: func(t *T) {
		c, id := t.group()
		x := t.export(c, "Group/"+id+"/$export", nil)
		t.check(len(x.lines["Patient"]) > 0, "there are no Patients")
		patients := x.ids("Patient")
		for _, line := range x.all() {
			for _, path := range []string{"subject.reference", "patient.reference", "beneficiary.reference"} {
				ref := line.Get(path).Str
				id, ok := strings.CutPrefix(ref, "Patient/")
				t.check(!ok || patients[id], "a %s is of a Patient that is not in the output", line.Get("resourceType").Str)
			}
		}
	}},
	{id: "KO-15", about: "Practitioners and Organizations that are referred to come along", run: func(t *T) {
		x := t.special()
		t.check(x.ids("Practitioner")["cx-prac"], "a performer is not in the output")
		t.check(x.ids("Organization")["cx-org"], "a managing organisation is not in the output")
	}},
	{id: "KO-16", about: "a Binary of a patient's leaves as an attachment of a DocumentReference", run: func(t *T) {
		x := t.special()
		t.check(len(x.lines["Binary"]) == 0, "there are Binary lines")
		t.check(x.attachment("cx-linked").Get("url").Exists(), "its DocumentReference has no url")
	}},
	{id: "KO-17", about: "separate-export-status is confirmed in Preference-Applied", run: func(t *T) { t.separateStatus() }},
}

// acceptedOrRefused wants 202, or a 4xx with an OperationOutcome.
func (t *T) acceptedOrRefused(path string, h http.Header) {
	c := t.backend()
	a := t.call(c, http.MethodGet, path, h, nil)
	if a.status == http.StatusAccepted {
		t.call(c, http.MethodDelete, a.header.Get("Content-Location"), nil, nil)
		return
	}
	t.refused("kick-off", a, 400, 403, 406, 422)
}

// names reports whether the error files tell of a parameter.
func (x *export) names(parameter string) bool {
	for _, line := range x.errors {
		if strings.Contains(line.Raw, parameter) {
			return true
		}
	}
	return false
}

// same wants two exports to have the same resources of the types, and no others.
func (t *T) same(x, y *export, types ...string) {
	for _, e := range []*export{x, y} {
		t.check(len(e.lines) == len(types), "the output holds %s", e.types())
	}
	for _, typ := range types {
		a, b := x.ids(typ), y.ids(typ)
		t.check(len(a) > 0 && len(a) == len(b), "%d and %d of %s", len(a), len(b), typ)
		for id := range a {
			t.check(b[id], "a %s is in one only", typ)
		}
	}
}

// separateStatus starts an export with the preference of that name. Where the server does not confirm it, it is not offered.
func (t *T) separateStatus() (*client.Client, string) {
	c := t.backend()
	a := t.call(c, http.MethodGet, "$export?_type=Organization", with("Prefer", "respond-async, separate-export-status"), nil)
	t.check(a.status == http.StatusAccepted, "the preference, which may be ignored, is answered with %d", a.status)
	applied := a.header.Get("Preference-Applied")
	if !strings.Contains(applied, "separate-export-status") {
		t.na("separate-export-status is not offered: no Preference-Applied")
	}
	t.check(strings.Contains(applied, "respond-async"), "Preference-Applied leaves respond-async out")
	return c, a.header.Get("Content-Location")
}

// tlsVersions looks at how TLS is spoken: by the server whose URL was given, or by an api of our own that ends TLS itself.
func tlsVersions(t *T) {
	base, trust := t.world.base, (*x509.CertPool)(nil)
	if t.world.sys != nil {
		root, roots, api, err := t.world.sys.StartTLSAPI(t.ctx)
		t.must(err)
		defer func() { _ = api.Stop(context.WithoutCancel(t.ctx), syscall.SIGTERM, 10*time.Second) }() // else it ends with the system
		base, trust = root, roots
	}
	u, err := url.Parse(base)
	t.must(err)
	if u.Scheme != "https" {
		t.na("the base URL is plain http, which is for development")
	}
	host := u.Host
	if u.Port() == "" {
		host += ":443"
	}
	handshake := func(version uint16) error {
		d := tls.Dialer{Config: &tls.Config{MinVersion: version, MaxVersion: version, RootCAs: trust}}
		conn, err := d.DialContext(t.ctx, "tcp", host)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		err := handshake(version)
		t.check(err != nil && strings.Contains(err.Error(), "protocol version"), "%s is not refused", tls.VersionName(version))
	}
	t.must(handshake(tls.VersionTLS12))
	t.must(handshake(tls.VersionTLS13))
}

var dataExportChecks = []check{
	{id: "KD-01", about: "POST on a Group starts it; on the type there is nothing", run: func(t *T) {
		c, id := t.group()
		t.accepted(c, http.MethodPost, "Group/"+id+"/$davinci-data-export", posting(), body(""))
		t.refused("type level", t.call(c, http.MethodPost, "Group/$davinci-data-export", posting(), body("")), 404, 405)
	}},
	{id: "KD-02", about: "POST with Parameters, and with no body at all", run: func(t *T) {
		c, id := t.group()
		t.accepted(c, http.MethodPost, "Group/"+id+"/$davinci-data-export", posting(), body(named("exportType", p2p)))
		t.accepted(c, http.MethodPost, "Group/"+id+"/$davinci-data-export", async(), nil)
	}},
	{id: "KD-03", about: "GET with exportType in the query", run: func(t *T) {
		c, id := t.group()
		t.accepted(c, http.MethodGet, "Group/"+id+"/$davinci-data-export?exportType="+url.QueryEscape(p2p), async(), nil)
	}},
	{id: "KD-04", about: "with Prefer: respond-async 202; without it 202 or 4xx with an OperationOutcome", run: func(t *T) {
		c, id := t.group()
		path := "Group/" + id + "/$davinci-data-export"
		t.accepted(c, http.MethodPost, path, posting(), body(""))
		if a := t.call(c, http.MethodPost, path, with("Prefer", ""), nil); a.status != http.StatusAccepted {
			t.refused("without Prefer", a, http.StatusBadRequest)
		}
	}},
	{id: "KD-05", about: "the owner may export a Group, another client gets 404 or 403", run: func(t *T) {
		p := t.payers()
		t.accepted(p.a, http.MethodPost, "Group/"+p.groupA+"/$davinci-data-export", posting(), body(""))
		t.refused("another's Group", t.call(p.b, http.MethodPost, "Group/"+p.groupA+"/$davinci-data-export", posting(), body("")), 404, 403)
	}},
	{id: "KD-06", about: "status, manifest and files are those of a Bulk Data export", run: func(t *T) {
		c, id := t.group()
		x := t.post(c, "Group/"+id+"/$davinci-data-export", "")
		t.check(len(x.lines["Patient"]) > 0, "there are no Patients")
		t.manifest(t.get(c, x.job.StatusURL))
	}},
	{id: "KD-08", about: "one route takes the parameters of both definitions; the type level is refused", run: func(t *T) {
		c, id := t.group()
		t.accepted(c, http.MethodPost, "Group/"+id+"/$davinci-data-export", posting(),
			body(named("_outputFormat", "application/fhir+ndjson")+","+named("_elements", "id")+","+named("_type", "Patient")+","+named("exportType", p2p)))
		t.refused("type level", t.call(c, http.MethodPost, "Group/$davinci-data-export", posting(), body("")), 400, 404, 405)
	}},
}

// operations returns the operations that the CapabilityStatement names on a type, "" for the system: name to definition.
func (t *T) operations(typ string) map[string]string {
	out := map[string]string{}
	a := t.get(t.anonymous(), "metadata")
	found := a.get("rest.0.operation")
	if typ != "" {
		found = a.get(`rest.0.resource.#(type=="` + typ + `").operation`)
	}
	for _, op := range found.Array() {
		out[op.Get("name").Str] = op.Get("definition").Str
	}
	return out
}

var matchChecks = []check{
	{id: "KM-01", about: "POST Group/$bulk-member-match 202, GET 4xx", run: func(t *T) {
		c := t.payer()
		request, _ := t.request(21, 2)
		t.accepted(c, http.MethodPost, "Group/$bulk-member-match", posting(), request)
		t.refused("GET", t.call(c, http.MethodGet, "Group/$bulk-member-match", async(), nil), 405, 400, 404)
	}},
	{id: "KM-03", about: "without Prefer: respond-async 400", run: func(t *T) {
		request, _ := t.request(22, 2)
		h := posting()
		h.Del("Prefer")
		t.refused("without Prefer", t.call(t.payer(), http.MethodPost, "Group/$bulk-member-match", h, request), 400)
	}},
	{id: "KM-04", about: "the body is Parameters with a MemberBundle; else 422, and 400 for what is no JSON", run: func(t *T) {
		c := t.payer()
		for _, text := range []string{`{"resourceType":"Parameters"}`, `{"resourceType":"Parameters","parameter":[]}`, `{"resourceType":"Bundle","type":"collection"}`, `[]`} {
			t.refused(text, t.postMatch(c, []byte(text)), 422)
		}
		t.refused("no JSON", t.postMatch(c, []byte(`{"resourceType":`)), 400)
	}},
	{id: "KM-05", about: "each of the three parts missing or twice is a 422 that says where", run: func(t *T) {
		c := t.payer()
		request, _ := t.request(23, 2)
		for _, name := range []string{"MemberPatient", "CoverageToMatch", "Consent"} {
			for what, text := range map[string][]byte{"missing": dropPart(request, name), "twice": doublePart(request, name)} {
				a := t.postMatch(c, text)
				t.refused(name+" "+what, a, 422)
				t.check(strings.Contains(a.get("issue.0.expression.0").Str, "[1]"), "%s %s: no expression says where", name, what)
			}
		}
	}},
	{id: "KM-06", about: "CoverageToLink may be there or not", run: func(t *T) {
		c := t.payer()
		request, _ := t.request(24, 1)
		t.accepted(c, http.MethodPost, "Group/$bulk-member-match", posting(), dropPart(request, "CoverageToLink"))
		linked := strings.Replace(string(dropPart(request, "CoverageToLink")), `"name":"CoverageToMatch"`, `"name":"CoverageToLink","resource":{"resourceType":"Coverage"}},{"name":"CoverageToMatch"`, 1)
		t.accepted(c, http.MethodPost, "Group/$bulk-member-match", posting(), []byte(linked))
	}},
	{id: "KM-07", about: "a part of another type is a 422", run: func(t *T) {
		request, _ := t.request(25, 1)
		other := bytes.Replace(request, []byte(`{"resourceType":"Patient"`), []byte(`{"resourceType":"Observation"`), 1)
		t.refused("an Observation as MemberPatient", t.postMatch(t.payer(), other), 422)
	}},
	{id: "KM-08", about: "one bad bundle refuses the whole request with 422", run: func(t *T) {
		c := t.payer()
		request, _ := t.request(26, 3)
		a := t.postMatch(c, dropPart(request, "Consent"))
		t.refused("a bundle without Consent", a, 422)
		t.check(a.header.Get("Content-Location") == "", "a job was made all the same")
	}},
	{id: "KM-09", about: "without a token 401 with a challenge, without the scope 403", run: func(t *T) {
		request, _ := t.request(27, 1)
		a := t.postMatch(t.anonymous(), request)
		t.refused("no token", a, 401)
		t.check(a.header.Get("WWW-Authenticate") != "", "there is no WWW-Authenticate")
		c := t.register("check-km-09-narrow", models.ClientPayer, allData)
		t.refused("no scope for the operation", t.postMatch(c, request), 403)
	}},
	{id: "KM-12", about: "a request for one person is asynchronous too", run: func(t *T) {
		request, _ := t.request(28, 1)
		t.accepted(t.payer(), http.MethodPost, "Group/$bulk-member-match", posting(), request)
	}},
	{id: "KM-13", about: "a request for one person runs to its end", run: func(t *T) {
		request, _ := t.request(29, 1)
		t.match(t.payer(), request).matched(t)
	}},
	{id: "KM-15", about: "a request over the limit of members is a 413 or 422 that states it", run: func(t *T) {
		request, _ := t.request(30, 1)
		many := change(request, func(bundles []any) []any {
			for len(bundles) <= matchMembers {
				bundles = append(bundles, bundles[0])
			}
			return bundles
		})
		a := t.postMatch(t.payer(), many)
		t.refused("over the limit", a, 413, 422)
		t.check(strings.Contains(a.get("issue.0.diagnostics").Str, strconv.Itoa(matchMembers)), "the limit is not stated")
	}},
}
