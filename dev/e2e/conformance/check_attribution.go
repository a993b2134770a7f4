package conformance

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/system"
	"pdexbulk/models"
)

const (
	listExport  = "hl7.fhir.us.davinci-atr"
	atrOps      = "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/"
	listScopes  = allData + " " + atrOps + "member-add " + atrOps + "member-remove"
	listProfile = profiles + "pdex-provider-group"
)

// roster is an attribution list of the clinic's and what came of it.
type roster struct {
	clinic, other *client.Client
	id            string
	patients      []string // on it: all but the last, who is for the operations
	first         *export  // by the ATR export type
	hidden        answer   // the Group after the first has opted out
	after         *export
	late          answer // for the Patients of the first export
	back          answer // the Group after the opt-out was revoked
}

// onList are the ids of the Patients that a Group names, with "-" before those who are inactive.
func onList(g gjson.Result) []string {
	out := []string{}
	for _, m := range g.Get("member").Array() {
		id := strings.TrimPrefix(m.Get("entity.reference").Str, "Patient/")
		if m.Get("inactive").Bool() {
			id = "-" + id
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// roster makes the list after the clinic's matches, with members whom those leave alone.
func (t *T) roster() *roster {
	x := t.care()
	return t.world.roster.get(func() *roster {
		r := &roster{}
		register := func(id, npi string) *client.Client {
			p := system.Partner{
				ID: id, Name: id, Kind: models.ClientProvider, Organization: "Clinic", OrganizationIDs: []string{seed.NPISystem + "|" + npi}, Scopes: strings.Fields(listScopes),
			}
			_, err := t.world.sys.RegisterKey(t.ctx, p, t.world.key)
			t.must(err)
			return t.world.client(p.ID, t.world.key, listScopes)
		}
		r.clinic, r.other = register("attributed", clinicNPI), register("attributed-elsewhere", nobodyNPI)
		_, truth := t.request(67, 80)
		for _, row := range truth {
			taken := slices.Contains(slices.Collect(values(x.ours)), row.Patient) || slices.Contains(r.patients, row.Patient)
			if row.Expect == seed.Matched && !taken && len(r.patients) < 4 {
				r.patients = append(r.patients, row.Patient)
			}
		}
		t.check(len(r.patients) == 4, "there are not enough members for a list")
		t.admin(http.MethodPost, "/admin/relationships", doc{"patient": r.patients[3], "npi": doctorNPI, "type": "active", "start": "2025-01-01T00:00:00Z"}, nil)
		var made struct{ ID string }
		t.admin(http.MethodPost, "/admin/attribution-lists", doc{
			"client": "attributed", "name": "Main Street", "status": "open", "identifiers": []any{seed.NPISystem + "|" + clinicNPI, "urn:example:contract|77"}, "purposes": []any{"TREAT"},
			"members": []any{doc{"patient": r.patients[0], "npi": doctorNPI}, doc{"member": models.MemberID(r.patients[1]).String()}, doc{"patient": r.patients[2]}},
		}, &made)
		r.id = made.ID
		r.first = t.listed(r, "")
		id := t.optOut(r.patients[0], doc{"scope": "global"})
		r.hidden = t.get(r.clinic, "Group/"+r.id)
		for _, f := range r.first.m.Output {
			if f.Type == "Patient" {
				r.late = t.get(r.clinic, f.URL)
			}
		}
		r.after = t.listed(r, "")
		t.admin(http.MethodPost, "/admin/opt-outs/"+id+"/revoke", doc{"reason": "member-choice"}, nil)
		r.back = t.get(r.clinic, "Group/"+r.id)
		return r
	})
}

// listed exports the list by the ATR export type, with further types.
func (t *T) listed(r *roster, types string) *export {
	return t.post(r.clinic, "Group/"+r.id+"/$davinci-data-export", named("exportType", listExport)+","+named("_type", "Group,Patient,Coverage"+types))
}

func patientIDs(x *export) []string {
	var out []string
	for id := range x.ids("Patient") {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// settle sends one of ATR's operations.
func (t *T) settle(r *roster, op, parameters string) answer {
	return t.call(r.clinic, http.MethodPost, "Group/"+r.id+"/$member-"+op, posting(), body(parameters))
}

var attributionChecks = []check{
	{id: "KD-07", about: "the ATR export type without Group, Patient and Coverage in _type is a 400 that names it; with them a list leaves with its Group", run: func(t *T) {
		if t.world.sys == nil {
			c, id := t.group()
			path := "Group/" + id + "/$davinci-data-export?exportType=" + listExport
			t.refused("_type=Patient", t.call(c, http.MethodGet, path+"&_type=Patient", async(), nil), http.StatusBadRequest)
			t.na("what the Group is that this client may export is not known")
		}
		r := t.roster()
		path := "Group/" + r.id + "/$davinci-data-export?exportType=" + listExport
		for _, types := range []string{"", "&_type=Patient", "&_type=Group,Patient", "&_type=Patient,Coverage,Practitioner"} {
			a := t.call(r.clinic, http.MethodGet, path+types, async(), nil)
			t.refused(types, a, http.StatusBadRequest)
			t.check(a.get("issue.0.expression.0").Str == "_type", "%s: the answer does not name _type", types)
		}
		t.check(slices.Equal(patientIDs(r.first), sorted(r.patients[:3])), "%d Patients are exported", len(r.first.lines["Patient"]))
		t.check(len(r.first.lines["Coverage"]) > 0 && len(r.first.lines["Group"]) == 1, "there are %d Coverages and %d Groups", len(r.first.lines["Coverage"]), len(r.first.lines["Group"]))
		g := r.first.lines["Group"][0]
		t.check(g.Get("id").Str == r.id && g.Get("meta.profile.0").Str == listProfile && slices.Equal(onList(g), sorted(r.patients[:3])), "the Group is not the list")
		for _, m := range g.Get("member").Array() {
			ref := m.Get(`extension.#(url%"*ext-coverageReference").valueReference.reference`).Str
			t.check(ref == "" || r.first.ids("Coverage")[strings.TrimPrefix(ref, "Coverage/")], "a Coverage that the Group names is not exported")
		}
		more := t.listed(r, ",Organization,Condition")
		for _, typ := range []string{"Organization", "Condition"} {
			t.check(len(more.lines[typ]) > 0, "%s was asked for and is not exported", typ)
		}
	}},
	{id: "OP-15", about: "whoever has opted out is neither in an attribution list nor in its export, and is back when that is revoked; member-add and member-remove keep the list", run: func(t *T) {
		r := t.roster()
		out, rest := r.patients[0], sorted(r.patients[1:3])
		t.check(r.hidden.status == http.StatusOK && slices.Equal(onList(gjson.ParseBytes(r.hidden.body)), rest), "the Group names %d members", len(r.hidden.get("member").Array()))
		t.check(!strings.Contains(string(r.hidden.body), out) && r.hidden.get("quantity").Int() == 2, "the Group tells of who has opted out")
		t.check(slices.Equal(patientIDs(r.after), rest) && len(r.after.lines["Group"]) == 1 && slices.Equal(onList(r.after.lines["Group"][0]), rest), "the export has others")
		t.check(len(r.after.errors) == 0, "the manifest has errors that tell of it")
		t.check(r.late.status == http.StatusGone, "a file of before: %d", r.late.status)
		t.check(slices.Equal(onList(gjson.ParseBytes(r.back.body)), sorted(r.patients[:3])), "who took it back is not on the list")

		member := `{"name":"patientReference","valueReference":{"reference":"Patient/` + r.patients[3] + `"}}`
		provider := `,{"name":"providerNpi","valueIdentifier":{"system":"` + seed.NPISystem + `","value":"` + doctorNPI + `"}}`
		t.check(t.settle(r, "add", member+provider).status == http.StatusOK, "a patient of the doctor's cannot be added")
		t.check(slices.Contains(onList(gjson.ParseBytes(t.get(r.clinic, "Group/"+r.id).body)), r.patients[3]), "who was added is not there")
		id := t.optOut(r.patients[3], doc{"scope": "global"})
		stranger := t.settle(r, "add", strings.ReplaceAll(member, r.patients[3], "nobody")+provider)
		again := t.settle(r, "add", member+provider)
		t.refused("who has opted out", again, http.StatusUnprocessableEntity)
		t.check(string(again.body) == string(stranger.body), "an opt-out is told from a stranger")
		t.admin(http.MethodPost, "/admin/opt-outs/"+id+"/revoke", doc{"reason": "member-choice"}, nil)
		t.check(t.settle(r, "remove", member).status == http.StatusOK, "they cannot be removed")
		t.check(!slices.Contains(onList(gjson.ParseBytes(t.get(r.clinic, "Group/"+r.id).body)), r.patients[3]), "who was removed is there")

		var l struct{ ID string }
		t.admin(http.MethodPost, "/admin/attribution-lists", doc{"client": "attributed", "status": "final", "members": []any{doc{"patient": r.patients[3]}}}, &l)
		final := *r
		final.id = l.ID
		for _, op := range []string{"add", "remove"} {
			t.refused(op+", final", t.settle(&final, op, member), http.StatusConflict)
		}
		draft := doc{"client": "attributed", "status": "draft"}
		t.admin(http.MethodPut, "/admin/attribution-lists/"+l.ID, draft, nil)
		t.refused("clinical data of a draft", t.call(r.clinic, http.MethodPost, "Group/"+l.ID+"/$davinci-data-export", posting(), body(named("exportType", providerExport+"download"))), http.StatusConflict)
		t.check(t.settle(&final, "remove", member).status == http.StatusOK, "a draft does not change")
		t.check(slices.Equal(onList(gjson.ParseBytes(t.get(r.clinic, "Group/"+l.ID).body)), []string{"-" + r.patients[3]}), "on a draft they are not inactive")
		t.admin(http.MethodDelete, "/admin/attribution-lists/"+l.ID, nil, nil)
		t.refused("removed", t.get(r.clinic, "Group/"+l.ID), http.StatusNotFound)
	}},
	{id: "OP-16", phase: away, about: "while opt-outs cannot be looked up, nothing of a provider's is matched, shown, exported or downloaded", run: func(t *T) {
		t.ours()
		w := t.world
		for _, path := range []string{"Group/" + w.listAway, "Group", w.fileAway} {
			a := t.get(w.providerAway, path)
			t.refused(path, a, http.StatusServiceUnavailable)
			t.check(!strings.Contains(string(a.body), ann), "somebody is told of")
		}
		t.refused("export", t.call(w.providerAway, http.MethodGet, "Group/"+w.listAway+"/$davinci-data-export", async(), nil), http.StatusServiceUnavailable)
		t.refused("match", t.call(w.providerAway, http.MethodPost, providerMatch, posting(), body("")), http.StatusServiceUnavailable)
	}},
	{id: "CF-13", about: "members who never said that they share with providers are matched", run: func(t *T) {
		x := t.care()
		portal := t.register("check-cf-13", models.ClientBackend, portalScope)
		for _, name := range []string{"plain too", "unrelated"} {
			found := t.get(portal, "Consent?patient="+url.QueryEscape(x.ours[name])+"&category=provider-access")
			t.check(found.status == http.StatusOK && found.get("total").Int() == 0, "%s has consented", name)
		}
		x.in(t, "plain too")
		got := x.attested.bucket(x.submitted["unrelated"])
		t.check(len(got) == 1 && got[0] == codeMatched, "where an attestation is enough: %v", got)
	}},
	{id: "MD-06", about: "by default neither the Groups nor the Parameters tell who has opted out; told, both do", run: func(t *T) {
		x := t.care()
		for what, r := range map[string]matchResult{"hidden": x.hidden, "told": x.told} {
			told := what == "told"
			t.check(r.group(codeConstrained).Exists() == told, "%s: the Group of those who opted out is there: %t", what, !told)
			t.check(len(r.lines["Parameters"]) == 1, "%s: there are %d Parameters", what, len(r.lines["Parameters"]))
			p := r.lines["Parameters"][0]
			t.check(p.Get(`parameter.#(name=="ConsentConstrainedMembers")`).Exists() == told, "%s: ConsentConstrainedMembers is there: %t", what, !told)
			t.check(strings.Contains(p.Raw, codeConstrained) == told && strings.Contains(p.Raw, "opt-out") == told, "%s: the Parameters tell otherwise", what)
		}
	}},
	{id: "GA-04", about: "a provider finds and reads the Groups of its matches and its lists, with their contents; another provider gets 404", run: func(t *T) {
		x, r := t.care(), t.roster()
		g := t.get(x.clinic, "Group/"+x.group)
		t.check(g.status == http.StatusOK && len(g.get("member").Array()) > 0 && g.get("member.0.entity.reference").Exists(), "the matched Group is not read")
		for _, query := range []string{"_id=" + x.group, "identifier=urn:uuid:" + x.group, "code=match"} {
			found := t.get(x.clinic, "Group?"+query)
			t.check(slices.ContainsFunc(found.get("entry.#.resource").Array(), func(e gjson.Result) bool {
				return e.Get("id").Str == x.group && len(e.Get("member").Array()) == len(g.get("member").Array())
			}), "a search by %s does not find it", query[:strings.Index(query, "=")])
		}
		for _, query := range []string{
			"identifier=" + url.QueryEscape(seed.NPISystem+"|"+clinicNPI), "identifier=" + url.QueryEscape("urn:example:contract|77"), "code=pdexprovidergroup",
			"characteristic=pdexprovidergroup", "_profile=" + url.QueryEscape(listProfile),
		} {
			found := t.get(r.clinic, "Group?"+query)
			t.check(slices.ContainsFunc(found.get("entry.#.resource").Array(), func(e gjson.Result) bool { return e.Get("id").Str == r.id && len(e.Get("member").Array()) > 0 }), "the list is not found by %s", query)
		}
		for _, id := range []string{x.group, r.id} {
			t.refused("another's Group", t.get(r.other, "Group/"+id), http.StatusNotFound)
		}
		t.check(t.get(r.other, "Group").get("total").Int() == 0, "another provider finds Groups")
		down := t.post(r.clinic, "Group/"+r.id+"/$davinci-data-export", named("exportType", providerExport+"download")+","+named("_type", "Patient"))
		t.check(len(down.lines["Patient"]) >= 3, "the list is not exported")
	}},
}

// prepareList makes a provider's list with ann on it, and a file of its export, to ask for when the database is away.
func (w *world) prepareList(ctx context.Context) error {
	p := system.Partner{
		ID: "away-provider", Name: "away-provider", Kind: models.ClientProvider, Organization: "Clinic", OrganizationIDs: []string{seed.NPISystem + "|" + clinicNPI},
		Scopes: []string{allData, providerScope},
	}
	if _, err := w.sys.RegisterKey(ctx, p, w.key); err != nil {
		return err
	}
	w.providerAway = w.client(p.ID, w.key, allData+" "+providerScope)
	var made struct{ ID string }
	list := doc{"client": "away-provider", "status": "open", "members": []any{doc{"patient": ann}}}
	if err := w.sys.Admin(ctx, http.MethodPost, "/admin/attribution-lists", list, &made); err != nil {
		return err
	}
	w.listAway = made.ID
	job, err := w.providerAway.KickOff(ctx, http.MethodGet, "Group/"+made.ID+"/$davinci-data-export?_type=Patient", nil, nil, nil)
	if err != nil {
		return err
	}
	m, err := job.Wait(ctx, nil)
	if err != nil {
		return err
	}
	w.fileAway = m.Output[0].URL
	return nil
}
