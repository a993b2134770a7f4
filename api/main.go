// Command api serves the FHIR operations and the admin API. "api verify-audit" reads the audit log instead, prints what it finds
// as JSON, and fails when the log was tampered with. Configuration comes from PDEX_* environment variables.
package main

import (
	"context"
	"fmt"
	"os"

	"pdexbulk/api/server"
	"pdexbulk/worker/boot"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	cfg := new(server.Config)
	m := &boot.Main{Name: "api", Environ: os.Environ(), LogTo: os.Stderr, Signals: boot.Signals(), Extra: []any{cfg}}
	switch {
	case len(args) == 0:
		m.Setup = func(ctx context.Context, p *boot.Process) error { return server.Setup(ctx, p, cfg) }
		return m.Run(context.Background())
	case len(args) == 1 && args[0] == "verify-audit":
		ctx, done := context.WithCancel(context.Background())
		defer done()
		m.Needs = boot.NeedDatabase | boot.NeedBlob
		m.Setup = func(ctx context.Context, p *boot.Process) error {
			defer done()
			return server.VerifyAudit(ctx, p, cfg, os.Stdout)
		}
		return m.Run(ctx)
	default:
		return fmt.Errorf("the only argument there is, is verify-audit")
	}
}
