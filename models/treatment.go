package models

import (
	"time"

	"github.com/google/uuid"
)

// RelationshipType says how a provider stands to a member (PDex 2.2.0, CodeSystem treatment-relationship-type).
type RelationshipType string

// The relationship types.
const (
	RelationshipActive      RelationshipType = "active"
	RelationshipPast        RelationshipType = "past"
	RelationshipProspective RelationshipType = "prospective" // an appointment to come
)

// RelationshipSource says where a relationship is known from. Each source keeps its own row of a pair.
type RelationshipSource string

// The sources.
const (
	RelationshipByAdmin  RelationshipSource = "admin"
	RelationshipByImport RelationshipSource = "import"
	RelationshipByClaims RelationshipSource = "claims"
)

// Relationship is a row of the treatment relationship list: a member and one who treats them, an individual or an
// organisation, known by NPI.
type Relationship struct {
	ID     string
	Member uuid.UUID
	NPI    string
	Type   RelationshipType
	// Start and End bound the relationship: Start <= t < End. End nil is open.
	Start     time.Time
	End       *time.Time
	Source    RelationshipSource
	CreatedBy string
	UpdatedAt time.Time // changes with every write of the row
}

// Validate checks a relationship that is to be entered. It returns KindUnprocessable with the field in Where.
func (r Relationship) Validate() error {
	switch {
	case !ValidNPI(r.NPI):
		return Errorf(KindUnprocessable, "must be an NPI: ten digits with a right check digit").At("npi")
	case r.Type != RelationshipActive && r.Type != RelationshipPast && r.Type != RelationshipProspective:
		return Errorf(KindUnprocessable, "must be active, past or prospective").At("type")
	case r.Start.IsZero() || r.Start.Year() > 9999:
		return Errorf(KindUnprocessable, "a start is needed").At("start")
	case r.End != nil && (!r.End.After(r.Start) || r.End.Year() > 9999):
		return Errorf(KindUnprocessable, "must be after the start").At("end")
	case r.Type == RelationshipPast && r.End == nil:
		return Errorf(KindUnprocessable, "a relationship that is past has an end").At("end")
	}
	return nil
}

// TreatmentPolicy says what a line of business asks of a provider who wants a member's data.
type TreatmentPolicy string

// The policies. Whatever the policy, each MemberBundle carries an attestation of the right form (PDex 2.2.0, TR-07).
const (
	// TreatmentByList: the list must hold the relationship. Who signed the attestation is not looked into.
	TreatmentByList TreatmentPolicy = "list-required"
	// TreatmentByAttestation: an attestation by a provider of the directory, who is the one that asks or belongs to the
	// organisation that asks, is enough.
	TreatmentByAttestation TreatmentPolicy = "attestation-sufficient"
	// TreatmentByBoth: both, and so the strictest. It is the default.
	TreatmentByBoth TreatmentPolicy = "both"
)

// DefaultLine is the code of the line of business of members whom no other takes. It always exists.
const DefaultLine = "default"

// LineOfBusiness is a part of the plan with rules of its own.
type LineOfBusiness struct {
	Code string // 1 to 64 letters, digits, - and _
	Name string
	// Payers are the identifiers, "system|value", of the payer the members of the line belong to, beside the holder's own.
	// A payer-specific opt-out may name one.
	Payers []string
	// Selectors say which members belong to it: those with a Coverage one of them fits. The default line has none.
	Selectors []LineSelector
	// HideOptOuts is the privacy default of PDex 2.2.0, §261a: a member who opted out is told of like one nobody knows.
	HideOptOuts bool
	Treatment   TreatmentPolicy
	// Lookback is for how many days a relationship that is past still counts; 0 for none.
	Lookback  int
	UpdatedAt time.Time // changes with every write of the row
}

// LineSelector picks Coverages. Empty fields fit anything; one must be set.
type LineSelector struct {
	// Payor is an identifier of Coverage.payor, "system|value".
	Payor string `json:"payor,omitempty"`
	// Type is a coding of Coverage.type, "system|code".
	Type string `json:"type,omitempty"`
	// Class is a Coverage.class, as its type code and value: "plan|GOLD", "group|A-17".
	Class string `json:"class,omitempty"`
}

const (
	maxLineName = 200
	maxLookback = 10 * 366
	maxLineList = 100
)

// Validate checks a line of business. It returns KindUnprocessable with the field in Where.
func (l LineOfBusiness) Validate() error {
	switch {
	case !ValidLineCode(l.Code):
		return Errorf(KindUnprocessable, "must be 1 to 64 letters, digits, - and _").At("code")
	case !plainText(l.Name, maxLineName):
		return Errorf(KindUnprocessable, "must be at most %d characters of plain text", maxLineName).At("name")
	case l.Treatment != TreatmentByList && l.Treatment != TreatmentByAttestation && l.Treatment != TreatmentByBoth:
		return Errorf(KindUnprocessable, "must be list-required, attestation-sufficient or both").At("treatment")
	case l.Lookback < 0 || l.Lookback > maxLookback:
		return Errorf(KindUnprocessable, "must be from 0 to %d days", maxLookback).At("lookback")
	case len(l.Payers) > maxLineList:
		return Errorf(KindUnprocessable, "must be at most %d", maxLineList).At("payers")
	case len(l.Selectors) > maxLineList:
		return Errorf(KindUnprocessable, "must be at most %d", maxLineList).At("selectors")
	case l.Code == DefaultLine && len(l.Selectors) > 0:
		return Errorf(KindUnprocessable, "the default line takes whom no other does, and has no selectors").At("selectors")
	}
	for _, id := range l.Payers {
		if !validID(id) {
			return Errorf(KindUnprocessable, "each must be system|value").At("payers")
		}
	}
	for _, s := range l.Selectors {
		if s == (LineSelector{}) {
			return Errorf(KindUnprocessable, "each must have a payor, a type or a class").At("selectors")
		}
		for _, field := range []string{s.Payor, s.Type, s.Class} {
			if field != "" && !validID(field) {
				return Errorf(KindUnprocessable, "payor and type must be system|value, class its type and value as type|value").At("selectors")
			}
		}
	}
	return nil
}

// ValidLineCode reports whether code can name a line of business.
func ValidLineCode(code string) bool {
	if code == "" || len(code) > 64 {
		return false
	}
	for _, b := range []byte(code) {
		if b != '-' && b != '_' && (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') {
			return false
		}
	}
	return true
}

// RelationshipParts is how many parts a run of the claims rule cuts the members into, by the first byte of their ids, which are
// hashes.
const RelationshipParts = 16

// RelationshipRun is a run of the claims rule, which derives treatment relationships from the services that are held.
type RelationshipRun struct {
	ID         string     `json:"id"`
	State      State      `json:"state"`
	Error      string     `json:"error,omitempty"`
	At         time.Time  `json:"at"` // what the window is counted back from
	CreatedAt  time.Time  `json:"createdAt"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	Members    int64      `json:"members"`
	Services   int64      `json:"services"` // within the window
	Added      int64      `json:"added"`
	Changed    int64      `json:"changed"`
	Ended      int64      `json:"ended"`
}
