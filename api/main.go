// Command api serves the FHIR operations and the admin API. Configuration comes from PDEX_* environment variables.
package main

import (
	"context"
	"fmt"
	"os"

	"pdexbulk/api/server"
	"pdexbulk/worker/boot"
)

func main() {
	cfg := new(server.Config)
	m := &boot.Main{
		Name: "api", Environ: os.Environ(), LogTo: os.Stderr, Signals: boot.Signals(), Extra: []any{cfg},
		Setup: func(ctx context.Context, p *boot.Process) error { return server.Setup(ctx, p, cfg) },
	}
	if err := m.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}
