package activities

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"sync"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/checked"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// draft is a Group without what stands around its two lists.
type draft struct {
	bucket
	count     int64 // people in it
	begun     bool
	taken     names
	contained items
	members   items
}

// items are those of a list, packed, with commas between them.
type items struct {
	key string
	w   blob.Writer
	sum segment.Sum
}

// draft writes the lists of the Groups. The slices of the request are worked on several at once, each in memory as a whole, and come to
// the lists in their order. Beside them 16 bytes a person are held, and 32 once their resource has its id.
func (r *matchResult) draft(ctx context.Context, acc models.Accounting) ([]*draft, error) {
	slices, err := r.a.Store.Slices(ctx, r.job.ID)
	if err != nil {
		return nil, err
	}
	people := 0
	for _, s := range slices {
		people += s.Members
	}
	if people != r.params.Members {
		return nil, errNotComplete
	}
	repeated, err := r.repeated(ctx, slices)
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{store.OutcomeMatched: acc.Matched, store.OutcomeNoMatch: acc.Unmatched, store.OutcomeConstrained: acc.Constrained}
	var drafts []*draft
	for _, b := range r.kind.buckets {
		n := counts[b.outcome]
		if n == 0 && b.outcome != store.OutcomeMatched {
			continue // BK-02, BK-03: only the matched Group is always there
		}
		d := &draft{bucket: b, count: n, taken: names{}}
		drafts = append(drafts, d)
		for name, list := range map[string]*items{"contained": &d.contained, "member": &d.members} {
			list.key = r.prefix + "/" + b.parameter + "." + name // not published, and so deleted in the end
			if list.w, err = r.a.Files.Create(ctx, list.key); err != nil {
				return nil, err
			}
			defer list.w.Abort()
		}
	}
	if err := r.fill(ctx, slices, drafts, repeated); err != nil {
		return nil, err
	}
	for _, d := range drafts {
		for _, list := range []*items{&d.contained, &d.members} {
			if err := list.w.Commit(); err != nil {
				return nil, err
			}
		}
	}
	return drafts, nil
}

var errNotComplete = models.Errorf(models.KindConflict, "the outcomes of the match are not complete")

// slicesAtOnce bounds how many slices are worked on at once, and so the memory they take.
func slicesAtOnce() int { return min(runtime.GOMAXPROCS(0), 8) }

