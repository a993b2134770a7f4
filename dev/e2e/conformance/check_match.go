package conformance

import (
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
)

// matrix is the result of one match about people whose consents differ.
type matrix struct {
	matchResult
	// submitted are the ids of the Patients in the request by what was done to their MemberBundle, patients the Patients.
	submitted map[string]string
	patients  map[string]gjson.Result
}

// cases are what is done to the MemberBundles of the matrix, one each. Before it, all of them would match.
var cases = []struct {
	name   string
	change func(bundle any)
}{
	{"plain", func(any) {}},
	{"plain too", func(any) {}},
	{"expired", func(b any) { provision(b)["period"] = doc{"start": "2020-01-01", "end": "2020-12-31"} }},
	{"not yet", func(b any) { provision(b)["period"] = doc{"start": "2090-01-01", "end": "2090-12-31"} }},
	{"inactive", func(b any) { resource(b, "Consent")["status"] = "inactive" }},
	{"another policy", func(b any) { resource(b, "Consent")["policy"] = []any{doc{"uri": "http://example.org/policy"}} }},
	{"regular", func(b any) {
		resource(b, "Consent")["policy"] = []any{doc{"uri": "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"}}
	}},
	{"another recipient", func(b any) { recipients(b, "1111111111") }},
	{"several recipients", func(b any) { recipients(b, "1111111111", seed.RequesterNPI) }},
	{"tagged copy", func(b any) {
		p := resource(b, "MemberPatient")
		p["meta"] = doc{"versionId": "7", "lastUpdated": "2020-01-01T00:00:00Z", "security": []any{doc{"system": "urn:example", "code": "x"}}}
	}},
	{"stranger", func(b any) { rename(b) }},
	{"stranger whose consent has expired", func(b any) {
		rename(b)
		provision(b)["period"] = doc{"start": "2020-01-01", "end": "2020-12-31"}
	}},
}

func provision(bundle any) doc { return resource(bundle, "Consent")["provision"].(doc) }

// recipients makes the consent name payers, by their NPI, as those who receive.
func recipients(bundle any, npis ...string) {
	var actors []any
	var template any
	for _, a := range provision(bundle)["actor"].([]any) {
		if strings.Contains(gjson.Get(text(a), "role.coding.0.code").Str, "IRCP") {
			template = a
			continue
		}
		actors = append(actors, a)
	}
	for _, npi := range npis {
		a := clone(template).(doc)
		a["reference"] = doc{"identifier": doc{"system": seed.NPISystem, "value": npi}, "display": "A payer"}
		actors = append(actors, a)
	}
	provision(bundle)["actor"] = actors
}

// rename makes the person one that nobody knows.
func rename(bundle any) {
	p := resource(bundle, "MemberPatient")
	p["name"] = []any{doc{"family": "Nonesuch", "given": []any{"Nobody"}}}
}

// matrix runs the match once.
func (t *T) matrix() *matrix {
	t.ours()
	return t.world.matrix.get(func() *matrix {
		request, truth := t.request(51, 60)
		m := &matrix{submitted: map[string]string{}, patients: map[string]gjson.Result{}}
		request = change(request, func(bundles []any) []any {
			var out []any
			for i, row := range truth {
				if len(out) == len(cases) || row.Expect != seed.Matched {
					continue
				}
				bundle, c := bundles[i], cases[len(out)]
				c.change(bundle)
				p := resource(bundle, "MemberPatient")
				m.submitted[c.name], m.patients[c.name] = p["id"].(string), gjson.Parse(text(p))
				out = append(out, bundle)
			}
			return out
		})
		t.check(len(m.submitted) == len(cases), "there are not enough members for %d cases", len(cases))
		c, rename := t.alone("payer-matrix", "1000000051")
		m.matchResult = t.match(c, rename(request))
		return m
	})
}

// in wants each case in one bucket.
func (m *matrix) in(t *T, code string, names ...string) {
	for _, name := range names {
		got := m.bucket(m.submitted[name])
		t.check(len(got) == 1 && got[0] == code, "%s: %v instead of %s", name, got, code)
	}
}

