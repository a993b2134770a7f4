// Package serve puts the worker process together: the workflows and activities it offers to Temporal, and its health.
package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"pdexbulk/activities"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/worker/boot"
	"pdexbulk/workflows"
)

// Config is what a worker is told beyond what every process is.
type Config struct {
	SensitiveData  string        `env:"PDEX_SENSITIVE_DATA" envDefault:"untagged" help:"how sensitive data is held: tagged, excluded or untagged; untagged refuses consents to non-sensitive data only"`
	Retention      time.Duration `env:"PDEX_FILE_RETENTION" envDefault:"72h" help:"how long the files of a finished job live"`
	PayerGroups    time.Duration `env:"PDEX_PAYER_GROUP_TTL" envDefault:"0" help:"how long the Group of a match for a payer lives; 0 for as long as its members' consents"`
	ProviderGroups time.Duration `env:"PDEX_PROVIDER_GROUP_TTL" envDefault:"720h" help:"how long the Group of a match for a provider lives; 0 without end"`
	Codes          []string      `env:"PDEX_SENSITIVE_CODES" envDefault:"behavioral-health,genetic,hiv,reproductive,sexual-health,substance-use,violence" help:"lists of codes by which an import takes resources for sensitive, beside their labels: those named in models/release/codes, and paths of own ones that end in .tsv; none for none"`
	PayerYears     int           `env:"PDEX_P2P_LOOKBACK_YEARS" envDefault:"5" help:"calendar years that an exchange between payers reaches back from the request, by date of service; 0 means no bound"`
	ProviderFrom   string        `env:"PDEX_PROVIDER_FROM" envDefault:"2016-01-01" help:"first date of service that providers are given"`
	ClaimsMonths   int           `env:"PDEX_CLAIMS_MONTHS" envDefault:"18" help:"months for which a service shows that its provider treats the member"`
	ClaimsEvery    time.Duration `env:"PDEX_CLAIMS_EVERY" envDefault:"24h" help:"how often treatment relationships are derived from services; 0 for only when an administrator asks"`
	DrugAuths      bool          `env:"PDEX_DRUG_PRIOR_AUTHS" envDefault:"false" help:"hand over prior authorizations for drugs, too"`
}

// Check reports what is wrong with the configuration.
func (c Config) Check() error {
	switch {
	case c.SensitiveData != "tagged" && c.SensitiveData != "excluded" && c.SensitiveData != "untagged":
		return errors.New("PDEX_SENSITIVE_DATA: not tagged, excluded or untagged")
	case c.PayerYears < 0 || c.PayerYears > 200:
		return errors.New("PDEX_P2P_LOOKBACK_YEARS: not between 0 and 200")
	case c.ClaimsMonths < 1 || c.ClaimsMonths > 120:
		return errors.New("PDEX_CLAIMS_MONTHS: not between 1 and 120")
	case c.ClaimsEvery < 0 || c.ClaimsEvery > 0 && c.ClaimsEvery < time.Minute:
		return errors.New("PDEX_CLAIMS_EVERY: neither 0 nor a minute or more")
	case c.Retention <= 0:
		return errors.New("PDEX_FILE_RETENTION: not a positive duration")
	case c.PayerGroups < 0:
		return errors.New("PDEX_PAYER_GROUP_TTL: a negative duration")
	case c.ProviderGroups < 0:
		return errors.New("PDEX_PROVIDER_GROUP_TTL: a negative duration")
	}
	if _, err := fhir.ParseDate(c.ProviderFrom); err != nil {
		return errors.New("PDEX_PROVIDER_FROM: not a date of the form YYYY-MM-DD")
	}
	return nil
}

// rules returns what the configuration says of what may leave.
func (c Config) rules() (activities.ReleaseRules, *release.Codes, error) {
	lists := c.Codes
	if slices.Equal(lists, []string{"none"}) {
		lists = nil
	}
	codes, err := release.ReadCodes(lists)
	if err != nil {
		return activities.ReleaseRules{}, nil, fmt.Errorf("PDEX_SENSITIVE_CODES: %w", err)
	}
	from, err := fhir.ParseDate(c.ProviderFrom)
	if err != nil {
		return activities.ReleaseRules{}, nil, fmt.Errorf("PDEX_PROVIDER_FROM: %w", err)
	}
	return activities.ReleaseRules{PayerYears: c.PayerYears, ProviderFrom: &from.First, DrugAuths: c.DrugAuths}, codes, nil
}

