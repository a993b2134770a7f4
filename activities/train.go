package activities

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// TrainInput says when to train.
type TrainInput struct {
	Always bool // also when the roster is much as it was
}

// Trained is what came of a training. Version is that of the weights now in use.
type Trained struct {
	Version int64
	Members int64
	Pairs   int
}

const (
	// trainLeast is how many members it takes to learn anything from.
	trainLeast = 1000
	// trainSample is how many members are compared with those near them.
	trainSample = 5000
	// trainChange is the fraction by which a roster has to have grown or shrunk since the last training.
	trainChange = .1
)

// TrainMatcher learns the weights of the matcher from the roster and stores them under a new version. Unless told to, it does
// nothing while the roster is about as large as the one the present weights were learned from.
func (a *Activities) TrainMatcher(ctx context.Context, in TrainInput) (*Trained, error) {
	members, err := a.Store.CountMembers(ctx)
	if err != nil {
		return nil, err
	}
	version, err := a.Store.LatestModelVersion(ctx)
	if err != nil {
		return nil, err
	}
	out := &Trained{Version: version, Members: members}
	if members < trainLeast {
		return out, nil
	}
	if version > 0 && !in.Always {
		last, err := a.Store.MatchModel(ctx, version)
		if err != nil {
			return nil, err
		}
		if change := float64(members-last.Members) / float64(last.Members); change < trainChange && change > -trainChange {
			return out, nil
		}
	}
	var t match.Trainer
	var sample []match.Person
	var ids []uuid.UUID
	step := max(1, members/trainSample)
	n := int64(0)
	err = a.Store.EachMember(ctx, func(id uuid.UUID, parts [][]byte) error {
		p, err := joinParts(parts)
		if err != nil {
			return err
		}
		t.Count(&p)
		if n%step == 0 {
			sample, ids = append(sample, p), append(ids, id)
		}
		if n++; n%50_000 == 0 {
			activity.RecordHeartbeat(ctx, n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range sample {
		t.Stranger(&sample[i])
	}
	if err := a.compareNear(ctx, &t, sample, ids); err != nil {
		return nil, err
	}
	model, err := json.Marshal(t.Train())
	if err != nil {
		return nil, fmt.Errorf("store the weights: %w", err)
	}
	out.Pairs = t.Pairs()
	out.Version, err = a.Store.AddMatchModel(ctx, &store.MatchModel{TrainedAt: a.now(), Members: members, Pairs: int64(out.Pairs), Model: model})
	return out, err
}

// compareNear compares members with those who have a key in common with them.
func (a *Activities) compareNear(ctx context.Context, t *match.Trainer, sample []match.Person, ids []uuid.UUID) error {
	const batch = 250
	for from := 0; from < len(sample); from += batch {
		activity.RecordHeartbeat(ctx, from)
		some := sample[from:min(from+batch, len(sample))]
		candidates, err := candidatesOf(ctx, a.Store, some)
		if err != nil {
			return err
		}
		for i := range some {
			for j := range candidates[i] {
				if c := &candidates[i][j]; c.Member != ids[from+i] && !t.Near(&some[i], &c.Person) {
					return nil
				}
			}
		}
	}
	return nil
}
