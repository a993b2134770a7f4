package seed

// Type is a resource type the seed writes. The order is alphabetical; it is the order of files, summaries and truth.
type Type uint8

// The types, each with a file of its own.
const (
	AllergyIntolerance Type = iota
	CarePlan
	CareTeam
	Condition
	Coverage
	Device
	DiagnosticReport
	DocumentReference
	Encounter
	ExplanationOfBenefit
	Goal
	Immunization
	Location
	Medication
	MedicationDispense
	MedicationRequest
	Observation
	Organization
	Patient
	Practitioner
	PractitionerRole
	Procedure
	Provenance
	QuestionnaireResponse
	typeCount
)

var typeNames = [typeCount]string{
	"AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport", "DocumentReference",
	"Encounter", "ExplanationOfBenefit", "Goal", "Immunization", "Location", "Medication", "MedicationDispense", "MedicationRequest",
	"Observation", "Organization", "Patient", "Practitioner", "PractitionerRole", "Procedure", "Provenance", "QuestionnaireResponse",
}

// String returns the FHIR name of the type.
func (t Type) String() string { return typeNames[t] }

// Types returns every type the seed writes, in the order of Type.
func Types() []Type {
	all := make([]Type, typeCount)
	for i := range all {
		all[i] = Type(i)
	}
	return all
}
