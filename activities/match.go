package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/checked"
	"pdexbulk/models/match"
	"pdexbulk/models/store"
)

// MatchPlan is what a match's workflow has to do.
type MatchPlan struct {
	Client    string
	Operation models.Operation
	Slices    int
	Members   int64
	Paused    bool // by an administrator
}

// PrepareMatch starts the job. The slices were cut when the request was stored.
func (a *Activities) PrepareMatch(ctx context.Context, jobID string) (*MatchPlan, error) {
	job, err := a.Store.StartJob(ctx, jobID, "matching", a.now())
	if err != nil {
		return nil, err
	}
	if job.State != models.StateRunning {
		return nil, models.Errorf(models.KindConflict, "the job has ended")
	}
	slices, err := a.Store.Slices(ctx, jobID)
	if err != nil {
		return nil, err
	}
	plan := &MatchPlan{Client: job.ClientID, Operation: job.Operation, Slices: len(slices), Paused: job.PausedAt != nil}
	for _, s := range slices {
		plan.Members += int64(s.Members)
	}
	return plan, nil
}

func (a *Activities) matchJob(ctx context.Context, jobID string) (*models.Job, models.MatchParams, error) {
	var p models.MatchParams
	job, err := a.Store.Job(ctx, jobID)
	if err != nil {
		return nil, p, err
	}
	if job.State != models.StateRunning {
		return nil, p, models.Errorf(models.KindConflict, "the job has ended")
	}
	if err := json.Unmarshal(job.Params, &p); err != nil {
		return nil, p, models.Errorf(models.KindInternal, "the job's parameters cannot be read").Because(err)
	}
	return job, p, nil
}

// SliceInput names one slice of a match.
type SliceInput struct {
	JobID string
	Slice int
}

// MatchSlice gives every person of a slice exactly one outcome and commits them together. It returns how many there were.
func (a *Activities) MatchSlice(ctx context.Context, in SliceInput) (int64, error) {
	job, params, err := a.matchJob(ctx, in.JobID)
	if err != nil {
		return 0, err
	}
	all, err := a.Store.Slices(ctx, job.ID)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(all, func(s store.Slice) bool { return s.Slice == in.Slice })
	if i < 0 {
		return 0, models.Errorf(models.KindNotFound, "the job has no such slice")
	}
	slice := all[i]
	if slice.Done {
		return int64(slice.Members), nil
	}
	begin := time.Now()
	people, err := a.submissions(ctx, params, slice)
	if err != nil {
		return 0, err
	}
	activity.RecordHeartbeat(ctx, len(people))
	return int64(len(people)), a.settleSlice(ctx, job, params, slice, people, begin)
}

// settleSlice decides on the people of a slice, which an attempt began to read at the given moment, and commits their outcomes.
func (a *Activities) settleSlice(ctx context.Context, job *models.Job, params models.MatchParams, slice store.Slice, people []submitted, begin time.Time) error {
	if err := a.decide(ctx, job, params, people); err != nil {
		return err
	}
	kind, err := kindOf(job)
	if err != nil {
		return err
	}
	if kind.alike {
		if err := pace(ctx, begin, len(people)); err != nil {
			return err
		}
	}
	outcomes := make([]store.Outcome, len(people))
	var consents []store.Consent
	for i, p := range people {
		outcomes[i] = p.outcome
		if p.kept != nil {
			consents = append(consents, *p.kept)
		}
	}
	return a.Store.SaveOutcomes(ctx, job.ID, slice.Slice, outcomes, consents...)
}

