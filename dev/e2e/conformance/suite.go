package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"pdexbulk/dev/client"
)

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	Todo Outcome = "todo"
	NA   Outcome = "n/a"
)

// Result is a row of the table.
type Result struct {
	Requirement
	Outcome Outcome
	// Reason is what was seen, for a pass what was checked.
	Reason string
}

// Options say what to check, and where.
type Options struct {
	// BaseURL is the FHIR base of a server to check; "" starts a system.
	BaseURL string
	// ClientID and Key are a client of that server; GroupID, unless "", is a Group it may export.
	ClientID string
	Key      *client.Key
	GroupID  string
	// Only says which requirements to check; nil means all.
	Only func(id string) bool
	// Out gets a line now and then about what is being done; nil discards them.
	Out io.Writer
}

// FromEnv returns the options that the environment asks for: PDEX_CONFORMANCE_URL, with PDEX_CONFORMANCE_CLIENT,
// PDEX_CONFORMANCE_KEY (a file with a private JSON Web Key, or what "make run" keeps of a partner, which names the client too) and
// PDEX_CONFORMANCE_GROUP.
func FromEnv() (Options, error) {
	o := Options{
		BaseURL: os.Getenv("PDEX_CONFORMANCE_URL"), ClientID: os.Getenv("PDEX_CONFORMANCE_CLIENT"),
		GroupID: os.Getenv("PDEX_CONFORMANCE_GROUP"),
	}
	if o.BaseURL == "" {
		return Options{}, nil
	}
	text, err := os.ReadFile(os.Getenv("PDEX_CONFORMANCE_KEY"))
	if err != nil {
		return o, fmt.Errorf("read the key of PDEX_CONFORMANCE_KEY: %w", err)
	}
	var kept struct {
		ClientID string          `json:"clientId"`
		Key      json.RawMessage `json:"key"`
	}
	if json.Unmarshal(text, &kept) == nil && len(kept.Key) > 0 {
		o.ClientID, text = cmp.Or(o.ClientID, kept.ClientID), kept.Key
	}
	if o.Key, err = client.ParseKey(text); err != nil {
		return o, fmt.Errorf("read the key of PDEX_CONFORMANCE_KEY: %w", err)
	}
	return o, nil
}

// phase is when a check runs.
type phase int

const (
	together phase = iota // with the others
	held                  // while no worker runs, so that jobs stay as they are
	away                  // while the database is away
)

// check is the check of one requirement.
type check struct {
	id string
	// about says what is checked, for the table.
	about string
	run   func(t *T)
	phase phase
	// slow checks wait for something and are started first.
	slow bool
}

// registry holds all checks by id.
func registry() (map[string]check, error) {
	all := map[string]check{}
	for _, group := range [][]check{
		kickoffChecks, dataExportChecks, statusChecks, heldChecks, manifestChecks, downloadChecks, deleteChecks, parameterChecks, filterChecks,
		errorChecks, capabilityChecks, smartChecks, udapChecks, matchChecks, bucketChecks, consentChecks, groupChecks, auditChecks, limitChecks,
		releaseChecks, providerChecks, attributionChecks,
	} {
		for _, c := range group {
			if _, twice := all[c.id]; twice {
				return nil, fmt.Errorf("there are two checks for %s", c.id)
			}
			all[c.id] = c
		}
	}
	return all, nil
}

const (
	// parallel is how many checks run at once against a system of our own. They wait more than they compute.
	parallel = 12
	// patience is how long one check may take.
	patience = 90 * time.Second
)

// Run runs the checks and returns their results in the order of the list. It errs when it could not run at all; failed checks
// are no error.
func Run(ctx context.Context, o Options) (_ []Result, err error) {
	requirements, err := Requirements()
	if err != nil {
		return nil, err
	}
	checks, err := registry()
	if err != nil {
		return nil, err
	}
	if o.Only != nil {
		requirements = slices.DeleteFunc(requirements, func(r Requirement) bool { return !o.Only(r.ID) })
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	w, err := newWorld(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close(context.WithoutCancel(ctx))) }()
	r := runner{world: w, results: make([]Result, len(requirements))}
	var phases [away + 1][]int // indexes of requirements
	for i, q := range requirements {
		c, ok := checks[q.ID]
		if !ok {
			r.results[i] = unchecked(q)
			continue
		}
		r.results[i].Requirement = q
		phases[c.phase] = append(phases[c.phase], i)
	}
	r.run(ctx, checks, phases[together])
	if err := r.hold(ctx, checks, phases[held]); err != nil {
		return nil, err
	}
	if err := r.outage(ctx, checks, phases[away]); err != nil {
		return nil, err
	}
	return r.results, ctx.Err()
}

