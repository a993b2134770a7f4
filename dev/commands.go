package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pdexbulk/api/server"
	"pdexbulk/dev/docs"
	"pdexbulk/dev/e2e/conformance"
	"pdexbulk/dev/quality"
	"pdexbulk/dev/run"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack"
)

// runStack is "make run".
func runStack(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	o := run.Options{Out: os.Stdout}
	f.StringVar(&o.Dir, "dir", "", "folder that keeps the state (default dev/.state)")
	f.IntVar(&o.Members, "members", 0, "members to make at the first start (default 200)")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	return 0, run.Run(ctx, o)
}

// printToken prints an access token for a partner of the stack that "run" has up.
func printToken(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("token", flag.ContinueOnError)
	dir := f.String("dir", "", "folder that keeps the state (default dev/.state)")
	id := f.String("client", "northlight-mutual", "the partner the token is for")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	token, err := run.Token(ctx, *dir, *id)
	if err != nil {
		return 1, err
	}
	fmt.Println(token)
	return 0, nil
}

// makeSeed makes data of any size, and a match request about them.
func makeSeed(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("seed", flag.ContinueOnError)
	var o seed.Options
	out := f.String("out", "", "folder to write to, which must be empty or absent (required)")
	anchor := f.String("anchor", "", "day the data end on, as 2026-01-31 (default today)")
	request := f.Int("request", 0, "people to ask for in request.json (default: no request)")
	f.IntVar(&o.Members, "members", 1000, "members on the roster")
	f.Uint64Var(&o.Seed, "seed", 7, "other seeds make other members")
	f.Float64Var(&o.Density, "density", 1, "resources a member, 1 being about 100")
	f.BoolVar(&o.Gzip, "gzip", false, "compress the files")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	if *out == "" {
		return 2, errors.New("seed: name a folder with --out")
	}
	o.Anchor = time.Now()
	if *anchor != "" {
		day, err := time.Parse(time.DateOnly, *anchor)
		if err != nil {
			return 2, errors.New("seed: --anchor is a day as 2026-01-31")
		}
		o.Anchor = day
	}
	made, err := seed.Write(ctx, *out, o)
	if err != nil {
		return 1, err
	}
	fmt.Printf("seed: %d members in %d families, %d resources, %d bytes\n", made.Members, made.Families, made.Resources, made.Bytes)
	if *request == 0 {
		return 0, nil
	}
	sum, err := seed.SaveRequest(*out, o, seed.RequestOptions{Seed: o.Seed, Members: *request})
	if err != nil {
		return 1, err
	}
	fmt.Printf("seed: %s asks for %d: %d to match, %d not, %d constrained by consent\n",
		seed.RequestFile, *request, sum.Matched, sum.NoMatch, sum.Constrained)
	return 0, nil
}

// writeOpenAPI writes the description of the API.
func writeOpenAPI(_ context.Context, _ []string) (int, error) {
	text, err := server.Describe()
	if err != nil {
		return 1, err
	}
	return 0, inRoot(filepath.Join("openapi", "openapi.yaml"), func([]byte) ([]byte, error) { return text, nil })
}

// printEnv prints the environment variables the programs read.
func printEnv(_ context.Context, _ []string) (int, error) {
	fmt.Print(docs.Configuration())
	return 0, nil
}

// writeDocs writes the parts of the documentation that are made of the code.
func writeDocs(_ context.Context, _ []string) (int, error) {
	return 0, errors.Join(
		inRoot("README.md", docs.Update),
		inRoot(filepath.Join("dev", "docs", "parquet.md"), func([]byte) ([]byte, error) { return []byte(docs.Parquet()), nil }),
	)
}

// inRoot changes a file of the repository.
func inRoot(name string, change func([]byte) ([]byte, error)) error {
	root, err := stack.Root()
	if err != nil {
		return err
	}
	path := filepath.Join(root, name)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text, err := change(old)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// makeTools builds what the stack needs, once.
func makeTools(ctx context.Context, _ []string) (int, error) { return 0, stack.Prepare(ctx, os.Stdout) }

const conformanceUsage = `Usage: dev conformance [id ...]

Checks the requirements with the given ids, or whose ids begin so; without any all. It starts a system of its own to check, unless the
environment names another server:

  PDEX_CONFORMANCE_URL     its FHIR base URL
  PDEX_CONFORMANCE_CLIENT  id of a client of it that may export everything
  PDEX_CONFORMANCE_KEY     file with the client's private key, as a JSON Web Key, or with what "make run" keeps of a partner
  PDEX_CONFORMANCE_GROUP   id of a Group that the client may export, if there is one

Against "make run":

  PDEX_CONFORMANCE_URL=http://127.0.0.1:8080/fhir PDEX_CONFORMANCE_KEY=dev/.state/clients/plan-warehouse.json dev/bin/dev conformance
`

// conform is "make conformance". Arguments are ids of requirements, or what they begin with; without any all are checked.
func conform(ctx context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("conformance", flag.ContinueOnError)
	f.Usage = func() { fmt.Fprint(f.Output(), conformanceUsage) }
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	o, err := conformance.FromEnv()
	if err != nil {
		return 2, err
	}
	o.Out = os.Stderr
	if f.NArg() > 0 {
		o.Only = func(id string) bool {
			return slices.ContainsFunc(f.Args(), func(start string) bool { return strings.HasPrefix(id, start) })
		}
	}
	results, err := conformance.Run(ctx, o)
	if err != nil {
		return 1, err
	}
	conformance.Print(os.Stdout, results)
	if conformance.Failed(results) {
		return 1, nil
	}
	return 0, nil
}

// matchQuality is "make match-quality".
func matchQuality(_ context.Context, args []string) (int, error) {
	f := flag.NewFlagSet("match-quality", flag.ContinueOnError)
	o := quality.Options{Out: os.Stdout}
	f.StringVar(&o.Data, "data", "", "folder of the published sets (default ../shared/data/matching-dev beside the repository)")
	f.IntVar(&o.Members, "members", 0, "members on the rosters that are made (default 60000)")
	f.IntVar(&o.Queries, "queries", 0, "people asked for of each (default 60000, and 100000 of families)")
	f.IntVar(&o.Families, "families", 0, "rosters of families that are made to be mixed up (default 10)")
	if err := f.Parse(args); err != nil {
		return 2, err
	}
	if o.Data == "" {
		root, err := stack.Root()
		if err != nil {
			return 1, err
		}
		o.Data = filepath.Join(root, "..", "shared", "data", "matching-dev")
	}
	sound, err := quality.Run(o)
	if err != nil || !sound {
		return 1, err
	}
	return 0, nil
}
