package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

func TestCreateJob(t *testing.T) {
	t.Parallel()
	s := open(t)
	create := func(job *models.Job, limit int) (*models.Job, bool, error) {
		return s.CreateJob(t.Context(), job, limit)
	}
	with := func(client, key, digest string) *models.Job {
		j := newJob(client)
		j.IdempotencyKey, j.RequestDigest = key, []byte(digest)
		return j
	}
	first, created, err := create(with("a", "k", "d"), 0)
	require.NoError(t, err)
	require.True(t, created)

	twin, created, err := create(with("a", "k", "d"), 1)
	require.NoError(t, err)
	require.False(t, created, "the same key and request, over no limit")
	require.Equal(t, first.ID, twin.ID)
	_, _, err = create(with("a", "k", "other"), 0)
	require.Equal(t, models.KindConflict, models.KindOf(err), "the same key for another request")
	twin, created, err = create(with("a", "", "d"), 0)
	require.NoError(t, err)
	require.False(t, created, "the same request while it runs")
	require.Equal(t, first.ID, twin.ID)
	_, created, err = create(with("b", "k", "other"), 0)
	require.NoError(t, err)
	require.True(t, created, "another client's keys are its own")

	_, _, err = create(with("a", "", "e"), 1)
	require.Equal(t, models.KindThrottled, models.KindOf(err))
	other := with("a", "", "e")
	other.Operation = models.OpBulkMemberMatch
	_, created, err = create(other, 1)
	require.NoError(t, err)
	require.True(t, created, "the limit is for each operation")

	require.NoError(t, s.FailJob(t.Context(), first.ID, models.StateFailed, "x", noon))
	twin, created, err = create(with("a", "k", "d"), 0)
	require.NoError(t, err)
	require.False(t, created, "a key stands for its job also when that has ended")
	require.Equal(t, models.StateFailed, twin.State)
	again, created, err := create(with("a", "", "d"), 1)
	require.NoError(t, err)
	require.True(t, created, "a request without key may be made anew then")
	require.NoError(t, s.DeleteJob(t.Context(), first.ID, noon))
	_, created, err = create(with("a", "k", "other"), 2)
	require.NoError(t, err)
	require.True(t, created, "the key of a deleted job is free")
	require.NoError(t, s.DeleteJob(t.Context(), again.ID, noon))
	_, err = s.Job(t.Context(), again.ID)
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	require.Equal(t, 1, count(t, s, "jobs WHERE id = $1 AND state = 'cancelled'", again.ID))
}

func TestCreateJobRace(t *testing.T) {
	t.Parallel()
	s := open(t)
	var created, throttled atomic.Int64
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			j := newJob("a")
			j.RequestDigest = fmt.Appendf(nil, "%d", i%8) // each request three times
			_, fresh, err := s.CreateJob(t.Context(), j, 5)
			switch {
			case models.KindOf(err) == models.KindThrottled:
				throttled.Add(1)
			case err != nil:
				t.Error(err)
			case fresh:
				created.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 5, created.Load())
	require.EqualValues(t, 9, throttled.Load())
	require.Equal(t, 5, count(t, s, "jobs"))
}

func TestJobEnds(t *testing.T) {
	t.Parallel()
	s := open(t)
	file := func(id string) []models.JobFile {
		return []models.JobFile{{JobID: id, Kind: "output", Type: "Patient", BlobKey: "k", Lines: 3, RawLen: 5, PackedLen: 4, CRC: -7}}
	}
	acc := models.Accounting{Members: 1, Empty: 1}
	complete := func(id string) bool {
		done, err := s.CompleteJob(t.Context(), id, file(id), acc, noon, noon.Add(time.Hour), nil)
		require.NoError(t, err)
		return done
	}
	state := func(id string) models.State {
		job, err := s.Job(t.Context(), id)
		require.NoError(t, err)
		return job.State
	}
	job := startJob(t, s, noon)
	require.True(t, complete(job.ID))
	require.False(t, complete(job.ID), "once")
	require.NoError(t, s.FailJob(t.Context(), job.ID, models.StateFailed, "x", noon))
	require.Equal(t, models.StateCompleted, state(job.ID))
	read, err := s.Job(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, acc, read.Accounting)
	require.True(t, read.ExpiresAt.Equal(noon.Add(time.Hour)))
	row, parts, err := s.File(t.Context(), job.ID, 0)
	require.NoError(t, err)
	require.Equal(t, file(job.ID)[0], *row)
	require.Equal(t, []models.FilePart{{BlobKey: "k", Packed: 4, Raw: 5, Lines: 3, CRC: 0xfffffff9}}, parts)
	_, _, err = s.File(t.Context(), job.ID, 1)
	require.Equal(t, models.KindNotFound, models.KindOf(err))

	failed := startJob(t, s, noon)
	require.NoError(t, s.FailJob(t.Context(), failed.ID, models.StateCancelled, "x", noon))
	require.False(t, complete(failed.ID))
	require.Equal(t, models.StateCancelled, state(failed.ID))
	deleted := startJob(t, s, noon)
	require.NoError(t, s.DeleteJob(t.Context(), deleted.ID, noon))
	require.False(t, complete(deleted.ID))
	_, err = s.StartJob(t.Context(), deleted.ID, "x", noon)
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	require.Equal(t, 1, count(t, s, "job_files"))

	undone := startJob(t, s, noon)
	_, err = s.CompleteJob(t.Context(), undone.ID, file(undone.ID), acc, noon, noon, func(context.Context, bun.Tx) error { return context.Canceled })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, models.StateRunning, state(undone.ID))
	require.Equal(t, 1, count(t, s, "job_files"))

	page, err := s.Jobs(t.Context(), store.JobFilter{Operation: models.OpPatientExport}, 2)
	require.NoError(t, err)
	require.Equal(t, undone.ID, page[0].ID)
	page, err = s.Jobs(t.Context(), store.JobFilter{Operation: models.OpPatientExport, Before: page[1].ID}, 10)
	require.NoError(t, err)
	require.Equal(t, job.ID, page[len(page)-1].ID)
	page, err = s.Jobs(t.Context(), store.JobFilter{Operation: models.OpSystemExport}, 2)
	require.NoError(t, err)
	require.Empty(t, page)
}

