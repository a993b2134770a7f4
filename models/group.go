package models

// MatchGroupProfile is the profile of the Group of those whom a match for a payer found (PDex 2.2.0).
const MatchGroupProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-member-match-group"

// ProviderGroupProfile is the profile of the Group of those whom a match for a provider found (PDex 2.2.0).
const ProviderGroupProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-member-match"
