package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"pdexbulk/models"
	"pdexbulk/models/trail"
)

// Slice is a run of MemberBundles that one activity matches. Offset and Length are bytes of the stored request.
type Slice struct {
	JobID   string
	Slice   int
	First   int
	Members int
	Offset  int64
	Length  int64
	Done    bool
}

// addSlices stores how a match request is cut up.
func addSlices(ctx context.Context, tx bun.Tx, jobID string, cut []Slice) error {
	for batch := range slices.Chunk(cut, 1000) {
		type row struct {
			bun.BaseModel `bun:"table:match_slices"`
			JobID         string `bun:"type:uuid"`
			Slice         int
			First         int
			Members       int
			ByteOffset    int64
			ByteLength    int64
		}
		rows := make([]row, len(batch))
		for i, sl := range batch {
			rows[i] = row{JobID: jobID, Slice: sl.Slice, First: sl.First, Members: sl.Members, ByteOffset: sl.Offset, ByteLength: sl.Length}
		}
		if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
			return fmt.Errorf("insert slices: %w", err)
		}
	}
	return nil
}

// Slices returns a match's slices in order.
func (s *Store) Slices(ctx context.Context, jobID string) ([]Slice, error) {
	rows, err := s.Pool.Query(ctx, `SELECT slice, first, members, byte_offset, byte_length, done FROM match_slices WHERE job_id = $1 ORDER BY slice`, jobID)
	if err != nil {
		return nil, fmt.Errorf("select slices: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Slice, error) {
		sl := Slice{JobID: jobID}
		err := row.Scan(&sl.Slice, &sl.First, &sl.Members, &sl.Offset, &sl.Length, &sl.Done)
		return sl, err
	})
	if err != nil {
		return nil, fmt.Errorf("read slices: %w", err)
	}
	return out, nil
}

// MatchProgress says how many of a match's members have an outcome.
func (s *Store) MatchProgress(ctx context.Context, jobID string) (done, members int64, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT coalesce(sum(members) FILTER (WHERE done), 0)::bigint, coalesce(sum(members), 0)::bigint
		FROM match_slices WHERE job_id = $1`, jobID).Scan(&done, &members)
	if err != nil {
		return 0, 0, fmt.Errorf("select match progress: %w", err)
	}
	return done, members, nil
}

// Outcome is what became of one submitted member. Reason is for admins and is never disclosed.
type Outcome struct {
	Idx          int32
	Outcome      string // matched, nomatch or constrained
	Reason       string
	Member       *uuid.UUID
	PatientID    string // our Patient id; read only
	Policy       string
	ConsentStart *time.Time
	ConsentEnd   *time.Time
	Grade        string // match.Grade
	Weights      int64  // the version of the matcher's weights
	Explanation  []byte // JSON, nil when there is nothing to explain
	Terms        *Terms // of a match for a provider; written only
}

// The outcomes.
const (
	OutcomeMatched     = "matched"
	OutcomeNoMatch     = "nomatch"
	OutcomeConstrained = "constrained"
)

// SaveOutcomes commits a slice: all its outcomes, the consents that the requester submitted with it, and the mark that it is
// done. A slice that is done stays as it is.
func (s *Store) SaveOutcomes(ctx context.Context, jobID string, slice int, outcomes []Outcome, consents ...Consent) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		client, err := holdJob(ctx, tx, jobID)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE match_slices SET done = true WHERE job_id = $1 AND slice = $2 AND NOT done`, jobID, slice)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"match_outcomes"},
			[]string{"job_id", "idx", "outcome", "reason", "member_id", "policy", "consent_start", "consent_end", "grade", "weights", "explanation"},
			pgx.CopyFromSlice(len(outcomes), func(i int) ([]any, error) {
				o := outcomes[i]
				return []any{uuid.MustParse(jobID), o.Idx, o.Outcome, o.Reason, o.Member, o.Policy, o.ConsentStart, o.ConsentEnd, o.Grade, o.Weights, o.Explanation}, nil
			}))
		if err != nil {
			return err
		}
		if err := saveTerms(ctx, tx, jobID, outcomes); err != nil {
			return err
		}
		if err := saveConsents(ctx, tx, consents); err != nil {
			return err
		}
		return auditOutcomes(ctx, tx, jobID, client, outcomes)
	})
	if err != nil {
		return fmt.Errorf("save outcomes: %w", err)
	}
	return nil
}

// auditOutcomes writes to the audit log what a slice has found: an event for each outcome, with the members.
func auditOutcomes(ctx context.Context, tx pgx.Tx, jobID, client string, outcomes []Outcome) error {
	var events []trail.Event
	for _, outcome := range []string{OutcomeMatched, OutcomeConstrained, OutcomeNoMatch} {
		e := trail.System(time.Now(), client, "match-"+outcome, trail.Success)
		e.Job = jobID
		n := int64(0)
		for _, o := range outcomes {
			if o.Outcome != outcome {
				continue
			}
			n++
			if o.Member != nil {
				e.Members = append(e.Members, *o.Member)
			}
		}
		if e.Counts = (trail.Counts{"members": n}); n > 0 {
			events = append(events, e)
		}
	}
	if len(events) == 0 {
		return nil
	}
	text, err := json.Marshal(events)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertAudit+`$1::json)`, string(text))
	return err
}