// pace waits until a slice has taken a multiple of a time that its size alone determines, so that how long it took does not tell whom
// of the people somebody knows. The time is about twice what deciding takes on a machine that is not busy.
func pace(ctx context.Context, begin time.Time, people int) error {
	grid := 5*time.Millisecond + time.Duration(people)*100*time.Microsecond
	timer := time.NewTimer(grid - time.Since(begin)%grid)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// submitted is one person of a slice on the way to an outcome.
type submitted struct {
	person  match.Person
	patient string   // the requester's Patient id
	numbers []string // the Patient's identifiers, "system|value"
	consent json.RawMessage
	outcome store.Outcome
	kept    *store.Consent // how the consent is to be stored; nil when it is not
}

// submissions reads a slice of the stored request. What cannot be understood has its outcome at once: nobody is matched.
func (a *Activities) submissions(ctx context.Context, params models.MatchParams, slice store.Slice) ([]submitted, error) {
	people := make([]submitted, 0, slice.Members)
	err := a.eachBundle(ctx, params, slice, func(line []byte) error {
		p, err := readSubmission(line)
		if err != nil {
			return err
		}
		p.outcome.Idx = int32(slice.First + len(people))
		people = append(people, p)
		return nil
	})
	return people, err
}

// eachBundle reads the MemberBundles of a slice of the stored request. A line is good until fn returns.
func (a *Activities) eachBundle(ctx context.Context, params models.MatchParams, slice store.Slice, fn func(line []byte) error) error {
	body, err := a.Files.ReadRange(ctx, params.BlobKey, slice.Offset, slice.Length)
	if err != nil {
		return err
	}
	defer body.Close()
	in := fhir.NewReader(body, models.MaxMemberBundle)
	n := 0
	for ; ; n++ {
		_, line, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the stored request: %w", err)
		}
		if err := fn(line); err != nil {
			return err
		}
	}
	if n != slice.Members {
		return fmt.Errorf("slice %d: %d members stored, %d read", slice.Slice, slice.Members, n)
	}
	return nil
}

// readSubmission reads one MemberBundle. Its structure was checked at kick-off; content that makes no sense costs the one
// person their match (decision D-05), not the others.
func readSubmission(line []byte) (submitted, error) {
	var p submitted
	if err := fhir.Check(line); err != nil {
		return p, models.Errorf(models.KindInternal, "the stored request is damaged")
	}
	var s match.Submission
	for name, value := range checked.Members(line) {
		switch string(name) {
		case "patient":
			s.Patient = value
		case "coverage":
			s.Coverage = value
		case "consent":
			s.Consent = value
		}
	}
	p.consent = slices.Clone(s.Consent)
	who, err := fhir.ParsePatient(s.Patient)
	if err != nil {
		p.outcome.Outcome, p.outcome.Reason = store.OutcomeNoMatch, "patient-unreadable"
		return p, nil //nolint:nilerr // it is the outcome of this one person
	}
	p.patient = who.ID
	for _, i := range who.Identifiers {
		if i.System != "" && i.Value != "" {
			p.numbers = append(p.numbers, i.System+"|"+i.Value)
		}
	}
	p.person = match.FromPatient(who)
	cards, err := fhir.ParseCards(s.Coverage)
	if err != nil {
		p.outcome.Outcome, p.outcome.Reason = store.OutcomeNoMatch, "coverage-unreadable"
		return p, nil //nolint:nilerr // it is the outcome of this one person
	}
	p.person.AddCards(cards)
	return p, nil
}

// decide looks for everybody at once, then has the operation judge those who were found.
func (a *Activities) decide(ctx context.Context, job *models.Job, params models.MatchParams, people []submitted) error {
	kind, err := kindOf(job)
	if err != nil {
		return err
	}
	decisions, err := a.find(ctx, people, kind.alike)
	if err != nil {
		return err
	}
	var found, strangers []*submitted
	for i := range people {
		p := &people[i]
		switch {
		case p.outcome.Outcome != "":
		case !decisions[i].Matched:
			p.outcome.Outcome, p.outcome.Reason = store.OutcomeNoMatch, string(decisions[i].Reason)
			strangers = append(strangers, p)
		default:
			p.outcome.Member = &decisions[i].Member
			found = append(found, p)
		}
	}
	m := matchRun{job: job, params: params, at: a.now()}
	if kind.alike {
		m.strangers = strangers
	}
	return kind.judge(ctx, a, m, found)
}
