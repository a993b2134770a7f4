// Package admin serves the admin API: clients, imports with their rejects, the runs of exports and matches, and credentials. It
// is for operators and their tools, with credentials of its own; a FHIR client's token opens nothing here. Every operation is
// for certain roles, which the metadata of its description name (see RoleKey).
//
// Errors are problem documents (RFC 9457). Lists are paged by cursor: pass the next of an answer as cursor of the next call. Or they
// come whole, as NDJSON.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.temporal.io/sdk/client"

	"pdexbulk/api/answer"
	"pdexbulk/api/audit"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/store"
	"pdexbulk/workflows"
)

// Service serves the routes.
type Service struct {
	Store     *store.Store
	Files     blob.Store
	Temporal  client.Client
	TaskQueue string
	Log       *slog.Logger
	// Exchange starts the runs of jobs.
	Exchange Exchange
	// Token is a bearer token with the role of an administrator, by which the first credentials are made. Empty opens nothing.
	Token string
	// ImportRoots are where imports may read from, when this process knows: a location elsewhere is refused at once. The worker
	// has the last word.
	ImportRoots []string
	// Limits go with every import that is started.
	Limits workflows.Limits
	// MaxBody is how many bytes a request, but for an upload, must stay below. UploadBody bounds an upload.
	MaxBody, UploadBody int64
	// HolderIDs identify the payer that holds the data, each "system|value".
	HolderIDs []string
	// Attempts, unless nil, bounds how often somebody may try tokens that are none.
	Attempts Attempts
	// Audit is where changes are recorded, Sealer what chains and verifies the log.
	Audit  *audit.Log
	Sealer *audit.Sealer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (s *Service) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// AddRoutes registers every route.
func (s *Service) AddRoutes(api huma.API) {
	api.OpenAPI().OnAddOperation = append(api.OpenAPI().OnAddOperation, describeReason)
	op := func(method, path, id, summary string, status int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status, Tags: []string{"Admin"},
			Security: []map[string][]string{{"admin": {}}}, Middlewares: huma.Middlewares{s.guard, stream}, MaxBodyBytes: s.MaxBody,
		}
	}
	huma.Register(api, op(http.MethodPost, "/admin/imports", "start-import", "Load files into the store", http.StatusAccepted), s.startImport)
	huma.Register(api, op(http.MethodGet, "/admin/imports", "list-imports", "List imports, newest first", http.StatusOK), s.listImports)
	huma.Register(api, op(http.MethodGet, "/admin/imports/{id}", "get-import", "Show an import", http.StatusOK), s.getImport)
	huma.Register(api, op(http.MethodGet, "/admin/imports/{id}/rejects", "list-rejects", "List the lines an import could not take", http.StatusOK), s.listRejects)
	huma.Register(api, op(http.MethodPut, "/admin/clients/{id}", "put-client", "Register a client, or change one", http.StatusOK), s.putClient)
	huma.Register(api, op(http.MethodGet, "/admin/clients", "list-clients", "List clients by id", http.StatusOK), s.listClients)
	s.addClientRoutes(api, op)
	s.addJobRoutes(api, op)
	outcomes := op(http.MethodGet, "/admin/jobs/{id}/outcomes", "list-outcomes", "List what became of each member of a match, and why", http.StatusOK)
	outcomes.Metadata = map[string]any{PersonKey: true}
	huma.Register(api, outcomes, s.listOutcomes)
	s.addCredentialRoutes(api, op)
	s.addConsentRoutes(api, op)
	s.addAuditRoutes(api, op)
	s.addMatchingRoutes(api, op)
	s.addProgrammeRoutes(api, op)
	s.addRelationshipRoutes(api, op)
	s.addListRoutes(api, op)
	s.addAttributionRoutes(api, op)
	s.addGroupRoutes(api, op)
	describeStreams(api)
}

// Page is the paging of a list.
type Page struct {
	Cursor string `query:"cursor" doc:"the next of the answer before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"how many rows at most"`
}

// listOf is a page of rows.
type listOf[T any] struct {
	Body struct {
		Items []T    `json:"items"`
		Next  string `json:"next,omitempty" doc:"cursor of the page that follows, absent on the last"`
	}
}

// ask is how many rows to fetch for a page: one more than are shown says whether there is a next page.
func (p Page) ask() int { return p.Limit + 1 }

func newList[T any](items []T, limit int, cursor func(T) string) *listOf[T] {
	out := &listOf[T]{}
	if len(items) > limit {
		items = items[:limit]
		out.Body.Next = cursor(items[limit-1])
	}
	out.Body.Items = items
	if items == nil {
		out.Body.Items = []T{}
	}
	return out
}

// problem turns an error into what Huma sends.
func problem(err error) error { return answer.ProblemOf(err) }

func badCursor() error {
	return problem(models.Errorf(models.KindInvalid, "pass the next of an earlier answer").At("cursor"))
}

