package consent

import (
	"slices"
	"time"

	"pdexbulk/models"
)

// The reasons of an opt-out, in the order in which they are looked for.
const (
	ReasonOptOutGlobal   Reason = "opt-out-global"
	ReasonOptOutProvider Reason = "opt-out-provider"
	ReasonOptOutPurpose  Reason = "opt-out-purpose"
	ReasonOptOutPayer    Reason = "opt-out-payer"
	ReasonOptOutCategory Reason = "opt-out-category"
)

// Requester is who asks for a member's data, as opt-outs see them. Identifiers are as models.CanonicalID writes them: NPIs
// bare, others as system|value. What is not known stays empty, and an opt-out that turns on it then applies.
type Requester struct {
	// NPIs are those of the individuals who ask: the subject of the token and who signed the attestation. Anonymous says that
	// none of them is known for sure.
	NPIs      []string
	Anonymous bool
	// Organizations are the identifiers of the organisation that asks, its NPI among them.
	Organizations []string
	// Affiliations are the NPIs of the organisations the individuals work for, and Taxonomies the NUCC codes of all; Complete says
	// that there are some of every one of them. From fills them in.
	Affiliations []string
	Taxonomies   []string
	Complete     bool
	// Payers are identifiers of the payers involved: for Provider Access of the one that holds the data, for a payer-to-payer
	// exchange of the one that asks.
	Payers []string
	// Purposes are the purposes of use that the token and the attestation name.
	Purposes []string
}

// From returns the requester with what a directory, by NPI, says of it.
func (r Requester) From(directory map[string]models.Provider) Requester {
	r.Affiliations, r.Taxonomies, r.Complete = nil, nil, len(r.NPIs) > 0 && !r.Anonymous
	for _, id := range slices.Concat(r.NPIs, r.Organizations) {
		npi := models.CanonicalID(id)
		if !models.ValidNPI(npi) {
			continue
		}
		entry := directory[npi]
		r.Affiliations = append(r.Affiliations, entry.Organizations...)
		r.Taxonomies = append(r.Taxonomies, entry.Taxonomies...)
		r.Complete = r.Complete && len(entry.Taxonomies) > 0
	}
	return r
}

// OptedOut says whether one of a member's opt-outs keeps their data from a requester at a moment, and which kind. Deny wins:
// the order of the opt-outs does not matter, and none of them can permit.
func OptedOut(list []models.OptOut, r Requester, at time.Time) (bool, Reason) {
	var applied []models.OptOutScope
	for _, o := range list {
		if stands(o, at) && applies(o, r) {
			if o.Override {
				return true, ReasonOverride
			}
			applied = append(applied, o.Scope)
		}
	}
	if len(applied) == 0 {
		return false, ""
	}
	for _, s := range scopes {
		if slices.Contains(applied, s.scope) {
			return true, s.reason
		}
	}
	return true, ReasonOptOutGlobal // of a scope nobody knows
}

// PayerOptedOut says whether a member's opt-out keeps their data from another payer, known by its identifiers. Only those that
// name a payer are meant for it: a payer-to-payer exchange rests on the member's own consent, the others on nothing.
func PayerOptedOut(list []models.OptOut, payer []string, at time.Time) (bool, Reason) {
	named := slices.DeleteFunc(slices.Clone(list), func(o models.OptOut) bool { return o.Scope != models.OptOutPayer })
	return OptedOut(named, Requester{Payers: payer}, at)
}

var scopes = []struct {
	scope  models.OptOutScope
	reason Reason
}{
	{models.OptOutGlobal, ReasonOptOutGlobal},
	{models.OptOutProvider, ReasonOptOutProvider},
	{models.OptOutPurpose, ReasonOptOutPurpose},
	{models.OptOutPayer, ReasonOptOutPayer},
	{models.OptOutCategory, ReasonOptOutCategory},
}

// stands reports whether an opt-out is in force. One that is revoked is so whatever the hour, and one that begins with its entry has
// begun: clocks differ.
func stands(o models.OptOut, at time.Time) bool {
	begun := !at.Before(o.Start) || !o.CreatedAt.Before(o.Start)
	return o.RevokedAt == nil && begun && (o.End == nil || at.Before(*o.End))
}

// applies reports whether an opt-out is from this requester. Where that cannot be told, it is.
func applies(o models.OptOut, r Requester) bool {
	switch o.Scope {
	case models.OptOutGlobal:
		return true
	case models.OptOutProvider:
		unknown := !o.Override && (r.Anonymous || len(r.NPIs) == 0) // an override names whom it means, which may be a payer
		return unknown || hasID(r.NPIs, o.Target) || hasID(r.Organizations, o.Target) || hasID(r.Affiliations, o.Target)
	case models.OptOutPurpose:
		for _, purpose := range r.Purposes {
			code := models.PurposeCode(purpose)
			if !models.ValidPurpose(code) || models.PurposeWithin(code, o.Target) {
				return true
			}
		}
		return len(r.Purposes) == 0
	case models.OptOutPayer:
		return len(r.Payers) == 0 || hasID(r.Payers, o.Target)
	case models.OptOutCategory:
		return !r.Complete || slices.ContainsFunc(r.Taxonomies, func(code string) bool {
			return code == o.Target || len(o.Target) == 4 && len(code) == 10 && code[:4] == o.Target
		})
	}
	return true
}

func hasID(ids []string, target string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return models.CanonicalID(id) == target })
}
