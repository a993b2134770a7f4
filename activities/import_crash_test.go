package activities

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
)

// noise returns text of n bytes that hardly compresses.
func noise(rng *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rng.Uint32()&63]
	}
	return string(b)
}

// A member with more data than a batch or a segment takes comes out whole.
func TestLargeMember(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rng := rand.New(rand.NewPCG(1, 2))
	piece := noise(rng, 100_000)
	var text strings.Builder
	lines := 0
	for text.Len() < 50<<20 { // two batches
		text.WriteString(observation(fmt.Sprintf("o%d", lines), "big", "", piece[lines%1000:]))
		lines++
	}
	text.WriteString(observation("long", "big", "", noise(rng, 3<<20)))
	text.WriteString(observation("small", "other", "", "x"))
	text.WriteString(observation("o0", "big", `"versionId":"2"`, "newest"))
	stats := b.loadText(text.String(), models.ImportLive)
	require.Equal(t, models.TypeCounts{New: int64(lines) + 2}, stats.Types["Observation"])
	require.EqualValues(t, 1, stats.Duplicate)
	require.EqualValues(t, 2, stats.Members)
	held := b.current()
	require.Len(t, held, lines+2)
	require.Contains(t, held["Observation/o0"].body, "newest")
	require.Greater(t, b.count("segments WHERE member_id = $1 AND valid_to = 'infinity'", models.MemberID("big")), 48)

	again := b.loadText(text.String(), models.ImportLive)
	require.Equal(t, models.TypeCounts{Unchanged: int64(lines) + 2}, again.Types["Observation"])
	require.Zero(t, again.Segments)
}

// versions makes two generations of resources of a few members, of several types and classes, with deletes at the end.
func versions(rng *rand.Rand) (first, second map[string]string) {
	lines := func(generation int) string {
		var out strings.Builder
		for i := range 300 {
			if generation == 2 && i%3 == 0 {
				continue
			}
			meta := fmt.Sprintf(`"versionId":"%d"`, generation)
			if i%5 == generation {
				meta += `,"security":[{"code":"R"}]`
			}
			line := observation(fmt.Sprintf("o%d", i), fmt.Sprintf("p%d", i%9), meta, noise(rng, 200+rng.IntN(3000)))
			if i%4 == 0 {
				line = strings.Replace(line, "Observation", "Condition", 1)
			}
			out.WriteString(line)
			if i%11 == 0 { // an older version in the same import
				out.WriteString(strings.Replace(line, meta, `"versionId":"0"`, 1))
			}
		}
		return out.String()
	}
	first = map[string]string{"a.ndjson": lines(1), "b.ndjson": patient("p1", "") + patient("p2", "")}
	second = map[string]string{"a.ndjson": lines(2), "b.ndjson": observation("o1", "p1", `"versionId":"3"`, "last") + deletes("Observation/o3", "Condition/o0", "Patient/p2")}
	return first, second
}

