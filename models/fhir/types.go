package fhir

// Resource type codes: what stores and indexes keep instead of the name. They are the 146 concrete FHIR R4 (4.0.1)
// types in alphabetical order; a code is stored in rows and files, so it never changes meaning.
const (
	TypeAccount                           int16 = 1
	TypeActivityDefinition                int16 = 2
	TypeAdverseEvent                      int16 = 3
	TypeAllergyIntolerance                int16 = 4
	TypeAppointment                       int16 = 5
	TypeAppointmentResponse               int16 = 6
	TypeAuditEvent                        int16 = 7
	TypeBasic                             int16 = 8
	TypeBinary                            int16 = 9
	TypeBiologicallyDerivedProduct        int16 = 10
	TypeBodyStructure                     int16 = 11
	TypeBundle                            int16 = 12
	TypeCapabilityStatement               int16 = 13
	TypeCarePlan                          int16 = 14
	TypeCareTeam                          int16 = 15
	TypeCatalogEntry                      int16 = 16
	TypeChargeItem                        int16 = 17
	TypeChargeItemDefinition              int16 = 18
	TypeClaim                             int16 = 19
	TypeClaimResponse                     int16 = 20
	TypeClinicalImpression                int16 = 21
	TypeCodeSystem                        int16 = 22
	TypeCommunication                     int16 = 23
	TypeCommunicationRequest              int16 = 24
	TypeCompartmentDefinition             int16 = 25
	TypeComposition                       int16 = 26
	TypeConceptMap                        int16 = 27
	TypeCondition                         int16 = 28
	TypeConsent                           int16 = 29
	TypeContract                          int16 = 30
	TypeCoverage                          int16 = 31
	TypeCoverageEligibilityRequest        int16 = 32
	TypeCoverageEligibilityResponse       int16 = 33
	TypeDetectedIssue                     int16 = 34
	TypeDevice                            int16 = 35
	TypeDeviceDefinition                  int16 = 36
	TypeDeviceMetric                      int16 = 37
	TypeDeviceRequest                     int16 = 38
	TypeDeviceUseStatement                int16 = 39
	TypeDiagnosticReport                  int16 = 40
	TypeDocumentManifest                  int16 = 41
	TypeDocumentReference                 int16 = 42
	TypeEffectEvidenceSynthesis           int16 = 43
	TypeEncounter                         int16 = 44
	TypeEndpoint                          int16 = 45
	TypeEnrollmentRequest                 int16 = 46
	TypeEnrollmentResponse                int16 = 47
	TypeEpisodeOfCare                     int16 = 48
	TypeEventDefinition                   int16 = 49
	TypeEvidence                          int16 = 50
	TypeEvidenceVariable                  int16 = 51
	TypeExampleScenario                   int16 = 52
	TypeExplanationOfBenefit              int16 = 53
	TypeFamilyMemberHistory               int16 = 54
	TypeFlag                              int16 = 55
	TypeGoal                              int16 = 56
	TypeGraphDefinition                   int16 = 57
	TypeGroup                             int16 = 58
	TypeGuidanceResponse                  int16 = 59
	TypeHealthcareService                 int16 = 60
	TypeImagingStudy                      int16 = 61
	TypeImmunization                      int16 = 62
	TypeImmunizationEvaluation            int16 = 63
	TypeImmunizationRecommendation        int16 = 64
	TypeImplementationGuide               int16 = 65
	TypeInsurancePlan                     int16 = 66
	TypeInvoice                           int16 = 67
	TypeLibrary                           int16 = 68
	TypeLinkage                           int16 = 69
	TypeList                              int16 = 70
	TypeLocation                          int16 = 71
	TypeMeasure                           int16 = 72
	TypeMeasureReport                     int16 = 73
	TypeMedia                             int16 = 74
	TypeMedication                        int16 = 75
	TypeMedicationAdministration          int16 = 76
	TypeMedicationDispense                int16 = 77
	TypeMedicationKnowledge               int16 = 78
	TypeMedicationRequest                 int16 = 79
	TypeMedicationStatement               int16 = 80
	TypeMedicinalProduct                  int16 = 81
	TypeMedicinalProductAuthorization     int16 = 82
	TypeMedicinalProductContraindication  int16 = 83
	TypeMedicinalProductIndication        int16 = 84
	TypeMedicinalProductIngredient        int16 = 85
	TypeMedicinalProductInteraction       int16 = 86
	TypeMedicinalProductManufactured      int16 = 87
	TypeMedicinalProductPackaged          int16 = 88
	TypeMedicinalProductPharmaceutical    int16 = 89
	TypeMedicinalProductUndesirableEffect int16 = 90
	TypeMessageDefinition                 int16 = 91
	TypeMessageHeader                     int16 = 92
	TypeMolecularSequence                 int16 = 93
	TypeNamingSystem                      int16 = 94
	TypeNutritionOrder                    int16 = 95
	TypeObservation                       int16 = 96
	TypeObservationDefinition             int16 = 97
	TypeOperationDefinition               int16 = 98
	TypeOperationOutcome                  int16 = 99
	TypeOrganization                      int16 = 100
	TypeOrganizationAffiliation           int16 = 101
	TypeParameters                        int16 = 102
	TypePatient                           int16 = 103
	TypePaymentNotice                     int16 = 104
	TypePaymentReconciliation             int16 = 105
	TypePerson                            int16 = 106
	TypePlanDefinition                    int16 = 107
	TypePractitioner                      int16 = 108
	TypePractitionerRole                  int16 = 109
	TypeProcedure                         int16 = 110
	TypeProvenance                        int16 = 111
	TypeQuestionnaire                     int16 = 112
	TypeQuestionnaireResponse             int16 = 113
	TypeRelatedPerson                     int16 = 114
	TypeRequestGroup                      int16 = 115
	TypeResearchDefinition                int16 = 116
	TypeResearchElementDefinition         int16 = 117
	TypeResearchStudy                     int16 = 118
	TypeResearchSubject                   int16 = 119
	TypeRiskAssessment                    int16 = 120
	TypeRiskEvidenceSynthesis             int16 = 121
	TypeSchedule                          int16 = 122
	TypeSearchParameter                   int16 = 123
	TypeServiceRequest                    int16 = 124
	TypeSlot                              int16 = 125
	TypeSpecimen                          int16 = 126
	TypeSpecimenDefinition                int16 = 127
	TypeStructureDefinition               int16 = 128
	TypeStructureMap                      int16 = 129
	TypeSubscription                      int16 = 130
	TypeSubstance                         int16 = 131
	TypeSubstanceNucleicAcid              int16 = 132
	TypeSubstancePolymer                  int16 = 133
	TypeSubstanceProtein                  int16 = 134
	TypeSubstanceReferenceInformation     int16 = 135
	TypeSubstanceSourceMaterial           int16 = 136
	TypeSubstanceSpecification            int16 = 137
	TypeSupplyDelivery                    int16 = 138
	TypeSupplyRequest                     int16 = 139
	TypeTask                              int16 = 140
	TypeTerminologyCapabilities           int16 = 141
	TypeTestReport                        int16 = 142
	TypeTestScript                        int16 = 143
	TypeValueSet                          int16 = 144
	TypeVerificationResult                int16 = 145
	TypeVisionPrescription                int16 = 146
)

