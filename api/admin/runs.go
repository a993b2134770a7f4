package admin

import (
	"context"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/workflows"
)

type importBody struct {
	Source string            `json:"source" minLength:"1" maxLength:"2000" doc:"a file or folder: path, file:///path or s3://bucket/path, within PDEX_IMPORT_ROOTS"`
	Mode   models.ImportMode `json:"mode,omitempty" enum:"live,backfill" default:"live" doc:"live stamps resources with the moment of the import, backfill keeps the source's meta.lastUpdated"`
}

type startedImport struct {
	Location string `header:"Location"`
	Body     models.Import
}

func (s *Service) startImport(ctx context.Context, in *struct {
	Key
	Body importBody
},
) (*startedImport, error) {
	if err := checkSource(in.Body.Source, s.ImportRoots); err != nil {
		return nil, problem(err)
	}
	id, again, err := s.claim(ctx, "import", in.IdempotencyKey, in.Body)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	if again {
		imp, err := s.Store.Import(ctx, id)
		gone, err := missing(err)
		if err == nil && !gone && imp.State == models.StateAccepted {
			err = s.runImport(ctx, imp) // the request that made it may have broken off before
		}
		if err != nil {
			return nil, s.fault(ctx, err)
		}
		if !gone {
			return &startedImport{"/admin/imports/" + imp.ID, *imp}, nil
		}
	}
	imp := &models.Import{
		ID: id, Source: in.Body.Source, Mode: in.Body.Mode, State: models.StateAccepted,
		CreatedBy: ActorOf(ctx).ID, CreatedAt: s.now().UTC().Truncate(time.Millisecond), Buckets: 1,
	}
	if err := s.Store.CreateImport(ctx, imp); err != nil {
		return nil, s.fault(ctx, err)
	}
	if err := s.runImport(ctx, imp); err != nil {
		if in.IdempotencyKey == "" { // nobody comes back to it; with a key, the same request starts it
			s.abandonImport(ctx, imp)
		}
		return nil, s.fault(ctx, err)
	}
	return &startedImport{"/admin/imports/" + imp.ID, *imp}, nil
}

// runImport starts the run of an import. One that is there already is as good.
func (s *Service) runImport(ctx context.Context, imp *models.Import) error {
	_, err := s.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.ImportID(imp.ID), TaskQueue: s.TaskQueue,
		TypedSearchAttributes: workflows.Attributes("admin", "import", "accepted"),
	}, workflows.Import, workflows.ImportInput{ImportID: imp.ID, Limits: s.Limits})
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the import could not be started; try again").Wait(5).Because(err)
	}
	return nil
}

func (s *Service) abandonImport(ctx context.Context, imp *models.Import) {
	err := s.Store.FinishImport(context.WithoutCancel(ctx), imp.ID, models.StateFailed, imp.Stats, "its workflow could not be started", s.now())
	if err != nil {
		s.Log.ErrorContext(ctx, "an import that was not started could not be closed", "import", imp.ID, "error", err.Error())
	}
}

func (s *Service) listImports(ctx context.Context, in *Page) (*listOf[models.Import], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.Store.Imports(ctx, in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return newList(rows, in.Limit, func(i models.Import) string { return i.ID }), nil
}

// ByID names one thing.
type ByID struct {
	ID string `path:"id"`
}

func (s *Service) getImport(ctx context.Context, in *ByID) (*struct{ Body models.Import }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	imp, err := s.Store.Import(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	if imp.State == models.StateRunning {
		if imp.Stats, err = s.Store.SumImport(ctx, imp.ID); err != nil {
			return nil, s.fault(ctx, err)
		}
	}
	return &struct{ Body models.Import }{*imp}, nil
}

func (s *Service) listRejects(ctx context.Context, in *struct {
	ByID
	Page
},
) (*listOf[models.ImportReject], error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	if _, err := s.Store.Import(ctx, in.ID); err != nil {
		return nil, s.fault(ctx, err)
	}
	file, line := -1, int64(0)
	if in.Cursor != "" {
		f, l, _ := strings.Cut(in.Cursor, ".")
		number, ferr := strconv.ParseUint(f, 10, 31)
		position, lerr := strconv.ParseUint(l, 10, 63)
		if ferr != nil || lerr != nil {
			return nil, badCursor()
		}
		file, line = int(number), int64(position)
	}
	rows, err := s.Store.Rejects(ctx, in.ID, file, line, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return newList(rows, in.Limit, func(r models.ImportReject) string {
		return strconv.Itoa(r.FileNo) + "." + strconv.FormatInt(r.Line, 10)
	}), nil
}

type outcomeView struct {
	Index   int32  `json:"index" doc:"of the MemberBundle in the request, from 0"`
	Outcome string `json:"outcome" enum:"matched,nomatch,constrained"`
	Reason  string `json:"reason" doc:"why, in a fixed code; never told to the requester"`
	Patient string `json:"patient,omitempty" doc:"id of our Patient that was found"`
}

func (s *Service) listOutcomes(ctx context.Context, in *struct {
	ByID
	Page
},
) (*listOf[outcomeView], error) {
	if _, err := s.job(ctx, &in.ByID); err != nil {
		return nil, err
	}
	from := 0
	if in.Cursor != "" {
		last, err := strconv.ParseUint(in.Cursor, 10, 30)
		if err != nil {
			return nil, badCursor()
		}
		from = int(last) + 1
	}
	var views []outcomeView
	err := s.Store.Outcomes(ctx, in.ID, from, in.ask(), func(o store.Outcome) error {
		views = append(views, outcomeView{Index: o.Idx, Outcome: o.Outcome, Reason: o.Reason, Patient: o.PatientID})
		return nil
	})
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return newList(views, in.Limit, func(o outcomeView) string { return strconv.Itoa(int(o.Index)) }), nil
}