// unchecked is the result of a requirement without a check.
func unchecked(q Requirement) Result {
	if about, open := openIssues[q.Issue]; open {
		return Result{q, Todo, fmt.Sprintf("issue %d, %s", q.Issue, about)}
	}
	return Result{q, Fail, fmt.Sprintf("issue %d is done and there is no check", q.Issue)}
}

type runner struct {
	world   *world
	results []Result
}

// run runs checks, several at a time.
func (r *runner) run(ctx context.Context, checks map[string]check, which []int) {
	slices.SortStableFunc(which, func(a, b int) int {
		return cmp.Compare(boolInt(checks[r.results[b].ID].slow), boolInt(checks[r.results[a].ID].slow))
	})
	workers := parallel
	if r.world.sys == nil {
		workers = 1 // one client, whose jobs are counted
	}
	tasks := make(chan int)
	var wg sync.WaitGroup
	for range min(workers, len(which)) {
		wg.Go(func() {
			for i := range tasks {
				r.results[i].Outcome, r.results[i].Reason = r.judge(ctx, checks[r.results[i].ID])
			}
		})
	}
	for _, i := range which {
		tasks <- i
	}
	close(tasks)
	wg.Wait()
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// judge runs one check. A check ends by panicking with a verdict, or by returning, which is a pass.
func (r *runner) judge(ctx context.Context, c check) (outcome Outcome, reason string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := &T{ctx: ctx, world: r.world, id: c.id}
	defer t.tidy()
	defer func() {
		if r.world.barrier != nil && !t.came {
			r.world.barrier.leave()
		}
	}()
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case verdict:
			outcome, reason = cause.outcome, cause.reason
		default:
			outcome, reason = Fail, fmt.Sprintf("the check could not make sense of an answer: %v", cause)
			fmt.Fprintf(r.world.o.Out, "%s: %s\n%s\n", c.id, reason, debug.Stack())
		}
	}()
	c.run(t)
	return Pass, c.about
}

// hold runs checks while no worker does. Those that need the work to go on wait for one another at the barrier.
func (r *runner) hold(ctx context.Context, checks map[string]check, which []int) error {
	if len(which) == 0 || r.world.sys == nil {
		r.run(ctx, checks, which)
		return nil
	}
	if len(which) > parallel {
		return fmt.Errorf("%d checks cannot wait for one another with %d at a time", len(which), parallel)
	}
	if err := r.world.stopWorker(ctx); err != nil {
		return err
	}
	r.world.barrier = newBarrier(len(which), func() error {
		_, err := r.world.sys.StartWorker(ctx)
		return err
	})
	defer func() { r.world.barrier = nil }()
	r.run(ctx, checks, which)
	return r.world.barrier.err
}

// outage runs checks while the database is away.
func (r *runner) outage(ctx context.Context, checks map[string]check, which []int) error {
	if len(which) == 0 || r.world.sys == nil {
		r.run(ctx, checks, which)
		return nil
	}
	if err := r.world.prepareOutage(ctx); err != nil {
		return err
	}
	if err := r.world.postgres.Stop(ctx); err != nil {
		return fmt.Errorf("stop Postgres: %w", err)
	}
	r.run(ctx, checks, which)
	return nil
}

// barrier is where checks of the held phase wait until all have come or ended. Then the work goes on.
type barrier struct {
	mu      sync.Mutex
	left    int
	gone    chan struct{}
	release func() error
	err     error
}

func newBarrier(n int, release func() error) *barrier {
	return &barrier{left: n, gone: make(chan struct{}), release: release}
}

// leave counts a check that has come, or one that has ended without coming.
func (b *barrier) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left--; b.left == 0 {
		b.err = b.release()
		close(b.gone)
	}
}

// Print writes the table: a line a requirement and a line with the sums.
func Print(out io.Writer, results []Result) {
	n := map[Outcome]int{}
	for _, r := range results {
		n[r.Outcome]++
		fmt.Fprintf(out, "%-6s %-4s %s\n", r.ID, r.Outcome, r.Reason)
	}
	fmt.Fprintf(out, "conformance: pass=%d fail=%d todo=%d n/a=%d\n", n[Pass], n[Fail], n[Todo], n[NA])
}

// Failed reports whether any check failed.
func Failed(results []Result) bool {
	return slices.ContainsFunc(results, func(r Result) bool { return r.Outcome == Fail })
}
