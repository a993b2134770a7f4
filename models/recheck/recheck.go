// Package recheck decides, when data of a Group's members are about to leave, whether they may at that moment. It reads what was
// said in the snapshot that the data are read in, so whatever was said before counts, and leaves the decision to models/consent.
package recheck

import (
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/store"
)

// Access is what may leave of a member's data.
type Access struct {
	Withheld bool         // nothing may
	Without  models.Class // classes that stay
	Narrowed bool         // they would not stay but for what was said since the match
	Draft    bool         // of an attribution list that is a draft: only what tells who is on it may leave
}

// look is a look at members of a Group.
type look struct {
	view *store.Snapshot
	g    *store.Group
	mode consent.StoreMode
	at   time.Time
	// requester has the identifiers of the organisation the Group was made for.
	requester []string
}

// checks decide, by the profile of the Group, what may leave of each entry's data. The answers come in the order of the entries.
// A Group of any other profile is not exported.
var checks = map[string]func(look, []store.RosterEntry) ([]Access, error){
	models.MatchGroupProfile:    payer,
	models.ProviderGroupProfile: provider,
	// What a provider is attributed may go to them as what they were matched.
	models.AttributionGroupProfile: provider,
}

// Members decides what may leave of the data of members of a Group, in their order. mode is how the store keeps sensitive data. It
// is KindForbidden for a kind of Group that is not exported.
func Members(view *store.Snapshot, g *store.Group, entries []store.RosterEntry, mode consent.StoreMode, at time.Time) ([]Access, error) {
	check := checks[g.Profile]
	if check == nil {
		return nil, models.Errorf(models.KindForbidden, "this kind of Group is not exported")
	}
	requester, same, err := view.Requester(g)
	if err != nil {
		return nil, err
	}
	if !same || g.ExpiresAt != nil && !at.Before(*g.ExpiresAt) {
		none := make([]Access, len(entries))
		for i := range none {
			none[i].Withheld = true
		}
		return none, nil
	}
	return check(look{view, g, mode, at, requester}, entries)
}

func ids(entries []store.RosterEntry) []uuid.UUID {
	members := make([]uuid.UUID, len(entries))
	for i, e := range entries {
		members[i] = e.Member
	}
	return members
}

// payer holds each member against the consent they were matched under, and against what they or their requester said since (PDex
// 2.2.0, 156 and 167). Members who have opted out of sharing with that payer are kept back whatever they consented to.
func payer(l look, entries []store.RosterEntry) ([]Access, error) {
	matched, err := l.view.MatchedAt(l.g)
	if err != nil {
		return nil, err
	}
	said, err := l.view.Standing(ids(entries), l.requester, l.at)
	if err != nil {
		return nil, err
	}
	optOuts, err := l.view.OptOutsOf(ids(entries))
	if err != nil {
		return nil, err
	}
	out := make([]Access, len(entries))
	for i, m := range entries {
		s := said[m.Member]
		standing := consent.Standing{Override: s.Override, Revoked: s.Revoked(matched), Current: s.Current}
		grant := consent.Grant{Policy: m.Policy, Start: m.ConsentStart, End: m.ConsentEnd}
		policy, _ := consent.Recheck(grant, standing, l.mode, l.at)
		optedOut, _ := consent.PayerOptedOut(optOuts[m.Member], l.requester, l.at)
		out[i].Withheld = policy == "" || optedOut
		if policy != consent.PolicySensitive {
			out[i].Without = models.ClassSensitive
			out[i].Narrowed = m.Policy == consent.PolicySensitive
		}
	}
	return out, nil
}

// provider holds each member against the terms they were opened under. Sensitive data, which no consent is there for, stay.
func provider(l look, entries []store.RosterEntry) ([]Access, error) {
	claim, err := l.view.Claim(l.g.ID, ids(entries))
	if err != nil {
		return nil, err
	}
	out := make([]Access, len(entries))
	for i, m := range entries {
		out[i] = Access{Withheld: !Stands(&claim, m.Member, l.at), Without: models.ClassSensitive, Draft: claim.Draft}
	}
	return out, nil
}

// Stands reports whether a member may still be handed to the provider whose claim it is: whether they opted out since, whether the
// relationship stands, whether the attestation is over (PDex 2.2.0 Provider Access, 294). Of a member asked for more than once all
// terms must hold; one without terms may not. On an attribution list one attribution must stand, see Listed.
func Stands(claim *store.Claim, member uuid.UUID, at time.Time) bool {
	if claim.Listed {
		return Listed(claim, member, at).Open()
	}
	for _, t := range claim.Terms[member] {
		terms := consent.Terms{
			Named: t.Named, Vouched: t.Vouched, Purposes: t.Purposes, End: t.End,
			Organizations: claim.Asker.Organizations, Holder: claim.Asker.Holder,
		}
		line := consent.Strictest(consent.LinesNamed(t.Lines, claim.Lines))
		if ok, _ := consent.RecheckProvider(terms, claim.OptOuts[member], claim.Relationships[member], line, claim.Directory, at); !ok {
			return false
		}
	}
	return len(claim.Terms[member]) > 0
}

// ListTerms are what a claim says of all members of an attribution list.
func ListTerms(claim *store.Claim) consent.ListTerms {
	return consent.ListTerms{
		Organizations: claim.Asker.Organizations, Purposes: claim.Purposes, Holder: claim.Asker.Holder, Lines: claim.Lines, Directory: claim.Directory,
	}
}

// Listed says what an attribution list shows and opens of a member.
func Listed(claim *store.Claim, member uuid.UUID, at time.Time) consent.Listed {
	return consent.DecideListed(ListTerms(claim), consent.ListedInput{
		At: at, Attributions: claim.Attributions[member], OptOuts: claim.OptOuts[member], Relationships: claim.Relationships[member],
	})
}
