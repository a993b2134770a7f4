package seed

// claim is an ExplanationOfBenefit in one of the five CARIN BB full profiles, money included.
type claim struct {
	profile       string
	kind, subkind string
	about
	from, to  day
	provider  *provider
	doc       *practitioner
	ill       *condition
	encounter string
	facility  bool
	items     []claimItem
	denied    bool
}

type claimItem struct {
	what     code
	revenue  string
	cents    int
	quantity int
	on       day
	place    string
}

const (
	sysAdjudication  = "http://terminology.hl7.org/CodeSystem/adjudication"
	sysC4BBMoney     = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudication"
	sysDiscriminator = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudicationDiscriminator"
	sysPayerStatus   = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBPayerAdjudicationStatus"
	sysInfo          = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType"
	sysPlace         = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
)

// visitClaim writes the claim of a visit: institutional for hospital care, professional otherwise.
func (e *emitter) visitClaim(v *visit) {
	if e.r.chance(60) {
		return
	}
	c := claim{
		about: about{on: v.from, label: v.label}, from: v.from, to: v.to,
		provider: v.org, doc: v.doc, ill: v.ill, encounter: v.encounter, denied: e.r.chance(40),
	}
	form := encounterForms[v.kind]
	item := claimItem{what: code{sysCPT, form.cpt, ""}, cents: e.r.between(9000, 24000), quantity: 1, on: v.from, place: "11"}
	switch v.kind {
	case inpatientStay:
		c.profile, c.kind, c.subkind, c.facility = "Inpatient-Institutional", "institutional", "inpatient", true
		item.revenue, item.cents, item.quantity = "0120", e.r.between(180000, 420000), max(1, int(v.to-v.from))
	case emergencyVisit:
		c.profile, c.kind, c.subkind, c.facility = "Outpatient-Institutional", "institutional", "outpatient", true
		item.revenue, item.cents = "0450", e.r.between(60000, 260000)
	default:
		c.profile, c.kind = "Professional-NonClinician", "professional"
	}
	c.items = append(c.items, item)
	if v.extra >= 0 {
		extra := claimItem{what: code{sysCPT, procedures[v.extra].cpt, ""}, cents: procedures[v.extra].cents, quantity: 1, on: v.from, place: "11"}
		if c.facility {
			extra.revenue = "0360"
		}
		c.items = append(c.items, extra)
	}
	e.claim(&c)
}

func (e *emitter) dentalClaim(d day) {
	doc := e.m.specialist(dentist, e.p.n)
	c := claim{about: about{on: d}, profile: "Oral", kind: "oral", from: d, to: d, provider: doc.org, doc: doc, denied: e.r.chance(50)}
	for range e.r.between(1, 3) {
		s := pick(&e.r, dentalServices)
		c.items = append(c.items, claimItem{what: code{sysCDT, s.code, s.name}, cents: s.cents, quantity: 1, on: d, place: "11"})
	}
	e.claim(&c)
}

func (e *emitter) pharmacyClaim(v *visit, m *medication, d day, fill, fills int) {
	c := claim{about: about{on: d, label: v.label}, profile: "Pharmacy", kind: "pharmacy", from: d, to: d, provider: e.pharmacy(), doc: v.doc, denied: e.r.chance(25)}
	c.items = []claimItem{{what: code{sysNDC, m.ndc(), m.name}, cents: m.cents, quantity: m.count, on: d}}
	e.openClaim(&c)
	w := &e.w
	w.arr("supportingInfo")
	w.info(1, "brandgenericindicator", code{"http://hl7.org/fhir/us/carin-bb/CodeSystem/NCPDPBrandGenericIndicator", string([]byte{'1' + byte(bit(!m.brand))}), ""})
	w.info(2, "rxorigincode", code{"http://hl7.org/fhir/us/carin-bb/CodeSystem/NCPDPPrescriptionOriginCode", "3", ""})
	w.infoNumber(3, "refillnum", fill)
	w.infoNumber(4, "refillsauthorized", fills-1)
	w.infoNumber(5, "dayssupply", m.days)
	w.info(6, "dawcode", code{"http://hl7.org/fhir/us/carin-bb/CodeSystem/NCPDPDispensedAsWrittenOrProductSelectionCode", "0", ""})
	w.info(7, "compoundcode", code{"http://hl7.org/fhir/us/carin-bb/CodeSystem/NCPDPCompoundCode", "1", ""})
	w.infoDate(8, "clmrecvddate", d+1)
	w.endArr()
	e.closeClaim(&c)
}

