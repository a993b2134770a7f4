package conformance

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
)

var errorChecks = []check{
	{id: "ER-01", about: "400, 401, 403, 404 and 410 or 404 for what has gone", run: func(t *T) {
		c := t.backend()
		t.refused("400", t.call(c, http.MethodGet, "$export?_since=x", async(), nil), 400)
		t.refused("401", t.call(t.anonymous(), http.MethodGet, "$export", async(), nil), 401)
		t.refused("403", t.call(t.narrow("system/Patient.rs"), http.MethodGet, "$export?_type=Observation", async(), nil), 403)
		t.refused("404", t.get(c, "Group/"+uuid.NewString()), 404)
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		t.must(x.job.Delete(t.ctx))
		t.refused("gone", t.get(c, x.job.StatusURL), 410, 404)
	}},
	{id: "ER-02", about: "errors on FHIR paths are OperationOutcomes in application/fhir+json", run: func(t *T) {
		c := t.backend()
		for _, path := range []string{"$export?nonesuch=1", "Group/nonesuch", "Group/nonesuch/$export", "nonesuch", "$nonesuch", "metadata?_format=xml"} {
			t.refused(path, t.call(c, http.MethodGet, path, async(), nil), 400, 404, 406)
		}
	}},
	{id: "ER-03", about: "no token, or a bad one: 401, OperationOutcome, WWW-Authenticate", run: func(t *T) {
		for _, token := range []string{"", "Bearer x", "Basic eDp5"} {
			h := async()
			if token != "" {
				h.Set("Authorization", token)
			}
			a := t.call(t.anonymous(), http.MethodGet, "$export", h, nil)
			t.refused("Authorization: "+token, a, 401)
			t.check(strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer"), "WWW-Authenticate is %q", a.header.Get("WWW-Authenticate"))
		}
	}},
	{id: "ER-04", about: "a scope that is too small: 403 with an OperationOutcome", run: func(t *T) {
		t.refused("_type=Observation", t.call(t.narrow("system/Patient.rs"), http.MethodGet, "Patient/$export?_type=Observation", async(), nil), 403, 404)
	}},
	{id: "ER-05", about: "a bad match bundle is a 422", run: func(t *T) {
		request, _ := t.request(31, 1)
		t.refused("no Consent", t.postMatch(t.payer(), dropPart(request, "Consent")), 422)
	}},
	{id: "ER-06", about: "a consent that does not carry is no HTTP error", run: func(t *T) {
		t.check(len(t.matrix().group(codeConstrained).Get("member").Array()) > 0, "a request with bad consents constrained nobody")
	}},
	{id: "ER-07", about: "415, 400, 404 and 405 as OperationOutcomes", run: func(t *T) {
		c := t.backend()
		t.refused("text/plain", t.call(c, http.MethodPost, "$export", with("Content-Type", "text/plain"), body("")), 415)
		t.refused("bad JSON", t.call(c, http.MethodPost, "$export", posting(), []byte("{")), 400)
		t.refused("unknown route", t.call(c, http.MethodGet, "nonesuch/nonesuch", async(), nil), 404)
		t.refused("wrong method", t.call(c, http.MethodPut, "$export", posting(), body("")), 405)
		t.check(t.call(c, http.MethodPut, "$export", posting(), body("")).header.Get("Allow") != "", "a 405 without Allow")
	}},
	{id: "ER-09", about: "the endpoints for tokens and registration answer OAuth errors", run: func(t *T) {
		t.oauthError(t.token(url.Values{}), "invalid_request", "unsupported_grant_type")
		for _, endpoint := range []string{"introspection_endpoint", "revocation_endpoint"} {
			if url := t.configuration().get(endpoint).Str; url != "" {
				t.oauthError(t.send(url, "application/x-www-form-urlencoded", "token=x"), "invalid_request", "invalid_client")
			}
		}
		if url := t.configuration().get("registration_endpoint").Str; url != "" {
			t.oauthError(t.send(url, "application/json", "{}"), "invalid_token", "invalid_request")
			t.oauthError(t.send(url, "application/json", `{"udap":"1","software_statement":"x"}`), "invalid_software_statement", "unapproved_software_statement")
		}
	}},
}

// bulkDefinitions are the canonical definitions of the exports.
const bulkDefinitions = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"

var capabilityChecks = []check{
	{id: "CP-01", about: "metadata without a token: a CapabilityStatement of FHIR 4.0.1", run: func(t *T) {
		a := t.get(t.anonymous(), "metadata")
		t.check(a.status == http.StatusOK && a.media() == "application/fhir+json", "%d with %q", a.status, a.header.Get("Content-Type"))
		t.check(a.get("resourceType").Str == "CapabilityStatement" && a.get("fhirVersion").Str == "4.0.1" && a.get("kind").Str == "instance", "it is another")
		t.check(strings.Contains(a.get("format").Raw, "json"), "format names no JSON")
	}},
	{id: "CP-02", about: "each operation is named with its definition, and those named are served", run: func(t *T) {
		group, patient, all := t.operations("Group"), t.operations("Patient"), t.operations("")
		t.check(all["export"] == bulkDefinitions+"export", "the system's export is missing")
		t.check(patient["export"] == bulkDefinitions+"patient-export" || patient["patient-export"] == bulkDefinitions+"patient-export", "Patient's is missing")
		t.check(group["export"] == bulkDefinitions+"group-export" || group["group-export"] == bulkDefinitions+"group-export", "Group's is missing")
		t.check(strings.HasSuffix(group["davinci-data-export"], "/davinci-data-export"), "davinci-data-export is missing")
		t.check(strings.HasSuffix(group["bulk-member-match"], "/BulkMemberMatch"), "bulk-member-match is missing")
		a := t.call(t.backend(), http.MethodPost, "Group/$provider-member-match", posting(), body(""))
		served := a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed
		t.check(served == (group["provider-member-match"] != ""), "provider-member-match is served: %t, and named otherwise", served)
	}},
	{id: "CP-03", about: "instantiates names the Bulk Data server", run: func(t *T) {
		a := t.get(t.anonymous(), "metadata")
		t.check(strings.Contains(a.get("instantiates").Raw, `"http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"`), "it does not")
	}},
	{id: "CP-04", about: "the exported types are listed, with the search parameters of _typeFilter", run: func(t *T) {
		a := t.get(t.anonymous(), "metadata")
		for typ := range t.everything().lines {
			t.check(a.get(`rest.0.resource.#(type=="`+typ+`").type`).Exists(), "%s is exported and not listed", typ)
		}
		for _, filter := range searches {
			typ, rest, _ := strings.Cut(filter, "?")
			name, _, _ := strings.Cut(rest, "=")
			found := a.get(`rest.0.resource.#(type=="` + typ + `").searchParam.#(name=="` + name + `").name`)
			t.check(found.Exists(), "%s is not listed with the search parameter %s, which _typeFilter takes", typ, name)
		}
	}},
	{id: "CP-05", about: "what exports do not support is marked", run: func(t *T) {
		a := t.get(t.anonymous(), "metadata")
		if !strings.Contains(string(a.body), "Extension/operation-not-supported") {
			t.na("nothing is marked with operation-not-supported")
		}
	}},
	{id: "CP-06", about: "the security services are SMART-on-FHIR and, where it is on, UDAP", run: func(t *T) {
		a := t.get(t.anonymous(), "metadata")
		services := a.get("rest.0.security.service").Raw
		t.check(strings.Contains(services, "SMART-on-FHIR"), "SMART-on-FHIR is not named")
		on := t.call(t.anonymous(), http.MethodGet, ".well-known/udap", nil, nil).status == http.StatusOK
		t.check(on == strings.Contains(services, `"UDAP"`), "UDAP is named, or not, against what is served")
	}},
}
