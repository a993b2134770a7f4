package fhir

import "strings"

// rule says what Inspect looks for in a resource type.
type rule struct {
	code int16
	// compartment: the type is in the Patient compartment.
	compartment bool
	// patient is where the reference to the resource's patient is. Paths are separated by blanks. The first is the subject
	// itself; the others, which follow ">", are looked at only in a resource without that element, for they name people
	// who took part. "?" marks an element that may name anything, so that a urn:uuid in it does not mean a patient.
	patient string
	// dates is where the dates of service are. Elements joined by "+" are taken together, from the earliest to the
	// latest; what follows ">" is looked at only if nothing before it is dated. x[x] stands for xDateTime, xDate,
	// xInstant, xPeriod and xTiming. "!" marks periods that end where they start when they have no end, because a
	// claim is not an ongoing thing. "~" marks what goes on until it is said to have ended: by an abatement, or by a
	// clinicalStatus of inactive, remission or resolved.
	dates string
}

// rules is the table of R4 types that say whose they are or when they were.
//
// The patient column is CompartmentDefinition/patient of R4 4.0.1 (https://hl7.org/fhir/R4/compartmentdefinition-patient.html)
// with its search parameters written out as elements; Patient.link is left out, since a link is no membership. The rows
// without compartment are types that R4 leaves out although they can name a patient; US Core searches Device by patient.
//
// The dates column is the look-back table of PDex 2.2.0 (Encounter, Procedure, Observation, Immunization, Condition and
// ExplanationOfBenefit, "Filtering by date of service"), and for the rest the element that R4 maps to the "when" of its
// five Ws. Types that hold a standing fact (allergies, coverage, teams, specimens, relatives) have no date on purpose.
var rules = [...]rule{
	{TypeAccount, true, "subject", "servicePeriod"},
	{TypeAdverseEvent, true, "subject", "date > detected > recordedDate"},
	{TypeAllergyIntolerance, true, "patient > recorder asserter", ""},
	{TypeAppointment, true, "?participant.actor", "start + end"},
	{TypeAppointmentResponse, true, "?actor", "start + end"},
	{TypeAuditEvent, true, "?agent.who ?entity.what", "recorded"},
	{TypeBasic, true, "?subject > author", "created"},
	{TypeBinary, false, "?securityContext", ""},
	{TypeBodyStructure, true, "patient", ""},
	{TypeCarePlan, true, "subject > activity.detail.performer", "period > created"},
	{TypeCareTeam, true, "subject > participant.member", ""},
	{TypeChargeItem, true, "subject", "occurrence[x] > enteredDate"},
	{TypeClaim, true, "patient > payee.party", "!billablePeriod + item.serviced[x] > created"},
	{TypeClaimResponse, true, "patient", "created"},
	{TypeClinicalImpression, true, "subject", "effective[x] > date"},
	{TypeCommunication, true, "subject > sender recipient", "sent > received"},
	{TypeCommunicationRequest, true, "subject > sender recipient requester", "authoredOn"},
	{TypeComposition, true, "subject > author attester.party", "date"},
	{TypeCondition, true, "subject > asserter", "~onset[x] + abatement[x] > recordedDate"},
	{TypeConsent, true, "patient", ""},
	{TypeContract, false, "?subject", ""},
	{TypeCoverage, true, "beneficiary > policyHolder subscriber payor", ""},
	{TypeCoverageEligibilityRequest, true, "patient", "serviced[x] > created"},
	{TypeCoverageEligibilityResponse, true, "patient", "serviced[x] > created"},
	{TypeDetectedIssue, true, "patient", "identified[x]"},
	{TypeDevice, false, "patient", ""},
	{TypeDeviceRequest, true, "subject > performer", "authoredOn"},
	{TypeDeviceUseStatement, true, "subject", "timing[x] > recordedOn"},
	{TypeDiagnosticReport, true, "subject", "effective[x] > issued"},
	{TypeDocumentManifest, true, "subject > author recipient", "created"},
	{TypeDocumentReference, true, "subject > author", "context.period > date"},
	{TypeEncounter, true, "subject", "period"},
	{TypeEnrollmentRequest, true, "candidate", ""},
	{TypeEpisodeOfCare, true, "patient", "period"},
	{TypeExplanationOfBenefit, true, "patient > payee.party", "!billablePeriod + item.serviced[x] > created"},
	{TypeFamilyMemberHistory, true, "patient", ""},
	{TypeFlag, true, "subject", "period"},
	{TypeGoal, true, "subject", "target.dueDate > startDate"},
	{TypeGroup, true, "?member.entity", ""},
	{TypeGuidanceResponse, false, "subject", "occurrenceDateTime"},
	{TypeImagingStudy, true, "subject", "started"},
	{TypeImmunization, true, "patient", "occurrence[x] > recorded"},
	{TypeImmunizationEvaluation, true, "patient", "date"},
	{TypeImmunizationRecommendation, true, "patient", "date"},
	{TypeInvoice, true, "subject > recipient", "date"},
	{TypeList, true, "subject > source", "date"},
	{TypeMeasureReport, true, "subject", "period > date"},
	{TypeMedia, true, "subject", "created[x] > issued"},
	{TypeMedicationAdministration, true, "subject > performer.actor", "effective[x]"},
	{TypeMedicationDispense, true, "subject > receiver", "whenHandedOver > whenPrepared"},
	{TypeMedicationRequest, true, "subject", "authoredOn"},
	{TypeMedicationStatement, true, "subject", "effective[x] > dateAsserted"},
	{TypeMolecularSequence, true, "patient", ""},
	{TypeNutritionOrder, true, "patient", "dateTime"},
	{TypeObservation, true, "subject > performer", "effective[x] > issued"},
	{TypePatient, true, "", ""},
	{TypePerson, true, "?link.target", ""},
	{TypeProcedure, true, "subject > performer.actor", "performed[x]"},
	{TypeProvenance, true, "", ""}, // its target: see compile
	{TypeQuestionnaireResponse, true, "subject > author", "authored"},
	{TypeRelatedPerson, true, "patient", ""},
	{TypeRequestGroup, true, "subject > action.participant", "authoredOn"},
	{TypeResearchSubject, true, "individual", "period"},
	{TypeRiskAssessment, true, "subject", "occurrence[x]"},
	{TypeSchedule, true, "?actor", "planningHorizon"},
	{TypeServiceRequest, true, "subject > performer", "authoredOn > occurrence[x]"},
	{TypeSpecimen, true, "subject", ""},
	{TypeSupplyDelivery, true, "patient", "occurrence[x]"},
	{TypeSupplyRequest, true, "?deliverTo", "authoredOn"},
	{TypeTask, false, "?for", "authoredOn"},
	{TypeVisionPrescription, true, "patient", "dateWritten > created"},
}

