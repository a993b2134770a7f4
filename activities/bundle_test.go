package activities

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// noon is when the clock of every bundle starts.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// bundle is a database, a file store and a folder to import from, all its own, with the activities over them.
type bundle struct {
	*Activities
	t     testing.TB
	clock atomic.Int64
	root  string
	seq   int
}

func setup(t testing.TB) *bundle {
	t.Helper()
	s, err := store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	files, err := blob.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	b := &bundle{t: t, root: t.TempDir()}
	b.clock.Store(noon.UnixMilli())
	b.Activities = &Activities{
		Store: s, Files: files, Log: slog.New(slog.DiscardHandler), Retention: 72 * time.Hour,
		Now:         func() time.Time { return time.UnixMilli(b.clock.Load()).UTC() },
		ImportRoots: []string{b.root, devData},
		Holder:      Holder{Name: "Old Health Plan", IDs: []string{holderID}, SensitiveData: "tagged"},
	}
	return b
}

const (
	holderID    = "http://hl7.org/fhir/sid/us-npi|9876543210"
	requesterID = "http://hl7.org/fhir/sid/us-npi|0123456789"
)

// devData holds public example resources. It lies beside the repository and may be absent.
var devData = func() string {
	dir, err := filepath.Abs("../../shared/data/dev")
	if err != nil {
		return "../../shared/data/dev"
	}
	return dir
}()

func (b *bundle) pass(d time.Duration) { b.clock.Add(d.Milliseconds()) }

// run runs one attempt of an activity as a worker would.
func run(t testing.TB, fn any, args ...any) (converter.EncodedValue, error) {
	t.Helper()
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&FailureInterceptor{}}})
	env.RegisterActivity(fn)
	return env.ExecuteActivity(fn, args...)
}

// must runs an activity that is to succeed and returns its result.
func must[T any](t testing.TB, fn any, args ...any) T {
	t.Helper()
	got, err := run(t, fn, args...)
	require.NoError(t, err)
	var out T
	require.NoError(t, got.Get(&out))
	return out
}

// ok runs an activity without a result that is to succeed.
func ok(t testing.TB, fn any, args ...any) {
	t.Helper()
	_, err := run(t, fn, args...)
	require.NoError(t, err)
}

// folder makes an import source of files by name.
func (b *bundle) folder(files map[string]string) string {
	b.t.Helper()
	b.seq++
	dir := filepath.Join(b.root, fmt.Sprintf("source-%d", b.seq))
	require.NoError(b.t, os.Mkdir(dir, 0o755))
	for name, body := range files {
		require.NoError(b.t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644))
	}
	return dir
}

// accept records an import.
func (b *bundle) accept(source string, mode models.ImportMode) string {
	b.t.Helper()
	imp := &models.Import{
		ID: models.NewID(), Source: source, Mode: mode, State: models.StateAccepted, CreatedBy: "test", CreatedAt: b.now(), Buckets: 1,
	}
	require.NoError(b.t, b.Store.CreateImport(b.t.Context(), imp))
	return imp.ID
}

// scanned records an import and runs it up to the point where it waits for its turn.
func (b *bundle) scanned(source string, mode models.ImportMode) (id string, plan ImportPlan) {
	b.t.Helper()
	id = b.accept(source, mode)
	plan = must[ImportPlan](b.t, b.PlanImport, id)
	for i := range plan.Files {
		ok(b.t, b.ScanFile, ScanInput{id, i})
	}
	return id, plan
}

// load runs a whole import and returns what it counted.
func (b *bundle) load(source string, mode models.ImportMode) models.ImportStats {
	b.t.Helper()
	b.pass(time.Second)
	id, plan := b.scanned(source, mode)
	ok(b.t, b.TakeTurn, id)
	for i := range plan.Buckets {
		ok(b.t, b.MergeBucket, BucketInput{id, i})
	}
	return b.finish(id)
}

// finish ends an import whose buckets are merged.
func (b *bundle) finish(id string) models.ImportStats {
	b.t.Helper()
	ok(b.t, b.ApplyDeletes, id)
	stats := must[models.ImportStats](b.t, b.FinishImport, FinishInput{ImportID: id, State: models.StateCompleted})
	requireBalance(b.t, stats)
	return stats
}

func requireBalance(t testing.TB, s models.ImportStats) {
	t.Helper()
	sum := s.Blank + s.Rejected + s.Deletes + s.Duplicate
	for _, c := range s.Types {
		sum += c.New + c.Replaced + c.Unchanged + c.Stale
	}
	require.Equal(t, s.Lines, sum, "%+v", s)
}

// stored is a line as the store holds it.
type stored struct {
	member uuid.UUID
	class  models.Class
	body   string // without its line break
	line   segment.Line
}

