// Package demo runs the main job from end to end on a fresh development stack and checks its result against the truth: make
// members and their data, import them, match sixty people for another payer, export what their consents allow, download
// it, and account for every line.
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/stack"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// Options say how large the demo is.
type Options struct {
	Members int // on the roster; 0 means seed.DemoMembers
	Ask     int // people the other payer asks for; 0 means 60
	// Provider has a clinic ask for its patients instead.
	Provider bool
	Dir      string
	Out      io.Writer
}

// Requester is the payer that asks.
var Requester = system.Partner{
	ID: "northlight-mutual", Name: "Northlight Mutual", Kind: models.ClientPayer, Organization: seed.RequesterName,
	OrganizationIDs: []string{seed.NPISystem + "|" + seed.RequesterNPI, seed.NAICSystem + "|" + seed.RequesterNAIC},
	Scopes:          []string{"system/*.rs", "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch"},
}

// Holder returns the options of a system that holds the seed's members.
func Holder(o system.Options) system.Options {
	o.HolderName = seed.PayerName
	o.HolderIDs = []string{seed.NPISystem + "|" + seed.PayerNPI, seed.NAICSystem + "|" + seed.PayerNAIC}
	return o
}

// run is one demo under way.
type run struct {
	Options
	seed    seed.Options
	started time.Time
	step    time.Time
	sys     *system.System
	data    string
	truth   map[string]seed.MemberTruth
	asked   []seed.RequestTruth
}

