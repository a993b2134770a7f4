package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"pdexbulk/api/answer"
	"pdexbulk/models"
	"pdexbulk/models/store"
	"pdexbulk/models/trail"
)

// addAuditRoutes registers the routes of auditors. What is looked for goes in a body, since ids of members have no place in
// URLs.
func (s *Service) addAuditRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	auditors := func(o huma.Operation) huma.Operation {
		o.Metadata = map[string]any{RoleKey: string(models.RoleAuditor), ReadKey: true, PersonKey: true}
		return o
	}
	huma.Register(api, auditors(op(http.MethodPost, "/admin/audit/search", "search-audit", "Find records of the audit log, newest first", http.StatusOK)), s.searchAudit)
	export := auditors(op(http.MethodPost, "/admin/audit/export", "export-audit", "Export records of the audit log, oldest first", http.StatusOK))
	export.Responses = map[string]*huma.Response{"200": {
		Description: "FHIR R4 AuditEvents as NDJSON, or a Parquet file",
		Content:     map[string]*huma.MediaType{answer.NDJSON: {}, models.FormatParquet: {}},
	}}
	huma.Register(api, export, s.exportAudit)
	huma.Register(api, auditors(op(http.MethodGet, "/admin/audit/verify", "verify-audit", "Read the whole audit log and find what was altered, removed, put in or moved", http.StatusOK)), s.verifyAudit)
}

// AuditFilter says which records to find. All that is given must hold.
type AuditFilter struct {
	Client  string        `json:"client,omitempty" maxLength:"255" doc:"whose data, job or token it is about"`
	Actor   string        `json:"actor,omitempty" maxLength:"255" doc:"id of the client or credential that did it"`
	Action  string        `json:"action,omitempty" maxLength:"100" doc:"operation id, or what a run did: match-matched, match-constrained, match-nomatch, end-job"`
	Outcome trail.Outcome `json:"outcome,omitempty" enum:"success,refused,failed,begun"`
	Job     string        `json:"job,omitempty" format:"uuid"`
	Group   string        `json:"group,omitempty" format:"uuid"`
	Member  string        `json:"member,omitempty" format:"uuid" doc:"row id: what names the member, and what is about a Group the member is in"`
	Patient string        `json:"patient,omitempty" maxLength:"64" doc:"id of our Patient, in place of member"`
	From    *time.Time    `json:"from,omitempty" doc:"not before"`
	To      *time.Time    `json:"to,omitempty" doc:"before"`
}

func (f AuditFilter) query(ctx context.Context) (store.AuditQuery, error) {
	q := store.AuditQuery{Client: f.Client, Actor: f.Actor, Action: f.Action, Outcome: f.Outcome, Job: f.Job, Group: f.Group, From: f.From, To: f.To}
	for _, id := range []struct{ field, value string }{{"body.job", f.Job}, {"body.group", f.Group}, {"body.member", f.Member}} {
		if id.value != "" && !models.ValidID(id.value) {
			return q, problem(models.Errorf(models.KindInvalid, "must be an id in lower case").At(id.field))
		}
	}
	for _, text := range []string{f.Client, f.Actor, f.Action} {
		if text != "" && !models.ValidClientID(text) {
			return q, problem(models.Errorf(models.KindInvalid, "client, actor and action are printable ASCII without spaces").At("body"))
		}
	}
	switch {
	case f.Member != "" && f.Patient != "":
		return q, problem(models.Errorf(models.KindInvalid, "give either member or patient").At("body.patient"))
	case f.Member != "":
		id := uuid.MustParse(f.Member)
		q.Member = &id
	case f.Patient != "":
		id := models.MemberID(f.Patient)
		q.Member = &id
	}
	if q.Member != nil { // whoever asks what is known of a member is recorded with the member
		trail.Of(ctx).Members = []uuid.UUID{*q.Member}
	}
	return q, nil
}

