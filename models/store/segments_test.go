package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

const (
	typePatient = fhir.TypePatient
	typeObs     = int16(96)
)

// Merges of one member take turns: each sees what the one before left.
func TestMergesOfOneMemberTakeTurns(t *testing.T) {
	t.Parallel()
	s := open(t)
	member := models.MemberID("p")
	step := func(n int) func(*store.MergeTx) (*store.Merge, error) {
		return func(view *store.MergeTx) (*store.Merge, error) {
			m := &store.Merge{At: noon, Members: map[uuid.UUID]string{member: "p"}}
			version, part := int32(0), int16(0)
			for _, l := range view.Lines {
				part = max(part, l.Part)
				if !l.Open {
					continue
				}
				lines, err := segment.DecodeIndex(l.Entries)
				if err != nil {
					return nil, err
				}
				version = lines[0].Version
				data, err := view.Data([]store.SegmentKey{l.SegmentKey})
				if err != nil {
					return nil, err
				}
				require.NotEmpty(t, data[0])
				m.Close = append(m.Close, l.SegmentKey)
			}
			require.LessOrEqual(t, len(m.Close), 1)
			m.Insert = append(m.Insert, pack(t, store.SegmentKey{Member: member, Type: typeObs, ValidFrom: noon, Part: part + 1},
				segment.Line{ID: "o", Version: version + 1, LastUpdated: int64(n), ServiceStart: segment.NoDate, ServiceEnd: segment.NoDate}))
			return m, nil
		}
	}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for range 5 {
				// Other members come along, in an order that would lock two merges up if locks were taken as they come.
				ids := []uuid.UUID{{byte(n)}, member, {byte(7 - n)}}
				if n%2 == 0 {
					slices.Reverse(ids)
				}
				require.NoError(t, s.MergeMembers(t.Context(), ids, noon, step(n), nil))
			}
		})
	}
	wg.Wait()
	var entries []byte
	require.NoError(t, s.Pool.QueryRow(t.Context(), `SELECT entries FROM segment_lines WHERE valid_to = 'infinity'`).Scan(&entries))
	lines, err := segment.DecodeIndex(entries)
	require.NoError(t, err)
	require.EqualValues(t, 40, lines[0].Version)
	require.Equal(t, 40, count(t, s, "segments"))
	require.Equal(t, 1, count(t, s, "members"))
}

func TestMergeIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	member := models.MemberID("p")
	key := store.SegmentKey{Member: member, Type: typeObs, ValidFrom: noon, Part: 1}
	line := segment.Line{ID: "o", LastUpdated: 1, ServiceStart: segment.NoDate, ServiceEnd: segment.NoDate}
	whole := func(*store.MergeTx) (*store.Merge, error) {
		return &store.Merge{
			At: noon, Insert: []store.Segment{pack(t, key, line)}, Members: map[uuid.UUID]string{member: "p"}, Present: map[uuid.UUID]bool{member: true},
			Sources: []store.MemberSource{{Member: member, Hash: 1 << 63}},
			Parts:   []store.MemberPart{{MemberSource: store.MemberSource{Member: member, Hash: 1 << 63}, Record: []byte("jo"), Keys: []int64{-7}}},
			Bury:    []store.Tombstone{{Member: member, Type: typeObs, ResourceID: "gone", DeletedAt: noon}},
		}, nil
	}
	tables := []string{"segments", "segment_lines", "members", "member_parts", "member_keys", "tombstones"}
	boom := errors.New("boom")
	err := s.MergeMembers(t.Context(), []uuid.UUID{member}, noon, whole, func(context.Context, pgx.Tx) error { return boom })
	require.ErrorIs(t, err, boom)
	for _, table := range tables {
		require.Zero(t, count(t, s, table), table)
	}
	require.NoError(t, s.MergeMembers(t.Context(), []uuid.UUID{member}, noon, whole, nil))
	for _, table := range tables {
		require.Equal(t, 1, count(t, s, table), table)
	}
	err = s.MergeMembers(t.Context(), []uuid.UUID{member}, noon, func(view *store.MergeTx) (*store.Merge, error) {
		require.Len(t, view.Tombstones, 1)
		require.Equal(t, "gone", view.Tombstones[0].ResourceID)
		missing := key
		missing.Part = 9
		_, err := view.Data([]store.SegmentKey{key, missing})
		require.ErrorContains(t, err, "1 of 2 found")
		return &store.Merge{At: noon, Raise: view.Tombstones, Present: map[uuid.UUID]bool{member: false}, Members: map[uuid.UUID]string{member: "p"}}, nil
	}, nil)
	require.NoError(t, err)
	require.Zero(t, count(t, s, "tombstones WHERE raised_at = 'infinity'"))
	require.Equal(t, 1, count(t, s, "members WHERE NOT present"))
}