// Run does it all and prints as it goes. The last line begins "demo: ok" when everything held.
func Run(ctx context.Context, o Options) (err error) {
	r := &run{Options: o, started: time.Now(), step: time.Now()}
	r.Members = cmpOr(o.Members, seed.DemoMembers)
	r.Ask = cmpOr(o.Ask, 60)
	r.seed = seed.Options{Seed: 7, Members: r.Members, Anchor: time.Now().UTC().Truncate(24 * time.Hour)}
	if r.data, err = os.MkdirTemp("", "pdex-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.data)) }()
	r.sys, err = system.Start(ctx, Holder(system.Options{Stack: stack.Options{Ephemeral: true, Out: o.Out}, ImportRoots: []string{r.data}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.sys.Stop(context.WithoutCancel(ctx))) }()
	r.say("stack", "Postgres, Temporal, api and worker are up; api at %s, Temporal UI at %s", r.sys.Root, r.sys.Stack.TemporalUIURL)
	if o.Provider {
		return r.provider(ctx)
	}
	return r.exchange(ctx)
}

func cmpOr(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

// say prints a line with the time the step took.
func (r *run) say(step, format string, args ...any) {
	fmt.Fprintf(r.Out, "%-9s %6.2fs  %s\n", step, time.Since(r.step).Seconds(), fmt.Sprintf(format, args...))
	r.step = time.Now()
}

func (r *run) exchange(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	payer, err := r.sys.Register(ctx, Requester, client.ES384)
	if err != nil {
		return err
	}
	if _, err := payer.Token(ctx); err != nil {
		return err
	}
	r.say("token", "%s registered and holds an access token", Requester.Organization)
	groupID, err := r.match(ctx, payer)
	if err != nil {
		return err
	}
	return r.export(ctx, payer, groupID)
}

// load makes the members and imports them.
func (r *run) load(ctx context.Context) error {
	folder := filepath.Join(r.data, "payer")
	made, err := seed.Write(ctx, folder, r.seed)
	if err != nil {
		return err
	}
	r.say("seed", "%d members in %d families, %d resources, %s", made.Members, made.Families, made.Resources, size(made.Bytes))
	r.truth = map[string]seed.MemberTruth{}
	err = client.EachLine(filepath.Join(folder, seed.TruthFile), func(line []byte) error {
		var t seed.MemberTruth
		if err := json.Unmarshal(line, &t); err != nil {
			return err
		}
		r.truth[t.Patient] = t
		return nil
	})
	if err != nil {
		return err
	}
	imp, err := r.sys.Import(ctx, folder, models.ImportBackfill, nil)
	if err != nil {
		return err
	}
	var got int64
	for _, c := range imp.Stats.Types {
		got += c.New
	}
	if got != int64(made.Resources) || imp.Stats.Rejected != 0 {
		return fmt.Errorf("import took %d of %d resources and rejected %d", got, made.Resources, imp.Stats.Rejected)
	}
	r.say("import", "%d resources of %d types in %d segments, none rejected", got, len(imp.Stats.Types), imp.Stats.Segments)
	return nil
}

// match asks for the people and holds each answer against the truth. It returns the id of the matched Group.
func (r *run) match(ctx context.Context, payer *client.Client) (string, error) {
	var body, truth bytes.Buffer
	sum, err := seed.WriteRequest(&body, &truth, r.seed, seed.RequestOptions{Seed: 7, Members: r.Ask, Clean: true})
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(truth.Bytes()) {
		var t seed.RequestTruth
		if err := json.Unmarshal(line, &t); err != nil {
			return "", err
		}
		r.asked = append(r.asked, t)
	}
	job, err := payer.MemberMatch(ctx, &body)
	if err != nil {
		return "", err
	}
	manifest, err := job.Wait(ctx, r.progress)
	if err != nil {
		return "", err
	}
	got := map[string]string{} // submitted id -> outcome
	ours := map[string]string{}
	groupID := ""
	for _, f := range manifest.Output {
		if f.Type != "Group" {
			continue
		}
		_, err := payer.Download(ctx, manifest, f, func(line []byte) error {
			g, err := fhir.ParseGroup(line)
			if err != nil {
				return err
			}
			code := g.Code.Coding[0].Code
			if code == "match" {
				groupID = g.ID
			}
			for _, m := range g.Member {
				submitted := strings.TrimPrefix(m.Entity.Extension[0].ValueReference.Reference, "#")
				if got[submitted] != "" {
					return fmt.Errorf("%s has two outcomes", submitted)
				}
				got[submitted], ours[submitted] = code, strings.TrimPrefix(m.Entity.Reference, "Patient/")
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	if err := r.judge(ctx, job, got, ours); err != nil {
		return "", err
	}
	r.say("match", "%d people: %d matched, %d not matched, %d constrained by consent, all as they should be", r.Ask, sum.Matched, sum.NoMatch, sum.Constrained)
	return groupID, nil
}

// judge compares the outcomes with the truth. What is wrong is told with the reason the admin API gives.
func (r *run) judge(ctx context.Context, job *client.Job, got, ours map[string]string) error {
	var explained struct {
		Items []struct {
			Index  int    `json:"index"`
			Reason string `json:"reason"`
		} `json:"items"`
	}
	path := "/admin/jobs/" + job.StatusURL[strings.LastIndexByte(job.StatusURL, '/')+1:] + "/outcomes?limit=1000"
	if err := r.sys.Admin(ctx, "GET", path, nil, &explained); err != nil {
		return err
	}
	why := map[int]string{}
	for _, e := range explained.Items {
		why[e.Index] = e.Reason
	}
	codes := map[string]string{"matched": "match", "nomatch": "nomatch", "constrained": "consentconstraint"}
	for _, t := range r.asked {
		switch {
		case got[t.Submitted] != codes[string(t.Expect)]:
			return fmt.Errorf("entry %d (%s): expected %s, got %q (%s)", t.Index, t.Kind, t.Expect, got[t.Submitted], why[t.Index])
		case t.Expect == "matched" && ours[t.Submitted] != t.Patient:
			return fmt.Errorf("entry %d (%s): matched to somebody else", t.Index, t.Kind)
		}
	}
	if len(got) != len(r.asked) {
		return fmt.Errorf("%d outcomes for %d people", len(got), len(r.asked))
	}
	return nil
}

func (r *run) progress(p client.Progress) {
	if p.Text != "" && p.Text != "0%" {
		fmt.Fprintf(r.Out, "%-9s          %s\n", "", p.Text)
	}
}

// export exports the Group, downloads every file and checks each line.
func (r *run) export(ctx context.Context, payer *client.Client, groupID string) error {
	q := url.Values{"exportType": {"hl7.fhir.us.davinci-pdex#payertopayer"}}
	job, err := payer.KickOff(ctx, "GET", "/Group/"+groupID+"/$davinci-data-export", q, nil, nil)
	if err != nil {
		return err
	}
	manifest, err := job.Wait(ctx, r.progress)
	if err != nil {
		return err
	}
	var promised int64
	for _, f := range manifest.Output {
		promised += *f.Count
	}
	r.say("export", "manifest with %d files and %d resources", len(manifest.Output), promised)

	want, members := r.expected()
	check := &checker{job: job.StatusURL[strings.LastIndexByte(job.StatusURL, '/')+1:], want: want, got: map[string]map[string]int{}, shared: map[string]int{}, named: map[string]bool{}}
	totals, err := payer.DownloadAll(ctx, manifest, 3, client.Sink{Each: func(f client.File, line []byte) error {
		if f.Type == "OperationOutcome" {
			return check.told(line)
		}
		return check.line(line)
	}})
	if err != nil {
		return err
	}
	if err := check.references(); err != nil {
		return err
	}
	got := check.got
	for patient, counts := range want {
		if !maps.Equal(counts, got[patient]) {
			return fmt.Errorf("member: expected %s, got %s", tell(counts), tell(got[patient]))
		}
	}
	resources := totals.Lines - check.notes
	if resources != promised {
		return fmt.Errorf("the manifest promises %d resources, the files hold %d", promised, resources)
	}
	r.say("verify", "every line parses, belongs to a matched member, and the counts equal manifest and truth")
	fmt.Fprintf(r.Out, "demo: ok members=%d matched=%d resources=%d files=%d bytes=%d seconds=%.1f\n",
		r.Members, members, resources, totals.Files, totals.Bytes, time.Since(r.started).Seconds())
	return nil
}

// checker holds every line against what may be there: members' data of members who were matched, and shared resources that
// these refer to, each once.
type checker struct {
	mu     sync.Mutex
	job    string
	want   map[string]map[string]int
	got    map[string]map[string]int
	shared map[string]int  // Type/id of the shared resources, and how often each came
	named  map[string]bool // Type/id of what is referred to
	// transmitted is how often this payer is named as transmitter: the Provenance has the job's id.
	transmitted int
	notes       int64 // lines of the manifest's error files
}

// told takes a line of an error file. It may be information, such as that something was too old, and nothing worse.
func (c *checker) told(line []byte) error {
	outcome, err := fhir.ParseOutcome(line)
	if err != nil {
		return err
	}
	if len(outcome.Issue) != 1 || outcome.Issue[0].Severity != fhir.SeverityInformation {
		return errors.New("the manifest tells of an error")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes++
	return nil
}

func (c *checker) line(line []byte) error {
	var f fhir.Facts
	if err := fhir.Inspect(line, &f); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if string(f.ID) == c.job {
		c.transmitted++
		return nil
	}
	fhir.SharedReferences(line, func(_ int16, ref []byte) { c.named[string(ref)] = true })
	patient := string(f.Patient)
	switch {
	case patient == "" && !f.Named && fhir.Shareable(f.Type):
		c.shared[f.ResourceType()+"/"+string(f.ID)]++
		return nil
	case c.want[patient] == nil:
		return fmt.Errorf("a %s of somebody who was not matched", f.ResourceType())
	}
	if c.got[patient] == nil {
		c.got[patient] = map[string]int{}
	}
	c.got[patient][f.ResourceType()]++
	return nil
}

// references checks that the shared resources are those that are referred to.
func (c *checker) references() error {
	if c.transmitted != 1 {
		return fmt.Errorf("the transmitter is named %d times", c.transmitted)
	}
	for ref, n := range c.shared {
		if n != 1 || !c.named[ref] {
			return fmt.Errorf("%s came %d times, and it is referred to: %t", ref, n, c.named[ref])
		}
	}
	for ref := range c.named {
		if c.shared[ref] == 0 {
			return fmt.Errorf("%s is referred to and did not come", ref)
		}
	}
	return nil
}

// expected is what may leave of each matched member's data.
func (r *run) expected() (map[string]map[string]int, int) {
	want := map[string]map[string]int{}
	for _, t := range r.asked {
		if t.Expect == "matched" {
			want[t.Patient] = Due(r.truth[t.Patient], t.Policy)
		}
	}
	return want, len(want)
}

// Due counts, by type, what of a member's data another payer gets under a consent with a policy: nothing from before the five
// years before the anchor unless it goes on, nothing sensitive when the policy is regular, and of the prior
// authorisations those in force, those undecided and those whose status changed within a year, none for drugs.
func Due(t seed.MemberTruth, policy string) map[string]int {
	due := maps.Clone(t.Counts)
	take := func(counts map[string]int, sign int) {
		for typ, n := range counts {
			due[typ] += sign * n
		}
	}
	take(t.Older, -1)
	take(t.OlderOngoing, +1)
	if policy == "regular" {
		take(t.Sensitive, -1)
		take(t.OlderSensitive, +1)
		take(t.OlderOngoingSensitive, -1)
	}
	for _, scenario := range []string{"denied-13-months", "expired", "drug"} {
		take(t.PriorAuths[scenario], -1)
	}
	maps.DeleteFunc(due, func(_ string, n int) bool { return n == 0 })
	return due
}

func tell(counts map[string]int) string {
	var parts []string
	for _, typ := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", typ, counts[typ]))
	}
	return strings.Join(parts, ", ")
}

func size(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
