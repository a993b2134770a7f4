// Package bulk serves the asynchronous FHIR operations: kick-off of exports and member matches, status, manifest, files,
// cancel, and reading the Groups a client was given.
//
// A handler authenticates, checks and stores the request, and starts a workflow with nothing but ids. It answers from the
// database, which outlives what Temporal remembers, and asks Temporal only whether a run is still alive.
package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/singleflight"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/blob"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
	"pdexbulk/workflows"
)

// Service serves the routes.
type Service struct {
	Store     *store.Store
	Files     blob.Store
	Temporal  client.Client
	TaskQueue string
	Auth      *auth.Server
	Log       *slog.Logger
	// Base is the absolute FHIR base URL, without a trailing slash.
	Base string
	// Limits go with every run that is started.
	Limits workflows.Limits
	// OpenJobs bounds a client's unfinished jobs of one operation.
	OpenJobs int
	// MaxMembers and MaxBody bound a match request. MaxBundle bounds one MemberBundle of it in bytes as it is stored, without blanks
	// between elements; it is at most models.MaxMemberBundle.
	MaxMembers int
	MaxBody    int64
	MaxBundle  int
	// ManifestFiles is how many files a page of a manifest names, where the client allows pages.
	ManifestFiles int
	// ConsentBody bounds a Consent, in bytes.
	ConsentBody int64
	// KickoffBody bounds the Parameters of an export kick-off, in bytes.
	KickoffBody int64
	// PollBurst is how many polls of a running job may come at once, beyond two a second; 0 means no bound.
	PollBurst int
	// Presign is how long signed URLs of an export's files live; 0 has the files served here, to whoever has a token. It needs a
	// file store that can sign.
	Presign time.Duration
	// MatchFailures is how many people of a client may not be found within MatchWindow before it must wait; 0 means no bound.
	MatchFailures int64
	MatchWindow   time.Duration
	// Holder names and HolderIDs identify ("system|value") the payer that holds the data.
	Holder    string
	HolderIDs []string
	// Admit, unless nil, refuses the requests of a client that sends too many.
	Admit func(clientID string) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	polls   polls
	digests singleflight.Group
}

func (s *Service) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// handler is a FHIR route for an authenticated caller.
type handler func(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error

// AddRoutes registers every route with its documentation.
func (s *Service) AddRoutes(api huma.API) {
	s.polls.burst = s.PollBurst
	kickoff := "Answers 202 with the status URL in Content-Location. Needs Prefer: respond-async."
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		s.route(api, method, "/fhir/$export", "system-export", "Export everything", kickoff, s.systemExport, exportParameters(false)...)
		s.route(api, method, "/fhir/Patient/$export", "patient-export", "Export all patients", kickoff, s.patientExport, exportParameters(false)...)
		s.route(api, method, "/fhir/Group/{id}/$export", "group-export", "Export a Group", kickoff, s.groupExport, exportParameters(true)...)
		s.route(api, method, "/fhir/Group/{id}/$davinci-data-export", "davinci-data-export", "Export a Group (Da Vinci ATR and PDex)", kickoff, s.dataExport, exportParameters(true)...)
		s.route(api, method, "/fhir/Group/{id}/$pdex-p2p-export", "pdex-p2p-export", "Another name of $davinci-data-export", kickoff, s.dataExport, exportParameters(true)...)
	}
	for _, name := range slices.Sorted(maps.Keys(matchOperations)) {
		s.route(api, http.MethodPost, "/fhir/Group/"+name, name[1:], matchOperations[name].summary,
			kickoff+" The body is a Parameters resource with one MemberBundle a person.", s.memberMatch(matchOperations[name]),
			headerParameter(specHeader, "2.1 has the finished job answer with the Parameters resource itself, not with a manifest"))
	}
	s.route(api, http.MethodGet, "/fhir/Group/{id}", "read-group", "Read a Group of one's own", "", s.readGroup, pathParameter("id", "Group id"))
	s.route(api, http.MethodGet, "/fhir/Group/{id}/_history/{version}", "read-group-version", "Read a version of a Group of one's own", "", s.readGroup,
		pathParameter("id", "Group id"), pathParameter("version", "version id"))
	s.route(api, http.MethodGet, "/fhir/Group/{id}/_history", "group-history", "Read the versions of a Group of one's own", "", s.groupHistory, pathParameter("id", "Group id"))
	s.route(api, http.MethodGet, "/fhir/Group", "search-groups", "Search one's own Groups",
		"Answers a searchset Bundle, the newest Group first; follow its next link for more.", s.searchGroups, groupParameters()...)
	s.addAttributionRoutes(api)
	s.addConsentRoutes(api)
	job := pathParameter("job", "job id")
	s.route(api, http.MethodGet, "/fhir/bulk-status/{job}", "job-status", "Poll a job",
		"202 with X-Progress and Retry-After while it runs, 200 with the manifest when it is done. Kicked off with Prefer: separate-export-status, "+
			"the status is that of the poll, and the job's is in X-Export-Status.", s.status, job)
	s.route(api, http.MethodDelete, "/fhir/bulk-status/{job}", "delete-job", "Cancel a job, or delete what it made", "", s.deleteJob, job)
	s.route(api, http.MethodGet, "/fhir/bulk-files/{job}/{file}", "get-file", "Download a file of a manifest",
		"Takes Range, Accept-Encoding: gzip and Want-Repr-Digest.", s.file, job, pathParameter("file", "file name from the manifest"))
	s.route(api, http.MethodGet, "/fhir/bulk-files/{job}/Binary/{id}", "get-attachment", "Download an attachment",
		"The content of a Binary that a line of the job's files refers to, as it is now.", s.attachment, job, pathParameter("id", "Binary id"))
}