// The result of an import and what it counts do not depend on how often it was interrupted, at whatever commit.
func TestMergeInterruptedAtEveryCommit(t *testing.T) {
	t.Parallel()
	first, second := versions(rand.New(rand.NewPCG(3, 4)))
	load := func(t *testing.T, merge func(b *bundle, id string, step func() error)) (map[string]stored, []models.ImportStats) {
		b := setup(t)
		b.batch = 20_000
		var all []models.ImportStats
		for _, files := range []map[string]string{first, second} {
			b.pass(time.Second)
			id := b.accept(b.folder(files), models.ImportLive)
			_, err := b.Store.StartImport(t.Context(), id, b.listed(id), 2)
			require.NoError(t, err)
			for i := range 2 {
				ok(t, b.ScanFile, ScanInput{id, i})
			}
			ok(t, b.TakeTurn, id)
			for bucket := range 2 {
				merge(b, id, func() error {
					_, err := run(t, b.MergeBucket, BucketInput{id, bucket})
					return err
				})
			}
			merge(b, id, func() error {
				_, err := run(t, b.ApplyDeletes, id)
				return err
			})
			all = append(all, b.finish(id))
		}
		return b.current(), all
	}
	want, counts := load(t, func(_ *bundle, _ string, step func() error) { require.NoError(t, step()) })
	require.EqualValues(t, 3, counts[1].Deleted)
	require.Positive(t, counts[0].Duplicate)

	t.Run("at every commit", func(t *testing.T) {
		t.Parallel()
		crashes := 0
		got, stats := load(t, func(b *bundle, _ string, step func() error) {
			b.crashEverySecondCommit()
			for step() != nil {
				crashes++
			}
		})
		require.Greater(t, crashes, 20)
		require.Equal(t, want, got)
		require.Equal(t, counts, stats)
	})
	t.Run("by its context, reading", func(t *testing.T) {
		t.Parallel()
		budget := 0
		cut := 0
		got, stats := load(t, func(b *bundle, _ string, step func() error) {
			if _, plain := b.Files.(*cutFiles); !plain {
				b.Files = &cutFiles{Store: b.Files}
			}
			for budget = 1; ; budget++ {
				b.Files.(*cutFiles).budget = budget * 30_000
				if step() == nil {
					return
				}
				cut++
			}
		})
		require.Greater(t, cut, 5)
		require.Equal(t, want, got)
		require.Equal(t, counts, stats)
	})
	t.Run("and done twice", func(t *testing.T) {
		t.Parallel()
		got, stats := load(t, func(_ *bundle, _ string, step func() error) {
			require.NoError(t, step())
			require.NoError(t, step())
		})
		require.Equal(t, want, got)
		require.Equal(t, counts, stats)
	})
}

// listed returns the files of an import's source, as PlanImport finds them.
func (b *bundle) listed(id string) []models.ImportFile {
	b.t.Helper()
	imp, err := b.Store.Import(b.t.Context(), id)
	require.NoError(b.t, err)
	sources, _, err := b.importSources(b.t.Context(), imp)
	require.NoError(b.t, err)
	var files []models.ImportFile
	for i, s := range sources {
		files = append(files, models.ImportFile{ImportID: id, File: i, Name: s.Name, Bytes: s.Size})
	}
	return files
}

// crashEverySecondCommit makes every second transaction that moves a bucket's mark fail as it commits.
func (b *bundle) crashEverySecondCommit() {
	b.exec(`CREATE SEQUENCE IF NOT EXISTS crashes`)
	b.exec(`CREATE OR REPLACE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF nextval('crashes') % 2 = 0 THEN RAISE EXCEPTION 'crash'; END IF; RETURN NULL; END $$`)
	b.exec(`DROP TRIGGER IF EXISTS crash ON import_buckets`)
	b.exec(`CREATE CONSTRAINT TRIGGER crash AFTER INSERT OR UPDATE ON import_buckets DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crash()`)
}

// cutFiles is a file store whose readers lose their connection after a number of bytes, all together.
type cutFiles struct {
	blob.Store
	mu     sync.Mutex
	budget int
}

func (c *cutFiles) ReadRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r, err := c.Store.ReadRange(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	return &cutReader{r, c}, nil
}

type cutReader struct {
	io.ReadCloser
	files *cutFiles
}

func (r *cutReader) Read(p []byte) (int, error) {
	r.files.mu.Lock()
	defer r.files.mu.Unlock()
	if r.files.budget <= 0 {
		return 0, context.Canceled
	}
	n, err := r.ReadCloser.Read(p[:min(len(p), r.files.budget)])
	r.files.budget -= n
	return n, err
}

