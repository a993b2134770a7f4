package fhir

import (
	"encoding/json"
	"slices"

	"pdexbulk/models"
)

// The policies of an HRex Consent (https://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html).
const (
	PolicyRegular   = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"   // not the sensitive data
	PolicySensitive = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#sensitive" // everything
)

// Consent holds the elements of the three Consent profiles that decide a release: hrex-consent, pdex-provider-consent and
// provider-treatment-relationship-consent.
type Consent struct {
	ID              string                `json:"id,omitempty"`
	Meta            *Meta                 `json:"meta,omitempty"`
	Contained       []json.RawMessage     `json:"contained,omitempty"`
	Identifier      []Identifier          `json:"identifier,omitempty"`
	Status          string                `json:"status,omitempty"`
	Scope           CodeableConcept       `json:"scope"`
	Category        []CodeableConcept     `json:"category,omitempty"`
	Patient         *Reference            `json:"patient,omitempty"`
	DateTime        string                `json:"dateTime,omitempty"`
	Performer       []Reference           `json:"performer,omitempty"`
	Organization    []Reference           `json:"organization,omitempty"`
	SourceReference *Reference            `json:"sourceReference,omitempty"`
	Policy          []ConsentPolicy       `json:"policy,omitempty"`
	PolicyRule      *CodeableConcept      `json:"policyRule,omitempty"`
	Verification    []ConsentVerification `json:"verification,omitempty"`
	Provision       *Provision            `json:"provision,omitempty"`
}

// ConsentPolicy names a policy that the consent follows.
type ConsentPolicy struct {
	Authority string `json:"authority,omitempty"`
	URI       string `json:"uri,omitempty"`
}

// ConsentVerification says that the consent was confirmed with the patient.
type ConsentVerification struct {
	Verified         bool       `json:"verified"`
	VerifiedWith     *Reference `json:"verifiedWith,omitempty"`
	VerificationDate string     `json:"verificationDate,omitempty"`
}

// Provision is what the consent permits or denies. The elements that narrow a provision (code, data, nested provisions and
// the like) are kept raw: a rule that cannot be judged has to be seen, not overlooked.
type Provision struct {
	Type          string            `json:"type,omitempty"`
	Period        *Period           `json:"period,omitempty"`
	Actor         []ProvisionActor  `json:"actor,omitempty"`
	Action        []ProvisionAction `json:"action,omitempty"`
	SecurityLabel []Coding          `json:"securityLabel,omitempty"`
	Purpose       []Coding          `json:"purpose,omitempty"`
	Class         []Coding          `json:"class,omitempty"`
	Code          []CodeableConcept `json:"code,omitempty"`
	DataPeriod    *Period           `json:"dataPeriod,omitempty"`
	Data          []json.RawMessage `json:"data,omitempty"`
	Provision     []json.RawMessage `json:"provision,omitempty"`
}

// ProvisionActor is a party of the provision, in a role.
type ProvisionActor struct {
	Role      CodeableConcept `json:"role"`
	Reference Reference       `json:"reference"`
}

// ProvisionAction is what may be done, with the PDex extension that says whether it is about Provider Access.
type ProvisionAction struct {
	Extension []Extension `json:"extension,omitempty"`
	CodeableConcept
}

// ParseConsent reads a Consent. The error is a models.Error of KindInvalid without content. What changes the meaning of the whole or
// of a part of it, a modifierExtension or implicitRules, is refused, as R4 demands of whoever does not know it
// (https://hl7.org/fhir/R4/extensibility.html#modifierExtension).
func ParseConsent(data []byte) (Consent, error) {
	var c Consent
	if err := decode(data, "Consent", &c); err != nil {
		return Consent{}, err
	}
	type part struct {
		Modifiers []json.RawMessage `json:"modifierExtension"`
	}
	var modified struct {
		part
		ImplicitRules string `json:"implicitRules"`
		Policy        []part `json:"policy"`
		Verification  []part `json:"verification"`
		Provision     struct {
			part
			Actor []part `json:"actor"`
		} `json:"provision"`
	}
	if err := json.Unmarshal(data, &modified); err != nil {
		return Consent{}, shapeError("Consent", err)
	}
	for _, p := range slices.Concat([]part{modified.part, modified.Provision.part}, modified.Provision.Actor, modified.Policy, modified.Verification) {
		if len(p.Modifiers) > 0 {
			return Consent{}, models.Errorf(models.KindInvalid, "the Consent carries a modifierExtension, which is not supported").
				At("Consent.modifierExtension")
		}
	}
	if modified.ImplicitRules != "" {
		return Consent{}, models.Errorf(models.KindInvalid, "the Consent follows rules that are not known here").At("Consent.implicitRules")
	}
	return c, nil
}

// MarshalJSON writes the resource with its resourceType.
func (c Consent) MarshalJSON() ([]byte, error) {
	type elements Consent
	return json.Marshal(struct {
		ResourceType string `json:"resourceType"`
		elements
	}{"Consent", elements(c)})
}
