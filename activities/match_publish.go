package activities

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/match"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

const (
	matchResults     = pdex + "CodeSystem/PdexMultiMemberMatchResultCS"
	matchParameters  = pdex + "StructureDefinition/base-ext-match-parameters"
	matchCoverage    = pdex + "StructureDefinition/base-ext-match-coverage"
	groupIdentifiers = "urn:ietf:rfc:3986"
)

// PublishMatch checks that everybody has an outcome and writes the Groups: once as Group lines, once in one Parameters
// line, and the matched one for reading by its id. The request is streamed once for each list a Group has, so memory does
// not grow with it. What attempts wrote that were cut off before they could publish it is deleted.
func (a *Activities) PublishMatch(ctx context.Context, jobID string) (*Published, error) {
	out, err := a.publishMatch(ctx, jobID)
	if err != nil {
		return nil, err
	}
	return out, a.dropOrphans(ctx, jobID, "matches/"+jobID, "groups/"+jobID)
}

func (a *Activities) publishMatch(ctx context.Context, jobID string) (*Published, error) {
	job, params, err := a.matchJob(ctx, jobID)
	if models.KindOf(err) == models.KindConflict {
		return a.published(ctx, jobID)
	}
	if err != nil {
		return nil, err
	}
	acc, err := a.Store.CountOutcomes(ctx, jobID)
	if err != nil {
		return nil, err
	}
	if wrong := acc.Check(); wrong != "" || acc.Members != int64(params.Members) {
		return nil, models.Errorf(models.KindConflict, "the match is not complete: %d members submitted, %d with an outcome", params.Members, acc.Members)
	}
	kind, err := kindOf(job)
	if err != nil {
		return nil, err
	}
	r := &matchResult{a: a, kind: kind, job: job, params: params, at: a.now().UTC(), prefix: attemptKey("matches/" + jobID + "/result")}
	if life := kind.life(a.GroupLife); life > 0 {
		r.ends = new(r.at.Truncate(time.Second).Add(life))
	}
	if err := r.write(ctx, acc); err != nil {
		return nil, errors.Join(err, r.discard(ctx))
	}
	now := a.now()
	expires := now.Add(a.Retention)
	group := &store.Group{
		ID: params.GroupID, ClientID: job.ClientID, JobID: job.ID, Profile: kind.buckets[0].profile, BlobKey: r.groupKey,
		Members: acc.Matched, CreatedAt: r.at.Truncate(time.Millisecond), Organizations: params.Organizations, ExpiresAt: r.ends,
	}
	if job.Operation == models.OpProviderMemberMatch {
		group.Asker = &store.Asker{Organizations: params.Organizations, Holder: a.Holder.IDs}
	}
	done, err := a.Store.CompleteJob(ctx, jobID, r.files, acc, now, expires, func(ctx context.Context, tx bun.Tx) error {
		return store.AddMatchedGroup(ctx, tx, group)
	})
	if err != nil {
		return nil, err
	}
	if !done {
		if err := r.discard(ctx); err != nil {
			return nil, err
		}
		return a.published(ctx, jobID)
	}
	return &Published{Files: len(r.files), Resources: countLines(r.files), Members: acc.Members, Expires: expires}, nil
}

// discard removes what an attempt wrote that does not count.
func (r *matchResult) discard(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	err := r.a.Files.DeletePrefix(ctx, r.prefix)
	if r.groupKey != "" {
		err = errors.Join(err, r.a.Files.Delete(ctx, r.groupKey))
	}
	return err
}

type matchResult struct {
	a        *Activities
	kind     matchKind
	job      *models.Job
	params   models.MatchParams
	at       time.Time
	ends     *time.Time // of the matched Group
	prefix   string
	groupKey string
	files    []models.JobFile
}

