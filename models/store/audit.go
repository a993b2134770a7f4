package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"pdexbulk/models/trail"
)

// auditLock is the advisory lock under which the audit log is sealed.
const auditLock = 0x70646561 // "pdea"

const insertAudit = `INSERT INTO audit_inbox SELECT * FROM json_populate_recordset(NULL::audit_inbox, `

// AddAudit writes events to the audit log, all of them or none.
func (s *Store) AddAudit(ctx context.Context, events []trail.Event) error {
	text, err := json.Marshal(events)
	if err != nil {
		return fmt.Errorf("write audit events: %w", err)
	}
	if _, err := s.Pool.Exec(ctx, insertAudit+`$1::json)`, string(text)); err != nil {
		return fmt.Errorf("insert audit events: %w", err)
	}
	return nil
}

// addAudit is AddAudit within a transaction of bun.
func addAudit(ctx context.Context, tx bun.IDB, events ...trail.Event) error {
	text, err := json.Marshal(events)
	if err != nil {
		return fmt.Errorf("write audit events: %w", err)
	}
	if _, err := tx.NewRaw(insertAudit+`?::json)`, string(text)).Exec(ctx); err != nil {
		return fmt.Errorf("insert audit events: %w", err)
	}
	return nil
}

// requested returns the event of the request that ctx belongs to, for storing it with what it does. Without a request it is
// the server's own.
func requested(ctx context.Context, at time.Time, client, action string, outcome trail.Outcome) trail.Event {
	if !trail.Known(ctx) {
		return trail.System(at, client, action, outcome)
	}
	e := trail.Of(ctx).Event
	e.Client, e.Outcome = client, outcome
	return e
}

// SealAudit moves at most limit events into the chain, in the order of their ids, and returns how many and where the chain
// ends. One process at a time does so; another waits.
func (s *Store) SealAudit(ctx context.Context, keys trail.Keys, limit int) (n int, head trail.Head, err error) {
	err = s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, auditLock); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		err := tx.QueryRow(ctx, `SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1`).Scan(&head.Seq, &head.Hash)
		if err != nil && !noRows(err) {
			return fmt.Errorf("find the head: %w", err)
		}
		rows, err := tx.Query(ctx, `SELECT 0::bigint, '', ''::bytea, `+auditColumns+` FROM audit_inbox ORDER BY id LIMIT $1`, limit)
		if err != nil {
			return fmt.Errorf("select events: %w", err)
		}
		events, err := pgx.CollectRows(rows, scanRecord)
		if err != nil || len(events) == 0 {
			return err
		}
		ids, seqs, hashes, keyID := make([]string, len(events)), make([]int64, len(events)), make([][]byte, len(events)), ""
		for i, e := range events {
			r := keys.Seal(head, e.Event)
			ids[i], seqs[i], hashes[i], keyID = r.ID, r.Seq, r.Hash, r.KeyID
			head = trail.Head{Seq: r.Seq, Hash: r.Hash}
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit_log SELECT s.seq, e.*, $4, s.hash
			FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS s(id, seq, hash) JOIN audit_inbox e USING (id)`, ids, seqs, hashes, keyID)
		if err != nil {
			return fmt.Errorf("insert records: %w", err)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM audit_inbox WHERE id = ANY($1::uuid[])`, ids); err != nil {
			return fmt.Errorf("empty the inbox: %w", err)
		}
		n = len(events)
		return nil
	})
	if err != nil {
		return 0, trail.Head{}, fmt.Errorf("seal the audit log: %w", err)
	}
	return n, head, nil
}

const auditColumns = `id::text, at, actor_kind, actor, client, action, outcome, status, coalesce(job::text, ''), coalesce(grp::text, ''), target,
	members, coalesce(counts::text, ''), purpose, reason, source, route`

// scanRecord reads seq, key_id, hash and auditColumns.
func scanRecord(row pgx.CollectableRow) (trail.Record, error) {
	var r trail.Record
	var counts string
	e := &r.Event
	err := row.Scan(&r.Seq, &r.KeyID, &r.Hash, &e.ID, &e.At, &e.Kind, &e.Actor, &e.Client, &e.Action, &e.Outcome, &e.Status, &e.Job, &e.Group,
		&e.Target, &e.Members, &counts, &e.Purpose, &e.Reason, &e.Source, &e.Route)
	if err != nil {
		return r, err
	}
	e.At = e.At.UTC()
	if counts != "" {
		err = json.Unmarshal([]byte(counts), &e.Counts)
	}
	return r, err
}

