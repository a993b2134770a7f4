package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/fhir"
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
// line, and the matched one for reading by its id. What attempts wrote that were cut off before they could publish it is deleted.
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
	drafts, err := r.draft(ctx, acc)
	defer beat(ctx)() // from here on it is copying, and one transaction
	if err == nil {
		err = r.write(ctx, drafts)
	}
	if err != nil {
		err = errors.Join(err, r.discard(ctx))
		if out, told := a.published(ctx, jobID); told == nil {
			return out, nil // by an earlier attempt, which has taken the files of this one for left behind
		}
		return nil, err
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

// write makes the files of the drafts.
func (r *matchResult) write(ctx context.Context, drafts []*draft) error {
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
	whole.text(`{"resourceType":"Parameters","meta":{"profile":["` + r.kind.outProfile + `"]},"parameter":[`)
	sep := ""
	for _, d := range drafts {
		pieces, err := r.group(d)
		if err != nil {
			return err
		}
		if d.outcome == store.OutcomeMatched {
			if err := r.keep(ctx, pieces); err != nil {
				return err
			}
		}
		whole.text(sep + `{"name":"` + d.parameter + `","resource":`)
		if err := r.copy(ctx, pieces, groups, whole); err != nil {
			return err
		}
		whole.text("}")
		groups.text("\n")
		sep = ","
	}
	whole.text("]}\n")
	if err := r.close(groups, "Group"); err != nil {
		return err
	}
	return r.close(whole, "Parameters")
}

// resultFile is a file on the way: packed runs one after another.
type resultFile struct {
	key string
	w   blob.Writer
	sum segment.Sum
	err error
}

func (r *matchResult) open(ctx context.Context, key string) (*resultFile, error) {
	w, err := r.a.Files.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	return &resultFile{key: key, w: w}, nil
}

// text packs some text. Its error shows when the file is closed.
func (f *resultFile) text(s string) {
	packed, sum, err := segment.PackPart(nil, []byte(s))
	if err == nil {
		_, err = f.w.Write(packed)
	}
	f.sum, f.err = f.sum.Add(sum), errors.Join(f.err, err)
}

func (r *matchResult) close(f *resultFile, typ string) error {
	if f.err != nil {
		return f.err
	}
	if err := f.w.Commit(); err != nil {
		return err
	}
	r.files = append(r.files, models.JobFile{
		JobID: r.job.ID, File: len(r.files), Kind: "output", Type: typ, BlobKey: f.key, Format: models.FormatDeflate,
		Lines: f.sum.Lines, RawLen: f.sum.RawLen, PackedLen: f.sum.PackedLen, CRC: int32(f.sum.CRC),
	})
	return nil
}

// piece is a stretch of a Group: text, or else the packed items of one of its lists.
type piece struct {
	text  string
	items *items
}

// group returns what the Group of a draft consists of. Lists are left out when they are empty, as FHIR demands.
func (r *matchResult) group(d *draft) ([]piece, error) {
	head, tail, err := r.frame(d.bucket, d.count)
	if err != nil {
		return nil, err
	}
	if d.count == 0 {
		return []piece{{text: head + tail + "}"}}, nil
	}
	return []piece{
		{text: head + `,"contained":[`}, {items: &d.contained}, {text: "]" + tail + `,"member":[`}, {items: &d.members}, {text: "]}"},
	}, nil
}

// copy adds pieces to files as they are packed.
func (r *matchResult) copy(ctx context.Context, pieces []piece, files ...*resultFile) error {
	writers := make([]io.Writer, len(files))
	for i, f := range files {
		writers[i] = f.w
	}
	for _, p := range pieces {
		if p.items == nil {
			for _, f := range files {
				f.text(p.text)
			}
			continue
		}
		in, err := r.a.Files.ReadRange(ctx, p.items.key, 0, -1)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.MultiWriter(writers...), in)
		if err := errors.Join(err, in.Close()); err != nil {
			return fmt.Errorf("copy a list of a Group: %w", err)
		}
		for _, f := range files {
			f.sum = f.sum.Add(p.items.sum)
		}
	}
	return nil
}

// keep writes a Group as it is read by its id: not packed.
func (r *matchResult) keep(ctx context.Context, pieces []piece) error {
	r.groupKey = "groups/" + r.job.ID + "/" + models.NewID()
	w, err := r.a.Files.Create(ctx, r.groupKey)
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, p := range pieces {
		if p.items == nil {
			if _, err := io.WriteString(w, p.text); err != nil {
				return err
			}
			continue
		}
		open := func(int) (io.ReadCloser, error) { return r.a.Files.ReadRange(ctx, p.items.key, 0, -1) }
		in := segment.NewRawReader(open, []segment.Sum{p.items.sum}, 0)
		_, err := io.Copy(w, in)
		if err := errors.Join(err, in.Close()); err != nil {
			return fmt.Errorf("copy a list of a Group: %w", err)
		}
	}
	return w.Commit()
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
