package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
	"pdexbulk/dev/system"
	"pdexbulk/models"
	"pdexbulk/models/consent"
)

// TimingOptions say how much to measure.
type TimingOptions struct {
	Requests int // of each kind; 0 means 2,000
	Parallel int // pairs under way at a time; 0 means 4
	Out      io.Writer
}

// timing is a comparison under way.
type timing struct {
	TimingOptions
	sys    *system.System
	clinic *client.Client
	random *rand.Rand
	day    string
}

// The clinic that asks, and its doctor.
const (
	timingClinic = "1982947230"
	timingDoctor = "1679576722"
)

// Timing compares how long it takes from the kick-off of a match to its answer being there, as a provider sees who polls without end: of
// members who opted out, each asked for alone, and of people whom nobody knows (PDex 2.2.0, 261a). Both are drawn from one population; a pair of them is asked for one after
// the other, so that what else the machine does concerns both. The last line is
//
//	bench-timing: requests=<of each kind> opted-out=<median> unknown=<median> d=<Cohen's d> longer=<share of pairs>
//
// It fails when one of the two takes longer in more than 60 % of all pairs.
func Timing(ctx context.Context, o TimingOptions) (err error) {
	if o.Requests == 0 {
		o.Requests = 2000
	}
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	sys, dir, stop, err := throwAway(ctx, "pdex-timing-", o.Out, "PDEX_OPEN_JOBS=0", "PDEX_POLL_BURST=0", "PDEX_CLIENT_RATE=0", "PDEX_MATCH_FAILURES=0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	t := &timing{TimingOptions: o, sys: sys, random: rand.New(rand.NewPCG(1, 2)), day: time.Now().UTC().AddDate(0, -1, 0).Format(time.DateOnly)}
	asks, err := t.prepare(ctx, dir)
	if err != nil {
		return err
	}
	took, err := t.ask(ctx, asks)
	if err != nil {
		return err
	}
	return t.compare(took)
}

// prepare enters the practice and the members, who all opted out, and returns the requests in pairs: for a member, for a stranger.
func (t *timing) prepare(ctx context.Context, dir string) (asks [][2][]byte, err error) {
	for npi, entry := range map[string]any{
		timingDoctor: map[string]any{"kind": "individual", "active": true, "inNetwork": true, "organizations": []string{timingClinic}},
		timingClinic: map[string]any{"kind": "organization", "active": true, "inNetwork": true},
	} {
		if err := t.sys.Admin(ctx, http.MethodPut, "/admin/providers/"+npi, entry, nil); err != nil {
			return nil, err
		}
	}
	t.clinic, err = t.sys.Register(ctx, system.Partner{
		ID: "clinic", Name: "Clinic", Kind: models.ClientProvider, Organization: "Clinic", OrganizationIDs: []string{seed.NPISystem + "|" + timingClinic},
		Scopes: []string{"system/*.rs", "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/ProviderMemberMatch"},
	}, client.ES384)
	if err != nil {
		return nil, err
	}
	var roster, optOuts, relationships bytes.Buffer
	optOuts.WriteString("patient,scope,reason\n")
	relationships.WriteString("patient,npi,type,start\n")
	for i := range t.Requests {
		id := fmt.Sprintf("member-%d", i)
		patient, coverage := t.person()
		for _, resource := range []map[string]any{named(patient, id), named(coverage, "cov-"+id)} {
			if resource["resourceType"] == "Coverage" {
				resource["beneficiary"] = map[string]any{"reference": "Patient/" + id}
			}
			line, err := json.Marshal(resource)
			if err != nil {
				return nil, err
			}
			roster.Write(append(line, '\n'))
		}
		fmt.Fprintf(&optOuts, "%s,global,member-choice\n", id)
		fmt.Fprintf(&relationships, "%s,%s,active,%s\n", id, timingDoctor, t.day)
		var pair [2][]byte
		if pair[0], err = t.request(patient, coverage); err != nil {
			return nil, err
		}
		if pair[1], err = t.request(t.person()); err != nil {
			return nil, err
		}
		asks = append(asks, pair)
	}
	data := filepath.Join(dir, "roster.ndjson")
	if err := os.WriteFile(data, roster.Bytes(), 0o600); err != nil {
		return nil, err
	}
	if _, err := t.sys.Import(ctx, data, models.ImportLive, func(models.Import) {}); err != nil {
		return nil, err
	}
	for kind, rows := range map[models.ListKind]*bytes.Buffer{models.ListOptOuts: &optOuts, models.ListRelationships: &relationships} {
		if err := t.list(ctx, dir, kind, rows.Bytes()); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(t.Out, "roster    %d members, all opted out\n", t.Requests)
	return asks, nil
}

// list loads rows and waits until they are there.
func (t *timing) list(ctx context.Context, dir string, kind models.ListKind, rows []byte) error {
	source := filepath.Join(dir, string(kind)+".csv")
	if err := os.WriteFile(source, rows, 0o600); err != nil {
		return err
	}
	var l models.ListImport
	if err := t.sys.Admin(ctx, http.MethodPost, "/admin/lists", map[string]any{"kind": kind, "source": source}, &l); err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !l.State.Done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := t.sys.Admin(ctx, http.MethodGet, "/admin/lists/"+l.ID, nil, &l); err != nil {
			return err
		}
	}
	if l.State != models.StateCompleted || l.Added != int64(t.Requests) {
		return fmt.Errorf("load of %s: %s, %d rows added of %d", kind, l.State, l.Added, t.Requests)
	}
	return nil
}

// person invents somebody, as the Patient and Coverage another organisation would send.
func (t *timing) person() (patient, coverage map[string]any) {
	name := func() string {
		var b strings.Builder
		for range 3 {
			b.WriteByte(byte('a' + t.random.IntN(6)))
		}
		return b.String()
	}
	patient = map[string]any{
		"resourceType": "Patient", "id": "p", "gender": "female",
		"name":      []any{map[string]any{"family": "Fam" + name(), "given": []string{"Giv" + name()}}},
		"birthDate": fmt.Sprintf("19%02d-%02d-%02d", 40+t.random.IntN(60), 1+t.random.IntN(12), 1+t.random.IntN(28)),
	}
	coverage = map[string]any{
		"resourceType": "Coverage", "id": "c", "status": "active", "subscriberId": fmt.Sprintf("W%08d", t.random.IntN(100_000_000)),
		"beneficiary": map[string]any{"reference": "Patient/p"}, "relationship": map[string]any{"coding": []any{map[string]any{"code": "self"}}},
		"payor": []any{map[string]any{"display": "payer"}},
	}
	return patient, coverage
}

// named is a copy of a resource under another id.
func named(resource map[string]any, id string) map[string]any {
	out := maps.Clone(resource)
	out["id"] = id
	return out
}

// request asks for one person, attested by the doctor.
func (t *timing) request(patient, coverage map[string]any) ([]byte, error) {
	attestation := map[string]any{
		"resourceType": "Consent", "status": "active", "meta": map[string]any{"profile": []string{consent.AttestationProfile}},
		"patient": map[string]any{"display": "the patient"}, "dateTime": t.day,
		"performer": []any{map[string]any{"identifier": map[string]any{"system": seed.NPISystem, "value": timingDoctor}}},
		"provision": map[string]any{"type": "permit", "period": map[string]any{"start": t.day}},
	}
	part := func(name string, resource any) map[string]any {
		return map[string]any{"name": name, "resource": resource}
	}
	return json.Marshal(map[string]any{"resourceType": "Parameters", "parameter": []any{map[string]any{"name": "MemberBundle", "part": []any{
		part("MemberPatient", patient), part("CoverageToMatch", coverage), part("Consent", attestation),
	}}}})
}

// ask sends the requests and returns how long each kind took, in milliseconds.
func (t *timing) ask(ctx context.Context, asks [][2][]byte) (took [2][]float64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	kinds := map[string]int{} // of jobs
	var mu sync.Mutex
	next := make(chan int)
	var wg sync.WaitGroup
	for range t.Parallel {
		wg.Go(func() {
			for i := range next {
				first := i % 2 // who is sent first changes
				for _, kind := range []int{first, 1 - first} {
					job, err := t.once(ctx, asks[i][kind])
					if err != nil {
						cancel(err)
						return
					}
					mu.Lock()
					kinds[job] = kind
					mu.Unlock()
				}
			}
		})
	}
	for i := range asks {
		select {
		case next <- i:
		case <-ctx.Done():
		}
		if i%200 == 199 {
			fmt.Fprintf(t.Out, "          %d pairs\n", i+1)
		}
	}
	close(next)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return took, err
	}
	return took, t.lives(ctx, func(job string, life time.Duration) {
		if kind, asked := kinds[job]; asked {
			took[kind] = append(took[kind], float64(life.Microseconds())/1000)
		}
	})
}

