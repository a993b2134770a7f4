package models

import (
	"strings"
	"time"
)

// ProviderKind says whether an NPI names a person or an organisation (NPPES "Entity Type Code").
type ProviderKind string

// The provider kinds.
const (
	ProviderIndividual   ProviderKind = "individual"
	ProviderOrganization ProviderKind = "organization"
)

// Provider is one entry of the provider directory: who may ask for members' data, and in what capacity. Names are not
// kept, because no decision needs them.
type Provider struct {
	NPI  string
	Kind ProviderKind
	// Active is false when the NPI was deactivated.
	Active bool
	// InNetwork says whether the provider is under contract with us.
	InNetwork bool
	// Taxonomies are the provider's NUCC taxonomy codes, the primary one first.
	Taxonomies []string
	// Organizations are the NPIs of the organisations an individual works for.
	Organizations []string
	UpdatedAt     time.Time // changes with every write of the row
}

const (
	maxTaxonomies    = 15 // as many as the NPPES file has columns for
	maxOrganizations = 1000
)

// Validate checks an entry and returns KindInvalid with the field in Where.
func (p Provider) Validate() error {
	switch {
	case !ValidNPI(p.NPI):
		return Errorf(KindInvalid, "must be an NPI: ten digits with a right check digit").At("npi")
	case p.Kind != ProviderIndividual && p.Kind != ProviderOrganization:
		return Errorf(KindInvalid, "must be individual or organization").At("kind")
	case len(p.Taxonomies) > maxTaxonomies:
		return Errorf(KindInvalid, "must be at most %d", maxTaxonomies).At("taxonomies")
	case len(p.Organizations) > maxOrganizations:
		return Errorf(KindInvalid, "must be at most %d", maxOrganizations).At("organizations")
	}
	for _, code := range p.Taxonomies {
		if !ValidTaxonomy(code) {
			return Errorf(KindInvalid, "each must be a NUCC taxonomy code: ten letters and digits that end in X").At("taxonomies")
		}
	}
	for _, npi := range p.Organizations {
		if !ValidNPI(npi) {
			return Errorf(KindInvalid, "each must be an NPI: ten digits with a right check digit").At("organizations")
		}
	}
	return nil
}

// ValidNPI reports whether npi is ten digits, the first of them 1 or 2, whose last is the check digit: Luhn's formula
// over the number with 80840 before it (45 CFR 162.406, ISO/IEC 7812).
func ValidNPI(npi string) bool {
	if len(npi) != 10 || (npi[0] != '1' && npi[0] != '2') {
		return false
	}
	sum := 24 // what 80840 adds
	for i := range 10 {
		digit := int(npi[i]) - '0'
		if digit < 0 || digit > 9 {
			return false
		}
		if i%2 == 0 {
			if digit *= 2; digit > 9 {
				digit -= 9
			}
		}
		sum += digit
	}
	return sum%10 == 0
}

// ValidTaxonomy reports whether code has the form of a NUCC Health Care Provider Taxonomy code: nine letters or digits
// and an X. Whether NUCC lists it is not checked.
func ValidTaxonomy(code string) bool {
	return len(code) == 10 && code[9] == 'X' && strings.Trim(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
