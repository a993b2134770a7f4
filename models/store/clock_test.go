package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

// Whatever the order of imports and jobs, and however the callers' clocks go: every instant an import takes effect at is
// later than all that was given before, one import merges at a time, and a snapshot sees each import whole or not at all.
func TestInstants(t *testing.T) {
	t.Parallel()
	s := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		exec(t, s, `DELETE FROM imports`)
		now := noon
		var scanned []string
		merging := ""
		var mergingAt, lastEffect, lastSnapshot time.Time
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"time passes": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(-3000, 3000).Draw(rt, "micros")) * time.Microsecond)
			},
			"scan": func(*rapid.T) { scanned = append(scanned, newImport(t, s)) },
			"take turn": func(rt *rapid.T) {
				if len(scanned) == 0 {
					return
				}
				id := rapid.SampledFrom(scanned).Draw(rt, "id")
				imp, holder, err := s.TakeTurn(t.Context(), id, now)
				require.NoError(rt, err)
				if merging != "" && id != merging {
					require.Equal(rt, merging, holder)
					require.Nil(rt, imp.EffectiveAt)
					return
				}
				require.Empty(rt, holder)
				if merging == "" {
					require.True(rt, imp.EffectiveAt.After(lastEffect) && imp.EffectiveAt.After(lastSnapshot))
					merging, mergingAt = id, *imp.EffectiveAt
				}
				require.True(rt, mergingAt.Equal(*imp.EffectiveAt), "a turn is taken once")
				require.Zero(rt, imp.EffectiveAt.Nanosecond()%1e6)
			},
			"finish": func(rt *rapid.T) {
				if merging == "" {
					return
				}
				state := rapid.SampledFrom([]models.State{models.StateCompleted, models.StateFailed, models.StateCancelled}).Draw(rt, "state")
				require.NoError(rt, s.FinishImport(t.Context(), merging, state, models.ImportStats{}, "", now))
				require.NoError(rt, s.FinishImport(t.Context(), merging, models.StateFailed, models.ImportStats{}, "again", now))
				imp, err := s.Import(t.Context(), merging)
				require.NoError(rt, err)
				require.Equal(rt, state, imp.State, "it ends once")
				for i, id := range scanned {
					if id == merging {
						scanned = append(scanned[:i], scanned[i+1:]...)
						break
					}
				}
				lastEffect, merging = mergingAt, ""
			},
			"snapshot": func(rt *rapid.T) {
				job := startJob(t, s, now)
				at := *job.TransactionTime
				require.False(rt, at.Before(lastEffect), "it sees what is done")
				require.False(rt, at.Before(lastSnapshot), "a delta never starts after its predecessor")
				if merging != "" {
					require.True(rt, at.Before(mergingAt), "it does not see what is on its way")
				}
				again, err := s.StartJob(t.Context(), job.ID, "x", now.Add(time.Hour))
				require.NoError(rt, err)
				require.True(rt, again.TransactionTime.Equal(at))
				lastSnapshot = at
			},
		})
	})
}

