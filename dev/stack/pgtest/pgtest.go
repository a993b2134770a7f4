// Package pgtest gives every test a Postgres database of its own, migrated and empty, in some 30 ms: a clone of a
// template that is migrated once a process.
//
// The server is the one TEST_DATABASE_URL names, a URL whose role may create databases, over a connection that is not
// pooled by transaction. Without it each test process starts a private one from locally installed binaries, which
// listens on a unix socket alone and goes with the process, however that ends. RunWith starts one server for many test
// processes.
//
// The server is tuned for tests: no fsync, no autovacuum. What depends on either must be tested elsewhere.
package pgtest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// New returns the URL of a fresh database, which is dropped when the test ends. The database is a clone of one that
// migrate has worked on; migrate must have closed its connections when it returns, and nil means an empty database.
// Each migrate function runs once a process: two closures of the same code count as one function.
//
// Where no server is to be had the test is skipped, and fails when the environment has CI=true.
func New(t testing.TB, migrate func(ctx context.Context, dsn string) error) (dsn string) {
	t.Helper()
	h, err := host()
	if errors.Is(err, errNoServer) && os.Getenv("CI") != "true" {
		t.Skipf("pgtest: %v", err)
	}
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	template, err := h.template(migrate)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name, err := h.clone(t.Context(), template)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the test's own context is over
		defer cancel()
		if err := h.drop(ctx, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return h.dsn(name)
}