// An attempt that was given up must not change the store once the import has ended: exports have begun to read.
func TestNothingMergesAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.loadText(observation("old", "p", "", "x"), models.ImportLive)
	before := b.current()
	b.pass(time.Second)
	id, _ := b.scanned(b.folder(map[string]string{"a.ndjson": observation("new", "p", "", "x")}), models.ImportLive)
	ok(t, b.TakeTurn, id)

	inside := &cutFiles{Store: b.Files, budget: 1 << 30}
	ended := make(chan struct{})
	zombie := *b.Activities
	zombie.Files = pausedFiles{inside, func() { // the zombie has found the import running, and then another closes it
		must[models.ImportStats](t, b.FinishImport, FinishInput{ImportID: id, State: models.StateCancelled, Reason: "test"})
		close(ended)
	}}
	_, err := run(t, zombie.MergeBucket, BucketInput{id, 0})
	<-ended
	require.Error(t, err)
	require.Equal(t, before, b.current())

	// Its other side: a scan that was given up leaves nothing behind.
	late := b.accept(b.folder(map[string]string{"a.ndjson": observation("new", "p", "", "x")}), models.ImportLive)
	must[ImportPlan](t, b.PlanImport, late)
	zombie.Files = pausedFiles{inside, func() {
		must[models.ImportStats](t, b.FinishImport, FinishInput{ImportID: late, State: models.StateCancelled, Reason: "test"})
	}}
	_, err = run(t, zombie.ScanFile, ScanInput{late, 0})
	require.NoError(t, err)
	require.Empty(t, b.blobs("imports"))
	require.Zero(t, b.count("import_runs"))
	for _, again := range []error{second(run(t, b.MergeBucket, BucketInput{id, 0})), second(run(t, b.ApplyDeletes, id))} {
		requireFinal(t, again, models.KindConflict)
	}
}

func second[A any](_ A, err error) error { return err }

// pausedFiles runs a function once before the first object is opened for reading or writing.
type pausedFiles struct {
	*cutFiles
	first func()
}

func (p pausedFiles) ReadRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r, err := p.cutFiles.ReadRange(ctx, key, offset, length)
	p.first()
	return r, err
}

func (p pausedFiles) Create(ctx context.Context, key string) (blob.Writer, error) {
	p.first()
	return p.cutFiles.Create(ctx, key)
}

// Imports that run side by side take turns, each at its own instant.
func TestConcurrentImports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 6
	var sources []string
	for i := range n {
		sources = append(sources, b.folder(map[string]string{"a.ndjson": observation("shared", "p", "", fmt.Sprint(i)) + observation(fmt.Sprintf("own%d", i), fmt.Sprintf("p%d", i), "", "x")}))
	}
	var mu sync.Mutex
	merging := 0
	instants := map[int64]string{}
	var wg sync.WaitGroup
	for i := range n {
		id := b.accept(sources[i], models.ImportLive)
		wg.Go(func() {
			must[ImportPlan](t, b.PlanImport, id)
			ok(t, b.ScanFile, ScanInput{id, 0})
			var imp *models.Import
			for {
				got, holder, err := b.Store.TakeTurn(t.Context(), id, b.now())
				require.NoError(t, err)
				if holder == "" {
					imp = got
					break
				}
				require.NotEqual(t, id, holder)
			}
			mu.Lock()
			merging++
			require.Equal(t, 1, merging)
			require.NotContains(t, instants, imp.EffectiveAt.UnixMilli())
			instants[imp.EffectiveAt.UnixMilli()] = fmt.Sprint(i)
			mu.Unlock()
			ok(t, b.MergeBucket, BucketInput{id, 0})
			mu.Lock()
			merging--
			mu.Unlock()
			b.finish(id)
		})
	}
	wg.Wait()
	held := b.current()
	require.Len(t, held, n+1)
	last := held["Observation/shared"].line.LastUpdated
	for at := range instants {
		require.LessOrEqual(t, at, last)
	}
	require.Contains(t, held["Observation/shared"].body, `"valueString":"`+instants[last]+`"`)
	require.Equal(t, 1, b.count("segments WHERE member_id = $1", models.MemberID("p")), "no export needs the versions before")
}