// AuditQuery says which records of the audit log to find. Empty fields ask for nothing.
type AuditQuery struct {
	Client, Actor, Action string
	Outcome               trail.Outcome
	Job, Group            string
	// Member is a row id: records that name the member, and those about a Group the member is in.
	Member   *uuid.UUID
	From, To *time.Time // From <= at < To
}

func (q AuditQuery) where() (string, []any) {
	var terms []string
	var args []any
	add := func(term string, arg any) {
		args = append(args, arg)
		terms = append(terms, strings.ReplaceAll(term, "?", fmt.Sprintf("$%d", len(args))))
	}
	for _, f := range []struct{ term, value string }{
		{"client = ?", q.Client},
		{"actor = ?", q.Actor},
		{"action = ?", q.Action},
		{"outcome = ?", string(q.Outcome)},
		{"job = ?::uuid", q.Job},
		{"grp = ?::uuid", q.Group},
	} {
		if f.value != "" {
			add(f.term, f.value)
		}
	}
	if q.Member != nil {
		add("(members @> ARRAY[?::uuid] OR grp IN (SELECT group_id FROM group_members WHERE member_id = ?::uuid)"+
			" OR job IN (SELECT job_id FROM export_rosters WHERE member_id = ?::uuid))", *q.Member)
	}
	if q.From != nil {
		add("at >= ?", *q.From)
	}
	if q.To != nil {
		add("at < ?", *q.To)
	}
	if len(terms) == 0 {
		return "true", nil
	}
	return strings.Join(terms, " AND "), args
}

// Audit returns at most limit records of the audit log from newest to oldest, those before the given number when it is not 0.
func (s *Store) Audit(ctx context.Context, q AuditQuery, before int64, limit int) ([]trail.Record, error) {
	where, args := q.where()
	if before > 0 {
		args = append(args, before)
		where += fmt.Sprintf(" AND seq < $%d", len(args))
	}
	args = append(args, limit)
	return s.records(ctx, fmt.Sprintf("%s ORDER BY seq DESC LIMIT $%d", where, len(args)), args)
}

// auditPage is how many records are read at a time where all are.
const auditPage = 2000

// EachAudit yields records of the audit log from oldest to newest, up to the one that is the newest when it begins.
func (s *Store) EachAudit(ctx context.Context, q AuditQuery, fn func(*trail.Record) error) error {
	var last int64
	if err := s.Pool.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM audit_log`).Scan(&last); err != nil {
		return fmt.Errorf("find the end of the audit log: %w", err)
	}
	where, args := q.where()
	n := len(args)
	page := fmt.Sprintf("%s AND seq > $%d AND seq <= $%d ORDER BY seq LIMIT %d", where, n+1, n+2, auditPage)
	for after := int64(0); ; {
		rows, err := s.records(ctx, page, append(args[:n:n], after, last))
		if err != nil {
			return err
		}
		for i := range rows {
			if err := fn(&rows[i]); err != nil {
				return err
			}
			after = rows[i].Seq
		}
		if len(rows) < auditPage {
			return nil
		}
	}
}

func (s *Store) records(ctx context.Context, where string, args []any) ([]trail.Record, error) {
	rows, err := s.Pool.Query(ctx, `SELECT seq, key_id, hash, `+auditColumns+` FROM audit_log WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("select audit records: %w", err)
	}
	out, err := pgx.CollectRows(rows, scanRecord)
	if err != nil {
		return nil, fmt.Errorf("read audit records: %w", err)
	}
	return out, nil
}

// AuditBacklog says how long the oldest event has been waiting to be sealed, 0 when none has.
func (s *Store) AuditBacklog(ctx context.Context, now time.Time) (time.Duration, error) {
	var oldest *time.Time
	if err := s.Pool.QueryRow(ctx, `SELECT min(at) FROM audit_inbox`).Scan(&oldest); err != nil {
		return 0, fmt.Errorf("look at the audit inbox: %w", err)
	}
	if oldest == nil {
		return 0, nil
	}
	return max(0, now.Sub(*oldest)), nil
}
