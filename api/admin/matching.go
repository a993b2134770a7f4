package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"pdexbulk/models"
	"pdexbulk/models/match"
	"pdexbulk/workflows"
)

// addMatchingRoutes registers the routes by which operators see why somebody was matched or not, and by which the matcher
// learns its weights anew.
func (s *Service) addMatchingRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	huma.Register(api, op(http.MethodGet, "/admin/jobs/{id}/outcomes/{idx}", "explain-outcome", "Explain what became of one member of a match, field by field", http.StatusOK), s.explainOutcome)
	huma.Register(api, op(http.MethodPost, "/admin/matcher/training", "train-matcher", "Learn the weights of the matcher from the members there are", http.StatusAccepted), s.trainMatcher)
	huma.Register(api, op(http.MethodGet, "/admin/matcher", "get-matcher", "Show which weights the matcher uses", http.StatusOK), s.getMatcher)
}

type explainedOutcome struct {
	outcomeView
	Grade      match.Grade     `json:"grade,omitempty" enum:"match,review,none" doc:"review: somebody comes near, and nothing was disclosed"`
	Weights    int64           `json:"weights" doc:"version of the matcher's weights; 0 are the built-in ones"`
	Candidates int             `json:"candidates" doc:"members who had something in common"`
	Best       *explainedMatch `json:"best,omitempty" doc:"the candidate who came nearest"`
	RunnerUp   *explainedMatch `json:"runnerUp,omitempty" doc:"the one after"`
}

type explainedMatch struct {
	match.Explained
	Patient string `json:"patient,omitempty" doc:"id of our Patient"`
}

func (s *Service) explainOutcome(ctx context.Context, in *struct {
	ByID
	Idx int `path:"idx" minimum:"0" doc:"index of the MemberBundle in the request, from 0"`
},
) (*struct{ Body explainedOutcome }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	o, err := s.Store.Outcome(ctx, in.ID, in.Idx)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	out := explainedOutcome{
		outcomeView: outcomeView{Index: o.Idx, Outcome: o.Outcome, Reason: o.Reason, Patient: o.PatientID},
		Grade:       match.Grade(o.Grade), Weights: o.Weights,
	}
	if o.Explanation == nil {
		return &struct{ Body explainedOutcome }{out}, nil
	}
	var e match.Explanation
	if err := json.Unmarshal(o.Explanation, &e); err != nil {
		return nil, s.fault(ctx, models.Errorf(models.KindInternal, "the explanation cannot be read").Because(err))
	}
	var ids []uuid.UUID
	for _, x := range []*match.Explained{e.Best, e.RunnerUp} {
		if x != nil {
			ids = append(ids, x.Member)
		}
	}
	patients, err := s.Store.PatientIDs(ctx, ids)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	view := func(x *match.Explained) *explainedMatch {
		if x == nil {
			return nil
		}
		return &explainedMatch{Explained: *x, Patient: patients[x.Member]}
	}
	out.Candidates, out.Best, out.RunnerUp = e.Candidates, view(e.Best), view(e.RunnerUp)
	return &struct{ Body explainedOutcome }{out}, nil
}

type matcherView struct {
	Version   int64      `json:"version" doc:"0 are the built-in weights"`
	TrainedAt *time.Time `json:"trainedAt,omitempty"`
	Members   int64      `json:"members" doc:"on the roster the weights were learned from"`
	Pairs     int64      `json:"pairs" doc:"pairs of members that were compared"`
}

func (s *Service) getMatcher(ctx context.Context, _ *struct{}) (*struct{ Body matcherView }, error) {
	version, err := s.Store.LatestModelVersion(ctx)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	if version == 0 {
		return &struct{ Body matcherView }{}, nil
	}
	m, err := s.Store.MatchModel(ctx, version)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body matcherView }{matcherView{m.Version, &m.TrainedAt, m.Members, m.Pairs}}, nil
}

// trainMatcher starts a training; one that runs already is as good.
func (s *Service) trainMatcher(ctx context.Context, _ *struct{}) (*struct{}, error) {
	_, err := s.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.TrainID, TaskQueue: s.TaskQueue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes: workflows.Attributes("admin", "train-matcher", "training"),
	}, workflows.TrainMatcher)
	if err != nil {
		return nil, s.fault(ctx, models.Errorf(models.KindUnavailable, "the training could not be started; try again").Wait(5).Because(err))
	}
	return nil, nil
}
