package models

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// OptOutScope says what a member's opt-out is from (PDex 2.2.0, CodeSystem opt-out-scope).
type OptOutScope string

// The scopes. What a target is follows from the scope.
const (
	OptOutGlobal   OptOutScope = "global"            // every provider; no target
	OptOutProvider OptOutScope = "provider-specific" // one provider or organisation: an NPI, or an identifier as system|value
	OptOutPurpose  OptOutScope = "purpose-specific"  // one purpose of use: a code of v3-ActReason such as TREAT
	OptOutPayer    OptOutScope = "payer-specific"    // one payer: an identifier as system|value
	OptOutCategory OptOutScope = "provider-category" // a kind of provider: a NUCC taxonomy code, or its first four characters
)

// OptOutReason says why a member opted out (PDex 2.2.0, CodeSystem opt-out-reason).
type OptOutReason string

// The reasons.
const (
	ReasonPrivacy      OptOutReason = "privacy-concern"
	ReasonSecurity     OptOutReason = "data-security"
	ReasonUnknownUse   OptOutReason = "unknown-use"
	ReasonProvider     OptOutReason = "provider-relationship"
	ReasonMemberChoice OptOutReason = "member-choice"
	ReasonOther        OptOutReason = "other"
)

// OptOutSource says how an opt-out came in.
type OptOutSource string

// The sources.
const (
	OptOutByAdmin   OptOutSource = "admin"
	OptOutByImport  OptOutSource = "import"
	OptOutByConsent OptOutSource = "consent" // a pdex-provider-consent
)

// OptOut is a member's word that data are not to be shared. A row is never changed but once, by its revocation, so the
// rows of a member are the history of what they said.
type OptOut struct {
	ID     string
	Member uuid.UUID
	Scope  OptOutScope
	Target string // as CanonicalTarget writes it; "" with OptOutGlobal
	Reason OptOutReason
	// Start and End bound the opt-out: it stands at t if Start <= t < End. End nil is for good.
	Start     time.Time
	End       *time.Time
	Source    OptOutSource
	CreatedBy string
	CreatedAt time.Time
	RevokedAt *time.Time
	RevokedBy string
	// RevokedWhy is one of the codes that say why, for operators.
	RevokedWhy RevocationReason
	// Override says that it is what a member told the plan of sharing with anybody, or with one organisation, seen as an opt-out.
	Override bool
}

// RevocationReason says why an opt-out ended before its time.
type RevocationReason string

// The revocation reasons.
const (
	RevokedByMember  RevocationReason = "member-choice"
	RevokedAsError   RevocationReason = "entered-in-error"
	RevokedByPermit  RevocationReason = "consent-permit" // a pdex-provider-consent that permits
	RevokedByAnother RevocationReason = "superseded"
)

// Validate checks an opt-out that is to be entered, and brings its target into the form that is stored. It returns
// KindUnprocessable with the field in Where.
func (o *OptOut) Validate() error {
	switch o.Reason {
	case ReasonPrivacy, ReasonSecurity, ReasonUnknownUse, ReasonProvider, ReasonMemberChoice, ReasonOther:
	default:
		return Errorf(KindUnprocessable, "must be a code of the value set opt-out-reason").At("reason")
	}
	target, err := CanonicalTarget(o.Scope, o.Target)
	if err != nil {
		return err
	}
	o.Target = target
	switch {
	case o.Start.IsZero() || o.Start.Year() > 9999:
		return Errorf(KindUnprocessable, "a start is needed").At("start")
	case o.End != nil && (!o.End.After(o.Start) || o.End.Year() > 9999):
		return Errorf(KindUnprocessable, "must be after the start").At("end")
	}
	return nil
}

// CanonicalTarget brings the target of an opt-out into the form that is stored and compared: an NPI bare, other identifiers
// as system|value, codes in capitals. It returns KindUnprocessable for an unknown scope and for a target that does not fit it.
func CanonicalTarget(scope OptOutScope, target string) (string, error) {
	fault := func(msg string) (string, error) { return "", Errorf(KindUnprocessable, "%s", msg).At("target") }
	target = strings.TrimSpace(target)
	switch scope {
	case OptOutGlobal:
		if target != "" {
			return fault("an opt-out from all has no target")
		}
		return "", nil
	case OptOutProvider:
		id := CanonicalID(target)
		switch {
		case ValidNPI(id), validID(id):
			return id, nil
		}
		return fault("must be an NPI, or an identifier as system|value")
	case OptOutPayer:
		id := CanonicalID(target)
		if ValidNPI(id) || validID(id) {
			return id, nil
		}
		return fault("must be the payer's identifier as system|value")
	case OptOutPurpose:
		if code := PurposeCode(target); ValidPurpose(code) {
			return code, nil
		}
		return fault("must be a purpose of use such as TREAT")
	case OptOutCategory:
		code := strings.ToUpper(target)
		if ValidTaxonomy(code) || len(code) == 4 && strings.Trim(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			return code, nil
		}
		return fault("must be a NUCC taxonomy code, or the first four characters of one")
	}
	return "", Errorf(KindUnprocessable, "must be global, provider-specific, purpose-specific, payer-specific or provider-category").At("scope")
}

