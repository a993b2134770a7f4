// Command dev is for developing: it runs the product on a local stack, makes data, measures and tests. "make help" names
// the ways it is called.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"pdexbulk/dev/demo"
	"pdexbulk/dev/stack/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dev:", err)
		code = max(code, 1)
	}
	stop()
	os.Exit(code)
}

var commands = map[string]func(ctx context.Context, args []string) (int, error){
	"demo":          runDemo,
	"with-postgres": withPostgres,
}

func run(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 || commands[args[0]] == nil {
		return 2, errors.New("name a command: demo, with-postgres")
	}
	return commands[args[0]](ctx, args[1:])
}

func runDemo(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	o := demo.Options{Out: os.Stdout}
	f.IntVar(&o.Members, "members", 0, "members on the roster (default 200)")
	f.IntVar(&o.Ask, "ask", 0, "people the other payer asks for (default 60)")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	return 0, demo.Run(ctx, o)
}

// withPostgres runs a command with TEST_DATABASE_URL set to a Postgres made for it.
func withPostgres(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return 2, errors.New("with-postgres: name the command to run")
	}
	return pgtest.RunWith(ctx, args)
}
