package conformance

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

// A clinic and its doctor, and somebody whom the directory does not know.
const (
	clinicNPI      = "1982947230"
	doctorNPI      = "1679576722"
	nobodyNPI      = "1003000126"
	providerMatch  = "Group/$provider-member-match"
	providerScope  = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/ProviderMemberMatch"
	attested       = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/provider-treatment-relationship-consent"
	portalScope    = "system/Consent.crs"
	profiles       = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/"
	providerExport = "hl7.fhir.us.davinci-pdex#provider-"
)

// attestation is what the doctor says of a patient.
func attestation(npi string) doc {
	return doc{
		"resourceType": "Consent", "id": "attestation", "status": "active", "meta": doc{"profile": []any{attested}}, "patient": doc{"reference": "Patient/unresolved"},
		"dateTime": "2026-01-15T10:00:00Z", "performer": []any{doc{"identifier": doc{"system": seed.NPISystem, "value": npi}}},
		"provision": doc{"type": "permit", "period": doc{"start": "2026-01-15"}, "purpose": []any{doc{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}}},
	}
}

// treated are the people of the provider's match: what is done before it, and what must become of them, when opt-outs are told.
var treated = []struct {
	name    string
	optOut  doc // scope and target
	related bool
	until   string // of the relationship
	change  func(attestation doc)
	want    string
}{
	{name: "plain", related: true, want: codeMatched},
	{name: "plain too", related: true, want: codeMatched},
	{name: "global", optOut: doc{"scope": "global"}, related: true, want: codeConstrained},
	{name: "from the doctor", optOut: doc{"scope": "provider-specific", "target": doctorNPI}, related: true, want: codeConstrained},
	{name: "from the clinic", optOut: doc{"scope": "provider-specific", "target": seed.NPISystem + "|" + clinicNPI}, related: true, want: codeConstrained},
	{name: "from another", optOut: doc{"scope": "provider-specific", "target": nobodyNPI}, related: true, want: codeMatched},
	{name: "from treatment", optOut: doc{"scope": "purpose-specific", "target": "TREAT"}, related: true, want: codeConstrained},
	{name: "from payment", optOut: doc{"scope": "purpose-specific", "target": "HPAYMT"}, related: true, want: codeMatched},
	{name: "from the payer", optOut: doc{"scope": "payer-specific", "target": seed.NAICSystem + "|" + seed.PayerNAIC}, related: true, want: codeConstrained},
	{name: "from internists", optOut: doc{"scope": "provider-category", "target": "207R00000X"}, related: true, want: codeConstrained},
	{name: "from surgeons", optOut: doc{"scope": "provider-category", "target": "208600000X"}, related: true, want: codeMatched},
	{name: "unrelated", want: codeNoMatch},
	{name: "related once", related: true, until: "2025-06-30T00:00:00Z", want: codeNoMatch},
	{name: "unrelated and opted out", optOut: doc{"scope": "global"}, want: codeConstrained},
	{name: "in error", related: true, change: func(a doc) { a["status"] = "entered-in-error" }, want: codeNoMatch},
	{name: "over", related: true, change: func(a doc) { a["provision"].(doc)["period"] = doc{"start": "2020-01-01", "end": "2020-12-31"} }, want: codeNoMatch},
	{name: "undated", related: true, change: func(a doc) { delete(a, "dateTime") }, want: codeNoMatch},
	{name: "of another profile", related: true, change: func(a doc) { delete(a, "meta") }, want: codeNoMatch},
	{name: "of an unknown", related: true, change: func(a doc) { a["performer"] = attestation(nobodyNPI)["performer"] }, want: codeNoMatch},
}

// care is what a provider's matches and exports came to.
type care struct {
	clinic        *client.Client
	ours          map[string]string // our Patient ids by the names of treated
	submitted     map[string]string
	optOuts       map[string]string // ids
	hidden, told  matchResult       // the same request, while opt-outs are hidden and while they are told
	attested      matchResult       // while an attestation is enough
	group         string            // matched, of hidden
	before, after []string          // Patients exported before and after an opt-out of "plain"
	errors        int               // in the manifest after it
	late          answer            // for a file that was written before it
	back          []string          // after it was revoked and matched anew
	unlisted      []string          // after the relationship of "plain too" was taken away
	all           *exchange         // of many members, while an attestation is enough
}

