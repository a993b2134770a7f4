package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"pdexbulk/models"
	"pdexbulk/models/segment"
	"pdexbulk/models/trail"
)

// CreateJob records an accepted job, or returns the one the same request already made: the client's job with the same
// idempotency key, else its unfinished job with the same digest. created tells which.
//
// limit bounds the client's unfinished jobs of one operation (0 means no bound): over it, KindThrottled. An idempotency
// key that was used for another request is KindConflict.
func (s *Store) CreateJob(ctx context.Context, job *models.Job, limit int) (out *models.Job, created bool, err error) {
	return s.createJob(ctx, job, limit, nil)
}

// CreateMatch is CreateJob for a match request with its slices: either all of it is there afterwards or nothing.
func (s *Store) CreateMatch(ctx context.Context, job *models.Job, slices []Slice, limit int) (out *models.Job, created bool, err error) {
	return s.createJob(ctx, job, limit, func(ctx context.Context, tx bun.Tx) error { return addSlices(ctx, tx, job.ID, slices) })
}

// abandoned is how long a job that was accepted and never started counts among its client's open ones: a request that
// broke off before its run began must not cost the client its place for good.
const abandoned = time.Hour

func (s *Store) createJob(ctx context.Context, job *models.Job, limit int, also func(context.Context, bun.Tx) error) (out *models.Job, created bool, err error) {
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(?, 7))`, job.ClientID); err != nil {
			return fmt.Errorf("lock the client's jobs: %w", err)
		}
		twin, err := twinJob(ctx, tx, job)
		if err != nil {
			return err
		}
		if twin != nil {
			out = twin
			return nil
		}
		if limit > 0 {
			open, err := tx.NewSelect().Model((*models.Job)(nil)).Where("client_id = ?", job.ClientID).
				Where("operation = ?", job.Operation).
				Where("(state = 'running' OR state = 'accepted' AND created_at > ?)", job.CreatedAt.Add(-abandoned)).Count(ctx)
			if err != nil {
				return fmt.Errorf("count open jobs: %w", err)
			}
			if open >= int64(limit) {
				return models.Errorf(models.KindThrottled, "this client already runs %d jobs of this kind, as many as it may; wait for one to finish or cancel it", open).Wait(30)
			}
		}
		if _, err := tx.NewInsert().Model(job).Exec(ctx); err != nil {
			return fmt.Errorf("insert job: %w", err)
		}
		if also != nil {
			if err := also(ctx, tx); err != nil {
				return err
			}
		}
		if err := addAudit(ctx, tx, kickedOff(ctx, job)); err != nil {
			return err
		}
		out, created = job, true
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	trail.Of(ctx).Written = created
	return out, created, nil
}

// subject is what of a job's parameters an audit event tells: ExportParams and MatchParams alike.
type subject struct {
	GroupID  string   `json:"groupId"`
	Types    []int16  `json:"types"`
	Patients []string `json:"patients"`
	Members  int64    `json:"members"`
}

func subjectOf(params json.RawMessage) subject {
	var s subject
	if err := json.Unmarshal(params, &s); err != nil || !models.ValidID(s.GroupID) {
		s.GroupID = ""
	}
	return s
}

// kickedOff is the audit event of an accepted job.
func kickedOff(ctx context.Context, job *models.Job) trail.Event {
	e := requested(ctx, job.CreatedAt, job.ClientID, string(job.Operation), trail.Success)
	about := subjectOf(job.Params)
	e.Job, e.Group, e.Status = job.ID, about.GroupID, acceptedStatus
	e.Counts = trail.Counts{}
	for name, n := range map[string]int64{"types": int64(len(about.Types)), "patients": int64(len(about.Patients)), "members": about.Members} {
		if n > 0 {
			e.Counts[name] = n
		}
	}
	for _, patient := range about.Patients {
		if patient == "" { // not a reference to a Patient
			continue
		}
		e.Members = append(e.Members, models.MemberID(patient))
	}
	return e
}

// acceptedStatus is what a kick-off is answered with (HTTP 202).
const acceptedStatus = 202

func twinJob(ctx context.Context, tx bun.Tx, job *models.Job) (*models.Job, error) {
	twin := new(models.Job)
	q := tx.NewSelect().Model(twin).Where("client_id = ?", job.ClientID).Where("deleted_at IS NULL").Limit(1)
	if job.IdempotencyKey != "" {
		q = q.Where("idempotency_key = ?", job.IdempotencyKey)
	} else {
		q = q.Where("operation = ?", job.Operation).Where("request_digest = ?", job.RequestDigest).
			Where("state IN ('accepted', 'running')").Order("id")
	}
	err := q.Scan(ctx)
	if noRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the same request: %w", err)
	}
	if !bytes.Equal(twin.RequestDigest, job.RequestDigest) {
		return nil, models.Errorf(models.KindConflict, "this key was used for another request; choose a new one").At("Idempotency-Key")
	}
	return twin, nil
}

// Job returns a job. KindNotFound when there is none, or when it was deleted.
func (s *Store) Job(ctx context.Context, id string) (*models.Job, error) {
	job, err := s.AnyJob(ctx, id)
	if err == nil && job.DeletedAt != nil {
		return nil, errNoJob()
	}
	return job, err
}

func errNoJob() error { return models.Errorf(models.KindNotFound, "no job has this id") }

// AnyJob is Job for operators: those that were deleted are found too.
func (s *Store) AnyJob(ctx context.Context, id string) (*models.Job, error) {
	job := new(models.Job)
	err := s.DB.NewSelect().Model(job).Where("id = ?", id).Scan(ctx)
	if noRows(err) {
		return nil, errNoJob()
	}
	if err != nil {
		return nil, fmt.Errorf("select job: %w", err)
	}
	return job, nil
}

// OwnJob is Job for a client. Somebody else's is not found, and looking for it takes as long as looking for one that never was: the index
// jobs_own has no such entry in either case.
func (s *Store) OwnJob(ctx context.Context, clientID, id string) (*models.Job, error) {
	job := new(models.Job)
	err := s.DB.NewSelect().Model(job).Where("id::text || client_id = ?", id+clientID).Where("deleted_at IS NULL").Scan(ctx)
	if noRows(err) || err == nil && job.ID != id { // the border between the two has moved
		return nil, errNoJob()
	}
	if err != nil {
		return nil, fmt.Errorf("select job: %w", err)
	}
	return job, nil
}

// StartJob moves an accepted job to running and gives it its transactionTime. Calling it again changes nothing. A job
// that was deleted is KindNotFound.
func (s *Store) StartJob(ctx context.Context, id string, stage string, now time.Time) (*models.Job, error) {
	job := new(models.Job)
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := tx.NewSelect().Model(job).Where("id = ?", id).Where("deleted_at IS NULL").For("UPDATE").Scan(ctx)
		if err != nil || job.State != models.StateAccepted {
			return err
		}
		at, err := snapshotTime(ctx, tx, now)
		if err != nil {
			return err
		}
		job.State, job.Stage, job.TransactionTime = models.StateRunning, stage, &at
		_, err = tx.NewUpdate().Model(job).Column("state", "stage", "transaction_time").WherePK().Exec(ctx)
		return err
	})
	if noRows(err) {
		return nil, errNoJob()
	}
	if err != nil {
		return nil, fmt.Errorf("start job: %w", err)
	}
	return job, nil
}

// CompleteJob publishes a job's files and closes it, all at once. A job that has ended, or was deleted, stays as it is and
// false comes back.
func (s *Store) CompleteJob(ctx context.Context, id string, files []models.JobFile, acc models.Accounting, now, expires time.Time, also func(context.Context, bun.Tx) error) (bool, error) {
	done := false
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		job := new(models.Job)
		err := tx.NewUpdate().Model(job).
			Set("state = ?", models.StateCompleted).Set("stage = ?", "done").Set("accounting = ?", acc).
			Set("finished_at = ?", millis(now)).Set("expires_at = ?", millis(expires)).
			Where("id = ?", id).Where("state = 'running'").Where("deleted_at IS NULL").Returning("client_id, params").Scan(ctx)
		if noRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		done = true
		if err := addAudit(ctx, tx, ended(id, job, acc, len(files), trail.Success, now)); err != nil {
			return err
		}
		if len(files) > 0 {
			if _, err := tx.NewInsert().Model(&files).Exec(ctx); err != nil {
				return err
			}
		}
		if also == nil {
			return nil
		}
		return also(ctx, tx)
	})
	if err != nil {
		return false, fmt.Errorf("complete job: %w", err)
	}
	return done, nil
}

// ended is the audit event of a job that has come to its end.
func ended(id string, job *models.Job, acc models.Accounting, files int, outcome trail.Outcome, now time.Time) trail.Event {
	e := trail.System(now, job.ClientID, "end-job", outcome)
	e.Job, e.Group, e.Counts = id, subjectOf(job.Params).GroupID, trail.Counts{"files": int64(files)}
	if text, err := json.Marshal(acc); err == nil {
		_ = json.Unmarshal(text, &e.Counts) // numbers by name
	}
	return e
}

// FailJob closes a job that could not be done. reason is for the client and must not tell of a member.
func (s *Store) FailJob(ctx context.Context, id string, state models.State, reason string, now time.Time) error {
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		job := new(models.Job)
		err := tx.NewUpdate().Model(job).Set("state = ?", state).Set("error = ?", reason).
			Set("finished_at = ?", millis(now)).Where("id = ?", id).Where("state IN ('accepted', 'running')").
			Returning("client_id, params").Scan(ctx)
		if noRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return addAudit(ctx, tx, ended(id, job, models.Accounting{}, 0, trail.Failed, now))
	})
	if err != nil {
		return fmt.Errorf("fail job: %w", err)
	}
	return nil
}

// DeleteJob hides a job from its client for good; an unfinished one becomes cancelled. Its idempotency key is free again.
func (s *Store) DeleteJob(ctx context.Context, id string, now time.Time) error {
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		job := new(models.Job)
		err := tx.NewUpdate().Model(job).Set("deleted_at = ?", millis(now)).
			Set("state = CASE WHEN state IN ('accepted', 'running') THEN 'cancelled' ELSE state END").
			Set("finished_at = coalesce(finished_at, ?)", millis(now)).Set("idempotency_key = ''").
			Where("id = ?", id).Where("deleted_at IS NULL").Returning("client_id, params").Scan(ctx)
		if noRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		e := requested(ctx, now, job.ClientID, "delete-job", trail.Success)
		e.Job, e.Group, e.Status = id, subjectOf(job.Params).GroupID, acceptedStatus
		return addAudit(ctx, tx, e)
	})
	if err != nil {
		return fmt.Errorf("delete job: %w", err)
	}
	trail.Of(ctx).Written = true
	return nil
}

// holdJob keeps a job from being purged until the transaction ends, and returns its client, "" when there is no such job. Whoever changes
// what leads to a job's files, and then adds rows that refer to the job, calls it first: PurgeJob locks the job and then the rows, and
// two that lock in different orders wait for each other.
func holdJob(ctx context.Context, tx pgx.Tx, id string) (client string, err error) {
	err = tx.QueryRow(ctx, `SELECT client_id FROM jobs WHERE id = $1 FOR KEY SHARE`, id).Scan(&client)
	if err != nil && !noRows(err) {
		return "", fmt.Errorf("hold the job: %w", err)
	}
	return client, nil
}

// PurgeJob drops the rows that lead to a job's files. The job itself stays, for the record. While a download holds the files, or the job
// is open, nothing happens and false comes back, unless the job was deleted.
func (s *Store) PurgeJob(ctx context.Context, id string, now time.Time) (bool, error) {
	purged := false
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		held := false
		err := tx.NewRaw(`SELECT deleted_at IS NULL AND (state IN ('accepted', 'running')
				OR EXISTS (SELECT FROM downloads d WHERE d.job_id = j.id AND d.until > ?))
			FROM jobs j WHERE id = ? FOR UPDATE`, now, id).Scan(ctx, &held)
		if err != nil && !noRows(err) || held {
			return err
		}
		purged = true
		// An attempt that was publishing held the job, so all its rows are there to be seen; a later one finds no chunk or slice.
		for _, table := range []string{"job_files", "export_files", "export_refs", "export_attachments", "export_chunks", "export_parts", "export_withheld", "match_slices", "downloads"} {
			if _, err := tx.NewDelete().Table(table).Where("job_id = ?", id).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("purge job: %w", err)
	}
	return purged, nil
}

// Files returns the files of a finished job in manifest order.
func (s *Store) Files(ctx context.Context, jobID string) ([]models.JobFile, error) {
	var rows []models.JobFile
	if err := s.DB.NewSelect().Model(&rows).Where("job_id = ?", jobID).Order("file").Scan(ctx); err != nil {
		return nil, fmt.Errorf("select files: %w", err)
	}
	return rows, nil
}

// File returns one file of a job and the stretches of blobs it is made of, in order. KindNotFound when there is none.
func (s *Store) File(ctx context.Context, jobID string, file int) (*models.JobFile, []models.FilePart, error) {
	row := new(models.JobFile)
	err := s.DB.NewSelect().Model(row).Where("job_id = ?", jobID).Where("file = ?", file).Scan(ctx)
	if noRows(err) {
		return nil, nil, models.Errorf(models.KindNotFound, "no file has this address")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("select file: %w", err)
	}
	if row.BlobKey != "" {
		whole := models.FilePart{BlobKey: row.BlobKey, Packed: row.PackedLen, Raw: row.RawLen, Lines: row.Lines, CRC: uint32(row.CRC)}
		if row.Format == models.FormatGzip {
			whole.Offset = segment.HeaderLen
		}
		return row, []models.FilePart{whole}, nil
	}
	parts, err := s.fileParts(ctx, row)
	return row, parts, err
}
