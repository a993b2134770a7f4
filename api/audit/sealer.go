package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"pdexbulk/models/blob"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
)

const (
	sealEvery   = time.Second
	sealBatch   = 2000
	anchorEvery = 5 * time.Minute
	anchors     = "audit/anchors/"
)

// Sealer chains the events of the log, and notes where the chain ends in the file store, so that records cannot be taken off
// its end, nor the chain be written anew, by whoever can write to the database alone.
type Sealer struct {
	Store *store.Store
	Files blob.Store
	Keys  trail.Keys
	Log   *slog.Logger

	anchored int64 // the last head that this process has noted
}

// Run seals until ctx ends.
func (s *Sealer) Run(ctx context.Context) {
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	var noted time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			err := s.Seal(ctx)
			if err == nil && now.Sub(noted) >= anchorEvery {
				noted, err = now, s.Anchor(ctx)
			}
			if err != nil && ctx.Err() == nil {
				s.Log.ErrorContext(ctx, "the audit log could not be sealed", "error", err.Error())
			}
		}
	}
}

// Seal chains all events there are.
func (s *Sealer) Seal(ctx context.Context) error {
	for {
		n, _, err := s.Store.SealAudit(ctx, s.Keys, sealBatch)
		if err != nil || n < sealBatch {
			return err
		}
	}
}

// Anchor notes the head of the chain in the file store and in the process's log, unless this process has done so.
func (s *Sealer) Anchor(ctx context.Context) error {
	_, head, err := s.Store.SealAudit(ctx, s.Keys, sealBatch)
	if err != nil || head.Seq == s.anchored || head.Seq == 0 {
		return err
	}
	// The name says it all, so that many are listed and none need be opened.
	w, err := s.Files.Create(ctx, fmt.Sprintf("%s%019d-%x", anchors, head.Seq, head.Hash))
	if err != nil {
		return fmt.Errorf("write an anchor: %w", err)
	}
	defer w.Abort()
	if err := w.Commit(); err != nil {
		return fmt.Errorf("write an anchor: %w", err)
	}
	s.anchored = head.Seq
	s.Log.InfoContext(ctx, "audit log anchored", "seq", head.Seq, "hash", fmt.Sprintf("%x", head.Hash))
	return nil
}

// Anchors returns the heads in the file store.
func (s *Sealer) Anchors(ctx context.Context) ([]trail.Head, error) {
	var heads []trail.Head
	for info, err := range s.Files.List(ctx, anchors) {
		if err != nil {
			return nil, fmt.Errorf("list anchors: %w", err)
		}
		number, hash, _ := strings.Cut(strings.TrimPrefix(info.Key, anchors), "-")
		seq, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("an anchor is not named as one")
		}
		bytes, err := hex.DecodeString(hash)
		if err != nil {
			return nil, fmt.Errorf("an anchor is not named as one")
		}
		heads = append(heads, trail.Head{Seq: seq, Hash: bytes})
	}
	return heads, nil
}

// Verify reads the whole chain and holds it against the anchors. What is not sealed yet is sealed first.
func (s *Sealer) Verify(ctx context.Context) (trail.Report, error) {
	if err := s.Seal(ctx); err != nil {
		return trail.Report{}, err
	}
	heads, err := s.Anchors(ctx)
	if err != nil {
		return trail.Report{}, err
	}
	v := trail.NewVerifier(s.Keys, heads)
	err = s.Store.EachAudit(ctx, store.AuditQuery{}, func(r *trail.Record) error {
		v.Add(r)
		return nil
	})
	if err != nil {
		return trail.Report{}, err
	}
	return v.Report(), nil
}