func (t *T) admin(method, path string, in, out any) {
	t.must(t.ours().Admin(t.ctx, method, path, in, out))
}

// patients are the ids of the Patients that an export of a provider's Group has.
func (t *T) patients(c *client.Client, group string) (*export, []string) {
	x := t.post(c, "Group/"+group+"/$davinci-data-export", named("exportType", providerExport+"download")+","+named("_type", "Patient"))
	var ids []string
	for _, p := range x.lines["Patient"] {
		ids = append(ids, p.Get("id").Str)
	}
	return x, ids
}

func (t *T) care() *care {
	t.ours()
	return t.world.care.get(func() *care {
		x := &care{ours: map[string]string{}, submitted: map[string]string{}, optOuts: map[string]string{}}
		t.admin(http.MethodPut, "/admin/providers/"+doctorNPI, doc{"kind": "individual", "active": true, "inNetwork": true, "taxonomies": []any{"207R00000X"}, "organizations": []any{clinicNPI}}, nil)
		t.admin(http.MethodPut, "/admin/providers/"+clinicNPI, doc{"kind": "organization", "active": true, "inNetwork": true, "taxonomies": []any{"261QM2500X"}}, nil)
		p := system.Partner{
			ID: "clinic", Name: "clinic", Kind: models.ClientProvider, Scopes: []string{allData, providerScope}, Organization: "Clinic",
			OrganizationIDs: []string{seed.NPISystem + "|" + clinicNPI},
		}
		_, err := t.world.sys.RegisterKey(t.ctx, p, t.world.key)
		t.must(err)
		x.clinic = t.world.client(p.ID, t.world.key, allData+" "+providerScope)
		request, truth := t.request(61, 80)
		request = change(request, func(bundles []any) []any {
			var out []any
			for i, row := range truth {
				if len(out) == len(treated) || row.Expect != seed.Matched || slices.Contains(slices.Collect(values(x.ours)), row.Patient) {
					continue
				}
				one := treated[len(out)]
				a := attestation(doctorNPI)
				if one.change != nil {
					one.change(a)
				}
				for _, part := range bundles[i].(doc)["part"].([]any) {
					if part.(doc)["name"] == "Consent" {
						part.(doc)["resource"] = a
					}
				}
				x.ours[one.name], x.submitted[one.name] = row.Patient, resource(bundles[i], "MemberPatient")["id"].(string)
				out = append(out, bundles[i])
			}
			t.check(len(out) == len(treated), "there are not enough members for %d cases", len(treated))
			return out
		})
		relationship := map[string]string{}
		for _, one := range treated {
			var made struct{ ID string }
			if one.related {
				said := doc{"patient": x.ours[one.name], "npi": doctorNPI, "type": "active", "start": "2025-01-01T00:00:00Z"}
				if one.until != "" {
					said["end"] = one.until
				}
				t.admin(http.MethodPost, "/admin/relationships", said, &made)
				relationship[one.name] = made.ID
			}
			if one.optOut != nil {
				x.optOuts[one.name] = t.optOut(x.ours[one.name], one.optOut)
			}
		}
		match := func() matchResult {
			return matchResult{t.finish(x.clinic, t.start(x.clinic, http.MethodPost, providerMatch, nil, nil, request))}
		}
		x.hidden = match()
		x.group = x.hidden.matched(t).Get("id").Str
		line := func(hide bool, treatment string) {
			t.admin(http.MethodPut, "/admin/lines/default", doc{"hideOptOuts": hide, "treatment": treatment}, nil)
		}
		line(false, "both")
		x.told = match()
		line(true, "attestation-sufficient")
		x.attested = match()
		x.all = t.attestedAll(x.clinic)
		line(true, "both")
		var first, second *export
		first, x.before = t.patients(x.clinic, x.group)
		id := t.optOut(x.ours["plain"], doc{"scope": "global"})
		x.late = t.get(x.clinic, first.m.Output[0].URL)
		second, x.after = t.patients(x.clinic, x.group)
		x.errors = len(second.errors)
		t.admin(http.MethodPost, "/admin/opt-outs/"+id+"/revoke", doc{"reason": "member-choice"}, nil)
		_, x.back = t.patients(x.clinic, match().matched(t).Get("id").Str)
		t.admin(http.MethodDelete, "/admin/relationships/"+relationship["plain too"], nil, nil)
		_, x.unlisted = t.patients(x.clinic, x.group)
		return x
	})
}