// typeNames holds the name of each code; index 0 is no type.
var typeNames = [...]string{
	TypeAccount:                           "Account",
	TypeActivityDefinition:                "ActivityDefinition",
	TypeAdverseEvent:                      "AdverseEvent",
	TypeAllergyIntolerance:                "AllergyIntolerance",
	TypeAppointment:                       "Appointment",
	TypeAppointmentResponse:               "AppointmentResponse",
	TypeAuditEvent:                        "AuditEvent",
	TypeBasic:                             "Basic",
	TypeBinary:                            "Binary",
	TypeBiologicallyDerivedProduct:        "BiologicallyDerivedProduct",
	TypeBodyStructure:                     "BodyStructure",
	TypeBundle:                            "Bundle",
	TypeCapabilityStatement:               "CapabilityStatement",
	TypeCarePlan:                          "CarePlan",
	TypeCareTeam:                          "CareTeam",
	TypeCatalogEntry:                      "CatalogEntry",
	TypeChargeItem:                        "ChargeItem",
	TypeChargeItemDefinition:              "ChargeItemDefinition",
	TypeClaim:                             "Claim",
	TypeClaimResponse:                     "ClaimResponse",
	TypeClinicalImpression:                "ClinicalImpression",
	TypeCodeSystem:                        "CodeSystem",
	TypeCommunication:                     "Communication",
	TypeCommunicationRequest:              "CommunicationRequest",
	TypeCompartmentDefinition:             "CompartmentDefinition",
	TypeComposition:                       "Composition",
	TypeConceptMap:                        "ConceptMap",
	TypeCondition:                         "Condition",
	TypeConsent:                           "Consent",
	TypeContract:                          "Contract",
	TypeCoverage:                          "Coverage",
	TypeCoverageEligibilityRequest:        "CoverageEligibilityRequest",
	TypeCoverageEligibilityResponse:       "CoverageEligibilityResponse",
	TypeDetectedIssue:                     "DetectedIssue",
	TypeDevice:                            "Device",
	TypeDeviceDefinition:                  "DeviceDefinition",
	TypeDeviceMetric:                      "DeviceMetric",
	TypeDeviceRequest:                     "DeviceRequest",
	TypeDeviceUseStatement:                "DeviceUseStatement",
	TypeDiagnosticReport:                  "DiagnosticReport",
	TypeDocumentManifest:                  "DocumentManifest",
	TypeDocumentReference:                 "DocumentReference",
	TypeEffectEvidenceSynthesis:           "EffectEvidenceSynthesis",
	TypeEncounter:                         "Encounter",
	TypeEndpoint:                          "Endpoint",
	TypeEnrollmentRequest:                 "EnrollmentRequest",
	TypeEnrollmentResponse:                "EnrollmentResponse",
	TypeEpisodeOfCare:                     "EpisodeOfCare",
	TypeEventDefinition:                   "EventDefinition",
	TypeEvidence:                          "Evidence",
	TypeEvidenceVariable:                  "EvidenceVariable",
	TypeExampleScenario:                   "ExampleScenario",
	TypeExplanationOfBenefit:              "ExplanationOfBenefit",
	TypeFamilyMemberHistory:               "FamilyMemberHistory",
	TypeFlag:                              "Flag",
	TypeGoal:                              "Goal",
	TypeGraphDefinition:                   "GraphDefinition",
	TypeGroup:                             "Group",
	TypeGuidanceResponse:                  "GuidanceResponse",
	TypeHealthcareService:                 "HealthcareService",
	TypeImagingStudy:                      "ImagingStudy",
	TypeImmunization:                      "Immunization",
	TypeImmunizationEvaluation:            "ImmunizationEvaluation",
	TypeImmunizationRecommendation:        "ImmunizationRecommendation",
	TypeImplementationGuide:               "ImplementationGuide",
	TypeInsurancePlan:                     "InsurancePlan",
	TypeInvoice:                           "Invoice",
	TypeLibrary:                           "Library",
	TypeLinkage:                           "Linkage",
	TypeList:                              "List",
	TypeLocation:                          "Location",
	TypeMeasure:                           "Measure",
	TypeMeasureReport:                     "MeasureReport",
	TypeMedia:                             "Media",
	TypeMedication:                        "Medication",
	TypeMedicationAdministration:          "MedicationAdministration",
	TypeMedicationDispense:                "MedicationDispense",
	TypeMedicationKnowledge:               "MedicationKnowledge",
	TypeMedicationRequest:                 "MedicationRequest",
	TypeMedicationStatement:               "MedicationStatement",
	TypeMedicinalProduct:                  "MedicinalProduct",
	TypeMedicinalProductAuthorization:     "MedicinalProductAuthorization",
	TypeMedicinalProductContraindication:  "MedicinalProductContraindication",
	TypeMedicinalProductIndication:        "MedicinalProductIndication",
	TypeMedicinalProductIngredient:        "MedicinalProductIngredient",
	TypeMedicinalProductInteraction:       "MedicinalProductInteraction",
	TypeMedicinalProductManufactured:      "MedicinalProductManufactured",
	TypeMedicinalProductPackaged:          "MedicinalProductPackaged",
	TypeMedicinalProductPharmaceutical:    "MedicinalProductPharmaceutical",
	TypeMedicinalProductUndesirableEffect: "MedicinalProductUndesirableEffect",
	TypeMessageDefinition:                 "MessageDefinition",
	TypeMessageHeader:                     "MessageHeader",
	TypeMolecularSequence:                 "MolecularSequence",
	TypeNamingSystem:                      "NamingSystem",
	TypeNutritionOrder:                    "NutritionOrder",
	TypeObservation:                       "Observation",
	TypeObservationDefinition:             "ObservationDefinition",
	TypeOperationDefinition:               "OperationDefinition",
	TypeOperationOutcome:                  "OperationOutcome",
	TypeOrganization:                      "Organization",
	TypeOrganizationAffiliation:           "OrganizationAffiliation",
	TypeParameters:                        "Parameters",
	TypePatient:                           "Patient",
	TypePaymentNotice:                     "PaymentNotice",
	TypePaymentReconciliation:             "PaymentReconciliation",
	TypePerson:                            "Person",
	TypePlanDefinition:                    "PlanDefinition",
	TypePractitioner:                      "Practitioner",
	TypePractitionerRole:                  "PractitionerRole",
	TypeProcedure:                         "Procedure",
	TypeProvenance:                        "Provenance",
	TypeQuestionnaire:                     "Questionnaire",
	TypeQuestionnaireResponse:             "QuestionnaireResponse",
	TypeRelatedPerson:                     "RelatedPerson",
	TypeRequestGroup:                      "RequestGroup",
	TypeResearchDefinition:                "ResearchDefinition",
	TypeResearchElementDefinition:         "ResearchElementDefinition",
	TypeResearchStudy:                     "ResearchStudy",
	TypeResearchSubject:                   "ResearchSubject",
	TypeRiskAssessment:                    "RiskAssessment",
	TypeRiskEvidenceSynthesis:             "RiskEvidenceSynthesis",
	TypeSchedule:                          "Schedule",
	TypeSearchParameter:                   "SearchParameter",
	TypeServiceRequest:                    "ServiceRequest",
	TypeSlot:                              "Slot",
	TypeSpecimen:                          "Specimen",
	TypeSpecimenDefinition:                "SpecimenDefinition",
	TypeStructureDefinition:               "StructureDefinition",
	TypeStructureMap:                      "StructureMap",
	TypeSubscription:                      "Subscription",
	TypeSubstance:                         "Substance",
	TypeSubstanceNucleicAcid:              "SubstanceNucleicAcid",
	TypeSubstancePolymer:                  "SubstancePolymer",
	TypeSubstanceProtein:                  "SubstanceProtein",
	TypeSubstanceReferenceInformation:     "SubstanceReferenceInformation",
	TypeSubstanceSourceMaterial:           "SubstanceSourceMaterial",
	TypeSubstanceSpecification:            "SubstanceSpecification",
	TypeSupplyDelivery:                    "SupplyDelivery",
	TypeSupplyRequest:                     "SupplyRequest",
	TypeTask:                              "Task",
	TypeTerminologyCapabilities:           "TerminologyCapabilities",
	TypeTestReport:                        "TestReport",
	TypeTestScript:                        "TestScript",
	TypeValueSet:                          "ValueSet",
	TypeVerificationResult:                "VerificationResult",
	TypeVisionPrescription:                "VisionPrescription",
}

var typeCodes = func() map[string]int16 {
	codes := make(map[string]int16, len(typeNames))
	for code, name := range typeNames {
		if name != "" {
			codes[name] = int16(code)
		}
	}
	return codes
}()

// TypeCode returns the code of an R4 resource type, and false when R4 has no such type. Names are case-sensitive.
func TypeCode(name string) (int16, bool) {
	code, ok := typeCodes[name]
	return code, ok
}

// TypeName returns the name of a code, and "" for a code that names no type.
func TypeName(code int16) string {
	if code < 0 || int(code) >= len(typeNames) {
		return ""
	}
	return typeNames[code]
}
