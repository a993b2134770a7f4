package seed

type visitKind uint8

const (
	officeVisit visitKind = iota
	wellnessVisit
	emergencyVisit
	inpatientStay
)

// visit is one encounter and everything that comes of it.
type visit struct {
	kind      visitKind
	from, to  day
	hour      int
	encounter string
	org       *provider
	doc       *practitioner
	ill       *condition
	condition string // id of the Condition that brought the member in
	label     string
	extra     int // place in procedures of what was done, -1 for nothing
}

// problem is an entry of the member's problem list.
type problem struct {
	ill   *condition
	id    string
	since day
}

// history writes the problem list and all visits with what follows from them.
func (e *emitter) history() {
	problems := e.problemList()
	age := e.age(e.anchor)
	visits := 6 + len(problems)
	switch {
	case age < 3:
		visits = min(6, 1+int(e.anchor-e.begun)/60)
	case age < 18:
		visits = 6
	case age >= 65:
		visits = 9 + len(problems)
	}
	for range max(1, e.scaled(visits+e.r.between(-2, 3))) {
		e.visit(problems)
	}
	for range e.scaled(e.r.n(3)) {
		if d := e.pastDay(); e.age(d) >= 3 {
			e.dentalClaim(d)
		}
	}
	for range e.scaled(2 + e.r.n(4)) {
		e.immunization(e.pastDay())
	}
}

func (e *emitter) problemList() []problem {
	var list []problem
	age := e.age(e.anchor)
	if age >= 12 {
		e.tryProblem(&list, &chronic[firstLabelledChronic+e.r.n(len(chronic)-firstLabelledChronic)], 240)
	}
	for range 4 {
		e.tryProblem(&list, &chronic[e.r.n(firstLabelledChronic)], min(700, 60+age*9))
	}
	return list
}

// tryProblem adds an illness with the given chance, if the member can have it and has not got it yet.
func (e *emitter) tryProblem(list *[]problem, ill *condition, permille int) {
	if !e.r.chance(permille) || !ill.fits(e.p, e.age(e.anchor)) {
		return
	}
	for _, known := range *list {
		if known.ill == ill {
			return
		}
	}
	since := e.pastDay()
	if e.r.chance(300) {
		since = e.clear(max(e.p.born, e.begun-day(e.r.n(2500))))
	}
	if !ill.fits(e.p, e.age(since)) {
		since = e.pastDay()
	}
	a := about{on: since, label: ill.label, ongoing: true}
	*list = append(*list, problem{ill: ill, id: e.diagnosis(ill, a, "problem-list-item", nil), since: since})
}

func (c *condition) fits(p *person, age int) bool {
	return age >= c.lo && age <= c.hi && (c.sex == 0 || c.sex == 'f' == p.female)
}

func (e *emitter) visit(problems []problem) {
	v := visit{from: e.pastDay(), hour: e.r.between(8, 17), extra: -1}
	v.to = v.from
	switch d := e.r.n(100); {
	case d < 26:
		v.kind = wellnessVisit
	case d < 33:
		v.kind, v.hour = emergencyVisit, e.r.n(23)
	case d < 37 && e.age(v.from) > 1:
		v.kind, v.to = inpatientStay, min(v.from+day(e.r.between(1, 6)), e.ended())
	}
	e.reason(&v, problems)
	e.place(&v)
	v.encounter = e.encounter(&v)
	if v.ill != nil && v.condition == "" {
		a := about{on: v.from, label: v.label}
		v.condition = e.diagnosis(v.ill, a, "encounter-diagnosis", &v)
	}
	e.vitals(&v)
	e.labs(&v)
	e.procedure(&v)
	if e.r.chance(280) || v.kind == inpatientStay {
		e.note(&v)
	}
	e.visitClaim(&v)
	if v.ill != nil && len(v.ill.meds) > 0 && e.r.chance(620) {
		e.prescribe(&v, pick(&e.r, v.ill.meds))
	}
}

// reason decides what a visit is for: a known problem half the time, else something new; check-ups have none.
func (e *emitter) reason(v *visit, problems []problem) {
	if v.kind == wellnessVisit {
		return
	}
	if len(problems) > 0 && e.r.chance(520) {
		if p := pick(&e.r, problems); p.since <= v.from {
			v.ill, v.condition, v.label = p.ill, p.id, p.ill.label
			return
		}
	}
	pool := acute[:firstLabelledAcute]
	if e.r.chance(35) {
		pool = acute[firstLabelledAcute:]
	}
	for range 8 {
		if ill := &pool[e.r.n(len(pool))]; ill.fits(e.p, e.age(v.from)) {
			v.ill, v.label = ill, ill.label
			return
		}
	}
	v.ill = &acute[len(acute[:firstLabelledAcute])-1]
}

func (e *emitter) place(v *visit) {
	switch {
	case v.kind == inpatientStay:
		v.doc = e.m.specialist(surgery, e.p.n)
	case v.kind == emergencyVisit:
		v.doc = e.m.specialist(emergency, e.r.n(8))
	case v.label == "PSY":
		v.doc = e.m.specialist(psychiatry, e.r.n(8))
	default:
		v.doc = e.primary()
	}
	v.org = v.doc.org
}

