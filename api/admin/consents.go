package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

// addConsentRoutes registers what members have told: to requesters, whose matches brought their consents, and to the plan.
func (s *Service) addConsentRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	viewer := func(path, id, summary string) huma.Operation {
		o := op(http.MethodGet, path, id, summary, http.StatusOK)
		o.Metadata = map[string]any{RoleKey: []string{string(models.RoleOperator), string(models.RoleOptOutEditor)}, PersonKey: true}
		return o
	}
	editor := func(path, id, summary string, status int) huma.Operation {
		o := op(http.MethodPost, path, id, summary, status)
		o.Metadata = map[string]any{RoleKey: string(models.RoleOptOutEditor), PersonKey: true}
		return o
	}
	huma.Register(api, viewer("/admin/consents", "list-consents", "List the consents that came with matches, without their documents"), s.listConsents)
	huma.Register(api, viewer("/admin/consents/{id}", "get-consent", "Show a consent as it was submitted"), s.getConsent)
	huma.Register(api, editor("/admin/consents/{id}/revoke", "revoke-consent",
		"Take a consent back, and with it all that the member gave the same payer before", http.StatusOK), s.revokeConsent)
	huma.Register(api, editor("/admin/consent-overrides", "add-consent-override",
		"Record that a member told us not to share, whatever consents are submitted", http.StatusCreated), s.addOverride)
	huma.Register(api, viewer("/admin/consent-overrides", "list-consent-overrides", "List what members told us, newest first"), s.listOverrides)
	huma.Register(api, viewer("/admin/consent-overrides/{id}", "get-consent-override", "Show what a member told us"), s.getOverride)
	huma.Register(api, editor("/admin/consent-overrides/{id}/revoke", "revoke-consent-override", "End an override", http.StatusOK), s.revokeOverride)
}

type consentView struct {
	ID           string             `json:"id"`
	Patient      string             `json:"patient" doc:"id of our Patient"`
	Requester    string             `json:"requester" doc:"the organisation that submitted it, system|value"`
	Client       string             `json:"client"`
	Job          string             `json:"job" doc:"the last match it came with"`
	Index        int32              `json:"index" doc:"of the MemberBundle in that match, from 0"`
	State        store.ConsentState `json:"state" enum:"active,superseded,revoked,refused"`
	Reason       string             `json:"reason" doc:"what was decided, in a fixed code; never told to the requester"`
	Policy       string             `json:"policy,omitempty" enum:"regular,sensitive"`
	Start        *time.Time         `json:"start,omitempty"`
	End          *time.Time         `json:"end,omitempty" doc:"the first moment at which it is over"`
	SubmittedAt  time.Time          `json:"submittedAt"`
	ClosedAt     *time.Time         `json:"closedAt,omitempty"`
	RevokedAt    *time.Time         `json:"revokedAt,omitempty"`
	RevokedBy    string             `json:"revokedBy,omitempty"`
	RevokeReason string             `json:"revokeReason,omitempty"`
	Consent      json.RawMessage    `json:"consent,omitempty" doc:"the Consent as it was submitted"`
}

func viewConsent(c store.Consent) consentView {
	v := consentView{
		ID: c.ID.String(), Patient: c.PatientID, Requester: c.Requester, Client: c.ClientID, Job: c.JobID, Index: c.Idx, State: c.State, Reason: c.Reason,
		Policy: c.Policy, Start: c.Start, End: c.End, SubmittedAt: c.SubmittedAt, ClosedAt: c.ClosedAt, RevokedAt: c.RevokedAt, RevokedBy: c.RevokedBy,
		RevokeReason: c.RevokeReason,
	}
	if c.Document != "" {
		v.Consent = json.RawMessage(c.Document)
	}
	return v
}

// OfPatient limits a list to one member.
type OfPatient struct {
	Patient string `query:"patient" maxLength:"64" doc:"id of our Patient"`
}

// member returns the member to list, nil for all.
func (p OfPatient) member() *uuid.UUID {
	if p.Patient == "" {
		return nil
	}
	return new(models.MemberID(p.Patient))
}

func (s *Service) listConsents(ctx context.Context, in *struct {
	OfPatient
	Page
},
) (*listOf[consentView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.Store.Consents(ctx, in.member(), in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]consentView, len(rows))
	for i, c := range rows {
		views[i] = viewConsent(c)
	}
	return newList(views, in.Limit, func(c consentView) string { return c.ID }), nil
}

func (s *Service) getConsent(ctx context.Context, in *ByID) (*struct{ Body consentView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	c, err := s.Store.Consent(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body consentView }{viewConsent(*c)}, nil
}

func (s *Service) revokeConsent(ctx context.Context, in *struct {
	ByID
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500"`
	}
},
) (*struct{ Body consentView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	c, err := s.Store.RevokeConsent(ctx, in.ID, ActorOf(ctx).ID, in.Body.Reason, s.now())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body consentView }{viewConsent(*c)}, nil
}

