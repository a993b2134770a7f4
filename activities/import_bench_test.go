package activities

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack/cpu"
	"pdexbulk/models"
	"pdexbulk/models/release"
)

// BenchmarkImportRules imports the same files into empty stores with the rules on what may leave and without any, in turn, as many
// times as -benchtime says, and tells how much more the rules make of it: the median over the rounds. It makes data of 500 members, or takes the NDJSON in the folder that PDEX_BENCH_DATA names.
//
//	go test ./activities -run - -bench ImportRules -benchtime 5x
func BenchmarkImportRules(b *testing.B) {
	source := os.Getenv("PDEX_BENCH_DATA")
	if source == "" {
		source = filepath.Join(b.TempDir(), "data")
		_, err := seed.Write(b.Context(), source, seed.Options{Seed: 11, Members: 500, Anchor: noon.Truncate(24 * time.Hour), FileBytes: 256 << 20})
		require.NoError(b, err)
	}
	codes, err := release.ReadCodes(release.Categories())
	require.NoError(b, err)
	// What it costs is CPU time, Postgres's included, so that other work on the machine does not count.
	load := func(rules bool) (time.Duration, models.ImportStats) {
		t := setup(b)
		t.ImportRoots = append(t.ImportRoots, source)
		if t.unruled = !rules; rules {
			t.Codes = codes
		}
		before := t.used()
		stats := t.load(source, models.ImportBackfill)
		return t.used() - before, stats
	}
	load(true) // warms up
	var ratios []float64
	best := time.Duration(math.MaxInt64)
	var stats models.ImportStats
	for b.Loop() {
		plain, _ := load(false)
		var ruled time.Duration
		ruled, stats = load(true)
		ratios, best = append(ratios, ruled.Seconds()/plain.Seconds()), min(best, ruled)
	}
	slices.Sort(ratios)
	b.ReportMetric(best.Seconds()*1e6/float64(stats.Lines), "cpu-µs/line")
	b.ReportMetric(ratios[len(ratios)/2], "times-the-cpu")
}

// used is the CPU time that the test and the sessions of its database have used.
func (b *bundle) used() time.Duration {
	b.t.Helper()
	rows, err := b.Store.Pool.Query(b.t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database()`)
	require.NoError(b.t, err)
	sessions, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(b.t, err)
	used, err := cpu.Used(sessions...)
	require.NoError(b.t, err)
	return used
}
