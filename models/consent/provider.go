package consent

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"pdexbulk/models"
)

// Verdict is what becomes of a person a provider asks for.
type Verdict string

// The verdicts.
const (
	Matched     Verdict = "matched"
	NoMatch     Verdict = "nomatch"
	Constrained Verdict = "constrained"
)

// ProviderInput is what is known of one member, matched without doubt, and of the provider who asks for them.
type ProviderInput struct {
	At time.Time
	// Subject is the NPI of the individual the token is for, "" when it names none.
	Subject string
	// Organizations are the identifiers of the organisation that asks, Purposes the purposes of use of its token, Holder those
	// of the payer that holds the data.
	Organizations []string
	Purposes      []string
	Holder        []string
	// Directory has an entry for every NPI of the request that the directory knows.
	Directory map[string]models.Provider

	OptOuts       []models.OptOut
	Relationships []models.Relationship
	// Line is the line of business of the member; of several, see Strictest.
	Line models.LineOfBusiness
	// Attestation is the Consent that came with the request. Unreadable says that it could not be read.
	Attestation Attestation
	Unreadable  bool
	// ForeignPatient says that the attestation is about another MemberPatient of the request.
	ForeignPatient bool
	// SubmittedNumbers are the identifiers of the MemberPatient it came with, "system|value".
	SubmittedNumbers []string
}

// ProviderDecision is the answer. Reason is for operators and is never disclosed.
type ProviderDecision struct {
	Verdict Verdict
	Reason  Reason
	Terms   Terms // of a match
}

// DecideProvider judges whether a provider may have the data of a matched member: opt-outs first, then the treatment
// relationship list, then the attestation (PDex 2.2.0 Provider Access, BK-12). A member who opted out where that must not be told
// is a NoMatch (§261a).
func DecideProvider(in ProviderInput) ProviderDecision {
	signed := ReasonAttestationUnreadable
	if !in.Unreadable {
		signed = in.Attestation.Signed(in)
	}
	if out, reason := OptedOut(in.OptOuts, in.requester(signed), in.At); out {
		if in.Line.HideOptOuts {
			return ProviderDecision{Verdict: NoMatch, Reason: reason}
		}
		return ProviderDecision{Verdict: Constrained, Reason: reason}
	}
	if in.Line.Treatment != models.TreatmentByAttestation && !Treats(in.Relationships, in.vouched(signed), in.Line.Lookback, in.At) {
		return ProviderDecision{Verdict: NoMatch, Reason: ReasonNoRelationship}
	}
	if in.Unreadable {
		return ProviderDecision{Verdict: NoMatch, Reason: ReasonAttestationUnreadable}
	}
	foreign := in.ForeignPatient || in.Attestation.Patient != nil && in.Attestation.Patient.isAnother(in.SubmittedNumbers)
	if reason := in.Attestation.Form(in.At, foreign); reason != ReasonPermitted {
		return ProviderDecision{Verdict: NoMatch, Reason: reason}
	}
	if in.Line.Treatment != models.TreatmentByList && signed != ReasonPermitted {
		return ProviderDecision{Verdict: NoMatch, Reason: signed}
	}
	vouched := in.vouched(signed)
	return ProviderDecision{Verdict: Matched, Reason: ReasonPermitted, Terms: Terms{
		Named: in.requester(signed).NPIs, Vouched: vouched.NPIs, Organizations: in.Organizations,
		Purposes: slices.Concat(in.Purposes, in.Attestation.Purposes), Holder: in.Holder, End: in.Attestation.End,
	}}
}

// vouched is who asks, by what the token and the directory say: who signed an attestation counts when that stands.
func (in ProviderInput) vouched(signed Reason) Requester {
	r := Requester{Organizations: in.Organizations}
	if in.Subject != "" {
		r.NPIs = []string{in.Subject}
	}
	if signed == ReasonPermitted {
		for _, npi := range in.Attestation.Performers {
			if !slices.Contains(r.NPIs, npi) {
				r.NPIs = append(r.NPIs, npi)
			}
		}
	}
	return r
}

// requester is who asks as opt-outs see them: everybody who is named anywhere.
func (in ProviderInput) requester(signed Reason) Requester {
	r := in.vouched(signed)
	r.Anonymous = len(r.NPIs) == 0
	for _, npi := range in.Attestation.Performers {
		if !slices.Contains(r.NPIs, npi) {
			r.NPIs = append(r.NPIs, npi)
		}
	}
	r.Purposes = slices.Concat(in.Purposes, in.Attestation.Purposes)
	r.Payers = slices.Concat(in.Holder, in.Line.Payers)
	return r.From(in.Directory)
}

// Terms are what a member's data were opened to a provider under, for the time when they are about to leave.
type Terms struct {
	// Named are the NPIs of the individuals who asked or attested, Vouched those of them that the token or the directory bears out.
	Named, Vouched []string
	// Organizations, Purposes and Holder are as in ProviderInput, with the attestation's purposes.
	Organizations, Purposes, Holder []string
	// End is when the attestation ends, nil when it does not say.
	End *time.Time
}

// RecheckProvider says whether a release that was permitted still is (RC-02): no opt-out since, the relationship still in the
// list where it has to be, the attestation not over. line is the member's line of business as it is now.
func RecheckProvider(t Terms, optOuts []models.OptOut, rels []models.Relationship, line models.LineOfBusiness, directory map[string]models.Provider, at time.Time) (ok bool, reason Reason) {
	r := Requester{
		NPIs: t.Named, Anonymous: len(t.Vouched) == 0, Organizations: t.Organizations, Purposes: t.Purposes,
		Payers: slices.Concat(t.Holder, line.Payers),
	}
	if out, reason := OptedOut(optOuts, r.From(directory), at); out {
		return false, reason
	}
	r.NPIs = t.Vouched
	if line.Treatment != models.TreatmentByAttestation && !Treats(rels, r, line.Lookback, at) {
		return false, ReasonNoRelationship
	}
	if t.End != nil && !at.Before(*t.End) {
		return false, ReasonAttestationPeriod
	}
	return true, ReasonPermitted
}

// Strictest joins the rules of the lines of business a member belongs to: what one of them asks is asked. Without any, all is.
func Strictest(lines []models.LineOfBusiness) models.LineOfBusiness {
	strict := models.LineOfBusiness{Code: models.DefaultLine, HideOptOuts: true, Treatment: models.TreatmentByBoth}
	for i, line := range lines {
		if i == 0 {
			strict = line
			continue
		}
		strict.Code += "+" + line.Code
		strict.HideOptOuts = strict.HideOptOuts || line.HideOptOuts
		strict.Lookback = min(strict.Lookback, line.Lookback)
		strict.Payers = slices.Concat(strict.Payers, line.Payers)
		if strict.Treatment != line.Treatment {
			strict.Treatment = models.TreatmentByBoth
		}
	}
	return strict
}

// Format prints the name of the type, whatever the verb.
func (Attestation) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Attestation") }

// LogValue logs the name of the type.
func (Attestation) LogValue() slog.Value { return slog.StringValue("Attestation") }
