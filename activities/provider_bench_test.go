package activities

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// BenchmarkLoad loads as many rows as -benchtime says, of members of whom there are a fifth as many:
//
//	go test ./activities -run - -bench Load/opt-outs -benchtime 1000000x
//	go test ./activities -run - -bench Load/relationships -benchtime 5000000x
func BenchmarkLoad(b *testing.B) {
	for _, kind := range []models.ListKind{models.ListOptOuts, models.ListRelationships} {
		b.Run(string(kind), func(b *testing.B) {
			t := setup(b)
			members := b.N/5 + 1
			_, err := t.Store.Pool.CopyFrom(b.Context(), pgx.Identifier{"members"}, []string{"id", "patient_id", "present", "updated_at"},
				pgx.CopyFromSlice(members, func(i int) ([]any, error) {
					patient := fmt.Sprintf("p-%d", i)
					return []any{models.MemberID(patient), patient, true, noon}, nil
				}))
			require.NoError(b, err)
			source := filepath.Join(t.root, "rows.csv")
			f, err := os.Create(source)
			require.NoError(b, err)
			_, err = io.WriteString(f, map[models.ListKind]string{
				models.ListOptOuts: "patient,scope,target,reason,start\n", models.ListRelationships: "patient,npi,type,start,end\n",
			}[kind])
			require.NoError(b, err)
			npis := []string{doctorNPI, clinicNPI, "1679576722", "1245319599", "1003000126"}
			for i := range b.N {
				patient, n := i%members, i/members%5
				if kind == models.ListOptOuts {
					_, err = fmt.Fprintf(f, "p-%d,provider-specific,%s,member-choice,2026-01-01\n", patient, npis[n])
				} else {
					_, err = fmt.Fprintf(f, "p-%d,%s,active,2026-01-01,2027-06-30\n", patient, npis[n])
				}
				require.NoError(b, err)
			}
			require.NoError(b, f.Close())
			l := &models.ListImport{
				ID: models.NewID(), Kind: kind, Source: source, Format: models.ListCSV, State: models.StateAccepted, CreatedBy: "bench", CreatedAt: noon,
			}
			require.NoError(b, t.Store.CreateListImport(b.Context(), l))
			stop, peak := make(chan struct{}), make(chan uint64)
			runtime.GC()
			go func() {
				most, tick := uint64(0), time.NewTicker(100*time.Millisecond)
				defer tick.Stop()
				var m runtime.MemStats
				for {
					select {
					case <-stop:
						peak <- most
						return
					case <-tick.C:
						runtime.ReadMemStats(&m)
						most = max(most, m.HeapInuse)
					}
				}
			}()
			b.ResetTimer()
			counts := must[models.ListCounts](b, t.LoadList, l.ID)
			b.StopTimer()
			close(stop)
			require.EqualValues(b, b.N, counts.Added)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(<-peak)/(1<<20), "peak-heap-MB")
		})
	}
}
