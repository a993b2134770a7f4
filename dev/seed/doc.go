// Package seed invents a health plan: its members in families, their providers, eight years of clinical records and
// claims, and the match requests another payer might send about them, each with the known truth beside it. It exists so
// that a demonstration, a benchmark or a test can run at any size and be checked against what must come out.
//
// Everything is a pure function of (Options.Seed, Options.Anchor, Options.Density) and of the number of a family: the
// same options give the same bytes on every platform, and the first n members are the same however many are asked for.
// That is what lets blocks of families be made in parallel and streamed in order, in memory that does not grow with the
// size of the run.
//
// The people, places, organisations, identifiers and notes are made up here; no record of any real person or data set is
// used. Codes (ICD-10-CM, SNOMED CT, LOINC, CVX, RxNorm, CPT, CDT) are of the kind real systems send, but the pairing of
// codes with people has no clinical meaning, and NDCs use the unassigned labeler 99999. Twins, newborns, namesakes and
// prior authorisations are far more common than in life, so that a small run holds every case.
//
// The package does not load anything into a server and does not decide what a server should release; the truth it writes
// states facts (what exists, how old it is, what is labelled sensitive), not policy.
package seed

// The payer whose members are generated: the data holder, "old payer" of a payer-to-payer exchange.
const (
	PayerID   = "org-meridian-valley"
	PayerName = "Meridian Valley Health Plan"
	PayerNPI  = "1922334408"
	PayerNAIC = "91157"
)

// The payer that asks: the "new payer" of a payer-to-payer exchange.
const (
	RequesterID   = "org-northlight-mutual"
	RequesterName = "Northlight Mutual Assurance"
	RequesterNPI  = "1760482913"
	RequesterNAIC = "91208"
)

// A third payer, which appears in consents that do not name the requester.
const (
	BystanderID   = "org-harborstone"
	BystanderName = "Harborstone Benefit Society"
	BystanderNPI  = "1538261797"
	BystanderNAIC = "91316"
)

// The identifier systems of the payer and of the requester, and the policies of a consent.
const (
	MemberSystem          = "https://meridianvalley.example.com/fhir/sid/member"
	RequesterMemberSystem = "https://northlight.example.com/fhir/sid/member"
	NPISystem             = "http://hl7.org/fhir/sid/us-npi"
	NAICSystem            = "urn:oid:2.16.840.1.113883.6.300"

	PolicyRegular   = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"
	PolicySensitive = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#sensitive"
)

const (
	sysV2Identifier = "http://terminology.hl7.org/CodeSystem/v2-0203"
	sysICD10        = "http://hl7.org/fhir/sid/icd-10-cm"
	sysSNOMED       = "http://snomed.info/sct"
	sysLOINC        = "http://loinc.org"
	sysRxNorm       = "http://www.nlm.nih.gov/research/umls/rxnorm"
	sysNDC          = "http://hl7.org/fhir/sid/ndc"
	sysCVX          = "http://hl7.org/fhir/sid/cvx"
	sysCPT          = "http://www.ama-assn.org/go/cpt"
	sysCDT          = "http://www.ada.org/cdt"
	sysUCUM         = "http://unitsofmeasure.org"
	sysActCode      = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	sysConfidential = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
	sysTaxonomy     = "http://nucc.org/provider-taxonomy"
	sysRace         = "urn:oid:2.16.840.1.113883.6.238"

	usCore = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
	c4bb   = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-"
	pdex   = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/"
	hrex   = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition/"
)
