package consent

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// The policies, as decisions and the store name them. In alphabetical order the narrower one is first.
const (
	PolicyRegular   = "regular"   // leave sensitive data out
	PolicySensitive = "sensitive" // everything
)

var policies = map[string]string{fhir.PolicyRegular: PolicyRegular, fhir.PolicySensitive: PolicySensitive}

// StoreMode says how the holder keeps sensitive data.
type StoreMode string

// The store modes. Any other value denies a #regular consent, as Untagged does.
const (
	Tagged   StoreMode = "tagged"   // labelled, so that an export can leave them out
	Excluded StoreMode = "excluded" // not in this store
	Untagged StoreMode = "untagged" // in it, and nobody can tell which they are
)

// Reason says in one fixed code why. Codes are stored and shown to operators; they never change, and they are never
// disclosed to a requester (CF-04).
type Reason string

// The reasons, in the order in which they are looked for.
const (
	ReasonUnreadable Reason = "consent-unreadable"   // not a Consent that can be judged
	ReasonOverride   Reason = "member-override"      // RC-03
	ReasonRevoked    Reason = "consent-revoked"      // given before the member, or whoever submits for them, took consent back
	ReasonStatus     Reason = "consent-inactive"     // CF-05
	ReasonPatient    Reason = "consent-patient"      // names nobody, not a Patient, or another patient of the request: D-06
	ReasonType       Reason = "consent-not-permit"   // CF-05; a deny, above all
	ReasonScope      Reason = "consent-scope"        // about something else than privacy: research, treatment
	ReasonUnverified Reason = "consent-unverified"   // to be verified with the patient, and not yet
	ReasonAction     Reason = "consent-action"       // permits, but not to disclose
	ReasonNarrowed   Reason = "consent-restriction"  // with restrictions that HRex does not allow
	ReasonPolicy     Reason = "consent-policy"       // CF-06
	ReasonNoPeriod   Reason = "consent-no-period"    // start or end is missing or no date
	ReasonNotYet     Reason = "consent-not-yet"      // CF-05
	ReasonExpired    Reason = "consent-expired"      // CF-05
	ReasonRecipient  Reason = "consent-recipient"    // the requester is not among the recipients: CF-05a
	ReasonSource     Reason = "consent-source"       // the holder is not among the sources: CF-05a
	ReasonSegments   Reason = "sensitive-data-mixed" // #regular, and the store cannot tell sensitive data: CF-08
	ReasonPermitted  Reason = "permitted"
)

// Input is what a consent is judged against.
type Input struct {
	At time.Time
	// Requester and Holder are the names of the two organisations: identifiers as "system|value", and literal references if
	// any are registered. Without any, nobody is named.
	Requester, Holder []string
	StoreMode         StoreMode

	// SubmittedPatientID is the id of the MemberPatient the consent came with, and OtherPatientIDs tells whether an id is
	// that of a MemberPatient in the same request; together they answer D-06, see AboutAnother. OtherPatientIDs is nil when
	// that was answered before, in ForeignPatient.
	SubmittedPatientID string
	OtherPatientIDs    func(id string) bool
	ForeignPatient     bool
	// SubmittedNumbers are the identifiers of that MemberPatient, "system|value".
	SubmittedNumbers []string

	// MemberOverride: the member told the holder not to share (RC-03).
	MemberOverride bool
	// RevokedAt is when consent to this requester was last taken back, nil when it never was. What was given before is void.
	RevokedAt *time.Time
}

// Grant is what a payer may have of a member's data.
type Grant = models.Grant

// Decision is the answer. Grant is set with Permit only; it is what Recheck takes.
type Decision struct {
	Permit bool
	Grant
	Reason Reason
}

// DecideP2P judges the consent of a matched member. The order of actors, policies and identifiers does not matter.
func DecideP2P(c Consent, in Input) Decision {
	policy, one := c.policy()
	switch {
	case in.MemberOverride:
		return Decision{Reason: ReasonOverride}
	case c.Unreadable:
		return Decision{Reason: ReasonUnreadable}
	case in.RevokedAt != nil && (c.Given == nil || !c.Given.After(*in.RevokedAt)):
		return Decision{Reason: ReasonRevoked}
	case c.Status != "active":
		return Decision{Reason: ReasonStatus}
	case !c.aboutMember(in):
		return Decision{Reason: ReasonPatient}
	case c.Type != "permit":
		return Decision{Reason: ReasonType}
	case c.OtherScope:
		return Decision{Reason: ReasonScope}
	case c.Unverified:
		return Decision{Reason: ReasonUnverified}
	case c.Actions && !c.Disclose:
		return Decision{Reason: ReasonAction}
	case c.Narrowed:
		return Decision{Reason: ReasonNarrowed}
	case !one:
		return Decision{Reason: ReasonPolicy}
	case c.Given != nil && c.Given.After(in.At.Add(ahead)):
		return Decision{Reason: ReasonNotYet}
	}
	if reason := covers(c.Start, c.End, in.At); reason != ReasonPermitted {
		return Decision{Reason: reason}
	}
	switch {
	case !slices.ContainsFunc(c.Actors, func(a Actor) bool { return a.Recipient && a.is(in.Requester) }):
		return Decision{Reason: ReasonRecipient}
	case !slices.ContainsFunc(c.Actors, func(a Actor) bool { return a.Source && a.is(in.Holder) }):
		return Decision{Reason: ReasonSource}
	case policy == PolicyRegular && !in.StoreMode.segregates():
		return Decision{Reason: ReasonSegments}
	}
	return Decision{Permit: true, Grant: Grant{Policy: policy, Start: c.Start, End: c.End}, Reason: ReasonPermitted}
}

