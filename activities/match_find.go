package activities

import (
	"context"

	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// find looks for everybody in one query and decides whom of our members each person is. Who has an outcome already is passed
// over. The decisions are in the order of the people.
func (a *Activities) find(ctx context.Context, people []submitted) ([]match.Decision, error) {
	var probes []store.Probe
	for i := range people {
		p := &people[i]
		if p.outcome.Outcome != "" {
			continue
		}
		for _, family := range p.person.Families {
			probes = append(probes, store.Probe{N: int32(i), Family: family, BirthDate: p.person.BirthDate})
		}
		probes = append(probes, store.Probe{N: int32(i), Cards: p.person.Values()})
	}
	rows, err := a.Store.Candidates(ctx, probes)
	if err != nil {
		return nil, err
	}
	candidates := make([][]match.Candidate, len(people))
	for _, r := range rows {
		c := match.Candidate{Member: r.Member, Family: r.Family, Given: r.Given, BirthDate: r.BirthDate, Gender: r.Gender}
		for _, h := range r.CardHits {
			c.Cards = append(c.Cards, match.ID{Kind: h.Kind, Value: h.Value})
		}
		candidates[r.N] = append(candidates[r.N], c)
	}
	decisions := make([]match.Decision, len(people))
	for i := range people {
		if people[i].outcome.Outcome == "" {
			decisions[i] = match.Decide(people[i].person, candidates[i])
		}
	}
	return decisions, nil
}
