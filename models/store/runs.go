package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"pdexbulk/models"
)

// JobFilter narrows a list of jobs. Empty fields ask for nothing.
type JobFilter struct {
	Client    string
	Operation models.Operation
	State     models.State
	Paused    *bool      // whether an administrator holds the run back
	From, To  *time.Time // of CreatedAt: not before, before
	Before    string     // continues after the job of that id
}

// Jobs lists the jobs that a filter finds from newest to oldest, at most limit of them. Deleted ones are among them.
func (s *Store) Jobs(ctx context.Context, f JobFilter, limit int) ([]models.Job, error) {
	var rows []models.Job
	q := s.DB.NewSelect().Model(&rows).OrderBy("id", bun.OrderDesc).Limit(int64(limit))
	if f.Client != "" {
		q = q.Where("client_id = ?", f.Client)
	}
	if f.Operation != "" {
		q = q.Where("operation = ?", f.Operation)
	}
	if f.State != "" {
		q = q.Where("state = ?", f.State)
	}
	if f.Paused != nil {
		q = q.Where("(paused_at IS NOT NULL AND state IN ('accepted', 'running')) = ?", *f.Paused)
	}
	// Ids are made at about the time of created_at, which has no index.
	if f.From != nil {
		q = q.Where("created_at >= ?", *f.From).Where("id >= ?", firstID(f.From.Add(-lateness)))
	}
	if f.To != nil {
		q = q.Where("created_at < ?", *f.To).Where("id < ?", firstID(f.To.Add(lateness)))
	}
	if f.Before != "" {
		q = q.Where("id < ?", f.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("select jobs: %w", err)
	}
	return rows, nil
}

// HoldJob notes that the run of a job is to be held back, or to go on. A run reads it when it is told to look. Doing it again changes
// nothing. KindConflict when the job has ended.
func (s *Store) HoldJob(ctx context.Context, id string, held bool, now time.Time) (*models.Job, error) {
	job := new(models.Job)
	err := s.DB.NewUpdate().Model(job).Set("paused_at = CASE WHEN ? THEN coalesce(paused_at, ?) END", held, millis(now)).
		Where("id = ?", id).Where("deleted_at IS NULL").Where("state IN ('accepted', 'running')").Returning("*").Scan(ctx)
	if noRows(err) {
		if job, err = s.AnyJob(ctx, id); err == nil {
			err = models.Errorf(models.KindConflict, "the job has ended: it is %s", job.State)
		}
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("hold a job: %w", err)
	}
	return job, nil
}

// RetryJob opens a failed export again, for a run that does what is not done. Chunks that are published stay, and with them the snapshot
// they were read in; where none is planned, or all were purged, the export begins anew. KindConflict when the job is no failed
// export, or was deleted.
func (s *Store) RetryJob(ctx context.Context, id string) (*models.Job, error) {
	job := new(models.Job)
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// The purge locks the job too: either it finds the job open, or this finds no chunks.
		err := tx.NewSelect().Model(job).Where("id = ?", id).For("UPDATE").Scan(ctx)
		switch {
		case noRows(err):
			return errNoJob()
		case err != nil:
			return err
		case job.DeletedAt != nil:
			return models.Errorf(models.KindConflict, "the client of the job has deleted it")
		case job.Operation.IsMatch():
			return models.Errorf(models.KindConflict, "what a match was asked for is gone when it ends; the client has to ask again")
		case job.State != models.StateFailed:
			return models.Errorf(models.KindConflict, "the job has not failed: it is %s", job.State)
		}
		var planned bool
		if err := tx.NewRaw(`SELECT EXISTS (SELECT FROM export_chunks WHERE job_id = ?)`, id).Scan(ctx, &planned); err != nil {
			return err
		}
		job.State, job.Error, job.FinishedAt, job.PausedAt = models.StateRunning, "", nil, nil
		job.Retries++
		if !planned {
			job.State, job.TransactionTime = models.StateAccepted, nil
			if _, err := tx.NewDelete().Table("export_rosters").Where("job_id = ?", id).Exec(ctx); err != nil {
				return err
			}
		}
		_, err = tx.NewUpdate().Model(job).Column("state", "error", "finished_at", "paused_at", "retries", "transaction_time").WherePK().Exec(ctx)
		return err
	})
	if models.KindOf(err) == models.KindNotFound || models.KindOf(err) == models.KindConflict {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("retry a job: %w", err)
	}
	return job, nil
}

