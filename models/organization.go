package models

import (
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

// Grant is what a payer may have of a member's data: what the policy says, if Start <= t < End.
type Grant struct {
	Policy     string
	Start, End *time.Time
}
