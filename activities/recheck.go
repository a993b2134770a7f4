package activities

import (
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/store"
)

// recheck is a look at members of a Group when their data are about to leave. It is made in the snapshot that the data are read
// in, so whatever was said before that counts.
type recheck struct {
	a    *Activities
	view *store.Snapshot
	g    *store.Group
	at   time.Time
}

// rechecks decide, by the profile of the Group that is exported, what may leave of each entry's data. The answers come in the
// order of the entries. A Group of any other profile is not exported.
var rechecks = map[string]func(recheck, []store.RosterEntry) ([]access, error){
	matchGroup:         withoutOptedOut(recheckConsents),
	providerMatchGroup: recheckProvider,
}

// allowed decides what may leave of each entry's data now.
func (r recheck) allowed(entries []store.RosterEntry) ([]access, error) {
	check := rechecks[r.g.Profile]
	if check == nil {
		return nil, models.Errorf(models.KindForbidden, "this kind of Group is not exported")
	}
	if r.g.ExpiresAt != nil && !r.at.Before(*r.g.ExpiresAt) {
		none := make([]access, len(entries))
		for i := range none {
			none[i].withheld = true
		}
		return none, nil
	}
	return check(r, entries)
}

// recheckConsents holds each member against the consent they were matched under, and against what they or their requester said
// since (PDex 2.2.0, 156 and 167).
func recheckConsents(r recheck, entries []store.RosterEntry) ([]access, error) {
	requester, err := r.view.Requester(r.g)
	if err != nil {
		return nil, err
	}
	matched, err := r.view.MatchedAt(r.g)
	if err != nil {
		return nil, err
	}
	members := make([]uuid.UUID, len(entries))
	for i, m := range entries {
		members[i] = m.Member
	}
	said, err := r.view.Standing(members, requester, r.at)
	if err != nil {
		return nil, err
	}
	out := make([]access, len(entries))
	for i, m := range entries {
		s := said[m.Member]
		standing := consent.Standing{Override: s.Override, Revoked: s.Revoked(matched), Current: s.Current}
		grant := consent.Grant{Policy: m.Policy, Start: m.ConsentStart, End: m.ConsentEnd}
		policy, _ := consent.Recheck(grant, standing, consent.StoreMode(r.a.Holder.SensitiveData), r.at)
		out[i].withheld = policy == ""
		if policy != consent.PolicySensitive {
			out[i].without = models.ClassSensitive
			out[i].narrowed = m.Policy == consent.PolicySensitive
		}
	}
	return out, nil
}

// keptBack are the members of whom the Group's row alone would let out more.
func keptBack(roster map[uuid.UUID]*access) []store.Withheld {
	var list []store.Withheld
	for member, who := range roster {
		if who.withheld || who.narrowed {
			list = append(list, store.Withheld{Member: member, Whole: who.withheld})
		}
	}
	return list
}
