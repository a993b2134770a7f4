// Package server puts the api process together: the FHIR operations, the token endpoint, the admin API, health, and what
// holds for every request. It owns the routes nobody else does: the CapabilityStatement, and answers for unknown paths and
// methods.
package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pdexbulk/api/admin"
	"pdexbulk/api/answer"
	"pdexbulk/api/audit"
	"pdexbulk/api/auth"
	"pdexbulk/api/bulk"
	"pdexbulk/api/capability"
	"pdexbulk/api/udap"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/worker/boot"
	"pdexbulk/workflows"
)

// Config is what the api is told beyond what every process is.
type Config struct {
	AdminToken    boot.Secret `env:"PDEX_ADMIN_TOKEN" help:"bearer token of the admin API; empty closes it"`
	OpenJobs      int         `env:"PDEX_OPEN_JOBS" envDefault:"4" help:"unfinished jobs of one operation a client may have; 0 means no limit"`
	PollBurst     int         `env:"PDEX_POLL_BURST" envDefault:"20" help:"polls of one running job that may come at once, beyond two a second; 0 means no limit"`
	MaxMembers    int         `env:"PDEX_MATCH_MEMBERS" envDefault:"100000" help:"people one match request may ask for"`
	MaxBody       int64       `env:"PDEX_MATCH_BODY" envDefault:"1073741824" help:"bytes one match request may have"`
	KickoffBody   int64       `env:"PDEX_KICKOFF_BODY" envDefault:"1048576" help:"bytes the Parameters of one export kick-off may have"`
	AdminBody     int64       `env:"PDEX_ADMIN_BODY" envDefault:"1048576" help:"bytes that one request of the admin API must stay below, but for uploads of lists"`
	Bundle        int         `env:"PDEX_MATCH_BUNDLE" envDefault:"4194304" help:"bytes one MemberBundle of a match request may have, at most 16777216"`
	ConsentBody   int64       `env:"PDEX_CONSENT_BODY" envDefault:"262144" help:"bytes one Consent may have"`
	TokenBody     int64       `env:"PDEX_TOKEN_BODY" envDefault:"65536" help:"bytes the form of a request for a token, or about one, may have"`
	RegisterBody  int64       `env:"PDEX_REGISTRATION_BODY" envDefault:"524288" help:"bytes one registration of a client by itself may have"`
	UploadBody    int64       `env:"PDEX_UPLOAD_BODY" envDefault:"4294967296" help:"bytes one upload of a list to the admin API may have; it goes to the file store as it comes"`
	ManifestFiles int         `env:"PDEX_MANIFEST_FILES" envDefault:"1000" help:"files that one page of a manifest names, for clients that allow pages by allowPartialManifests"`
	Parallel      int         `env:"PDEX_RUN_PARALLEL" envDefault:"4" help:"activities one run may have in flight"`

	UDAPCert        string        `env:"PDEX_UDAP_CERT_FILE" help:"PEM file of the certificate, with its chain, that UDAP metadata are signed with; it must have PDEX_BASE_URL as a URI among its subject alternative names; read again when it changes; empty turns UDAP off"`
	UDAPKey         string        `env:"PDEX_UDAP_KEY_FILE" help:"PEM file of its RSA key"`
	UDAPCommunities []string      `env:"PDEX_UDAP_COMMUNITIES" help:"trust communities, each uri=path of a PEM file of its trust anchors, separated by commas; read again when they change"`
	UDAPLists       []string      `env:"PDEX_UDAP_CRL_FILES" help:"PEM files of certificate revocation lists, separated by commas; read again when they change; an issuer's list past its next update refuses all its certificates"`
	Purposes        []string      `env:"PDEX_UDAP_PURPOSES" envDefault:"TREAT,ETREAT,CAREMGT,HPAYMT,HOPERAT,COVERAGE" help:"v3-PurposeOfUse codes that hl7-b2b may name"`
	NPICheck        auth.NPICheck `env:"PDEX_NPI_CHECK" envDefault:"network" help:"what a provider on whose behalf a token is asked for must be: off (an NPI), known (and active in the directory), network (and in network) or required (and provider clients must name one, or a Group of theirs)"`

	AuditKeys      boot.Secret `env:"PDEX_AUDIT_KEYS" help:"keys that seal the audit log, as id:base64,id:base64 of 32 bytes each; the first seals, all verify, so old ones must stay; empty only with PDEX_DEV"`
	AuditAddress   bool        `env:"PDEX_AUDIT_ADDRESS" envDefault:"true" help:"record in the audit log which network address a request came from"`
	TrustedProxies []string    `env:"PDEX_TRUSTED_PROXIES" help:"networks, as 10.0.0.0/8, of proxies whose X-Forwarded-For is believed, separated by commas"`

	ClientRate    float64       `env:"PDEX_CLIENT_RATE" envDefault:"50" help:"requests a second a client may send to one api for ever; 0 means no limit"`
	ClientBurst   int           `env:"PDEX_CLIENT_BURST" envDefault:"500" help:"requests of a client that may come at once beyond that"`
	AddressRate   float64       `env:"PDEX_ADDRESS_RATE" envDefault:"20" help:"requests a second without an access token, those for tokens among them, that may come from one network address; 0 means no limit"`
	AddressBurst  int           `env:"PDEX_ADDRESS_BURST" envDefault:"200" help:"such requests that may come at once beyond that"`
	AdminFailures int           `env:"PDEX_ADMIN_FAILURES" envDefault:"20" help:"wrong tokens of the admin API that may come from one network address at once, and one more every ten seconds; 0 means no limit"`
	MatchFailures int64         `env:"PDEX_MATCH_FAILURES" envDefault:"100000" help:"people not matched, within PDEX_MATCH_FAILURES_WINDOW, from which on a client must wait before it matches again; 0 means no limit"`
	MatchWindow   time.Duration `env:"PDEX_MATCH_FAILURES_WINDOW" envDefault:"1h" help:"how long people who were not matched count"`
	JSONDepth     int           `env:"PDEX_JSON_DEPTH" envDefault:"100" help:"objects and lists within one another that JSON sent to us may have, at most 512; a resource has its own limit of 64"`
	JSONMembers   int           `env:"PDEX_JSON_MEMBERS" envDefault:"2000" help:"members that one object in JSON sent to us may have"`
	BodyTime      time.Duration `env:"PDEX_BODY_TIMEOUT" envDefault:"30s" help:"how long the body of a request may take to come, whatever its length"`
	BodyRate      int64         `env:"PDEX_BODY_RATE" envDefault:"16384" help:"bytes a second of a body that must have come in on the whole beyond that"`
	Stall         time.Duration `env:"PDEX_STALL" envDefault:"5m" help:"how long a client may take nothing of its answer before it is cut off; 0 means for ever"`
	CORSOrigins   []string      `env:"PDEX_CORS_ORIGINS" help:"origins, as https://host, whose pages may use the FHIR routes from a browser, separated by commas; empty allows none"`

	Presign time.Duration `env:"PDEX_PRESIGN" envDefault:"0s" help:"how long signed URLs, by which clients get the files of exports from the bucket itself and without a token, are good for; 0s has the api serve them; needs an s3:// file store"`
}