// Plan is how an export was cut up, and how far it is.
type Plan struct {
	Chunks, ChunksDone       int
	Resources, ResourcesDone int64
	Accounting               models.Accounting // of the chunks that are done
}

// ExportPlan returns the plan of an export. It is empty before the export is planned and after what it wrote was purged.
func (s *Store) ExportPlan(ctx context.Context, jobID string) (p Plan, err error) {
	acc, open, err := s.ChunkAccounting(ctx, jobID)
	if err != nil {
		return p, err
	}
	p.Accounting = acc
	err = s.Pool.QueryRow(ctx, `SELECT count(*), coalesce(sum(planned) FILTER (WHERE attempt IS NOT NULL), 0)::bigint, coalesce(sum(planned), 0)::bigint
		FROM export_chunks WHERE job_id = $1`, jobID).Scan(&p.Chunks, &p.ResourcesDone, &p.Resources)
	if err != nil {
		return p, fmt.Errorf("select a plan: %w", err)
	}
	p.ChunksDone = max(0, p.Chunks-open)
	return p, nil
}

// Step is one chunk of an export, with what it came to once it is done.
type Step struct {
	Chunk      int
	Members    int
	Planned    int64
	Done       bool
	Accounting models.Accounting
}

// Steps returns the chunks of an export in order, those behind the given one (-1 for all), at most limit of them.
func (s *Store) Steps(ctx context.Context, jobID string, after, limit int) ([]Step, error) {
	rows, err := s.Pool.Query(ctx, `SELECT chunk, members, planned, attempt IS NOT NULL, accounting FROM export_chunks
		WHERE job_id = $1 AND chunk > $2 ORDER BY chunk LIMIT $3`, jobID, after, limit)
	if err != nil {
		return nil, fmt.Errorf("select chunks: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Step])
	if err != nil {
		return nil, fmt.Errorf("read chunks: %w", err)
	}
	return out, nil
}

// FileTotals are the sums over the files of a job. RawBytes are of the lines as they are, PackedBytes of what is stored.
type FileTotals struct {
	Files, Lines, RawBytes, PackedBytes int64
}

// notDeleted holds for the rows of a job that its client has not deleted. Of one that was, nothing is to be had, even before its files
// are purged.
const notDeleted = `EXISTS (SELECT FROM jobs j WHERE j.id = job_id AND j.deleted_at IS NULL)`

// CountFiles adds up the files of a job's manifest. A job that was deleted has none.
func (s *Store) CountFiles(ctx context.Context, jobID string) (t FileTotals, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT count(*), coalesce(sum(lines) FILTER (WHERE kind = 'output'), 0)::bigint, coalesce(sum(raw_len), 0)::bigint,
		coalesce(sum(packed_len), 0)::bigint FROM job_files WHERE job_id = $1 AND `+notDeleted, jobID).Scan(&t.Files, &t.Lines, &t.RawBytes, &t.PackedBytes)
	if err != nil {
		return t, fmt.Errorf("count files: %w", err)
	}
	return t, nil
}

// FilesAfter returns the files of a job's manifest in order, those behind the given one (-1 for all), at most limit of them. A job
// that was deleted has none.
func (s *Store) FilesAfter(ctx context.Context, jobID string, after, limit int) ([]models.JobFile, error) {
	var rows []models.JobFile
	err := s.DB.NewSelect().Model(&rows).Where("job_id = ?", jobID).Where("file > ?", after).Where(notDeleted).Order("file").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("select files: %w", err)
	}
	return rows, nil
}

// WithheldMembers counts the members of whom an export's chunks have kept back more than their Group's row says: all, and else what is
// sensitive.
func (s *Store) WithheldMembers(ctx context.Context, jobID string) (whole, sensitive int64, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE whole), count(*) FILTER (WHERE NOT whole) FROM export_withheld WHERE job_id = $1`, jobID).
		Scan(&whole, &sensitive)
	if err != nil {
		return 0, 0, fmt.Errorf("count who is withheld: %w", err)
	}
	return whole, sensitive, nil
}