// Setup offers the workflows and activities in a process.
func Setup(ctx context.Context, p *boot.Process, cfg *Config) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	rules, codes, err := cfg.rules()
	if err != nil {
		return err
	}
	if err := addSearchAttributes(ctx, p.Temporal, p.Config.Temporal.Namespace); err != nil {
		return err
	}
	w := worker.New(p.Temporal, p.Config.Temporal.TaskQueue, p.WorkerOptions(worker.Options{
		MaxConcurrentActivityExecutionSize: p.Config.Work.ExportConcurrency,
		Interceptors:                       []interceptor.WorkerInterceptor{&activities.FailureInterceptor{}},
	}))
	w.RegisterWorkflow(workflows.Import)
	w.RegisterWorkflow(workflows.MemberMatch)
	w.RegisterWorkflow(workflows.Export)
	w.RegisterWorkflow(workflows.Expire)
	w.RegisterWorkflow(workflows.Sweep)
	w.RegisterWorkflow(workflows.TrainMatcher)
	w.RegisterWorkflow(workflows.LoadList)
	w.RegisterWorkflow(workflows.ClaimsRelationships)
	w.RegisterActivity(&activities.Activities{
		Store: p.Store, Files: p.Blob, Log: p.Log, ImportRoots: p.Config.Work.ImportRoots, Retention: cfg.Retention,
		Holder:    activities.Holder{Name: p.Config.Holder.Name, IDs: p.Config.Holder.IDs, SensitiveData: cfg.SensitiveData},
		GroupLife: activities.GroupLife{Payer: cfg.PayerGroups, Provider: cfg.ProviderGroups},
		Codes:     codes, Release: rules, ClaimsMonths: cfg.ClaimsMonths,
	})
	go sweep(ctx, p)
	if err := workflows.StartSweeps(ctx, p.Temporal, p.Config.Temporal.TaskQueue); err != nil {
		return err
	}
	if err := scheduleClaims(ctx, p, cfg.ClaimsEvery); err != nil {
		return err
	}
	if err := p.Serve(ctx, "health", p.Config.HTTP.HealthListen, p.Health.Handler(), false); err != nil {
		return err
	}
	return p.Work("worker", w)
}

// scheduleClaims has the claims rule run by a schedule. Where we may not make one, the worker does without: an administrator can have
// the rule run.
func scheduleClaims(ctx context.Context, p *boot.Process, every time.Duration) error {
	limits := workflows.Limits{Parallel: p.Config.Work.ExportConcurrency}
	err := workflows.ScheduleClaimsRelationships(ctx, p.Temporal, p.Config.Temporal.TaskQueue, every, limits)
	var denied *serviceerror.PermissionDenied
	var unknown *serviceerror.Unimplemented
	if !errors.As(err, &denied) && !errors.As(err, &unknown) {
		return err
	}
	p.Log.WarnContext(ctx, "the claims rule is not scheduled, since Temporal does not let this worker; give it the right, or run the rule by the admin API", "error", err.Error())
	p.Health.Note("claims-schedule", models.Errorf(models.KindForbidden, "not allowed").Because(err))
	return nil
}

// sweepAfter is how old an unfinished write in the file store must be to have lost its writer: far older than the longest
// activity.
const sweepAfter = 24 * time.Hour

// sweep removes what processes that died have left half written in the file store. Nothing ever leads to it, but it may hold
// health data. What it cannot do now the next worker that starts will.
func sweep(ctx context.Context, p *boot.Process) {
	n, err := p.Blob.Sweep(ctx, time.Now().Add(-sweepAfter))
	switch {
	case err != nil && ctx.Err() == nil:
		p.Log.WarnContext(ctx, "unfinished writes could not be removed", "error", err.Error())
	case n > 0:
		p.Log.InfoContext(ctx, "unfinished writes were removed", "count", n)
	}
}

// addSearchAttributes registers the attributes that operators find runs by. Where we may not (Temporal Cloud), an
// operator has to; runs cannot start without them.
func addSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace,
		SearchAttributes: map[string]enumspb.IndexedValueType{
			workflows.ClientAttribute.GetName():    enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			workflows.OperationAttribute.GetName(): enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			workflows.StageAttribute.GetName():     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		},
	})
	if err == nil {
		return nil
	}
	var there *serviceerror.AlreadyExists
	var denied *serviceerror.PermissionDenied
	if errors.As(err, &there) || errors.As(err, &denied) {
		return nil
	}
	return fmt.Errorf("register search attributes: %w", err)
}
