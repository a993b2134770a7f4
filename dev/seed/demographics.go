package seed

func (e *emitter) patient() {
	w, p := &e.w, e.p
	e.begin(Patient, usCore+"patient", about{known: max(p.born, e.anchor-day(e.r.between(5, 700)))})
	e.raceAndEthnicity()
	w.arr("identifier")
	w.identifier("MB", MemberSystem, e.memberID(p))
	w.identifier("MR", "https://records.example.org/mrn", "MRN"+string(appendPadded(nil, int(e.number(p)), 9)))
	if p.ssn != "" {
		w.identifier("SS", "http://hl7.org/fhir/sid/us-ssn", p.ssn)
	}
	if p.mbi != "" {
		w.identifier("MC", "http://hl7.org/fhir/sid/us-mbi", p.mbi)
	}
	w.endArr()
	w.boolean("active", true)
	e.names()
	w.arr("telecom")
	if p.phone != "" {
		w.telecom("phone", p.phone, "mobile")
	}
	w.telecom("phone", e.phone, "home")
	if p.email != "" {
		w.telecom("email", p.email, "home")
	}
	w.endArr()
	w.str("gender", p.gender())
	w.date("birthDate", p.born)
	if p.died != 0 {
		w.date("deceasedDateTime", p.died)
	}
	w.arr("address")
	w.address(&e.address, "home")
	if e.oldAddress != nil {
		w.address(e.oldAddress, "old")
	}
	w.endArr()
	if p.twin {
		w.num("multipleBirthInteger", 1+bit(p.n == e.shape.twin))
	}
	w.arr("communication")
	w.obj("")
	w.concept("language", "", code{"urn:ietf:bcp:47", e.language(), ""})
	w.boolean("preferred", true)
	w.end()
	w.endArr()
	e.finish(Patient)
}

func (e *emitter) names() {
	w, p := &e.w, e.p
	w.arr("name")
	w.obj("")
	w.str("use", "official")
	w.str("family", p.family)
	w.strs("given", p.given, p.middle)
	if p.suffix != "" {
		w.strs("suffix", p.suffix)
	}
	w.end()
	if p.nick != "" {
		w.obj("")
		w.str("use", "nickname")
		w.str("family", p.family)
		w.strs("given", p.nick)
		w.end()
	}
	if p.maiden != "" {
		w.obj("")
		w.str("use", "maiden")
		w.str("family", p.maiden)
		w.strs("given", p.given)
		w.end()
	}
	w.endArr()
}

var races = [...]code{
	{sysRace, "2106-3", "White"},
	{sysRace, "2106-3", "White"},
	{sysRace, "2054-5", "Black or African American"},
	{sysRace, "2028-9", "Asian"},
	{sysRace, "2028-9", "Asian"},
	{sysRace, "2106-3", "White"},
}

func (e *emitter) raceAndEthnicity() {
	w, p := &e.w, e.p
	which := 0
	for i := range cultures {
		if p.culture == &cultures[i] {
			which = i
		}
	}
	ethnicity := code{sysRace, "2186-5", "Not Hispanic or Latino"}
	if p.culture.doubleSurname {
		ethnicity = code{sysRace, "2135-2", "Hispanic or Latino"}
	}
	w.arr("extension")
	w.ombExtension(usCore+"race", races[which])
	w.ombExtension(usCore+"ethnicity", ethnicity)
	w.obj("")
	w.str("url", usCore+"birthsex")
	if p.female {
		w.str("valueCode", "F")
	} else {
		w.str("valueCode", "M")
	}
	w.end()
	w.endArr()
}

func (w *jsonWriter) ombExtension(url string, c code) {
	w.obj("")
	w.arr("extension")
	w.obj("")
	w.str("url", "ombCategory")
	w.coding("valueCoding", c)
	w.end()
	w.obj("")
	w.str("url", "text")
	w.str("valueString", c.display)
	w.end()
	w.endArr()
	w.str("url", url)
	w.end()
}

func (e *emitter) language() string {
	if e.p.culture.doubleSurname && e.r.chance(350) {
		return "es"
	}
	return "en"
}

func (w *jsonWriter) telecom(system, value, use string) {
	w.obj("")
	w.str("system", system)
	w.str("value", value)
	w.str("use", use)
	w.end()
}

func (w *jsonWriter) address(a *address, use string) {
	w.obj("")
	if use != "" {
		w.str("use", use)
	}
	w.strs("line", a.line, a.unit)
	w.str("city", a.town)
	w.str("state", a.state)
	w.str("postalCode", a.zip)
	w.str("country", "US")
	if a.from != 0 {
		w.dates("period", a.from, a.to)
	}
	w.end()
}

// coverages writes the current Coverage and, for some, the one before it, so that every day of the member's history is
// covered.
func (e *emitter) coverages() {
	started := e.begun
	if started != e.p.born {
		started -= day(e.r.n(1500))
		started = max(started, e.p.born)
	}
	e.switched, e.previous = started, ""
	if years := int(e.anchor-started) / 365; years > 2 && e.r.chance(300) {
		e.switched = e.anchor.addYears(-e.r.between(1, min(4, years-1)))
		e.previous = e.coverage("cancelled", started, e.switched-1, &plans[e.r.n(6)])
	}
	e.current = e.coverage("active", e.switched, 0, e.plan)
}

// coverageOn is the id of the Coverage that held on a day.
func (e *emitter) coverageOn(d day) string {
	if d < e.switched && e.previous != "" {
		return e.previous
	}
	return e.current
}

func (e *emitter) coverage(status string, from, to day, p *plan) string {
	w := &e.w
	known := from
	if to != 0 {
		known = to
	}
	id := e.begin(Coverage, hrex+"hrex-coverage", about{known: max(known, e.anchor-day(e.r.between(5, 400)))})
	w.arr("identifier")
	w.identifier("MB", MemberSystem, e.memberID(e.p))
	w.endArr()
	w.str("status", status)
	w.concept("type", "", p.kind)
	subscriber := &e.people[0]
	w.ref("policyHolder", Patient, subscriber.id(Patient, 0), "")
	w.ref("subscriber", Patient, subscriber.id(Patient, 0), "")
	w.str("subscriberId", e.subscriberID)
	e.subject("beneficiary")
	w.str("dependent", string(appendPadded(nil, e.p.n, 2)))
	w.concept("relationship", "", code{"http://terminology.hl7.org/CodeSystem/subscriber-relationship", relationshipCodes[e.p.role], ""})
	w.dates("period", from, to)
	w.arr("payor")
	w.ref("", Organization, PayerID, PayerName)
	w.endArr()
	w.arr("class")
	w.class("group", e.group, e.employer)
	w.class("plan", p.id, p.name)
	w.endArr()
	w.str("network", p.network)
	w.arr("costToBeneficiary")
	w.obj("")
	w.concept("type", "", code{"http://terminology.hl7.org/CodeSystem/coverage-copay-type", "gpvisit", "GP Office Visit"})
	w.money("valueMoney", 1500+500*e.tier)
	w.end()
	w.endArr()
	e.finish(Coverage)
	return id
}

func (w *jsonWriter) class(kind, value, name string) {
	w.obj("")
	w.concept("type", "", code{"http://terminology.hl7.org/CodeSystem/coverage-class", kind, ""})
	w.str("value", value)
	if name != "" {
		w.str("name", name)
	}
	w.end()
}
