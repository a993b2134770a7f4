package fhir

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ruleCases holds, for each type, what its elements say: a resource body without resourceType and id, the patient, and the
// days of service as first..last (a lone day stands for both, - is the first or last of all days).
var ruleCases = []struct{ kind, body, patient, days string }{
	{"Account", `"subject":[{"reference":"Patient/p"}],"servicePeriod":{"start":"2020-01-02","end":"2020-02-03"}`, "p", "2020-01-02..2020-02-03"},
	{"AdverseEvent", `"subject":{"reference":"Patient/p"},"detected":"2020-01-02","date":"2019-05-06"`, "p", "2019-05-06"},
	{"AdverseEvent", `"recordedDate":"2021-01-02","detected":"2020-01-02"`, "", "2020-01-02"},
	{"AllergyIntolerance", `"patient":{"reference":"Patient/p"},"recorder":{"reference":"Patient/q"},"onsetDateTime":"2020-01-01"`, "p", ""},
	{"AllergyIntolerance", `"asserter":{"reference":"Patient/q"}`, "q", ""},
	{"Appointment", `"participant":[{"actor":{"reference":"Practitioner/x"}},{"actor":{"reference":"Patient/p"}}],"start":"2020-01-02T23:00:00Z","end":"2020-01-03T01:00:00Z"`, "p", "2020-01-02..2020-01-03"},
	{"AppointmentResponse", `"actor":{"reference":"Patient/p"},"start":"2020-01-02T23:00:00Z"`, "p", "2020-01-02"},
	{"AuditEvent", `"agent":[{"who":{"reference":"Device/d"}}],"entity":[{"what":{"reference":"Patient/p/_history/1"}}],"recorded":"2012-10-25T22:04:27+11:00"`, "p", "2012-10-25"},
	{"AuditEvent", `"agent":[{"who":{"reference":"Patient/p"}}]`, "p", ""},
	{"Basic", `"subject":{"reference":"Patient/p"},"author":{"reference":"Patient/q"},"created":"2013-05-14"`, "p", "2013-05-14"},
	{"Basic", `"author":{"reference":"Patient/q"}`, "q", ""},
	{"Binary", `"securityContext":{"reference":"Patient/p"}`, "p", ""},
	{"BodyStructure", `"patient":{"reference":"Patient/p"}`, "p", ""},
	{"CarePlan", `"subject":{"reference":"Patient/p"},"period":{"start":"2020-01-02"}`, "p", "2020-01-02..-"},
	{"CarePlan", `"activity":[{"detail":{"performer":[{"reference":"Patient/q"}]}}],"created":"2020-01"`, "q", "2020-01-01..2020-01-31"},
	{"CareTeam", `"subject":{"reference":"Patient/p"},"participant":[{"member":{"reference":"Patient/q"}}],"period":{"start":"2020-01-01"}`, "p", ""},
	{"ChargeItem", `"subject":{"reference":"Patient/p"},"occurrencePeriod":{"end":"2020-01-02"}`, "p", "-..2020-01-02"},
	{"ChargeItem", `"enteredDate":"2018-01-02","occurrenceDateTime":"2017"`, "", "2017-01-01..2017-12-31"},
	{"Claim", `"patient":{"reference":"Patient/p"},"payee":{"party":{"reference":"Patient/q"}},"billablePeriod":{"start":"2020-01-02"},"created":"2021-01-01"`, "p", "2020-01-02"},
	{"Claim", `"created":"2021-01-01","item":[{"servicedDate":"2019-01-01"},{"servicedPeriod":{"start":"2018-01-01","end":"2018-03-04"}}]`, "", "2018-01-01..2019-01-01"},
	{"Claim", `"payee":{"party":{"reference":"Patient/q"}},"created":"2021-01-01"`, "q", "2021-01-01"},
	{"ClaimResponse", `"patient":{"reference":"Patient/p"},"created":"2021-01-01"`, "p", "2021-01-01"},
	{"ClinicalImpression", `"subject":{"reference":"Patient/p"},"effectivePeriod":{"start":"2014-12-06","end":"2014-12-07"},"date":"2014-12-09"`, "p", "2014-12-06..2014-12-07"},
	{"Communication", `"subject":{"reference":"Patient/p"},"sender":{"reference":"Patient/q"},"received":"2014-12-12","sent":"2014-12-11"`, "p", "2014-12-11"},
	{"Communication", `"recipient":[{"reference":"Patient/q"},{"reference":"Patient/q"}],"received":"2014-12-12"`, "q", "2014-12-12"},
	{"CommunicationRequest", `"requester":{"reference":"Patient/q"},"authoredOn":"2016-06-10"`, "q", "2016-06-10"},
	{"Composition", `"subject":{"reference":"Patient/p"},"date":"2012-01-04T09:10:14Z"`, "p", "2012-01-04"},
	{"Composition", `"attester":[{"party":{"reference":"Patient/q"}}]`, "q", ""},
	{"Condition", `"subject":{"reference":"Patient/p"},"onsetDateTime":"2012-05","recordedDate":"2013-01-01"`, "p", "2012-05-01..-"},
	{"Condition", `"subject":{"reference":"Patient/p"},"onsetDateTime":"2012-05","abatementDateTime":"2013-01-01"`, "p", "2012-05-01..2013-01-01"},
	{"Condition", `"subject":{"reference":"Patient/p"},"onsetDateTime":"2012-05","abatementString":"in spring"`, "p", "2012-05-01..2012-05-31"},
	{"Condition", `"subject":{"reference":"Patient/p"},"onsetDateTime":"2012-05-01","clinicalStatus":{"coding":[{"code":"resolved"}]}`, "p", "2012-05-01"},
	{"Condition", `"subject":{"reference":"Patient/p"},"clinicalStatus":{"coding":[{"code":"active"}]},"recordedDate":"2013-01-01"`, "p", "2013-01-01..-"},
	{"Condition", `"subject":{"reference":"Patient/p"},"onsetAge":{"value":5},"recordedDate":"2013-01-01"`, "p", "2013-01-01..-"},
	{"Consent", `"patient":{"reference":"Patient/p"},"dateTime":"2013-01-01"`, "p", ""},
	{"Contract", `"subject":[{"reference":"Patient/p"}]`, "p", ""},
	{"Coverage", `"beneficiary":{"reference":"Patient/p"},"subscriber":{"reference":"Patient/q"},"period":{"start":"2020-01-01"}`, "p", ""},
	{"Coverage", `"subscriber":{"reference":"Patient/q"}`, "q", ""},
	{"CoverageEligibilityRequest", `"patient":{"reference":"Patient/p"},"servicedDate":"2014-09-17","created":"2014-08-16"`, "p", "2014-09-17"},
	{"CoverageEligibilityResponse", `"patient":{"reference":"Patient/p"},"created":"2014-08-16"`, "p", "2014-08-16"},
	{"DetectedIssue", `"patient":{"reference":"Patient/p"},"identifiedDateTime":"2014-01-05"`, "p", "2014-01-05"},
	{"Device", `"patient":{"reference":"Patient/p"},"manufactureDate":"2014-01-05"`, "p", ""},
	{"DeviceRequest", `"subject":{"reference":"Patient/p"},"authoredOn":"2013-05-08T09:33:27+07:00"`, "p", "2013-05-08"},
	{"DeviceUseStatement", `"subject":{"reference":"Patient/p"},"timingPeriod":{"start":"2013-05-08"},"recordedOn":"2012-01-01"`, "p", "2013-05-08..-"},
	{"DiagnosticReport", `"subject":{"reference":"Patient/p"},"issued":"2011-03-04T08:30:00+11:00"`, "p", "2011-03-04"},
	{"DiagnosticReport", `"subject":{"reference":"Patient/p"},"issued":"2011-03-04T08:30:00+11:00","effectiveDateTime":"2010"`, "p", "2010-01-01..2010-12-31"},
	{"DocumentManifest", `"subject":{"reference":"Patient/p"},"created":"2004-12-25T23:50:50-05:00"`, "p", "2004-12-25"},
	{"DocumentReference", `"subject":{"reference":"Patient/p"},"date":"2005-12-24T09:43:41+11:00","context":{"period":{"start":"2004-12-23","end":"2004-12-24"}}`, "p", "2004-12-23..2004-12-24"},
	{"DocumentReference", `"author":[{"reference":"Patient/q"}],"date":"2005-12-24T09:43:41+11:00"`, "q", "2005-12-24"},
	{"Encounter", `"subject":{"reference":"Patient/p"},"period":{"start":"2020-05-04T23:30:00-05:00","end":"2020-05-05T01:00:00-05:00"}`, "p", "2020-05-04..2020-05-05"},
	{"EnrollmentRequest", `"candidate":{"reference":"Patient/p"},"created":"2014-08-16"`, "p", ""},
	{"EpisodeOfCare", `"patient":{"reference":"Patient/p"},"period":{"start":"2014-09-01"}`, "p", "2014-09-01..-"},
	{"ExplanationOfBenefit", `"patient":{"reference":"Patient/p"},"billablePeriod":{"start":"2020-01-05","end":"2020-01-06"},"item":[{"servicedDate":"2020-01-02"},{"servicedPeriod":{"start":"2020-01-07"}}]`, "p", "2020-01-02..2020-01-07"},
	{"ExplanationOfBenefit", `"patient":{"reference":"Patient/p"},"billablePeriod":{"start":"1999"},"created":"2020-01-05"`, "p", "1999-01-01..1999-12-31"},
	{"FamilyMemberHistory", `"patient":{"reference":"Patient/p"},"date":"2011-03-18"`, "p", ""},
	{"Flag", `"subject":{"reference":"Patient/p"},"period":{"end":"2016-12-01"}`, "p", "-..2016-12-01"},
	{"Goal", `"subject":{"reference":"Patient/p"},"startDate":"2015-04-05","target":[{"dueDate":"2016-04-05"},{"dueDate":"2016-06-05"}]`, "p", "2016-04-05..2016-06-05"},
	{"Goal", `"subject":{"reference":"Patient/p"},"startDate":"2015-04-05","target":[{"detailInteger":4}]`, "p", "2015-04-05"},
	{"Group", `"member":[{"entity":{"reference":"Patient/p"}}]`, "p", ""},
	{"GuidanceResponse", `"subject":{"reference":"Patient/p"},"occurrenceDateTime":"2017-03-10"`, "p", "2017-03-10"},
	{"ImagingStudy", `"subject":{"reference":"Patient/p"},"started":"2011-01-01T11:01:20+03:00"`, "p", "2011-01-01"},
	{"Immunization", `"patient":{"reference":"Patient/p"},"occurrenceDateTime":"2013-01-10","recorded":"2014-01-01"`, "p", "2013-01-10"},
	{"Immunization", `"patient":{"reference":"Patient/p"},"occurrenceString":"as a child","recorded":"2014-01-01"`, "p", "2014-01-01"},
	{"ImmunizationEvaluation", `"patient":{"reference":"Patient/p"},"date":"2013-01-10"`, "p", "2013-01-10"},
	{"ImmunizationRecommendation", `"patient":{"reference":"Patient/p"},"date":"2015-02-09"`, "p", "2015-02-09"},
	{"Invoice", `"subject":{"reference":"Patient/p"},"date":"2017-01-25"`, "p", "2017-01-25"},
	{"Invoice", `"recipient":{"reference":"Patient/q"}`, "q", ""},
	{"List", `"source":{"reference":"Patient/q"},"date":"2017-01-25"`, "q", "2017-01-25"},
	{"MeasureReport", `"subject":{"reference":"Patient/p"},"period":{"start":"2014-01-01","end":"2014-03-31"},"date":"2014-04-01"`, "p", "2014-01-01..2014-03-31"},
	{"Media", `"subject":{"reference":"Patient/p"},"createdDateTime":"2017-12-17"`, "p", "2017-12-17"},
	{"Media", `"issued":"2017-12-18T00:00:00Z"`, "", "2017-12-18"},
	{"MedicationAdministration", `"performer":[{"actor":{"reference":"Patient/q"}}],"effectivePeriod":{"start":"2015-01-15","end":"2015-01-16"}`, "q", "2015-01-15..2015-01-16"},
	{"MedicationDispense", `"subject":{"reference":"Patient/p"},"whenPrepared":"2015-01-15","whenHandedOver":"2015-01-17"`, "p", "2015-01-17"},
	{"MedicationDispense", `"receiver":[{"reference":"Patient/q"}],"whenPrepared":"2015-01-15"`, "q", "2015-01-15"},
	{"MedicationRequest", `"subject":{"reference":"Patient/p"},"authoredOn":"2015-01-15"`, "p", "2015-01-15"},
	{"MedicationStatement", `"subject":{"reference":"Patient/p"},"effectiveDateTime":"2015-01-23","dateAsserted":"2015-02-22"`, "p", "2015-01-23"},
	{"MolecularSequence", `"patient":{"reference":"Patient/p"}`, "p", ""},
	{"NutritionOrder", `"patient":{"reference":"Patient/p"},"dateTime":"2014-09-17"`, "p", "2014-09-17"},
	{"Observation", `"subject":{"reference":"Patient/p"},"performer":[{"reference":"Patient/q"}],"effectiveInstant":"2013-04-02T09:30:10+01:00","issued":"2014-01-01T00:00:00Z"`, "p", "2013-04-02"},
	{"Observation", `"performer":[{"reference":"Patient/q"}],"effectiveTiming":{"event":["2013-04-02","2013-04-09"]}`, "q", "2013-04-02..2013-04-09"},
	{"Observation", `"subject":{"reference":"Group/g"},"performer":[{"reference":"Patient/q"}],"issued":"2014-01-01T00:00:00Z"`, "", "2014-01-01"},
	{"Patient", `"link":[{"other":{"reference":"Patient/q"}}],"birthDate":"1980-01-01"`, "x", ""},
	{"Person", `"link":[{"target":{"reference":"Patient/p"}}]`, "p", ""},
	{"Procedure", `"subject":{"reference":"Patient/p"},"performedPeriod":{"start":"2013-04-05","end":"2013-04-06"}`, "p", "2013-04-05..2013-04-06"},
	{"Procedure", `"performer":[{"actor":{"reference":"Patient/q"}}],"performedString":"once"`, "q", ""},
	{"Provenance", `"target":[{"reference":"Patient/p"}],"recorded":"2015-06-27T08:39:24+10:00"`, "p", ""},
	{"QuestionnaireResponse", `"author":{"reference":"Patient/q"},"authored":"2014-12-11T04:44:16Z"`, "q", "2014-12-11"},
	{"RelatedPerson", `"patient":{"reference":"Patient/p"}`, "p", ""},
	{"RequestGroup", `"action":[{"participant":[{"reference":"Patient/q"}]}],"authoredOn":"2017-03-06"`, "q", "2017-03-06"},
	{"ResearchSubject", `"individual":{"reference":"Patient/p"},"period":{"start":"2017-03-06","end":"2018-01-01"}`, "p", "2017-03-06..2018-01-01"},
	{"RiskAssessment", `"subject":{"reference":"Patient/p"},"occurrenceDateTime":"2010-11-22"`, "p", "2010-11-22"},
	{"Schedule", `"actor":[{"reference":"Location/l"},{"reference":"Patient/p"}],"planningHorizon":{"start":"2013-12-25","end":"2013-12-26"}`, "p", "2013-12-25..2013-12-26"},
	{"ServiceRequest", `"subject":{"reference":"Patient/p"},"occurrenceDateTime":"2014-01-01","authoredOn":"2013-05-02"`, "p", "2013-05-02"},
	{"ServiceRequest", `"performer":[{"reference":"Patient/q"}],"occurrenceDateTime":"2014-01-01"`, "q", "2014-01-01"},
	{"Specimen", `"subject":{"reference":"Patient/p"},"receivedTime":"2011-03-04T07:03:00Z"`, "p", ""},
	{"SupplyDelivery", `"patient":{"reference":"Patient/p"},"occurrenceDateTime":"2016-12-31"`, "p", "2016-12-31"},
	{"SupplyRequest", `"deliverTo":{"reference":"Patient/p"},"authoredOn":"2016-12-31"`, "p", "2016-12-31"},
	{"Task", `"for":{"reference":"Patient/p"},"authoredOn":"2016-03-10"`, "p", "2016-03-10"},
	{"VisionPrescription", `"patient":{"reference":"Patient/p"},"created":"2014-06-16","dateWritten":"2014-06-15"`, "p", "2014-06-15"},
	{"Organization", `"subject":{"reference":"Patient/p"},"period":{"start":"2014"}`, "", ""},
}

