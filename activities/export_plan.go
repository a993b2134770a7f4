package activities

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

// ExportPlan is what an export's workflow has to do.
type ExportPlan struct {
	Client    string // for search attributes
	Operation models.Operation
	Chunks    int
	Done      int // chunks that earlier runs of the workflow published
	Resources int64
	// Supporting says that another chunk follows, number Chunks, with what comes along because of the others.
	Supporting bool
	// Convert says that the files are to be made into another format before they are published.
	Convert bool
	Paused  bool // by an administrator
}

// PrepareExport freezes the export's snapshot and cuts it into chunks of members by what is stored for each.
func (a *Activities) PrepareExport(ctx context.Context, jobID string) (*ExportPlan, error) {
	job, err := a.Store.StartJob(ctx, jobID, "exporting", a.now())
	if err != nil {
		return nil, err
	}
	if job.State != models.StateRunning {
		return nil, models.Errorf(models.KindConflict, "the job has ended")
	}
	params, err := exportParams(job)
	if err != nil {
		return nil, err
	}
	chunks, err := a.Store.PlannedChunks(ctx, jobID)
	if err != nil {
		return nil, err
	}
	if len(chunks) == 0 {
		if chunks, err = a.plan(ctx, job, params); err != nil {
			return nil, err
		}
	}
	plan := &ExportPlan{Client: job.ClientID, Operation: job.Operation, Chunks: len(chunks), Convert: params.Format != "", Paused: job.PausedAt != nil}
	if n := len(chunks); n > 0 && isClosing(job, chunks[n-1]) {
		plan.Supporting = true
		plan.Chunks--
	}
	for _, c := range chunks[:plan.Chunks] {
		plan.Resources += c.Planned
		if c.Done {
			plan.Done++
		}
	}
	return plan, nil
}

func exportParams(job *models.Job) (models.ExportParams, error) {
	var p models.ExportParams
	if err := json.Unmarshal(job.Params, &p); err != nil {
		return p, models.Errorf(models.KindInternal, "the job's parameters cannot be read").Because(err)
	}
	return p, nil
}

func (a *Activities) plan(ctx context.Context, job *models.Job, p models.ExportParams) ([]store.Chunk, error) {
	var atoms []atom
	collect := func(shared bool) func(store.Load) error {
		return func(l store.Load) error {
			atoms = addLoad(atoms, l, shared)
			if len(atoms)%1000 == 0 {
				activity.RecordHeartbeat(ctx, len(atoms))
			}
			return nil
		}
	}
	frozen := frozenRoster(job, p)
	if frozen != "" {
		if err := a.Store.FreezeRoster(ctx, job.ID, p.GroupID); err != nil {
			return nil, err
		}
	}
	if err := a.Store.Loads(ctx, p.GroupID, frozen, p.Types, onlyMembers(p), *job.TransactionTime, collect(false)); err != nil {
		return nil, err
	}
	if job.Operation == models.OpSystemExport && p.OrganizeBy == "" {
		if err := a.Store.SharedLoads(ctx, p.Types, *job.TransactionTime, collect(true)); err != nil {
			return nil, err
		}
	}
	chunks := joinAtoms(job.ID, atoms)
	if p.OrganizeBy == "" && (len(chunks) > 0 && (supports(job, p) || transmits(p)) || p.WithList) {
		chunks = append(chunks, closingChunk(job, len(chunks)))
	}
	return chunks, a.Store.SavePlan(ctx, job.ID, chunks)
}

// onlyMembers returns the members an export is limited to, nil when it is not.
func onlyMembers(p models.ExportParams) []uuid.UUID {
	var only []uuid.UUID
	for _, patient := range p.Patients {
		only = append(only, models.MemberID(patient))
	}
	return only
}

// atom is a run of neighbouring members with about atomPacked bytes.
type atom struct {
	lo, hi  uuid.UUID
	members int
	lines   int64
	packed  int64
	shared  bool
}

func addLoad(atoms []atom, l store.Load, shared bool) []atom {
	n := len(atoms)
	if n == 0 || atoms[n-1].packed >= atomPacked || atoms[n-1].members >= chunkMembers/16 || atoms[n-1].shared != shared {
		atoms = append(atoms, atom{lo: l.Member, shared: shared})
		n++
	}
	last := &atoms[n-1]
	last.hi = l.Member
	last.lines += l.Lines
	last.packed += l.Packed
	if !shared {
		last.members++
	}
	return atoms
}

// joinAtoms makes chunks of neighbouring atoms: of chunkPacked bytes in a large export, of less in a small one. Chunks of
// shared resources hold nothing else.
func joinAtoms(jobID string, atoms []atom) []store.Chunk {
	var total int64
	for _, a := range atoms {
		total += a.packed
	}
	target := min(chunkPacked, max(atomPacked, total/wantChunks+1))
	var chunks []store.Chunk
	var packed int64
	shared := false
	for _, a := range atoms {
		n := len(chunks)
		if n == 0 || packed+a.packed > target+atomPacked/2 || chunks[n-1].Members+a.members > chunkMembers || shared != a.shared {
			chunks = append(chunks, store.Chunk{JobID: jobID, Chunk: n, Lo: a.lo})
			n, packed, shared = n+1, 0, a.shared
		}
		c := &chunks[n-1]
		c.Hi = a.hi
		c.Members += a.members
		c.Planned += a.lines
		packed += a.packed
	}
	return chunks
}