// claim writes a claim other than a pharmacy's.
func (e *emitter) claim(c *claim) {
	e.openClaim(c)
	w := &e.w
	w.arr("supportingInfo")
	w.infoDate(1, "clmrecvddate", min(c.to+day(e.r.between(2, 20)), e.anchor))
	w.infoString(2, "patientaccountnumber", "PA"+string(appendPadded(nil, e.r.n(10_000_000), 7)))
	switch c.subkind {
	case "inpatient":
		w.openInfo(3, "admissionperiod")
		w.dates("timingPeriod", c.from, c.to)
		w.end()
		w.info(4, "typeofbill", code{"https://www.nubc.org/CodeSystem/TypeOfBill", "0111", ""})
		w.info(5, "pointoforigin", code{"https://www.nubc.org/CodeSystem/PointOfOrigin", "1", ""})
		w.info(6, "admtype", code{"https://www.nubc.org/CodeSystem/PriorityTypeOfAdmitOrVisit", string([]byte{'1' + byte(e.r.n(3))}), ""})
		w.info(7, "discharge-status", code{"https://www.nubc.org/CodeSystem/PatDischargeStatus", "01", ""})
	case "outpatient":
		w.info(3, "typeofbill", code{"https://www.nubc.org/CodeSystem/TypeOfBill", "0131", ""})
		w.info(4, "pointoforigin", code{"https://www.nubc.org/CodeSystem/PointOfOrigin", "1", ""})
		w.info(5, "admtype", code{"https://www.nubc.org/CodeSystem/PriorityTypeOfAdmitOrVisit", "1", ""})
	default:
		w.openInfo(3, "servicefacility")
		w.ref("valueReference", Location, c.provider.locationID, c.provider.name)
		w.end()
	}
	w.endArr()
	e.closeClaim(c)
}

// openClaim writes a claim up to its supporting information.
func (e *emitter) openClaim(c *claim) {
	w := &e.w
	id := e.begin(ExplanationOfBenefit, c4bb+"ExplanationOfBenefit-"+c.profile, c.about)
	w.arr("identifier")
	w.obj("")
	w.concept("type", "", code{"http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType", "uc", ""})
	w.str("system", "https://meridianvalley.example.com/fhir/sid/claim")
	w.str("value", "CLM"+id[:8]+id[9:13])
	w.end()
	w.endArr()
	w.str("status", "active")
	w.concept("type", "", code{"http://terminology.hl7.org/CodeSystem/claim-type", c.kind, ""})
	if c.subkind != "" {
		w.concept("subType", "", code{"http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBInstitutionalClaimSubType", c.subkind, ""})
	}
	w.str("use", "claim")
	e.subject("patient")
	w.dates("billablePeriod", c.from, c.to)
	w.date("created", min(c.to+day(e.r.between(1, 25)), e.anchor))
	w.ref("insurer", Organization, PayerID, PayerName)
	w.ref("provider", Organization, c.provider.id, c.provider.name)
	w.str("outcome", "complete")
	e.claimTeam(c)
	e.claimDiagnosis(c)
	w.arr("insurance")
	w.obj("")
	w.boolean("focal", true)
	w.ref("coverage", Coverage, e.coverageOn(c.from), "")
	w.end()
	w.endArr()
}

func (e *emitter) claimTeam(c *claim) {
	w := &e.w
	role := "rendering"
	switch {
	case c.kind == "pharmacy":
		role = "prescribing"
	case c.facility:
		role = "attending"
	}
	w.arr("careTeam")
	w.obj("")
	w.num("sequence", 1)
	w.ref("provider", Practitioner, c.doc.id, "")
	w.concept("role", "", code{"http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimCareTeamRole", role, ""})
	w.concept("qualification", "", code{sysTaxonomy, c.doc.specialty.taxonomy, c.doc.specialty.name})
	w.end()
	w.endArr()
}

func (e *emitter) claimDiagnosis(c *claim) {
	if c.kind == "pharmacy" {
		return
	}
	w := &e.w
	icd := "Z00.00"
	switch {
	case c.ill != nil:
		icd = c.ill.icd
	case c.kind == "oral":
		icd = "Z01.20"
	}
	w.arr("diagnosis")
	w.obj("")
	w.num("sequence", 1)
	w.concept("diagnosisCodeableConcept", "", code{sysICD10, icd, ""})
	w.concepts("type", "", code{"http://terminology.hl7.org/CodeSystem/ex-diagnosistype", "principal", ""})
	w.end()
	w.endArr()
}

// money is how a charge splits; charged = discount + allowed, allowed = deductible + copay + coinsurance + paid.
type money struct{ charged, discount, deductible, copay, coinsurance, paid int }

// split decides a charge. A denied one is the member's.
func (e *emitter) split(cents int, denied bool) money {
	m := money{charged: cents, discount: cents * e.r.between(10, 45) / 100}
	allowed := cents - m.discount
	if denied {
		m.deductible = allowed
		return m
	}
	if e.r.chance(300) {
		m.deductible = min(allowed, 5000*(1+e.tier))
	}
	m.copay = min(allowed-m.deductible, 500*(1+e.tier))
	m.coinsurance = (allowed - m.deductible - m.copay) * 5 * e.tier / 100
	m.paid = allowed - m.deductible - m.copay - m.coinsurance
	return m
}

