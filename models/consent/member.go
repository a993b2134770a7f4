package consent

import (
	"slices"
	"strings"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// MemberConsentProfile is the profile of what members tell their plan about sharing with providers.
const MemberConsentProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provider-consent"

const (
	systemActCode    = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	systemAPIPurpose = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/pdex-consent-api-purpose"
)

// MemberConsent is a member's word on whether their data may be shared with providers at all.
type MemberConsent struct {
	Patient string // our Patient id
	Deny    bool   // an opt-out; else the end of one
	// Start and End bound it: Start <= t < End. End nil is for good, as a permit always is.
	Start time.Time
	End   *time.Time
}

// ParseMemberConsent reads a Consent of MemberConsentProfile. What would make it say less than all sharing with providers is
// refused and not left out, for the member meant it. The error is a models.Error of KindInvalid for what is no Consent, else of
// KindUnprocessable, with the FHIRPath and without content.
func ParseMemberConsent(consentJSON []byte) (m MemberConsent, err error) {
	c, err := fhir.ParseConsent(consentJSON)
	if err != nil {
		return m, err
	}
	fault := func(where, msg string) (MemberConsent, error) {
		return MemberConsent{}, models.Errorf(models.KindUnprocessable, "%s", msg).At(where)
	}
	category := func(system, code string) bool {
		return slices.ContainsFunc(c.Category, func(concept fhir.CodeableConcept) bool { return concept.Has(system, code) })
	}
	switch {
	case c.Meta == nil || !slices.ContainsFunc(c.Meta.Profile, func(p string) bool {
		return p == MemberConsentProfile || strings.HasPrefix(p, MemberConsentProfile+"|")
	}):
		return fault("Consent.meta.profile", "must name the profile pdex-provider-consent")
	case c.Status != "active":
		return fault("Consent.status", "must be active")
	case !c.Scope.Has("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"):
		return fault("Consent.scope", "must be patient-privacy")
	case !category(systemActCode, "IDSCL") || !category(systemAPIPurpose, "provider-access"):
		return fault("Consent.category", "must have IDSCL and provider-access")
	case c.Patient == nil || fhir.PatientID(c.Patient.Reference) == "":
		return fault("Consent.patient", "must be a reference to a Patient of this server")
	case len(c.Performer) != 1:
		return fault("Consent.performer", "must be one, the patient or who acts for them")
	case len(c.Organization) != 1:
		return fault("Consent.organization", "must be one")
	case c.Provision == nil || c.Provision.Type != "deny" && c.Provision.Type != "permit":
		return fault("Consent.provision.type", "must be deny or permit")
	case c.Provision.Period == nil || c.Provision.Period.Start == "":
		return fault("Consent.provision.period.start", "must be there")
	case len(c.Provision.Action) != 1:
		return fault("Consent.provision.action", "must be one")
	}
	p := *c.Provision
	if len(p.SecurityLabel) > 0 || len(p.Purpose) > 0 || len(p.Class) > 0 || len(p.Code) > 0 || p.DataPeriod != nil || len(p.Data) > 0 || len(p.Provision) > 0 {
		return fault("Consent.provision", "what narrows it is not supported here; enter such an opt-out through the plan")
	}
	for _, actor := range p.Actor {
		if !actor.Role.Has(systemSource, "performer") {
			return fault("Consent.provision.actor", "may name the plan as source only; enter an opt-out from single providers through the plan")
		}
	}
	start, end := bounds(*p.Period)
	if start == nil || p.Period.End != "" && end == nil || end != nil && !end.After(*start) {
		return fault("Consent.provision.period", "must be dates, the end after the start")
	}
	if p.Type == "permit" && p.Period.End != "" {
		return fault("Consent.provision.period.end", "must not be there in a permit; send a deny when sharing is to end")
	}
	return MemberConsent{Patient: fhir.PatientID(c.Patient.Reference), Deny: p.Type == "deny", Start: *start, End: end}, nil
}
