package seed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// blockFamilies families are made at once: enough to keep a processor busy, few enough to keep blocks to a few megabytes.
const blockFamilies = 8

// TruthFile is the name of the file of MemberTruth lines. It does not end in .ndjson, so that a loader leaves it alone.
const TruthFile = "truth.jsonl"

// Create opens a file of the output by its name, which holds no directory. Names come once each.
type Create func(name string) (io.WriteCloser, error)

// Summary says what was written.
type Summary struct {
	Members   int
	Families  int
	Resources int
	Bytes     int64 // uncompressed, line ends included, the truth not
	Types     []TypeSummary
}

// TypeSummary is the part of a Summary about one resource type.
type TypeSummary struct {
	Type  Type
	Count int
	Bytes int64
	Files []string
}

// Write generates the world into a directory, which is made if need be and must be empty. It returns an error if the
// options are out of bounds, the directory cannot be written or ctx ends; what was written by then stays.
func Write(ctx context.Context, dir string, o Options) (Summary, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Summary{}, fmt.Errorf("make seed directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Summary{}, fmt.Errorf("read seed directory: %w", err)
	}
	if len(entries) > 0 {
		return Summary{}, errors.New("seed directory is not empty")
	}
	return Generate(ctx, func(name string) (io.WriteCloser, error) {
		return os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	}, o)
}

// Generate streams the world into the files create opens: one or more a type that occurs, and TruthFile. Blocks of
// families are made by Options.Workers goroutines and written in order by one, so memory stays at a few megabytes a worker.
func Generate(ctx context.Context, create Create, o Options) (Summary, error) {
	if err := o.validate(); err != nil {
		return Summary{}, err
	}
	ends := o.roster()
	blocks := (ends.families + blockFamilies - 1) / blockFamilies
	workers := o.workers()

	type job struct {
		number uint64
		block  *block
		made   chan<- *block
	}
	pool := make(chan *block, 2*workers) // bounds what is in memory
	for range cap(pool) {
		pool <- new(block)
	}
	jobs := make(chan job)
	order := make(chan (<-chan *block), cap(pool))
	group, ctx := errgroup.WithContext(ctx)

	group.Go(func() error {
		defer close(jobs)
		defer close(order)
		for n := range blocks {
			made := make(chan *block, 1)
			select {
			case b := <-pool:
				order <- made // never blocks: no more than the pool holds are under way
				select {
				case jobs <- job{n, b, made}:
				case <-ctx.Done():
					return ctx.Err()
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range workers {
		group.Go(func() error {
			g := newGenerator(o, ends)
			for j := range jobs {
				g.block(j.number, j.block)
				j.made <- j.block
			}
			return nil
		})
	}
	out := newOutput(create, o)
	group.Go(func() error {
		for made := range order {
			select {
			case b := <-made:
				if err := out.block(b); err != nil {
					return err
				}
				pool <- b
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	err := errors.Join(group.Wait(), out.close())
	out.summary.Families = int(ends.families)
	return out.summary, err
}

// generator makes blocks. It keeps the market of the last family, since neighbours share it.
type generator struct {
	world
	ends   roster
	ids    bool
	market *market
}

func newGenerator(o Options, ends roster) *generator {
	return &generator{world: o.world(), ends: ends, ids: o.TruthIDs}
}

// block fills b with families [number*blockFamilies, (number+1)*blockFamilies) and, where a market begins, its directory.
func (g *generator) block(number uint64, b *block) {
	b.reset()
	first := number * blockFamilies
	if first == 0 {
		newDirectory(g.world, b, ^uint64(0)).plan()
	}
	if n := first / marketFamilies; g.market == nil || g.market.number != n {
		g.market = g.world.market(n)
	}
	if first%marketFamilies == 0 {
		newDirectory(g.world, b, g.market.number).market(g.market)
	}
	e := emitter{world: g.world, out: b, keep: g.ids, cutoff: g.anchor.addYears(-LookbackYears)}
	for k := first; k < min(first+blockFamilies, g.ends.families); k++ {
		h := g.ends.household(g.world, k)
		for i := range h.people {
			if !h.people[i].absent {
				e.member(h, &h.people[i], g.market)
			}
		}
	}
}