// primary is the member's usual practitioner: a pediatrician for the young.
func (e *emitter) primary() *practitioner {
	if e.age(e.anchor) < 18 {
		return e.m.specialist(3, int(e.index%3))
	}
	place := int(e.p.key % firstSpecialist)
	if place == 3 {
		place = 0
	}
	return e.m.specialist(place, int(e.p.key%2))
}

var encounterForms = [...]struct {
	class code
	cpt   string
	text  string
}{
	officeVisit:    {code{sysActCode, "AMB", "ambulatory"}, "99213", "Office visit, established patient"},
	wellnessVisit:  {code{sysActCode, "AMB", "ambulatory"}, "99396", "Preventive visit"},
	emergencyVisit: {code{sysActCode, "EMER", "emergency"}, "99284", "Emergency department visit"},
	inpatientStay:  {code{sysActCode, "IMP", "inpatient encounter"}, "99223", "Inpatient admission"},
}

func (e *emitter) encounter(v *visit) string {
	w, form := &e.w, encounterForms[v.kind]
	id := e.begin(Encounter, usCore+"encounter", about{on: v.from, label: v.label})
	w.arr("identifier")
	w.obj("")
	w.str("system", "https://records.example.org/encounter")
	w.str("value", "E"+id[:8])
	w.end()
	w.endArr()
	w.str("status", "finished")
	w.coding("class", form.class)
	w.concepts("type", form.text, code{sysCPT, form.cpt, ""})
	e.subject("subject")
	w.arr("participant")
	w.obj("")
	w.concepts("type", "", code{"http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "PPRF", "primary performer"})
	w.ref("individual", Practitioner, v.doc.id, "")
	w.end()
	w.endArr()
	w.obj("period")
	w.dateTime("start", v.from.at(v.hour, e.r.n(60), e.metro.offset), e.metro.offset)
	w.dateTime("end", v.to.at(v.hour+2, e.r.n(60), e.metro.offset), e.metro.offset)
	w.end()
	if v.ill != nil {
		w.concepts("reasonCode", v.ill.name, code{sysSNOMED, v.ill.snomed, v.ill.name})
	}
	if v.kind == inpatientStay {
		w.obj("hospitalization")
		w.concept("dischargeDisposition", "Home", code{"http://terminology.hl7.org/CodeSystem/discharge-disposition", "home", "Home"})
		w.end()
	}
	w.arr("location")
	w.obj("")
	w.ref("location", Location, v.org.locationID, v.org.name)
	w.end()
	w.endArr()
	w.ref("serviceProvider", Organization, v.org.id, v.org.name)
	e.finish(Encounter)
	return id
}

// diagnosis writes a Condition; v is the visit it was made at, nil for the problem list.
func (e *emitter) diagnosis(ill *condition, a about, category string, v *visit) string {
	w := &e.w
	profile := "condition-problems-health-concerns"
	if v != nil {
		profile = "condition-encounter-diagnosis"
	}
	status := "active"
	if v != nil {
		status = "resolved"
	}
	id := e.begin(Condition, usCore+profile, a)
	w.concept("clinicalStatus", "", code{"http://terminology.hl7.org/CodeSystem/condition-clinical", status, ""})
	w.concept("verificationStatus", "", code{"http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed", ""})
	w.concepts("category", "", code{"http://terminology.hl7.org/CodeSystem/condition-category", category, ""})
	w.concept("code", ill.name, code{sysSNOMED, ill.snomed, ill.name}, code{sysICD10, ill.icd, ""})
	e.subject("subject")
	if v != nil {
		w.ref("encounter", Encounter, v.encounter, "")
	}
	w.date("onsetDateTime", a.on)
	if v != nil {
		w.date("abatementDateTime", min(a.on+day(e.r.between(4, 30)), e.ended()+1))
	}
	w.date("recordedDate", a.on)
	e.finish(Condition)
	return id
}

func (e *emitter) immunization(d day) {
	w := &e.w
	v := vaccines[e.r.n(childVaccines)]
	if e.age(d) < 12 {
		v = vaccines[childVaccines+e.r.n(len(vaccines)-childVaccines)]
	}
	e.begin(Immunization, usCore+"immunization", about{on: d})
	w.str("status", "completed")
	w.concept("vaccineCode", v.name, code{sysCVX, v.code, v.name})
	e.subject("patient")
	w.date("occurrenceDateTime", d)
	w.boolean("primarySource", e.r.chance(700))
	org := &e.m.orgs[2+e.r.n(4)]
	w.ref("location", Location, org.locationID, org.name)
	w.str("lotNumber", "LT"+string(appendPadded(nil, e.r.n(100000), 5)))
	w.arr("performer")
	w.obj("")
	w.ref("actor", Organization, org.id, org.name)
	w.end()
	w.endArr()
	e.finish(Immunization)
}