func TestRules(t *testing.T) {
	t.Parallel()
	covered := map[int16]bool{}
	for _, c := range ruleCases {
		line := []byte(`{"resourceType":"` + c.kind + `","id":"x",` + c.body + `}`)
		// The type may come last: everything must still be understood.
		late := []byte(`{"id":"x",` + c.body + `,"resourceType":"` + c.kind + `"}`)
		for _, line := range [][]byte{line, late} {
			var f Facts
			require.NoError(t, Inspect(line, &f), "%s", line)
			require.Equal(t, c.patient, string(f.Patient), "%s", line)
			require.Equal(t, c.days, days(f), "%s", line)
			require.False(t, f.BadDate, "%s", line)
			require.False(t, f.Others, "%s", line)
			covered[f.Type] = true
		}
	}
	for _, r := range rules {
		require.True(t, covered[r.code], "no case for %s", TypeName(r.code))
	}
}

// days writes the days of service as the cases do.
func days(f Facts) string {
	if !f.Dated {
		return ""
	}
	first, last := FormatDay(f.First), FormatDay(f.Last)
	if f.First == MinDay {
		first = "-"
	}
	if f.Last == MaxDay {
		last = "-"
	}
	if first == last {
		return first
	}
	return first + ".." + last
}

// compartment is the list of types with parameters in CompartmentDefinition/patient, R4 4.0.1.
const compartment = `Account AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic BodyStructure
CarePlan CareTeam ChargeItem Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition Condition
Consent Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue DeviceRequest DeviceUseStatement
DiagnosticReport DocumentManifest DocumentReference Encounter EnrollmentRequest EpisodeOfCare ExplanationOfBenefit
FamilyMemberHistory Flag Goal Group ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation Invoice List
MeasureReport Media MedicationAdministration MedicationDispense MedicationRequest MedicationStatement MolecularSequence
NutritionOrder Observation Patient Person Procedure Provenance QuestionnaireResponse RelatedPerson RequestGroup
ResearchSubject RiskAssessment Schedule ServiceRequest Specimen SupplyDelivery SupplyRequest VisionPrescription`

