package models

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// AttributionStatus says how far an attribution list has come (Da Vinci ATR 2.1.0, CodeSystem atr-attribution-list-status).
type AttributionStatus string

// The statuses.
const (
	AttributionDraft AttributionStatus = "draft" // not ready for use: what is on it can be looked at and settled
	AttributionOpen  AttributionStatus = "open"  // in use, and it goes on changing
	AttributionFinal AttributionStatus = "final" // in use, and it does not change
)

// AttributionList is a Group that the plan keeps for one provider: the members it attributes to them.
type AttributionList struct {
	ID       string // of the Group
	ClientID string // whose it is, a provider's; it never changes
	Name     string
	Status   AttributionStatus
	// Identifiers are system|value: NPI or TIN of the provider, number of the contract. The provider finds the list by them.
	Identifiers []string
	// Purposes of use are what the provider gets the data for. Without any, an opt-out from whatever purpose applies.
	Purposes []string
	// Start and End bound the contract. The list can be had until End; nil is open.
	Start time.Time
	End   *time.Time

	// What follows is not entered.
	Organizations []string // identifiers of the client's organisation
	Version       int64
	CreatedAt     time.Time
	UpdatedAt     time.Time // changes with every write of the list and of what is on it
	Members       int64     // with an attribution that is not inactive, opted out or not
}

// AttributionChange says what became of an attribution in the last change of it (Da Vinci ATR 2.1.0, CodeSystem atr-changetype).
type AttributionChange string

// The changes.
const (
	AttributionNew      AttributionChange = "new"
	AttributionChanged  AttributionChange = "changed"
	AttributionNoChange AttributionChange = "nochange"
	AttributionDropped  AttributionChange = "dropped"
)

// Attribution puts a member on a list. A member may be attributed to several providers.
type Attribution struct {
	Member uuid.UUID
	// NPI is that of the provider the member is attributed to, "" for the one whose list it is. Provider is the same as Type/id, ""
	// when they are known by NPI alone.
	NPI, Provider string
	Coverage      string // id of the Coverage that puts the member on the list, "" for none
	Start         time.Time
	End           *time.Time
	Inactive      bool
	// Asked says that the provider whose list it is put the member there. The plan then has not said so: the treatment relationship
	// list must.
	Asked  bool
	Change AttributionChange // not entered
}

// Covers reports whether the attribution stands at a moment, as far as its own words go.
func (a Attribution) Covers(at time.Time) bool {
	return !a.Inactive && !at.Before(a.Start) && (a.End == nil || at.Before(*a.End))
}

const (
	maxListName        = 200
	maxListIdentifiers = 50
)

// Validate checks a list that is to be entered and brings its identifiers and purposes into the form that is stored. It returns
// KindUnprocessable with the field in Where.
func (l *AttributionList) Validate() error {
	switch {
	case !ValidClientID(l.ClientID):
		return Errorf(KindUnprocessable, "must be the id of a client").At("client")
	case !plainText(l.Name, maxListName):
		return Errorf(KindUnprocessable, "must be at most %d characters of plain text", maxListName).At("name")
	case l.Status != AttributionDraft && l.Status != AttributionOpen && l.Status != AttributionFinal:
		return Errorf(KindUnprocessable, "must be draft, open or final").At("status")
	case len(l.Identifiers) > maxListIdentifiers:
		return Errorf(KindUnprocessable, "must be at most %d", maxListIdentifiers).At("identifiers")
	case len(l.Purposes) > len(purposes):
		return Errorf(KindUnprocessable, "must be at most %d", len(purposes)).At("purposes")
	case l.Start.IsZero() || l.Start.Year() > 9999:
		return Errorf(KindUnprocessable, "a start is needed").At("start")
	case l.End != nil && (!l.End.After(l.Start) || l.End.Year() > 9999):
		return Errorf(KindUnprocessable, "must be after the start").At("end")
	}
	for i, id := range l.Identifiers {
		if !validID(id) {
			return Errorf(KindUnprocessable, "each must be system|value").At("identifiers")
		}
		l.Identifiers[i] = CanonicalOrganization(id)
	}
	for i, purpose := range l.Purposes {
		code := PurposeCode(purpose)
		if !ValidPurpose(code) {
			return Errorf(KindUnprocessable, "each must be a purpose of use such as TREAT").At("purposes")
		}
		l.Purposes[i] = code
	}
	slices.Sort(l.Purposes)
	l.Purposes = slices.Compact(l.Purposes)
	return nil
}

// Validate checks an attribution that is to be entered, but for who is a member. It returns KindUnprocessable with the field in
// Where.
func (a Attribution) Validate() error {
	switch {
	case a.NPI != "" && !ValidNPI(a.NPI):
		return Errorf(KindUnprocessable, "must be an NPI: ten digits with a right check digit").At("npi")
	case a.Start.IsZero() || a.Start.Year() > 9999:
		return Errorf(KindUnprocessable, "a start is needed").At("start")
	case a.End != nil && (!a.End.After(a.Start) || a.End.Year() > 9999):
		return Errorf(KindUnprocessable, "must be after the start").At("end")
	}
	return nil
}
