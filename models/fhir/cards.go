package fhir

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"pdexbulk/models"
)

// Code systems of what a card says.
const (
	SystemIdentifierType = "http://terminology.hl7.org/CodeSystem/v2-0203"
	SystemRelationship   = "http://terminology.hl7.org/CodeSystem/subscriber-relationship"
	SystemCoverageClass  = "http://terminology.hl7.org/CodeSystem/coverage-class"
)

// Card is a Coverage as a matcher sees it: what is printed on an insurance card. It prints as "Card", so that no log line or
// error shows a member number by mistake.
type Card struct {
	ID           string
	Contained    bool // it came inside an ExplanationOfBenefit
	Status       string
	Beneficiary  string // the Patient's id, "" when there is no reference to one
	Subscriber   string // the Patient's id, "" when there is no reference to one
	Relationship string // of the beneficiary to the subscriber: self, spouse, child, ...
	SubscriberID string
	Dependent    string
	MemberIDs    []Identifier // those of type MB
	Identifiers  []Identifier // all of them
	Period       Period
	Payors       []Payor
	Groups       []ClassValue // class of type group
	Plans        []ClassValue // class of type plan
}

// Payor is who pays.
type Payor struct {
	Reference   string // as written, "" when there is none
	Identifiers []Identifier
	Display     string
}

// ClassValue is the group or plan of a coverage.
type ClassValue struct {
	Value string
	Name  string
}

type coverageJSON struct {
	ResourceType string            `json:"resourceType"`
	ID           string            `json:"id"`
	Contained    []json.RawMessage `json:"contained"`
	Identifier   []Identifier      `json:"identifier"`
	Status       string            `json:"status"`
	Subscriber   Reference         `json:"subscriber"`
	SubscriberID string            `json:"subscriberId"`
	Beneficiary  Reference         `json:"beneficiary"`
	Dependent    string            `json:"dependent"`
	Relationship CodeableConcept   `json:"relationship"`
	Period       Period            `json:"period"`
	Payor        []Reference       `json:"payor"`
	Class        []struct {
		Type  CodeableConcept `json:"type"`
		Value string          `json:"value"`
		Name  string          `json:"name"`
	} `json:"class"`
}

type benefitJSON struct {
	Contained []json.RawMessage `json:"contained"`
	Patient   Reference         `json:"patient"`
}

type organizationJSON struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id"`
	Name         string       `json:"name"`
	Identifier   []Identifier `json:"identifier"`
}

// ParseCards reads the card of a Coverage, or those of the Coverages that an ExplanationOfBenefit contains; it returns none
// for an ExplanationOfBenefit that contains none. In the latter a card without a beneficiary is the benefit's patient's.
// The error is a models.Error of KindInvalid without content, also for a resource of any other type.
func ParseCards(data []byte) ([]Card, error) {
	switch ResourceTypeOf(data) {
	case "Coverage":
		var c coverageJSON
		if err := decode(data, "Coverage", &c); err != nil {
			return nil, err
		}
		return []Card{card(c, organizations(c.Contained))}, nil
	case "ExplanationOfBenefit":
		return benefitCards(data)
	}
	return nil, models.Errorf(models.KindInvalid, "the resource is neither a Coverage nor an ExplanationOfBenefit")
}

func benefitCards(data []byte) ([]Card, error) {
	var benefit benefitJSON
	if err := decode(data, "ExplanationOfBenefit", &benefit); err != nil {
		return nil, err
	}
	payors := organizations(benefit.Contained)
	var cards []Card
	for _, contained := range benefit.Contained {
		if ResourceTypeOf(contained) != "Coverage" {
			continue
		}
		var c coverageJSON
		if err := decode(contained, "Coverage", &c); err != nil {
			return nil, err
		}
		one := card(c, payors)
		one.Contained = true
		if c.Beneficiary.Reference == "" && c.Beneficiary.Identifier == nil {
			one.Beneficiary = PatientID(benefit.Patient.Reference)
		}
		cards = append(cards, one)
	}
	return cards, nil
}

func card(c coverageJSON, payors map[string]organizationJSON) Card {
	out := Card{
		ID:           c.ID,
		Status:       c.Status,
		Beneficiary:  PatientID(c.Beneficiary.Reference),
		Subscriber:   PatientID(c.Subscriber.Reference),
		Relationship: c.Relationship.Code(SystemRelationship),
		SubscriberID: c.SubscriberID,
		Dependent:    c.Dependent,
		Identifiers:  c.Identifier,
		Period:       c.Period,
	}
	if out.Relationship == "" && len(c.Relationship.Coding) > 0 {
		out.Relationship = c.Relationship.Coding[0].Code
	}
	for _, identifier := range c.Identifier {
		if identifier.TypeCode(SystemIdentifierType) == "MB" {
			out.MemberIDs = append(out.MemberIDs, identifier)
		}
	}
	for _, reference := range c.Payor {
		out.Payors = append(out.Payors, payor(reference, payors))
	}
	for _, class := range c.Class {
		value := ClassValue{Value: class.Value, Name: class.Name}
		switch class.Type.Code(SystemCoverageClass) {
		case "group":
			out.Groups = append(out.Groups, value)
		case "plan":
			out.Plans = append(out.Plans, value)
		}
	}
	return out
}

// payor reads who pays from the reference and, if that points into the same resource, from the Organization there.
func payor(reference Reference, contained map[string]organizationJSON) Payor {
	p := Payor{Reference: reference.Reference, Display: reference.Display}
	if reference.Identifier != nil {
		p.Identifiers = append(p.Identifiers, *reference.Identifier)
	}
	if id, ok := strings.CutPrefix(reference.Reference, "#"); ok {
		organization := contained[id]
		p.Identifiers = append(p.Identifiers, organization.Identifier...)
		if p.Display == "" {
			p.Display = organization.Name
		}
	}
	return p
}

// organizations collects the contained Organizations by id. One that cannot be read names nobody and is passed over.
func organizations(contained []json.RawMessage) map[string]organizationJSON {
	found := map[string]organizationJSON{}
	for _, data := range contained {
		var o organizationJSON
		if decode(data, "Organization", &o) == nil {
			found[o.ID] = o
		}
	}
	return found
}

// Format prints the name of the type, whatever the verb.
func (Card) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Card") }

// LogValue logs the name of the type.
func (Card) LogValue() slog.Value { return slog.StringValue("Card") }
