package models

import (
	"slices"
	"strings"
	"time"
)

// CanonicalOrganization gives an organisation identifier, "system|value", the form it is kept in and compared by: the two ways to
// write the system of a National Provider Identifier become one.
func CanonicalOrganization(identifier string) string {
	if value, ok := strings.CutPrefix(identifier, "urn:oid:2.16.840.1.113883.4.6|"); ok {
		return "http://hl7.org/fhir/sid/us-npi|" + value
	}
	return identifier
}

// SameOrganization reports whether two lists of identifiers have one in common.
func SameOrganization(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return CanonicalOrganization(x) == CanonicalOrganization(y) })
	})
}

// Spellings returns identifiers in all the ways they may be written.
func Spellings(identifiers []string) []string {
	var all []string
	for _, id := range identifiers {
		id = CanonicalOrganization(id)
		all = append(all, id)
		if value, ok := strings.CutPrefix(id, NPISystem+"|"); ok {
			all = append(all, npiOID+"|"+value)
		}
	}
	return all
}

// Grant is what a payer may have of a member's data: what the policy says, if Start <= t < End.
type Grant struct {
	Policy     string
	Start, End *time.Time
}
