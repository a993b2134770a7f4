package conformance

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// exchange is an export of matched members between payers.
type exchange struct {
	*export
	group string
	truth []seed.RequestTruth // of those who matched
}

// exchanged matches members for a payer and exports them. Without a query it is one export for all checks.
func (t *T) exchanged(query url.Values) *exchange {
	t.ours()
	if query == nil {
		return t.world.exchange.get(func() *exchange { return t.exchangeNow(nil) })
	}
	return t.exchangeNow(query)
}

func (t *T) exchangeNow(query url.Values) *exchange {
	c, rename := t.alone("check-ex-"+strings.ToLower(t.id), "19"+strconv.Itoa(10_000_000+int(crc32.ChecksumIEEE([]byte(t.id))%90_000_000)))
	request, truth := t.request(17, 40)
	group := t.match(c, rename(request)).matched(t).Get("id").Str
	x := &exchange{export: t.export(c, "Group/"+group+"/$davinci-data-export", query), group: group}
	for _, row := range truth {
		if row.Expect == seed.Matched {
			x.truth = append(x.truth, row)
		}
	}
	t.check(len(x.truth) > 10, "only %d members matched", len(x.truth))
	return x
}

// facts reads what an import would of a line.
func (t *T) facts(line gjson.Result) fhir.Facts {
	var f fhir.Facts
	t.must(fhir.Inspect([]byte(line.Raw), &f))
	return f
}

// truths are the truths about the roster, by Patient.
func (t *T) truths() map[string]seed.MemberTruth {
	text, err := os.ReadFile(filepath.Join(t.world.dir, "data", "roster", seed.TruthFile))
	t.must(err)
	out := map[string]seed.MemberTruth{}
	for line := range bytes.Lines(text) {
		var m seed.MemberTruth
		t.must(json.Unmarshal(line, &m))
		out[m.Patient] = m
	}
	return out
}

// complete wants the counts of members' lines to be those that the truth says may leave.
func (t *T) complete(x *exchange) {
	got := map[string]map[string]int{}
	for typ, lines := range x.lines {
		for _, line := range lines {
			if f := t.facts(line); f.Patient != nil {
				id := string(f.Patient)
				if got[id] == nil {
					got[id] = map[string]int{}
				}
				got[id][typ]++
			}
		}
	}
	truths := t.truths()
	for _, row := range x.truth {
		for typ, n := range demo.Due(truths[row.Patient], row.Policy) {
			t.check(got[row.Patient][typ] == n, "of a member's %s %d are there instead of %d", typ, got[row.Patient][typ], n)
		}
	}
}

// auths are the prior authorizations of an export.
func (x *export) auths() (out []gjson.Result) {
	for _, line := range x.lines["ExplanationOfBenefit"] {
		if line.Get("use").Str == "preauthorization" {
			out = append(out, line)
		}
	}
	return out
}

// oldest wants no member's line that ended before a day, but for prior authorizations and what comes with them.
func (t *T) oldest(x *export, from time.Time) (older, newer int) {
	day := fhir.DayOf(from)
	support := map[string]bool{}
	for _, a := range x.auths() {
		for _, ref := range a.Get("supportingInfo.#.valueReference.reference").Array() {
			support[ref.Str] = true
		}
	}
	for typ, lines := range x.lines {
		for _, line := range lines {
			f := t.facts(line)
			switch {
			case f.Patient == nil || !f.Dated || f.PriorAuth || support[typ+"/"+string(f.ID)]:
			case f.Last < day:
				older++
			default:
				newer++
			}
		}
	}
	return older, newer
}

func fiveYearsAgo() time.Time { return time.Now().UTC().AddDate(-5, 0, -1) }

// noMoney wants no amount in any line.
func (t *T) noMoney(x *export) {
	for typ, lines := range x.lines {
		for _, line := range lines {
			for _, mark := range []string{`"currency"`, `"valueMoney"`, `"costToBeneficiary"`, `"unitPrice"`, `"benefitBalance"`} {
				t.check(!strings.Contains(line.Raw, mark), "a %s holds %s", typ, mark)
			}
		}
	}
}

