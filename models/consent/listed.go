package consent

import (
	"slices"
	"time"

	"pdexbulk/models"
)

// ReasonNotAttributed says that no attribution of the member stands.
const ReasonNotAttributed Reason = "not-attributed"

// ListTerms are what is the same for all members of an attribution list.
type ListTerms struct {
	// Organizations are the identifiers of the provider whose list it is, Purposes what they get the data for, Holder the
	// identifiers of the payer that holds the data.
	Organizations, Purposes, Holder []string
	// Lines are all lines of business. Which of them a member belongs to is not known, so the strictest hold.
	Lines []models.LineOfBusiness
	// Directory has an entry for every NPI of the list and of its members' opt-outs that the directory knows.
	Directory map[string]models.Provider
}

// ListedInput is what is known of one member of an attribution list.
type ListedInput struct {
	At            time.Time
	Attributions  []models.Attribution
	OptOuts       []models.OptOut
	Relationships []models.Relationship
}

// Listed is what a list says of a member.
type Listed struct {
	// Hidden members are not told of at all: they have opted out (PDex 2.2.0 Provider Access version 1, 344).
	Hidden bool
	// Stands has, for each attribution, whether it opens the member's data.
	Stands []bool
	Reason Reason // for operators
}

// Open reports whether the member's data may leave.
func (l Listed) Open() bool { return !l.Hidden && slices.Contains(l.Stands, true) }

// DecideListed says what of a member an attribution list shows and opens. The list goes to an organisation: an opt-out from anybody
// who may work there applies. What the provider asked for, and the plan did not say itself, stands while the treatment relationship
// list says so.
func DecideListed(t ListTerms, in ListedInput) Listed {
	d := Listed{Stands: make([]bool, len(in.Attributions)), Reason: ReasonNotAttributed}
	line := Strictest(t.Lines)
	for i, a := range in.Attributions {
		d.Stands[i] = a.Covers(in.At) && (!a.Asked || t.treats(a.NPI, in.Relationships, line.Lookback, in.At))
		if d.Stands[i] {
			d.Reason = ReasonPermitted
		}
	}
	if out, reason := OptedOut(in.OptOuts, t.requester(in, line), in.At); out {
		d.Hidden, d.Reason = true, reason
	}
	return d
}

// treats reports whether the treatment relationship list has the member with a provider of the list's organisation.
func (t ListTerms) treats(npi string, list []models.Relationship, lookback int, at time.Time) bool {
	r := Requester{Organizations: t.Organizations}
	if npi != "" && !hasID(t.Organizations, npi) {
		if !t.Employs(npi) {
			return false
		}
		r.NPIs = []string{npi}
	}
	return Treats(list, r, lookback, at)
}

// Employs reports whether the directory says that somebody is active and works for the list's organisation.
func (t ListTerms) Employs(npi string) bool { return t.Directory[npi].Active && t.worksHere(npi) }

func (t ListTerms) worksHere(npi string) bool {
	return slices.ContainsFunc(t.Directory[npi].Organizations, func(org string) bool { return hasID(t.Organizations, org) })
}

// mayWorkHere reports whether a provider may be of the list's organisation, as far as the directory knows for whom they work.
func (t ListTerms) mayWorkHere(npi string) bool {
	entry, known := t.Directory[npi]
	return !known || entry.Kind == models.ProviderIndividual && len(entry.Organizations) == 0 || t.worksHere(npi)
}

// requester is who gets the list, as the opt-outs of a member see them.
func (t ListTerms) requester(in ListedInput, line models.LineOfBusiness) Requester {
	r := Requester{Organizations: t.Organizations, Purposes: t.Purposes}
	if len(t.Holder) > 0 { // else nobody knows which payer this is
		r.Payers = slices.Concat(t.Holder, line.Payers)
	}
	for _, a := range in.Attributions {
		if a.NPI != "" && !slices.Contains(r.NPIs, a.NPI) {
			r.NPIs = append(r.NPIs, a.NPI)
		}
	}
	if len(r.NPIs) == 0 {
		r.NPIs = models.NPIs(t.Organizations)
	}
	r = r.From(t.Directory)
	for _, o := range in.OptOuts {
		if o.Scope == models.OptOutProvider && models.ValidNPI(o.Target) && t.mayWorkHere(o.Target) {
			r.NPIs = append(r.NPIs, o.Target)
		}
	}
	return r
}
