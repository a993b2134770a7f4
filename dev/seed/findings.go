package seed

var (
	vitalSigns  = code{"http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs", "Vital Signs"}
	laboratoryC = code{"http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "Laboratory"}
)

// observe opens an Observation of the visit, up to where its value goes.
func (e *emitter) observe(profile string, category, what code, v *visit) string {
	w := &e.w
	id := e.begin(Observation, usCore+profile, about{on: v.from, label: v.label})
	w.str("status", "final")
	w.concepts("category", "", category)
	w.concept("code", what.display, what)
	e.subject("subject")
	w.ref("encounter", Encounter, v.encounter, "")
	w.dateTime("effectiveDateTime", v.from.at(v.hour, 10+e.r.n(40), e.metro.offset), e.metro.offset)
	w.arr("performer")
	w.ref("", Practitioner, v.doc.id, "")
	w.endArr()
	return id
}

type vitalSign struct {
	profile string
	analyte
	permille int // share of visits it is taken at
}

var vitals = []vitalSign{
	{"heart-rate", analyte{"8867-4", "Heart rate", "/min", 56, 104, 0}, 850},
	{"body-temperature", analyte{"8310-5", "Body temperature", "Cel", 361, 386, 1}, 600},
	{"respiratory-rate", analyte{"9279-1", "Respiratory rate", "/min", 12, 22, 0}, 500},
	{"pulse-oximetry", analyte{"2708-6", "Oxygen saturation in Arterial blood", "%", 93, 100, 0}, 400},
}

func (e *emitter) vitals(v *visit) {
	if e.r.chance(700) && e.age(v.from) > 2 {
		e.bloodPressure(v)
	}
	e.bodySize(v)
	for i := range vitals {
		s := &vitals[i]
		if !e.r.chance(s.permille) {
			continue
		}
		e.observe(s.profile, vitalSigns, code{sysLOINC, s.loinc, s.name}, v)
		e.w.quantity("valueQuantity", e.r.between(s.lo, s.hi), s.places, s.unit, s.unit)
		e.finish(Observation)
	}
}

func (e *emitter) bloodPressure(v *visit) {
	w := &e.w
	systolic := e.r.between(98, 158)
	e.observe("blood-pressure", vitalSigns, code{sysLOINC, "85354-9", "Blood pressure panel with all children optional"}, v)
	w.arr("component")
	for i, part := range [...]code{{sysLOINC, "8480-6", "Systolic blood pressure"}, {sysLOINC, "8462-4", "Diastolic blood pressure"}} {
		w.obj("")
		w.concept("code", "", part)
		w.quantity("valueQuantity", systolic-i*e.r.between(34, 58), 0, "mm[Hg]", "mm[Hg]")
		w.end()
	}
	w.endArr()
	e.finish(Observation)
}

// bodySize writes weight at most visits, height at check-ups; both follow from age and from the person.
func (e *emitter) bodySize(v *visit) {
	age := e.age(v.from)
	height := 158 + int(e.p.key%28) + bit(!e.p.female)*9
	if age < 18 {
		height = 50 + age*(height-52)/18
	}
	if e.r.chance(720) {
		e.observe("body-weight", vitalSigns, code{sysLOINC, "29463-7", "Body weight"}, v)
		e.w.quantity("valueQuantity", height*height*e.r.between(185, 325)/10000, 1, "kg", "kg")
		e.finish(Observation)
	}
	if v.kind == wellnessVisit {
		e.observe("body-height", vitalSigns, code{sysLOINC, "8302-2", "Body height"}, v)
		e.w.quantity("valueQuantity", height, 0, "cm", "cm")
		e.finish(Observation)
	}
}

// labs writes a panel: the one the illness calls for, or a routine one at check-ups.
func (e *emitter) labs(v *visit) {
	which := panelNone
	switch {
	case v.ill != nil && v.ill.panel != panelNone && e.r.chance(650):
		which = v.ill.panel
	case v.kind == wellnessVisit && e.age(v.from) >= 18 && e.r.chance(600):
		which = pick(&e.r, []int{panelMetabolic, panelBlood, panelLipid})
	case v.kind >= emergencyVisit && e.r.chance(700):
		which = panelBlood
	}
	if which == panelNone {
		return
	}
	results := make([]string, 0, 8)
	for i := range panels[which].analytes {
		results = append(results, e.result(&panels[which].analytes[i], v))
	}
	e.report(&panels[which], results, v)
}

func (e *emitter) result(a *analyte, v *visit) string {
	w := &e.w
	value := e.r.between(a.lo, a.hi)
	span := a.hi - a.lo
	low, high := a.lo+span/8, a.hi-span/4
	id := e.observe("observation-lab", laboratoryC, code{sysLOINC, a.loinc, a.name}, v)
	w.quantity("valueQuantity", value, a.places, a.unit, a.unit)
	flag := code{"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "N", "Normal"}
	switch {
	case value > high:
		flag.code, flag.display = "H", "High"
	case value < low:
		flag.code, flag.display = "L", "Low"
	}
	w.concepts("interpretation", "", flag)
	w.arr("referenceRange")
	w.obj("")
	w.quantity("low", low, a.places, a.unit, a.unit)
	w.quantity("high", high, a.places, a.unit, a.unit)
	w.end()
	w.endArr()
	e.finish(Observation)
	return id
}

func (e *emitter) report(p *panel, results []string, v *visit) {
	w, lab := &e.w, &e.m.orgs[8]
	e.begin(DiagnosticReport, usCore+"diagnosticreport-lab", about{on: v.from, label: v.label})
	w.str("status", "final")
	w.concepts("category", "", code{"http://terminology.hl7.org/CodeSystem/v2-0074", "LAB", "Laboratory"})
	w.concept("code", p.name, code{sysLOINC, p.loinc, p.name})
	e.subject("subject")
	w.ref("encounter", Encounter, v.encounter, "")
	w.dateTime("effectiveDateTime", v.from.at(v.hour, 10, e.metro.offset), e.metro.offset)
	w.instant("issued", (v.from+1).at(6, e.r.n(60), 0), 0)
	w.arr("performer")
	w.ref("", Organization, lab.id, lab.name)
	w.endArr()
	w.arr("result")
	for _, id := range results {
		w.ref("", Observation, id, "")
	}
	w.endArr()
	e.finish(DiagnosticReport)
}

func (e *emitter) procedure(v *visit) {
	switch {
	case v.kind == inpatientStay:
		v.extra = len(procedures) - 1 - e.r.n(inpatientProcedures)
	case e.r.chance(300):
		v.extra = e.r.n(len(procedures) - inpatientProcedures)
	default:
		return
	}
	w, what := &e.w, &procedures[v.extra]
	e.begin(Procedure, usCore+"procedure", about{on: v.from, label: v.label})
	w.str("status", "completed")
	w.concept("code", what.name, code{sysSNOMED, what.snomed, what.name}, code{sysCPT, what.cpt, ""})
	e.subject("subject")
	w.ref("encounter", Encounter, v.encounter, "")
	w.obj("performedPeriod")
	w.dateTime("start", v.from.at(v.hour, 20, e.metro.offset), e.metro.offset)
	w.dateTime("end", v.from.at(v.hour+1, e.r.n(60), e.metro.offset), e.metro.offset)
	w.end()
	w.arr("performer")
	w.obj("")
	w.ref("actor", Practitioner, v.doc.id, "")
	w.end()
	w.endArr()
	w.ref("location", Location, v.org.locationID, "")
	if v.condition != "" {
		w.arr("reasonReference")
		w.ref("", Condition, v.condition, "")
		w.endArr()
	}
	e.finish(Procedure)
}
