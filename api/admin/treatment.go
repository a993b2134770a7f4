package admin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

type relationshipBody struct {
	Patient string                  `json:"patient" maxLength:"64" doc:"our Patient id"`
	NPI     string                  `json:"npi" maxLength:"10" doc:"of the rendering provider or of an organisation"`
	Type    models.RelationshipType `json:"type" maxLength:"20" doc:"active, past or prospective"`
	Start   time.Time               `json:"start"`
	End     *time.Time              `json:"end,omitempty"`
}

type relationshipView struct {
	ID        string                    `json:"id"`
	Member    uuid.UUID                 `json:"member"`
	NPI       string                    `json:"npi"`
	Type      models.RelationshipType   `json:"type"`
	Start     time.Time                 `json:"start"`
	End       *time.Time                `json:"end,omitempty"`
	Source    models.RelationshipSource `json:"source"`
	CreatedBy string                    `json:"createdBy"`
	UpdatedAt time.Time                 `json:"updatedAt"`
}

func viewRelationship(r models.Relationship) relationshipView {
	return relationshipView{r.ID, r.Member, r.NPI, r.Type, r.Start, r.End, r.Source, r.CreatedBy, r.UpdatedAt}
}

func (s *Service) getRelationship(ctx context.Context, in *ByID) (*row[relationshipView], error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	r, err := s.Store.Relationship(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[relationshipView]{revision(r.UpdatedAt), viewRelationship(r)}, nil
}

func (s *Service) putRelationship(ctx context.Context, in *struct {
	Condition
	Body relationshipBody
},
) (*row[relationshipView], error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	member, err := memberOf(in.Body.Patient)
	if err != nil {
		return nil, err
	}
	r := models.Relationship{
		ID: models.NewID(), Member: member, NPI: in.Body.NPI, Type: in.Body.Type, Start: in.Body.Start, End: in.Body.End,
		Source: models.RelationshipByAdmin, CreatedBy: ActorOf(ctx).ID,
	}
	if since == nil {
		r, err = s.Store.PutRelationship(ctx, r)
	} else {
		r, err = s.Store.ChangeRelationship(ctx, r, *since)
	}
	if err != nil {
		return nil, s.fault(ctx, unknownMember(err))
	}
	return &row[relationshipView]{revision(r.UpdatedAt), viewRelationship(r)}, nil
}

func (s *Service) listRelationships(ctx context.Context, in *struct {
	Page
	Member string                    `query:"member" doc:"row id of a member"`
	NPI    string                    `query:"npi" maxLength:"10"`
	Source models.RelationshipSource `query:"source" enum:"admin,import,claims"`
},
) (*listOf[relationshipView], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	member, err := memberFilter(in.Member)
	if err != nil {
		return nil, err
	}
	rows, err := s.Store.Relationships(ctx, store.RelationshipFilter{Member: member, NPI: in.NPI, Source: in.Source, After: in.Cursor}, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]relationshipView, len(rows))
	for i, r := range rows {
		views[i] = viewRelationship(r)
	}
	return newList(views, in.Limit, func(r relationshipView) string { return r.ID }), nil
}