type overrideBody struct {
	Patient   string     `json:"patient" minLength:"1" maxLength:"64" doc:"id of our Patient"`
	Requester string     `json:"requester,omitempty" maxLength:"512" doc:"the organisation not to share with, payer or provider, system|value; without it nobody is shared with"`
	Start     *time.Time `json:"start,omitempty" doc:"from when on; without it from now on"`
	End       *time.Time `json:"end,omitempty" doc:"the first moment at which it is over; without it until it is revoked"`
	Source    string     `json:"source" enum:"phone,letter,portal,in-person,other" doc:"how the member told us"`
	Reason    string     `json:"reason,omitempty" maxLength:"500"`
}

type overrideView struct {
	ID        string     `json:"id"`
	Patient   string     `json:"patient"`
	Requester string     `json:"requester,omitempty"`
	Start     time.Time  `json:"start"`
	End       *time.Time `json:"end,omitempty"`
	Source    string     `json:"source"`
	Reason    string     `json:"reason,omitempty"`
	CreatedBy string     `json:"createdBy"`
	CreatedAt time.Time  `json:"createdAt"`
	RevokedAt *time.Time `json:"revokedAt,omitempty"`
	RevokedBy string     `json:"revokedBy,omitempty"`
}

func viewOverride(o store.Override) overrideView {
	return overrideView{
		ID: o.ID, Patient: o.PatientID, Requester: o.Requester, Start: o.Start, End: o.End, Source: o.Source, Reason: o.Reason,
		CreatedBy: o.CreatedBy, CreatedAt: o.CreatedAt, RevokedAt: o.RevokedAt, RevokedBy: o.RevokedBy,
	}
}

type addedOverride struct {
	Location string `header:"Location"`
	Body     overrideView
}

func (s *Service) addOverride(ctx context.Context, in *struct {
	Key
	Body overrideBody
},
) (*addedOverride, error) {
	now := s.now().UTC().Truncate(time.Millisecond)
	o := store.Override{
		Member: models.MemberID(in.Body.Patient), PatientID: in.Body.Patient, Requester: in.Body.Requester, Start: now, End: in.Body.End,
		Source: in.Body.Source, Reason: in.Body.Reason, CreatedBy: ActorOf(ctx).ID, CreatedAt: now,
	}
	if !fhir.ValidID(in.Body.Patient) {
		return nil, problem(models.Errorf(models.KindUnprocessable, "not a resource id").At("body.patient"))
	}
	if o.Requester != "" {
		system, value, _ := strings.Cut(o.Requester, "|")
		if system == "" || value == "" {
			return nil, problem(models.Errorf(models.KindUnprocessable, "an organisation is written as system|value").At("body.requester"))
		}
		o.Requester = models.CanonicalOrganization(o.Requester)
	}
	if in.Body.Start != nil {
		o.Start = in.Body.Start.UTC().Truncate(time.Millisecond)
	}
	if o.End != nil && !o.End.After(o.Start) {
		return nil, problem(models.Errorf(models.KindUnprocessable, "it ends before it starts").At("body.end"))
	}
	id, again, err := s.claim(ctx, "consent-override", in.IdempotencyKey, in.Body)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	if again {
		was, err := s.Store.Override(ctx, id)
		if gone, err := missing(err); err != nil {
			return nil, s.fault(ctx, err)
		} else if !gone {
			return &addedOverride{"/admin/consent-overrides/" + was.ID, viewOverride(*was)}, nil
		}
	}
	o.ID = id
	if err := s.Store.AddOverride(ctx, o); err != nil {
		return nil, s.fault(ctx, err)
	}
	return &addedOverride{"/admin/consent-overrides/" + o.ID, viewOverride(o)}, nil
}

func (s *Service) listOverrides(ctx context.Context, in *struct {
	OfPatient
	Page
},
) (*listOf[overrideView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.Store.Overrides(ctx, in.member(), in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]overrideView, len(rows))
	for i, o := range rows {
		views[i] = viewOverride(o)
	}
	return newList(views, in.Limit, func(o overrideView) string { return o.ID }), nil
}

func (s *Service) getOverride(ctx context.Context, in *ByID) (*struct{ Body overrideView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	o, err := s.Store.Override(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body overrideView }{viewOverride(*o)}, nil
}

func (s *Service) revokeOverride(ctx context.Context, in *ByID) (*struct{ Body overrideView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	o, err := s.Store.RevokeOverride(ctx, in.ID, ActorOf(ctx).ID, s.now())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body overrideView }{viewOverride(*o)}, nil
}