// FailedMatches counts the people of a client's finished matches, begun since the given moment, who were not matched, and says
// when the first of these matches began.
func (s *Store) FailedMatches(ctx context.Context, clientID string, since time.Time) (n int64, oldest time.Time, err error) {
	var first *time.Time
	err = s.Pool.QueryRow(ctx, `SELECT coalesce(sum((accounting->>'unmatched')::bigint), 0)::bigint, min(created_at) FROM jobs
		WHERE client_id = $1 AND id > $2 AND operation LIKE '%-member-match' AND accounting->>'unmatched' IS NOT NULL`,
		clientID, firstID(since)).Scan(&n, &first)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count failed matches: %w", err)
	}
	if first != nil {
		oldest = *first
	}
	return n, oldest, nil
}

// firstID is before all ids (models.NewID) made at the given moment and later, and behind those made before: with it the index
// over ids finds what is new.
func firstID(at time.Time) uuid.UUID {
	var id uuid.UUID
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// Outcomes streams the outcomes of a match in request order, from the given index on.
func (s *Store) Outcomes(ctx context.Context, jobID string, from int, limit int, fn func(Outcome) error) error {
	rows, err := s.Pool.Query(ctx, `SELECT o.idx, o.outcome, o.reason, o.member_id, coalesce(m.patient_id, ''), o.policy, o.consent_start, o.consent_end
		FROM match_outcomes o LEFT JOIN members m ON m.id = o.member_id WHERE o.job_id = $1 AND o.idx >= $2 ORDER BY o.idx LIMIT $3`, jobID, from, limit)
	if err != nil {
		return fmt.Errorf("select outcomes: %w", err)
	}
	var o Outcome
	_, err = pgx.ForEachRow(rows, []any{&o.Idx, &o.Outcome, &o.Reason, &o.Member, &o.PatientID, &o.Policy, &o.ConsentStart, &o.ConsentEnd}, func() error {
		return fn(o)
	})
	if err != nil {
		return fmt.Errorf("read outcomes: %w", err)
	}
	return nil
}

// Outcome returns one outcome of a match with its explanation. The error is KindNotFound when the match has none of the index.
func (s *Store) Outcome(ctx context.Context, jobID string, idx int) (*Outcome, error) {
	o := &Outcome{}
	err := s.Pool.QueryRow(ctx, `SELECT o.idx, o.outcome, o.reason, o.member_id, coalesce(m.patient_id, ''), o.policy, o.consent_start, o.consent_end,
		o.grade, o.weights, o.explanation
		FROM match_outcomes o LEFT JOIN members m ON m.id = o.member_id WHERE o.job_id = $1 AND o.idx = $2`, jobID, idx).
		Scan(&o.Idx, &o.Outcome, &o.Reason, &o.Member, &o.PatientID, &o.Policy, &o.ConsentStart, &o.ConsentEnd, &o.Grade, &o.Weights, &o.Explanation)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "the match has no outcome of this index")
	}
	if err != nil {
		return nil, fmt.Errorf("select an outcome: %w", err)
	}
	return o, nil
}

// CountOutcomes says how many members of a match had each outcome.
func (s *Store) CountOutcomes(ctx context.Context, jobID string) (models.Accounting, error) {
	var acc models.Accounting
	err := s.Pool.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE outcome = 'matched'), count(*) FILTER (WHERE outcome = 'nomatch'),
		count(*) FILTER (WHERE outcome = 'constrained') FROM match_outcomes WHERE job_id = $1`, jobID).
		Scan(&acc.Members, &acc.Matched, &acc.Unmatched, &acc.Constrained)
	if err != nil {
		return acc, fmt.Errorf("count outcomes: %w", err)
	}
	return acc, nil
}

// Group is a Group a client may read and export. Its FHIR form is in the blob store, its members in group_members.
type Group struct {
	ID        string    `bun:",pk,type:uuid"`
	ClientID  string    `bun:",notnull"`
	JobID     string    `bun:",notnull,type:uuid"`
	Profile   string    `bun:",notnull"`
	BlobKey   string    `bun:",notnull"`
	Members   int64     `bun:",notnull"`
	CreatedAt time.Time `bun:",notnull"`
	ExpiresAt *time.Time
	// Organizations identify the client it was made for, "system|value".
	Organizations []string `bun:",array,nullzero,notnull,default:'{}'"`
	Asker         *Asker   `bun:"-"` // of a Group made for a provider; written only
}

// AddMatchedGroup stores a Group and takes its members from the match's outcomes. A member matched more than once is in it
// once, under the narrowest consent: #regular before #sensitive, and the period both consents cover.
func AddMatchedGroup(ctx context.Context, tx bun.IDB, g *Group) error {
	if _, err := tx.NewInsert().Model(g).Exec(ctx); err != nil {
		return fmt.Errorf("insert group: %w", err)
	}
	_, err := tx.NewRaw(`INSERT INTO group_members (group_id, member_id, policy, consent_start, consent_end)
		SELECT ?, member_id, min(policy), max(consent_start), min(consent_end) FROM match_outcomes
		WHERE job_id = ? AND outcome = 'matched' GROUP BY member_id`, g.ID, g.JobID).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert group members: %w", err)
	}
	return addTerms(ctx, tx, g)
}

// OwnGroup returns a client's Group. Another client's is KindNotFound like one that never was.
func (s *Store) OwnGroup(ctx context.Context, clientID, id string) (*Group, error) {
	g := new(Group)
	err := s.DB.NewSelect().Model(g).Where("id::text || client_id = ?", id+clientID).Scan(ctx)
	if noRows(err) || err == nil && g.ID != id { // the border between the two has moved
		return nil, models.Errorf(models.KindNotFound, "no Group has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("select group: %w", err)
	}
	return g, nil
}
