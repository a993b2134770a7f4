package columns

import "pdexbulk/models/fhir"

// paths says where a resource type keeps its main code and its status: the name of an element of the resource, "" for none.
// A list stands for its first element.
type paths struct {
	typeCode     int16
	code, status string
}

// table is every type with a main code or a status that is about somebody's care, or may accompany it. The columns are null
// for other types.
//
// The main code is the element that R4 maps to the "what" of its five Ws, or the one that says of which kind the resource is.
// A medication that is given by reference has no code here. Booleans (Patient.active) are no status.
var table = [...]paths{
	{fhir.TypeAccount, "type", "status"},
	{fhir.TypeActivityDefinition, "code", "status"},
	{fhir.TypeAdverseEvent, "event", ""},
	{fhir.TypeAllergyIntolerance, "code", "clinicalStatus"},
	{fhir.TypeAppointment, "serviceType", "status"},
	{fhir.TypeAppointmentResponse, "", "participantStatus"},
	{fhir.TypeAuditEvent, "type", ""},
	{fhir.TypeBasic, "code", ""},
	{fhir.TypeBodyStructure, "location", ""},
	{fhir.TypeCarePlan, "category", "status"},
	{fhir.TypeCareTeam, "category", "status"},
	{fhir.TypeChargeItem, "code", "status"},
	{fhir.TypeChargeItemDefinition, "code", "status"},
	{fhir.TypeClaim, "type", "status"},
	{fhir.TypeClaimResponse, "type", "status"},
	{fhir.TypeClinicalImpression, "code", "status"},
	{fhir.TypeCodeSystem, "", "status"},
	{fhir.TypeCommunication, "category", "status"},
	{fhir.TypeCommunicationRequest, "category", "status"},
	{fhir.TypeComposition, "type", "status"},
	{fhir.TypeConceptMap, "", "status"},
	{fhir.TypeCondition, "code", "clinicalStatus"},
	{fhir.TypeConsent, "category", "status"},
	{fhir.TypeContract, "type", "status"},
	{fhir.TypeCoverage, "type", "status"},
	{fhir.TypeCoverageEligibilityRequest, "", "status"},
	{fhir.TypeCoverageEligibilityResponse, "", "status"},
	{fhir.TypeDetectedIssue, "code", "status"},
	{fhir.TypeDevice, "type", "status"},
	{fhir.TypeDeviceDefinition, "type", ""},
	{fhir.TypeDeviceMetric, "type", "operationalStatus"},
	{fhir.TypeDeviceRequest, "codeCodeableConcept", "status"},
	{fhir.TypeDeviceUseStatement, "", "status"},
	{fhir.TypeDiagnosticReport, "code", "status"},
	{fhir.TypeDocumentManifest, "type", "status"},
	{fhir.TypeDocumentReference, "type", "status"},
	{fhir.TypeEncounter, "type", "status"},
	{fhir.TypeEndpoint, "connectionType", "status"},
	{fhir.TypeEnrollmentRequest, "", "status"},
	{fhir.TypeEnrollmentResponse, "", "status"},
	{fhir.TypeEpisodeOfCare, "type", "status"},
	{fhir.TypeExplanationOfBenefit, "type", "status"},
	{fhir.TypeFamilyMemberHistory, "relationship", "status"},
	{fhir.TypeFlag, "code", "status"},
	{fhir.TypeGoal, "description", "lifecycleStatus"},
	{fhir.TypeGroup, "code", ""},
	{fhir.TypeGuidanceResponse, "moduleCodeableConcept", "status"},
	{fhir.TypeHealthcareService, "type", ""},
	{fhir.TypeImagingStudy, "procedureCode", "status"},
	{fhir.TypeImmunization, "vaccineCode", "status"},
	{fhir.TypeImmunizationEvaluation, "targetDisease", "status"},
	{fhir.TypeInsurancePlan, "type", "status"},
	{fhir.TypeInvoice, "type", "status"},
	{fhir.TypeLibrary, "type", "status"},
	{fhir.TypeList, "code", "status"},
	{fhir.TypeLocation, "type", "status"},
	{fhir.TypeMeasure, "type", "status"},
	{fhir.TypeMeasureReport, "", "status"},
	{fhir.TypeMedia, "type", "status"},
	{fhir.TypeMedication, "code", "status"},
	{fhir.TypeMedicationAdministration, "medicationCodeableConcept", "status"},
	{fhir.TypeMedicationDispense, "medicationCodeableConcept", "status"},
	{fhir.TypeMedicationKnowledge, "code", "status"},
	{fhir.TypeMedicationRequest, "medicationCodeableConcept", "status"},
	{fhir.TypeMedicationStatement, "medicationCodeableConcept", "status"},
	{fhir.TypeNamingSystem, "type", "status"},
	{fhir.TypeNutritionOrder, "", "status"},
	{fhir.TypeObservation, "code", "status"},
	{fhir.TypeObservationDefinition, "code", ""},
	{fhir.TypeOrganization, "type", ""},
	{fhir.TypeOrganizationAffiliation, "code", ""},
	{fhir.TypePaymentNotice, "paymentStatus", "status"},
	{fhir.TypePaymentReconciliation, "", "status"},
	{fhir.TypePlanDefinition, "type", "status"},
	{fhir.TypePractitionerRole, "code", ""},
	{fhir.TypeProcedure, "code", "status"},
	{fhir.TypeProvenance, "activity", ""},
	{fhir.TypeQuestionnaire, "code", "status"},
	{fhir.TypeQuestionnaireResponse, "", "status"},
	{fhir.TypeRelatedPerson, "relationship", ""},
	{fhir.TypeRequestGroup, "code", "status"},
	{fhir.TypeResearchStudy, "category", "status"},
	{fhir.TypeResearchSubject, "", "status"},
	{fhir.TypeRiskAssessment, "code", "status"},
	{fhir.TypeSchedule, "serviceType", ""},
	{fhir.TypeServiceRequest, "code", "status"},
	{fhir.TypeSlot, "serviceType", "status"},
	{fhir.TypeSpecimen, "type", "status"},
	{fhir.TypeSpecimenDefinition, "typeCollected", ""},
	{fhir.TypeSubstance, "code", "status"},
	{fhir.TypeSupplyDelivery, "type", "status"},
	{fhir.TypeSupplyRequest, "itemCodeableConcept", "status"},
	{fhir.TypeTask, "code", "status"},
	{fhir.TypeValueSet, "", "status"},
	{fhir.TypeVisionPrescription, "", "status"},
}

// pathsOf returns the row of a type, an empty one when the table has none.
func pathsOf(typeCode int16) paths {
	for _, p := range table {
		if p.typeCode == typeCode {
			return p
		}
	}
	return paths{typeCode: typeCode}
}