var releaseChecks = []check{
	{id: "LB-01", about: "everything within five years comes, and what is due of each member besides", run: func(t *T) { t.complete(t.exchanged(nil)) }},
	{id: "LB-02", about: "older data stays by default, which the setting PDEX_P2P_LOOKBACK_YEARS changes, and error tells of it", run: func(t *T) {
		x := t.exchanged(nil)
		told := slices.ContainsFunc(x.errors, func(l gjson.Result) bool { return l.Get("issue.0.severity").Str == "information" })
		t.check(told, "error does not tell that something is too old")
	}},
	{id: "LB-03", about: "no date of service is more than five years back in an exchange between payers", run: func(t *T) {
		older, newer := t.oldest(t.exchanged(nil).export, fiveYearsAgo())
		t.check(older == 0 && newer > 0, "%d lines are older, %d newer", older, newer)
	}},
	{id: "LB-04", about: "not used: what counts is the date of service, not of the change", run: func(t *T) { t.na("superseded in PDex 2.2.0 by LB-06 and LB-07") }},
	{id: "LB-05", about: "not used: _since is never overridden", run: func(t *T) { t.na("superseded in PDex 2.2.0 by LB-06 and LB-07") }},
	{id: "LB-06", about: "_since older than the boundary gives what an export without it gives", run: func(t *T) {
		since := time.Now().UTC().AddDate(-30, 0, 0).Format(time.RFC3339)
		a, b := t.exchanged(nil), t.exchanged(url.Values{"_since": {since}})
		for typ := range a.lines {
			t.check(len(a.lines[typ]) == len(b.lines[typ]), "%d of %s with _since, %d without", len(b.lines[typ]), typ, len(a.lines[typ]))
		}
	}},
	{id: "LB-07", about: "the boundary holds with and without _since", run: func(t *T) {
		older, _ := t.oldest(t.exchanged(url.Values{"_since": {"2001-01-01T00:00:00Z"}}).export, fiveYearsAgo())
		t.check(older == 0, "%d lines are older", older)
	}},
	{id: "LB-08", about: "a _typeFilter that reaches further back than the boundary gets nothing older", run: func(t *T) {
		from := time.Now().UTC().AddDate(-8, 0, 0).Format(time.DateOnly)
		x := t.exchanged(url.Values{"_type": {"Encounter"}, "_typeFilter": {"Encounter?date=ge" + from}})
		older, newer := t.oldest(x.export, fiveYearsAgo())
		t.check(older == 0 && newer > 0, "%d lines are older, %d newer", older, newer)
	}},
	{id: "LB-09", about: "the search parameters for dates of service filter", run: func(t *T) {
		from := time.Now().UTC().AddDate(-1, 0, 0)
		for typ, name := range map[string]string{
			"Encounter": "date", "Procedure": "date", "Observation": "date", "Immunization": "date", "Condition": "onset-date", "ExplanationOfBenefit": "service-date",
		} {
			x := t.exchanged(url.Values{"_type": {typ}, "_typeFilter": {typ + "?" + name + "=ge" + from.Format(time.DateOnly)}})
			older, newer := t.oldest(x.export, from.AddDate(0, 0, -1))
			t.check(older == 0 && newer > 0, "%s: %d lines are older, %d newer", typ, older, newer)
		}
	}},
	{id: "LB-10", about: "types without a date of service come whenever they were written down", run: func(t *T) {
		x := t.exchanged(nil)
		for _, typ := range []string{"Patient", "Coverage", "AllergyIntolerance"} {
			t.check(len(x.lines[typ]) > 0, "there is no %s", typ)
		}
	}},
	{id: "LB-12", about: "five years hold between payers only: a back end gets older data", run: func(t *T) {
		older, _ := t.oldest(t.everything(), fiveYearsAgo())
		t.check(older > 0, "nothing older is there")
	}},
	{id: "PR-01", about: "clinical data, claims and prior authorizations all come", run: func(t *T) {
		x := t.exchanged(nil)
		t.check(len(x.auths()) > 0 && len(x.lines["ExplanationOfBenefit"]) > len(x.auths()) && len(x.lines["Condition"]) > 0, "the output holds %s", x.types())
	}},
	{id: "PR-02", about: "each type of the guide's table that members have comes", run: func(t *T) {
		x := t.exchanged(nil)
		for _, typ := range []string{
			"AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Device", "DiagnosticReport", "DocumentReference", "Encounter", "Goal", "Immunization", "Location", "Medication",
			"MedicationDispense", "MedicationRequest", "Observation", "Organization", "Patient", "Practitioner", "Procedure", "Coverage", "ExplanationOfBenefit", "Provenance",
		} {
			t.check(len(x.lines[typ]) > 0, "there is no %s", typ)
		}
	}},
	{id: "PR-03", about: "of the prior authorizations those in force, undecided or changed within a year come", run: func(t *T) { t.scenarios(t.exchanged(nil), true) }},
	{id: "PR-05", about: "prior authorizations in force come with their documents and forms", run: func(t *T) { t.supported(t.exchanged(nil)) }},
	{id: "PR-06", about: "documents are there as files (PDF) and as structured forms", run: func(t *T) {
		x := t.exchanged(nil)
		pdf := slices.ContainsFunc(x.lines["DocumentReference"], func(l gjson.Result) bool { return l.Get("content.0.attachment.contentType").Str == "application/pdf" })
		t.check(pdf && len(x.lines["QuestionnaireResponse"]) > 0, "a PDF is there: %t; forms: %d", pdf, len(x.lines["QuestionnaireResponse"]))
	}},
	{id: "PR-07", about: "documents are linked by supportingInfo with category additionalInformation", run: func(t *T) {
		linked := slices.ContainsFunc(t.exchanged(nil).auths(), func(l gjson.Result) bool {
			return l.Get("supportingInfo.0.category.coding.0.code").Str == "additionalInformation" && l.Get("supportingInfo.0.valueReference.reference").Exists()
		})
		t.check(linked, "none is linked so")
	}},
	{id: "PR-08", about: "no prior authorization is for a prescription drug", run: func(t *T) {
		for _, a := range t.exchanged(nil).auths() {
			t.check(!strings.Contains(a.Get("item").Raw, "sid/ndc"), "one is for a drug")
		}
	}},
	{id: "PR-09", about: "what was imported before the export began is in it", run: func(t *T) { t.complete(t.exchanged(nil)) }},
	{id: "PR-10", about: "prior authorizations name the PDex profile and their use", run: func(t *T) {
		for _, a := range t.exchanged(nil).auths() {
			t.check(strings.Contains(a.Get("meta.profile").Raw, fhir.PriorAuthProfile), "one has another profile")
		}
	}},
	{id: "PR-11", about: "one approved six years ago and in force comes", run: func(t *T) { t.scenarios(t.exchanged(nil), true) }},
	{id: "PR-12", about: "dental claims come", run: func(t *T) {
		t.check(t.exchanged(nil).hasProfile("-Oral-Basis"), "there is none")
	}},
	{id: "PR-13", about: "claims name a CARIN Basis profile, prior authorizations the PDex one", run: func(t *T) { t.profiles(t.exchanged(nil).export) }},
	{id: "CF-08", about: "with sensitive data tagged, consents to the rest are honoured", run: func(t *T) {
		regular := slices.ContainsFunc(t.exchanged(nil).truth, func(r seed.RequestTruth) bool { return r.Policy == "regular" })
		t.check(regular, "nobody with such a consent matched")
	}},
	{id: "CF-09", about: "nothing labelled comes of those who consented to the rest, and it does of others in the same Group", run: func(t *T) {
		x := t.exchanged(nil)
		policy, labelled := map[string]string{}, map[string]int{}
		for _, row := range x.truth {
			policy[row.Patient] = row.Policy
		}
		for _, lines := range x.lines {
			for _, line := range lines {
				if f := t.facts(line); f.Sensitive {
					labelled[policy[string(f.Patient)]]++
				}
			}
		}
		t.check(labelled["regular"] == 0 && labelled["sensitive"] > 0, "labelled lines by policy: %v", labelled)
	}},
	{id: "AU-04", about: "each exchange names the payer as transmitter, unless _type leaves Provenance out", run: func(t *T) {
		x := t.exchanged(nil)
		found := 0
		for _, p := range x.lines["Provenance"] {
			if p.Get("target.0.reference").Str != "Group/"+x.group {
				continue
			}
			found++
			t.check(p.Get("agent.0.type.coding.0.code").Str == "transmitter" && p.Get("agent.0.who.identifier.value").Str == seed.PayerNPI, "it does not name the payer")
		}
		t.check(found == 1, "%d name the exchange", found)
		t.check(len(t.exchanged(url.Values{"_type": {"Patient"}}).lines["Provenance"]) == 0, "_type=Patient gives Provenance")
	}},
	{id: "PM-27", about: "LatestProvenanceResources gives one Provenance of a target, RelevantProvenanceResources all", run: func(t *T) {
		latest, all := t.provenance("LatestProvenanceResources"), t.provenance("RelevantProvenanceResources")
		seen := map[string]bool{}
		for _, p := range latest.lines["Provenance"] {
			target := p.Get("target").Raw
			t.check(!seen[target], "there are two of one target")
			seen[target] = true
		}
		t.check(len(seen) > 0 && len(all.lines["Provenance"]) >= len(seen), "%d and %d are there", len(seen), len(all.lines["Provenance"]))
	}},
	{id: "PM-28", about: "of two values the one that gives more holds", run: func(t *T) {
		both, all := t.provenance("LatestProvenanceResources,RelevantProvenanceResources"), t.provenance("RelevantProvenanceResources")
		t.check(len(both.lines["Provenance"]) == len(all.lines["Provenance"]), "%d with both, %d with the one", len(both.lines["Provenance"]), len(all.lines["Provenance"]))
	}},
	{id: "PM-30", about: "Provenance comes without _type, and not with one that leaves it out", run: func(t *T) {
		t.check(len(t.everything().lines["Provenance"]) > 1, "there is none")
		x := t.export(t.backend(), "Patient/$export", url.Values{"_type": {"Patient"}})
		t.check(len(x.lines["Provenance"]) == 0, "_type=Patient gives Provenance")
	}},
	{id: "AU-05", about: "Provenance of members' resources comes, and its targets are there", run: func(t *T) {
		x := t.exchanged(nil)
		patients, covered := x.ids("Patient"), 0
		for _, p := range x.lines["Provenance"] {
			if id, ok := strings.CutPrefix(p.Get("target.0.reference").Str, "Patient/"); ok && patients[id] {
				covered++
			}
		}
		t.check(covered == len(patients), "of %d Patients %d have one", len(patients), covered)
	}},
	{id: "NF-01", about: "claims leave without amounts, by Basis profiles", run: func(t *T) {
		x := t.exchanged(nil)
		t.noMoney(x.export)
		t.profiles(x.export)
	}},
	{id: "NF-02", about: "meta.profile names the Basis profile", run: func(t *T) { t.profiles(t.exchanged(nil).export) }},
	{id: "NF-03", about: "a client with a value-based contract gets amounts, a payer with the same flag does not", run: func(t *T) {
		for kind, amounts := range map[models.ClientKind]bool{models.ClientBackend: true, models.ClientPayer: false} {
			c := t.valueBased(kind)
			path := "$export"
			if kind == models.ClientPayer {
				request, _ := t.request(9, 12)
				path = "Group/" + t.match(c, request).matched(t).Get("id").Str + "/$davinci-data-export"
			}
			x := t.export(c, path, url.Values{"_type": {"ExplanationOfBenefit"}})
			got := slices.ContainsFunc(x.lines["ExplanationOfBenefit"], func(l gjson.Result) bool { return strings.Contains(l.Raw, `"currency"`) })
			t.check(got == amounts, "a %s gets amounts: %t", kind, got)
		}
	}},
	{id: "NF-04", about: "no amount is in any line of any type, for back ends too", run: func(t *T) { t.noMoney(t.everything()) }},
	{id: "NF-05", about: "prior authorizations keep units and decision, and no entry has half of an amount", run: func(t *T) {
		units, decisions := 0, 0
		for _, a := range t.exchanged(nil).auths() {
			for _, e := range a.Get("item.0.adjudication").Array() {
				if e.Get("value").Exists() {
					units++
				}
				if e.Get("extension").Exists() {
					decisions++
				}
				if amount := e.Get("amount"); amount.Exists() {
					t.check(amount.Get("extension.0.valueCode").Str == "masked" && !amount.Get("value").Exists(), "an entry has an amount")
				}
			}
		}
		t.check(units > 0 && decisions > 0, "%d entries with units, %d with a decision", units, decisions)
	}},
	{id: "NF-06", about: "Coverage tells no cost sharing", run: func(t *T) { t.noMoney(t.exchanged(url.Values{"_type": {"Coverage"}}).export) }},
}

