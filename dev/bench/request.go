package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"pdexbulk/dev/client"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/folder"
	"pdexbulk/dev/system"
	"pdexbulk/models"
)

// RequestOptions say how large a match request to measure.
type RequestOptions struct {
	Members int // on the roster; 0 means 100,000
	Ask     int // people in the one request; 0 means 100,000
	Out     io.Writer
}

// Request measures one match request over HTTP, on the whole system: from its body being sent to its acceptance, and from there to the
// manifest being ready. It tells the most memory that the api and the worker had. The last line is
//
//	bench-request: people=<n> matched=<n> accepted=<seconds> done=<seconds> api=<MB> worker=<MB>
func Request(ctx context.Context, o RequestOptions) (err error) {
	if o.Members == 0 {
		o.Members = 100_000
	}
	if o.Ask == 0 {
		o.Ask = 100_000
	}
	sys, dir, stop, err := throwAway(ctx, "pdex-request-", o.Out, "PDEX_MATCH_FAILURES=0", "PDEX_POLL_BURST=0", "PDEX_CLIENT_RATE=0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	about := seed.Options{Seed: 29, Members: o.Members, Anchor: time.Now().UTC().Truncate(24 * time.Hour)}
	roster, body := filepath.Join(dir, "roster.ndjson"), filepath.Join(dir, "request.json")
	if err := writeTo(roster, func(w io.Writer) error {
		return seed.Trial(about, seed.TrialOptions{}, func(m seed.TrialMember) error {
			_, err := w.Write(append(bytes.Clone(m.Patient), '\n'))
			if err == nil {
				_, err = w.Write(m.Coverages)
			}
			return err
		}, nil)
	}); err != nil {
		return err
	}
	if err := writeTo(body, func(w io.Writer) error {
		_, err := seed.WriteRequest(w, io.Discard, about, seed.RequestOptions{Seed: 3, Members: o.Ask})
		return err
	}); err != nil {
		return err
	}
	if _, err := sys.Import(ctx, roster, models.ImportLive, func(models.Import) {}); err != nil {
		return err
	}
	asker, err := sys.Register(ctx, payer, client.ES384)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "roster    %d members\n", o.Members)
	return request(ctx, o, sys, asker, body)
}

// throwAway starts a system in a folder of its own, from which it may import. stop ends both.
func throwAway(ctx context.Context, prefix string, out io.Writer, env ...string) (sys *system.System, dir string, stop func() error, err error) {
	scratch, err := folder.NewScratch(folder.Temp(), prefix)
	if err != nil {
		return nil, "", nil, err
	}
	remove := func() error { return scratch.Remove(context.WithoutCancel(ctx)) }
	sys, err = system.Start(ctx, demo.Holder(system.Options{
		Stack: stack.Options{Dir: filepath.Join(scratch.Path, "state"), Out: out}, ImportRoots: []string{scratch.Path}, Env: env,
	}))
	if err != nil {
		return nil, "", nil, errors.Join(err, remove())
	}
	return sys, scratch.Path, func() error { return errors.Join(sys.Stop(context.WithoutCancel(ctx)), remove()) }, nil
}

func request(ctx context.Context, o RequestOptions, sys *system.System, asker *client.Client, body string) error {
	f, err := os.Open(body)
	if err != nil {
		return err
	}
	defer f.Close()
	started := time.Now()
	job, err := asker.MemberMatch(ctx, f)
	if err != nil {
		return err
	}
	accepted := time.Since(started)
	if _, err := job.Wait(ctx, nil); err != nil {
		return err
	}
	var row struct{ CreatedAt, FinishedAt time.Time }
	id := filepath.Base(job.StatusURL)
	if err := sys.Admin(ctx, http.MethodGet, "/admin/jobs/"+id, nil, &row); err != nil {
		return err
	}
	var groups struct {
		Items []struct {
			Profile string
			Members int
		}
	}
	if err := sys.Admin(ctx, http.MethodGet, "/admin/groups?job="+id, nil, &groups); err != nil {
		return err
	}
	matched := 0
	for _, g := range groups.Items {
		if g.Profile == models.MatchGroupProfile {
			matched += g.Members
		}
	}
	api, err := mostMemory(sys.API.Pid())
	if err != nil {
		return err
	}
	worker, err := mostMemory(sys.Workers[0].Pid())
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "bench-request: people=%d matched=%d accepted=%.1f done=%.1f api=%d worker=%d\n",
		o.Ask, matched, accepted.Seconds(), row.FinishedAt.Sub(row.CreatedAt).Seconds(), api, worker)
	return nil
}

// mostMemory is the most memory that a process has had, in MB, as Linux counts it.
func mostMemory(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kb, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
			return kb >> 10, err
		}
	}
	return 0, errors.New("the kernel does not tell how much memory a process has had")
}

func writeTo(name string, fn func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	return errors.Join(fn(w), w.Flush(), f.Close())
}
