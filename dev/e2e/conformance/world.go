package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pdexbulk/dev/client"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/postgres"
	"pdexbulk/dev/system"
	"pdexbulk/models"
)

const (
	// retention is how long files live in a system of our own: long enough for a check to fetch them on a slow machine, and
	// short enough to wait for their end.
	retention = 25 * time.Second
	members   = 200
	// matchMembers is how many people a match request may have in a system of our own.
	matchMembers = 150
	// matchFailures is how many people a client may ask for in vain: more than any check does but the one of it.
	matchFailures = 300
)

// allData is the scope of a client that may export everything; matching that of the operation, too.
const (
	allData  = "system/*.rs"
	matching = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch"
)

// world is what the checks are run against.
type world struct {
	o    Options
	base string // FHIR base
	// What follows is of a system of our own, sys nil without.
	sys      *system.System
	dir      string
	postgres *postgres.Server
	key      *client.Key
	seed     seed.Options
	barrier  *barrier // in the held phase

	everything once[*export]
	special    once[*export]
	exchange   once[*exchange]
	groups     once[*payers]
	matrix     once[*matrix]
	overridden once[*overridden]
	care       once[*care]
	roster     once[*roster]
	jobAway    *client.Job // done before the database went away
	clientAway *client.Client
	// A provider with a list, and a file of an export of it that was done before.
	providerAway       *client.Client
	listAway, fileAway string
}

func newWorld(ctx context.Context, o Options) (*world, error) {
	w := &world{o: o, base: strings.TrimSuffix(o.BaseURL, "/")}
	if o.BaseURL != "" {
		return w, nil
	}
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(err, w.close(context.WithoutCancel(ctx)))
	}
	return w, nil
}

// start starts a system and fills it.
func (w *world) start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if w.key, err = client.NewKey(client.ES384); err != nil {
		return err
	}
	if w.dir, err = os.MkdirTemp("", "pdex-conformance-"); err != nil {
		return err
	}
	// Run by root, Postgres is another user.
	if err := os.Chmod(w.dir, 0o711); err != nil {
		return err
	}
	fmt.Fprintln(w.o.Out, "conformance: starting a system")
	bin, data := filepath.Join(w.dir, "bin"), filepath.Join(w.dir, "data")
	if err := system.Build(ctx, bin); err != nil {
		return err
	}
	if err := w.startPostgres(ctx); err != nil {
		return err
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	w.sys, err = system.Start(ctx, demo.Holder(system.Options{
		Stack:       stack.Options{Ephemeral: true, Out: io.Discard, DatabaseURL: w.postgres.URL("")},
		ImportRoots: []string{data}, Port: port, Binaries: bin,
		Env: []string{
			"PDEX_MANIFEST_FILES=4", "PDEX_FILE_RETENTION=" + retention.String(), fmt.Sprint("PDEX_MATCH_MEMBERS=", matchMembers), fmt.Sprint("PDEX_MATCH_FAILURES=", matchFailures),
		},
	}))
	if err != nil {
		return err
	}
	w.base = w.sys.Base
	fmt.Fprintln(w.o.Out, "conformance: importing")
	w.seed = seed.Options{Seed: 5, Members: members, Density: 0.4, Anchor: time.Now().UTC().Truncate(24 * time.Hour)}
	if _, err := seed.Write(ctx, filepath.Join(data, "roster"), w.seed); err != nil {
		return err
	}
	if _, err := w.sys.Import(ctx, filepath.Join(data, "roster"), models.ImportBackfill, nil); err != nil {
		return err
	}
	for i, lines := range specialImports {
		mode := models.ImportLive
		if i == 0 {
			mode = models.ImportBackfill
		}
		if err := w.load(ctx, fmt.Sprintf("special-%d", i), mode, lines); err != nil {
			return err
		}
	}
	return nil
}

