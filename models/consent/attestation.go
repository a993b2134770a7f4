package consent

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// The reasons for which an attestation does not count, in the order in which they are looked for.
const (
	ReasonAttestationUnreadable Reason = "attestation-unreadable"  // not a Consent that can be judged
	ReasonAttestationProfile    Reason = "attestation-profile"     // claims another profile, or none: TR-07
	ReasonAttestationStatus     Reason = "attestation-status"      // not active; entered in error, above all: TR-08
	ReasonAttestationPatient    Reason = "attestation-patient"     // about nobody, or another patient of the request
	ReasonAttestationType       Reason = "attestation-not-permit"  // TR-08
	ReasonAttestationNarrowed   Reason = "attestation-restriction" // restrictions that cannot be judged
	ReasonAttestationDate       Reason = "attestation-date"        // undated, or dated after now: TR-08
	ReasonAttestationPeriod     Reason = "attestation-period"      // its period does not cover now
	ReasonAttestationPerformer  Reason = "attestation-performer"   // nobody with an NPI attested
	ReasonAttestationDirectory  Reason = "attestation-directory"   // who attested is not in the directory, active and in network: UD-14
	ReasonAttestationRequester  Reason = "attestation-requester"   // who attested is neither who asks nor of their organisation: TR-09
	ReasonAttestationRecipient  Reason = "attestation-recipient"   // the data are for somebody else
)

// skew is how far the clock of who attests may be ahead: many attest while they ask.
const skew = 30 * time.Second

// AttestationProfile is the profile an attestation claims.
const AttestationProfile = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/provider-treatment-relationship-consent"

// Attestation is what a provider says about a member they treat: a Consent of AttestationProfile. It prints as "Attestation".
type Attestation struct {
	Profiled bool
	Status   string
	Patient  *Party // nil when nobody is named
	DateTime *time.Time
	Type     string
	// Start and End bound the period: Start <= t < End. Nil where it is open; Unclear where a bound is no date.
	Start, End *time.Time
	Unclear    bool
	Narrowed   bool
	// Performers are the NPIs of those who attested, Unnamed says that one of them has none.
	Performers []string
	Unnamed    bool
	// Recipients are the identifiers of those the data are for, nil when none are named.
	Recipients []string
	Purposes   []string
}

// ParseAttestation reads an attestation. The error is a models.Error of KindInvalid without content.
func ParseAttestation(consentJSON []byte) (Attestation, error) {
	in, err := fhir.ParseConsent(consentJSON)
	if err != nil {
		return Attestation{}, err
	}
	contained := actors(in.Contained)
	out := Attestation{Status: in.Status}
	out.Profiled = in.Meta != nil && slices.ContainsFunc(in.Meta.Profile, func(p string) bool {
		url, _, _ := strings.Cut(p, "|")
		return url == AttestationProfile
	})
	if p := in.Patient; p != nil && (p.Reference != "" || p.Display != "" || p.Identifier != nil && p.Identifier.Value != "") {
		out.Patient = new(party(*p, identifiersIn(in.Contained, "Patient")))
	}
	if d, err := fhir.ParseDateTime(in.DateTime); err == nil {
		from, _ := d.Range()
		out.DateTime = new(time.UnixMilli(from).UTC())
	}
	for _, performer := range in.Performer {
		npis := npisOf(performer, contained)
		out.Performers = append(out.Performers, npis...)
		out.Unnamed = out.Unnamed || len(npis) == 0
	}
	if in.Provision != nil {
		out.read(*in.Provision, contained)
	}
	return out, nil
}

func (a *Attestation) read(p fhir.Provision, contained map[string][]fhir.Identifier) {
	a.Type = p.Type
	if p.Period != nil {
		a.Start, a.End = bounds(*p.Period)
		a.Unclear = p.Period.Start != "" && a.Start == nil || p.Period.End != "" && a.End == nil
	}
	for _, actor := range p.Actor {
		if actor.Role.Has(systemRecipient, "IRCP") {
			a.Recipients = append(a.Recipients, identifiersOf(actor.Reference, contained)...)
			if a.Recipients == nil {
				a.Recipients = []string{}
			}
		}
	}
	for _, purpose := range p.Purpose {
		a.Purposes = append(a.Purposes, purpose.Code)
	}
	released := len(p.Action) == 0
	for _, action := range p.Action {
		released = released || action.Has(systemAction, "disclose") || action.Has(systemAction, "access") || action.Has(systemAction, "use")
	}
	a.Narrowed = !released || len(p.SecurityLabel) > 0 || len(p.Class) > 0 || len(p.Code) > 0 || p.DataPeriod != nil ||
		len(p.Data) > 0 || len(p.Provision) > 0
}

