package seed

import "strconv"

// authKind is a scenario of a prior authorisation, chosen to sit on a side of the release rules.
type authKind uint8

const (
	authNone authKind = iota
	authActiveOld
	authApproved
	authPending
	authDeniedRecent
	authDeniedOld
	authExpired
	authDrug
	authKinds
)

var authNames = [authKinds]string{"", "active-old", "approved", "pending", "denied-11-months", "denied-13-months", "expired", "drug"}

func (k authKind) String() string { return authNames[k] }

// PriorAuthScenarios returns the keys of MemberTruth.PriorAuths: "active-old" was approved six years before the anchor and
// is still valid; "approved" is valid now; "pending" is undecided; "denied-11-months" and "denied-13-months" were refused
// then; "expired" was approved thirty months ago and ended twenty months ago; "drug" is a valid one for a prescription drug.
func PriorAuthScenarios() []string { return authNames[1:] }

const (
	pas           = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
	sysPDexReason = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PDexAdjudicationDiscriminator"
)

// authorization is what a scenario comes down to.
type authorization struct {
	kind           authKind
	created        day
	decided        day // 0 while pending
	from, to       day // validity, 0 when none
	action, meant  string
	outcome        string
	service        code
	requested      int // units
	cents          int
	document, form string // ids of the DocumentReference and the QuestionnaireResponse
}

