package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func open(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func exec(t testing.TB, s *store.Store, sql string, args ...any) {
	t.Helper()
	_, err := s.Pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func count(t testing.TB, s *store.Store, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, s.Pool.QueryRow(t.Context(), "SELECT count(*) FROM "+sql, args...).Scan(&n))
	return n
}

// newImport records an import that has been scanned.
func newImport(t testing.TB, s *store.Store) string {
	t.Helper()
	id := models.NewID()
	require.NoError(t, s.CreateImport(t.Context(), &models.Import{
		ID: id, Source: "/x", Mode: models.ImportLive, State: models.StateAccepted, CreatedBy: "test", CreatedAt: noon, Buckets: 1,
	}))
	_, err := s.StartImport(t.Context(), id, nil, 1)
	require.NoError(t, err)
	return id
}

func newJob(client string) *models.Job {
	id := models.NewID()
	return &models.Job{
		ID: id, ClientID: client, Operation: models.OpPatientExport, RequestURL: "https://x/fhir/Patient/$export", RequestDigest: []byte(id),
		State: models.StateAccepted, Params: []byte("{}"), CreatedAt: noon,
	}
}

// startJob records a job and gives it its snapshot.
func startJob(t testing.TB, s *store.Store, now time.Time) *models.Job {
	t.Helper()
	job := newJob("client")
	_, created, err := s.CreateJob(t.Context(), job, 0)
	require.NoError(t, err)
	require.True(t, created)
	started, err := s.StartJob(t.Context(), job.ID, "exporting", now)
	require.NoError(t, err)
	return started
}

// pack makes a segment of lines that are what the index says they are.
func pack(t testing.TB, key store.SegmentKey, lines ...segment.Line) store.Segment {
	t.Helper()
	g := store.Segment{SegmentKey: key, UpdatedMin: lines[0].LastUpdated, UpdatedMax: lines[0].LastUpdated}
	var bodies [][]byte
	offset := 0
	for i := range lines {
		l := &lines[i]
		body := fmt.Appendf(nil, `{"id":"%s","at":%d}`+"\n", l.ID, l.LastUpdated)
		l.Offset, l.Length = uint32(offset), uint32(len(body))
		offset += len(body)
		bodies = append(bodies, body)
		g.UpdatedMin, g.UpdatedMax = min(g.UpdatedMin, l.LastUpdated), max(g.UpdatedMax, l.LastUpdated)
		g.IDHashes = segment.AppendHashes(g.IDHashes, segment.IDHash("Observation", l.ID))
		if l.ServiceEnd == segment.NoDate {
			g.Undated++
			continue
		}
		if g.ServiceMin == nil {
			g.ServiceMin, g.ServiceMax = new(l.ServiceStart), new(l.ServiceEnd)
		}
		*g.ServiceMin, *g.ServiceMax = min(*g.ServiceMin, l.ServiceStart), max(*g.ServiceMax, l.ServiceEnd)
	}
	data, sum, err := segment.Pack(nil, bodies...)
	require.NoError(t, err)
	g.Data, g.Entries = data, segment.EncodeIndex(lines)
	g.Lines, g.RawLen, g.PackedLen, g.CRC = int32(sum.Lines), int32(sum.RawLen), int32(sum.PackedLen), sum.CRC
	return g
}

// put writes segments as an import at the instant of their keys would.
func put(t testing.TB, s *store.Store, segments ...store.Segment) {
	t.Helper()
	var ids []uuid.UUID
	for _, g := range segments {
		ids = append(ids, g.Member)
	}
	require.NoError(t, s.MergeMembers(t.Context(), ids, noon, func(*store.MergeTx) (*store.Merge, error) {
		return &store.Merge{At: noon, Insert: segments}, nil
	}, nil))
}
