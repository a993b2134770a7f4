package admin

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"pdexbulk/models"
)

// addProgrammeRoutes registers the routes by which a Provider Access programme is run: opt-outs, treatment relationships, the
// provider directory, lines of business, and who is a member. No path or query tells of a person: members are found by a body and
// are named by row ids from then on.
func (s *Service) addProgrammeRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	editors := func(o huma.Operation) huma.Operation {
		roles := []string{string(models.RoleOptOutEditor)}
		if o.Method == http.MethodGet {
			roles = append(roles, string(models.RoleOperator))
		}
		o.Metadata = map[string]any{RoleKey: roles, PersonKey: true}
		return o
	}
	search := editors(op(http.MethodPost, "/admin/members/search", "search-members", "Find a member by Patient id, or members by a card", http.StatusOK))
	search.Metadata[ReadKey] = true
	huma.Register(api, search, s.searchMembers)

	huma.Register(api, editors(op(http.MethodPost, "/admin/opt-outs", "create-opt-out", "Enter a member's opt-out", http.StatusCreated)), s.createOptOut)
	huma.Register(api, editors(op(http.MethodGet, "/admin/opt-outs", "list-opt-outs", "List opt-outs, revoked ones too", http.StatusOK)), s.listOptOuts)
	huma.Register(api, editors(op(http.MethodGet, "/admin/opt-outs/{id}", "get-opt-out", "Show an opt-out", http.StatusOK)), s.getOptOut)
	huma.Register(api, editors(op(http.MethodPost, "/admin/opt-outs/{id}/revoke", "revoke-opt-out", "End an opt-out", http.StatusOK)), s.revokeOptOut)

	huma.Register(api, editors(op(http.MethodPost, "/admin/relationships", "put-relationship", "Enter a treatment relationship, or change its period", http.StatusOK)), s.putRelationship)
	huma.Register(api, editors(op(http.MethodGet, "/admin/relationships", "list-relationships", "List treatment relationships", http.StatusOK)), s.listRelationships)
	huma.Register(api, editors(op(http.MethodGet, "/admin/relationships/{id}", "get-relationship", "Show a treatment relationship", http.StatusOK)), s.getRelationship)
	huma.Register(api, editors(op(http.MethodDelete, "/admin/relationships/{id}", "delete-relationship", "Take a relationship off the list", http.StatusNoContent)), s.remove(s.Store.DeleteRelationship))

	huma.Register(api, op(http.MethodPut, "/admin/providers/{npi}", "put-provider", "Enter a provider into the directory, or change the entry", http.StatusOK), s.putProvider)
	huma.Register(api, op(http.MethodGet, "/admin/providers/{npi}", "get-provider", "Show a provider", http.StatusOK), s.getProvider)
	huma.Register(api, op(http.MethodGet, "/admin/providers", "list-providers", "List the provider directory by NPI", http.StatusOK), s.listProviders)
	huma.Register(api, op(http.MethodDelete, "/admin/providers/{npi}", "delete-provider", "Take a provider out of the directory", http.StatusNoContent), s.deleteProvider)

	huma.Register(api, op(http.MethodPut, "/admin/lines/{code}", "put-line", "Enter a line of business, or change it", http.StatusOK), s.putLine)
	huma.Register(api, op(http.MethodGet, "/admin/lines", "list-lines", "List lines of business", http.StatusOK), s.listLines)
	huma.Register(api, op(http.MethodGet, "/admin/lines/{code}", "get-line", "Show a line of business", http.StatusOK), s.getLine)
	huma.Register(api, op(http.MethodDelete, "/admin/lines/{code}", "delete-line", "Remove a line of business", http.StatusNoContent), s.deleteLine)
}

// revision is the entity tag of a row by when it was last written.
func revision(at time.Time) string { return `"` + strconv.FormatInt(at.UnixMicro(), 36) + `"` }

// Condition is that of a write: the row is as it was read. Without it the write is unconditional.
type Condition struct {
	IfMatch string `header:"If-Match" doc:"the ETag of the row that is changed; 412 when it is another by now"`
}

func (h Condition) since() (*time.Time, error) {
	if h.IfMatch == "" || h.IfMatch == "*" {
		return nil, nil
	}
	at, err := strconv.ParseInt(strings.Trim(h.IfMatch, `"`), 36, 64)
	if err != nil {
		return nil, problem(models.Errorf(models.KindInvalid, "must be an ETag of this server").At("If-Match"))
	}
	return new(time.UnixMicro(at).UTC()), nil
}

// row is one row with its entity tag.
type row[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

// keyed derives the id of what a request with an Idempotency-Key makes, so that the request sent again makes the same.
func keyed(ctx context.Context, kind, key string) (string, error) {
	if key == "" {
		return models.NewID(), nil
	}
	if len(key) > 255 {
		return "", problem(models.Errorf(models.KindInvalid, "must be at most 255 bytes").At("Idempotency-Key"))
	}
	sum := sha256.Sum256([]byte(kind + "\x00" + ActorOf(ctx).ID + "\x00" + key))
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return id.String(), nil
}

// remove returns the handler that removes a row by its id, unless it has changed since the request says it was read.
func (s *Service) remove(row func(ctx context.Context, id string, since *time.Time) error) func(context.Context, *removal) (*struct{}, error) {
	return func(ctx context.Context, in *removal) (*struct{}, error) {
		if err := checkID(in.ID); err != nil {
			return nil, err
		}
		since, err := in.since()
		if err != nil {
			return nil, err
		}
		if err := row(ctx, in.ID, since); err != nil {
			return nil, s.fault(ctx, err)
		}
		return nil, nil
	}
}

type removal struct {
	ByID
	Condition
}
