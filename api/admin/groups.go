package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
)

// addGroupRoutes registers what operators see of the Groups that matches made. Members are named by their row ids.
func (s *Service) addGroupRoutes(api huma.API, op operation) {
	huma.Register(api, op(http.MethodGet, "/admin/groups", "list-groups", "List the Groups clients were given, newest first", http.StatusOK), s.listGroups)
	huma.Register(api, op(http.MethodGet, "/admin/groups/{id}", "get-group", "Show a Group", http.StatusOK), s.getGroup)
	members := op(http.MethodGet, "/admin/groups/{id}/members", "list-group-members", "List the members of a Group by row id", http.StatusOK)
	members.Metadata = map[string]any{PersonKey: true}
	huma.Register(api, members, s.listGroupMembers)
}

// groupKinds are the kinds of Groups by profile.
var groupKinds = map[string]string{
	models.MatchGroupProfile: "payer", models.ProviderGroupProfile: "provider", models.AttributionGroupProfile: "attribution",
}

type groupView struct {
	ID            string     `json:"id"`
	Client        string     `json:"client" doc:"whose it is"`
	Kind          string     `json:"kind" doc:"payer or provider, by who matched; attribution for attribution lists; other for Groups of other profiles"`
	Profile       string     `json:"profile"`
	Job           string     `json:"job" doc:"the match that made it; of an attribution list its own id"`
	Members       int64      `json:"members"`
	Organizations []string   `json:"organizations,omitempty" doc:"identifiers of whom it was made for, system|value"`
	CreatedAt     time.Time  `json:"createdAt"`
	ExpiresAt     *time.Time `json:"expiresAt,omitempty" doc:"without it, it lives as long as its members' consents"`
	Expired       bool       `json:"expired"`
}

func (s *Service) viewGroup(g store.Group) groupView {
	kind, known := groupKinds[g.Profile]
	if !known {
		kind = "other"
	}
	return groupView{
		ID: g.ID, Client: g.ClientID, Kind: kind, Profile: g.Profile, Job: g.JobID, Members: g.Members, Organizations: g.Organizations,
		CreatedAt: g.CreatedAt, ExpiresAt: g.ExpiresAt, Expired: g.ExpiresAt != nil && !s.now().Before(*g.ExpiresAt),
	}
}

func (s *Service) listGroups(ctx context.Context, in *struct {
	Page
	Client  string `query:"client" maxLength:"255" doc:"id of a client"`
	Job     string `query:"job" doc:"id of the match that made it"`
	Kind    string `query:"kind" enum:"payer,provider,attribution"`
	Expired string `query:"expired" enum:"true,false"`
},
) (*listOf[groupView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	if in.Client != "" && !models.ValidClientID(in.Client) {
		return nil, problem(models.Errorf(models.KindInvalid, "must be the id of a client").At("client"))
	}
	if in.Job != "" && !models.ValidID(in.Job) {
		return nil, problem(models.Errorf(models.KindInvalid, "must be the id of a job").At("job"))
	}
	f := store.AnyGroupFilter{Client: in.Client, Job: in.Job, At: s.now(), Before: in.Cursor}
	for profile, kind := range groupKinds {
		if kind == in.Kind {
			f.Profile = profile
		}
	}
	if in.Expired != "" {
		f.Expired = new(in.Expired == "true")
	}
	rows, err := s.Store.AnyGroups(ctx, f, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]groupView, len(rows))
	for i, g := range rows {
		views[i] = s.viewGroup(g)
	}
	return newList(views, in.Limit, func(g groupView) string { return g.ID }), nil
}

func (s *Service) getGroup(ctx context.Context, in *ByID) (*struct{ Body groupView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	g, err := s.Store.AnyGroup(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body groupView }{s.viewGroup(*g)}, nil
}

type groupMemberView struct {
	Member uuid.UUID  `json:"member" doc:"row id"`
	Policy string     `json:"policy,omitempty" enum:"regular,sensitive" doc:"what the consent it was matched under lets out"`
	Start  *time.Time `json:"start,omitempty"`
	End    *time.Time `json:"end,omitempty" doc:"the first moment at which it is over"`
}

func (s *Service) listGroupMembers(ctx context.Context, in *struct {
	ByID
	Page
},
) (*listOf[groupMemberView], error) {
	g, err := s.getGroup(ctx, &in.ByID)
	if err != nil {
		return nil, err
	}
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	var after *uuid.UUID
	if in.Cursor != "" {
		after = new(uuid.MustParse(in.Cursor))
	}
	entry := trail.Of(ctx)
	entry.Group, entry.Client = g.Body.ID, g.Body.Client
	rows, err := s.Store.GroupMembers(ctx, g.Body.ID, after, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]groupMemberView, len(rows))
	for i, m := range rows {
		views[i] = groupMemberView{m.Member, m.Policy, m.ConsentStart, m.ConsentEnd}
	}
	return newList(views, in.Limit, func(m groupMemberView) string { return m.Member.String() }), nil
}