// repeated finds the Patient ids that more than one MemberBundle has.
func (r *matchResult) repeated(ctx context.Context, slices []store.Slice) (map[digest]bool, error) {
	seen := make(map[digest]bool, r.params.Members)
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(slicesAtOnce())
	for _, s := range slices {
		group.Go(func() error {
			activity.RecordHeartbeat(ctx, s.First)
			ids := make([]digest, 0, s.Members)
			err := r.a.eachBundle(ctx, r.params, s, func(line []byte) error {
				patient, _ := submittedParts(line)
				ids = append(ids, digestOf(resourceID(patient)))
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				_, again := seen[id]
				seen[id] = again
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for id, again := range seen {
		if !again {
			delete(seen, id)
		}
	}
	return seen, nil
}

// fill puts everybody into the lists of their Group.
func (r *matchResult) fill(ctx context.Context, slices []store.Slice, drafts []*draft, repeated map[digest]bool) error {
	of := map[string]*draft{}
	for _, d := range drafts {
		of[d.outcome] = d
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(slicesAtOnce())
	var naming, writing queue
	for _, s := range slices {
		toName, toWrite := naming.join(), writing.join()
		group.Go(func() error {
			entries, err := r.entries(ctx, s, of, repeated)
			if err != nil {
				return err
			}
			if err := toName.wait(ctx); err != nil {
				return err
			}
			for i := range entries {
				entries[i].name()
			}
			toName.pass()
			packed, err := packEntries(entries, drafts)
			if err != nil {
				return err
			}
			if err := toWrite.wait(ctx); err != nil {
				return err
			}
			for _, p := range packed {
				if err := p.write(); err != nil {
					return err
				}
			}
			activity.RecordHeartbeat(ctx, s.First+s.Members)
			toWrite.pass()
			return nil
		})
	}
	return group.Wait()
}

// queue lets those who have joined it through one by one, in the order in which they did.
type queue struct{ last chan struct{} }

type turn struct{ before, own chan struct{} }

func (q *queue) join() turn {
	t := turn{before: q.last, own: make(chan struct{})}
	q.last = t.own
	return t
}

func (t turn) wait(ctx context.Context) error {
	if t.before == nil {
		return nil // the first
	}
	select {
	case <-t.before:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) pass() { close(t.own) }

// groupEntry is what one person of the request is to a Group.
type groupEntry struct {
	idx      int
	draft    *draft
	ours     string // our Patient's id
	patient  contained
	coverage *contained // of a Patient who was submitted more than once: which one this answers (PDex 2.2.0, 153)
	first    bool       // of the Group
}

// entries reads a slice of the request and the outcomes of its people.
func (r *matchResult) entries(ctx context.Context, s store.Slice, of map[string]*draft, repeated map[digest]bool) ([]groupEntry, error) {
	entries := make([]groupEntry, 0, s.Members)
	err := r.a.Store.Outcomes(ctx, r.job.ID, s.First, s.Members, func(o store.Outcome) error {
		entries = append(entries, groupEntry{idx: int(o.Idx), draft: of[o.Outcome], ours: o.PatientID})
		return nil
	})
	if err != nil {
		return nil, err
	}
	n := 0
	err = r.a.eachBundle(ctx, r.params, s, func(line []byte) error {
		if n == len(entries) || entries[n].idx != s.First+n || entries[n].draft == nil {
			return errNotComplete
		}
		e := &entries[n]
		n++
		patient, coverage := submittedParts(line)
		var err error
		if e.patient, err = copyContained(patient); err != nil {
			return err
		}
		if !repeated[digestOf(e.patient.id)] {
			return nil
		}
		card, err := copyContained(coverage)
		e.coverage = &card
		return err
	})
	return entries, err
}

// submittedParts finds the Patient and the Coverage in a line of the stored request.
func submittedParts(line []byte) (patient, coverage []byte) {
	for name, value := range checked.Members(line) {
		switch string(name) {
		case "patient":
			patient = value
		case "coverage":
			coverage = value
		}
		if patient != nil && coverage != nil {
			break // the rest is long
		}
	}
	return patient, coverage
}

// name gives its resources the ids they have in the Group.
func (e *groupEntry) name() {
	e.first = !e.draft.begun
	e.draft.begun = true
	e.draft.taken.give(&e.patient, "Patient", e.idx)
	if e.coverage != nil {
		e.draft.taken.give(e.coverage, "Coverage", e.idx)
	}
}

// names are the ids that resources of a Group have, with what they were submitted as.
type names map[digest]digest

// digest stands for an id or a text in the place of keeping it.
type digest [16]byte

func digestOf[T string | []byte](v T) digest {
	sum := sha256.Sum256([]byte(v))
	return digest(sum[:])
}

// give lets a contained resource keep the id it was submitted with, unless another resource of the Group has it already with other
// content. The same Patient submitted several times is contained once.
func (n names) give(c *contained, typ string, idx int) {
	there, taken := n[digestOf(c.id)]
	switch {
	case taken && there == c.sum:
		c.text = nil
		return
	case taken, c.id == "":
		id := "submitted-" + typ + "-" + strconv.Itoa(idx)
		for n.has(id) {
			id += ".1" // somebody submitted a resource of this id
		}
		c.rename(id)
	}
	n[digestOf(c.id)] = c.sum
}

func (n names) has(id string) bool {
	_, taken := n[digestOf(id)]
	return taken
}

// addition is what a slice adds to a list.
type addition struct {
	to   *items
	data []byte
	sum  segment.Sum
}

func (a addition) write() error {
	a.to.sum = a.to.sum.Add(a.sum)
	_, err := a.to.w.Write(a.data)
	return err
}

// packEntries packs the items of a slice's people for the lists they are in.
func packEntries(entries []groupEntry, drafts []*draft) ([]addition, error) {
	var packed []addition
	var resources, members []byte
	for _, d := range drafts {
		resources, members = resources[:0], members[:0]
		for i := range entries {
			e := &entries[i]
			if e.draft != d {
				continue
			}
			if !e.first {
				members = append(members, ',')
			}
			member, err := json.Marshal(e.member())
			if err != nil {
				return nil, fmt.Errorf("write a member of a Group: %w", err)
			}
			members = append(members, member...)
			for _, c := range []*contained{&e.patient, e.coverage} {
				if c == nil || c.text == nil {
					continue
				}
				if !e.first || c != &e.patient {
					resources = append(resources, ',')
				}
				resources = append(resources, c.text...)
			}
		}
		for _, list := range []struct {
			to  *items
			raw []byte
		}{{&d.contained, resources}, {&d.members, members}} {
			data, sum, err := segment.PackPart(nil, list.raw)
			if err != nil {
				return nil, err
			}
			packed = append(packed, addition{list.to, data, sum})
		}
	}
	return packed, nil
}

// member is the entry of the Group. Only a matched one tells our Patient id.
func (e *groupEntry) member() fhir.GroupMember {
	m := fhir.GroupMember{Entity: fhir.Reference{
		Extension: []fhir.Extension{referenceExtension(matchParameters, e.patient.id)},
		Reference: "#" + e.patient.id,
	}}
	if e.coverage != nil {
		m.Entity.Extension = append(m.Entity.Extension, referenceExtension(matchCoverage, e.coverage.id))
	}
	if e.draft.outcome == store.OutcomeMatched {
		m.Entity.Reference = "Patient/" + e.ours
	}
	return m
}

func referenceExtension(url, contained string) fhir.Extension {
	return fhir.Extension{URL: url, ValueReference: &fhir.Reference{Reference: "#" + contained}}
}
