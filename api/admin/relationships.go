package admin

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/store"
	"pdexbulk/workflows"
)

// addRelationshipRoutes registers the routes by which treatment relationships are derived from the services that are held, and by
// which a member's rows are shown as the Groups that PDex has for them. These Groups are for the plan's own use: no FHIR route has them.
func (s *Service) addRelationshipRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	derive := op(http.MethodPost, "/admin/relationships/derive", "derive-relationships", "Derive treatment relationships from services", http.StatusAccepted)
	derive.Metadata = map[string]any{RoleKey: string(models.RoleOperator)}
	huma.Register(api, derive, s.deriveRelationships)
	huma.Register(api, op(http.MethodGet, "/admin/relationships/runs", "list-relationship-runs", "List runs of the claims rule, newest first", http.StatusOK), s.listRelationshipRuns)
	huma.Register(api, op(http.MethodGet, "/admin/relationships/runs/{id}", "get-relationship-run", "Show a run of the claims rule with its counts", http.StatusOK), s.getRelationshipRun)
	roster := func(path, id, summary string) huma.Operation {
		o := op(http.MethodGet, path, id, summary, http.StatusOK)
		o.Metadata = map[string]any{RoleKey: []string{string(models.RoleOptOutEditor), string(models.RoleOperator)}, PersonKey: true}
		o.Responses = map[string]*huma.Response{"200": {Description: "a Group", Content: map[string]*huma.MediaType{"application/fhir+json": {}}}}
		return o
	}
	huma.Register(api, roster("/admin/members/{id}/treatment-relationships", "get-treatment-group", "Show a member's treatment relationships as a FHIR Group"), s.treatmentGroup)
	huma.Register(api, roster("/admin/members/{id}/opt-outs", "get-opt-out-group", "Show a member's opt-outs that stand as a FHIR Group"), s.optOutGroup)
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
	run, err := s.Store.StartRelationshipRun(ctx, started.GetRunID(), started.GetID(), models.RelationshipParts, s.now())
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

// resource is a FHIR resource as an answer.
type resource struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func newResource(v any) (*resource, error) {
	text, err := json.Marshal(v)
	return &resource{"application/fhir+json", text}, err
}

// patientOf returns a member's Patient id.
func (s *Service) patientOf(ctx context.Context, in *ByID) (uuid.UUID, string, error) {
	if err := checkID(in.ID); err != nil {
		return uuid.UUID{}, "", err
	}
	member := uuid.MustParse(in.ID)
	patients, err := s.Store.PatientIDs(ctx, []uuid.UUID{member})
	if err == nil && patients[member] == "" {
		err = models.Errorf(models.KindNotFound, "no member has this id")
	}
	if err != nil {
		return member, "", s.fault(ctx, err)
	}
	return member, patients[member], nil
}

func (s *Service) treatmentGroup(ctx context.Context, in *ByID) (*resource, error) {
	member, patient, err := s.patientOf(ctx, in)
	if err != nil {
		return nil, err
	}
	list, err := all(func(after string) ([]models.Relationship, error) {
		return s.Store.Relationships(ctx, store.RelationshipFilter{Member: &member, After: after}, rosterPage)
	}, func(r models.Relationship) string { return r.ID })
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	var npis []string
	for _, r := range list {
		npis = append(npis, r.NPI)
	}
	directory, err := s.Store.Directory(ctx, npis)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return newResource(consent.TreatmentGroup(member, patient, list, directory, s.now()))
}

func (s *Service) optOutGroup(ctx context.Context, in *ByID) (*resource, error) {
	member, patient, err := s.patientOf(ctx, in)
	if err != nil {
		return nil, err
	}
	list, err := all(func(after string) ([]models.OptOut, error) {
		return s.Store.OptOuts(ctx, store.OptOutFilter{Member: &member, Revoked: new(false), After: after}, rosterPage)
	}, func(o models.OptOut) string { return o.ID })
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return newResource(consent.OptOutGroup(member, patient, list, s.now()))
}

const rosterPage = 1000

// all reads page after page of one member's rows.
func all[T any](page func(after string) ([]T, error), id func(T) string) (out []T, err error) {
	for after := ""; ; after = id(out[len(out)-1]) {
		rows, err := page(after)
		out = append(out, rows...)
		if err != nil || len(rows) < rosterPage {
			return out, err
		}
	}
}
