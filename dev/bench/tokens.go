package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"pdexbulk/api/auth"
	"pdexbulk/dev/client"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

const (
	tokenCallers = 4   // at once
	tokenIssues  = 400 // in all
	tokenChecks  = 50  // of each token
)

// latencies are how long one kind of call took.
type latencies []time.Duration

func (l latencies) String() string {
	slices.Sort(l)
	at := func(part float64) time.Duration { return l[int(part*float64(len(l)-1))].Round(100 * time.Nanosecond) }
	return fmt.Sprintf("median=%s p99=%s", at(0.5), at(0.99))
}

// tokens measures what tokens cost under load: to issue one over HTTP, and what its check adds to a request, when the token is
// seen for the first time and when it is seen again. The check runs as the api runs it, in this process, beside the api.
func (b *bench) tokens(ctx context.Context) error {
	s, err := store.Open(ctx, b.sys.Stack.DatabaseURL)
	if err != nil {
		return err
	}
	defer s.Close()
	server := auth.New(auth.Config{PublicURL: b.sys.Root, ResourceTypes: []string{"Patient"}, Log: slog.New(slog.DiscardHandler)}, s)
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { server.Watch(watching) })
	defer watch.Wait()
	defer stop()

	partner := system.Partner{ID: "bench-tokens", Name: "Benchmark", Kind: models.ClientBackend, Scopes: []string{"system/*.rs"}}
	key, err := client.NewKey(client.ES384)
	if err != nil {
		return err
	}
	if _, err := b.sys.RegisterKey(ctx, partner, key); err != nil {
		return err
	}
	var mu sync.Mutex
	var issued, first, again latencies
	var faults []error
	caller := func() error {
		for range tokenIssues / tokenCallers {
			c := client.New(client.Config{BaseURL: b.sys.Base, TokenURL: b.sys.Root + auth.TokenPath, ClientID: partner.ID, Key: key})
			began := time.Now()
			token, err := c.Token(ctx)
			if err != nil {
				return err
			}
			took := time.Since(began)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.sys.Base+"/Group", http.NoBody)
			if err != nil {
				return err
			}
			r.Header.Set("Authorization", "Bearer "+token)
			checks := make(latencies, 0, tokenChecks)
			for range tokenChecks {
				began := time.Now()
				if _, err := server.Authenticate(r); err != nil {
					return err
				}
				checks = append(checks, time.Since(began))
			}
			mu.Lock()
			issued, first, again = append(issued, took), append(first, checks[0]), append(again, checks[1:]...)
			mu.Unlock()
		}
		return nil
	}
	var callers sync.WaitGroup
	for range tokenCallers {
		callers.Go(func() {
			if err := caller(); err != nil {
				mu.Lock()
				faults = append(faults, err)
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	fmt.Fprintln(b.Out, strings.Join([]string{
		"tokens    issue: " + issued.String(), "check, first sight: " + first.String(), "check, seen before: " + again.String(),
		fmt.Sprintf("(%d callers at once)", tokenCallers),
	}, "; "))
	return nil
}