var bucketChecks = []check{
	{id: "BK-01", about: "three Groups at most", run: func(t *T) {
		n := len(t.matrix().lines["Group"])
		t.check(n > 0 && n <= 3, "there are %d", n)
	}},
	{id: "BK-02", about: "the Group of matched members is there, though it be empty", run: func(t *T) {
		g := t.nobody().matched(t)
		t.check(len(g.Get("member").Array()) == 0, "a stranger was matched")
	}},
	{id: "BK-03", about: "the other Groups are there with members only", run: func(t *T) {
		r := t.nobody()
		t.check(r.group(codeNoMatch).Exists() && !r.group(codeConstrained).Exists(), "a request about a stranger: %d Groups", len(r.lines["Group"]))
		for _, code := range []string{codeNoMatch, codeConstrained} {
			t.check(len(t.matrix().group(code).Get("member").Array()) > 0, "the Group %s has no members", code)
		}
	}},
	{id: "BK-04", about: "each Group names its profile", run: func(t *T) {
		for code, profile := range map[string]string{codeMatched: "pdex-member-match-group", codeNoMatch: "pdex-member-no-match-group", codeConstrained: "pdex-member-no-match-group"} {
			t.check(strings.Contains(t.matrix().group(code).Get("meta.profile").Raw, "/"+profile+`"`), "%s does not name %s", code, profile)
		}
	}},
	{id: "BK-06", about: "type person, actual true, code of the match results", run: func(t *T) {
		for _, g := range t.matrix().lines["Group"] {
			t.check(g.Get("type").Str == "person" && g.Get("actual").Bool(), "a Group is of another type")
			t.check(strings.HasSuffix(g.Get("code.coding.0.system").Str, "MultiMemberMatchResultCS"), "a code is of another system")
		}
	}},
	{id: "BK-07", about: "the matched Group has the characteristic match with the requester and the day", run: func(t *T) {
		g := t.matrix().matched(t)
		c := g.Get("characteristic.0")
		t.check(c.Get("code.coding.0.code").Str == "match" && c.Get("exclude").Exists() && !c.Get("exclude").Bool(), "there is no such characteristic")
		t.check(c.Get("valueReference.identifier.value").Str != "", "valueReference has no identifier")
		t.check(strings.HasPrefix(c.Get("period.start").Str, time.Now().UTC().Format(time.DateOnly)), "period.start is %s", c.Get("period.start").Str)
	}},
	{id: "BK-08", about: "each member points to the contained Patient that was submitted", run: func(t *T) {
		for _, g := range t.matrix().lines["Group"] {
			for _, m := range g.Get("member").Array() {
				t.check(contained(g, m).Exists(), "a member does not")
			}
		}
	}},
	{id: "BK-09", about: "the contained Patient is the one that was submitted", run: func(t *T) {
		m := t.matrix()
		g := m.matched(t)
		n := 0
		for _, member := range g.Get("member").Array() {
			p := contained(g, member)
			for _, name := range []string{"plain", "plain too"} {
				if p.Get("id").Str == m.submitted[name] {
					n++
					t.check(equalJSON(p, m.patients[name]), "it is another")
				}
			}
		}
		t.check(n == 2, "%d of 2 were found", n)
	}},
	{id: "BK-10", about: "the copy has no versionId, lastUpdated and security labels", run: func(t *T) {
		m := t.matrix()
		g := m.matched(t)
		for _, member := range g.Get("member").Array() {
			if p := contained(g, member); p.Get("id").Str == m.submitted["tagged copy"] {
				t.check(!p.Get("meta.versionId").Exists() && !p.Get("meta.lastUpdated").Exists() && !p.Get("meta.security").Exists(), "it has")
				return
			}
		}
		t.fail("the member is not in the matched Group")
	}},
	{id: "BK-11", about: "one Patient under two coverages is told apart by the coverage", run: func(t *T) {
		request, truth := t.request(52, 30)
		id := ""
		request = change(request, func(bundles []any) []any {
			for i, row := range truth {
				if row.Expect != seed.Matched {
					continue
				}
				other := clone(bundles[i])
				coverage := resource(other, "CoverageToMatch")
				// The card of somebody else on the same policy: it is known whose it is not.
				coverage["id"], coverage["dependent"] = "cx-other-coverage", "09"
				coverage["identifier"] = []any{doc{
					"type":   doc{"coding": []any{doc{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}}},
					"system": "urn:example", "value": coverage["subscriberId"].(string) + "09",
				}}
				id = resource(other, "MemberPatient")["id"].(string)
				return []any{bundles[i], other}
			}
			return bundles
		})
		r := t.match(t.payer(), request)
		in := r.bucket(id)
		t.check(len(in) == 2 && in[0] != in[1], "the two are in %v", in)
		for _, g := range r.lines["Group"] {
			t.check(strings.Contains(g.Get("member").Raw, "base-ext-match-coverage"), "a Group does not say which coverage")
		}
	}},
	{id: "BK-15", about: "the id of the matched Group is the one it is read by", run: func(t *T) {
		c := t.payer()
		request, _ := t.request(53, 5)
		id := t.match(c, request).matched(t).Get("id").Str
		a := t.get(c, "Group/"+id)
		t.check(a.status == http.StatusOK && a.get("id").Str == id, "reading it answers %d", a.status)
	}},
	{id: "BK-16", about: "the members of the matched Group are the Patients of its export", run: func(t *T) {
		p := t.payers()
		got := t.export(p.a, "Group/"+p.groupA+"/$export?_type=Patient", nil).ids("Patient")
		for id := range p.members {
			t.check(got[id], "a member is not")
		}
	}},
	{id: "BK-17", about: "the other Groups do not tell our ids", run: func(t *T) {
		m := t.matrix()
		ours := t.seeded()["Patient"]
		for _, code := range []string{codeNoMatch, codeConstrained} {
			for _, member := range m.group(code).Get("member").Array() {
				t.check(!ours[strings.TrimPrefix(member.Get("entity.reference").Str, "Patient/")], "%s does", code)
			}
		}
	}},
	{id: "BK-18", about: "the matched Group can be read, the others not", run: func(t *T) {
		m := t.matrix()
		c := t.world.client("payer-matrix", t.world.key, allData)
		t.check(t.get(c, "Group/"+m.matched(t).Get("id").Str).status == http.StatusOK, "the matched Group cannot be read")
		for _, code := range []string{codeNoMatch, codeConstrained} {
			if id := m.group(code).Get("id").Str; id != "" {
				t.refused(code, t.get(c, "Group/"+id), http.StatusNotFound)
			}
		}
	}},
	{id: "MD-01", about: "the Groups come as a file of the manifest", run: func(t *T) {
		t.check(len(t.matrix().lines["Group"]) > 0, "there is no file of Groups")
	}},
	{id: "MD-02", about: "the Parameters file holds the same Groups", run: func(t *T) { t.sameGroups() }},
	{id: "MD-03", about: "which file to prefer is the requester's choice", run: func(t *T) { t.na("a duty of the requester") }},
	{id: "MD-04", about: "the Groups are in a Parameters resource too", run: func(t *T) {
		if len(t.matrix().lines["Parameters"]) == 0 {
			t.na("superseded by MD-01: there is no Parameters file")
		}
		t.sameGroups()
	}},
	{id: "MD-05", about: "status and manifest of a match are those of an export", run: func(t *T) {
		c := t.payer()
		request, _ := t.request(54, 3)
		r := t.match(c, request)
		t.manifest(t.get(c, r.job.StatusURL))
		t.refused("no token", t.get(t.anonymous(), r.job.StatusURL), 401)
		t.must(r.job.Delete(t.ctx))
		t.refused("after DELETE", t.get(c, r.job.StatusURL), 404)
	}},
	{id: "MD-07", about: "asked for PDex 2.1, the poll answers with the Parameters; for 2.2, with a manifest", run: func(t *T) {
		c := t.payer()
		request, _ := t.request(57, 3)
		for _, custom := range []struct{ name, value string }{{"X-PDex-Spec-Version", "2.1"}, {"Prefer", "respond-async, pdex-spec=2.1"}} {
			h := posting()
			h.Set(custom.name, custom.value)
			job := t.start(c, http.MethodPost, "Group/$bulk-member-match", nil, h, request)
			a := t.poll(c, job)
			t.check(a.get("resourceType").Str == "Parameters" && a.get(`parameter.#(name=="MatchedMembers").resource.resourceType`).Str == "Group", "%s: there are no Parameters", custom.name)
		}
		h := posting()
		h.Set("X-PDex-Spec-Version", "2.2")
		a := t.poll(c, t.start(c, http.MethodPost, "Group/$bulk-member-match", nil, h, request))
		t.check(a.get("output.0.type").Exists(), "2.2: there is no manifest")
		h.Set("X-PDex-Spec-Version", "1.0")
		t.refused("1.0", t.call(c, http.MethodPost, "Group/$bulk-member-match", h, request), 400)
	}},
}