// Form says whether an attestation is of the right form: all that does not turn on who signed it. The reason is
// ReasonPermitted when it is. foreignPatient says that its patient is another MemberPatient of the request.
func (a Attestation) Form(at time.Time, foreignPatient bool) Reason {
	switch {
	case !a.Profiled:
		return ReasonAttestationProfile
	case a.Status != "active":
		return ReasonAttestationStatus
	case a.Patient == nil || foreignPatient || namesOtherType(a.Patient.Reference):
		return ReasonAttestationPatient
	case a.Type != "permit":
		return ReasonAttestationType
	case a.Narrowed:
		return ReasonAttestationNarrowed
	case a.DateTime == nil || a.DateTime.After(at.Add(skew)):
		return ReasonAttestationDate
	case a.Unclear, a.Start != nil && at.Before(*a.Start), a.End != nil && !at.Before(*a.End):
		return ReasonAttestationPeriod
	case len(a.Performers) == 0 || a.Unnamed:
		return ReasonAttestationPerformer
	}
	return ReasonPermitted
}

// Signed says whether those who attested may ask: every one of them is in the directory, active and in network, and is the
// individual the token is for, the organisation that asks, or somebody who works for it.
func (a Attestation) Signed(in ProviderInput) Reason {
	if len(a.Performers) == 0 || a.Unnamed {
		return ReasonAttestationPerformer
	}
	for _, npi := range a.Performers {
		entry, known := in.Directory[npi]
		switch {
		case !known || !entry.Active || !entry.InNetwork:
			return ReasonAttestationDirectory
		case npi == in.Subject || hasID(in.Organizations, npi):
		case !slices.ContainsFunc(entry.Organizations, func(org string) bool { return hasID(in.Organizations, org) }):
			return ReasonAttestationRequester
		}
	}
	named := append(slices.Clone(a.Performers), in.Organizations...)
	if in.Subject != "" {
		named = append(named, in.Subject)
	}
	if a.Recipients != nil && !slices.ContainsFunc(a.Recipients, func(id string) bool { return hasID(named, id) }) {
		return ReasonAttestationRecipient
	}
	return ReasonPermitted
}

// npisOf returns the valid NPIs among the identifiers of a reference.
func npisOf(r fhir.Reference, contained map[string][]fhir.Identifier) []string {
	return slices.DeleteFunc(identifiersOf(r, contained), func(id string) bool { return !models.ValidNPI(id) })
}

// identifiersOf returns the identifiers of a reference, of its own and of the contained resource it points to, as
// models.CanonicalID writes them.
func identifiersOf(r fhir.Reference, contained map[string][]fhir.Identifier) []string {
	var all []fhir.Identifier
	if r.Identifier != nil {
		all = append(all, *r.Identifier)
	}
	if id, ok := strings.CutPrefix(r.Reference, "#"); ok {
		all = append(all, contained[id]...)
	}
	var ids []string
	for _, identifier := range all {
		if identifier.System == "" || identifier.Value == "" {
			continue
		}
		if id := models.CanonicalID(identifier.System + "|" + identifier.Value); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// actors collects the identifiers of contained providers by id; a PractitionerRole has those of the practitioner it refers to
// by identifier as well. An id that two of them have names neither.
func actors(contained []json.RawMessage) map[string][]fhir.Identifier {
	found := map[string][]fhir.Identifier{}
	seen := map[string]bool{}
	for _, data := range contained {
		var r struct {
			ResourceType string            `json:"resourceType"`
			ID           string            `json:"id"`
			Identifier   []fhir.Identifier `json:"identifier"`
			Practitioner *fhir.Reference   `json:"practitioner"`
		}
		if json.Unmarshal(data, &r) != nil || r.ID == "" {
			continue
		}
		named := slices.Contains([]string{"Practitioner", "PractitionerRole", "Organization"}, r.ResourceType)
		if seen[r.ID] || !named {
			delete(found, r.ID)
		} else {
			found[r.ID] = r.Identifier
			if r.Practitioner != nil && r.Practitioner.Identifier != nil {
				found[r.ID] = append(found[r.ID], *r.Practitioner.Identifier)
			}
		}
		seen[r.ID] = true
	}
	return found
}