func (r *matchResult) write(ctx context.Context, acc models.Accounting) error {
	r.groupKey = "groups/" + r.job.ID + "/" + models.NewID()
	groups, err := r.open(ctx, r.prefix+"/Group")
	if err != nil {
		return err
	}
	defer groups.w.Abort()
	whole, err := r.open(ctx, r.prefix+"/Parameters")
	if err != nil {
		return err
	}
	defer whole.w.Abort()
	matched, err := r.a.Files.Create(ctx, r.groupKey)
	if err != nil {
		return err
	}
	defer matched.Abort()

	repeated, err := r.repeated(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(whole.s, `{"resourceType":"Parameters","meta":{"profile":["%s"]},"parameter":[`, r.kind.outProfile)
	counts := map[string]int64{store.OutcomeMatched: acc.Matched, store.OutcomeNoMatch: acc.Unmatched, store.OutcomeConstrained: acc.Constrained}
	for i, b := range r.kind.buckets {
		if counts[b.outcome] == 0 && b.outcome != store.OutcomeMatched {
			continue // BK-02, BK-03: only the matched Group is always there
		}
		sep, out := ",", io.MultiWriter(groups.s, whole.s)
		if i == 0 {
			sep, out = "", io.MultiWriter(groups.s, whole.s, matched)
		}
		fmt.Fprintf(whole.s, `%s{"name":"%s","resource":`, sep, b.parameter)
		if err := r.group(ctx, out, b, counts[b.outcome], repeated); err != nil {
			return err
		}
		io.WriteString(whole.s, "}")   //nolint:errcheck // a Stream keeps its error for Finish
		io.WriteString(groups.s, "\n") //nolint:errcheck // as above
	}
	io.WriteString(whole.s, "]}\n") //nolint:errcheck // as above
	if err := matched.Commit(); err != nil {
		return err
	}
	if err := r.close(groups, "Group"); err != nil {
		return err
	}
	return r.close(whole, "Parameters")
}

type resultFile struct {
	key string
	w   interface {
		io.Writer
		Commit() error
		Abort()
	}
	s *segment.Stream
}

func (r *matchResult) open(ctx context.Context, key string) (*resultFile, error) {
	w, err := r.a.Files.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	s, err := segment.NewStream(w)
	if err != nil {
		w.Abort()
		return nil, err
	}
	return &resultFile{key: key, w: w, s: s}, nil
}

func (r *matchResult) close(f *resultFile, typ string) error {
	sum, err := f.s.Finish()
	if err != nil {
		return err
	}
	if err := f.w.Commit(); err != nil {
		return err
	}
	r.files = append(r.files, models.JobFile{
		JobID: r.job.ID, File: len(r.files), Kind: "output", Type: typ, BlobKey: f.key, Format: models.FormatDeflate,
		Lines: sum.Lines, RawLen: sum.RawLen, PackedLen: sum.PackedLen, CRC: int32(sum.CRC),
	})
	return nil
}

// one is a MemberBundle with its outcome.
type one struct {
	idx     int
	outcome store.Outcome
	bundle  match.Submission
}

// each streams the request and the outcomes side by side.
func (r *matchResult) each(ctx context.Context, fn func(one) error) error {
	body, err := r.a.Files.ReadRange(ctx, r.params.BlobKey, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	in := fhir.NewReader(body, models.MaxMemberBundle)
	const page = 2000
	for from := 0; from < r.params.Members; from += page {
		activity.RecordHeartbeat(ctx, from)
		err := r.a.Store.Outcomes(ctx, r.job.ID, from, page, func(o store.Outcome) error {
			_, line, err := in.Next()
			if err != nil {
				return fmt.Errorf("read the stored request: %w", err)
			}
			x := one{idx: int(o.Idx), outcome: o}
			if err := json.Unmarshal(line, &x.bundle); err != nil {
				return models.Errorf(models.KindInternal, "the stored request is damaged")
			}
			return fn(x)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// repeated finds the Patient ids that more than one MemberBundle has.
func (r *matchResult) repeated(ctx context.Context) (map[string]bool, error) {
	seen := make(map[string]bool, r.params.Members)
	err := r.each(ctx, func(x one) error {
		id := resourceID(x.bundle.Patient)
		_, again := seen[id]
		seen[id] = again
		return nil
	})
	for id, again := range seen {
		if !again {
			delete(seen, id)
		}
	}
	return seen, err
}

func resourceID(resource json.RawMessage) string {
	var head struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(resource, &head) // it was checked at kick-off
	return head.ID
}

// group writes one Group. First what is contained, then the members that refer to it.
func (r *matchResult) group(ctx context.Context, w io.Writer, b bucket, count int64, repeated map[string]bool) error {
	head, tail, err := r.frame(b, count)
	if err != nil {
		return err
	}
	out := &listWriter{w: w}
	out.text(head)
	names := newNames()
	out.list("contained", func() error {
		return r.each(ctx, func(x one) error {
			if x.outcome.Outcome != b.outcome {
				return nil
			}
			return names.contain(x, repeated, out)
		})
	})
	out.text(tail)
	names.rewind()
	out.list("member", func() error {
		return r.each(ctx, func(x one) error {
			if x.outcome.Outcome != b.outcome {
				return nil
			}
			return out.item(names.member(x, b))
		})
	})
	out.text("}")
	return out.err
}

// frame returns what stands before and after the contained resources.
func (r *matchResult) frame(b bucket, count int64) (head, tail string, err error) {
	id := models.NewID()
	g := fhir.Group{
		Type: "person", Actual: true, Name: b.name, Quantity: new(int(count)),
		Code:           new(fhir.Concept(matchResults, b.code, b.display)),
		ManagingEntity: organizationReference(r.a.Holder.IDs, r.a.Holder.Name),
	}
	asked := &fhir.Period{Start: r.job.CreatedAt.UTC().Format(time.DateOnly)}
	switch {
	case b.outcome == store.OutcomeMatched:
		id = r.params.GroupID
		if r.ends != nil {
			asked.End = r.ends.Format(time.RFC3339)
		}
		g.Characteristic = []fhir.Characteristic{{
			Code:           fhir.Concept(matchResults, b.code, b.display),
			ValueReference: organizationReference(r.params.Organizations, r.params.RequesterName),
			Period:         asked,
		}}
	case b.profile == optOutGroup: // of a scope that tells nothing of what a member said (decision D-22)
		g.Active = new(true)
		g.Characteristic = []fhir.Characteristic{{
			Code:                 fhir.Concept(matchResults, b.code, b.display),
			ValueCodeableConcept: new(fhir.Concept(optOutScopes, string(models.OptOutGlobal), "Global Opt-Out")),
			Period:               asked,
		}}
	}
	g.Identifier = []fhir.Identifier{{System: groupIdentifiers, Value: "urn:uuid:" + id}}
	meta, err := json.Marshal(fhir.Meta{LastUpdated: fhir.FormatInstant(r.at.UnixMilli()), Profile: []string{b.profile}})
	if err != nil {
		return "", "", err
	}
	rest, err := json.Marshal(g)
	if err != nil {
		return "", "", err
	}
	head = `{"resourceType":"Group","id":"` + id + `","meta":` + string(meta)
	tail = "," + strings.TrimSuffix(strings.TrimPrefix(string(rest), `{"resourceType":"Group",`), "}")
	return head, tail, nil
}

// organizationReference refers to an organisation by its first identifier.
func organizationReference(ids []string, name string) *fhir.Reference {
	ref := &fhir.Reference{Display: name}
	if len(ids) > 0 {
		system, value, _ := strings.Cut(ids[0], "|")
		ref.Identifier = &fhir.Identifier{System: system, Value: value}
	}
	return ref
}

// listWriter writes JSON lists that are left out when they are empty, as FHIR demands.
type listWriter struct {
	w     io.Writer
	err   error
	open  string // the name of a list that has no item yet
	items int
}

func (l *listWriter) text(s string) {
	if l.err == nil {
		_, l.err = io.WriteString(l.w, s)
	}
}

func (l *listWriter) list(name string, fill func() error) {
	l.open, l.items = name, 0
	if err := fill(); l.err == nil {
		l.err = err
	}
	if l.items > 0 {
		l.text("]")
	}
}

func (l *listWriter) item(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if l.items == 0 {
		l.text(`,"` + l.open + `":[`)
	} else {
		l.text(",")
	}
	l.items++
	l.text(string(b))
	return l.err
}

// names gives every contained resource its id: the one it was submitted with, unless another resource of the Group has it
// already with other content. The same Patient submitted several times is contained once.
type names struct {
	taken map[string][sha256.Size]byte
	given []containedIDs
	next  int
}

type containedIDs struct{ patient, coverage string }

func newNames() *names { return &names{taken: map[string][sha256.Size]byte{}} }

func (n *names) rewind() { n.next = 0 }

func (n *names) contain(x one, repeated map[string]bool, out *listWriter) error {
	var ids containedIDs
	var err error
	if ids.patient, err = n.add(x.bundle.Patient, "Patient", x.idx, out); err != nil {
		return err
	}
	// The same person asked for with several coverages: each entry says which one it answers (PDex 2.2.0, 153).
	if repeated[resourceID(x.bundle.Patient)] {
		if ids.coverage, err = n.add(x.bundle.Coverage, "Coverage", x.idx, out); err != nil {
			return err
		}
	}
	n.given = append(n.given, ids)
	return nil
}

func (n *names) add(resource json.RawMessage, typ string, idx int, out *listWriter) (string, error) {
	fields, err := scrub(resource)
	if err != nil {
		return "", err
	}
	id := resourceID(resource)
	text, err := json.Marshal(fields)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	if there, taken := n.taken[id]; taken && there == sum {
		return id, nil
	} else if taken || id == "" {
		for id = "submitted-" + typ + "-" + strconv.Itoa(idx); n.has(id); {
			id += ".1" // somebody submitted a resource of this id
		}
		fields["id"], _ = json.Marshal(id) // a string always marshals
	}
	n.taken[id] = sum
	return id, out.item(fields)
}

func (n *names) has(id string) bool {
	_, taken := n.taken[id]
	return taken
}

// scrub removes from a submitted resource what must not be in its contained copy: the version, its instant, its labels, and
// what it contains itself (PDex 2.2.0, 151a). Everything else stays as it was sent.
func scrub(resource json.RawMessage) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(resource, &fields); err != nil {
		return nil, models.Errorf(models.KindInternal, "the stored request is damaged")
	}
	delete(fields, "contained")
	var meta map[string]json.RawMessage
	if json.Unmarshal(fields["meta"], &meta) != nil {
		return fields, nil //nolint:nilerr // without a meta object there is nothing to take out
	}
	for _, name := range []string{"versionId", "lastUpdated", "security"} {
		delete(meta, name)
	}
	if len(meta) == 0 {
		delete(fields, "meta")
		return fields, nil
	}
	text, err := json.Marshal(meta)
	fields["meta"] = text
	return fields, err
}

// member is the Group entry of a submission. Only a matched one tells our Patient id.
func (n *names) member(x one, b bucket) fhir.GroupMember {
	ids := n.given[n.next]
	n.next++
	m := fhir.GroupMember{Entity: fhir.Reference{
		Extension: []fhir.Extension{referenceExtension(matchParameters, ids.patient)},
		Reference: "#" + ids.patient,
	}}
	if ids.coverage != "" {
		m.Entity.Extension = append(m.Entity.Extension, referenceExtension(matchCoverage, ids.coverage))
	}
	if b.outcome == store.OutcomeMatched {
		m.Entity.Reference = "Patient/" + x.outcome.PatientID
	}
	return m
}

func referenceExtension(url, contained string) fhir.Extension {
	return fhir.Extension{URL: url, ValueReference: &fhir.Reference{Reference: "#" + contained}}
}