// nobody is a match about one stranger.
func (t *T) nobody() matchResult {
	request, _ := t.request(55, 1)
	return t.match(t.payer(), change(request, func(bundles []any) []any {
		rename(bundles[0])
		return bundles
	}))
}

// sameGroups wants the Parameters file of the matrix to hold the Groups of the Group file.
func (t *T) sameGroups() {
	m := t.matrix()
	t.check(len(m.lines["Parameters"]) == 1, "there are %d Parameters", len(m.lines["Parameters"]))
	groups := m.lines["Parameters"][0].Get("parameter.#.resource").Array()
	t.check(len(groups) == len(m.lines["Group"]), "%d Groups and %d", len(groups), len(m.lines["Group"]))
	for i, g := range groups {
		t.check(equalJSON(g, m.lines["Group"][i]), "Group %d is another", i+1)
	}
}

var consentChecks = []check{
	{id: "CF-02", about: "one person's consent says nothing about another's", run: func(t *T) {
		m := t.matrix()
		m.in(t, codeMatched, "plain", "plain too")
		m.in(t, codeConstrained, "expired")
	}},
	{id: "CF-03", about: "match and consent, match without, no match: a Group each", run: func(t *T) {
		m := t.matrix()
		m.in(t, codeMatched, "plain")
		m.in(t, codeConstrained, "expired")
		m.in(t, codeNoMatch, "stranger", "stranger whose consent has expired")
	}},
	{id: "CF-04", about: "the Group of the constrained does not say why", run: func(t *T) {
		g := t.matrix().group(codeConstrained)
		for _, word := range []string{"expired", "policy", "recipient", "inactive", "revoked"} {
			t.check(!strings.Contains(strings.ToLower(g.Raw), word), "it tells of %q", word)
		}
	}},
	{id: "CF-05", about: "period, status, policy and recipient each constrain", run: func(t *T) {
		t.matrix().in(t, codeConstrained, "expired", "not yet", "inactive", "another policy", "another recipient")
	}},
	{id: "CF-05a", about: "another recipient constrains; the caller among several is enough", run: func(t *T) {
		m := t.matrix()
		m.in(t, codeConstrained, "another recipient")
		m.in(t, codeMatched, "several recipients")
	}},
	{id: "CF-06", about: "a policy that is neither of HRex's two constrains", run: func(t *T) { t.matrix().in(t, codeConstrained, "another policy") }},
	{id: "CF-07", about: "a consent to everything is complied with", run: func(t *T) { t.matrix().in(t, codeMatched, "plain") }},
	{id: "CF-11", about: "a consent that has ended since the match opens nothing", slow: true, run: func(t *T) { t.ended() }},
	{id: "RC-01", about: "whose consent has ended since the match is left out, the others come", slow: true, run: func(t *T) { t.ended() }},
	{id: "CF-01", about: "a consent to all, and one without sensitive data, are complied with where such data are tagged", run: func(t *T) {
		t.matrix().in(t, codeMatched, "plain", "regular")
		t.matrix().in(t, codeConstrained, "another policy")
	}},
	{id: "CF-10", about: "two members who fit are none", run: func(t *T) {
		request, _ := t.request(58, 1)
		id := ""
		request = change(request, func(bundles []any) []any {
			p, c := resource(bundles[0], "MemberPatient"), resource(bundles[0], "CoverageToMatch")
			id = p["id"].(string)
			p["name"], p["birthDate"], p["gender"] = []any{doc{"family": "Conform", "given": []any{"Dora"}}}, "1972-02-02", "female"
			p["identifier"] = []any{doc{"system": "urn:example:conformance", "value": "cx-3"}}
			c["subscriberId"], c["identifier"] = "cx-3", []any{doc{"system": "urn:example:conformance", "value": "cx-3"}}
			return bundles
		})
		in := t.match(t.payer(), request).bucket(id)
		t.check(len(in) == 1 && in[0] == codeNoMatch, "they are in %v", in)
	}},
	{id: "CF-12", about: "consents are kept for administrators, and not to be had over FHIR", run: func(t *T) {
		m := t.matrix()
		id := strings.TrimPrefix(m.matched(t).Get("member.0.entity.reference").Str, "Patient/")
		var list struct{ Items []struct{ ID, State string } }
		t.must(t.ours().Admin(t.ctx, http.MethodGet, "/admin/consents?patient="+id, nil, &list))
		t.check(len(list.Items) > 0, "there is none")
		var one struct{ Consent doc }
		t.must(t.ours().Admin(t.ctx, http.MethodGet, "/admin/consents/"+list.Items[0].ID, nil, &one))
		t.check(one.Consent["resourceType"] == "Consent", "it is not the Consent that was submitted")
		c := t.world.client("payer-matrix", t.world.key, allData)
		t.refused("reading it", t.get(c, "Consent/"+list.Items[0].ID), 404, 403, 400)
		t.refused("searching for it", t.get(c, "Consent?patient="+id), 404, 403, 400)
	}},
	{id: "RC-03", about: "what a member told the plan stands above the consent: at the match, in an export, and for files that are there", run: func(t *T) {
		o := t.overridden()
		t.check(len(o.before.lines["Patient"]) == 2, "%d of 2 were exported before", len(o.before.lines["Patient"]))
		t.check(len(o.after.lines["Patient"]) == 1 && o.after.lines["Patient"][0].Get("id").Str != o.patient, "they were exported all the same")
		t.refused("a file with their data", o.file, 410, 404)
		t.check(len(o.again.group(codeConstrained).Get("member").Array()) == 1, "they were matched again")
	}},
	{id: "RC-04", about: "nothing tells whom an export left out", run: func(t *T) {
		o := t.overridden()
		for typ, lines := range o.after.lines {
			for _, line := range lines {
				t.check(!strings.Contains(line.Raw, o.patient), "%s names them", typ)
			}
		}
	}},
	{id: "PV-03", about: "payers are told who is constrained by consent", run: func(t *T) {
		t.check(len(t.matrix().group(codeConstrained).Get("member").Array()) > 0, "there is no such Group")
	}},
	{id: "PV-04", about: "the Group of the constrained is of those in the request, without reasons", run: func(t *T) {
		m := t.matrix()
		submitted := map[string]bool{}
		for _, id := range m.submitted {
			submitted[id] = true
		}
		g := m.group(codeConstrained)
		for _, member := range g.Get("member").Array() {
			t.check(submitted[contained(g, member).Get("id").Str], "somebody else is in it")
		}
		t.check(!strings.Contains(g.Raw, "opt-out"), "it tells of opt-outs")
	}},
	{id: "EX-01", about: "a Group may be short-lived", run: func(t *T) {
		t.na("Groups of payers live as long as consents, unless PDEX_PAYER_GROUP_TTL says otherwise")
	}},
	{id: "EX-04", about: "the Group of a payer has no end of its own", run: func(t *T) {
		t.check(!t.matrix().matched(t).Get("characteristic.0.period.end").Exists(), "it has")
	}},
	{id: "EX-05", about: "a consent's end is the end of what it opens", slow: true, run: func(t *T) { t.ended() }},
}