// ahead is how far a consent may be dated in the future: days begin earlier elsewhere, and clocks differ. One dated later would outlive
// every word that takes consent back.
const ahead = 24 * time.Hour

// segregates reports whether sensitive data can be left out.
func (m StoreMode) segregates() bool { return m == Tagged || m == Excluded }

// Withdraws reports whether a submitted Consent says itself that there is no consent: it is about the member and denies, or is
// not in force any more. What the same requester submitted before is void then.
func Withdraws(c Consent, in Input) bool {
	return c.aboutMember(in) && (c.Type == "deny" || slices.Contains(overStatuses, c.Status))
}

// overStatuses are the statuses of a Consent that was in force, or never was, and is not to be again.
var overStatuses = []string{"inactive", "rejected", "entered-in-error"}

// Standing is what stands about a member and a requester at the moment of a Recheck.
type Standing struct {
	Override bool // the member told the holder not to share (RC-03)
	Revoked  bool // consent to this requester was taken back after the match
	// Current is what the newest consent in force for this requester grants, nil when none is in force.
	Current *Grant
}

// Recheck says whether what was granted still may be had, when the data are about to leave (CF-11, RC-01), and under which
// policy. Nothing that stands makes it more than was granted. The policy is "" unless the reason is ReasonPermitted.
func Recheck(g Grant, now Standing, mode StoreMode, at time.Time) (policy string, reason Reason) {
	switch {
	case now.Override:
		return "", ReasonOverride
	case now.Revoked:
		return "", ReasonRevoked
	}
	if now.Current != nil {
		if reason := holds(*now.Current, mode, at); reason != ReasonPermitted {
			return "", reason
		}
	}
	if reason := holds(g, mode, at); reason != ReasonPermitted {
		return "", reason
	}
	if now.Current != nil {
		return min(g.Policy, now.Current.Policy), ReasonPermitted
	}
	return g.Policy, ReasonPermitted
}

// holds looks at a grant by itself. One without a period or with an unknown policy was none.
func holds(g Grant, mode StoreMode, at time.Time) Reason {
	switch {
	case g.Policy != PolicyRegular && g.Policy != PolicySensitive:
		return ReasonPolicy
	case g.Policy == PolicyRegular && !mode.segregates():
		return ReasonSegments
	}
	return covers(g.Start, g.End, at)
}

// AboutAnother reports whether the consent's patient is another patient of the same request (D-06): its reference resolves
// to a MemberPatient, and not to the one it was submitted with. inRequest tells whether an id is that of a MemberPatient. A
// reference that does not resolve, as in the guide's own example, is about nobody else.
func AboutAnother(c Consent, submittedPatientID string, inRequest func(id string) bool) bool {
	if c.Patient == nil {
		return false
	}
	id := fhir.NamedPatient(c.Patient.Reference)
	return id != "" && id != submittedPatientID && inRequest(id)
}

// aboutMember reports whether nothing says that the consent is somebody else's.
func (c Consent) aboutMember(in Input) bool {
	if c.Patient == nil || in.ForeignPatient || c.Patient.isAnother(in.SubmittedNumbers) {
		return false
	}
	if in.OtherPatientIDs != nil && AboutAnother(c, in.SubmittedPatientID, in.OtherPatientIDs) {
		return false
	}
	return !namesOtherType(c.Patient.Reference)
}

// namesOtherType reports whether a reference is to a resource that is not a Patient.
func namesOtherType(reference string) bool {
	parts := strings.Split(reference, "/")
	if i := slices.Index(parts, "_history"); i >= 0 {
		parts = parts[:i]
	}
	if len(parts) < 2 {
		return false
	}
	kind := parts[len(parts)-2]
	_, known := fhir.TypeCode(kind)
	return known && kind != "Patient"
}

// policy returns the one policy of the consent.
func (c Consent) policy() (policy string, ok bool) {
	for _, uri := range c.Policies {
		p := policies[uri]
		if p == "" || policy != "" && p != policy {
			return "", false
		}
		policy = p
	}
	return policy, policy != ""
}

// covers looks a moment up in the half-open span from start to end.
func covers(start, end *time.Time, at time.Time) Reason {
	switch {
	case start == nil || end == nil:
		return ReasonNoPeriod
	case at.Before(*start):
		return ReasonNotYet
	case !at.Before(*end):
		return ReasonExpired
	}
	return ReasonPermitted
}

// ID derives the id under which a submitted consent is kept: the same document from the same requester about the same member is
// one consent, however often it comes.
func ID(requester string, member uuid.UUID, document []byte) uuid.UUID {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d:%s%s", len(requester), requester, member)
	sum.Write(document)
	id := uuid.UUID(sum.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return id
}
