package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Load is what one member (or shard of shared resources) would bring to an export.
type Load struct {
	Member uuid.UUID
	Lines  int64
	Packed int64
}

// Loads streams, in member order, every member an export at snapshot `at` covers with the size of its segments of the
// given types (none means all), each resource counted once. With a group it is that group's members, whether or not anything is held of them; without
// one, every member whose Patient is held. only, unless nil, leaves out everybody else. frozen, unless "", is the job whose roster
// stands for the group's members.
func (s *Store) Loads(ctx context.Context, groupID, frozen string, types []int16, only []uuid.UUID, at time.Time, fn func(Load) error) error {
	sql := `SELECT member_id, coalesce(sum(lines) FILTER (WHERE $2::smallint[] IS NULL OR type = ANY($2)), 0)::bigint,
		       coalesce(sum(packed_len) FILTER (WHERE $2::smallint[] IS NULL OR type = ANY($2)), 0)::bigint
		FROM segments WHERE valid_from <= $1 AND valid_to > $1 AND member_id < $3 AND ($5::uuid[] IS NULL OR member_id = ANY($5)) AND class & $6 = 0
		GROUP BY member_id HAVING bool_or(type = $4) ORDER BY member_id`
	patient, _ := fhir.TypeCode("Patient")
	args := []any{at, nullable(types), models.FirstShared, patient, only, int16(models.ClassViews)}
	if groupID != "" {
		sql = `SELECT g.member_id, coalesce(sum(s.lines), 0)::bigint, coalesce(sum(s.packed_len), 0)::bigint
			FROM group_members g LEFT JOIN segments s ON s.member_id = g.member_id AND s.valid_from <= $1 AND s.valid_to > $1
			     AND ($2::smallint[] IS NULL OR s.type = ANY($2)) AND s.class & $5 = 0
			WHERE g.group_id = $3 AND ($4::uuid[] IS NULL OR g.member_id = ANY($4)) GROUP BY g.member_id ORDER BY g.member_id`
		args = []any{at, nullable(types), groupID, only, int16(models.ClassViews)}
	}
	if frozen != "" {
		sql = strings.NewReplacer("group_members g", "export_rosters g", "g.group_id", "g.job_id").Replace(sql)
		args[2] = frozen
	}
	return s.eachLoad(ctx, sql, args, fn)
}

// SharedLoads streams the shards of resources that belong to no patient, as Loads does members.
func (s *Store) SharedLoads(ctx context.Context, types []int16, at time.Time, fn func(Load) error) error {
	return s.eachLoad(ctx, `SELECT member_id, sum(lines)::bigint, sum(packed_len)::bigint FROM segments
		WHERE valid_from <= $1 AND valid_to > $1 AND ($2::smallint[] IS NULL OR type = ANY($2))
		  AND member_id >= $3 AND member_id < $4 AND class & $5 = 0
		GROUP BY member_id ORDER BY member_id`,
		[]any{at, nullable(types), models.FirstShared, models.FirstUnattributed, int16(models.ClassViews)}, fn)
}

func (s *Store) eachLoad(ctx context.Context, sql string, args []any, fn func(Load) error) error {
	rows, err := s.Pool.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	var l Load
	_, err = pgx.ForEachRow(rows, []any{&l.Member, &l.Lines, &l.Packed}, func() error { return fn(l) })
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return nil
}

func nullable(types []int16) any {
	if len(types) == 0 {
		return nil
	}
	return types
}

// Chunk is a range of members exported in one go.
type Chunk struct {
	JobID   string    `bun:",pk,type:uuid"`
	Chunk   int       `bun:",pk"`
	Lo      uuid.UUID `bun:",notnull"`
	Hi      uuid.UUID `bun:",notnull"`
	Members int       `bun:",notnull"` // 0 for a range of shared resources
	Planned int64     `bun:",notnull"`
	Done    bool      `bun:"-"`
}

// SavePlan stores a job's chunks. A plan that is there already stays. KindConflict when the job is not running.
func (s *Store) SavePlan(ctx context.Context, jobID string, plan []Chunk) error {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM export_chunks WHERE job_id = $1) FROM jobs WHERE id = $1 AND state = 'running' FOR NO KEY UPDATE`,
			jobID).Scan(&there)
		if noRows(err) {
			return models.Errorf(models.KindConflict, "the job has ended")
		}
		if err != nil || there {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"export_chunks"}, []string{"job_id", "chunk", "lo", "hi", "members", "planned"},
			pgx.CopyFromSlice(len(plan), func(i int) ([]any, error) {
				c := plan[i]
				return []any{uuid.MustParse(jobID), c.Chunk, c.Lo, c.Hi, c.Members, c.Planned}, nil
			}))
		return err
	})
	if err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	return nil
}

// PlannedChunks returns a job's chunks in order.
func (s *Store) PlannedChunks(ctx context.Context, jobID string) ([]Chunk, error) {
	rows, err := s.Pool.Query(ctx, `SELECT chunk, lo, hi, members, planned, attempt IS NOT NULL FROM export_chunks WHERE job_id = $1 ORDER BY chunk`, jobID)
	if err != nil {
		return nil, fmt.Errorf("select chunks: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Chunk, error) {
		c := Chunk{JobID: jobID}
		err := row.Scan(&c.Chunk, &c.Lo, &c.Hi, &c.Members, &c.Planned, &c.Done)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read chunks: %w", err)
	}
	return out, nil
}

// PlannedChunk returns one chunk of a job.
func (s *Store) PlannedChunk(ctx context.Context, jobID string, chunk int) (Chunk, error) {
	c := Chunk{JobID: jobID, Chunk: chunk}
	err := s.Pool.QueryRow(ctx, `SELECT lo, hi, members, planned, attempt IS NOT NULL FROM export_chunks WHERE job_id = $1 AND chunk = $2`, jobID, chunk).
		Scan(&c.Lo, &c.Hi, &c.Members, &c.Planned, &c.Done)
	if noRows(err) {
		return c, models.Errorf(models.KindNotFound, "the job has no such chunk")
	}
	if err != nil {
		return c, fmt.Errorf("select chunk: %w", err)
	}
	return c, nil
}

// Progress says how many of a job's planned resources have been dealt with.
func (s *Store) Progress(ctx context.Context, jobID string) (done, planned int64, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT coalesce(sum(planned) FILTER (WHERE attempt IS NOT NULL), 0)::bigint, coalesce(sum(planned), 0)::bigint
		FROM export_chunks WHERE job_id = $1`, jobID).Scan(&done, &planned)
	if err != nil {
		return 0, 0, fmt.Errorf("select progress: %w", err)
	}
	return done, planned, nil
}
