package search

import "pdexbulk/models/fhir"

// row is a line of the table of search parameters.
type row struct {
	code int16
	name string
	kind Kind
	// paths are the elements the parameter looks at, below the resource, separated by blanks. Lists are seen through.
	// Choices are written out as the types that the parameter's kind can compare. extension(url) means the extensions of
	// that URL.
	paths string
	// detail is, for a token, the implied code system of a code element, "id" for an id, and empty for a coded one; for a
	// reference the types it may be to, with "where" if only those to a Patient count and "canonical" if it is one; for a
	// date its relation to the dates of service ("service", "service!") or "updated".
	detail string
}

const (
	system         = "http://hl7.org/fhir/"
	terminology    = "http://terminology.hl7.org/CodeSystem/"
	specialValues  = terminology + "special-values" // booleans
	assertedDate   = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
	providerAccess = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-access-use-case"

	onlyPatient = "Patient where"
)

// commonTable holds the parameters of every type (https://hl7.org/fhir/R4/search.html#all).
var commonTable = [...]row{
	{0, "_id", KindToken, "id", "id"},
	{0, "_lastUpdated", KindDate, "meta.lastUpdated", "updated"},
	{0, "_profile", KindURI, "meta.profile", ""},
	{0, "_security", KindToken, "meta.security", ""},
	{0, "_tag", KindToken, "meta.tag", ""},
}