// Whatever imports come in whatever order, the store holds the newest line of each resource, by the rules.
func TestImportsAgainstModel(t *testing.T) {
	t.Parallel()
	type version struct {
		at      int64 // lastUpdated as stored
		number  int
		label   bool
		value   string
		deleted bool
	}
	b := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		for _, table := range []string{"segments", "segment_lines", "segment_refs", "tombstones"} {
			b.exec("DELETE FROM " + table) // cheaper here than TRUNCATE or another database
		}
		b.batch = rapid.SampledFrom([]int{0, 1, 300, 1500}).Draw(rt, "batch")
		model := map[string]version{}
		for range rapid.IntRange(1, 4).Draw(rt, "imports") {
			b.pass(time.Hour)
			live := rapid.Bool().Draw(rt, "live")
			mode := models.ImportBackfill
			if live {
				mode = models.ImportLive
			}
			at := b.clock.Load() // every instant of the run is this one: nothing ticks in between
			var text strings.Builder
			brought := map[string]bool{}
			type line struct {
				source int64
				v      version
			}
			newest := map[string]line{}
			for range rapid.IntRange(1, 12).Draw(rt, "lines") {
				id := fmt.Sprintf("o%d", rapid.IntRange(0, 5).Draw(rt, "id"))
				v := version{number: rapid.IntRange(0, 3).Draw(rt, "version"), label: rapid.Bool().Draw(rt, "label"), value: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "value")}
				source := at - int64(rapid.IntRange(0, 4).Draw(rt, "hours"))*3600_000
				meta := `"lastUpdated":"` + fhir.FormatInstant(source) + `"`
				if v.number > 0 {
					meta += fmt.Sprintf(`,"versionId":"%d"`, v.number)
				}
				if v.label {
					meta += `,"security":[{"code":"R"}]`
				}
				text.WriteString(observation(id, "p"+id, meta, v.value))
				v.at = at
				if !live {
					v.at = source
				}
				if old, there := newest[id]; !there || source > old.source || source == old.source && v.number >= old.v.number {
					newest[id] = line{source, v}
				}
			}
			for id, l := range newest {
				old, there := model[id]
				switch {
				case there && old.deleted && l.v.at <= old.at:
					continue
				case there && !old.deleted && old.value == l.v.value && old.number == l.v.number && old.label == l.v.label && (live || l.v.at <= old.at):
					continue
				case there && !old.deleted && (l.v.at < old.at || l.v.number > 0 && l.v.number < old.number):
					continue
				}
				model[id] = l.v
				brought[id] = true
			}
			if rapid.Bool().Draw(rt, "deletes") {
				id := fmt.Sprintf("o%d", rapid.IntRange(0, 5).Draw(rt, "deleted"))
				text.WriteString(deletes("Observation/" + id))
				// What is not held is buried too, so that an older version does not come later.
				if old, there := model[id]; !there || old.deleted || !brought[id] || old.at != at {
					model[id] = version{at: at, deleted: true}
				}
			}
			b.loadQuickly(text.String(), mode)
			held := b.current()
			alive := 0
			for id, v := range model {
				got, there := held["Observation/"+id]
				require.Equal(rt, !v.deleted, there, id)
				if v.deleted {
					continue
				}
				alive++
				require.Equal(rt, v.at, got.line.LastUpdated, id)
				require.Contains(rt, got.body, `"valueString":"`+v.value+`"`)
				require.Equal(rt, v.label, got.class == models.ClassSensitive)
				require.EqualValues(rt, v.number, got.line.Version)
			}
			require.Len(rt, held, alive)
		}
	})
}

// loadQuickly is loadText without the vacuum at the end, which takes longer than all else.
func (b *bundle) loadQuickly(text string, mode models.ImportMode) {
	b.t.Helper()
	id, _ := b.scanned(b.folder(map[string]string{"a.ndjson": text}), mode)
	ok(b.t, b.TakeTurn, id)
	ok(b.t, b.MergeBucket, BucketInput{id, 0})
	ok(b.t, b.ApplyDeletes, id)
	stats, err := b.Store.SumImport(b.t.Context(), id)
	require.NoError(b.t, err)
	requireBalance(b.t, stats)
	require.NoError(b.t, b.Store.FinishImport(b.t.Context(), id, models.StateCompleted, stats, "", b.now()))
}