// The ways to write the system of a National Provider Identifier.
const (
	NPISystem = "http://hl7.org/fhir/sid/us-npi"
	npiOID    = "urn:oid:2.16.840.1.113883.4.6"
)

// CanonicalID gives the ways to write one identifier one form: a valid NPI is written bare, whatever its system was written as, and
// everything else as system|value.
func CanonicalID(id string) string {
	for _, system := range []string{NPISystem, npiOID} {
		for _, sep := range []string{"|", "#"} {
			value, ok := strings.CutPrefix(id, system+sep)
			switch {
			case ok && ValidNPI(value):
				return value
			case ok:
				return NPISystem + "|" + value
			}
		}
	}
	return id
}

// NPIs returns the valid NPIs among identifiers, each "system|value" or bare.
func NPIs(ids []string) []string {
	var npis []string
	for _, id := range ids {
		if npi := CanonicalID(id); ValidNPI(npi) {
			npis = append(npis, npi)
		}
	}
	return npis
}

// validID reports whether id is an identifier of the form system|value.
func validID(id string) bool {
	system, value, ok := strings.Cut(id, "|")
	return ok && system != "" && value != "" && plainText(id, maxClientElement)
}

// PurposeCode returns the code of a purpose of use that may be written with its system before it, as system#code or
// system|code. What is no code comes back as it is.
func PurposeCode(purpose string) string {
	if i := strings.LastIndexAny(purpose, "#|"); i >= 0 {
		purpose = purpose[i+1:]
	}
	return strings.ToUpper(strings.TrimSpace(purpose))
}

// ValidPurpose reports whether code is a purpose of use of v3-ActReason.
func ValidPurpose(code string) bool { _, ok := purposes[code]; return ok }

// PurposeWithin reports whether a purpose of use is another one or a kind of it.
func PurposeWithin(code, of string) bool {
	for code != "" {
		if code == of {
			return true
		}
		code = purposes[code]
	}
	return false
}

// purposes are the codes below PurposeOfUse of http://terminology.hl7.org/CodeSystem/v3-ActReason (4.0.0), which are those of the value
// set v3-PurposeOfUse, each with the code above it.
var purposes = map[string]string{
	"HMARKT": "", "HOPERAT": "", "HPAYMT": "", "HRESCH": "", "PATRQT": "", "PUBHLTH": "", "TREAT": "",
	"CAREMGT": "HOPERAT", "DONAT": "HOPERAT", "FRAUD": "HOPERAT", "GOV": "HOPERAT", "HACCRED": "HOPERAT", "HCOMPL": "HOPERAT",
	"HDECD": "HOPERAT", "HDIRECT": "HOPERAT", "HDM": "HOPERAT", "HLEGAL": "HOPERAT", "HOUTCOMS": "HOPERAT", "HPRGRP": "HOPERAT",
	"HQUALIMP": "HOPERAT", "HSYSADMIN": "HOPERAT", "LABELING": "HSYSADMIN", "METAMGT": "HSYSADMIN", "MEMADMIN": "HOPERAT",
	"MILCDM": "HOPERAT", "PATADMIN": "HOPERAT", "PATSFTY": "HOPERAT", "PERFMSR": "HOPERAT", "RECORDMGT": "HOPERAT",
	"SYSDEV": "HOPERAT", "HTEST": "SYSDEV", "TRAIN": "HOPERAT", "MLTRAINING": "HOPERAT",
	"CLMATTCH": "HPAYMT", "COVAUTH": "HPAYMT", "COVERAGE": "HPAYMT", "ELIGDTRM": "COVERAGE", "ELIGVER": "COVERAGE",
	"ENROLLM": "COVERAGE", "MILDCRG": "COVERAGE", "REMITADV": "HPAYMT", "PMTDS": "HPAYMT",
	"BIORCH": "HRESCH", "CLINTRCH": "HRESCH", "CLINTRCHNPC": "CLINTRCH", "CLINTRCHPC": "CLINTRCH", "PRECLINTRCH": "CLINTRCH",
	"DSRCH": "HRESCH", "POARCH": "HRESCH", "TRANSRCH": "HRESCH",
	"FAMRQT": "PATRQT", "PWATRNY": "PATRQT", "SUPNWK": "PATRQT",
	"DISASTER": "PUBHLTH", "THREAT": "PUBHLTH",
	"CLINTRL": "TREAT", "COC": "TREAT", "TREATDS": "TREAT", "ETREAT": "TREAT", "BTG": "ETREAT", "ERTREAT": "ETREAT", "POPHLTH": "TREAT",
}