// current returns every line of the newest state by "Type/id", having held each segment against its lines, its index and
// the numbers beside it.
func (b *bundle) current() map[string]stored {
	b.t.Helper()
	rows, err := b.Store.Pool.Query(b.t.Context(), `SELECT s.member_id, s.type, s.class, s.lines, s.packed_len, s.raw_len, s.crc, s.updated_min, s.updated_max,
		s.service_min - '1970-01-01'::date, s.service_max - '1970-01-01'::date, s.undated, s.data, l.id_hashes, l.entries
		FROM segments s JOIN segment_lines l USING (member_id, type, class, valid_from, part) WHERE s.valid_to = 'infinity' AND l.valid_to = 'infinity'`)
	require.NoError(b.t, err)
	defer rows.Close()
	out := map[string]stored{}
	var views []stored
	var facts fhir.Facts
	for rows.Next() {
		var g store.Segment
		var crc int32
		var from, to time.Time
		require.NoError(b.t, rows.Scan(&g.Member, &g.Type, &g.Class, &g.Lines, &g.PackedLen, &g.RawLen, &crc, &from, &to,
			&g.ServiceMin, &g.ServiceMax, &g.Undated, &g.Data, &g.IDHashes, &g.Entries))
		sum := segment.Sum{Lines: int64(g.Lines), RawLen: int64(g.RawLen), CRC: uint32(crc), PackedLen: int64(g.PackedLen)}
		raw, err := segment.InflateSum(nil, g.Data, sum)
		require.NoError(b.t, err)
		require.Equal(b.t, crc32.ChecksumIEEE(raw), uint32(crc))
		lines, err := segment.DecodeIndex(g.Entries)
		require.NoError(b.t, err)
		require.Len(b.t, lines, int(g.Lines))
		require.True(b.t, len(raw) <= segment.MaxRawLen || len(lines) == 1)
		var hashes []byte
		var oldest, newest int64
		var first, last *int32
		undated := int32(0)
		for i, l := range lines {
			line := raw[l.Offset : l.Offset+l.Length]
			require.Equal(b.t, byte('\n'), line[len(line)-1])
			line = line[:len(line)-1]
			require.NotContains(b.t, string(line), "\n")
			require.NoError(b.t, fhir.Inspect(line, &facts))
			key := facts.ResourceType() + "/" + string(facts.ID)
			require.Equal(b.t, g.Type, facts.Type, key)
			require.Equal(b.t, string(facts.ID), l.ID)
			require.Equal(b.t, facts.LastUpdated, l.LastUpdated, key)
			if g.Class&models.ClassViews == 0 {
				require.Equal(b.t, segment.Hash(fhir.Stamp(nil, line, &facts, 0)), l.Hash, key)
			}
			require.True(b.t, !facts.Sensitive || g.Class&models.ClassSensitive != 0, key)
			require.True(b.t, !facts.PriorAuth || g.Class&models.ClassPriorAuth != 0, key)
			if facts.Type != fhir.TypeProvenance || facts.Patient != nil { // else its targets say whose it is
				require.Equal(b.t, home(&facts), g.Member, key)
			}
			if l.ServiceEnd != segment.NoDate {
				if g.Class&(models.ClassPriorAuth|models.ClassSupport) == 0 && facts.Type != fhir.TypeProvenance {
					require.Equal(b.t, [2]int32{facts.First, facts.Last}, [2]int32{l.ServiceStart, l.ServiceEnd}, key)
				}
				if first == nil {
					first, last = new(l.ServiceStart), new(l.ServiceEnd)
				}
				*first, *last = min(*first, l.ServiceStart), max(*last, l.ServiceEnd)
			} else {
				require.False(b.t, facts.Dated, key)
				undated++
			}
			hashes = segment.AppendHashes(hashes, segment.IDHash(facts.ResourceType(), l.ID))
			if i == 0 {
				oldest, newest = l.LastUpdated, l.LastUpdated
			}
			oldest, newest = min(oldest, l.LastUpdated), max(newest, l.LastUpdated)
			held := stored{g.Member, g.Class, string(line), l}
			if g.Class&models.ClassViews != 0 {
				views = append(views, held)
				continue
			}
			_, twice := out[key]
			require.False(b.t, twice, "%s is held twice", key)
			out[key] = held
		}
		require.Equal(b.t, [2]int64{oldest, newest}, [2]int64{from.UnixMilli(), to.UnixMilli()})
		require.Equal(b.t, []*int32{first, last}, []*int32{g.ServiceMin, g.ServiceMax})
		require.Equal(b.t, undated, g.Undated)
		require.True(b.t, bytes.Equal(hashes, g.IDHashes))
	}
	require.NoError(b.t, rows.Err())
	b.checkViews(out, views)
	return out
}

// home is the member or shard a resource belongs to.
func home(f *fhir.Facts) uuid.UUID {
	switch {
	case f.Patient != nil && !f.Others:
		return models.MemberID(string(f.Patient))
	case f.Patient == nil && !f.Named && fhir.Shareable(f.Type):
		return models.SharedID(f.ResourceType(), string(f.ID))
	}
	return models.UnattributedID(f.ResourceType(), string(f.ID))
}

// count returns the number of rows of a query.
func (b *bundle) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.Store.Pool.QueryRow(b.t.Context(), "SELECT count(*) FROM "+sql, args...).Scan(&n))
	return n
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.Store.Pool.Exec(b.t.Context(), sql, args...)
	require.NoError(b.t, err)
}

// blobs returns the keys beneath a folder of the file store.
func (b *bundle) blobs(prefix string) []string {
	b.t.Helper()
	var keys []string
	for info, err := range b.Files.List(context.Background(), prefix) {
		require.NoError(b.t, err)
		keys = append(keys, info.Key)
	}
	return keys
}
