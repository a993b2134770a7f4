package seed

// undated writes what has no date of service: allergies, devices, care team, goals, and the care plan with its period.
func (e *emitter) undated() {
	if e.r.chance(330) {
		for range 1 + e.r.n(2) {
			e.allergy()
		}
	}
	if e.age(e.anchor) >= 40 && e.r.chance(220) {
		e.device()
	}
	if e.p.died != 0 {
		return
	}
	if e.r.chance(620) {
		e.careTeam()
	}
	if e.age(e.anchor) >= 18 && e.r.chance(480) {
		e.carePlan(e.goal())
	}
}

func (e *emitter) allergy() {
	w, a := &e.w, pick(&e.r, allergens)
	e.begin(AllergyIntolerance, usCore+"allergyintolerance", about{known: e.pastDay()})
	w.concept("clinicalStatus", "", code{"http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", ""})
	w.concept("verificationStatus", "", code{"http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "confirmed", ""})
	w.str("type", "allergy")
	w.strs("category", a.category)
	w.str("criticality", pick(&e.r, []string{"low", "high", "unable-to-assess"}))
	w.concept("code", a.name, code{sysSNOMED, a.code, a.name})
	e.subject("patient")
	w.arr("reaction")
	w.obj("")
	w.concepts("manifestation", a.reactionName, code{sysSNOMED, a.reaction, a.reactionName})
	w.str("severity", pick(&e.r, []string{"mild", "moderate", "severe"}))
	w.end()
	w.endArr()
	e.finish(AllergyIntolerance)
}

func (e *emitter) device() {
	w, d := &e.w, pick(&e.r, devices)
	made := e.pastDay()
	id := e.begin(Device, usCore+"implantable-device", about{known: made})
	w.arr("udiCarrier")
	w.obj("")
	w.str("deviceIdentifier", "0999999"+string(appendPadded(nil, e.r.n(10_000_000), 7)))
	w.end()
	w.endArr()
	w.str("status", "active")
	w.str("lotNumber", "L"+id[:6])
	w.str("serialNumber", id[24:])
	w.date("manufactureDate", made-200)
	w.concept("type", d.name, code{sysSNOMED, d.code, d.name})
	e.subject("patient")
	e.finish(Device)
}

func (e *emitter) careTeam() {
	w, doc := &e.w, e.primary()
	e.begin(CareTeam, usCore+"careteam", about{known: e.pastDay()})
	w.str("status", "active")
	w.str("name", "Care team at "+doc.org.name)
	e.subject("subject")
	w.arr("participant")
	w.obj("")
	w.concepts("role", "", code{sysSNOMED, "446050000", "Primary care provider"})
	w.ref("member", Practitioner, doc.id, "")
	w.end()
	w.obj("")
	w.concepts("role", "", code{sysSNOMED, "116154003", "Patient"})
	e.subject("member")
	w.end()
	w.endArr()
	w.arr("managingOrganization")
	w.ref("", Organization, doc.org.id, doc.org.name)
	w.endArr()
	e.finish(CareTeam)
}

// goal returns the id of a Goal set in the last three years and due later.
func (e *emitter) goal() string {
	w := &e.w
	set := max(e.anchor-day(e.r.between(20, 1000)), e.begun)
	id := e.begin(Goal, usCore+"goal", about{known: set})
	w.str("lifecycleStatus", "active")
	w.obj("description")
	w.str("text", pick(&e.r, goals).name)
	w.end()
	e.subject("subject")
	w.date("startDate", set)
	w.arr("target")
	w.obj("")
	w.date("dueDate", e.anchor+day(e.r.between(30, 400)))
	w.end()
	w.endArr()
	e.finish(Goal)
	return id
}

func (e *emitter) carePlan(goal string) {
	w, doc := &e.w, e.primary()
	from := max(e.anchor-day(e.r.between(20, 1000)), e.begun)
	e.begin(CarePlan, usCore+"careplan", about{on: from})
	w.obj("text")
	w.str("status", "additional")
	w.str("div", `<div xmlns="http://www.w3.org/1999/xhtml"><p>Plan agreed with the member at `+doc.org.name+`.</p></div>`)
	w.end()
	w.str("status", "active")
	w.str("intent", "plan")
	w.concepts("category", "", code{"http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan", "Assessment and Plan of Treatment"})
	e.subject("subject")
	w.dates("period", from, 0)
	w.ref("author", Practitioner, doc.id, "")
	w.arr("goal")
	w.ref("", Goal, goal, "")
	w.endArr()
	e.finish(CarePlan)
}

// provenance says where the payer has the member's demographics and coverage from.
func (e *emitter) provenance() {
	w := &e.w
	known := max(e.p.born, e.anchor-day(e.r.between(5, 400)))
	e.begin(Provenance, pdex+"pdex-provenance", about{known: known})
	w.arr("target")
	e.subject("")
	w.ref("", Coverage, e.current, "")
	w.endArr()
	w.instant("recorded", known.at(4, e.r.n(60), 0), 0)
	w.concept("activity", "", code{"http://terminology.hl7.org/CodeSystem/v3-DataOperation", "UPDATE", "revise"})
	w.arr("agent")
	w.obj("")
	w.concept("type", "", code{"http://terminology.hl7.org/CodeSystem/provenance-participant-type", "author", "Author"})
	w.ref("who", Organization, PayerID, PayerName)
	w.end()
	w.obj("")
	w.concept("type", "", code{"http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type", "transmitter", "Transmitter"})
	w.ref("who", Organization, PayerID, PayerName)
	w.end()
	w.endArr()
	w.arr("entity")
	w.obj("")
	w.arr("extension")
	w.obj("")
	w.str("url", pdex+"ProvenanceSourceFrom")
	w.concept("valueCodeableConcept", "", code{"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/ProvenancePayerDataSource", "hl7v2other", ""})
	w.end()
	w.endArr()
	w.str("role", "source")
	w.obj("what")
	w.str("display", "Enrollment feed")
	w.end()
	w.end()
	w.endArr()
	e.finish(Provenance)
}
