package activities

import (
	"context"
	"slices"

	"pdexbulk/models/consent"
	"pdexbulk/models/store"
)

// judgeConsents decides, each on its own, whether the consents that came with found members let their data go to the payer who
// asks (PDex 2.2.0, 154).
func judgeConsents(_ context.Context, a *Activities, m matchRun, found []*submitted) error {
	for _, p := range found {
		input := consent.Input{
			At: m.at, Requester: m.params.Organizations, Holder: a.Holder.IDs, StoreMode: consent.StoreMode(a.Holder.SensitiveData),
			SubmittedPatientID: p.patient, ForeignPatient: slices.Contains(m.params.Foreign, p.outcome.Idx),
		}
		grant(&p.outcome, consent.Decide(p.consent, input))
	}
	return nil
}

// grant turns what was decided about a matched member's consent into the outcome.
func grant(o *store.Outcome, d consent.Decision) {
	o.Outcome, o.Reason = store.OutcomeConstrained, string(d.Reason)
	if d.Permit {
		o.Outcome = store.OutcomeMatched
		o.Policy, o.ConsentStart, o.ConsentEnd = d.Policy, d.Start, d.End
	}
}
