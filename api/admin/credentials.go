package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"pdexbulk/models"
)

// addCredentialRoutes registers the routes by which administrators give out credentials and take them back.
func (s *Service) addCredentialRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	administrators := func(o huma.Operation) huma.Operation {
		o.Metadata = map[string]any{RoleKey: string(models.RoleAdministrator)}
		return o
	}
	huma.Register(api, administrators(op(http.MethodPost, "/admin/credentials", "create-credential", "Make a credential for the admin API", http.StatusCreated)), s.createCredential)
	huma.Register(api, administrators(op(http.MethodGet, "/admin/credentials", "list-credentials", "List credentials, newest first", http.StatusOK)), s.listCredentials)
	huma.Register(api, administrators(op(http.MethodDelete, "/admin/credentials/{id}", "revoke-credential", "Revoke a credential, at once and for good", http.StatusNoContent)), s.revokeCredential)
}

// CredentialBody says what credential to make.
type CredentialBody struct {
	Name      string      `json:"name" minLength:"1" maxLength:"200" doc:"of the person or program it is for"`
	Role      models.Role `json:"role" enum:"operator,optout-editor,auditor,administrator"`
	ExpiresAt time.Time   `json:"expiresAt" doc:"at most 366 days away"`
}

type credentialView struct {
	ID string `json:"id"`
	CredentialBody
	CreatedBy string     `json:"createdBy"`
	CreatedAt time.Time  `json:"createdAt"`
	RevokedAt *time.Time `json:"revokedAt,omitempty"`
}

func viewCredential(c models.Credential) credentialView {
	return credentialView{
		ID: c.ID, CreatedBy: c.CreatedBy, CreatedAt: c.CreatedAt, RevokedAt: c.RevokedAt,
		CredentialBody: CredentialBody{Name: c.Name, Role: c.Role, ExpiresAt: c.ExpiresAt},
	}
}

type newCredential struct {
	credentialView
	Token string `json:"token" doc:"the bearer token; it is shown this once"`
}

func (s *Service) createCredential(ctx context.Context, in *struct {
	Key
	Body CredentialBody
},
) (*struct{ Body newCredential }, error) {
	id, again, err := s.claim(ctx, "credential", in.IdempotencyKey, in.Body)
	if err == nil && again {
		if _, err = s.Store.Credential(ctx, id); err == nil {
			return nil, shownOnce()
		}
		_, err = missing(err)
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	secret := rand.Text() + rand.Text() // 256 bits
	hash := sha256.Sum256([]byte(secret))
	now := s.now().UTC().Truncate(time.Millisecond)
	c := models.Credential{
		ID: id, Name: in.Body.Name, Role: in.Body.Role, SecretHash: hash[:], CreatedBy: ActorOf(ctx).ID,
		CreatedAt: now, ExpiresAt: in.Body.ExpiresAt.UTC().Truncate(time.Millisecond),
	}
	if err := c.Validate(); err != nil {
		return nil, problem(err)
	}
	if err := s.Store.AddCredential(ctx, c); err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body newCredential }{newCredential{viewCredential(c), credentialPrefix + c.ID + "." + secret}}, nil
}

func (s *Service) listCredentials(ctx context.Context, in *Page) (*listOf[credentialView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.Store.Credentials(ctx, in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]credentialView, len(rows))
	for i, c := range rows {
		views[i] = viewCredential(c)
	}
	return newList(views, in.Limit, func(c credentialView) string { return c.ID }), nil
}

func (s *Service) revokeCredential(ctx context.Context, in *ByID) (*struct{}, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	if err := s.Store.RevokeCredential(ctx, in.ID, s.now()); err != nil {
		return nil, s.fault(ctx, err)
	}
	return nil, nil
}
