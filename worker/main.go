// Command worker runs the workflows and activities. Configuration comes from PDEX_* environment variables.
package main

import (
	"context"
	"fmt"
	"os"

	"pdexbulk/worker/boot"
	"pdexbulk/worker/serve"
)

func main() {
	cfg := new(serve.Config)
	m := &boot.Main{
		Name: "worker", Needs: boot.NeedDatabase | boot.NeedTemporal | boot.NeedBlob,
		Environ: os.Environ(), LogTo: os.Stderr, Signals: boot.Signals(), Extra: []any{cfg},
		Setup: func(ctx context.Context, p *boot.Process) error { return serve.Setup(ctx, p, cfg) },
	}
	if err := m.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}