func (m *money) add(o money) {
	m.charged += o.charged
	m.discount += o.discount
	m.deductible += o.deductible
	m.copay += o.copay
	m.coinsurance += o.coinsurance
	m.paid += o.paid
}

// closeClaim writes the items, the adjudication and the totals, and ends the claim.
func (e *emitter) closeClaim(c *claim) {
	w := &e.w
	var sum money
	w.arr("item")
	for i := range c.items {
		sum.add(e.claimItem(c, i))
	}
	w.endArr()
	w.arr("adjudication")
	w.status("billingnetworkstatus", "innetwork")
	if c.kind == "professional" || c.kind == "oral" {
		w.status("renderingnetworkstatus", "innetwork")
	}
	w.status("benefitpaymentstatus", paymentStatus(c))
	w.endArr()
	liability := sum.deductible + sum.copay + sum.coinsurance
	w.arr("total")
	w.amount(sysAdjudication, "submitted", sum.charged)
	w.amount(sysC4BBMoney, "discount", sum.discount)
	w.amount(sysAdjudication, "eligible", sum.charged-sum.discount)
	w.amount(sysAdjudication, "benefit", sum.paid)
	w.amount(sysC4BBMoney, "paidtoprovider", sum.paid)
	w.amount(sysC4BBMoney, "memberliability", liability)
	w.endArr()
	w.obj("payment")
	w.concept("type", "", code{sysPayerStatus, paymentStatus(c), ""})
	w.date("date", min(c.to+day(e.r.between(10, 40)), e.anchor))
	w.money("amount", sum.paid)
	w.end()
	e.finish(ExplanationOfBenefit)
}

func paymentStatus(c *claim) string {
	if c.denied {
		return "denied"
	}
	return "paid"
}

func (e *emitter) claimItem(c *claim, i int) money {
	w, it := &e.w, &c.items[i]
	charge := it.cents
	if it.revenue != "" {
		charge *= it.quantity
	}
	m := e.split(charge, c.denied)
	w.obj("")
	w.num("sequence", i+1)
	if c.kind != "pharmacy" && c.kind != "oral" {
		w.raw("diagnosisSequence", "[1]")
	}
	if it.revenue != "" {
		w.concept("revenue", "", code{"https://www.nubc.org/CodeSystem/RevenueCodes", it.revenue, ""})
	}
	w.concept("productOrService", "", it.what)
	w.date("servicedDate", it.on)
	if it.place != "" && !c.facility {
		w.concept("locationCodeableConcept", "", code{sysPlace, it.place, ""})
	}
	w.quantity("quantity", it.quantity, 0, "", "")
	if it.revenue != "" {
		w.money("unitPrice", it.cents)
	}
	w.money("net", charge)
	if c.encounter != "" {
		w.arr("encounter")
		w.ref("", Encounter, c.encounter, "")
		w.endArr()
	}
	w.arr("adjudication")
	w.amount(sysAdjudication, "submitted", m.charged)
	w.amount(sysAdjudication, "benefit", m.paid)
	w.amount(sysC4BBMoney, "memberliability", m.deductible+m.copay+m.coinsurance)
	if m.copay > 0 {
		w.amount(sysAdjudication, "copay", m.copay)
	}
	if m.deductible > 0 {
		w.amount(sysAdjudication, "deductible", m.deductible)
	}
	if m.coinsurance > 0 {
		w.amount(sysC4BBMoney, "coinsurance", m.coinsurance)
	}
	w.status("benefitpaymentstatus", paymentStatus(c))
	w.endArr()
	w.end()
	return m
}

func (w *jsonWriter) amount(system, category string, cents int) {
	w.obj("")
	w.concept("category", "", code{system, category, ""})
	w.money("amount", cents)
	w.end()
}

func (w *jsonWriter) status(category, reason string) {
	w.obj("")
	w.concept("category", "", code{sysDiscriminator, category, ""})
	w.concept("reason", "", code{sysPayerStatus, reason, ""})
	w.end()
}

// openInfo opens an entry of supportingInfo in a category of CARIN BB.
func (w *jsonWriter) openInfo(sequence int, category string) {
	w.obj("")
	w.num("sequence", sequence)
	w.concept("category", "", code{sysInfo, category, ""})
}

func (w *jsonWriter) info(sequence int, category string, c code) {
	w.openInfo(sequence, category)
	w.concept("code", "", c)
	w.end()
}

func (w *jsonWriter) infoNumber(sequence int, category string, n int) {
	w.openInfo(sequence, category)
	w.quantity("valueQuantity", n, 0, "", "")
	w.end()
}

func (w *jsonWriter) infoDate(sequence int, category string, d day) {
	w.openInfo(sequence, category)
	w.date("timingDate", d)
	w.end()
}

func (w *jsonWriter) infoString(sequence int, category, s string) {
	w.openInfo(sequence, category)
	w.str("valueString", s)
	w.end()
}