func TestInstantsRace(t *testing.T) {
	t.Parallel()
	s := open(t)
	var mu sync.Mutex
	ending := map[time.Time]*atomic.Bool{} // by the instant of an import: whether it has begun to end
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				id := newImport(t, s)
				for {
					imp, holder, err := s.TakeTurn(t.Context(), id, time.Now())
					require.NoError(t, err)
					if holder != "" {
						continue
					}
					flag := new(atomic.Bool)
					mu.Lock()
					require.NotContains(t, ending, *imp.EffectiveAt)
					ending[imp.EffectiveAt.UTC()] = flag
					mu.Unlock()
					flag.Store(true)
					require.NoError(t, s.FinishImport(t.Context(), id, models.StateCompleted, models.ImportStats{}, "", time.Now()))
					break
				}
			}
		})
	}
	var snapshots []time.Time
	for range 2 {
		wg.Go(func() {
			for range 30 {
				at := *startJob(t, s, time.Now()).TransactionTime
				mu.Lock()
				for effect, flag := range ending {
					if !at.Before(effect) {
						require.True(t, flag.Load(), "a snapshot at %v of an import at %v that is on its way", at, effect)
					}
				}
				snapshots = append(snapshots, at)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, ending, 40)
	require.Len(t, snapshots, 60)
}

func TestTakeTurnRefusals(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, _, err := s.TakeTurn(t.Context(), models.NewID(), noon)
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	ended := newImport(t, s)
	require.NoError(t, s.FinishImport(t.Context(), ended, models.StateCancelled, models.ImportStats{}, "x", noon))
	_, _, err = s.TakeTurn(t.Context(), ended, noon)
	require.Equal(t, models.KindConflict, models.KindOf(err))
	_, err = s.StartImport(t.Context(), models.NewID(), nil, 1)
	require.Equal(t, models.KindNotFound, models.KindOf(err))
	imp, err := s.StartImport(t.Context(), ended, []models.ImportFile{{ImportID: ended, Name: "x"}}, 64)
	require.NoError(t, err)
	require.Equal(t, models.StateCancelled, imp.State)
	require.Zero(t, count(t, s, "import_files"))
}

func TestImportList(t *testing.T) {
	t.Parallel()
	s := open(t)
	var ids []string
	for range 5 {
		ids = append(ids, newImport(t, s))
	}
	page, err := s.Imports(t.Context(), "", 2)
	require.NoError(t, err)
	require.Equal(t, []string{ids[4], ids[3]}, []string{page[0].ID, page[1].ID})
	page, err = s.Imports(t.Context(), page[1].ID, 10)
	require.NoError(t, err)
	require.Len(t, page, 3)
	require.Equal(t, ids[2], page[0].ID)
	_, err = s.Import(t.Context(), models.NewID())
	require.Equal(t, models.KindNotFound, models.KindOf(err))
}

// Of two scans of one file the first counts, and none does once the import has ended.
func TestFinishScan(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := models.NewID()
	require.NoError(t, s.CreateImport(t.Context(), &models.Import{ID: id, Source: "/x", Mode: models.ImportLive, State: models.StateAccepted, CreatedBy: "t", CreatedAt: noon, Buckets: 1}))
	files := []models.ImportFile{{ImportID: id, File: 0, Name: "a", Bytes: 1}, {ImportID: id, File: 1, Name: "b", Bytes: 2}}
	_, err := s.StartImport(t.Context(), id, files, 4)
	require.NoError(t, err)
	finish := func(file int, key string) bool {
		f := files[file]
		f.Stats = models.ImportStats{Lines: 7, Types: map[string]models.TypeCounts{"Patient": {New: 7}}}
		rejects := make([]models.ImportReject, 12_000)
		for i := range rejects {
			rejects[i] = models.ImportReject{ImportID: id, FileNo: file, Line: int64(i), Reason: "not-json"}
		}
		won, err := s.FinishScan(t.Context(), f, []models.ImportRun{{ImportID: id, File: file, BlobKey: key, Directory: []byte{1}}}, rejects,
			[]models.ImportDelete{{ImportID: id, Type: 1, ResourceID: "x"}, {ImportID: id, Type: 1, ResourceID: "x"}})
		require.NoError(t, err)
		return won
	}
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if finish(0, "a") {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())
	runs, err := s.ImportRuns(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, 12_000, count(t, s, "import_rejects"))
	gone, err := s.ImportDeletes(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, gone, 1)
	sum, err := s.SumImport(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, models.ImportStats{Lines: 7, Types: map[string]models.TypeCounts{"Patient": {New: 7}}}, sum)
	known, err := s.ImportFiles(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, []bool{known[0].Scanned, known[1].Scanned})

	require.NoError(t, s.FinishImport(t.Context(), id, models.StateFailed, sum, "x", noon))
	require.False(t, finish(1, "b"))
	require.Zero(t, count(t, s, "import_runs"))
}