// attestedAll matches and exports many members for whom the doctor attests.
func (t *T) attestedAll(c *client.Client) *exchange {
	request, truth := t.request(63, 40)
	request = change(request, func(bundles []any) []any {
		for _, b := range bundles {
			for _, part := range b.(doc)["part"].([]any) {
				if part.(doc)["name"] == "Consent" {
					part.(doc)["resource"] = attestation(doctorNPI)
				}
			}
		}
		return bundles
	})
	group := matchResult{t.finish(c, t.start(c, http.MethodPost, providerMatch, nil, nil, request))}.matched(t).Get("id").Str
	x := &exchange{export: t.post(c, "Group/"+group+"/$davinci-data-export", named("exportType", providerExport+"download")), group: group}
	there := x.ids("Patient")
	for _, row := range truth { // whom no consent between payers lets go may go to a provider
		if there[row.Patient] {
			x.truth = append(x.truth, row)
			delete(there, row.Patient)
		}
	}
	t.check(len(x.truth) > 10 && len(there) == 0, "of the members asked for %d are exported, and %d others", len(x.truth), len(there))
	return x
}

func values(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

func (t *T) optOut(patient string, what doc) string {
	var made struct{ ID string }
	body := doc{"patient": patient, "reason": "privacy-concern"}
	maps.Copy(body, what)
	t.admin(http.MethodPost, "/admin/opt-outs", body, &made)
	return made.ID
}

// in wants people in one bucket while opt-outs are told, and those who opted out in that of the not matched while they are hidden.
func (x *care) in(t *T, names ...string) {
	for _, name := range names {
		for _, one := range treated {
			if one.name != name {
				continue
			}
			told, hidden := x.told.bucket(x.submitted[name]), x.hidden.bucket(x.submitted[name])
			want := one.want
			t.check(len(told) == 1 && told[0] == want, "%s: %v instead of %s", name, told, want)
			if want == codeConstrained {
				want = codeNoMatch
			}
			t.check(len(hidden) == 1 && hidden[0] == want, "%s, hidden: %v instead of %s", name, hidden, want)
		}
	}
}

// people is a check that people came where they belong.
func people(names ...string) func(t *T) { return func(t *T) { t.care().in(t, names...) } }

func profileOf(g gjson.Result) string {
	return strings.TrimPrefix(g.Get("meta.profile.0").Str, profiles)
}

var providerChecks = []check{
	{id: "KM-02", about: "POST Group/$provider-member-match 202, GET 4xx", run: func(t *T) {
		x := t.care()
		t.refused("GET", t.call(x.clinic, http.MethodGet, providerMatch, async(), nil), 405, 400, 404)
	}},
	{id: "KD-09", about: "a second match makes another Group, and both can be used", run: func(t *T) {
		x := t.care()
		other := x.told.matched(t).Get("id").Str
		t.check(other != x.group, "it is the same Group")
		for _, id := range []string{x.group, other} {
			t.check(t.get(x.clinic, "Group/"+id).status == http.StatusOK, "a Group cannot be read")
		}
	}},
	{id: "PM-24", about: "exportTypes of a provider's Group", run: func(t *T) {
		x := t.care()
		path := "Group/" + x.group + "/$davinci-data-export"
		for _, typ := range []string{"download", "snapshot"} {
			t.accepted(x.clinic, http.MethodPost, path, posting(), body(named("exportType", providerExport+typ)))
		}
		for _, typ := range []string{p2p, providerExport + "everything"} {
			t.refused(typ, t.call(x.clinic, http.MethodPost, path, posting(), body(named("exportType", typ))), http.StatusBadRequest)
		}
	}},
	{id: "PM-25", about: "provider-delta without _since is a 400, with it a 202", run: func(t *T) {
		x := t.care()
		path := "Group/" + x.group + "/$davinci-data-export"
		delta := named("exportType", providerExport+"delta")
		t.refused("without", t.call(x.clinic, http.MethodPost, path, posting(), body(delta)), http.StatusBadRequest)
		t.accepted(x.clinic, http.MethodPost, path, posting(), body(delta+","+`{"name":"_since","valueInstant":"2026-01-01T00:00:00Z"}`))
	}},
	{id: "BK-05", about: "the profiles of a provider's Groups", run: func(t *T) {
		x := t.care()
		for code, want := range map[string]string{codeMatched: "pdex-provider-member-match", codeNoMatch: "pdex-provider-member-no-match", codeConstrained: "pdex-member-opt-out"} {
			t.check(profileOf(x.told.group(code)) == want, "%s is %s", code, profileOf(x.told.group(code)))
		}
	}},
	{id: "BK-12", about: "an opt-out comes before the treatment relationship", run: people("unrelated and opted out", "unrelated")},
	{id: "BK-13", about: "who passes all is matched, all others are not", run: func(t *T) {
		for _, one := range treated {
			t.care().in(t, one.name)
		}
	}},
	{id: "BK-14", about: "an attestation that does not hold is no match", run: people("in error", "over", "undated", "of another profile", "of an unknown")},
	{id: "BK-19", about: "Groups are told apart by their profile", run: func(t *T) {
		x := t.care()
		found := t.get(x.clinic, "Group?_profile="+url.QueryEscape(profiles+"pdex-provider-member-match"))
		t.check(found.get("total").Int() >= 2, "%d Groups are found", found.get("total").Int())
		none := t.get(x.clinic, "Group?_profile="+url.QueryEscape(profiles+"pdex-treatment-relationship"))
		t.check(none.status == http.StatusOK && none.get("total").Int() == 0, "there are others of the profile")
	}},
	{id: "BK-20", about: "a match makes no Group of treatment relationships", run: func(t *T) {
		for _, g := range t.care().told.lines["Group"] {
			t.check(profileOf(g) != "pdex-treatment-relationship", "there is one")
		}
	}},
	{id: "PV-01", about: "by default who opted out is like who is not known: same Group, same form", run: func(t *T) {
		x := t.care()
		x.in(t, "global", "unrelated")
		t.check(!x.hidden.group(codeConstrained).Exists(), "there is a Group of those who opted out")
		t.check(len(x.hidden.errors) == 0, "there are errors in the manifest")
		form := ""
		for _, m := range x.hidden.group(codeNoMatch).Get("member").Array() {
			var at []string
			m.Get("entity").ForEach(func(k, _ gjson.Result) bool { at = append(at, k.Str); return true })
			t.check(form == "" || form == strings.Join(at, " "), "entries differ in form")
			form = strings.Join(at, " ")
		}
	}},
	{id: "PV-02", about: "a line of business may tell of opt-outs; the Group has those of the request, and no reasons", run: func(t *T) {
		x := t.care()
		g := x.told.group(codeConstrained)
		t.check(g.Exists(), "there is no Group of those who opted out")
		t.check(!strings.Contains(g.Raw, "opt-out-reason") && !strings.Contains(g.Raw, "opt-out-details") && !strings.Contains(g.Raw, "privacy-concern"), "it tells of reasons")
		for name, id := range x.ours {
			t.check(!strings.Contains(g.Raw, `"Patient/`+id+`"`), "%s: our Patient id is told", name)
		}
		for _, m := range g.Get("member").Array() {
			t.check(slices.Contains(slices.Collect(values(x.submitted)), contained(g, m).Get("id").Str), "there is somebody nobody asked for")
		}
	}},
	{id: "GA-11", about: "Groups of opt-outs and treatment relationships are for the plan alone", run: func(t *T) {
		x := t.care()
		member := models.MemberID(x.ours["from the doctor"]).String()
		for path, id := range map[string]string{"/treatment-relationships": "treatment-" + member, "/opt-outs": "opt-outs-" + member} {
			var g struct{ ID string }
			t.admin(http.MethodGet, "/admin/members/"+member+path, nil, &g)
			t.check(g.ID == id, "the admin API shows %s", g.ID)
			t.refused("read", t.get(x.clinic, "Group/"+id), http.StatusNotFound)
			t.refused("export", t.call(x.clinic, http.MethodPost, "Group/"+id+"/$davinci-data-export", posting(), body(named("exportType", providerExport+"download"))), http.StatusNotFound)
			found := t.get(x.clinic, "Group?_id="+id)
			t.check(found.status == http.StatusOK && found.get("total").Int() == 0, "a search by id finds it")
		}
		for _, profile := range []string{"pdex-treatment-relationship", "pdex-member-opt-out"} {
			found := t.get(x.clinic, "Group?_profile="+url.QueryEscape(profiles+profile))
			t.check(found.status == http.StatusOK && !strings.Contains(string(found.body), "treatment-"+member) && !strings.Contains(string(found.body), "opt-outs-"+member), "a search finds it")
		}
	}},
	{id: "OP-01", about: "an opt-out counts at the next match", run: people("global", "plain")},
	{id: "OP-02", about: "a member opts out, and takes it back", run: func(t *T) {
		x := t.care()
		plain := x.ours["plain"]
		t.check(slices.Contains(x.before, plain) && !slices.Contains(x.after, plain) && slices.Contains(x.back, plain), "it did not come and go")
	}},
	{id: "OP-03", about: "a revoked opt-out stands no longer, and is told of as revoked", run: func(t *T) {
		x := t.care()
		var found struct{ Items []struct{ Member string } }
		t.admin(http.MethodGet, "/admin/opt-outs?revoked=false&limit=1000&member="+models.MemberID(x.ours["plain"]).String(), nil, &found)
		t.check(len(found.Items) == 0, "it stands")
		t.admin(http.MethodGet, "/admin/opt-outs?revoked=true&limit=1000&member="+models.MemberID(x.ours["plain"]).String(), nil, &found)
		t.check(len(found.Items) == 1, "its history is gone")
	}},
	{id: "OP-04", about: "the admin API lists opt-outs", run: func(t *T) {
		x := t.care()
		var found struct{ Items []struct{ ID string } }
		t.admin(http.MethodGet, "/admin/opt-outs?scope=global&limit=1000", nil, &found)
		t.check(slices.ContainsFunc(found.Items, func(i struct{ ID string }) bool { return i.ID == x.optOuts["global"] }), "it is not there")
	}},
	{id: "OP-05", about: "opt-outs are rows; no Group of them is asked for", run: people("global")},
	{id: "OP-06", about: "Consent.create: a deny opts out, a permit ends it, one is active", run: func(t *T) {
		x := t.care()
		portal := t.register("check-portal", models.ClientBackend, portalScope)
		patient := x.ours["from payment"]
		standing := func() int {
			var found struct{ Items []struct{ ID string } }
			t.admin(http.MethodGet, "/admin/opt-outs?scope=global&revoked=false&member="+models.MemberID(patient).String(), nil, &found)
			return len(found.Items)
		}
		say := func(typ string) {
			coding := func(system, code string) doc { return doc{"coding": []any{doc{"system": system, "code": code}}} }
			a := t.call(portal, http.MethodPost, "Consent", posting(), []byte(text(doc{
				"resourceType": "Consent", "status": "active", "meta": doc{"profile": []any{profiles + "pdex-provider-consent"}},
				"scope":    coding("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
				"category": []any{coding("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL"), coding("http://hl7.org/fhir/us/davinci-pdex/CodeSystem/pdex-consent-api-purpose", "provider-access")},
				"patient":  doc{"reference": "Patient/" + patient}, "performer": []any{doc{"reference": "Patient/" + patient}}, "organization": []any{doc{"display": "plan"}},
				"provision": doc{"type": typ, "period": doc{"start": "2026-01-01"}, "action": []any{coding("http://terminology.hl7.org/CodeSystem/consentaction", "disclose")}},
			})))
			t.check(a.status == http.StatusCreated, "%s: status %d", typ, a.status)
		}
		say("deny")
		t.check(standing() == 1, "a deny is no opt-out")
		say("permit")
		t.check(standing() == 0, "a permit does not end it")
		found := t.get(portal, "Consent?patient="+patient+"&category=provider-access&status=active")
		t.check(found.get("total").Int() == 1, "%d are active", found.get("total").Int())
	}},
	{id: "OP-07", about: "an unknown scope is refused", run: func(t *T) {
		err := t.ours().Admin(t.ctx, http.MethodPost, "/admin/opt-outs", doc{"patient": t.care().ours["plain"], "scope": "total", "reason": "other"}, nil)
		t.check(err != nil && strings.Contains(err.Error(), "422"), "%v", err)
	}},
	{id: "OP-08", about: "an opt-out from all hides from every provider", run: people("global")},
	{id: "OP-09", about: "an opt-out from a provider hides from that one", run: people("from the doctor", "from the clinic", "from another")},
	{id: "OP-10", about: "an opt-out from a purpose hides from requests for it", run: people("from treatment", "from payment")},
	{id: "OP-11", about: "an opt-out from a payer applies to its members", run: people("from the payer")},
	{id: "OP-12", about: "an opt-out from a kind of provider goes by taxonomy", run: people("from internists", "from surgeons")},
	{id: "OP-13", about: "an unknown reason is refused", run: func(t *T) {
		err := t.ours().Admin(t.ctx, http.MethodPost, "/admin/opt-outs", doc{"patient": t.care().ours["plain"], "scope": "global", "reason": "because"}, nil)
		t.check(err != nil && strings.Contains(err.Error(), "422"), "%v", err)
	}},
	{id: "OP-14", about: "targets decide", run: people("from the doctor", "from another", "from treatment", "from internists", "from surgeons")},
	{id: "TR-01", about: "without a relationship no match", run: people("unrelated", "plain")},
	{id: "TR-02", about: "the admin API shows a member's relationships as one Group: the member its characteristic, providers its members", run: func(t *T) {
		patient := t.care().ours["from surgeons"]
		var g any
		t.admin(http.MethodGet, "/admin/members/"+models.MemberID(patient).String()+"/treatment-relationships", nil, &g)
		got := gjson.Parse(text(g))
		t.check(profileOf(got) == "pdex-treatment-relationship", "the profile is %s", profileOf(got))
		t.check(got.Get("active").Bool() && got.Get("actual").Bool() && got.Get("type").Str == "practitioner" && got.Get("quantity").Int() == 1, "%s", got.Raw)
		trait := got.Get("characteristic").Array()
		t.check(len(trait) == 1 && trait[0].Get("code.coding.0.code").Str == "pdex-member" && trait[0].Get("valueReference.reference").Str == "Patient/"+patient, "the member is not the characteristic")
		providers := got.Get("member").Array()
		t.check(len(providers) == 1 && providers[0].Get("entity.identifier.value").Str == doctorNPI && providers[0].Get("entity.type").Str == "Practitioner", "the doctor is not the member")
	}},
	{id: "TR-03", about: "who is taken off the list gets nothing more", run: func(t *T) {
		x := t.care()
		t.check(slices.Contains(x.before, x.ours["plain too"]) && !slices.Contains(x.unlisted, x.ours["plain too"]), "the list does not decide")
	}},
	{id: "TR-04", about: "what a plan asks for is its own choice: a list, an attestation or both", run: func(t *T) {
		x := t.care()
		x.in(t, "unrelated")
		got := x.attested.bucket(x.submitted["unrelated"])
		t.check(len(got) == 1 && got[0] == codeMatched, "with an attestation: %v", got)
	}},
	{id: "TR-05", about: "the list knows providers by NPI", run: people("plain")},
	{id: "TR-06", about: "the list takes organisations", run: func(t *T) {
		t.admin(http.MethodPost, "/admin/relationships", doc{"patient": t.care().ours["over"], "npi": clinicNPI, "type": "active", "start": "2026-01-01T00:00:00Z"}, nil)
	}},
	{id: "TR-07", about: "a MemberBundle without a Consent is refused, an attestation of another profile is no match", run: func(t *T) {
		x := t.care()
		x.in(t, "of another profile")
		request, _ := t.request(62, 1)
		request = last(request, func(parts []any) []any {
			return slices.DeleteFunc(parts, func(p any) bool { return p.(doc)["name"] == "Consent" })
		})
		t.refused("no Consent", t.call(x.clinic, http.MethodPost, providerMatch, posting(), request), http.StatusUnprocessableEntity)
	}},
	{id: "TR-08", about: "an attestation in error, undated or over is no match", run: people("in error", "undated", "over")},
	{id: "TR-09", about: "who attested has to be known and of the clinic", run: people("of an unknown")},
	{id: "TR-10", about: "relationships are active, past or prospective", run: func(t *T) {
		patient := t.care().ours["over"]
		for _, typ := range []string{"active", "past", "prospective"} {
			t.admin(http.MethodPost, "/admin/relationships", doc{"patient": patient, "npi": nobodyNPI, "type": typ, "start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}, nil)
		}
		err := t.ours().Admin(t.ctx, http.MethodPost, "/admin/relationships", doc{"patient": patient, "npi": nobodyNPI, "type": "friend", "start": "2026-01-01T00:00:00Z"}, nil)
		t.check(err != nil && strings.Contains(err.Error(), "422"), "%v", err)
	}},
	{id: "TR-11", about: "a relationship that is over is none", run: people("related once")},
	{id: "EX-02", about: "a provider's Group lives for 30 days and says so", run: func(t *T) {
		g := t.care().hidden.matched(t)
		end, err := time.Parse(time.RFC3339, g.Get("characteristic.0.period.end").Str)
		t.check(err == nil, "it does not say until when")
		left := time.Until(end)
		t.check(left > 29*24*time.Hour && left <= 30*24*time.Hour, "it lives for %s", left)
	}},
	{id: "EX-03", about: "an export of an expired Group is a 410 that tells to match again", run: func(t *T) {
		x := t.care()
		id := x.told.matched(t).Get("id").Str
		s, err := store.Open(t.ctx, t.ours().Stack.DatabaseURL)
		t.must(err)
		defer s.Close()
		set := func(sql string) {
			_, err := s.Pool.Exec(t.ctx, sql, id)
			t.must(err)
		}
		set(`UPDATE groups SET expires_at = now() - interval '1 day' WHERE id = $1`)
		defer set(`UPDATE groups SET expires_at = now() + interval '1 day' WHERE id = $1`)
		a := t.call(x.clinic, http.MethodPost, "Group/"+id+"/$davinci-data-export", posting(), body(named("exportType", providerExport+"download")))
		t.refused("expired", a, http.StatusGone)
		t.check(strings.Contains(string(a.body), "match again"), "it does not tell what to do")
	}},
	{id: "LB-11", about: "a provider gets what is older than five years, back to 2016, which a payer does not", run: func(t *T) {
		older, _ := t.oldest(t.care().all.export, fiveYearsAgo())
		t.check(older > 0, "nothing is older than five years")
		ancient, _ := t.oldest(t.care().all.export, time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC))
		t.check(ancient == 0, "%d lines are from before 2016", ancient)
		older, newer := t.oldest(t.exchanged(nil).export, fiveYearsAgo())
		t.check(older == 0 && newer > 0, "a payer gets %d lines that are older, %d newer", older, newer)
	}},
	{id: "PR-04", about: "of the prior authorizations a provider gets those in force, undecided or changed within a year", run: func(t *T) {
		t.scenarios(t.care().all, true)
	}},
	{id: "RC-02", about: "an opt-out after the match keeps the member out of the export, and files of before back", run: func(t *T) {
		x := t.care()
		t.check(slices.Contains(x.before, x.ours["plain"]) && !slices.Contains(x.after, x.ours["plain"]), "the member is exported")
		t.check(slices.Contains(x.after, x.ours["plain too"]), "others are not exported")
		t.check(x.late.status == http.StatusGone, "a file of before: %d", x.late.status)
		t.check(x.errors == 0, "the manifest has errors that tell of it")
	}},
}
