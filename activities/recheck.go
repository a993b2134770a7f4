package activities

import (
	"time"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/store"
)

// rechecks decide, by the profile of the Group that is exported, what may leave of each of its members' data at a moment. They
// run in the snapshot that the data are read in, so whatever was said before it counts. The entries come in the order of
// members, and so do the answers. Of a Group whose profile is not here nothing leaves.
var rechecks = map[string]func(view *store.Snapshot, g *store.Group, roster []store.RosterEntry, at time.Time) ([]access, error){
	matchGroup: recheckConsents,
}

// recheckConsents holds each member against the consent they were matched under (PDex 2.2.0, 156 and 167).
func recheckConsents(_ *store.Snapshot, _ *store.Group, roster []store.RosterEntry, at time.Time) ([]access, error) {
	out := make([]access, len(roster))
	for i, m := range roster {
		ok, _ := consent.Recheck(m.Policy, m.ConsentStart, m.ConsentEnd, false, at)
		out[i].withheld = !ok
		if m.Policy != consent.PolicySensitive {
			out[i].without = models.ClassSensitive
		}
	}
	return out, nil
}