// Setup serves the api in a process.
func Setup(ctx context.Context, p *boot.Process, cfg *Config) error {
	s, err := assemble(p, cfg)
	if err != nil {
		return err
	}
	background(ctx, p, "token watch", s.tokens.Watch)
	background(ctx, p, "audit sealer", s.sealer.Run)
	p.OnStop("audit events", s.audit.Flush)
	return p.Serve(ctx, "api", p.Config.HTTP.Listen, s.handler, true)
}

// background runs work beside the server until the process stops.
func background(ctx context.Context, p *boot.Process, name string, work func(context.Context)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx)
	}()
	p.OnStop(name, func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// Handler returns the api's routes and their description.
func Handler(p *boot.Process, cfg *Config) (http.Handler, huma.API, error) {
	s, err := assemble(p, cfg)
	if err != nil {
		return nil, nil, err
	}
	return s.handler, s.api, nil
}

// server is an api put together.
type server struct {
	handler http.Handler
	api     huma.API
	tokens  *auth.Server
	audit   *audit.Log
	sealer  *audit.Sealer
}

// authConfig says who the server is to its clients.
func authConfig(p *boot.Process, cfg *Config) (auth.Config, error) {
	base := p.Config.HTTP.BaseURL
	root := strings.TrimSuffix(base, auth.FHIRPath)
	if root == base {
		return auth.Config{}, models.Errorf(models.KindInvalid, "PDEX_BASE_URL must end with %s", auth.FHIRPath)
	}
	c := auth.Config{
		PublicURL: root, ResourceTypes: resourceTypes(), AllowInsecureJWKS: p.Config.Dev, Purposes: cfg.Purposes, NPICheck: cfg.NPICheck,
		TokenBody: cfg.TokenBody, RegistrationBody: cfg.RegisterBody, Log: p.Log,
	}
	if cfg.UDAPCert != "" {
		trust, err := udap.Open(udap.Files{
			Cert: cfg.UDAPCert, Key: cfg.UDAPKey, Communities: cfg.UDAPCommunities, CRLs: cfg.UDAPLists,
		}, base, time.Now(), p.Log)
		if err != nil {
			return auth.Config{}, fmt.Errorf("set up UDAP: %w", err)
		}
		c.UDAP = trust
	}
	return c, c.Validate()
}

func assemble(p *boot.Process, cfg *Config) (*server, error) {
	security, err := authConfig(p, cfg)
	if err != nil {
		return nil, err
	}
	if err := checkPresign(cfg.Presign, p.Config.Blob.URL.Reveal()); err != nil {
		return nil, err
	}
	guards, err := cfg.guards(p.Config.Dev)
	if err != nil {
		return nil, err
	}
	var events audit.Store
	if p.Store != nil { // else nothing that needs one is served, nor recorded
		events = p.Store
	}
	log := audit.NewLog(events, p.Log, nil)
	sealer := &audit.Sealer{Store: p.Store, Files: p.Blob, Keys: guards.auditKeys, Log: p.Log}
	tokens := auth.New(security, p.Store)
	limits := workflows.Limits{Parallel: cfg.Parallel}
	operators := &admin.Service{
		Store: p.Store, Files: p.Blob, Temporal: p.Temporal, TaskQueue: p.Config.Temporal.TaskQueue, Log: p.Log,
		Token: cfg.AdminToken.Reveal(), Limits: limits, ImportRoots: p.Config.Work.ImportRoots, MaxBody: cfg.AdminBody, UploadBody: cfg.UploadBody, Audit: log, Sealer: sealer,
		HolderIDs: p.Config.Holder.IDs,
	}
	if cfg.AdminFailures > 0 {
		operators.Attempts = &attempts{guards, newBuckets(0.1, cfg.AdminFailures)}
	}
	exchange := &bulk.Service{
		Store: p.Store, Files: p.Blob, Temporal: p.Temporal, TaskQueue: p.Config.Temporal.TaskQueue, Auth: tokens, Log: p.Log,
		Base: p.Config.HTTP.BaseURL, Limits: limits, OpenJobs: cfg.OpenJobs, MaxMembers: cfg.MaxMembers, MaxBody: cfg.MaxBody, MaxBundle: cfg.Bundle,
		ManifestFiles: cfg.ManifestFiles, KickoffBody: cfg.KickoffBody, ConsentBody: cfg.ConsentBody,
		PollBurst: cfg.PollBurst, Presign: cfg.Presign, Admit: newBuckets(cfg.ClientRate, cfg.ClientBurst).admit,
		MatchFailures: cfg.MatchFailures, MatchWindow: cfg.MatchWindow, Holder: p.Config.Holder.Name, HolderIDs: p.Config.Holder.IDs,
	}
	operators.Exchange = exchange
	metadata, err := newMetadata(capability.Server{
		Base: p.Config.HTTP.BaseURL, TokenURL: tokens.TokenURL(), UDAP: security.UDAP != nil, Since: time.Now(),
	}, p.Log)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	api := newAPI(mux)
	exchange.AddRoutes(api)
	operators.AddRoutes(api)
	metadata.addRoute(api)
	(&definitions{p.Config.HTTP.BaseURL, capability.Definitions(p.Config.HTTP.BaseURL, time.Now()), p.Log}).addRoutes(api)
	describeOthers(api)
	tokens.Mount(mux)
	if p.Codec != nil {
		codec := boot.CodecHandler(p.Codec, operators.Authorize, p.Config.Temporal.UIOrigin)
		for _, path := range []string{"/codec/encode", "/codec/decode"} {
			mux.Handle("POST "+path, codec)
			mux.Handle("OPTIONS "+path, codec)
		}
	}
	mux.Handle("GET /healthz", p.Health.Handler())
	mux.Handle("GET /readyz", p.Health.Handler())
	mux.HandleFunc("/", unknown(mux, p.Log))
	answerWith := func(w http.ResponseWriter, r *http.Request, err error) {
		headers(w, r)
		refuse(w, r, p.Log, err)
	}
	recorder := &audit.Recorder{Log: log, Source: guards.recorded, Refuse: answerWith}
	// What requests pass, from the inside out: of what is refused on the way, all but what is not HTTP is recorded.
	h := canonical(p.Log, http.Handler(mux))
	h = prompt(cfg.BodyTime, cfg.BodyRate, guards.json.bounded(h))
	h = limited(guards, newBuckets(cfg.AddressRate, cfg.AddressBurst), answerWith, h)
	h = recovered(p.Log, h)
	h = recorder.Wrap(h)
	h = cors(cfg.CORSOrigins, h)
	h = paced(cfg.Stall, secure(h))
	return &server{handler: h, api: api, tokens: tokens, audit: log, sealer: sealer}, nil
}

var once sync.Once

func newAPI(mux *http.ServeMux) huma.API {
	once.Do(func() { huma.NewError = answer.Refusal })
	cfg := huma.DefaultConfig("PDex Bulk Exchange", version)
	cfg.Info.Description = "Da Vinci PDex payer-to-payer exchange and FHIR Bulk Data Access."
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

const version = "1.0.0"

func resourceTypes() []string {
	var names []string
	for code := int16(1); fhir.TypeName(code) != ""; code++ {
		if code != fhir.TypeBinary { // leaves as attachments alone
			names = append(names, fhir.TypeName(code))
		}
	}
	return names
}
