package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pdexbulk/api/answer"
	"pdexbulk/models"
	"pdexbulk/models/trail"
)

// Actor is who sends an admin request.
type Actor struct {
	ID   string // of the credential; BootstrapID for PDEX_ADMIN_TOKEN
	Role models.Role
}

// BootstrapID names the holder of PDEX_ADMIN_TOKEN.
const BootstrapID = "bootstrap"

// credentialPrefix begins the tokens that this server hands out: it is followed by the credential's id, a dot and the secret.
const credentialPrefix = "pdexadm_" //nolint:gosec // no secret

type actorKey struct{}

// ActorOf returns who sent the request that a handler's context belongs to.
func ActorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

// The metadata of an operation that say who may call it, beside the administrator, and what is asked of them.
const (
	// RoleKey is a role's name, or several as []string. Without it a GET is the operator's and all else the administrator's.
	RoleKey = "role"
	// PersonKey is true for operations that show what is held of single persons: they are recorded before they are answered.
	PersonKey = "person"
	// ReadKey is true for operations that change nothing although their method says so. Every other that is no GET needs a reason,
	// and is recorded before it is tried.
	ReadKey = "read"
)

// ReasonHeader tells why a change is made. It goes into the audit log as it is, so it must not tell of a person.
const ReasonHeader = "X-Reason"

const maxReason = 200 // bytes

// writes tells whether an operation may change something.
func writes(op *huma.Operation) bool {
	reads, _ := op.Metadata[ReadKey].(bool)
	return !reads && op.Method != http.MethodGet
}

// describeReason adds ReasonHeader to the description of an operation that needs it, so that the guard's rule is told with every route.
func describeReason(_ *huma.OpenAPI, op *huma.Operation) {
	if !strings.HasPrefix(op.Path, "/admin/") || !writes(op) {
		return
	}
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: ReasonHeader, In: "header", Required: true, Description: "why; kept in the audit log, so it must tell of no person",
		Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxReason)}, Example: "ticket 4711",
	})
}

// rolesFor are the roles that may call an operation.
func rolesFor(op *huma.Operation) []models.Role {
	var roles []models.Role
	switch named := op.Metadata[RoleKey].(type) {
	case string:
		roles = append(roles, models.Role(named))
	case models.Role:
		roles = append(roles, named)
	case []string:
		for _, r := range named {
			roles = append(roles, models.Role(r))
		}
	case nil:
		if op.Method == http.MethodGet {
			roles = append(roles, models.RoleOperator)
		}
	}
	return append(roles, models.RoleAdministrator)
}

var errNoAdmin = models.Errorf(models.KindUnauthorized, "an administrator's token is needed: send it as Authorization: Bearer").At("Authorization")

// Attempts counts, for each place requests come from, the tokens that were none.
type Attempts interface {
	// Wait returns how many seconds must pass before the next try, 0 when none.
	Wait(r *http.Request) int
	Failed(r *http.Request)
}

// Identify finds out who sends an admin request, in time that does not tell how much of a token was right. What is wrong with
// one it does not say. Whoever has tried too many is KindThrottled; the holder of a credential of ours, which nobody could guess, is
// let in all the same.
func (s *Service) Identify(r *http.Request) (Actor, error) {
	actor, err := s.identify(r)
	if s.Attempts == nil || models.KindOf(err) != models.KindUnauthorized || r.Header.Get("Authorization") == "" {
		return actor, err
	}
	if wait := s.Attempts.Wait(r); wait > 0 {
		return Actor{}, tooMany(wait)
	}
	s.Attempts.Failed(r)
	return actor, err
}

func tooMany(wait int) error {
	return models.Errorf(models.KindThrottled, "too many wrong tokens came from this address; wait as long as Retry-After says").Wait(wait)
}

func (s *Service) identify(r *http.Request) (Actor, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 {
		return Actor{}, errNoAdmin
	}
	if named, ok := strings.CutPrefix(token, credentialPrefix); ok {
		return s.holder(r.Context(), named)
	}
	if s.Attempts != nil {
		if wait := s.Attempts.Wait(r); wait > 0 { // even if it is right: somebody chose it, so it may be guessed
			return Actor{}, tooMany(wait)
		}
	}
	given, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.Token))
	if s.Token == "" || subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return Actor{}, errNoAdmin
	}
	return known(r.Context(), Actor{ID: BootstrapID, Role: models.RoleAdministrator}), nil
}