// shareable lists the types that are about no person in care, so that one resource may go to everybody who is handed
// something that refers to it. A type that is neither here nor anybody's is held back: a Bundle may hold anything.
var shareable = [...]int16{
	TypeActivityDefinition, TypeChargeItemDefinition, TypeCodeSystem, TypeConceptMap, TypeDevice, TypeDeviceDefinition,
	TypeDeviceMetric, TypeEndpoint, TypeHealthcareService, TypeInsurancePlan, TypeLibrary, TypeLocation, TypeMeasure,
	TypeMedication, TypeMedicationKnowledge, TypeNamingSystem, TypeObservationDefinition, TypeOrganization,
	TypeOrganizationAffiliation, TypePlanDefinition, TypePractitioner, TypePractitionerRole, TypeQuestionnaire,
	TypeResearchStudy, TypeSpecimenDefinition, TypeSubstance, TypeValueSet,
}

// typeFacts is a rule made ready for Inspect.
type typeFacts struct {
	compartment bool
	shareable   bool
	ongoing     bool // until it is said to have ended
	root        node
}

var byType = func() (table [len(typeNames)]typeFacts) {
	for _, r := range rules {
		table[r.code].compartment = r.compartment
		table[r.code].root = compile(r)
		table[r.code].ongoing = strings.HasPrefix(r.dates, "~")
	}
	for _, code := range shareable {
		table[code].shareable = true
	}
	return table
}()