func plan(id string, n int) []store.Chunk {
	var chunks []store.Chunk
	for i := range n {
		chunks = append(chunks, store.Chunk{JobID: id, Chunk: i, Lo: uuid.UUID{byte(i)}, Hi: uuid.UUID{byte(i), 1}, Members: 2, Planned: 10})
	}
	return chunks
}

func TestPlanIsSavedOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	job := startJob(t, s, noon)
	require.NoError(t, s.SavePlan(t.Context(), job.ID, plan(job.ID, 3)))
	require.NoError(t, s.SavePlan(t.Context(), job.ID, plan(job.ID, 5)))
	chunks, err := s.PlannedChunks(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, plan(job.ID, 3), chunks)
	one, err := s.PlannedChunk(t.Context(), job.ID, 2)
	require.NoError(t, err)
	require.Equal(t, chunks[2], one)
	_, err = s.PlannedChunk(t.Context(), job.ID, 3)
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	require.NoError(t, s.FailJob(t.Context(), job.ID, models.StateFailed, "", noon))
	require.Equal(t, models.KindConflict, models.KindOf(s.SavePlan(t.Context(), job.ID, nil)))
}

// Of attempts at one chunk one is published, with its own parts and nobody else's.
func TestPublishChunk(t *testing.T) {
	t.Parallel()
	s := open(t)
	job := startJob(t, s, noon)
	require.NoError(t, s.SavePlan(t.Context(), job.ID, plan(job.ID, 2)))
	done, planned, err := s.Progress(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, [2]int64{0, 20}, [2]int64{done, planned})
	var winner atomic.Int64
	var wins atomic.Int64
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			acc := models.Accounting{Members: int64(n), Exported: int64(n), Planned: 10, Written: 10}
			parts := []store.Part{{Type: 7, Lines: int64(n), Packed: 1, CRC: 0xffffffff}, {Type: 7, Part: 1}, {Type: 3}}
			won, err := s.PublishChunk(t.Context(), job.ID, 1, models.NewID(), fmt.Sprintf("blob-%d", n), acc, parts, store.Referred{})
			if err != nil {
				t.Error(err)
			}
			if won {
				wins.Add(1)
				winner.Store(int64(n))
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, wins.Load())
	acc, missing, err := s.ChunkAccounting(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, 1, missing)
	require.Equal(t, winner.Load(), acc.Members)
	var got []store.Part
	require.NoError(t, s.PublishedParts(t.Context(), job.ID, func(chunk int, p store.Part) error {
		require.Equal(t, 1, chunk)
		got = append(got, p)
		return nil
	}))
	require.Equal(t, []store.Part{{Type: 3}, {Type: 7, Lines: winner.Load(), Packed: 1, CRC: 0xffffffff}, {Type: 7, Part: 1}}, got, "by type")
	done, planned, err = s.Progress(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, [2]int64{10, 20}, [2]int64{done, planned})

	purged, err := s.PurgeJob(t.Context(), job.ID, time.Now())
	require.NoError(t, err)
	require.False(t, purged, "its run goes on")
	require.NoError(t, s.FailJob(t.Context(), job.ID, models.StateCancelled, "", time.Now()))
	purged, err = s.PurgeJob(t.Context(), job.ID, time.Now())
	require.NoError(t, err)
	require.True(t, purged)
	won, err := s.PublishChunk(t.Context(), job.ID, 0, models.NewID(), "late", models.Accounting{}, got, store.Referred{})
	require.NoError(t, err)
	require.False(t, won, "what was purged takes no parts")
	require.Zero(t, count(t, s, "export_parts"))
}

