package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"pdexbulk/models/store"
	"pdexbulk/models/trail"
)

// NDJSON writes records as FHIR AuditEvents, one a line, from oldest to newest.
func (s *Sealer) NDJSON(ctx context.Context, q store.AuditQuery, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	if err := s.Store.EachAudit(ctx, q, func(r *trail.Record) error { return lines.Encode(r.AuditEvent()) }); err != nil {
		return err
	}
	return out.Flush()
}

// row is a record in a Parquet file.
type row struct {
	Seq       int64     `parquet:"seq"`
	ID        string    `parquet:"id"`
	At        time.Time `parquet:"at,timestamp(microsecond)"`
	ActorKind string    `parquet:"actor_kind,dict"`
	Actor     string    `parquet:"actor,dict"`
	Client    string    `parquet:"client,dict"`
	Action    string    `parquet:"action,dict"`
	Outcome   string    `parquet:"outcome,dict"`
	Status    int32     `parquet:"status"`
	Job       string    `parquet:"job,dict"`
	Group     string    `parquet:"group,dict"`
	Target    string    `parquet:"target"`
	Members   []string  `parquet:"members,list"`
	Counts    string    `parquet:"counts"`
	Purpose   string    `parquet:"purpose,dict"`
	Reason    string    `parquet:"reason"`
	Source    string    `parquet:"source,dict"`
	Route     string    `parquet:"route,dict"`
	KeyID     string    `parquet:"key_id,dict"`
	Hash      []byte    `parquet:"hash"`
}

// rowGroup bounds how many records are held in memory.
const rowGroup = 10_000

// Parquet writes records as a Parquet file, from oldest to newest.
func (s *Sealer) Parquet(ctx context.Context, q store.AuditQuery, w io.Writer) error {
	file := parquet.NewGenericWriter[row](w, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(rowGroup))
	one := make([]row, 1)
	err := s.Store.EachAudit(ctx, q, func(r *trail.Record) error {
		e := &r.Event
		one[0] = row{
			Seq: r.Seq, ID: e.ID, At: e.At, ActorKind: string(e.Kind), Actor: e.Actor, Client: e.Client, Action: e.Action,
			Outcome: string(e.Outcome), Status: int32(e.Status), Job: e.Job, Group: e.Group, Target: e.Target, Counts: e.Counts.Text(),
			Purpose: e.Purpose, Reason: e.Reason, Source: e.Source, Route: e.Route, KeyID: r.KeyID, Hash: r.Hash,
		}
		for _, m := range e.Members {
			one[0].Members = append(one[0].Members, m.String())
		}
		_, err := file.Write(one)
		return err
	})
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("end the parquet file: %w", err)
	}
	return nil
}
