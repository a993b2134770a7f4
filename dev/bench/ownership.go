package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"pdexbulk/dev/client"
	"pdexbulk/dev/system"
	"pdexbulk/models"
)

const (
	strangeRows    = 200   // jobs and Groups of another client, and as many ids that nothing has
	strangeSamples = 3_000 // requests for each of the two, of each kind
	warmUp         = 500   // requests that do not count
	strangerID     = "bench-stranger"
)

// ownership measures whether somebody could tell by the time an answer takes that an id is another client's and not nobody's. The
// requests for the two come in random order over one connection, so that whatever else the machine does falls on both. The effect size
// is the chance that an answer about a foreign id took longer than one about an absent one: 0.5 when they cannot be told apart, 1 when
// every one did.
func (b *bench) ownership(ctx context.Context) error {
	asker, err := b.sys.Register(ctx, system.Partner{ID: "bench-asker", Name: "Benchmark", Kind: models.ClientBackend, Scopes: []string{"system/*.rs"}}, client.ES384)
	if err != nil {
		return err
	}
	foreign, absent := make([]string, strangeRows), make([]string, strangeRows)
	for i := range strangeRows { // made in turn, so that they lie among one another in every index
		foreign[i], absent[i] = models.NewID(), models.NewID()
	}
	for _, sql := range []string{
		`INSERT INTO jobs (id, client_id, operation, request_url, request_digest, state, created_at, transaction_time, finished_at, expires_at)
			SELECT id, $2, 'system-export', '/fhir/$export', 'x', 'completed', now(), now(), now(), now() + '1 day' FROM unnest($1::uuid[]) id`,
		`INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at)
			SELECT id, $2, id, 'x', 'groups/x', 1, now() FROM unnest($1::uuid[]) id`,
	} {
		if _, err := b.db.Exec(ctx, sql, foreign, strangerID); err != nil {
			return fmt.Errorf("add what is another client's: %w", err)
		}
	}
	token, err := asker.Token(ctx)
	if err != nil {
		return err
	}
	for _, kind := range []struct{ name, method, before, after string }{
		{"status", http.MethodGet, "/bulk-status/", ""},
		{"file", http.MethodGet, "/bulk-files/", "/0.Patient.ndjson"},
		{"cancel", http.MethodDelete, "/bulk-status/", ""},
		{"Group", http.MethodGet, "/Group/", ""},
		{"Group export", http.MethodGet, "/Group/", "/$export"},
	} {
		ask := func(id string) (time.Duration, error) {
			return b.refused(ctx, kind.method, b.sys.Base+kind.before+id+kind.after, token)
		}
		var times [2]latencies
		for i := range warmUp + 2*strangeSamples {
			which := rand.IntN(2)
			id := [][]string{foreign, absent}[which][rand.IntN(strangeRows)]
			took, err := ask(id)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			if i >= warmUp {
				times[which] = append(times[which], took)
			}
		}
		slices.Sort(times[0])
		slices.Sort(times[1])
		fmt.Fprintf(b.Out, "ownership %-12s foreign: %s; absent: %s; effect size %.3f (%d and %d requests)\n", kind.name, times[0], times[1],
			effectSize(times[0], times[1]), len(times[0]), len(times[1]))
	}
	return nil
}

// refused sends a request that must be answered with 404 and returns how long that took.
func (b *bench) refused(ctx context.Context, method, url, token string) (time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/fhir+json")
	r.Header.Set("Prefer", "respond-async")
	began := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	took := time.Since(began)
	if resp.Body.Close() != nil || err != nil || resp.StatusCode != http.StatusNotFound {
		return 0, fmt.Errorf("answered with %s, not 404", resp.Status)
	}
	return took, nil
}

// effectSize is the chance that one of a is longer than one of b, with half of the chance that they are equal: the area under the ROC
// curve of whoever judges by time. Both must be sorted.
func effectSize(a, b latencies) float64 {
	var wins float64
	for _, t := range a {
		below, _ := slices.BinarySearch(b, t)
		upTo, _ := slices.BinarySearch(b, t+1)
		wins += float64(below) + float64(upTo-below)/2
	}
	return wins / float64(len(a)) / float64(len(b))
}