func TestMigrateSideBySide(t *testing.T) {
	t.Parallel()
	dsn := emptyDatabase(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := store.Migrate(t.Context(), dsn); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, store.Migrate(t.Context(), dsn), "and again")
	s, err := store.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	require.NoError(t, s.Ping(t.Context()))
	require.Equal(t, 1, count(t, s, "clock"))
	require.Equal(t, 8, count(t, s, "pg_inherits WHERE inhparent = 'segments'::regclass"))
	_, err = store.Open(t.Context(), "postgres://user:secret@[bad")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

// What is another client's is looked for in an index that has no entry for it, so that it takes as long as what never was.
func TestOwnRows(t *testing.T) {
	t.Parallel()
	s := open(t)
	mine, _, err := s.CreateJob(t.Context(), newJob("a"), 0)
	require.NoError(t, err)
	group := store.Group{ID: models.NewID(), ClientID: "a", JobID: mine.ID, CreatedAt: noon}
	_, err = s.DB.NewInsert().Model(&group).Exec(t.Context())
	require.NoError(t, err)
	var asked heard
	s.DB = s.DB.WithQueryHook(&asked)
	for _, tt := range []struct{ client, id string }{{"a", mine.ID}, {"b", mine.ID}, {"a", models.NewID()}, {"", mine.ID + "a"}} {
		want := models.Kind("")
		if tt.client != "a" || tt.id != mine.ID {
			want = models.KindNotFound
		}
		_, err := s.OwnJob(t.Context(), tt.client, tt.id)
		require.Equal(t, want, models.KindOf(err))
	}
	_, err = s.OwnGroup(t.Context(), "a", group.ID)
	require.NoError(t, err)
	_, err = s.OwnGroup(t.Context(), "b", group.ID)
	require.Equal(t, models.KindNotFound, models.KindOf(err))

	tx, err := s.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), `SET LOCAL enable_seqscan = off`) // which is best while there are few rows
	require.NoError(t, err)
	for _, query := range asked {
		rows, err := tx.Query(t.Context(), "EXPLAIN "+query)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Regexp(t, `(jobs|groups)_own`, strings.Join(plan, "\n"))
	}
}

// heard are the queries that were sent.
type heard []string

func (h *heard) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (h *heard) AfterQuery(_ context.Context, e *bun.QueryEvent) { *h = append(*h, e.Query) }

// Attempts that save what they did while their job is deleted and purged neither deadlock with the purge nor leave rows that lead to
// files. Each pair meets a slice or a chunk that both want.
func TestPurgeWhileSaving(t *testing.T) {
	t.Parallel()
	s := open(t)
	const rounds = 60
	save := map[string]func(t *testing.T) (job string, attempt func() error){
		"a match": func(t *testing.T) (string, func() error) {
			job := newMatch(t, s, 1)
			return job.ID, func() error {
				return s.SaveOutcomes(t.Context(), job.ID, 0, []store.Outcome{{Idx: 0, Outcome: store.OutcomeNoMatch}, {Idx: 1, Outcome: store.OutcomeNoMatch}})
			}
		},
		"an export": func(t *testing.T) (string, func() error) {
			job := startJob(t, s, noon)
			require.NoError(t, s.SavePlan(t.Context(), job.ID, []store.Chunk{{JobID: job.ID, Members: 1, Planned: 1}}))
			return job.ID, func() error {
				_, err := s.PublishChunk(t.Context(), job.ID, 0, models.NewID(), "blob", models.Accounting{}, []store.Part{{Type: 1, Lines: 1}}, store.Referred{Shared: []string{"Organization/1"}})
				return err
			}
		},
	}
	for name, prepare := range save {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range rounds {
				job, attempt := prepare(t)
				require.NoError(t, s.DeleteJob(t.Context(), job, noon))
				var saved, purged error
				var wg sync.WaitGroup
				wg.Go(func() { saved = attempt() })
				wg.Go(func() { _, purged = s.PurgeJob(t.Context(), job, noon) })
				wg.Wait()
				require.NoError(t, saved)
				require.NoError(t, purged)
				for _, table := range []string{"match_slices", "export_chunks", "export_parts", "export_refs"} {
					require.Zero(t, count(t, s, table+" WHERE job_id = $1", job), table)
				}
			}
		})
	}
}
