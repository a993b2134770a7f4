package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"pdexbulk/models"
	"pdexbulk/workflows"
)

// addRelationshipRoutes registers the routes by which treatment relationships are derived from the services that are held.
func (s *Service) addRelationshipRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	derive := op(http.MethodPost, "/admin/relationships/derive", "derive-relationships", "Derive treatment relationships from services", http.StatusAccepted)
	derive.Metadata = map[string]any{RoleKey: models.RoleOperator}
	huma.Register(api, derive, s.deriveRelationships)
	huma.Register(api, op(http.MethodGet, "/admin/relationships/runs", "list-relationship-runs", "List runs of the claims rule, newest first", http.StatusOK), s.listRelationshipRuns)
	huma.Register(api, op(http.MethodGet, "/admin/relationships/runs/{id}", "get-relationship-run", "Show a run of the claims rule with its counts", http.StatusOK), s.getRelationshipRun)
}

type startedRun struct {
	Location string `header:"Location"`
	Body     models.RelationshipRun
}

// deriveRelationships starts a run of the claims rule; one that an administrator has asked for and that goes on is as good.
func (s *Service) deriveRelationships(ctx context.Context, _ *struct{}) (*startedRun, error) {
	started, err := s.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.ClaimsRelationshipsID, TaskQueue: s.TaskQueue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes: workflows.Attributes("admin", "claims-relationships", "accepted"),
	}, workflows.ClaimsRelationships, s.Limits)
	if err != nil {
		return nil, s.fault(ctx, models.Errorf(models.KindUnavailable, "the run could not be started; try again").Wait(5).Because(err))
	}
	// The workflow records the run as well, but this answer is to be one that can be followed.
	run, err := s.Store.StartRelationshipRun(ctx, started.GetRunID(), models.RelationshipParts, s.now())
	if err != nil && models.KindOf(err) != models.KindConflict {
		return nil, s.fault(ctx, err)
	}
	return &startedRun{"/admin/relationships/runs/" + run.ID, *run}, nil
}

func (s *Service) listRelationshipRuns(ctx context.Context, in *Page) (*listOf[models.RelationshipRun], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.Store.RelationshipRuns(ctx, in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return newList(rows, in.Limit, func(r models.RelationshipRun) string { return r.ID }), nil
}

func (s *Service) getRelationshipRun(ctx context.Context, in *ByID) (*struct{ Body models.RelationshipRun }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	run, err := s.Store.RelationshipRun(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body models.RelationshipRun }{*run}, nil
}
