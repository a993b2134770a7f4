package seed

// bundle writes the MemberBundle of an entry: the person, the coverage at our payer, often the coverage at the requester,
// and the consent, per HRex and the PDex multi-member match profile.
func (b *requestWriter) bundle(e *entry) {
	w := &b.w
	w.obj("")
	w.str("name", "MemberBundle")
	w.arr("part")
	w.obj("")
	w.str("name", "MemberPatient")
	e.patientResource(w)
	w.end()
	w.obj("")
	w.str("name", "CoverageToMatch")
	e.coverageToMatch(w, b.anchor)
	w.end()
	w.obj("")
	w.str("name", "Consent")
	e.consent(w, b.anchor)
	w.end()
	if e.r.chance(600) {
		w.obj("")
		w.str("name", "CoverageToLink")
		e.coverageToLink(w, b.anchor)
		w.end()
	}
	w.endArr()
	w.end()
}

func (w *jsonWriter) openPart(name, id, profile string) {
	w.obj("resource")
	w.str("resourceType", name)
	w.str("id", id)
	w.obj("meta")
	w.strs("profile", hrex+profile)
	w.end()
}

// requesterMember is the requester's own number for the person.
func (e *entry) requesterMember() string {
	return "NL" + string(appendPadded(nil, int(mix(e.seed^e.key)%1_000_000_000), 9))
}

func (e *entry) patientResource(w *jsonWriter) {
	s := &e.said
	w.openPart("Patient", e.id(Patient, 0), "hrex-patient-demographics")
	w.arr("identifier")
	w.identifier("MB", RequesterMemberSystem, e.requesterMember())
	w.endArr()
	w.arr("name")
	w.obj("")
	w.str("use", "official")
	w.str("family", s.family)
	w.strs("given", s.given, s.middle)
	if s.suffix != "" {
		w.strs("suffix", s.suffix)
	}
	w.end()
	w.endArr()
	if s.phone != "" || s.email != "" {
		w.arr("telecom")
		if s.phone != "" {
			w.telecom("phone", s.phone, "mobile")
		}
		if s.email != "" {
			w.telecom("email", s.email, "home")
		}
		w.endArr()
	}
	switch {
	case !s.gendered:
		w.str("gender", "unknown")
	case s.female:
		w.str("gender", "female")
	default:
		w.str("gender", "male")
	}
	w.date("birthDate", s.born)
	if s.address != nil {
		w.arr("address")
		w.address(s.address, "home")
		w.endArr()
	}
	w.end()
}

// coverageToMatch is the coverage at our payer, as the member's card showed it.
func (e *entry) coverageToMatch(w *jsonWriter, anchor day) {
	s := &e.said
	w.openPart("Coverage", e.id(Coverage, 0), "hrex-coverage")
	if s.memberID != "" {
		w.arr("identifier")
		w.identifier("MB", MemberSystem, s.memberID)
		w.endArr()
	}
	w.str("status", "active")
	if s.subscriberID != "" {
		w.str("subscriberId", s.subscriberID)
	}
	e.beneficiary(w)
	w.dates("period", anchor-day(e.r.between(900, 2400)), anchor-day(e.r.between(5, 60)))
	e.payor(w, PayerName, PayerNPI, PayerNAIC)
	if e.r.chance(700) {
		w.arr("class")
		w.class("group", s.group, "")
		w.endArr()
	}
	w.end()
}

// coverageToLink is the coverage at the requester.
func (e *entry) coverageToLink(w *jsonWriter, anchor day) {
	w.openPart("Coverage", e.id(Coverage, 1), "hrex-coverage")
	w.arr("identifier")
	w.identifier("MB", RequesterMemberSystem, e.requesterMember())
	w.endArr()
	w.str("status", "active")
	w.str("subscriberId", e.requesterMember())
	e.beneficiary(w)
	w.dates("period", anchor-day(e.r.n(60)), 0)
	e.payor(w, RequesterName, RequesterNPI, RequesterNAIC)
	w.end()
}

func (e *entry) beneficiary(w *jsonWriter) {
	w.ref("beneficiary", Patient, e.id(Patient, 0), "")
	w.concept("relationship", "", code{"http://terminology.hl7.org/CodeSystem/subscriber-relationship", relationshipCodes[e.said.role], ""})
}

// payor names a payer by NPI, or by NAIC code one time in five.
func (e *entry) payor(w *jsonWriter, name, npi, naic string) {
	system, value := NPISystem, npi
	if e.r.chance(200) {
		system, value = NAICSystem, naic
	}
	w.arr("payor")
	w.party("", name, system, value)
	w.endArr()
}

func (w *jsonWriter) party(key, name, system, value string) {
	w.obj(key)
	w.obj("identifier")
	w.str("system", system)
	w.str("value", value)
	w.end()
	w.str("display", name)
	w.end()
}

// consent permits disclosure from our payer to the requester, unless the kind says otherwise.
func (e *entry) consent(w *jsonWriter, anchor day) {
	from, to := anchor-day(e.r.between(3, 120)), anchor+day(e.r.between(90, 700))
	switch e.kind {
	case KindExpired, KindNoConsent:
		from, to = anchor-day(e.r.between(400, 800)), anchor-day(e.r.between(10, 300))
	case KindNotYet:
		from = anchor + day(e.r.between(60, 80))
	}
	me := e.id(Patient, 0)
	w.openPart("Consent", e.id(Patient, 1), "hrex-consent")
	w.str("status", "active")
	w.concept("scope", "", code{"http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy", ""})
	w.concepts("category", "", code{sysActCode, "IDSCL", ""})
	w.ref("patient", Patient, me, "")
	w.dateTime("dateTime", min(from, anchor-2).at(15, e.r.n(60), 0), 0)
	w.arr("performer")
	w.ref("", Patient, me, "")
	w.endArr()
	w.obj("sourceReference")
	w.str("reference", "https://northlight.example.com/fhir/DocumentReference/"+e.id(DocumentReference, 0))
	w.end()
	w.arr("policy")
	w.obj("")
	w.str("uri", e.policyURI())
	w.end()
	w.endArr()
	w.obj("provision")
	w.str("type", "permit")
	w.dates("period", from, to)
	w.arr("actor")
	w.actor("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "performer", PayerName, PayerNPI)
	if e.kind == KindOtherPayer || e.shared {
		w.actor("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", BystanderName, BystanderNPI)
	}
	if e.kind != KindOtherPayer {
		w.actor("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", RequesterName, RequesterNPI)
	}
	w.endArr()
	w.concepts("action", "", code{"http://terminology.hl7.org/CodeSystem/consentaction", "disclose", ""})
	w.end()
	w.end()
}

func (e *entry) policyURI() string {
	switch e.policy {
	case "regular":
		return PolicyRegular
	case "sensitive":
		return PolicySensitive
	}
	return "https://northlight.example.com/policies/data-sharing"
}

func (w *jsonWriter) actor(system, role, name, npi string) {
	w.obj("")
	w.concept("role", "", code{system, role, ""})
	w.party("reference", name, NPISystem, npi)
	w.end()
}