// checkCursor checks a cursor that is an id.
func checkCursor(cursor string) error {
	if cursor != "" && !models.ValidID(cursor) {
		return badCursor()
	}
	return nil
}

func checkID(id string) error {
	if !models.ValidID(id) {
		return problem(models.Errorf(models.KindNotFound, "nothing has this id"))
	}
	return nil
}

// ClientBody is a registration as it is sent.
type ClientBody struct {
	Name            string            `json:"name" doc:"shown to operators"`
	Kind            models.ClientKind `json:"kind" enum:"payer,provider,backend,pending" doc:"pending is a client that registered itself by UDAP and waits for an administrator; it cannot be active"`
	Organization    string            `json:"organization,omitempty"`
	OrganizationIDs []string          `json:"organizationIds,omitempty" doc:"identifiers of the organisation, each system|value; a consent names its recipient by one of them"`
	Scopes          []string          `json:"scopes" doc:"the most the client may be granted"`
	JWKS            json.RawMessage   `json:"jwks,omitempty" doc:"public keys; or give jwksUrl"`
	JWKSURL         string            `json:"jwksUrl,omitempty"`
	Active          *bool             `json:"active,omitempty" default:"true" doc:"false locks the client out"`
	ValueBased      bool              `json:"valueBased,omitempty"`
}

type clientView struct {
	ID string `json:"id"`
	ClientBody
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`
	Registration *registrationView `json:"registration,omitempty" doc:"of a client that registered itself"`
}

func viewClient(c models.Client) clientView {
	return clientView{
		ID: c.ID, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
		ClientBody: ClientBody{
			Name: c.Name, Kind: c.Kind, Organization: c.Organization, OrganizationIDs: c.OrganizationIDs, Scopes: c.Scopes,
			JWKS: c.JWKS, JWKSURL: c.JWKSURL, Active: &c.Active, ValueBased: c.ValueBased,
		},
		Registration: viewRegistration(c),
	}
}

type putClientInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"the ETag of the registration that is to be replaced; without it whatever is there is"`
	Body    ClientBody
}

// putClient replaces what administrators say of a client. What it says of itself, and may be changing at this moment, stays: a registration
// that was given up does not come back.
func (s *Service) putClient(ctx context.Context, in *putClientInput) (*taggedClient, error) {
	const attempts = 5
	for n := 1; ; n++ {
		if out, moved, err := s.tryClient(ctx, in); !moved || n == attempts {
			return out, err
		}
	}
}

func (s *Service) tryClient(ctx context.Context, in *putClientInput) (out *taggedClient, moved bool, err error) {
	c, err := s.Store.Client(ctx, in.ID)
	if err != nil && models.KindOf(err) != models.KindNotFound {
		return nil, false, s.fault(ctx, err)
	}
	c.ID, c.Name, c.Kind, c.Organization, c.OrganizationIDs = in.ID, in.Body.Name, in.Body.Kind, in.Body.Organization, in.Body.OrganizationIDs
	c.Scopes, c.JWKS, c.JWKSURL, c.ValueBased = in.Body.Scopes, in.Body.JWKS, in.Body.JWKSURL, in.Body.ValueBased
	c.Active = in.Body.Active == nil || *in.Body.Active
	if err := c.Validate(); err != nil {
		return nil, false, problem(err)
	}
	if err := auth.CheckScopes(c.Scopes); err != nil {
		return nil, false, problem(err)
	}
	if len(c.JWKS) > 0 {
		if err := auth.CheckJWKS(c.JWKS); err != nil {
			return nil, false, problem(err)
		}
	}
	return s.storeClient(ctx, c, in.IfMatch)
}

func (s *Service) listClients(ctx context.Context, in *Page) (*listOf[clientView], error) {
	if in.Cursor != "" && !models.ValidClientID(in.Cursor) {
		return nil, badCursor()
	}
	rows, err := s.Store.Clients(ctx, in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]clientView, len(rows))
	for i, c := range rows {
		views[i] = viewClient(c)
	}
	return newList(views, in.Limit, func(c clientView) string { return c.ID }), nil
}

// untranslatable is how Postgres refuses a text with a character that it cannot keep: JSON can hold a NUL.
const untranslatable = "22021"

// fault logs what is our own and returns what may be told.
func (s *Service) fault(ctx context.Context, err error) error {
	var db interface{ SQLState() string }
	if errors.As(err, &db) && db.SQLState() == untranslatable {
		err = models.Errorf(models.KindInvalid, "a text has a NUL character").Because(err)
	}
	if answer.Status(err) >= http.StatusInternalServerError {
		s.Log.ErrorContext(ctx, "admin request failed", "error", answer.Trail(err))
	}
	p := answer.ProblemOf(err)
	if p.Status == http.StatusConflict && p.Field == "If-Match" { // RFC 9110, 13.1.1
		p.Status, p.Title = http.StatusPreconditionFailed, http.StatusText(http.StatusPreconditionFailed)
	}
	return p
}