var authServices = []struct {
	code
	cents int
}{
	{code{sysCPT, "27130", ""}, 2410000},
	{code{sysCPT, "72148", ""}, 118500},
	{code{sysCPT, "97110", ""}, 7600},
	{code{sysCPT, "93458", ""}, 894000},
	{code{"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "E0601", ""}, 96000},
	{code{"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "K0823", ""}, 412000},
}

// priorAuths gives about a third of the members one to three prior authorisations.
func (e *emitter) priorAuths() {
	if !e.r.chance(350) || e.p.died != 0 {
		return
	}
	first := authKind(1 + e.r.n(int(authKinds)-1))
	for i := range authKind(1 + e.r.n(3)) {
		kind := 1 + (first-1+i)%(authKinds-1)
		a := e.authorization(kind)
		if a.created <= e.p.born {
			continue
		}
		if kind != authDrug && kind != authExpired && (kind != authDeniedOld || e.r.chance(500)) {
			a.form = e.questionnaire(&a)
			a.document = e.request(&a)
		}
		e.priorAuth(&a)
	}
}

func (e *emitter) authorization(kind authKind) authorization {
	s := pick(&e.r, authServices)
	a := authorization{kind: kind, action: "A1", meant: "Certified in total", outcome: "complete", service: s.code, cents: s.cents, requested: e.r.between(1, 12)}
	now := e.anchor
	switch kind {
	case authActiveOld:
		a.created = now.addYears(-6) - day(e.r.n(60))
		a.decided, a.from, a.to = a.created+4, a.created+5, now+day(e.r.between(400, 900))
	case authPending:
		a.created = now - day(e.r.between(3, 25))
		a.action, a.meant, a.outcome = "A4", "Pending", "queued"
	case authDeniedRecent, authDeniedOld:
		ago := 335
		if kind == authDeniedOld {
			ago = 396
		}
		a.decided = now - day(ago+e.r.between(-5, 5))
		a.created = a.decided - day(e.r.between(3, 9))
		a.action, a.meant = "A3", "Not Certified"
	case authExpired:
		a.decided = now - day(30*30+e.r.n(20))
		a.created, a.from, a.to = a.decided-5, a.decided, now-day(20*30+e.r.n(20))
	default:
		a.decided = now - day(e.r.between(60, 270))
		a.created, a.from, a.to = a.decided-5, a.decided, now+day(e.r.between(90, 270))
	}
	if kind == authDrug {
		m := &medications[medAdalimumab]
		a.service, a.cents, a.requested = code{sysNDC, m.ndc(), m.name}, m.cents, 6
	}
	return a
}

func (e *emitter) priorAuth(a *authorization) {
	w := &e.w
	changed := max(a.created, a.decided)
	id := e.begin(ExplanationOfBenefit, pdex+"pdex-priorauthorization", about{on: a.created, known: changed, auth: a.kind})
	w.arr("identifier")
	w.obj("")
	w.str("system", "https://meridianvalley.example.com/fhir/sid/prior-authorization")
	w.str("value", "AUTH"+id[:8])
	w.end()
	w.endArr()
	w.str("status", "active")
	kind := "institutional"
	if a.kind == authDrug {
		kind = "pharmacy"
	}
	w.concept("type", "", code{"http://terminology.hl7.org/CodeSystem/claim-type", kind, ""})
	w.str("use", "preauthorization")
	e.subject("patient")
	w.dates("billablePeriod", a.created, 0)
	w.date("created", a.created)
	w.ref("insurer", Organization, PayerID, PayerName)
	org := &e.m.orgs[int(e.p.key%2)]
	w.ref("provider", Organization, org.id, org.name)
	w.concept("priority", "", code{"http://terminology.hl7.org/CodeSystem/processpriority", "normal", "Normal"})
	w.str("outcome", a.outcome)
	if a.from != 0 {
		w.arr("preAuthRef")
		w.str("", "AUTH"+id[:8])
		w.endArr()
		w.arr("preAuthRefPeriod")
		w.dates("", a.from, a.to)
		w.endArr()
	}
	w.arr("careTeam")
	w.obj("")
	w.num("sequence", 1)
	w.ref("provider", Practitioner, e.m.specialist(surgery, 0).id, "")
	w.end()
	w.endArr()
	e.authDocuments(a)
	w.arr("diagnosis")
	w.obj("")
	w.num("sequence", 1)
	w.concept("diagnosisCodeableConcept", "", code{sysICD10, "M16.11", ""})
	w.concepts("type", "", code{"http://terminology.hl7.org/CodeSystem/ex-diagnosistype", "principal", ""})
	w.end()
	w.endArr()
	w.arr("insurance")
	w.obj("")
	w.boolean("focal", true)
	w.ref("coverage", Coverage, e.coverageOn(a.created), "")
	w.end()
	w.endArr()
	e.authItem(a, id)
	w.arr("total")
	w.obj("")
	w.concept("category", "", code{"http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PriorAuthorizationValueCodes", "submitted", ""})
	w.money("amount", a.cents*a.requested)
	w.end()
	w.endArr()
	e.finish(ExplanationOfBenefit)
}

func (e *emitter) authDocuments(a *authorization) {
	if a.document == "" {
		return
	}
	w := &e.w
	additional := code{"http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes", "additionalInformation", "Additional Information"}
	w.arr("supportingInfo")
	w.obj("")
	w.num("sequence", 1)
	w.concept("category", "", additional)
	w.ref("valueReference", DocumentReference, a.document, "")
	w.end()
	w.obj("")
	w.num("sequence", 2)
	w.concept("category", "", additional)
	w.ref("valueReference", QuestionnaireResponse, a.form, "")
	w.end()
	w.endArr()
}

func (e *emitter) authItem(a *authorization, id string) {
	w := &e.w
	w.arr("item")
	w.obj("")
	if a.from != 0 {
		w.arr("extension")
		w.obj("")
		w.str("url", pas+"extension-itemPreAuthIssueDate")
		w.date("valueDate", a.decided)
		w.end()
		w.obj("")
		w.str("url", pas+"extension-itemPreAuthPeriod")
		w.dates("valuePeriod", a.from, a.to)
		w.end()
		w.endArr()
	}
	w.num("sequence", 1)
	w.concept("category", "", code{"https://x12.org/codes/service-type-codes", "1", "Medical Care"})
	w.concept("productOrService", "", a.service)
	w.quantity("quantity", a.requested, 0, "", "")
	w.arr("adjudication")
	w.obj("")
	w.arr("extension")
	w.obj("")
	w.arr("extension")
	w.obj("")
	w.str("url", "number")
	w.str("valueString", "AUTH"+id[:8])
	w.end()
	w.obj("")
	w.str("url", pdex+"extension-reviewActionCode")
	w.concept("valueCodeableConcept", "", code{"https://codesystem.x12.org/005010/306", a.action, a.meant})
	w.end()
	w.endArr()
	w.str("url", pdex+"extension-reviewAction")
	w.end()
	if a.decided != 0 {
		w.obj("")
		w.str("url", pdex+"base-ext-when-adjudicated")
		w.dateTime("valueDateTime", a.decided.at(15, e.r.n(60), 0), 0)
		w.end()
	}
	w.endArr()
	w.concept("category", "", code{sysAdjudication, "submitted", ""})
	w.money("amount", a.cents*a.requested)
	w.end()
	e.authUnits(a)
	w.endArr()
	w.end()
	w.endArr()
}

// authUnits writes the units allowed and used of an approval, or why it was refused.
func (e *emitter) authUnits(a *authorization) {
	w := &e.w
	switch a.action {
	case "A1":
		for i, what := range [...]string{"allowedunits", "consumedunits"} {
			w.obj("")
			w.concept("category", "", code{sysPDexReason, what, ""})
			w.num("value", a.requested/(i+1))
			w.end()
		}
	case "A3":
		w.obj("")
		w.concept("category", "", code{sysPDexReason, "denialreason", ""})
		w.concept("reason", "", code{"https://x12.org/codes/claim-adjustment-reason-codes", "50", ""})
		w.end()
	}
}

// request writes the letter that came with an authorisation, as a PDF.
func (e *emitter) request(a *authorization) string {
	content := pdf("Request for prior authorization", "Service "+a.service.code, "Units requested "+strconv.Itoa(a.requested),
		"The service is needed because conservative treatment over", "twelve weeks brought no lasting relief.")
	letter := code{sysLOINC, "57133-1", "Referral note"}
	return e.document(about{on: a.created, auth: a.kind}, letter, "application/pdf", "Letter of medical necessity", content, e.m.specialist(surgery, 0), "")
}

var authQuestions = []string{
	"Has conservative treatment been tried for at least six weeks?", "Has imaging been done in the last twelve months?", "Is the service done as an outpatient?", "Does the condition limit daily activities?",
}

// questionnaire writes the form that came with an authorisation.
func (e *emitter) questionnaire(a *authorization) string {
	w := &e.w
	id := e.begin(QuestionnaireResponse, usCore+"questionnaireresponse", about{on: a.created, auth: a.kind})
	w.str("questionnaire", "https://meridianvalley.example.com/fhir/Questionnaire/medical-necessity")
	w.str("status", "completed")
	e.subject("subject")
	w.dateTime("authored", a.created.at(16, e.r.n(60), 0), 0)
	w.ref("author", Practitioner, e.m.specialist(surgery, 0).id, "")
	w.arr("item")
	for i, q := range authQuestions {
		w.obj("")
		w.str("linkId", strconv.Itoa(i+1))
		w.str("text", q)
		w.arr("answer")
		w.obj("")
		w.boolean("valueBoolean", e.r.chance(700))
		w.end()
		w.endArr()
		w.end()
	}
	w.endArr()
	e.finish(QuestionnaireResponse)
	return id
}
