package stack

import (
	"context"
	"io"
	"path/filepath"
)

// Prepare does now what the first Start would: it builds the Temporal development server and fetches Postgres, where there
// is none and the environment names none to use instead. out gets a line now and then about what is being done.
func Prepare(ctx context.Context, out io.Writer) error {
	o, err := Options{Out: out}.complete()
	if err != nil {
		return err
	}
	s := &Stack{Dir: o.Dir, out: o.Out}
	if o.DatabaseURL == "" {
		if _, err := s.postgresBinaries(ctx, filepath.Join(o.Dir, "postgres")); err != nil {
			return err
		}
	}
	if o.TemporalAddress == "" {
		_, err = s.temporalBinary(ctx)
	}
	return err
}