// route adds one operation to the API description and serves it. Answers are written by the handler, since most are no
// JSON that a schema would describe.
func (s *Service) route(api huma.API, method, path, id, summary, description string, h handler, params ...*huma.Param) {
	if method == http.MethodGet && strings.HasSuffix(id, "-export") {
		id += "-by-query"
	}
	op := &huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Description: description,
		Tags: []string{"FHIR"}, Parameters: params, Security: []map[string][]string{{"smart": {}}},
		Responses: map[string]*huma.Response{"default": {Description: "an error: OperationOutcome"}},
	}
	if method == http.MethodPost {
		op.RequestBody = &huma.RequestBody{
			Description: "a FHIR Parameters resource",
			Content:     map[string]*huma.MediaType{answer.FHIRJSON: {}, "application/json": {}},
		}
	}
	api.OpenAPI().AddOperation(op)
	api.Adapter().Handle(op, func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		entry := trail.Of(r.Context())
		entry.Action, entry.Route = id, r.Pattern
		caller, err := s.Auth.Authenticate(r)
		if err != nil {
			if models.KindOf(err) == models.KindUnauthorized {
				w.Header().Set("WWW-Authenticate", auth.Challenge(err))
			}
			answer.Outcome(w, r, s.Log, err)
			return
		}
		entry.From(trail.ActorClient, caller.ClientID)
		entry.Client = caller.ClientID
		if job := r.PathValue("job"); models.ValidID(job) {
			entry.Job = job
		}
		if group := r.PathValue("id"); models.ValidID(group) {
			entry.Group = group
		}
		if err := s.admit(r, caller); err != nil {
			answer.Outcome(w, r, s.Log, err)
			return
		}
		if err := h(w, r, caller); err != nil {
			answer.Outcome(w, r, s.Log, err)
		}
	})
}

func pathParameter(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Description: description, Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
}

func queryParameter(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
}

func headerParameter(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
}

func exportParameters(group bool) []*huma.Param {
	params := []*huma.Param{
		queryParameter("_outputFormat", "application/fhir+ndjson (the default), application/ndjson or ndjson; $export also application/vnd.apache.parquet"),
		queryParameter("_since", "only resources changed after this instant"),
		queryParameter("_until", "only resources changed before this instant"),
		queryParameter("_type", "resource types, separated by commas; may be repeated"),
		queryParameter("_typeFilter", "FHIR searches of the form Type?parameter=value, separated by commas or repeated; of several for one type any may match"),
		queryParameter("_elements", "root elements to keep, as element or Type.element, separated by commas; may be repeated"),
		queryParameter("includeAssociatedData", "LatestProvenanceResources or RelevantProvenanceResources"),
		queryParameter("organizeOutputBy", "Patient: each patient's resources together, headed by a Parameters resource; NDJSON alone"),
		queryParameter("allowPartialManifests", "true: the manifest of very many files comes in pages, each with a link to the next"),
	}
	if group {
		params = append([]*huma.Param{pathParameter("id", "Group id")}, params...)
	}
	return params
}

