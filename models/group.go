package models

// MatchGroupProfile is the profile of the Group of those whom a match for a payer found (PDex 2.2.0).
const MatchGroupProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-member-match-group"
