package consent

import (
	"slices"
	"strings"
	"time"

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
	ReasonStatus     Reason = "consent-inactive"     // CF-05
	ReasonPatient    Reason = "consent-patient"      // names nobody, not a Patient, or another patient of the request: D-06
	ReasonType       Reason = "consent-not-permit"   // CF-05; a deny, above all
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

	// MemberOverride: the member told the holder not to share (RC-03).
	MemberOverride bool
}

// Decision is the answer. Policy, Start and End are set with Permit only; they are what Recheck takes. End is the first
// moment at which the consent is over.
type Decision struct {
	Permit     bool
	Policy     string
	Start, End *time.Time
	Reason     Reason
}

// Decide is Parse and DecideP2P in one. A Consent that cannot be read denies.
func Decide(consentJSON []byte, in Input) Decision {
	c, err := Parse(consentJSON)
	if err != nil {
		reason := ReasonUnreadable
		if in.MemberOverride {
			reason = ReasonOverride
		}
		return Decision{Reason: reason}
	}
	return DecideP2P(c, in)
}

// DecideP2P judges the consent of a matched member. The order of actors, policies and identifiers does not matter.
func DecideP2P(c Consent, in Input) Decision {
	policy, one := c.policy()
	switch {
	case in.MemberOverride:
		return Decision{Reason: ReasonOverride}
	case c.Status != "active":
		return Decision{Reason: ReasonStatus}
	case !c.aboutMember(in):
		return Decision{Reason: ReasonPatient}
	case c.Type != "permit":
		return Decision{Reason: ReasonType}
	case c.Actions && !c.Disclose:
		return Decision{Reason: ReasonAction}
	case c.Narrowed:
		return Decision{Reason: ReasonNarrowed}
	case !one:
		return Decision{Reason: ReasonPolicy}
	}
	if reason := covers(c.Start, c.End, in.At); reason != ReasonPermitted {
		return Decision{Reason: reason}
	}
	switch {
	case !slices.ContainsFunc(c.Actors, func(a Actor) bool { return a.Recipient && a.is(in.Requester) }):
		return Decision{Reason: ReasonRecipient}
	case !slices.ContainsFunc(c.Actors, func(a Actor) bool { return a.Source && a.is(in.Holder) }):
		return Decision{Reason: ReasonSource}
	case policy == PolicyRegular && in.StoreMode != Tagged && in.StoreMode != Excluded:
		return Decision{Reason: ReasonSegments}
	}
	return Decision{Permit: true, Policy: policy, Start: c.Start, End: c.End, Reason: ReasonPermitted}
}

// Recheck says whether a release that was permitted still is, when the data are about to leave (CF-11, RC-01): policy, start
// and end are those of the Decision, override is what the member has told the holder since (RC-03). A decision without a
// period or with an unknown policy was none.
func Recheck(policy string, start, end *time.Time, override bool, at time.Time) (ok bool, reason Reason) {
	if override {
		return false, ReasonOverride
	}
	if policy != PolicyRegular && policy != PolicySensitive {
		return false, ReasonPolicy
	}
	reason = covers(start, end, at)
	return reason == ReasonPermitted, reason
}

// AboutAnother reports whether the consent's patient is another patient of the same request (D-06): its reference resolves
// to a MemberPatient, and not to the one it was submitted with. inRequest tells whether an id is that of a MemberPatient. A
// reference that does not resolve, as in the guide's own example, is about nobody else.
func AboutAnother(c Consent, submittedPatientID string, inRequest func(id string) bool) bool {
	if c.Patient == nil {
		return false
	}
	id := fhir.PatientID(c.Patient.Reference)
	return id != "" && id != submittedPatientID && inRequest(id)
}

// aboutMember reports whether nothing says that the consent is somebody else's.
func (c Consent) aboutMember(in Input) bool {
	if c.Patient == nil || in.ForeignPatient {
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
