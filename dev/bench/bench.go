// Package bench measures whole jobs beside what Postgres itself can do, in one run on one machine, so that what counts is
// the ratio. An export is timed from its kick-off being accepted to its manifest being ready, files fsynced; beside it
// stands a raw COPY ... TO STDOUT, to nowhere, of the same resources kept one a row.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"pdexbulk/dev/client"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/stack/folder"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Options say what to measure with.
type Options struct {
	// Data is a folder of NDJSON files to load; "" makes data for Members members.
	Data    string
	Members int // 0 means 34,000, about three million resources
	Rounds  int // measurements of each kind; the median counts. 0 means 5
	// Dir keeps the loaded store between runs; "" throws it away.
	Dir string
	// TokensOnly measures what tokens cost, and neither imports nor exports.
	TokensOnly bool
	// OwnershipOnly measures whether time tells another client's ids from nobody's, and nothing else.
	OwnershipOnly bool
	Out           io.Writer
}

// bench is a run under way.
type bench struct {
	Options
	sys     *system.System
	db      *pgx.Conn
	backend *client.Client
	payer   *client.Client
	groupID string
	since   time.Time
}

// The clients of the benchmark.
var (
	backend = system.Partner{ID: "bench-backend", Name: "Benchmark", Kind: models.ClientBackend, Scopes: []string{"system/*.rs"}}
	payer   = demo.Requester
)

// Run loads, measures and prints. The last line is
//
//	bench: export=<ratio to COPY> group10=<ratio> windowed=<ratio>
func Run(ctx context.Context, o Options) (err error) {
	if o.Members == 0 {
		o.Members = 34_000
	}
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	b := &bench{Options: o}
	dir := o.Dir
	if dir == "" {
		var scratch *folder.Scratch
		if scratch, err = folder.NewScratch(folder.Temp(), "pdex-bench-"); err != nil {
			return err
		}
		dir = scratch.Path
		defer func() { err = errors.Join(err, scratch.Remove(context.WithoutCancel(ctx))) }()
	}
	data := o.Data
	if data == "" {
		data = filepath.Join(dir, "data")
	}
	b.sys, err = system.Start(ctx, demo.Holder(system.Options{
		Stack: stack.Options{Dir: filepath.Join(dir, "state"), SharedBuffers: "3GB", Out: o.Out}, ImportRoots: []string{data},
		// What is compared with COPY has to be all there is, whenever it was.
		Env: []string{"PDEX_OPEN_JOBS=0", "PDEX_P2P_LOOKBACK_YEARS=0", "PDEX_CLIENT_RATE=0", "PDEX_POLL_BURST=0"},
	}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.sys.Stop(context.WithoutCancel(ctx))) }()
	if b.db, err = pgx.Connect(ctx, b.sys.Stack.DatabaseURL); err != nil {
		return err
	}
	defer b.db.Close(context.WithoutCancel(ctx))
	if b.backend, err = b.sys.Register(ctx, backend, client.ES384); err != nil {
		return err
	}
	if b.payer, err = b.sys.Register(ctx, payer, client.ES384); err != nil {
		return err
	}
	if o.OwnershipOnly {
		return b.ownership(ctx)
	}
	if err := b.tokens(ctx); err != nil || o.TokensOnly {
		return err
	}
	if err := b.ownership(ctx); err != nil {
		return err
	}
	if err := b.load(ctx, data); err != nil {
		return err
	}
	return b.measure(ctx)
}

