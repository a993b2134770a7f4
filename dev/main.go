// Command dev is for developing: it runs the product on a local stack, makes data, measures and tests. "make help" names
// the ways it is called.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"pdexbulk/dev/bench"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/stack/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := dispatch(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dev:", err)
		code = max(code, 1)
	}
	stop()
	os.Exit(code)
}

var commands = map[string]func(ctx context.Context, args []string) (int, error){
	"bench":         runBench,
	"conformance":   conform,
	"demo":          runDemo,
	"docs":          writeDocs,
	"env":           printEnv,
	"match-quality": matchQuality,
	"openapi":       writeOpenAPI,
	"run":           runStack,
	"seed":          makeSeed,
	"token":         printToken,
	"tools":         makeTools,
	"with-postgres": withPostgres,
}

func dispatch(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 || commands[args[0]] == nil {
		return 2, errors.New("name a command: " + strings.Join(slices.Sorted(maps.Keys(commands)), ", "))
	}
	return commands[args[0]](ctx, args[1:])
}

func runDemo(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	o := demo.Options{Out: os.Stdout}
	f.IntVar(&o.Members, "members", 0, "members on the roster (default 200)")
	f.IntVar(&o.Ask, "ask", 0, "people the other payer asks for (default 60)")
	f.BoolVar(&o.Provider, "provider", false, "tell the story of a provider instead")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	return 0, demo.Run(ctx, o)
}

func runBench(ctx context.Context, args []string) (int, error) {
	if len(args) > 0 && args[0] == "match" {
		return runBenchMatch(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == "timing" {
		return runBenchTiming(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == "request" {
		return runBenchRequest(ctx, args[1:])
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	o := bench.Options{Out: os.Stdout}
	f.StringVar(&o.Data, "data", "", "folder of NDJSON files to measure with (default: made for it)")
	f.IntVar(&o.Members, "members", 0, "members to make data for (default 34000, about three million resources)")
	f.IntVar(&o.Rounds, "rounds", 0, "measurements of each kind (default 5)")
	f.BoolVar(&o.TokensOnly, "tokens", false, "measure what tokens cost, and nothing else")
	f.BoolVar(&o.OwnershipOnly, "ownership", false, "measure whether time tells another client's ids from nobody's, and nothing else")
	f.StringVar(&o.Dir, "dir", "", "folder to keep the loaded store in between runs (default: thrown away)")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	return 0, bench.Run(ctx, o)
}

// runBenchRequest measures one large match request.
func runBenchRequest(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("bench request", flag.ContinueOnError)
	o := bench.RequestOptions{Out: os.Stdout}
	f.IntVar(&o.Members, "members", 0, "members on the roster (default 100000)")
	f.IntVar(&o.Ask, "ask", 0, "people in the request (default 100000)")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	return 0, bench.Request(ctx, o)
}

// runBenchMatch measures matching alone.
func runBenchMatch(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("bench match", flag.ContinueOnError)
	o := bench.MatchOptions{Out: os.Stdout}
	f.IntVar(&o.Queries, "queries", 0, "people asked for at each size (default 20000)")
	f.Func("roster", "sizes of the roster, as 10000,100000,1000000 (default 10000,100000)", func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return errors.New("sizes are numbers with commas between")
			}
			o.Rosters = append(o.Rosters, n)
		}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	return 0, bench.Match(ctx, o)
}

// runBenchTiming compares how long matches take.
func runBenchTiming(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("bench timing", flag.ContinueOnError)
	o := bench.TimingOptions{Out: os.Stdout}
	f.IntVar(&o.Requests, "requests", 0, "members who opted out to ask for, and as many strangers (default 2000)")
	f.IntVar(&o.Parallel, "parallel", 0, "pairs to have under way at a time (default 4)")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	return 0, bench.Timing(ctx, o)
}

// withPostgres runs a command with TEST_DATABASE_URL set to a Postgres made for it.
func withPostgres(ctx context.Context, args []string) (int, error) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return 2, errors.New("with-postgres: name the command to run")
	}
	return pgtest.RunWith(ctx, args)
}
