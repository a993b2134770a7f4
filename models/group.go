package models

// MatchGroupProfile is the profile of the Group of those whom a match for a payer found (PDex 2.2.0).
const MatchGroupProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-member-match-group"

// ProviderGroupProfile is the profile of the Group of those whom a match for a provider found (PDex 2.2.0).
const ProviderGroupProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-member-match"

// AttributionGroupProfile is the profile of an attribution list (PDex 2.2.0 Provider Access version 1, pdex-provider-group), which is an
// ATRGroup.
const (
	AttributionGroupProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-group"
	ATRGroupProfile         = "http://hl7.org/fhir/us/davinci-atr/StructureDefinition/atr-group"
)