// auditView is a record as auditors see it.
type auditView struct {
	Seq     int64           `json:"seq"`
	ID      string          `json:"id"`
	At      time.Time       `json:"at"`
	Kind    trail.ActorKind `json:"kind" enum:"anonymous,client,admin,system" doc:"how the actor is known"`
	Actor   string          `json:"actor,omitempty"`
	Client  string          `json:"client,omitempty"`
	Action  string          `json:"action"`
	Outcome trail.Outcome   `json:"outcome" enum:"success,refused,failed,begun"`
	Status  int             `json:"status,omitempty" doc:"of HTTP"`
	Job     string          `json:"job,omitempty"`
	Group   string          `json:"group,omitempty"`
	Target  string          `json:"target,omitempty"`
	Members []string        `json:"members,omitempty" doc:"row ids"`
	Counts  trail.Counts    `json:"counts,omitempty"`
	Purpose string          `json:"purpose,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Source  string          `json:"source,omitempty"`
	Route   string          `json:"route,omitempty"`
}

func viewRecord(r trail.Record) auditView {
	v := auditView{
		Seq: r.Seq, ID: r.ID, At: r.At, Kind: r.Kind, Actor: r.Actor, Client: r.Client, Action: r.Action, Outcome: r.Outcome, Status: r.Status,
		Job: r.Job, Group: r.Group, Target: r.Target, Counts: r.Counts, Purpose: r.Purpose, Reason: r.Reason, Source: r.Source, Route: r.Route,
	}
	for _, m := range r.Members {
		v.Members = append(v.Members, m.String())
	}
	return v
}

func (s *Service) searchAudit(ctx context.Context, in *struct {
	Body struct {
		AuditFilter
		Cursor string `json:"cursor,omitempty" maxLength:"20" doc:"the next of the answer before"`
		Limit  int    `json:"limit,omitempty" minimum:"1" maximum:"1000" default:"100"`
	}
},
) (*listOf[auditView], error) {
	q, err := in.Body.query(ctx)
	if err != nil {
		return nil, err
	}
	before := int64(0)
	if in.Body.Cursor != "" {
		if before, err = strconv.ParseInt(in.Body.Cursor, 10, 64); err != nil || before < 1 {
			return nil, problem(models.Errorf(models.KindInvalid, "pass the next of an earlier answer").At("body.cursor"))
		}
	}
	if err := s.settle(ctx); err != nil {
		return nil, s.fault(ctx, err)
	}
	rows, err := s.Store.Audit(ctx, q, before, in.Body.Limit+1)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]auditView, len(rows))
	for i, r := range rows {
		views[i] = viewRecord(r)
	}
	return newList(views, in.Body.Limit, func(r auditView) string { return strconv.FormatInt(r.Seq, 10) }), nil
}

// settle brings what was recorded so far into the log, so that a search finds it.
func (s *Service) settle(ctx context.Context) error {
	if err := s.Audit.Flush(ctx); err != nil {
		return err
	}
	return s.Sealer.Seal(ctx)
}

func (s *Service) exportAudit(ctx context.Context, in *struct {
	Body struct {
		AuditFilter
		Format string `json:"format,omitempty" enum:"ndjson,parquet" default:"ndjson" doc:"ndjson is of FHIR R4 AuditEvents"`
	}
},
) (*huma.StreamResponse, error) {
	q, err := in.Body.query(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		return nil, s.fault(ctx, err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		write, mediaType := s.Sealer.NDJSON, answer.NDJSON
		if in.Body.Format == "parquet" {
			write, mediaType = s.Sealer.Parquet, models.FormatParquet
		}
		hc.SetHeader("Content-Type", mediaType)
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetStatus(http.StatusOK)
		if err := write(ctx, q, hc.BodyWriter()); err != nil {
			s.Log.ErrorContext(ctx, "the audit log could not be exported to its end", "error", err.Error())
			panic(http.ErrAbortHandler) // the auditor must see that it is cut short
		}
	}}, nil
}

func (s *Service) verifyAudit(ctx context.Context, _ *struct{}) (*struct{ Body trail.Report }, error) {
	if err := s.Audit.Flush(ctx); err != nil {
		return nil, s.fault(ctx, err)
	}
	report, err := s.Sealer.Verify(ctx)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body trail.Report }{report}, nil
}
