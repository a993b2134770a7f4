// Package server puts the api process together: the FHIR operations, the token endpoint, the admin API, health, and what
// holds for every request. It owns the routes nobody else does: answers for unknown paths and methods.
package server

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pdexbulk/api/admin"
	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/api/bulk"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/worker/boot"
	"pdexbulk/workflows"
)

// Config is what the api is told beyond what every process is.
type Config struct {
	AdminToken boot.Secret `env:"PDEX_ADMIN_TOKEN" help:"bearer token of the admin API; empty closes it"`
	OpenJobs   int         `env:"PDEX_OPEN_JOBS" envDefault:"4" help:"unfinished jobs of one operation a client may have; 0 means no limit"`
	MaxMembers int         `env:"PDEX_MATCH_MEMBERS" envDefault:"100000" help:"people one match request may ask for"`
	MaxBody    int64       `env:"PDEX_MATCH_BODY" envDefault:"1073741824" help:"bytes one match request may have"`
	Parallel   int         `env:"PDEX_RUN_PARALLEL" envDefault:"4" help:"activities one run may have in flight"`
}

// Setup serves the api in a process.
func Setup(ctx context.Context, p *boot.Process, cfg *Config) error {
	h, _, err := Handler(p, cfg)
	if err != nil {
		return err
	}
	return p.Serve(ctx, "api", p.Config.HTTP.Listen, h, true)
}

// Handler returns the api's routes and their description.
func Handler(p *boot.Process, cfg *Config) (http.Handler, huma.API, error) {
	root := strings.TrimSuffix(p.Config.HTTP.BaseURL, auth.FHIRPath)
	if root == p.Config.HTTP.BaseURL {
		return nil, nil, models.Errorf(models.KindInvalid, "PDEX_BASE_URL must end with %s", auth.FHIRPath)
	}
	authConfig := auth.Config{PublicURL: root, ResourceTypes: resourceTypes(), AllowInsecureJWKS: p.Config.Dev, Log: p.Log}
	if err := authConfig.Validate(); err != nil {
		return nil, nil, err
	}
	tokens := auth.New(authConfig, p.Store)
	limits := workflows.Limits{Parallel: cfg.Parallel}
	operators := &admin.Service{
		Store: p.Store, Temporal: p.Temporal, TaskQueue: p.Config.Temporal.TaskQueue, Log: p.Log,
		Token: cfg.AdminToken.Reveal(), Limits: limits,
	}
	exchange := &bulk.Service{
		Store: p.Store, Files: p.Blob, Temporal: p.Temporal, TaskQueue: p.Config.Temporal.TaskQueue, Auth: tokens, Log: p.Log,
		Base: p.Config.HTTP.BaseURL, Limits: limits, OpenJobs: cfg.OpenJobs, MaxMembers: cfg.MaxMembers, MaxBody: cfg.MaxBody,
	}
	mux := http.NewServeMux()
	api := newAPI(mux)
	exchange.AddRoutes(api)
	operators.AddRoutes(api)
	tokens.Mount(mux)
	if p.Codec != nil {
		mux.Handle("/codec/", boot.CodecHandler(p.Codec, operators.Authorize, p.Config.Temporal.UIOrigin))
	}
	mux.Handle("/healthz", p.Health.Handler())
	mux.Handle("/readyz", p.Health.Handler())
	mux.HandleFunc("/", unknown(mux, p))
	return secure(mux), api, nil
}

// Describe returns the OpenAPI description of everything served, without serving it.
func Describe() ([]byte, error) {
	api := newAPI(http.NewServeMux())
	new(bulk.Service).AddRoutes(api)
	new(admin.Service).AddRoutes(api)
	return api.OpenAPI().YAML()
}

var quiet sync.Once

func newAPI(mux *http.ServeMux) huma.API {
	// Huma's own validation errors hold the value that was sent; ours say where and what, no more.
	quiet.Do(func() { huma.NewError = refusal })
	cfg := huma.DefaultConfig("PDex Bulk Exchange", "1.0.0")
	cfg.Info.Description = "Da Vinci PDex payer-to-payer and Provider Access exchange, and FHIR Bulk Data Access."
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "/openapi", "/docs", ""
	cfg.CreateHooks = nil
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"smart": {Type: "oauth2", Description: "SMART Backend Services", Flows: &huma.OAuthFlows{
			ClientCredentials: &huma.OAuthFlow{TokenURL: auth.TokenPath, Scopes: map[string]string{"system/*.rs": "read everything"}},
		}},
		"admin": {Type: "http", Scheme: "bearer"},
	}
	return humago.New(mux, cfg)
}

// refusal makes the problem document of what Huma refuses. The values in its details are dropped.
func refusal(status int, msg string, errs ...error) huma.StatusError {
	out := &problem{Problem: answer.Problem{Title: http.StatusText(status), Status: status, Detail: msg}}
	for _, err := range errs {
		if d, ok := err.(huma.ErrorDetailer); ok && d.ErrorDetail() != nil {
			out.Detail, out.Field = d.ErrorDetail().Message, d.ErrorDetail().Location
			break
		}
	}
	return out
}

type problem struct{ answer.Problem }

func (p *problem) Error() string             { return p.Title }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return "application/problem+json" }

func resourceTypes() []string {
	var names []string
	for code := int16(1); fhir.TypeName(code) != ""; code++ {
		names = append(names, fhir.TypeName(code))
	}
	return names
}

// unknown answers what no route does: 405 with Allow when the path is known, 404 otherwise, in the form of the area.
func unknown(mux *http.ServeMux, p *boot.Process) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := models.Errorf(models.KindNotFound, "there is nothing at this path")
		var allow []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			probe := r.Clone(r.Context())
			probe.Method = method
			if _, pattern := mux.Handler(probe); pattern != "/" && pattern != "" {
				allow = append(allow, method)
			}
		}
		if len(allow) > 0 {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			err = models.Errorf(models.KindMethod, "this path does not take that method; see the Allow header")
		}
		if strings.HasPrefix(r.URL.Path, auth.FHIRPath+"/") || r.URL.Path == auth.FHIRPath {
			answer.Outcome(w, r, p.Log, err)
			return
		}
		answer.Refuse(w, r, p.Log, err)
	}
}

// secure sets what holds for every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}
