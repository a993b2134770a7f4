package activities

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/seed"
	"pdexbulk/models"
)

// BenchmarkClaimsRule derives the relationships of as many members as -benchtime says, one part after another, and then once more, when
// nothing changes.
//
//	go test ./activities -run - -bench ClaimsRule -benchtime 3000x
func BenchmarkClaimsRule(b *testing.B) {
	t := setup(b)
	t.ClaimsMonths = 18
	source := filepath.Join(b.TempDir(), "data")
	_, err := seed.Write(b.Context(), source, seed.Options{Seed: 11, Members: b.N, Anchor: noon.Truncate(24 * time.Hour), FileBytes: 256 << 20})
	require.NoError(b, err)
	t.ImportRoots = append(t.ImportRoots, source)
	t.load(source, models.ImportBackfill)
	t.pass(time.Minute)
	b.ResetTimer()
	for _, round := range []string{"first", "again"} {
		began, before := time.Now(), t.used()
		id := models.NewID()
		ok(b, t.StartRelationships, id)
		ok(b, t.IndexProviders, id)
		for part := range models.RelationshipParts {
			ok(b, t.DeriveRelationships, PartInput{id, part})
		}
		ok(b, t.FinishRelationships, FinishRelationshipsInput{RunID: id, State: models.StateCompleted})
		took := time.Since(began)
		b.ReportMetric(float64(b.N)/took.Seconds(), round+"-members/s")
		b.ReportMetric((t.used() - before).Seconds(), round+"-cpu-s")
	}
	b.ReportMetric(float64(t.count("treatment_relationships"))/float64(b.N), "relationships/member")
}
