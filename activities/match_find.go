package activities

import (
	"context"
	"fmt"
	"sync"

	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// find looks for everybody in one query and decides whom of our members each person is. Who has an outcome already is passed
// over. The decisions are in the order of the people, and what explains them is in the outcomes. With alike, who was not
// found is weighed against themselves, to no effect: a member has one candidate more than a stranger of the same kind.
func (a *Activities) find(ctx context.Context, people []submitted, alike bool) ([]match.Decision, error) {
	if err := a.refreshIndex(ctx); err != nil {
		return nil, err
	}
	model, err := a.model(ctx)
	if err != nil {
		return nil, err
	}
	var asked []match.Person
	var index []int
	for i := range people {
		if people[i].outcome.Outcome == "" {
			asked, index = append(asked, people[i].person), append(index, i)
		}
	}
	found, err := FindMembers(ctx, a.Store, model, asked)
	if err != nil {
		return nil, err
	}
	decisions := make([]match.Decision, len(people))
	for n, i := range index {
		d := found[n]
		decisions[i] = d
		o := &people[i].outcome
		o.Grade, o.Weights, o.Explanation = string(d.Grade), d.Version, d.Explain()
		if alike && !d.Matched {
			if err := weighAlone(model, asked[n]); err != nil {
				return nil, err
			}
		}
	}
	return decisions, nil
}

// weighAlone does what is done with a member who comes into question.
func weighAlone(model *match.Model, p match.Person) error {
	same, err := joinParts([][]byte{p.Record()})
	if err != nil {
		return err
	}
	d := model.Decide(p, []match.Candidate{{Person: same}})
	d.Explain()
	return nil
}

// FindMembers decides whom of our members each of some people is. It takes one query for all of them.
func FindMembers(ctx context.Context, s *store.Store, model *match.Model, people []match.Person) ([]match.Decision, error) {
	candidates, err := candidatesOf(ctx, s, people)
	if err != nil {
		return nil, err
	}
	decisions := make([]match.Decision, len(people))
	for i := range people {
		decisions[i] = model.Decide(people[i], candidates[i])
	}
	return decisions, nil
}

// candidatesOf finds the members that come into question for each of some people.
func candidatesOf(ctx context.Context, s *store.Store, people []match.Person) ([][]match.Candidate, error) {
	probes := make([]store.Probe, len(people))
	for i := range people {
		probes[i] = store.Probe{N: int32(i), Keys: people[i].Keys()}
	}
	rows, err := s.Candidates(ctx, probes)
	if err != nil {
		return nil, err
	}
	out := make([][]match.Candidate, len(people))
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
	today := *cached.(*match.Model)
	today.Today = int32(a.now().Unix() / 86400)
	return &today, nil
}
