package audit_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/audit"
	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
)

// BenchmarkLog is what requests that wait for their events come to, 64 a processor at once, and BenchmarkSeal what it takes to
// chain an event.
func BenchmarkLog(b *testing.B) {
	s := openStore(b)
	log := audit.NewLog(s, quiet, nil)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := log.Write(context.Background(), named("get-file")); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s := openStore(b)
	events := make([]trail.Event, 0, b.N)
	for range b.N {
		events = append(events, named("get-file"))
	}
	require.NoError(b, s.AddAudit(b.Context(), events))
	sealer := &audit.Sealer{Store: s, Log: quiet}
	b.ResetTimer()
	require.NoError(b, sealer.Seal(b.Context()))
}

func openStore(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), pgtest.New(b, store.Migrate))
	require.NoError(b, err)
	b.Cleanup(s.Close)
	return s
}