// table holds what US Core 6.1.0, CARIN Blue Button and PDex 2.2.0 ask for, with the elements of R4 4.0.1, plus subject
// wherever R4 has it beside patient. Where the IGs say "resolve() is Patient" the detail says where.
var table = [...]row{
	{fhir.TypeAllergyIntolerance, "clinical-status", KindToken, "clinicalStatus", ""},
	{fhir.TypeAllergyIntolerance, "patient", KindReference, "patient", "Patient"},

	{fhir.TypeCarePlan, "category", KindToken, "category", ""},
	{fhir.TypeCarePlan, "date", KindDate, "period", "service"},
	{fhir.TypeCarePlan, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeCarePlan, "status", KindToken, "status", system + "request-status"},
	{fhir.TypeCarePlan, "subject", KindReference, "subject", "Group Patient"},

	{fhir.TypeCareTeam, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeCareTeam, "role", KindToken, "participant.role", ""},
	{fhir.TypeCareTeam, "status", KindToken, "status", system + "care-team-status"},
	{fhir.TypeCareTeam, "subject", KindReference, "subject", "Group Patient"},

	{fhir.TypeCondition, "abatement-date", KindDate, "abatementDateTime abatementPeriod", ""},
	{fhir.TypeCondition, "asserted-date", KindDate, "extension(" + assertedDate + ").valueDateTime", ""},
	{fhir.TypeCondition, "category", KindToken, "category", ""},
	{fhir.TypeCondition, "clinical-status", KindToken, "clinicalStatus", ""},
	{fhir.TypeCondition, "code", KindToken, "code", ""},
	{fhir.TypeCondition, "encounter", KindReference, "encounter", "Encounter"},
	{fhir.TypeCondition, "onset-date", KindDate, "onsetDateTime onsetPeriod", "service"},
	{fhir.TypeCondition, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeCondition, "recorded-date", KindDate, "recordedDate", ""},
	{fhir.TypeCondition, "subject", KindReference, "subject", "Group Patient"},

	{fhir.TypeConsent, "category", KindToken, "category", ""},
	{fhir.TypeConsent, "patient", KindReference, "patient", "Patient"},
	{fhir.TypeConsent, "provider-access", KindToken, "provision.action.extension(" + providerAccess + ").valueBoolean", specialValues},
	{fhir.TypeConsent, "provision-action", KindToken, "provision.action", ""},
	{fhir.TypeConsent, "provision-type", KindToken, "provision.type", system + "consent-provision-type"},
	{fhir.TypeConsent, "status", KindToken, "status", system + "consent-state-codes"},

	{fhir.TypeCoverage, "patient", KindReference, "beneficiary", "Patient"},
	{fhir.TypeCoverage, "payor", KindReference, "payor", "Organization Patient RelatedPerson"},

	{fhir.TypeDevice, "patient", KindReference, "patient", "Patient"},
	{fhir.TypeDevice, "status", KindToken, "status", system + "device-status"},
	{fhir.TypeDevice, "type", KindToken, "type", ""},

	{fhir.TypeDiagnosticReport, "category", KindToken, "category", ""},
	{fhir.TypeDiagnosticReport, "code", KindToken, "code", ""},
	{fhir.TypeDiagnosticReport, "date", KindDate, "effectiveDateTime effectivePeriod", "service"},
	{fhir.TypeDiagnosticReport, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeDiagnosticReport, "status", KindToken, "status", system + "diagnostic-report-status"},
	{fhir.TypeDiagnosticReport, "subject", KindReference, "subject", "Device Group Location Patient"},

	{fhir.TypeDocumentReference, "category", KindToken, "category", ""},
	{fhir.TypeDocumentReference, "date", KindDate, "date", ""},
	{fhir.TypeDocumentReference, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeDocumentReference, "period", KindDate, "context.period", "service"},
	{fhir.TypeDocumentReference, "status", KindToken, "status", system + "document-reference-status"},
	{fhir.TypeDocumentReference, "subject", KindReference, "subject", "Device Group Patient Practitioner"},
	{fhir.TypeDocumentReference, "type", KindToken, "type", ""},

	{fhir.TypeEncounter, "class", KindToken, "class", ""},
	{fhir.TypeEncounter, "date", KindDate, "period", "service"},
	{fhir.TypeEncounter, "discharge-disposition", KindToken, "hospitalization.dischargeDisposition", ""},
	{fhir.TypeEncounter, "identifier", KindToken, "identifier", ""},
	{fhir.TypeEncounter, "location", KindReference, "location.location", "Location"},
	{fhir.TypeEncounter, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeEncounter, "status", KindToken, "status", system + "encounter-status"},
	{fhir.TypeEncounter, "subject", KindReference, "subject", "Group Patient"},
	{fhir.TypeEncounter, "type", KindToken, "type", ""},

	{fhir.TypeExplanationOfBenefit, "billable-period-start", KindDate, "billablePeriod.start", "service"},
	{fhir.TypeExplanationOfBenefit, "care-team", KindReference, "careTeam.provider", "Organization Practitioner PractitionerRole"},
	{fhir.TypeExplanationOfBenefit, "coverage", KindReference, "insurance.coverage", "Coverage"},
	{fhir.TypeExplanationOfBenefit, "identifier", KindToken, "identifier", ""},
	{fhir.TypeExplanationOfBenefit, "insurer", KindReference, "insurer", "Organization"},
	{fhir.TypeExplanationOfBenefit, "patient", KindReference, "patient", "Patient"},
	{fhir.TypeExplanationOfBenefit, "provider", KindReference, "provider", "Organization Practitioner PractitionerRole"},
	{fhir.TypeExplanationOfBenefit, "service-date", KindDate, "billablePeriod item.servicedDate item.servicedPeriod", "service!"},
	{fhir.TypeExplanationOfBenefit, "service-start-date", KindDate, "billablePeriod.start item.servicedDate item.servicedPeriod.start", "service"},
	{fhir.TypeExplanationOfBenefit, "type", KindToken, "type", ""},
	{fhir.TypeExplanationOfBenefit, "use", KindToken, "use", system + "claim-use"},

	{fhir.TypeGoal, "description", KindToken, "description", ""},
	{fhir.TypeGoal, "lifecycle-status", KindToken, "lifecycleStatus", system + "goal-status"},
	{fhir.TypeGoal, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeGoal, "subject", KindReference, "subject", "Group Organization Patient"},
	{fhir.TypeGoal, "target-date", KindDate, "target.dueDate", "service"},

	{fhir.TypeGroup, "characteristic", KindToken, "characteristic.code", ""},
	{fhir.TypeGroup, "characteristic-value-reference", KindReference, "characteristic.valueReference", ""},
	{fhir.TypeGroup, "code", KindToken, "code", ""},
	{fhir.TypeGroup, "identifier", KindToken, "identifier", ""},

	{fhir.TypeImmunization, "date", KindDate, "occurrenceDateTime", "service"},
	{fhir.TypeImmunization, "patient", KindReference, "patient", "Patient"},
	{fhir.TypeImmunization, "status", KindToken, "status", system + "event-status"},

	{fhir.TypeLocation, "address", KindString, "address", ""},
	{fhir.TypeLocation, "address-city", KindString, "address.city", ""},
	{fhir.TypeLocation, "address-postalcode", KindString, "address.postalCode", ""},
	{fhir.TypeLocation, "address-state", KindString, "address.state", ""},
	{fhir.TypeLocation, "name", KindString, "name alias", ""},

	{fhir.TypeMedicationDispense, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeMedicationDispense, "status", KindToken, "status", terminology + "medicationdispense-status"},
	{fhir.TypeMedicationDispense, "subject", KindReference, "subject", "Group Patient"},
	{fhir.TypeMedicationDispense, "type", KindToken, "type", ""},

	{fhir.TypeMedicationRequest, "authoredon", KindDate, "authoredOn", "service"},
	{fhir.TypeMedicationRequest, "encounter", KindReference, "encounter", "Encounter"},
	{fhir.TypeMedicationRequest, "intent", KindToken, "intent", system + "CodeSystem/medicationrequest-intent"},
	{fhir.TypeMedicationRequest, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeMedicationRequest, "status", KindToken, "status", system + "CodeSystem/medicationrequest-status"},
	{fhir.TypeMedicationRequest, "subject", KindReference, "subject", "Group Patient"},

	{fhir.TypeObservation, "category", KindToken, "category", ""},
	{fhir.TypeObservation, "code", KindToken, "code", ""},
	// fhir.Inspect does not read Timing.repeat, so these dates need not lie within the dates of service it finds.
	{fhir.TypeObservation, "date", KindDate, "effectiveDateTime effectivePeriod effectiveTiming effectiveInstant", ""},
	{fhir.TypeObservation, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeObservation, "status", KindToken, "status", system + "observation-status"},
	{fhir.TypeObservation, "subject", KindReference, "subject", "Device Group Location Patient"},

	{fhir.TypeOrganization, "address", KindString, "address", ""},
	{fhir.TypeOrganization, "name", KindString, "name alias", ""},

	{fhir.TypePatient, "birthdate", KindDate, "birthDate", ""},
	{fhir.TypePatient, "death-date", KindDate, "deceasedDateTime", ""},
	{fhir.TypePatient, "family", KindString, "name.family", ""},
	{fhir.TypePatient, "gender", KindToken, "gender", system + "administrative-gender"},
	{fhir.TypePatient, "given", KindString, "name.given", ""},
	{fhir.TypePatient, "identifier", KindToken, "identifier", ""},
	{fhir.TypePatient, "name", KindString, "name", ""},

	{fhir.TypePractitioner, "identifier", KindToken, "identifier", ""},
	{fhir.TypePractitioner, "name", KindString, "name", ""},

	{fhir.TypePractitionerRole, "practitioner", KindReference, "practitioner", "Practitioner"},
	{fhir.TypePractitionerRole, "specialty", KindToken, "specialty", ""},

	{fhir.TypeProcedure, "code", KindToken, "code", ""},
	{fhir.TypeProcedure, "date", KindDate, "performedDateTime performedPeriod", "service"},
	{fhir.TypeProcedure, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeProcedure, "status", KindToken, "status", system + "event-status"},
	{fhir.TypeProcedure, "subject", KindReference, "subject", "Group Patient"},

	{fhir.TypeQuestionnaireResponse, "authored", KindDate, "authored", "service"},
	{fhir.TypeQuestionnaireResponse, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeQuestionnaireResponse, "questionnaire", KindReference, "questionnaire", "Questionnaire canonical"},
	{fhir.TypeQuestionnaireResponse, "status", KindToken, "status", system + "questionnaire-answers-status"},
	{fhir.TypeQuestionnaireResponse, "subject", KindReference, "subject", ""},

	{fhir.TypeRelatedPerson, "name", KindString, "name", ""},
	{fhir.TypeRelatedPerson, "patient", KindReference, "patient", "Patient"},

	{fhir.TypeServiceRequest, "authored", KindDate, "authoredOn", "service"},
	{fhir.TypeServiceRequest, "category", KindToken, "category", ""},
	{fhir.TypeServiceRequest, "code", KindToken, "code", ""},
	{fhir.TypeServiceRequest, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeServiceRequest, "status", KindToken, "status", system + "request-status"},
	{fhir.TypeServiceRequest, "subject", KindReference, "subject", "Device Group Location Patient"},

	{fhir.TypeSpecimen, "patient", KindReference, "subject", onlyPatient},
	{fhir.TypeSpecimen, "subject", KindReference, "subject", "Device Group Location Patient Substance"},
}