// lineOf draws a line with dates near the bounds that windows are drawn from.
func lineOf(rt *rapid.T, n int) segment.Line {
	l := segment.Line{
		ID: fmt.Sprintf("o%d", n), LastUpdated: noon.UnixMilli() + int64(rapid.IntRange(-3, 3).Draw(rt, "updated")),
		ServiceStart: segment.NoDate, ServiceEnd: segment.NoDate,
	}
	if rapid.IntRange(0, 3).Draw(rt, "dated") > 0 {
		l.ServiceStart = int32(rapid.IntRange(-3, 3).Draw(rt, "start"))
		l.ServiceEnd = l.ServiceStart + int32(rapid.IntRange(0, 3).Draw(rt, "days"))
	}
	return l
}

// What Loads counts and Segments yields is what a filter over the lines, one by one, would give.
func TestSnapshotsAgainstLines(t *testing.T) {
	t.Parallel()
	s := open(t)
	group := models.NewID()
	type place struct {
		member uuid.UUID
		typ    int16
	}
	rapid.Check(t, func(rt *rapid.T) {
		exec(t, s, `DELETE FROM segments`)
		exec(t, s, `DELETE FROM segment_lines`)
		exec(t, s, `DELETE FROM groups`)
		held := map[place][][]segment.Line{}
		members := map[uuid.UUID]bool{}
		var all []store.Segment
		n := 0
		for i := range rapid.IntRange(1, 8).Draw(rt, "segments") {
			at := place{models.MemberID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "member")), rapid.SampledFrom([]int16{typeObs, typePatient, 7}).Draw(rt, "type")}
			if rapid.IntRange(0, 4).Draw(rt, "shared") == 0 {
				at.member = models.SharedID("Practitioner", "x")
			}
			members[at.member] = true
			var lines []segment.Line
			for range rapid.IntRange(1, 4).Draw(rt, "lines") {
				n++
				lines = append(lines, lineOf(rt, n))
			}
			held[at] = append(held[at], lines)
			// The snapshot is at noon: what came or went by then, and what had not.
			key := store.SegmentKey{Member: at.member, Type: at.typ, ValidFrom: noon, Part: int16(i)}
			all = append(all, pack(t, key, lines...))
		}
		future, past := all[0], all[0]
		future.ValidFrom, past.ValidFrom, past.Part = noon.Add(time.Millisecond), noon.AddDate(0, 0, -1), 99
		put(t, s, append(all, future, past)...)
		exec(t, s, `UPDATE segments SET valid_to = $1 WHERE part = 99`, noon)
		exec(t, s, `INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at) VALUES ($1, 'c', $1, '', '', 0, now())`, group)
		var roster []uuid.UUID
		for _, p := range []string{"a", "c", "d"} {
			roster = append(roster, models.MemberID(p))
			exec(t, s, `INSERT INTO group_members (group_id, member_id) VALUES ($1, $2)`, group, roster[len(roster)-1])
		}
		types := rapid.SampledFrom([][]int16{nil, {typeObs}, {typeObs, 7}, {99}}).Draw(rt, "types")
		wanted := func(typ int16) bool { return len(types) == 0 || slices.Contains(types, typ) }

		loads := func(fn func(func(store.Load) error) error) map[uuid.UUID]int64 {
			got, last := map[uuid.UUID]int64{}, uuid.UUID{}
			require.NoError(rt, fn(func(l store.Load) error {
				require.Negative(rt, bytes.Compare(last[:], l.Member[:]), "in member order")
				last, got[l.Member] = l.Member, l.Lines
				require.Equal(rt, l.Lines > 0, l.Packed > 0)
				return nil
			}))
			return got
		}
		sum := func(member uuid.UUID) (n int64) {
			for at, segments := range held {
				if at.member == member && wanted(at.typ) {
					for _, lines := range segments {
						n += int64(len(lines))
					}
				}
			}
			return n
		}
		want := map[uuid.UUID]int64{}
		for m := range members {
			if held[place{m, typePatient}] != nil && models.IsMember(m) {
				want[m] = sum(m)
			}
		}
		require.Equal(rt, want, loads(func(fn func(store.Load) error) error { return s.Loads(t.Context(), "", "", types, nil, noon, fn) }))
		want = map[uuid.UUID]int64{}
		for _, m := range roster {
			want[m] = sum(m)
		}
		require.Equal(rt, want, loads(func(fn func(store.Load) error) error { return s.Loads(t.Context(), group, "", types, nil, noon, fn) }))
		want = map[uuid.UUID]int64{}
		if shard := models.SharedID("Practitioner", "x"); sum(shard) > 0 {
			want[shard] = sum(shard)
		}
		require.Equal(rt, want, loads(func(fn func(store.Load) error) error { return s.SharedLoads(t.Context(), types, noon, fn) }))

		w := window(rt)
		keep := func(l segment.Line) bool { return w.Wants(l.LastUpdated, l.ServiceEnd, l.ServiceEnd != segment.NoDate) }
		for name, list := range map[string][]uuid.UUID{"range": nil, "group": roster} {
			got := map[string]bool{}
			require.NoError(rt, s.InSnapshot(t.Context(), noon, func(view *store.Snapshot) error {
				return view.Segments(store.Chunk{Lo: uuid.UUID{}, Hi: uuid.Max}, list, types, w, func(row *store.Row) error {
					require.True(rt, wanted(row.Type))
					require.True(rt, list == nil || slices.Contains(list, row.Member))
					cut := match(rt, held[place{row.Member, row.Type}], row, keep)
					for _, l := range cut {
						got[l] = true
					}
					return nil
				})
			}))
			want := map[string]bool{}
			for at, segments := range held {
				if !wanted(at.typ) || list != nil && !slices.Contains(list, at.member) {
					continue
				}
				for _, lines := range segments {
					for _, l := range lines {
						if keep(l) {
							want[l.ID] = true
						}
					}
				}
			}
			require.Equal(rt, want, got, name)
		}
	})
}

