package fhir

// Which codings of meta.security mark a resource as sensitive.
//
// PDex names no vocabulary. The tables follow the security labels of R4 (https://hl7.org/fhir/R4/security-labels.html):
// the two upper levels of v3-Confidentiality, every code of the value set v3-InformationSensitivityPolicy
// (http://terminology.hl7.org/ValueSet/v3-InformationSensitivityPolicy), and the codes of v3-ActUSPrivacyLaw that restrict
// disclosure. "N" (normal) and below are not sensitive, and neither are handling caveats or integrity labels.

var confidentialitySystems = map[string]bool{
	"http://terminology.hl7.org/CodeSystem/v3-Confidentiality": true,
	"http://hl7.org/fhir/v3/Confidentiality":                   true, // DSTU2 and STU3
	"urn:oid:2.16.840.1.113883.5.25":                           true,
}

var confidentialityCodes = map[string]bool{
	"R": true, // restricted
	"V": true, // very restricted
}

var actCodeSystems = map[string]bool{
	"http://terminology.hl7.org/CodeSystem/v3-ActCode": true,
	"http://hl7.org/fhir/v3/ActCode":                   true, // DSTU2 and STU3
	"urn:oid:2.16.840.1.113883.5.4":                    true,
}

var sensitivityCodes = map[string]bool{
	"_InformationSensitivityPolicy": true,

	"_ActInformationSensitivityPolicy": true,
	"BH":                               true, // behavioural health
	"COGN":                             true, // cognitive disability
	"DVD":                              true, // developmental disability
	"EMOTDIS":                          true, // emotional disturbance
	"ETH":                              true, // substance abuse
	"ETHUD":                            true, // alcohol use disorder
	"GDIS":                             true, // genetic disease
	"HIV":                              true, // HIV/AIDS
	"IDS":                              true, // identifiers
	"MH":                               true, // mental health
	"MST":                              true, // military sexual trauma
	"OPIOIDUD":                         true, // opioid use disorder
	"PREGNANT":                         true, // pregnancy
	"PSY":                              true, // psychiatry
	"PSYTHPN":                          true, // psychotherapy notes
	"SCA":                              true, // sickle cell anaemia
	"SDV":                              true, // sexual assault, abuse, domestic violence
	"SEX":                              true, // sexuality and reproductive health
	"SICKLE":                           true, // sickle cell
	"SPI":                              true, // specially protected information
	"STD":                              true, // sexually transmitted disease
	"SUD":                              true, // substance use disorder
	"TBOO":                             true, // taboo
	"VIO":                              true, // violence

	"_EntitySensitivityPolicyType": true,
	"DEMO":                         true, // all demographics
	"DOB":                          true, // date of birth
	"GENDER":                       true, // gender and sexual orientation
	"LIVARG":                       true, // living arrangement
	"MARST":                        true, // marital status
	"PATLOC":                       true, // patient location
	"RACE":                         true, // race
	"REL":                          true, // religion

	"_RoleInformationSensitivityPolicy": true,
	"ADOL":                              true, // adolescent
	"B":                                 true, // business
	"CEL":                               true, // celebrity
	"DIA":                               true, // diagnosis
	"DRGIS":                             true, // drug
	"EMP":                               true, // employee
	"EMPL":                              true, // employer
	"LOCIS":                             true, // location
	"PDS":                               true, // patient default
	"PHY":                               true, // physician requested
	"PRS":                               true, // patient requested
	"SSP":                               true, // sensitive service provider
	"VIP":                               true, // celebrity

	"42CFRPart2":         true, // substance use disorder records, 42 CFR Part 2
	"42CFRPart2CD":       true,
	"HIPAAPsyNotes":      true, // psychotherapy notes, 45 CFR 164.508
	"HIPAASelfPay":       true, // paid out of pocket, not for the plan, 45 CFR 164.522
	"Title38Section7332": true, // veterans: substance use, HIV, sickle cell
}

// sensitiveLabel judges one coding. A coding without a system is judged by its code in both tables: a label that was meant
// to hide something and lost its system must not stop hiding it.
func sensitiveLabel(system, code []byte) bool {
	if len(system) == 0 {
		return confidentialityCodes[string(code)] || sensitivityCodes[string(code)]
	}
	return confidentialitySystems[string(system)] && confidentialityCodes[string(code)] ||
		actCodeSystems[string(system)] && sensitivityCodes[string(code)]
}
