package activities

import (
	"context"
	"fmt"
	"sync"

	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// find looks for everybody in one query and decides whom of our members each person is. Who has an outcome already is passed
// over. The decisions are in the order of the people, and what explains them is in the outcomes.
func (a *Activities) find(ctx context.Context, people []submitted) ([]match.Decision, error) {
	if err := a.refreshIndex(ctx); err != nil {
		return nil, err
	}
	model, err := a.model(ctx)
	if err != nil {
		return nil, err
	}
	probes := make([]store.Probe, 0, len(people))
	for i := range people {
		if people[i].outcome.Outcome == "" {
			probes = append(probes, store.Probe{N: int32(i), Keys: people[i].person.Keys(true)})
		}
	}
	candidates, err := Candidates(ctx, a.Store, probes, len(people))
	if err != nil {
		return nil, err
	}
	decisions := make([]match.Decision, len(people))
	for i := range people {
		o := &people[i].outcome
		if o.Outcome != "" {
			continue
		}
		d := model.Decide(people[i].person, candidates[i])
		decisions[i] = d
		o.Grade, o.Weights, o.Explanation = string(d.Grade), d.Version, d.Explain()
	}
	return decisions, nil
}

// Candidates finds the members that come into question for probes numbered from 0 to n-1.
func Candidates(ctx context.Context, s *store.Store, probes []store.Probe, n int) ([][]match.Candidate, error) {
	rows, err := s.Candidates(ctx, probes)
	if err != nil {
		return nil, err
	}
	out := make([][]match.Candidate, n)
	for _, r := range rows {
		person, err := joinParts(r.Parts)
		if err != nil {
			return nil, err
		}
		for _, i := range r.Probes {
			out[i] = append(out[i], match.Candidate{Member: r.Member, Person: person})
		}
	}
	return out, nil
}

// joinParts makes one person of what their resources say.
func joinParts(parts [][]byte) (match.Person, error) {
	var whole match.Person
	for i, record := range parts {
		p, err := match.ParseRecord(record)
		if err != nil {
			return whole, err
		}
		if i == 0 {
			whole = p
			continue
		}
		whole.Merge(p)
	}
	return whole, nil
}

// weights keeps the models in use by store and version, since they seldom change and are the same for all who match.
var weights sync.Map

type weightsKey struct {
	store   *store.Store
	version int64
}

// model returns the weights in use, the built-in ones before any are trained, for a decision today.
func (a *Activities) model(ctx context.Context) (*match.Model, error) {
	version, err := a.Store.LatestModelVersion(ctx)
	if err != nil {
		return nil, err
	}
	key := weightsKey{a.Store, version}
	cached, ok := weights.Load(key)
	if !ok {
		loaded := match.Default()
		if version > 0 {
			row, err := a.Store.MatchModel(ctx, version)
			if err != nil {
				return nil, err
			}
			if loaded, err = match.ParseModel(row.Model); err != nil {
				return nil, fmt.Errorf("weights of version %d: %w", version, err)
			}
			loaded.Version = version
		}
		weights.Delete(weightsKey{a.Store, version - 1})
		cached, _ = weights.LoadOrStore(key, loaded)
	}
	today := *cached.(*match.Model) //nolint:errcheck // nothing else is stored
	today.Today = int32(a.now().Unix() / 86400)
	return &today, nil
}