// overridden is what came of two people, one of whom told us between two exports not to share.
type overridden struct {
	client        *client.Client
	patient       string // our id of the one
	before, after *export
	file          answer // for a file of before, when they had told us
	again         matchResult
}

func (t *T) overridden() *overridden {
	t.ours()
	return t.world.overridden.get(func() *overridden {
		request, truth := t.request(59, 30)
		request = change(request, func(bundles []any) []any {
			var out []any
			for i, row := range truth {
				if row.Expect == seed.Matched && len(out) < 2 {
					out = append(out, bundles[i])
				}
			}
			return out
		})
		o := &overridden{}
		c, rename := t.alone("payer-overridden", "1000000059")
		o.client = c
		group := t.match(c, rename(request)).matched(t)
		path := "Group/" + group.Get("id").Str + "/$davinci-data-export?_type=Patient"
		o.patient = strings.TrimPrefix(group.Get("member.0.entity.reference").Str, "Patient/")
		o.before = t.export(c, path, nil)
		said := doc{"patient": o.patient, "requester": seed.NPISystem + "|1000000059", "source": "phone"}
		t.must(t.world.sys.Admin(t.ctx, http.MethodPost, "/admin/consent-overrides", said, nil))
		o.file = t.get(c, o.before.m.Output[0].URL)
		o.after = t.export(c, path, nil)
		o.again = t.match(c, rename(request))
		return o
	})
}

// ended matches two people, one of whom has a consent that ends soon, and exports when it has.
func (t *T) ended() {
	request, truth := t.request(56, 30)
	end := time.Now().Add(8 * time.Second)
	request = change(request, func(bundles []any) []any {
		var out []any
		for i, row := range truth {
			if row.Expect == seed.Matched && len(out) < 2 {
				out = append(out, bundles[i])
			}
		}
		provision(out[0])["period"].(doc)["end"] = end.UTC().Format(time.RFC3339)
		return out
	})
	c, rename := t.alone("check-ended-"+strings.ToLower(t.id), "10000000"+strings.ToLower(t.id[len(t.id)-2:]))
	group := t.match(c, rename(request)).matched(t)
	t.check(len(group.Get("member").Array()) == 2, "%d of 2 were matched", len(group.Get("member").Array()))
	t.wait(time.Until(end) + 2*time.Second)
	x := t.export(c, "Group/"+group.Get("id").Str+"/$export?_type=Patient", nil)
	t.check(len(x.lines["Patient"]) == 1, "%d of 2 are exported", len(x.lines["Patient"]))
}
