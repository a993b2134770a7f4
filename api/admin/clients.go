package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
)

// operation makes the description of a route of the admin API.
type operation func(method, path, id, summary string, status int) huma.Operation

// addClientRoutes registers what goes beyond the list of clients and their change.
func (s *Service) addClientRoutes(api huma.API, op operation) {
	huma.Register(api, op(http.MethodGet, "/admin/clients/{id}", "get-client", "Show a client; its ETag is for If-Match", http.StatusOK), s.getClient)
	huma.Register(api, op(http.MethodPost, "/admin/clients/{id}/void-tokens", "void-tokens", "Make all tokens of a client void that were issued so far", http.StatusNoContent), s.voidTokens)
	huma.Register(api, op(http.MethodPost, "/admin/initial-tokens", "make-initial-token", "Make a token that lets its holder register a client (RFC 7591)", http.StatusCreated), s.makeInitialToken)
	huma.Register(api, op(http.MethodGet, "/admin/initial-tokens", "list-initial-tokens", "List the tokens that let clients register", http.StatusOK), s.listInitialTokens)
	huma.Register(api, op(http.MethodDelete, "/admin/initial-tokens/{id}", "delete-initial-token", "Take such a token back", http.StatusNoContent), s.deleteInitialToken)
}

// registrationView is what a client said when it registered itself.
type registrationView struct {
	Origin      models.ClientOrigin `json:"origin" enum:"oauth,udap"`
	Issuer      string              `json:"issuer,omitempty" doc:"udap: the URI in the client's certificates"`
	Community   string              `json:"community,omitempty" doc:"udap: the trust community that vouches for it"`
	Requested   []string            `json:"requestedScopes" doc:"the client gets what is both here and in scopes"`
	Contacts    []string            `json:"contacts"`
	CancelledAt *time.Time          `json:"cancelledAt,omitempty" doc:"when the client gave its registration up; it cannot be made active again"`
}

func viewRegistration(c models.Client) *registrationView {
	if c.Origin == models.OriginAdmin {
		return nil
	}
	return &registrationView{
		Origin: c.Origin, Issuer: c.Issuer, Community: c.Community, Requested: c.Requested, Contacts: c.Contacts, CancelledAt: c.CancelledAt,
	}
}

// taggedClient is a client with the tag of its version.
type taggedClient struct {
	ETag string `header:"ETag"`
	Body clientView
}

func tagged(c models.Client) *taggedClient { return &taggedClient{clientTag(c), viewClient(c)} }

func clientTag(c models.Client) string {
	return `"` + strconv.FormatInt(c.UpdatedAt.UnixMicro(), 36) + `"`
}

func noClient() error { return problem(models.Errorf(models.KindNotFound, "no client has this id")) }