// Start starts a job's workflow. A run that is there already is as good.
func (s *Service) Start(ctx context.Context, job *models.Job) error {
	opts := client.StartWorkflowOptions{
		ID:                    workflows.JobWorkflowID(job),
		TaskQueue:             s.TaskQueue,
		TypedSearchAttributes: workflows.Attributes(job.ClientID, string(job.Operation), "accepted"),
	}
	var err error
	if job.Operation.IsMatch() {
		_, err = s.Temporal.ExecuteWorkflow(ctx, opts, workflows.MemberMatch, workflows.MatchInput{JobID: job.ID, Limits: s.Limits})
	} else {
		_, err = s.Temporal.ExecuteWorkflow(ctx, opts, workflows.Export, workflows.ExportInput{JobID: job.ID, Limits: s.Limits})
	}
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the job could not be started; send the request again").Wait(5).
			Because(fmt.Errorf("start workflow: %w", err))
	}
	return nil
}

// accept records a job, starts its run, and answers 202.
func (s *Service) accept(w http.ResponseWriter, r *http.Request, job *models.Job) error {
	stored, created, err := s.Store.CreateJob(r.Context(), job, s.OpenJobs)
	if err != nil {
		return err
	}
	return s.begin(w, r, stored, created)
}

// begin starts the run of a recorded job and answers 202. A job that an earlier, broken off request has left accepted is
// started too.
func (s *Service) begin(w http.ResponseWriter, r *http.Request, job *models.Job, created bool) error {
	if created || job.State == models.StateAccepted {
		if err := s.Start(r.Context(), job); err != nil {
			return err
		}
	}
	location := s.StatusURL(job.ID)
	if prefers(r.Header, separateStatus, "") {
		location += "?" + separateMark + "=" + separateMarkIs
		w.Header().Set("Preference-Applied", separateStarted)
	}
	w.Header().Set("Content-Location", location)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// StatusURL is where the client of a job polls it.
func (s *Service) StatusURL(jobID string) string { return s.Base + "/bulk-status/" + jobID }

// ownJob returns a job of the caller's. Somebody else's is as unknown as one that never was.
func (s *Service) ownJob(ctx context.Context, caller *auth.Caller, id string) (*models.Job, error) {
	unknown := models.Errorf(models.KindNotFound, "no job of yours has this id")
	if !models.ValidID(id) {
		return nil, unknown
	}
	job, err := s.Store.OwnJob(ctx, caller.ClientID, id)
	switch {
	case models.KindOf(err) == models.KindNotFound:
		return nil, unknown
	case err != nil:
		return nil, models.Errorf(models.KindUnavailable, "the job cannot be looked up at the moment; try again").Wait(5).Because(err)
	case caller.GroupID != "":
		// A token for one Group opens the exports of that Group alone.
		var p models.ExportParams
		if err := json.Unmarshal(job.Params, &p); err != nil || job.Operation.IsMatch() || p.GroupID != caller.GroupID {
			return nil, unknown
		}
	}
	noteJob(ctx, job)
	return job, nil
}

// noteJob notes in the request's audit event which Group a job is about.
func noteJob(ctx context.Context, job *models.Job) {
	var about struct {
		GroupID string `json:"groupId"` // of ExportParams and MatchParams alike
	}
	if err := json.Unmarshal(job.Params, &about); err == nil && models.ValidID(about.GroupID) {
		trail.Of(ctx).Group = about.GroupID
	}
}

// admit refuses a client that sends too many requests, or has asked for too many people who are not members: a match must not
// be a way to find out who is one by trying (HRex, mm-7).
func (s *Service) admit(r *http.Request, caller *auth.Caller) error {
	if s.Admit != nil {
		if err := s.Admit(caller.ClientID); err != nil {
			return err
		}
	}
	if s.MatchFailures <= 0 || r.Method != http.MethodPost || !strings.HasSuffix(r.Pattern, "-member-match") {
		return nil
	}
	failed, oldest, err := s.Store.FailedMatches(r.Context(), caller.ClientID, s.now().Add(-s.MatchWindow))
	if err != nil {
		return models.Errorf(models.KindUnavailable, "earlier matches cannot be looked up at the moment; try again").Wait(5).Because(err)
	}
	if failed < s.MatchFailures {
		return nil
	}
	wait := max(1, int(oldest.Add(s.MatchWindow).Sub(s.now())/time.Second)+1)
	return models.Errorf(models.KindThrottled, "too many people of this client's requests were no members of ours; wait as long as Retry-After says").Wait(wait)
}