// startPostgres starts a Postgres that can be stopped for a while.
func (w *world) startPostgres(ctx context.Context) error {
	dir := filepath.Join(w.dir, "postgres")
	found := postgres.Find(ctx)
	if len(found) == 0 {
		return errors.New("no Postgres is installed")
	}
	binaries, err := postgres.Choose(found, dir)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(w.dir, "postgres.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own handle
	w.postgres, err = postgres.Start(ctx, postgres.Config{Binaries: binaries, Dir: dir, Password: "not-a-secret", Ephemeral: true, Log: log})
	return err
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err = errors.Join(err, l.Close()); err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

// load imports lines of NDJSON. Every line must be taken.
func (w *world) load(ctx context.Context, name string, mode models.ImportMode, lines string) error {
	dir := filepath.Join(w.dir, "data", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "lines.ndjson"), []byte(lines), 0o644); err != nil {
		return err
	}
	imp, err := w.sys.Import(ctx, dir, mode, nil)
	if err == nil && imp.Stats.Rejected > 0 {
		err = fmt.Errorf("%d lines of %s were rejected", imp.Stats.Rejected, name)
	}
	return err
}

func (w *world) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var errs []error
	if w.sys != nil {
		errs = append(errs, w.sys.Stop(ctx))
	}
	if w.postgres != nil {
		_ = w.postgres.Abandon(ctx) // it may have been stopped already
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// stopWorker stops the worker in good order: it ends what it has begun and takes nothing new.
func (w *world) stopWorker(ctx context.Context) error {
	worker := w.sys.Workers[len(w.sys.Workers)-1]
	if err := worker.Stop(ctx, syscall.SIGTERM, 30*time.Second); err != nil {
		return fmt.Errorf("stop the worker: %w", err)
	}
	return nil
}

// prepareOutage makes a job to ask about when the database is away.
func (w *world) prepareOutage(ctx context.Context) error {
	c, err := w.register(ctx, "away", models.ClientBackend, allData)
	if err != nil {
		return err
	}
	job, err := c.KickOff(ctx, "GET", "$export?_type=Organization", nil, nil, nil)
	if err == nil {
		_, err = job.Wait(ctx, nil)
	}
	w.clientAway, w.jobAway = c, job
	if err != nil {
		return err
	}
	return w.prepareList(ctx)
}

// register registers a client.
func (w *world) register(ctx context.Context, id string, kind models.ClientKind, scopes ...string) (*client.Client, error) {
	p := system.Partner{ID: id, Name: id, Kind: kind, Scopes: scopes}
	if kind == models.ClientPayer {
		p.Organization, p.OrganizationIDs = demo.Requester.Organization, demo.Requester.OrganizationIDs
	}
	if _, err := w.sys.RegisterKey(ctx, p, w.key); err != nil {
		return nil, err
	}
	return w.client(id, w.key, strings.Join(scopes, " ")), nil
}

// alone registers a payer of an organisation of its own, and returns how a request is made to name it. What comes of such requests
// bears on no other payer: consents to one say nothing of another.
func (t *T) alone(id, npi string) (*client.Client, func(request []byte) []byte) {
	p := system.Partner{
		ID: id, Name: id, Kind: models.ClientPayer, Scopes: []string{allData, matching}, Organization: "Payer " + npi,
		OrganizationIDs: []string{seed.NPISystem + "|" + npi},
	}
	_, err := t.ours().RegisterKey(t.ctx, p, t.world.key)
	t.must(err)
	return t.world.client(id, t.world.key, allData+" "+matching), func(request []byte) []byte {
		return bytes.ReplaceAll(request, []byte(seed.RequesterNPI), []byte(npi))
	}
}

// client returns a client that does not wait as long as it is asked to: jobs are short here.
func (w *world) client(id string, key *client.Key, scope string) *client.Client {
	hasty := func(ctx context.Context, d time.Duration) error {
		if w.sys != nil {
			d = min(d, 150*time.Millisecond)
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		}
	}
	return client.New(client.Config{BaseURL: w.base, ClientID: id, Key: key, Scope: scope, Sleep: hasty})
}

// anonymous is a client without a token.
func (t *T) anonymous() *client.Client { return t.world.client("", nil, "") }

// ours ends the check when the system is not our own: it needs data that were made for it, or more than a client can do.
func (t *T) ours() *system.System {
	if t.world.sys == nil {
		t.na("needs a system with data and clients of its own")
	}
	return t.world.sys
}

// backend is a client that may export everything: one for each check, or the one there is.
func (t *T) backend() *client.Client {
	if t.world.sys == nil {
		return t.world.client(t.world.o.ClientID, t.world.o.Key, allData)
	}
	return t.register("check-"+strings.ToLower(t.id), models.ClientBackend, allData)
}

func (t *T) register(id string, kind models.ClientKind, scopes ...string) *client.Client {
	t.ours()
	c, err := t.world.register(t.ctx, id, kind, scopes...)
	t.must(err)
	return c
}

// narrow is a client as backend, with a token for less.
func (t *T) narrow(scope string) *client.Client {
	if t.world.sys == nil {
		return t.world.client(t.world.o.ClientID, t.world.o.Key, scope)
	}
	t.backend()
	return t.world.client("check-"+strings.ToLower(t.id), t.world.key, scope)
}

// everything is an export of all there is.
func (t *T) everything() *export {
	return t.world.everything.get(func() *export {
		c := t.backend()
		return t.export(c, "$export", nil)
	})
}

// payers are two payers with a Group each.
type payers struct {
	a, b           *client.Client
	groupA, groupB string
	// members are the ids of the Patients in groupA.
	members map[string]bool
}

// payers returns two payers that have each had members matched.
func (t *T) payers() *payers {
	t.ours()
	return t.world.groups.get(func() *payers {
		p := &payers{a: t.register("payer-a", models.ClientPayer, allData, matching), b: t.register("payer-b", models.ClientPayer, allData, matching)}
		request, _ := t.request(9, 12)
		p.groupA = t.match(p.a, request).matched(t).Get("id").Str
		group := t.match(p.b, request).matched(t)
		p.groupB, p.members = group.Get("id").Str, map[string]bool{}
		for _, m := range group.Get("member").Array() {
			p.members[strings.TrimPrefix(m.Get("entity.reference").Str, "Patient/")] = true
		}
		t.check(len(p.members) > 3, "a request about members matched only %d", len(p.members))
		return p
	})
}

// group returns a client with a Group it may export.
func (t *T) group() (c *client.Client, id string) {
	if t.world.sys == nil {
		if t.world.o.GroupID == "" {
			t.na("no Group was named to export")
		}
		return t.backend(), t.world.o.GroupID
	}
	c = t.register("check-group-"+strings.ToLower(t.id), models.ClientPayer, allData, matching)
	request, _ := t.request(9, 12)
	id = t.match(c, request).matched(t).Get("id").Str
	return c, id
}

// request makes a match request about members of the roster, and says what must come of each.
func (t *T) request(number uint64, n int) ([]byte, []seed.RequestTruth) {
	t.ours()
	var text, truth bytes.Buffer
	_, err := seed.WriteRequest(&text, &truth, t.world.seed, seed.RequestOptions{Seed: number, Members: n, Clean: true})
	t.must(err)
	var out []seed.RequestTruth
	for line := range bytes.Lines(truth.Bytes()) {
		var row seed.RequestTruth
		t.must(json.Unmarshal(line, &row))
		out = append(out, row)
	}
	return text.Bytes(), out
}
