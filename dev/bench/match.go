package bench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"pdexbulk/activities"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack/cpu"
	"pdexbulk/dev/stack/folder"
	"pdexbulk/dev/stack/postgres"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// MatchOptions say what to measure matching with.
type MatchOptions struct {
	Rosters []int // sizes, ascending; none means 10,000 and 100,000
	Queries int   // people asked for at each size and each of five times; 0 means 20,000
	Out     io.Writer
}

// matchSlice is how many people one activity matches, as kick-off cuts a request.
const matchSlice = 500

// matchParallel is how many slices are under way at once, as the default of PDEX_RUN_PARALLEL.
const matchParallel = 4

// Match measures how many people a second are read, looked up in Postgres, decided and stored, on rosters that grow. The
// members go into the index by COPY, with the parts an import makes. The last line is
//
//	bench-match: <roster>=<people a second> ... growth=<exponent>
//
// where growth is the CPU time a person takes, Postgres's included, on the largest roster over that on the smallest, against
// the logarithms of their sizes: 1 is as the logarithm, less is slower growth.
func Match(ctx context.Context, o MatchOptions) (err error) {
	if len(o.Rosters) == 0 {
		o.Rosters = []int{10_000, 100_000}
	}
	if o.Queries == 0 {
		o.Queries = 20_000
	}
	scratch, err := folder.NewScratch(os.TempDir(), "pdex-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Remove(context.WithoutCancel(ctx))) }()
	s, server, err := matchStore(ctx, scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Abandon(context.WithoutCancel(ctx))) }()
	defer s.Close()

	line, first, last := "bench-match:", 0., 0.
	loaded := 0
	for _, size := range slices.Sorted(slices.Values(o.Rosters)) {
		started := time.Now()
		if _, err := s.Pool.Exec(ctx, "ALTER TABLE member_keys DROP CONSTRAINT member_keys_pkey"); err != nil {
			return fmt.Errorf("prepare the load: %w", err)
		}
		names, err := loadRoster(ctx, s, loaded, size)
		if err != nil {
			return err
		}
		for _, sql := range []string{"ALTER TABLE member_keys ADD PRIMARY KEY (key, member_id, source)", "VACUUM (ANALYZE) members", "VACUUM (ANALYZE) member_parts", "VACUUM (ANALYZE) member_keys"} {
			if _, err := s.Pool.Exec(ctx, sql); err != nil {
				return fmt.Errorf("vacuum: %w", err)
			}
		}
		fmt.Fprintf(o.Out, "roster    %9d members in the index after %.1fs\n", size, time.Since(started).Seconds())
		loaded = size
		// Other people first, so that what is measured is neither Postgres's first look at its pages nor what it has just seen.
		if _, err := matchAll(ctx, s, names, size, o.Queries, warmSeed); err != nil {
			return err
		}
		sum, cost, err := matchMedian(ctx, s, names, size, o.Queries)
		if err != nil {
			return err
		}
		rate := float64(o.Queries) / sum.took.Seconds()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		fmt.Fprintf(o.Out, "match     %9d people in %6.2fs: %7.0f people/s, %5.0f µs of CPU and %.1f candidates each, %d found, heap %d MB\n",
			o.Queries, sum.took.Seconds(), rate, 1e6*cost, float64(sum.candidates)/float64(o.Queries), sum.found, mem.HeapSys>>20)
		line += fmt.Sprintf(" %d=%.0f", size, rate)
		if first == 0 {
			first = cost
		}
		last = cost
	}
	if n := len(o.Rosters); n > 1 {
		line += fmt.Sprintf(" growth=%.2f", math.Log(last/first)/math.Log(math.Log(float64(slices.Max(o.Rosters)))/math.Log(float64(slices.Min(o.Rosters)))))
	}
	fmt.Fprintln(o.Out, line)
	return nil
}

// matchMedian asks for others each time, and returns the time whose cost is the middle one: what else the machine does shows in
// single ones. The cost is CPU seconds a person.
func matchMedian(ctx context.Context, s *store.Store, model *match.Model, roster, queries int) (matched, float64, error) {
	type round struct {
		sum  matched
		cost float64
	}
	rounds := make([]round, 5)
	for i := range rounds {
		before, err := used(ctx, s)
		if err != nil {
			return matched{}, 0, err
		}
		if rounds[i].sum, err = matchAll(ctx, s, model, roster, queries, askSeed+uint64(i)); err != nil {
			return matched{}, 0, err
		}
		after, err := used(ctx, s)
		if err != nil {
			return matched{}, 0, err
		}
		rounds[i].cost = (after - before).Seconds() / float64(queries)
	}
	slices.SortFunc(rounds, func(a, b round) int { return cmp.Compare(a.cost, b.cost) })
	mid := rounds[len(rounds)/2]
	return mid.sum, mid.cost, nil
}