func window(rt *rapid.T) store.Window {
	var w store.Window
	if rapid.Bool().Draw(rt, "since") {
		w.Since = new(noon.Add(time.Duration(rapid.IntRange(-4, 4).Draw(rt, "since ms")) * time.Millisecond))
	}
	if rapid.Bool().Draw(rt, "until") {
		w.Until = new(noon.Add(time.Duration(rapid.IntRange(-4, 4).Draw(rt, "until ms")) * time.Millisecond))
	}
	if rapid.Bool().Draw(rt, "service") {
		w.ServiceFrom = new(int32(rapid.IntRange(-4, 7).Draw(rt, "day")))
	}
	return w
}

// match checks a row against the segment it is and returns the ids of the lines an export would keep of it.
func match(rt *rapid.T, segments [][]segment.Line, row *store.Row, keep func(segment.Line) bool) []string {
	var lines []segment.Line
	for _, candidate := range segments {
		var raw []byte
		for _, l := range candidate {
			raw = fmt.Appendf(raw, `{"id":"%s","at":%d}`+"\n", l.ID, l.LastUpdated)
		}
		sum := segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))}
		if row.Cut == store.CutOutside || row.Cut == store.CutOld {
			if int64(len(raw)) == row.RawLen && !slices.ContainsFunc(candidate, keep) {
				lines = candidate
			}
			continue
		}
		if got, err := segment.InflateSum(nil, row.Data, sum); err == nil && bytes.Equal(got, raw) {
			lines = candidate
		}
	}
	require.NotNil(rt, lines, "no such segment")
	require.EqualValues(rt, len(lines), row.Lines)
	var kept []string
	for _, l := range lines {
		if keep(l) {
			kept = append(kept, l.ID)
		}
	}
	switch row.Cut {
	case store.CutOutside, store.CutOld:
		require.Nil(rt, row.Data)
		require.Empty(rt, kept)
	case store.CutWhole:
		require.Len(rt, kept, len(lines))
		require.Nil(rt, row.Entries)
	case store.CutEdge:
		entries, err := segment.DecodeIndex(row.Entries)
		require.NoError(rt, err)
		require.Len(rt, entries, len(lines))
	}
	return kept
}