// known notes in the request's audit event who it is from.
func known(ctx context.Context, a Actor) Actor {
	trail.Of(ctx).From(trail.ActorAdmin, a.ID)
	return a
}

// holder finds whose credential a token of ours is. It is read every time, so that revoking one takes effect at once.
func (s *Service) holder(ctx context.Context, named string) (Actor, error) {
	id, secret, _ := strings.Cut(named, ".")
	if !models.ValidID(id) {
		return Actor{}, errNoAdmin
	}
	c, err := s.Store.Credential(ctx, id)
	if err != nil && models.KindOf(err) != models.KindNotFound {
		return Actor{}, models.Errorf(models.KindUnavailable, "credentials cannot be checked at the moment; try again").Wait(5).Because(err)
	}
	given := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(given[:], c.SecretHash) != 1 || !c.Good(s.now()) {
		return Actor{}, errNoAdmin
	}
	return known(ctx, Actor{ID: c.ID, Role: c.Role}), nil
}

// Authorize checks that a request comes from an administrator.
func (s *Service) Authorize(r *http.Request) error {
	actor, err := s.Identify(r)
	if err != nil {
		return err
	}
	if actor.Role != models.RoleAdministrator {
		return models.Errorf(models.KindForbidden, "this credential's role does not allow it")
	}
	return nil
}

// guard lets a request through to its handler when the credential's role may call the operation.
func (s *Service) guard(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	op := ctx.Operation()
	entry := trail.Of(r.Context())
	entry.Action = op.OperationID
	actor, err := s.Identify(r)
	if err != nil {
		if models.KindOf(err) == models.KindUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="admin"`)
		}
		answer.Refuse(w, r, s.Log, err)
		return
	}
	if !slices.Contains(rolesFor(op), actor.Role) {
		answer.Refuse(w, r, s.Log, models.Errorf(models.KindForbidden, "this credential's role does not allow it"))
		return
	}
	if entry.Reason, err = reason(r, op); err != nil {
		answer.Refuse(w, r, s.Log, err)
		return
	}
	if id := r.PathValue("id"); models.ValidClientID(id) {
		entry.Target = id
		if strings.HasPrefix(op.Path, "/admin/clients/") {
			entry.Client = id
		}
	}
	entry.Important, _ = op.Metadata[PersonKey].(bool)
	if err := s.announce(r, op, entry); err != nil {
		answer.Refuse(w, r, s.Log, err)
		return
	}
	next(huma.WithValue(ctx, actorKey{}, actor))
}

// reason returns the reason a request gives, "" for none.
func reason(r *http.Request, op *huma.Operation) (string, error) {
	text := strings.TrimSpace(r.Header.Get(ReasonHeader))
	if writes(op) && text == "" {
		return "", models.Errorf(models.KindInvalid, "a change needs a reason; send one in the header %s, that tells of no person", ReasonHeader).At(ReasonHeader)
	}
	if len(text) > maxReason || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }) {
		return "", models.Errorf(models.KindInvalid, "must be at most %d bytes of plain text", maxReason).At(ReasonHeader)
	}
	return text, nil
}

// announce records a change before it is tried, so that none is made that nobody can be asked about.
func (s *Service) announce(r *http.Request, op *huma.Operation, entry *trail.Entry) error {
	if !writes(op) {
		return nil
	}
	e := trail.New(s.now())
	e.Kind, e.Actor, e.Action, e.Outcome = entry.Kind, entry.Actor, entry.Action, trail.Begun
	e.Client, e.Target, e.Reason, e.Source, e.Route = entry.Client, entry.Target, entry.Reason, entry.Source, r.Pattern
	if err := s.Audit.Write(r.Context(), e); err != nil {
		return models.Errorf(models.KindUnavailable, "the audit log cannot be written at the moment; try again").Wait(5).Because(err)
	}
	return nil
}