// matchStore is a Postgres made for the run, with the settings of a production server.
func matchStore(ctx context.Context, scratch *folder.Scratch) (*store.Store, *postgres.Server, error) {
	found := postgres.Find(ctx)
	if len(found) == 0 {
		return nil, nil, postgres.ErrNoBinaries
	}
	log, err := os.Create(filepath.Join(scratch.Path, "postgres.log"))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close() // the server has its own
	server, err := postgres.Start(ctx, postgres.Config{
		Binaries: found[0], Dir: filepath.Join(scratch.Path, "pg"), Password: rand.Text(), SharedBuffers: "3GB", Log: log, Inherit: []*os.File{scratch.Hold()},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := store.Migrate(ctx, server.URL("")); err != nil {
		return nil, nil, errors.Join(err, server.Abandon(context.WithoutCancel(ctx)))
	}
	s, err := store.Open(ctx, server.URL(""))
	if err != nil {
		return nil, nil, errors.Join(err, server.Abandon(context.WithoutCancel(ctx)))
	}
	return s, server, nil
}

// used is the CPU time that this process and the sessions of the store's Postgres have used.
func used(ctx context.Context, s *store.Store) (time.Duration, error) {
	rows, err := s.Pool.Query(ctx, `SELECT pid FROM pg_stat_activity WHERE datname = current_database()`)
	if err != nil {
		return 0, fmt.Errorf("list sessions: %w", err)
	}
	sessions, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return 0, fmt.Errorf("list sessions: %w", err)
	}
	return cpu.Used(sessions...)
}

// Who is asked for to warm up, and who is asked for first to measure.
const (
	warmSeed = 5
	askSeed  = 6
)

func matchSeed(members int) seed.Options {
	return seed.Options{Seed: 23, Members: members, Anchor: time.Date(2026, 6, 30, 0, 0, 0, 0, time.UTC)}
}

// loadRoster adds members after the first ones up to a number, and counts the names of all.
func loadRoster(ctx context.Context, s *store.Store, have, want int) (*match.Model, error) {
	const batch = 5000
	var patients []string
	var parts []store.MemberPart
	var names match.Trainer
	flush := func() error {
		if len(patients) == 0 {
			return nil
		}
		err := s.LoadParts(ctx, patients, parts, time.Now())
		patients, parts = patients[:0], parts[:0]
		return err
	}
	n := 0
	err := seed.Trial(matchSeed(want), seed.TrialOptions{}, func(m seed.TrialMember) error {
		resources := [][]byte{m.Patient}
		for line := range bytes.Lines(m.Coverages) {
			resources = append(resources, line)
		}
		made := activities.IndexParts(m.ID, resources...)
		p, err := match.ParseRecord(made[0].Record)
		if err != nil {
			return err
		}
		names.Count(&p)
		if n++; n <= have {
			return nil
		}
		patients, parts = append(patients, m.ID), append(parts, made...)
		if len(patients) < batch {
			return ctx.Err()
		}
		return flush()
	}, nil)
	if err := errors.Join(err, flush()); err != nil {
		return nil, err
	}
	model := names.Train()
	model.Today = int32(matchSeed(1).Anchor.Unix() / 86400)
	return model, nil
}

// asking is a slice of people as they were submitted.
type asking struct {
	slice int
	lines [][2][]byte // Patient and Coverage
}

// matched is what became of some people asked for.
type matched struct {
	took              time.Duration
	found, candidates int
}

// matchAll asks for people in slices. The people are made beforehand.
func matchAll(ctx context.Context, s *store.Store, model *match.Model, roster, queries int, asks uint64) (matched, error) {
	var slicesOf []asking
	err := seed.Trial(matchSeed(roster), seed.TrialOptions{Seed: asks, Queries: queries}, nil, func(q seed.TrialQuery) error {
		if n := len(slicesOf); n == 0 || len(slicesOf[n-1].lines) == matchSlice {
			slicesOf = append(slicesOf, asking{slice: n})
		}
		a := &slicesOf[len(slicesOf)-1]
		a.lines = append(a.lines, [2][]byte{q.Patient, q.Coverage})
		return nil
	})
	if err != nil {
		return matched{}, err
	}
	job := uuid.NewString()
	_, err = s.Pool.Exec(ctx, `INSERT INTO jobs (id, client_id, operation, request_url, request_digest, state, created_at)
		VALUES ($1, 'bench', 'bulk-member-match', '', '', 'running', now())`, job)
	if err != nil {
		return matched{}, err
	}
	_, err = s.Pool.Exec(ctx, `INSERT INTO match_slices (job_id, slice, first, members, byte_offset, byte_length)
		SELECT $1::uuid, n, n * $2, $2, 0, 0 FROM generate_series(0, $3::int - 1) AS n`, job, matchSlice, len(slicesOf))
	if err != nil {
		return matched{}, err
	}
	sums := make([]matched, len(slicesOf))
	started := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(matchParallel)
	for i, a := range slicesOf {
		group.Go(func() error {
			sum, err := matchOne(ctx, s, model, job, a)
			sums[i] = sum
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return matched{}, err
	}
	total := matched{took: time.Since(started)}
	for _, sum := range sums {
		total.found, total.candidates = total.found+sum.found, total.candidates+sum.candidates
	}
	return total, nil
}

// matchOne does with a slice what the activity does: read, find, decide, store.
func matchOne(ctx context.Context, s *store.Store, model *match.Model, job string, a asking) (sum matched, err error) {
	people := make([]match.Person, len(a.lines))
	for i, l := range a.lines {
		who, err := fhir.ParsePatient(l[0])
		if err != nil {
			return sum, err
		}
		cards, err := fhir.ParseCards(l[1])
		if err != nil {
			return sum, err
		}
		people[i] = match.FromPatient(who)
		people[i].AddCards(cards)
	}
	decisions, err := activities.FindMembers(ctx, s, model, people)
	if err != nil {
		return sum, err
	}
	outcomes := make([]store.Outcome, len(people))
	for i, d := range decisions {
		sum.candidates += d.Candidates
		outcomes[i] = store.Outcome{
			Idx: int32(a.slice*matchSlice + i), Outcome: store.OutcomeNoMatch, Reason: string(d.Reason), Grade: string(d.Grade), Explanation: d.Explain(),
		}
		if d.Matched {
			sum.found++
			outcomes[i].Outcome, outcomes[i].Member = store.OutcomeMatched, &d.Member
		}
	}
	return sum, s.SaveOutcomes(ctx, job, a.slice, outcomes)
}