// No purge takes what an export that runs, or one that begins while an import is on its way, has to see.
func TestPurgeKeepsWhatIsSeen(t *testing.T) {
	t.Parallel()
	s := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		exec(t, s, `DELETE FROM segments`)
		exec(t, s, `DELETE FROM segment_lines`)
		exec(t, s, `DELETE FROM imports`)
		exec(t, s, `DELETE FROM jobs`)
		var at time.Time
		require.NoError(rt, s.Pool.QueryRow(t.Context(), `SELECT at FROM clock`).Scan(&at))
		now := at
		version := 0
		open := store.SegmentKey{}
		seen := map[string]int{} // by job: the version it sees
		current, previous := 0, 0
		merging := ""
		read := func(at time.Time) (versions []int) {
			require.NoError(rt, s.InSnapshot(t.Context(), at, func(view *store.Snapshot) error {
				return view.Segments(store.Chunk{Hi: uuid.Max}, nil, nil, store.Window{}, func(row *store.Row) error {
					versions = append(versions, int(row.Type))
					return nil
				})
			}))
			return versions
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				for id, version := range seen {
					job, err := s.Job(t.Context(), id)
					require.NoError(rt, err)
					if version > 0 {
						require.Equal(rt, []int{version}, read(*job.TransactionTime))
					} else {
						require.Empty(rt, read(*job.TransactionTime))
					}
				}
			},
			"time passes": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "ms")) * time.Millisecond)
			},
			"import": func(rt *rapid.T) {
				if merging != "" {
					return
				}
				merging = newImport(t, s)
				imp, _, err := s.TakeTurn(t.Context(), merging, now)
				require.NoError(rt, err)
				version++
				previous, current = current, version
				key := store.SegmentKey{Member: models.MemberID("p"), Type: int16(version), ValidFrom: *imp.EffectiveAt}
				m := &store.Merge{At: *imp.EffectiveAt, Insert: []store.Segment{pack(t, key, segment.Line{ID: "o", ServiceStart: segment.NoDate, ServiceEnd: segment.NoDate})}}
				if open != (store.SegmentKey{}) {
					m.Close = append(m.Close, open)
				}
				open = key
				require.NoError(rt, s.MergeMembers(t.Context(), []uuid.UUID{key.Member}, m.At, func(*store.MergeTx) (*store.Merge, error) { return m, nil }, nil))
			},
			"finish": func(rt *rapid.T) {
				if merging != "" {
					require.NoError(rt, s.FinishImport(t.Context(), merging, models.StateCompleted, models.ImportStats{}, "", now))
					merging = ""
				}
			},
			"export": func(*rapid.T) {
				if len(seen) == 2 {
					return
				}
				id := startJob(t, s, now).ID
				seen[id] = current
				if merging != "" {
					seen[id] = previous
				}
			},
			"end": func(rt *rapid.T) {
				for id := range seen {
					require.NoError(rt, s.FailJob(t.Context(), id, models.StateCancelled, "", now))
					delete(seen, id)
					return
				}
			},
			"purge": func(rt *rapid.T) {
				_, err := s.PurgeSegments(t.Context())
				require.NoError(rt, err)
				if len(seen) == 0 && merging == "" && current > 0 {
					require.Equal(rt, 1, count(t, s, "segments"))
					require.Equal(rt, 1, count(t, s, "segment_lines"))
				}
			},
		})
	})
}

func TestOwners(t *testing.T) {
	t.Parallel()
	s := open(t)
	undated := func(id string) segment.Line {
		return segment.Line{ID: id, ServiceStart: segment.NoDate, ServiceEnd: segment.NoDate}
	}
	a, b, c := models.MemberID("a"), models.MemberID("b"), models.SharedID("Practitioner", "x")
	put(t, s,
		pack(t, store.SegmentKey{Member: a, Type: typeObs, ValidFrom: noon, Part: 1}, undated("1"), undated("2")),
		pack(t, store.SegmentKey{Member: a, Type: typeObs, ValidFrom: noon, Part: 2}, undated("3")),
		pack(t, store.SegmentKey{Member: b, Type: typeObs, ValidFrom: noon, Part: 1}, undated("4")),
		pack(t, store.SegmentKey{Member: b, Type: 7, ValidFrom: noon, Part: 1}, undated("5")),
		pack(t, store.SegmentKey{Member: c, Type: typeObs, ValidFrom: noon, Part: 1}, undated("6")),
	)
	owners := func(ids ...string) []uuid.UUID {
		var hashes []uint64
		for _, id := range ids {
			hashes = append(hashes, segment.IDHash("Observation", id))
		}
		got, err := s.Owners(t.Context(), []int16{typeObs}, segment.NewHashSet(hashes))
		require.NoError(t, err)
		return got
	}
	sorted := []uuid.UUID{a, b}
	slices.SortFunc(sorted, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	require.Equal(t, sorted, owners("2", "3", "4"))
	require.Equal(t, []uuid.UUID{c}, owners("6", "nobody's"))
	require.Empty(t, owners("5"), "of another type")
	exec(t, s, `UPDATE segment_lines SET valid_to = $1 WHERE member_id = $2`, noon, b)
	require.Equal(t, []uuid.UUID{a}, owners("1", "4"), "of the newest state only")
	require.NoError(t, s.Analyze(t.Context()))
}
