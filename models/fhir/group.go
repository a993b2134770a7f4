package fhir

import "encoding/json"

// Group is a roster: the result of a match, an opt-out list, or a treatment relationship. Which of these it is is said by
// Meta.Profile and Code (PDex 2.2.0, profiles pdex-member-match-group and its siblings).
type Group struct {
	ID             string            `json:"id,omitempty"`
	Meta           *Meta             `json:"meta,omitempty"`
	Text           json.RawMessage   `json:"text,omitempty"`
	Contained      []json.RawMessage `json:"contained,omitempty"`
	Extension      []Extension       `json:"extension,omitempty"`
	Identifier     []Identifier      `json:"identifier,omitempty"`
	Active         *bool             `json:"active,omitempty"`
	Type           string            `json:"type,omitempty"`
	Actual         bool              `json:"actual"`
	Code           *CodeableConcept  `json:"code,omitempty"`
	Name           string            `json:"name,omitempty"`
	Quantity       *int              `json:"quantity,omitempty"`
	ManagingEntity *Reference        `json:"managingEntity,omitempty"`
	Characteristic []Characteristic  `json:"characteristic,omitempty"`
	Member         []GroupMember     `json:"member,omitempty"`
}

// Characteristic is a trait that the members share.
type Characteristic struct {
	Extension            []Extension      `json:"extension,omitempty"`
	Code                 CodeableConcept  `json:"code"`
	ValueCodeableConcept *CodeableConcept `json:"valueCodeableConcept,omitempty"`
	ValueBoolean         *bool            `json:"valueBoolean,omitempty"`
	ValueQuantity        *Quantity        `json:"valueQuantity,omitempty"`
	ValueReference       *Reference       `json:"valueReference,omitempty"`
	Exclude              bool             `json:"exclude"`
	Period               *Period          `json:"period,omitempty"`
}

// GroupMember is one entry of the roster.
type GroupMember struct {
	Extension []Extension `json:"extension,omitempty"`
	Entity    Reference   `json:"entity"`
	Period    *Period     `json:"period,omitempty"`
	Inactive  *bool       `json:"inactive,omitempty"`
}

// ParseGroup reads a Group. The error is a models.Error of KindInvalid without content.
func ParseGroup(data []byte) (Group, error) {
	var g Group
	err := decode(data, "Group", &g)
	return g, err
}

// MarshalJSON writes the resource with its resourceType.
func (g Group) MarshalJSON() ([]byte, error) {
	type elements Group
	return json.Marshal(struct {
		ResourceType string `json:"resourceType"`
		elements
	}{"Group", elements(g)})
}