func TestCompartment(t *testing.T) {
	t.Parallel()
	in := map[string]bool{}
	for name := range strings.FieldsSeq(compartment) {
		in[name] = true
	}
	for code := int16(1); TypeName(code) != ""; code++ {
		require.Equal(t, in[TypeName(code)], InPatientCompartment(code), TypeName(code))
		require.False(t, Shareable(code) && InPatientCompartment(code), TypeName(code))
	}
	require.False(t, InPatientCompartment(0))
	require.False(t, InPatientCompartment(-1))
	require.False(t, Shareable(999))
	require.True(t, Shareable(TypeOrganization))
	require.False(t, Shareable(TypeBundle))
}

func TestTypeCodes(t *testing.T) {
	t.Parallel()
	// Stored codes: a change here breaks every store.
	for name, want := range map[string]int16{
		"Account": 1, "Claim": 19, "Encounter": 44, "ExplanationOfBenefit": 53, "Observation": 96,
		"Patient": 103, "Provenance": 111, "VisionPrescription": 146,
	} {
		code, ok := TypeCode(name)
		require.True(t, ok, name)
		require.Equal(t, want, code, name)
		require.Equal(t, name, TypeName(code))
	}
	require.Len(t, typeCodes, 146)
	previous := ""
	for code := int16(1); code <= 146; code++ {
		require.Greater(t, TypeName(code), previous)
		previous = TypeName(code)
	}
	_, ok := TypeCode("patient")
	require.False(t, ok)
	_, ok = TypeCode("")
	require.False(t, ok)
	require.Empty(t, TypeName(0))
	require.Empty(t, TypeName(147))
}
