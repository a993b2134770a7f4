package seed

// prescribe writes a MedicationRequest, its dispenses and the pharmacy claims for them.
func (e *emitter) prescribe(v *visit, which int) {
	m := &medications[which]
	fills := 1
	if v.ill.chronic {
		fills = e.r.between(1, 3)
	}
	request := e.medicationRequest(v, which, fills-1)
	for i := range fills {
		d := v.from + day(i*m.days) + day(e.r.n(3))
		if d > e.ended() {
			return
		}
		if e.clear(d) != d && d != v.from {
			continue
		}
		e.dispense(v, m, request, d, i)
		if e.r.chance(800) {
			e.pharmacyClaim(v, m, d, i, fills)
		}
	}
}

func (e *emitter) medicationRequest(v *visit, which, refills int) string {
	w, m := &e.w, &medications[which]
	status := "completed"
	if v.ill.chronic && v.from > e.anchor-120 {
		status = "active"
	}
	id := e.begin(MedicationRequest, usCore+"medicationrequest", about{on: v.from, label: v.label})
	w.str("status", status)
	w.str("intent", "order")
	w.concepts("category", "", code{"http://terminology.hl7.org/CodeSystem/medicationrequest-category", "community", "Community"})
	if which%6 == 0 {
		w.ref("medicationReference", Medication, e.medicationID(which), m.name)
	} else {
		w.concept("medicationCodeableConcept", m.name, code{sysRxNorm, m.rxnorm, m.name})
	}
	e.subject("subject")
	w.ref("encounter", Encounter, v.encounter, "")
	w.date("authoredOn", v.from)
	w.ref("requester", Practitioner, v.doc.id, "")
	if v.condition != "" {
		w.arr("reasonReference")
		w.ref("", Condition, v.condition, v.ill.name)
		w.endArr()
	}
	w.arr("dosageInstruction")
	w.obj("")
	w.str("text", "Take as directed on the label")
	w.obj("timing")
	w.obj("repeat")
	w.num("frequency", max(1, m.count/m.days))
	w.num("period", 1)
	w.str("periodUnit", "d")
	w.end()
	w.end()
	w.end()
	w.endArr()
	w.obj("dispenseRequest")
	w.num("numberOfRepeatsAllowed", refills)
	w.quantity("quantity", m.count, 0, "", "")
	w.quantity("expectedSupplyDuration", m.days, 0, "days", "d")
	w.end()
	e.finish(MedicationRequest)
	return id
}

func (e *emitter) dispense(v *visit, m *medication, request string, d day, fill int) {
	w, shop := &e.w, e.pharmacy()
	e.begin(MedicationDispense, pdex+"pdex-medicationdispense", about{on: d, label: v.label})
	w.arr("extension")
	w.obj("")
	w.str("url", pdex+"DispenseRefill")
	w.quantity("valueQuantity", fill, 0, "", "")
	w.end()
	w.endArr()
	w.str("status", "completed")
	w.concept("medicationCodeableConcept", m.name, code{sysNDC, m.ndc(), ""}, code{sysRxNorm, m.rxnorm, m.name})
	e.subject("subject")
	w.arr("performer")
	w.obj("")
	w.ref("actor", Organization, shop.id, shop.name)
	w.end()
	w.endArr()
	w.ref("location", Location, shop.locationID, "")
	w.arr("authorizingPrescription")
	w.ref("", MedicationRequest, request, "")
	w.endArr()
	kind := "FF"
	if fill > 0 {
		kind = "RF"
	}
	w.concept("type", "", code{sysActCode, kind, ""})
	w.quantity("quantity", m.count, 0, "", "")
	w.quantity("daysSupply", m.days, 0, "days", "d")
	w.dateTime("whenHandedOver", d.at(12, e.r.n(60), e.metro.offset), e.metro.offset)
	e.finish(MedicationDispense)
}

func (e *emitter) pharmacy() *provider { return &e.m.orgs[6+int(e.index%2)] }
