package udap

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// B2BName is the name of the extension.
const B2BName = "hl7-b2b"

// purposeSystem is v3-PurposeOfUse, as UDAP spells codes of it.
const purposeSystem = "urn:oid:2.16.840.1.113883.5.8#"

const maxPurposes = 20

var errB2B = errors.New("the hl7-b2b object is missing or malformed")

// B2B is the business-to-business authorization object (HL7 UDAP Security 1.1.0, "B2B Authorization Extension Object"): on whose
// behalf, and what for, a client asks. It is the client's word. It goes into the token as it is here.
type B2B struct {
	Version          string   `json:"version"`
	SubjectName      string   `json:"subject_name,omitempty"`
	SubjectID        string   `json:"subject_id,omitempty"`
	SubjectRole      string   `json:"subject_role,omitempty"`
	OrganizationName string   `json:"organization_name,omitempty"`
	OrganizationID   string   `json:"organization_id"`
	PurposeOfUse     []string `json:"purpose_of_use"`
	ConsentPolicy    []string `json:"consent_policy,omitempty"`
	ConsentReference []string `json:"consent_reference,omitempty"`
}

// ParseB2B reads an object. Members that are not known are refused: they would be promises that nobody keeps.
func ParseB2B(raw json.RawMessage) (*B2B, error) {
	if len(raw) == 0 || len(raw) > 16<<10 {
		return nil, errB2B
	}
	// Names are matched exactly, which encoding/json would not do.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, errB2B
	}
	for name, value := range members {
		if !slices.Contains(b2bMembers, name) || bytes.Equal(value, []byte("null")) {
			return nil, errB2B
		}
	}
	var b B2B
	if err := json.Unmarshal(raw, &b); err != nil || !b.valid() {
		return nil, errB2B
	}
	return &b, nil
}

var b2bMembers = []string{
	"version", "subject_name", "subject_id", "subject_role", "organization_name", "organization_id", "purpose_of_use",
	"consent_policy", "consent_reference",
}

func (b *B2B) valid() bool {
	optional := func(s string) bool { return s == "" || plain(s, maxURI) }
	if b.Version != "1" || !plainURI(b.OrganizationID) || len(b.PurposeOfUse) == 0 || len(b.PurposeOfUse) > maxPurposes ||
		!optional(b.SubjectName) || !optional(b.SubjectID) || !optional(b.SubjectRole) || !optional(b.OrganizationName) {
		return false
	}
	for _, code := range b.PurposeOfUse {
		if Purpose(code) == "" {
			return false
		}
	}
	for _, uri := range slices.Concat(b.ConsentPolicy, b.ConsentReference) {
		if !plainURI(uri) {
			return false
		}
	}
	// A reference is to what the policy rests on (same section): there is none without the other.
	return len(b.ConsentPolicy)+len(b.ConsentReference) <= 2*maxPurposes && (len(b.ConsentReference) == 0 || len(b.ConsentPolicy) > 0)
}

// Purpose is the v3-PurposeOfUse code of a purpose, "" when it is not one.
func Purpose(text string) string {
	code, ok := strings.CutPrefix(text, purposeSystem)
	if !ok || code == "" || len(code) > 20 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return ""
	}
	return code
}

// npiSystem is the NPI's, as UDAP spells identifiers of it.
const npiSystem = "urn:oid:2.16.840.1.113883.4.6#"

// Subject is what a subject_id names: an NPI, which is not checked here, or a Group of the server's.
func Subject(id string) (npi, groupID string) {
	if npi, ok := strings.CutPrefix(id, npiSystem); ok {
		return npi, ""
	}
	if len(id) == 10 && strings.Trim(id, "0123456789") == "" {
		return id, ""
	}
	return "", strings.TrimPrefix(id, "Group/")
}