// InPatientCompartment reports whether R4 puts resources of a type in the compartment of the patient they name. A resource
// of such a type that names no patient is not thereby public.
func InPatientCompartment(code int16) bool {
	return TypeName(code) != "" && byType[code].compartment
}

// Shareable reports whether resources of a type, when they do not say whom they are about, are about nobody in care and may accompany
// anybody's data: Organization, Practitioner, Location, Medication and their like.
func Shareable(code int16) bool {
	return TypeName(code) != "" && byType[code].shareable
}

// What Inspect does with a node of the element tree.
type action uint8

const (
	actNone      action = iota
	actReference        // a Reference.reference
	actTarget           // a Reference.reference of Provenance.target
	actWhen             // a date as text, or a Period or Timing as object
	actStart            // Period.start
	actEnd              // Period.end
	actUse              // use of a claim
	actProfile          // an entry of meta.profile
	actEnded            // a code of clinicalStatus
)

// node is an element of interest: what its text means and which of its children matter. Arrays are seen through, so an
// element and a list of them look the same.
type node struct {
	edges []edge
	// lengths has bit n set when a child's name is n bytes long; most members are passed over on that alone.
	lengths uint64
	act     action
	rank    uint8 // of a reference or date: 0 is preferred
	urn     bool  // a urn:uuid in it means a patient
	closed  bool  // a period without an end ends where it starts
}

type edge struct {
	name  string
	child *node
	// subject marks the top-level elements of the first patient paths.
	subject bool
	// ends marks the top-level elements that say, by being there, that something has ended.
	ends bool
}

func (n *node) find(name []byte) int {
	if len(name) > 63 || n.lengths>>len(name)&1 == 0 {
		return -1
	}
	for i := range n.edges {
		if n.edges[i].name == string(name) {
			return i
		}
	}
	return -1
}

// grow returns the node at a dotted path below n, made when missing.
func (n *node) grow(path string) *node {
	for name := range strings.SplitSeq(path, ".") {
		i := n.find([]byte(name))
		if i < 0 {
			i = len(n.edges)
			n.edges = append(n.edges, edge{name: name, child: &node{}})
			n.lengths |= 1 << len(name)
		}
		n = n.edges[i].child
	}
	return n
}

func compile(r rule) node {
	var root node
	for rank, group := range strings.Split(r.patient, ">") {
		for path := range strings.FieldsSeq(group) {
			path, anything := strings.CutPrefix(path, "?")
			ref := root.grow(path + ".reference")
			ref.act, ref.rank, ref.urn = actReference, uint8(rank), rank == 0 && !anything
			if rank == 0 {
				top, _, _ := strings.Cut(path, ".")
				root.edges[root.find([]byte(top))].subject = true
			}
		}
	}
	dates, ongoing := strings.CutPrefix(r.dates, "~")
	if ongoing {
		root.grow("clinicalStatus.coding.code").act = actEnded
		for _, name := range []string{"abatementDateTime", "abatementAge", "abatementPeriod", "abatementRange", "abatementString"} {
			root.grow(name)
			root.edges[root.find([]byte(name))].ends = true
		}
	}
	dates, closed := strings.CutPrefix(dates, "!")
	for rank, group := range strings.Split(dates, ">") {
		for path := range strings.FieldsFuncSeq(group, func(c rune) bool { return c == '+' || c == ' ' }) {
			for _, name := range choices(path) {
				when := root.grow(name)
				when.act, when.rank, when.closed = actWhen, uint8(rank), closed
				for child, act := range map[string]action{"start": actStart, "end": actEnd, "event": actWhen} {
					bound := when.grow(child)
					bound.act, bound.rank = act, uint8(rank)
				}
			}
		}
	}
	switch r.code {
	case TypeProvenance:
		root.grow("target.reference").act = actTarget
	case TypeClaim, TypeClaimResponse, TypeExplanationOfBenefit:
		root.grow("use").act = actUse
	}
	return root
}

// choices writes out the date types of a choice element.
func choices(path string) []string {
	base, choice := strings.CutSuffix(path, "[x]")
	if !choice {
		return []string{path}
	}
	return []string{base + "DateTime", base + "Date", base + "Period", base + "Instant", base + "Timing"}
}
