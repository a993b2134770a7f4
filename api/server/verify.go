package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"pdexbulk/api/audit"
	"pdexbulk/worker/boot"
)

// ErrTampered says that the audit log is not as it was written.
var ErrTampered = errors.New("the audit log is not as it was written")

// VerifyAudit reads the audit log and writes what it finds as JSON. ErrTampered when that is not all well.
func VerifyAudit(ctx context.Context, p *boot.Process, cfg *Config, out io.Writer) error {
	g, err := cfg.guards(p.Config.Dev)
	if err != nil {
		return err
	}
	report, err := (&audit.Sealer{Store: p.Store, Files: p.Blob, Keys: g.auditKeys, Log: p.Log}).Verify(ctx)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	fmt.Fprintf(out, "%s\n", text)
	if !report.Sound {
		return ErrTampered
	}
	return nil
}
