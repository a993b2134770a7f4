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
	"strings"
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

// Match measures how many people a second are read, looked up in Postgres, decided and stored, on rosters that grow. Each roster
// is a database of its own in one server; the members go into the index by COPY, with the parts an import makes. The last line is
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
	server, err := matchServer(ctx, scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Abandon(context.WithoutCancel(ctx))) }()

	rosters := make([]roster, len(o.Rosters))
	for i, size := range slices.Sorted(slices.Values(o.Rosters)) {
		started := time.Now()
		if rosters[i], err = loadRoster(ctx, server, size); err != nil {
			return err
		}
		defer rosters[i].store.Close()
		fmt.Fprintf(o.Out, "roster    %9d members in the index after %.1fs\n", size, time.Since(started).Seconds())
		// Other people first, so that what is measured is neither Postgres's first look at its pages nor what it has just seen.
		if _, err := rosters[i].matchAll(ctx, o.Queries, warmSeed); err != nil {
			return err
		}
	}
	growth, err := matchRounds(ctx, rosters, o.Queries)
	if err != nil {
		return err
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	var line strings.Builder
	line.WriteString("bench-match:")
	for _, r := range rosters {
		mid := r.rounds[len(r.rounds)/2]
		rate := float64(o.Queries) / mid.took.Seconds()
		fmt.Fprintf(o.Out, "match     %9d members, %d people in %6.2fs: %7.0f people/s, %5.0f µs of CPU and %.1f candidates each, %d found\n",
			r.size, o.Queries, mid.took.Seconds(), rate, 1e6*mid.cost, float64(mid.candidates)/float64(o.Queries), mid.found)
		fmt.Fprintf(&line, " %d=%.0f", r.size, rate)
	}
	if len(rosters) > 1 {
		fmt.Fprintf(&line, " growth=%.2f", growth)
	}
	fmt.Fprintf(o.Out, "heap      %9d MB\n%s\n", mem.HeapSys>>20, line.String())
	return nil
}

// roster is a number of members in a database of their own, and what was measured on them.
type roster struct {
	size   int
	store  *store.Store
	names  *match.Model
	rounds []matched
}

// matchRounds asks each roster in turn, for others each time, sorts what it measured by cost, and returns the middle growth from
// the first roster to the last. What else the machine does meanwhile so bears on all rosters alike, and shows in single rounds.
func matchRounds(ctx context.Context, rosters []roster, queries int) (float64, error) {
	growths := make([]float64, 9)
	for n := range growths {
		for i := range rosters {
			r := &rosters[i]
			before, err := used(ctx, r.store)
			if err != nil {
				return 0, err
			}
			sum, err := r.matchAll(ctx, queries, askSeed+uint64(n))
			if err != nil {
				return 0, err
			}
			after, err := used(ctx, r.store)
			if err != nil {
				return 0, err
			}
			sum.cost = (after - before).Seconds() / float64(queries)
			r.rounds = append(r.rounds, sum)
		}
		small, large := rosters[0], rosters[len(rosters)-1]
		growths[n] = math.Log(large.rounds[n].cost/small.rounds[n].cost) / math.Log(math.Log(float64(large.size))/math.Log(float64(small.size)))
	}
	for _, r := range rosters {
		slices.SortFunc(r.rounds, func(a, b matched) int { return cmp.Compare(a.cost, b.cost) })
	}
	slices.Sort(growths)
	return growths[len(growths)/2], nil
}

// matchServer is a Postgres made for the run, with the settings of a production server.
func matchServer(ctx context.Context, scratch *folder.Scratch) (*postgres.Server, error) {
	found := postgres.Find(ctx)
	if len(found) == 0 {
		return nil, postgres.ErrNoBinaries
	}
	log, err := os.Create(filepath.Join(scratch.Path, "postgres.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the server has its own
	return postgres.Start(ctx, postgres.Config{
		Binaries: found[0], Dir: filepath.Join(scratch.Path, "pg"), Password: rand.Text(), SharedBuffers: "3GB", Log: log, Inherit: []*os.File{scratch.Hold()},
	})
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

// loadRoster makes a database of some members.
func loadRoster(ctx context.Context, server *postgres.Server, size int) (roster, error) {
	database := fmt.Sprintf("roster_%d", size)
	if err := createDatabase(ctx, server, database); err != nil {
		return roster{}, err
	}
	if err := store.Migrate(ctx, server.URL(database)); err != nil {
		return roster{}, err
	}
	s, err := store.Open(ctx, server.URL(database))
	if err != nil {
		return roster{}, err
	}
	r := roster{size: size, store: s}
	if err := r.load(ctx); err != nil {
		s.Close()
		return roster{}, err
	}
	return r, nil
}

func createDatabase(ctx context.Context, server *postgres.Server, name string) error {
	conn, err := pgx.Connect(ctx, server.URL(""))
	if err != nil {
		return fmt.Errorf("make a database: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("make a database: %w", err)
	}
	return nil
}

// load puts the members into the index, and counts their names.
func (r *roster) load(ctx context.Context) error {
	const batch = 5000
	var patients []string
	var parts []store.MemberPart
	var names match.Trainer
	flush := func() error {
		if len(patients) == 0 {
			return nil
		}
		err := r.store.LoadParts(ctx, patients, parts, time.Now())
		patients, parts = patients[:0], parts[:0]
		return err
	}
	if _, err := r.store.Pool.Exec(ctx, "ALTER TABLE member_keys DROP CONSTRAINT member_keys_pkey"); err != nil {
		return fmt.Errorf("prepare the load: %w", err)
	}
	err := seed.Trial(matchSeed(r.size), seed.TrialOptions{}, func(m seed.TrialMember) error {
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
		patients, parts = append(patients, m.ID), append(parts, made...)
		if len(patients) < batch {
			return ctx.Err()
		}
		return flush()
	}, nil)
	if err := errors.Join(err, flush()); err != nil {
		return err
	}
	for _, sql := range []string{"ALTER TABLE member_keys ADD PRIMARY KEY (key, member_id, source)", "VACUUM (ANALYZE) members", "VACUUM (ANALYZE) member_parts", "VACUUM (ANALYZE) member_keys"} {
		if _, err := r.store.Pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
	}
	r.names = names.Train()
	r.names.Today = int32(matchSeed(1).Anchor.Unix() / 86400)
	return nil
}

// asking is a slice of people as they were submitted.
type asking struct {
	slice int
	lines [][2][]byte // Patient and Coverage
}

// matched is what became of some people asked for.
type matched struct {
	took              time.Duration
	cost              float64 // CPU seconds a person
	found, candidates int
}

// matchAll asks for people in slices. The people are made beforehand.
func (r *roster) matchAll(ctx context.Context, queries int, asks uint64) (matched, error) {
	var slicesOf []asking
	err := seed.Trial(matchSeed(r.size), seed.TrialOptions{Seed: asks, Queries: queries}, nil, func(q seed.TrialQuery) error {
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
	_, err = r.store.Pool.Exec(ctx, `INSERT INTO jobs (id, client_id, operation, request_url, request_digest, state, created_at)
		VALUES ($1, 'bench', 'bulk-member-match', '', '', 'running', now())`, job)
	if err != nil {
		return matched{}, err
	}
	_, err = r.store.Pool.Exec(ctx, `INSERT INTO match_slices (job_id, slice, first, members, byte_offset, byte_length)
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
			sum, err := matchOne(ctx, r.store, r.names, job, a)
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