// load imports the data once and keeps the same resources one a row beside them.
func (b *bench) load(ctx context.Context, data string) error {
	var there bool
	if err := b.db.QueryRow(ctx, `SELECT to_regclass('scratch') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	if there {
		fmt.Fprintln(b.Out, "load      the store of an earlier run is used")
		return b.prepare(ctx)
	}
	if b.Data == "" {
		started := time.Now()
		sum, err := seed.Write(ctx, data, seed.Options{Seed: 11, Members: b.Members, Anchor: time.Now().UTC().Truncate(24 * time.Hour), FileBytes: 256 << 20})
		if err != nil {
			return err
		}
		b.rate("seed", int64(sum.Resources), sum.Bytes, time.Since(started))
	}
	started := time.Now()
	imp, err := b.sys.Import(ctx, data, models.ImportBackfill, func(i models.Import) {
		fmt.Fprintf(b.Out, "          %d lines read, %d segments\n", i.Stats.Lines, i.Stats.Segments)
	})
	if err != nil {
		return err
	}
	b.rate("import", imp.Stats.Lines-imp.Stats.Rejected, imp.Stats.Bytes, time.Since(started))
	if err := b.fillScratch(ctx); err != nil {
		return err
	}
	return b.prepare(ctx)
}

// fillScratch keeps what a whole export delivers one a row, clustered by member as a table of resources would best be.
func (b *bench) fillScratch(ctx context.Context) error {
	job, err := b.backend.KickOff(ctx, http.MethodGet, "/$export", nil, nil, nil)
	if err != nil {
		return err
	}
	manifest, err := job.Wait(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := b.db.Exec(ctx, `CREATE UNLOGGED TABLE staged (member uuid, type smallint, updated timestamptz, resource text)`); err != nil {
		return err
	}
	started := time.Now()
	for _, f := range manifest.Output {
		if err := b.stage(ctx, manifest, f); err != nil {
			return err
		}
	}
	for _, sql := range []string{
		`CREATE TABLE scratch AS SELECT * FROM staged ORDER BY member, type`,
		`DROP TABLE staged`,
		`CREATE INDEX ON scratch (member)`,
		`CREATE INDEX ON scratch (updated)`,
		`VACUUM (ANALYZE) scratch`,
		`CHECKPOINT`,
	} {
		if _, err := b.db.Exec(ctx, sql); err != nil && !strings.HasPrefix(sql, "CHECKPOINT") {
			return fmt.Errorf("%s: %w", strings.Fields(sql)[0], err)
		}
	}
	fmt.Fprintf(b.Out, "scratch   %.1fs to keep the same resources one a row\n", time.Since(started).Seconds())
	return job.Delete(ctx)
}

// stage copies one file's lines into the staging table.
func (b *bench) stage(ctx context.Context, m *client.Manifest, f client.File) error {
	rows := make(chan []any, 256)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, 1)
	go func() {
		defer close(rows)
		var facts fhir.Facts
		_, err := b.backend.Download(ctx, m, f, func(line []byte) error {
			if err := fhir.Inspect(line, &facts); err != nil {
				return err
			}
			owner := models.SharedID(facts.ResourceType(), string(facts.ID))
			if facts.Patient != nil {
				owner = models.MemberID(string(facts.Patient))
			}
			select {
			case rows <- []any{owner, facts.Type, time.UnixMilli(facts.LastUpdated), string(line)}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		read <- err
	}()
	_, err := b.db.CopyFrom(ctx, pgx.Identifier{"staged"}, []string{"member", "type", "updated", "resource"}, pgx.CopyFromFunc(func() ([]any, error) {
		row := <-rows
		return row, nil
	}))
	cancel()
	for range rows { // let the reader go
	}
	return errors.Join(err, <-read)
}

// prepare makes a Group of every tenth member, chosen by hash, and picks the middle of the resources in time.
func (b *bench) prepare(ctx context.Context) error {
	b.groupID = models.NewID()
	_, err := b.db.Exec(ctx, `INSERT INTO groups (id, client_id, job_id, profile, blob_key, members, created_at) VALUES ($1, $2, $1, $3, '', 0, now())`,
		b.groupID, payer.ID, models.MatchGroupProfile)
	if err != nil {
		return fmt.Errorf("make a group: %w", err)
	}
	_, err = b.db.Exec(ctx, `INSERT INTO group_members (group_id, member_id, policy, consent_start, consent_end)
		SELECT $1, id, 'sensitive', now() - interval '1 day', now() + interval '30 days' FROM members
		WHERE present AND hashtext(patient_id) % 10 = 0`, b.groupID)
	if err != nil {
		return fmt.Errorf("fill the group: %w", err)
	}
	err = b.db.QueryRow(ctx, `SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY updated) FROM scratch TABLESAMPLE SYSTEM (1)`).Scan(&b.since)
	if err != nil {
		return fmt.Errorf("find the middle: %w", err)
	}
	return nil
}

// work is one thing to measure: an export, and the COPY that yields the same resources.
type work struct {
	name string
	by   *client.Client
	path string
	args url.Values
	copy string
}

func (b *bench) measure(ctx context.Context) error {
	since := fhir.FormatInstant(b.since.UnixMilli())
	// A Group's export brings the shared resources along that it refers to, which the COPY beside it has not.
	types, err := b.memberTypes(ctx)
	if err != nil {
		return err
	}
	works := []work{
		{"export", b.backend, "/$export", nil, `COPY (SELECT resource FROM scratch) TO STDOUT`},
		{
			"group10", b.payer, "/Group/" + b.groupID + "/$davinci-data-export",
			url.Values{"_type": {types}},
			`COPY (SELECT s.resource FROM group_members g JOIN scratch s ON s.member = g.member_id WHERE g.group_id = '` + b.groupID + `' AND s.type <> ` + strconv.Itoa(int(fhir.TypeProvenance)) + `) TO STDOUT`,
		},
		{
			"windowed", b.backend, "/$export",
			url.Values{"_since": {since}},
			`COPY (SELECT resource FROM scratch WHERE updated > '` + since + `') TO STDOUT`,
		},
	}
	line := []string{"bench:"}
	for _, w := range works {
		ratio, err := b.compare(ctx, w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		line = append(line, fmt.Sprintf("%s=%.2f", w.name, ratio))
	}
	fmt.Fprintln(b.Out, strings.Join(line, " "))
	return nil
}

// memberTypes lists the resource types that belong to members.
func (b *bench) memberTypes(ctx context.Context) (string, error) {
	rows, err := b.db.Query(ctx, `SELECT DISTINCT type FROM scratch WHERE member < $1`, models.FirstShared)
	if err != nil {
		return "", fmt.Errorf("list types: %w", err)
	}
	codes, err := pgx.CollectRows(rows, pgx.RowTo[int16])
	if err != nil {
		return "", fmt.Errorf("list types: %w", err)
	}
	var names []string
	for _, code := range codes {
		if code != fhir.TypeProvenance { // an export adds one of its own
			names = append(names, fhir.TypeName(code))
		}
	}
	return strings.Join(names, ","), nil
}

// compare runs export and COPY in turn and returns the median ratio of their rates.
func (b *bench) compare(ctx context.Context, w work) (float64, error) {
	var ratios []float64
	var exports, copies []time.Duration
	var resources, size int64
	for round := range b.Rounds + 1 {
		job, err := w.by.KickOff(ctx, http.MethodGet, w.path, w.args, nil, nil)
		if err != nil {
			return 0, err
		}
		took, lines, bytes, err := b.finish(ctx, job)
		if err != nil {
			return 0, err
		}
		copied, rows, err := b.copyOut(ctx, w.copy)
		if err != nil {
			return 0, err
		}
		// A Group's export leaves out prior authorisations that may not leave, a few in a thousand. Rates are compared, not times.
		if lines > rows || rows-lines > rows/100 {
			return 0, fmt.Errorf("the export has %d resources, COPY %d", lines, rows)
		}
		if round == 0 { // the first warms caches
			continue
		}
		resources, size = lines, bytes
		exports, copies = append(exports, took), append(copies, copied)
		ratios = append(ratios, copied.Seconds()/took.Seconds()*float64(lines)/float64(rows))
	}
	b.rate(w.name, resources, size, median(exports))
	b.rate("  COPY", resources, size, median(copies))
	fmt.Fprintf(b.Out, "          ratios %s\n", tell(ratios))
	return median(ratios), nil
}

// finish waits for a job and returns how long it took from its acceptance, and how much it wrote. Then it deletes it.
func (b *bench) finish(ctx context.Context, job *client.Job) (time.Duration, int64, int64, error) {
	manifest, err := job.Wait(ctx, nil)
	if err != nil {
		return 0, 0, 0, err
	}
	var lines, size int64
	for _, f := range manifest.Output {
		lines += *f.Count
	}
	id := job.StatusURL[strings.LastIndexByte(job.StatusURL, '/')+1:]
	if err := b.db.QueryRow(ctx, `SELECT coalesce(sum(raw_len), 0)::bigint FROM job_files WHERE job_id = $1`, id).Scan(&size); err != nil {
		return 0, 0, 0, err
	}
	var row struct{ CreatedAt, FinishedAt time.Time }
	if err := b.sys.Admin(ctx, http.MethodGet, "/admin/jobs/"+id, nil, &row); err != nil {
		return 0, 0, 0, err
	}
	return row.FinishedAt.Sub(row.CreatedAt), lines, size, job.Delete(ctx)
}

func (b *bench) copyOut(ctx context.Context, sql string) (time.Duration, int64, error) {
	started := time.Now()
	tag, err := b.db.PgConn().CopyTo(ctx, io.Discard, sql)
	return time.Since(started), tag.RowsAffected(), err
}

func (b *bench) rate(what string, resources, size int64, took time.Duration) {
	s := took.Seconds()
	fmt.Fprintf(b.Out, "%-9s %9d resources %8.1f MB in %7.3fs: %9.0f resources/s %7.1f MB/s\n",
		what, resources, float64(size)/1e6, s, float64(resources)/s, float64(size)/1e6/s)
}

func median[T float64 | time.Duration](all []T) T {
	s := slices.Sorted(slices.Values(all))
	return s[len(s)/2]
}

func tell(ratios []float64) string {
	var parts []string
	for _, r := range ratios {
		parts = append(parts, fmt.Sprintf("%.2f", r))
	}
	return strings.Join(parts, " ")
}
