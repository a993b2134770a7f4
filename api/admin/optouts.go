package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

type optOutBody struct {
	Patient string              `json:"patient" maxLength:"64" doc:"our Patient id"`
	Scope   models.OptOutScope  `json:"scope" maxLength:"64" doc:"global, provider-specific, purpose-specific, payer-specific or provider-category"`
	Target  string              `json:"target,omitempty" maxLength:"512" doc:"what it is from: an NPI or system|value, a purpose of use, a payer's system|value, a NUCC taxonomy code or its first four characters; nothing for global"`
	Reason  models.OptOutReason `json:"reason" maxLength:"64" doc:"privacy-concern, data-security, unknown-use, provider-relationship, member-choice or other"`
	Start   *time.Time          `json:"start,omitempty" doc:"from when it stands; now unless given"`
	End     *time.Time          `json:"end,omitempty" doc:"when it ends; for good unless given"`
}

type optOutView struct {
	ID         string                  `json:"id"`
	Member     uuid.UUID               `json:"member"`
	Scope      models.OptOutScope      `json:"scope"`
	Target     string                  `json:"target,omitempty"`
	Reason     models.OptOutReason     `json:"reason"`
	Start      time.Time               `json:"start"`
	End        *time.Time              `json:"end,omitempty"`
	Source     models.OptOutSource     `json:"source"`
	CreatedBy  string                  `json:"createdBy"`
	CreatedAt  time.Time               `json:"createdAt"`
	RevokedAt  *time.Time              `json:"revokedAt,omitempty"`
	RevokedBy  string                  `json:"revokedBy,omitempty"`
	RevokedWhy models.RevocationReason `json:"revokedWhy,omitempty"`
}

func viewOptOut(o models.OptOut) optOutView {
	return optOutView{
		ID: o.ID, Member: o.Member, Scope: o.Scope, Target: o.Target, Reason: o.Reason, Start: o.Start, End: o.End, Source: o.Source,
		CreatedBy: o.CreatedBy, CreatedAt: o.CreatedAt, RevokedAt: o.RevokedAt, RevokedBy: o.RevokedBy, RevokedWhy: o.RevokedWhy,
	}
}

func (s *Service) createOptOut(ctx context.Context, in *struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"the same key again makes the same row"`
	Body           optOutBody
},
) (*struct {
	Status   int
	Location string `header:"Location"`
	Body     optOutView
}, error,
) {
	id, err := keyed(ctx, "opt-out", in.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	member, err := memberOf(in.Body.Patient)
	if err != nil {
		return nil, err
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	o := models.OptOut{
		ID: id, Member: member, Scope: in.Body.Scope, Target: in.Body.Target, Reason: in.Body.Reason, Start: now, End: in.Body.End,
		Source: models.OptOutByAdmin, CreatedBy: ActorOf(ctx).ID, CreatedAt: now,
	}
	if in.Body.Start != nil {
		o.Start = *in.Body.Start
	}
	stored, created, err := s.Store.CreateOptOut(ctx, o)
	if err != nil {
		return nil, s.fault(ctx, unknownMember(err))
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return &struct {
		Status   int
		Location string `header:"Location"`
		Body     optOutView
	}{status, "/admin/opt-outs/" + stored.ID, viewOptOut(stored)}, nil
}

func (s *Service) listOptOuts(ctx context.Context, in *struct {
	Page
	Member  string             `query:"member" doc:"row id of a member: what they said, all of it"`
	Scope   models.OptOutScope `query:"scope" enum:"global,provider-specific,purpose-specific,payer-specific,provider-category"`
	Revoked string             `query:"revoked" enum:"true,false"`
},
) (*listOf[optOutView], error) {
	f := store.OptOutFilter{Scope: in.Scope, After: in.Cursor}
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	var err error
	if f.Member, err = memberFilter(in.Member); err != nil {
		return nil, err
	}
	if in.Revoked != "" {
		f.Revoked = new(in.Revoked == "true")
	}
	rows, err := s.Store.OptOuts(ctx, f, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]optOutView, len(rows))
	for i, o := range rows {
		views[i] = viewOptOut(o)
	}
	return newList(views, in.Limit, func(o optOutView) string { return o.ID }), nil
}

func (s *Service) getOptOut(ctx context.Context, in *ByID) (*struct{ Body optOutView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	o, err := s.Store.OptOut(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body optOutView }{viewOptOut(o)}, nil
}

func (s *Service) revokeOptOut(ctx context.Context, in *struct {
	ByID
	Body struct {
		Reason models.RevocationReason `json:"reason" enum:"member-choice,entered-in-error,superseded"`
	}
},
) (*struct{ Body optOutView }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	o, err := s.Store.RevokeOptOut(ctx, in.ID, s.now(), ActorOf(ctx).ID, in.Body.Reason)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body optOutView }{viewOptOut(o)}, nil
}
