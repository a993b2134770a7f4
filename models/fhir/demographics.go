package fhir

import (
	"fmt"
	"io"
	"log/slog"
)

// Demographics is what a Patient says of who somebody is: everything a matcher may compare. It prints as "Demographics",
// so that no log line or error shows a name by mistake.
type Demographics struct {
	ID          string
	Active      bool // true when the element is absent
	Names       []HumanName
	Gender      string // male, female, other, unknown, or ""
	BirthSex    string // US Core birthsex: F, M, UNK (or ASKU, OTH), or ""
	BirthDate   string // as written
	Born        *Date  // BirthDate, nil when absent or not a FHIR date
	Deceased    bool
	DeceasedAt  string // a dateTime, "" when not given
	Addresses   []Address
	Telecoms    []ContactPoint
	Identifiers []Identifier
	// MultipleBirth is set for a twin or other multiple, and BirthOrder is which of them, 0 when not given.
	MultipleBirth bool
	BirthOrder    int
	// MothersMaidenName is the R4 extension of that name.
	MothersMaidenName string
	Links             []PatientLink
}

// PatientLink is another Patient resource for the same person.
type PatientLink struct {
	Type    string // replaced-by, replaces, refer, seealso
	Patient string // the id, "" when the other end is not a Patient
}

// The extensions of Patient that a matcher compares.
const (
	extBirthSex          = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"
	extMothersMaidenName = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
)

type patientJSON struct {
	ID                   string         `json:"id"`
	Extension            []Extension    `json:"extension"`
	Active               *bool          `json:"active"`
	Name                 []HumanName    `json:"name"`
	Gender               string         `json:"gender"`
	BirthDate            string         `json:"birthDate"`
	DeceasedBoolean      *bool          `json:"deceasedBoolean"`
	DeceasedDateTime     string         `json:"deceasedDateTime"`
	Address              []Address      `json:"address"`
	Telecom              []ContactPoint `json:"telecom"`
	Identifier           []Identifier   `json:"identifier"`
	MultipleBirthBoolean *bool          `json:"multipleBirthBoolean"`
	MultipleBirthInteger *int           `json:"multipleBirthInteger"`
	Link                 []struct {
		Other Reference `json:"other"`
		Type  string    `json:"type"`
	} `json:"link"`
}

// ParsePatient reads the demographics of a Patient. The error is a models.Error of KindInvalid without content. Values are
// taken as they are: a birth date that is none leaves Born nil, for the caller to judge.
func ParsePatient(data []byte) (Demographics, error) {
	var p patientJSON
	if err := decode(data, "Patient", &p); err != nil {
		return Demographics{}, err
	}
	d := Demographics{
		ID:          p.ID,
		Active:      p.Active == nil || *p.Active,
		Names:       p.Name,
		Gender:      p.Gender,
		BirthDate:   p.BirthDate,
		Deceased:    p.DeceasedDateTime != "" || p.DeceasedBoolean != nil && *p.DeceasedBoolean,
		DeceasedAt:  p.DeceasedDateTime,
		Addresses:   p.Address,
		Telecoms:    p.Telecom,
		Identifiers: p.Identifier,
	}
	if born, err := ParseDate(p.BirthDate); err == nil {
		d.Born = &born
	}
	if p.MultipleBirthInteger != nil {
		d.MultipleBirth, d.BirthOrder = true, *p.MultipleBirthInteger
	}
	if p.MultipleBirthBoolean != nil {
		d.MultipleBirth = *p.MultipleBirthBoolean
	}
	if sex := FindExtension(p.Extension, extBirthSex); sex != nil {
		d.BirthSex = sex.ValueCode
	}
	if maiden := FindExtension(p.Extension, extMothersMaidenName); maiden != nil {
		d.MothersMaidenName = maiden.ValueString
	}
	for _, link := range p.Link {
		d.Links = append(d.Links, PatientLink{Type: link.Type, Patient: PatientID(link.Other.Reference)})
	}
	return d, nil
}

// Format prints the name of the type, whatever the verb.
func (Demographics) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Demographics") }

// LogValue logs the name of the type.
func (Demographics) LogValue() slog.Value { return slog.StringValue("Demographics") }
