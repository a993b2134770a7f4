package activities

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/store"
)

// judgeConsents decides, each on its own, whether the consents that came with found members let their data go to the payer who
// asks (PDex 2.2.0, 154). Every consent is kept, whatever was decided.
func judgeConsents(ctx context.Context, a *Activities, m matchRun, found []*submitted) error {
	if len(found) == 0 {
		return nil
	}
	if len(m.params.Organizations) == 0 {
		return models.Errorf(models.KindInternal, "the match has no requester")
	}
	members := make([]uuid.UUID, len(found))
	for i, p := range found {
		members[i] = *p.outcome.Member
	}
	said, err := a.Store.Standing(ctx, members, m.params.Organizations, m.at)
	if err != nil {
		return err
	}
	for i, p := range found {
		standing := said[members[i]]
		_, foreign := slices.BinarySearch(m.params.Foreign, p.outcome.Idx)
		input := consent.Input{
			At: m.at, Requester: m.params.Organizations, Holder: a.Holder.IDs, StoreMode: consent.StoreMode(a.Holder.SensitiveData),
			SubmittedPatientID: p.patient, SubmittedNumbers: p.numbers, ForeignPatient: foreign,
			MemberOverride: standing.Override, RevokedAt: standing.RevokedAt,
		}
		read := consent.Read(p.consent)
		decision := consent.DecideP2P(read, input)
		grant(&p.outcome, decision)
		p.kept = keep(m, p, read, input, decision)
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

// byRequester is who has revoked when a submitted Consent says that there is none.
const byRequester = "requester"

// keep makes the row of a submitted consent.
func keep(m matchRun, p *submitted, read consent.Consent, input consent.Input, d consent.Decision) *store.Consent {
	requester := models.CanonicalOrganization(m.params.Organizations[0])
	c := &store.Consent{
		ID: consent.ID(requester, *p.outcome.Member, p.consent), Member: *p.outcome.Member, Requester: requester, Requesters: m.params.Organizations, ClientID: m.job.ClientID,
		JobID: m.job.ID, Idx: p.outcome.Idx, State: store.ConsentActive, Reason: string(d.Reason), Policy: d.Policy, Start: d.Start, End: d.End,
		SubmittedAt: m.job.CreatedAt, SettledAt: m.at, Document: string(p.consent), Given: read.Given,
	}
	if d.Permit {
		return c
	}
	c.State, c.ClosedAt = store.ConsentRefused, &m.at
	if consent.Withdraws(read, input) {
		c.State, c.RevokedAt, c.RevokedBy = store.ConsentRevoked, &m.at, byRequester
	}
	return c
}
