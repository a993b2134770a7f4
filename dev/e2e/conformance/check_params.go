package conformance

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// instant is the parameter name with the instant between.
func instant(name string) string { return `{"name":"` + name + `","valueInstant":"` + between + `"}` }

// annWith exports what there is about ann with more parameters.
func (t *T) annWith(more ...string) *export {
	t.ours()
	return t.post(t.backend(), "Patient/$export", annOnly(more...))
}

// refusedExport wants a 400 for an export with a query.
func (t *T) refusedExport(query string) {
	a := t.call(t.backend(), http.MethodGet, "Patient/$export?"+query, async(), nil)
	t.refused(query, a, http.StatusBadRequest, http.StatusUnprocessableEntity)
}

// has wants an export's ids of a type to be exactly these.
func (t *T) has(x *export, typ string, ids ...string) {
	got := x.ids(typ)
	t.check(len(got) == len(ids), "%d of %s instead of %d", len(got), typ, len(ids))
	for _, id := range ids {
		t.check(got[id], "%s/%s is missing", typ, id)
	}
}

var parameterChecks = []check{
	{id: "PM-01", about: "the three names of NDJSON are taken, a plus as a space too; text/csv is a 400", run: func(t *T) {
		c := t.backend()
		for _, format := range []string{"application/fhir%2Bndjson", "application/fhir+ndjson", "application/ndjson", "ndjson"} {
			t.accepted(c, http.MethodGet, "$export?_outputFormat="+format, async(), nil)
		}
		t.refusedExport("_outputFormat=text/csv")
	}},
	{id: "PM-02", about: "_since leaves out what is older; an instant that is none is a 400", run: func(t *T) {
		x := t.annWith(instant("_since"))
		got := x.ids("Observation")
		t.check(got["cx-new"] && !got["cx-old"], "the newer is there: %t; the older: %t", got["cx-new"], got["cx-old"])
		t.refusedExport("_since=yesterday")
	}},
	{id: "PM-03", about: "_since holds for all members of a Group alike", run: func(t *T) {
		c, id := t.group()
		x := t.export(c, "Group/"+id+"/$export", url.Values{"_since": {between}, "_type": {"Observation"}})
		for _, line := range x.lines["Observation"] {
			if line.Get("meta.lastUpdated").Str < between {
				return // of somebody who has joined later, which is allowed
			}
		}
		t.na("no older data of members who joined later are added: the Group's _since gives newer data only")
	}},
	{id: "PM-04", about: "_until leaves out what is newer", run: func(t *T) {
		got := t.annWith(instant("_until")).ids("Observation")
		t.check(got["cx-old"] && !got["cx-new"], "the older is there: %t; the newer: %t", got["cx-old"], got["cx-new"])
	}},
	{id: "PM-05", about: "_type gives those types alone", run: func(t *T) {
		x := t.annWith(named("_type", "Patient,Condition"))
		t.check(len(x.lines) == 2, "the output holds %s", x.types())
		t.has(x, "Patient", ann)
		t.has(x, "Condition", "cx-x", "cx-y")
	}},
	{id: "PM-06", about: "without _type everything comes, each resource once", run: func(t *T) {
		seeded, x := t.seeded(), t.everything()
		for typ, want := range seeded {
			got := x.ids(typ)
			t.check(len(got) == len(x.lines[typ]), "a %s is there twice", typ)
			for id := range want {
				t.check(got[id], "a %s is missing", typ)
			}
		}
		t.check(len(seeded) > 15, "only %d types were there to be exported", len(seeded))
	}},
	{id: "PM-07", about: "an unsupported _type is a 400; with handling=lenient it is told of in error", run: func(t *T) {
		t.refusedExport("_type=Nonesuch")
		c := t.backend()
		x := t.finish(c, t.start(c, http.MethodGet, "$export", url.Values{"_type": {"Organization,Nonesuch"}}, lenient(), nil))
		t.check(x.names("_type") && len(x.lines["Organization"]) > 0, "error does not name _type, or the other type is not there")
	}},
	{id: "PM-08", about: "a type beyond the token's scope is a 403", run: func(t *T) {
		a := t.call(t.narrow("system/Patient.rs"), http.MethodGet, "$export?_type=Observation", async(), nil)
		t.refused("_type=Observation", a, http.StatusForbidden)
	}},
	{id: "PM-15", about: "_typeFilter, _type and _since all hold at once", run: func(t *T) {
		x := t.annWith(instant("_since"), named("_type", "Observation"), named("_typeFilter", "Observation?status=final"))
		got := x.ids("Observation")
		t.check(got["cx-new"] && !got["cx-old"] && len(x.lines) == 1, "the output holds %s", x.types())
		x = t.annWith(instant("_since"), named("_type", "Observation"), named("_typeFilter", "Observation?code=http://loinc.org|8867-4"))
		t.check(len(x.lines) == 0, "what only one of them allows is there")
	}},
	{id: "PM-16", about: "_elements leaves the mandatory elements and SUBSETTED; nested ones are a 400", run: func(t *T) {
		x := t.annWith(named("_elements", "Patient.id,Patient.name"), named("_type", "Patient"))
		t.has(x, "Patient", ann)
		p := x.lines["Patient"][0]
		t.check(p.Get("name").Exists() && !p.Get("birthDate").Exists() && !p.Get("gender").Exists(), "the wrong elements are left out")
		t.check(p.Get(`meta.tag.#(code=="SUBSETTED").system`).Str == "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "there is no SUBSETTED")
		x = t.annWith(named("_elements", "Observation.id"), named("_type", "Observation"))
		o := x.lines["Observation"][0]
		t.check(o.Get("status").Exists() && o.Get("code").Exists() && !o.Get("subject").Exists(), "mandatory elements are left out, or others are not")
		t.refusedExport("_elements=Patient.name.family.extension")
	}},
	{id: "PM-17", about: "unsupported _elements are a 400", run: func(t *T) {
		if a := t.accepted2("Patient/$export?_elements=Patient.id"); a.status == http.StatusAccepted {
			t.na("_elements is supported")
		}
		t.refusedExport("_elements=Patient.id")
	}},
	{id: "PM-18", about: "patient gives that one's compartment alone; at system level and with GET it is a 400", run: func(t *T) {
		x := t.special()
		t.has(x, "Patient", ann)
		t.check(!x.ids("Observation")["cx-bobs"], "another's Observation is there")
		c := t.backend()
		t.refused("at system level", t.call(c, http.MethodPost, "$export", posting(), body(patientParameter(ann))), 400, 422)
		t.refusedExport("patient=Patient/" + ann)
	}},
	{id: "PM-19", about: "$export with somebody who is not a member is a 400", run: func(t *T) {
		c, id := t.group()
		t.ours()
		t.refused("Group", t.call(c, http.MethodPost, "Group/"+id+"/$export", posting(), body(patientParameter(ann))), 400, 422)
		t.refused("Patient", t.call(t.backend(), http.MethodPost, "Patient/$export", posting(), body(patientParameter("nonesuch"))), 400, 422)
	}},
	{id: "PM-20", about: "$davinci-data-export goes on without somebody who is not a member", run: func(t *T) {
		x, member := t.strangers()
		t.has(x, "Patient", member)
	}},
	{id: "PM-21", about: "each patient that was ignored has its OperationOutcome in error", run: func(t *T) {
		x, _ := t.strangers()
		n := 0
		for _, line := range x.errors { // others may be told there too
			for _, issue := range line.Get("issue").Array() {
				if strings.HasPrefix(issue.Get("expression.0").Str, "Parameters.parameter[") {
					n++
				}
			}
		}
		t.check(n == 2, "%d issues for 2 patients", n)
	}},
	{id: "PM-22", about: "without patient all members come", run: func(t *T) {
		p := t.payers()
		x := t.post(p.a, "Group/"+p.groupA+"/$davinci-data-export", named("_type", "Patient"))
		got := x.ids("Patient")
		t.check(len(got) == len(p.members), "%d of %d members", len(got), len(p.members))
		for id := range p.members {
			t.check(got[id], "a member is missing")
		}
	}},
	{id: "PM-23", about: "exportType of a payer's Group: payertopayer or none 202, another 400", run: func(t *T) {
		c, id := t.group()
		path := "Group/" + id + "/$davinci-data-export"
		t.accepted(c, http.MethodPost, path, posting(), body(named("exportType", p2p)))
		t.accepted(c, http.MethodPost, path, posting(), body(""))
		for _, other := range []string{"hl7.fhir.us.davinci-pdex#provider-download", "nonesuch"} {
			t.refused(other, t.call(c, http.MethodPost, path, posting(), body(named("exportType", other))), 400)
		}
	}},
	{id: "PM-26", about: "exportType cut off at # is a 400; as Canonical, Uri, String and Code it is taken", run: func(t *T) {
		c, id := t.group()
		path := "Group/" + id + "/$davinci-data-export"
		t.refused("cut off", t.call(c, http.MethodGet, path+"?exportType=hl7.fhir.us.davinci-pdex", async(), nil), 400)
		for _, value := range []string{"valueCanonical", "valueUri", "valueString", "valueCode"} {
			t.accepted(c, http.MethodPost, path, posting(), body(`{"name":"exportType","`+value+`":"`+p2p+`"}`))
		}
	}},
	{id: "PM-29", about: "an unsupported includeAssociatedData is a 400", run: func(t *T) { t.refusedExport("includeAssociatedData=_nonesuch") }},
	{id: "PM-31", about: "organizeOutputBy", run: func(t *T) {
		t.refusedExport("organizeOutputBy=Organization")
		t.refusedExport("organizeOutputBy=Patient&_outputFormat=application/vnd.apache.parquet")
		plain, got := map[string]bool{}, map[string]bool{}
		for _, lines := range t.export(t.backend(), "Patient/$export", url.Values{"_type": {organizedTypes}}).lines {
			for _, line := range lines {
				plain[line.Get("resourceType").Str+"/"+line.Get("id").Str] = true
			}
		}
		x := t.organized()
		seen := map[string]bool{}
		for _, f := range x.m.Output {
			of := ""
			for _, line := range t.download(t.backend(), x.m, f) {
				switch line.Get("resourceType").Str {
				case "Parameters":
					of = line.Get(`parameter.#(name=="header").valueReference.reference`).Str
					t.check(strings.HasPrefix(of, "Patient/") && !seen[of], "a header refers to no Patient, or to one that had its block")
					seen[of] = true
				case "Patient":
					t.check(of == "Patient/"+line.Get("id").Str, "a Patient stands under another's header")
				default:
					t.check(of != "" && strings.Contains(line.Raw, `"`+of+`"`), "a line does not refer to the Patient of its header")
				}
				if line.Get("resourceType").Str != "Parameters" {
					got[line.Get("resourceType").Str+"/"+line.Get("id").Str] = true
				}
			}
		}
		t.check(len(got) > 0 && maps.Equal(plain, got), "%d resources, %d without the parameter, or others", len(got), len(plain))
	}},
	{id: "PM-32", about: "allowPartialManifests is taken, and the manifest holds everything", run: func(t *T) {
		x := t.export(t.backend(), "$export", url.Values{"_type": {"Organization"}, "allowPartialManifests": {"true"}})
		t.check(len(x.lines["Organization"]) > 0, "the output is empty")
	}},
	{id: "PM-33", about: "$davinci-data-export takes the parameters of Bulk Data", run: func(t *T) {
		c, id := t.group()
		for _, query := range []string{"_outputFormat=ndjson", "_elements=id", "includeAssociatedData=RelevantProvenanceResources"} {
			t.accepted(c, http.MethodGet, "Group/"+id+"/$davinci-data-export?"+query, async(), nil)
		}
	}},
	{id: "PM-34", about: "an unknown parameter is a 400; with handling=lenient it is told of in error", run: func(t *T) {
		t.refusedExport("nonesuch=1")
		c := t.backend()
		x := t.finish(c, t.start(c, http.MethodGet, "$export", url.Values{"_type": {"Organization"}, "nonesuch": {"1"}}, lenient(), nil))
		t.check(x.names("nonesuch"), "error does not name it")
	}},
	{id: "PM-35", about: "_type as a list and repeated, in a query and in a body, gives the same", run: func(t *T) {
		c := t.backend()
		want := t.post(c, "Patient/$export", named("_type", "Patient,Device"))
		t.same(want, t.post(c, "Patient/$export", named("_type", "Patient")+","+named("_type", "Device")), "Patient", "Device")
		t.same(want, t.export(c, "Patient/$export", url.Values{"_type": {"Patient,Device"}}), "Patient", "Device")
		t.same(want, t.export(c, "Patient/$export", url.Values{"_type": {"Patient", "Device"}}), "Patient", "Device")
	}},
}

// accepted2 starts an export and deletes it again, whatever the answer.
func (t *T) accepted2(path string) answer {
	c := t.backend()
	a := t.call(c, http.MethodGet, path, async(), nil)
	if a.status == http.StatusAccepted {
		t.call(c, http.MethodDelete, a.header.Get("Content-Location"), nil, nil)
	}
	return a
}

// strangers exports a Group for one of its members and two who are none, and returns the member.
func (t *T) strangers() (*export, string) {
	p := t.payers()
	for id := range p.members {
		return t.post(p.a, "Group/"+p.groupA+"/$davinci-data-export",
			patientParameter(id)+","+patientParameter(ann)+","+patientParameter("nonesuch")), id
	}
	t.fail("the Group has no members")
	return nil, ""
}

// searches are the search parameters that PDex, US Core and CARIN name for the types, with a value.
var searches = []string{
	"AllergyIntolerance?clinical-status=active", "AllergyIntolerance?patient=Patient/x", "CarePlan?category=assess-plan", "CarePlan?date=ge2020",
	"CarePlan?patient=x", "CarePlan?status=active", "CareTeam?patient=x", "CareTeam?status=active", "CareTeam?role=x",
	"Condition?category=x", "Condition?clinical-status=active", "Condition?patient=x", "Condition?onset-date=ge2020", "Condition?asserted-date=ge2020",
	"Condition?recorded-date=ge2020", "Condition?abatement-date=ge2020", "Condition?code=x", "Condition?encounter=Encounter/x",
	"Coverage?patient=x", "Coverage?payor=Organization/x", "Device?patient=x", "Device?type=x", "Device?status=active",
	"DiagnosticReport?status=final", "DiagnosticReport?patient=x", "DiagnosticReport?category=LAB", "DiagnosticReport?code=x", "DiagnosticReport?date=ge2020",
	"DocumentReference?_id=x", "DocumentReference?status=current", "DocumentReference?patient=x", "DocumentReference?category=x",
	"DocumentReference?type=x", "DocumentReference?date=ge2020", "DocumentReference?period=ge2020",
	"Encounter?_id=x", "Encounter?class=AMB", "Encounter?date=ge2020", "Encounter?identifier=x", "Encounter?patient=x", "Encounter?location=Location/x",
	"Encounter?status=finished", "Encounter?type=x", "Encounter?discharge-disposition=x",
	"Goal?lifecycle-status=active", "Goal?patient=x", "Goal?target-date=ge2020", "Goal?description=x",
	"Immunization?patient=x", "Immunization?status=completed", "Immunization?date=ge2020",
	"Location?name=x", "Location?address=x", "Location?address-city=x", "Location?address-state=x", "Location?address-postalcode=x",
	"MedicationDispense?status=completed", "MedicationDispense?type=x", "MedicationDispense?patient=x",
	"MedicationRequest?status=active", "MedicationRequest?intent=order", "MedicationRequest?patient=x", "MedicationRequest?encounter=Encounter/x",
	"MedicationRequest?authoredon=ge2020", "Observation?status=final", "Observation?category=laboratory", "Observation?code=x", "Observation?date=ge2020",
	"Observation?patient=x", "Organization?name=x", "Organization?address=x", "Patient?_id=x", "Patient?birthdate=ge1950", "Patient?death-date=ge2020",
	"Patient?family=x", "Patient?gender=male", "Patient?given=x", "Patient?identifier=x", "Patient?name=x",
	"Practitioner?_id=x", "Practitioner?name=x", "Practitioner?identifier=x", "PractitionerRole?specialty=x", "PractitionerRole?practitioner=Practitioner/x",
	"Procedure?status=completed", "Procedure?patient=x", "Procedure?date=ge2020", "Procedure?code=x",
	"QuestionnaireResponse?_id=x", "QuestionnaireResponse?patient=x", "QuestionnaireResponse?status=completed", "QuestionnaireResponse?authored=ge2020",
	"QuestionnaireResponse?questionnaire=http://example.org/q", "RelatedPerson?_id=x", "RelatedPerson?patient=x", "RelatedPerson?name=x",
	"ServiceRequest?status=active", "ServiceRequest?patient=x", "ServiceRequest?category=x", "ServiceRequest?code=x", "ServiceRequest?authored=ge2020",
	"ServiceRequest?_id=x", "Specimen?_id=x", "Specimen?patient=x",
	"ExplanationOfBenefit?_id=x", "ExplanationOfBenefit?_lastUpdated=ge2020", "ExplanationOfBenefit?patient=x", "ExplanationOfBenefit?type=x",
	"ExplanationOfBenefit?identifier=x", "ExplanationOfBenefit?service-date=ge2020", "ExplanationOfBenefit?service-start-date=ge2020",
	"ExplanationOfBenefit?billable-period-start=ge2020", "ExplanationOfBenefit?provider=Organization/x", "ExplanationOfBenefit?care-team=Practitioner/x",
	"ExplanationOfBenefit?coverage=Coverage/x", "ExplanationOfBenefit?insurer=Organization/x", "ExplanationOfBenefit?use=claim",
	"ExplanationOfBenefit?_profile=http://example.org/p", "Group?identifier=x", "Group?characteristic=x",
	"Group?characteristic-value-reference=Organization/x", "Group?code=match", "Consent?patient=x", "Consent?_id=x", "Consent?category=x", "Consent?status=active",
	"Consent?provision-type=permit", "Consent?provision-action=disclose", "Consent?provider-access=x",
}

var filterChecks = []check{
	{id: "PM-09", about: "_typeFilter gives what fits alone", run: func(t *T) {
		x := t.annWith(named("_type", "Observation"), named("_typeFilter", "Observation?code=http://loinc.org|8310-5"))
		t.has(x, "Observation", "cx-new")
	}},
	{id: "PM-10", about: "an unsupported search parameter is a 400, also with handling=lenient", run: func(t *T) {
		t.refusedExport("_typeFilter=" + url.QueryEscape("Observation?nonesuch=1"))
		a := t.call(t.backend(), http.MethodGet, "Patient/$export?_typeFilter="+url.QueryEscape("Observation?nonesuch=1"), lenient(), nil)
		t.refused("lenient", a, http.StatusBadRequest)
	}},
	{id: "PM-11", about: "result parameters, a query without a type and a path are 400", run: func(t *T) {
		for _, filter := range []string{"Observation?_sort=date", "Observation?_include=Observation:subject", "Observation?_elements=id", "Observation?_count=1", "?code=x", "Patient/1/Observation?code=x"} {
			t.refusedExport("_typeFilter=" + url.QueryEscape(filter))
		}
	}},
	{id: "PM-12", about: fmt.Sprintf("the %d search parameters of PDex, US Core and CARIN BB are taken", len(searches)), run: func(t *T) {
		c := t.backend()
		var unknown []string
		for _, filter := range searches {
			a := t.call(c, http.MethodGet, "$export?_typeFilter="+url.QueryEscape(filter), async(), nil)
			if a.status != http.StatusAccepted {
				unknown = append(unknown, filter)
				continue
			}
			t.call(c, http.MethodDelete, a.header.Get("Content-Location"), nil, nil)
		}
		t.check(len(unknown) == 0, "refused: %s", strings.Join(unknown, " "))
	}},
	{id: "PM-13", about: "several filters of a type: any fits; types without one are whole", run: func(t *T) {
		x := t.annWith(named("_type", "MedicationRequest,Condition"), named("_typeFilter", "MedicationRequest?status=active,MedicationRequest?status=completed"))
		t.has(x, "MedicationRequest", "cx-active", "cx-completed")
		t.has(x, "Condition", "cx-x", "cx-y")
	}},
	{id: "PM-14", about: "a comma within a query is an or, one between queries parts them, as repeating does", run: func(t *T) {
		types := named("_type", "MedicationRequest,Condition")
		x := t.annWith(types, named("_typeFilter", "MedicationRequest?status=active,completed,Condition?code=http://snomed.info/sct|38341003"))
		y := t.annWith(types, named("_typeFilter", "MedicationRequest?status=active,completed"), named("_typeFilter", "Condition?code=http://snomed.info/sct|38341003"))
		for _, e := range []*export{x, y} {
			t.has(e, "MedicationRequest", "cx-active", "cx-completed")
			t.has(e, "Condition", "cx-x")
		}
	}},
}