// once has a request answered and returns the id of its job. Polls are few, so that they do not become the load.
func (t *timing) once(ctx context.Context, body []byte) (string, error) {
	job, err := t.clinic.KickOff(ctx, http.MethodPost, "/Group/$provider-member-match", nil, http.Header{"Content-Type": {"application/fhir+json"}}, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		m, _, err := job.Poll(ctx)
		if err != nil {
			return "", err
		}
		if m != nil {
			break
		}
	}
	return path.Base(job.StatusURL), nil
}

// lives tells of each match how long it took.
func (t *timing) lives(ctx context.Context, each func(job string, life time.Duration)) error {
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				ID                    string
				CreatedAt, FinishedAt time.Time
			}
			Next string
		}
		if err := t.sys.Admin(ctx, http.MethodGet, "/admin/jobs?state=completed&limit=1000&cursor="+cursor, nil, &page); err != nil {
			return err
		}
		for _, j := range page.Items {
			each(j.ID, j.FinishedAt.Sub(j.CreatedAt))
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}

func (t *timing) compare(took [2][]float64) error {
	var mean, variance, median [2]float64
	for kind, name := range []string{"opted out", "unknown"} {
		sorted := slices.Sorted(slices.Values(took[kind]))
		for _, v := range sorted {
			mean[kind] += v / float64(len(sorted))
		}
		for _, v := range sorted {
			variance[kind] += (v - mean[kind]) * (v - mean[kind]) / float64(max(len(sorted)-1, 1))
		}
		at := func(share float64) float64 { return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)] }
		median[kind] = at(0.5)
		fmt.Fprintf(t.Out, "%-9s %d requests: mean %.2f ms, standard deviation %.2f ms; 10th, 50th, 90th, 99th percentile %.2f, %.2f, %.2f, %.2f ms\n",
			name, len(sorted), mean[kind], math.Sqrt(variance[kind]), at(0.1), at(0.5), at(0.9), at(0.99))
	}
	d := (mean[0] - mean[1]) / math.Sqrt((variance[0]+variance[1])/2)
	other := slices.Sorted(slices.Values(took[1]))
	longer := 0.0
	for _, v := range took[0] { // of all pairs (Mann-Whitney), ties counted half
		less, _ := slices.BinarySearch(other, v)
		more, _ := slices.BinarySearch(other, math.Nextafter(v, math.Inf(1)))
		longer += (float64(less) + float64(more)) / 2 / float64(len(other)) / float64(len(took[0]))
	}
	fmt.Fprintf(t.Out, "bench-timing: requests=%d opted-out=%.2fms unknown=%.2fms d=%.3f longer=%.3f\n", len(took[0]), median[0], median[1], d, longer)
	if longer < 0.4 || longer > 0.6 {
		return errors.New("who opted out can be told from who is unknown by the time a match takes")
	}
	return nil
}