func (s *Service) getClient(ctx context.Context, in *struct {
	ID string `path:"id"`
},
) (*taggedClient, error) {
	c, err := s.Store.Client(ctx, in.ID)
	if models.KindOf(err) == models.KindNotFound {
		return nil, noClient()
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return tagged(c), nil
}

// storeClient stores a client as an administrator wants it: c is as it was read, with the changes. When ifMatch is given, what was
// read must be that version, and it must still be there. It returns when every process that checks tokens knows. moved says that somebody,
// the client itself perhaps, has changed it since it was read.
func (s *Service) storeClient(ctx context.Context, c models.Client, ifMatch string) (out *taggedClient, moved bool, err error) {
	var stored models.Client
	there := !c.UpdatedAt.IsZero()
	switch {
	case ifMatch == "" && !there:
		stored, err = s.Store.UpsertClient(ctx, c)
	case ifMatch == "":
		if stored, err = s.Store.ChangeClient(ctx, c); models.KindOf(err) == models.KindConflict {
			return nil, true, changedMeanwhile()
		}
	case !there || ifMatch != "*" && ifMatch != clientTag(c):
		return nil, false, changedMeanwhile()
	default:
		if stored, err = s.Store.ChangeClient(ctx, c); models.KindOf(err) == models.KindConflict {
			return nil, false, changedMeanwhile()
		}
	}
	if err == nil && there {
		err = s.Store.AwaitListeners(ctx)
	}
	if err != nil {
		return nil, false, s.fault(ctx, err)
	}
	return tagged(stored), false, nil
}

func changedMeanwhile() error {
	return &answer.Problem{
		Title: http.StatusText(http.StatusPreconditionFailed), Status: http.StatusPreconditionFailed,
		Detail: "the client is not, or no longer, the version that If-Match names; read it again", Field: "If-Match",
	}
}

func (s *Service) voidTokens(ctx context.Context, in *struct {
	ID string `path:"id"`
},
) (*struct{}, error) {
	err := s.Store.VoidTokens(ctx, in.ID)
	if models.KindOf(err) == models.KindNotFound {
		return nil, noClient()
	}
	if err == nil {
		err = s.Store.AwaitListeners(ctx)
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return nil, nil
}

// InitialTokenBody says what a client that registers with the token will be.
type InitialTokenBody struct {
	Note            string            `json:"note" doc:"for whom it is"`
	Kind            models.ClientKind `json:"kind" enum:"payer,provider,backend"`
	Organization    string            `json:"organization,omitempty"`
	OrganizationIDs []string          `json:"organizationIds,omitempty" doc:"each system|value"`
	Scopes          []string          `json:"scopes" doc:"the most a client may be granted"`
	Uses            int               `json:"uses,omitempty" default:"1" doc:"how many clients may register with it"`
	ExpiresAt       *time.Time        `json:"expiresAt,omitempty" doc:"in a day when it is not said"`
}

type initialTokenView struct {
	ID string `json:"id"`
	InitialTokenBody
	CreatedAt time.Time `json:"createdAt"`
	Token     string    `json:"token,omitempty" doc:"shown once"`
}

func viewInitialToken(t models.InitialToken) initialTokenView {
	return initialTokenView{
		ID: t.ID, CreatedAt: t.CreatedAt,
		InitialTokenBody: InitialTokenBody{
			Note: t.Note, Kind: t.Kind, Organization: t.Organization, OrganizationIDs: t.OrganizationIDs, Scopes: t.Scopes, Uses: t.UsesLeft,
			ExpiresAt: &t.ExpiresAt,
		},
	}
}

func (s *Service) makeInitialToken(ctx context.Context, in *struct {
	Key
	Body InitialTokenBody
},
) (*struct{ Body initialTokenView }, error) {
	id, again, err := s.claim(ctx, "initial-token", in.IdempotencyKey, in.Body)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	if again { // whether it was made or not, its token is lost
		return nil, shownOnce()
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	text := rand.Text() + rand.Text()
	hash := sha256.Sum256([]byte(text))
	t := models.InitialToken{
		ID: id, Hash: hash[:], Note: in.Body.Note, Kind: in.Body.Kind, Organization: in.Body.Organization,
		OrganizationIDs: in.Body.OrganizationIDs, Scopes: in.Body.Scopes, UsesLeft: in.Body.Uses, CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour),
	}
	if in.Body.ExpiresAt != nil {
		t.ExpiresAt = in.Body.ExpiresAt.UTC()
	}
	if err := auth.CheckScopes(t.Scopes); err != nil {
		return nil, problem(err)
	}
	if err := s.Store.AddInitialToken(ctx, t); err != nil {
		return nil, s.fault(ctx, err)
	}
	view := viewInitialToken(t)
	view.Token = text
	return &struct{ Body initialTokenView }{view}, nil
}

func (s *Service) listInitialTokens(ctx context.Context, in *Page) (*listOf[initialTokenView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.Store.InitialTokens(ctx, in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]initialTokenView, len(rows))
	for i, t := range rows {
		views[i] = viewInitialToken(t)
	}
	return newList(views, in.Limit, func(t initialTokenView) string { return t.ID }), nil
}

func (s *Service) deleteInitialToken(ctx context.Context, in *struct {
	ID string `path:"id"`
},
) (*struct{}, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	err := s.Store.DeleteInitialToken(ctx, in.ID)
	if models.KindOf(err) == models.KindNotFound {
		return nil, problem(models.Errorf(models.KindNotFound, "no token has this id"))
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return nil, nil
}