// scenarios wants prior authorizations by what the truth says of their status.
func (t *T) scenarios(x *exchange, leave bool) {
	truths := t.truths()
	want := 0
	for _, row := range x.truth {
		for name, counts := range truths[row.Patient].PriorAuths {
			if gone := name == "denied-13-months" || name == "expired" || name == "drug"; gone != leave {
				want += counts["ExplanationOfBenefit"]
			}
		}
	}
	t.check(want > 0 && len(x.auths()) == want, "%d are there, %d should be", len(x.auths()), want)
}

// supported wants every document that a prior authorization names.
func (t *T) supported(x *exchange) {
	n := 0
	for _, a := range x.auths() {
		for _, ref := range a.Get("supportingInfo.#.valueReference.reference").Array() {
			typ, id, _ := strings.Cut(ref.Str, "/")
			t.check(x.ids(typ)[id], "a %s is missing", typ)
			n++
		}
	}
	t.check(n > 0, "none has documents")
}

// profiles wants the Basis profile of every claim.
func (t *T) profiles(x *export) {
	n := 0
	for _, line := range x.lines["ExplanationOfBenefit"] {
		profile := line.Get("meta.profile.0").Str
		if line.Get("use").Str == "preauthorization" {
			t.check(profile == fhir.PriorAuthProfile, "a prior authorization has another profile")
			continue
		}
		n++
		t.check(strings.HasSuffix(profile, "-Basis"), "a claim has another profile")
	}
	t.check(n > 0, "there are no claims")
}

func (x *export) hasProfile(suffix string) bool {
	return slices.ContainsFunc(x.lines["ExplanationOfBenefit"], func(l gjson.Result) bool { return strings.HasSuffix(l.Get("meta.profile.0").Str, suffix) })
}

// provenance exports members' Provenance with includeAssociatedData.
func (t *T) provenance(value string) *export {
	return t.export(t.backend(), "Patient/$export", url.Values{"_type": {"Patient"}, "includeAssociatedData": {value}})
}

// valueBased registers a client with a value-based contract.
func (t *T) valueBased(kind models.ClientKind) *client.Client {
	sys := t.ours()
	jwks, err := client.JWKS(t.world.key)
	t.must(err)
	p := system.Partner{
		ID: "check-vb-" + string(kind), Name: "value-based", Kind: kind, Scopes: []string{allData, matching},
		Organization: demo.Requester.Organization, OrganizationIDs: demo.Requester.OrganizationIDs,
	}
	body := struct {
		system.Partner
		JWKS       json.RawMessage `json:"jwks"`
		Active     bool            `json:"active"`
		ValueBased bool            `json:"valueBased"`
	}{p, jwks, true, true}
	t.must(sys.Admin(t.ctx, http.MethodPut, "/admin/clients/"+p.ID, body, nil))
	return t.world.client(p.ID, t.world.key, strings.Join(p.Scopes, " "))
}
