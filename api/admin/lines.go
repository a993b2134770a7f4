package admin

import (
	"context"
	"time"

	"pdexbulk/models"
)

type lineBody struct {
	Name        string                 `json:"name,omitempty"`
	Payers      []string               `json:"payers,omitempty" doc:"identifiers of the payer of its members, system|value"`
	Selectors   []lineSelector         `json:"selectors,omitempty" doc:"which Coverages make a member one of it: those that one of them fits"`
	HideOptOuts *bool                  `json:"hideOptOuts,omitempty" default:"true" doc:"tell of a member who opted out as of one nobody knows (PDex 2.2.0, 261a)"`
	Treatment   models.TreatmentPolicy `json:"treatment,omitempty" default:"both" enum:"list-required,attestation-sufficient,both" doc:"what a provider needs: an entry in the treatment relationship list, their own attestation, or both"`
	Lookback    int                    `json:"lookback,omitempty" doc:"for how many days a relationship that is past counts"`
}

type lineSelector struct {
	Payor string `json:"payor,omitempty" doc:"identifier of Coverage.payor, system|value, or reference|Organization/id"`
	Type  string `json:"type,omitempty" doc:"coding of Coverage.type, system|code"`
	Class string `json:"class,omitempty" doc:"a Coverage.class, its type and value: plan|GOLD"`
}

type lineView struct {
	Code string `json:"code"`
	lineBody
	UpdatedAt time.Time `json:"updatedAt"`
	ETag      string    `json:"etag" doc:"for If-Match"`
}

func viewLine(l models.LineOfBusiness) lineView {
	v := lineView{Code: l.Code, UpdatedAt: l.UpdatedAt, ETag: revision(l.UpdatedAt), lineBody: lineBody{
		Name: l.Name, Payers: l.Payers, HideOptOuts: &l.HideOptOuts, Treatment: l.Treatment, Lookback: l.Lookback,
	}}
	for _, sel := range l.Selectors {
		v.Selectors = append(v.Selectors, lineSelector(sel))
	}
	return v
}

// ByCode names a line of business.
type ByCode struct {
	Code string `path:"code"`
}

func (s *Service) putLine(ctx context.Context, in *struct {
	ByCode
	Condition
	Body lineBody
},
) (*row[lineView], error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	l := models.LineOfBusiness{
		Code: in.Code, Name: in.Body.Name, Payers: in.Body.Payers, HideOptOuts: in.Body.HideOptOuts == nil || *in.Body.HideOptOuts,
		Treatment: in.Body.Treatment, Lookback: in.Body.Lookback,
	}
	for _, sel := range in.Body.Selectors {
		l.Selectors = append(l.Selectors, models.LineSelector(sel))
	}
	if l, err = s.Store.PutLine(ctx, l, since); err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[lineView]{revision(l.UpdatedAt), viewLine(l)}, nil
}

func (s *Service) listLines(ctx context.Context, _ *struct{}) (*listOf[lineView], error) {
	lines, err := s.Store.Lines(ctx)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]lineView, len(lines))
	for i, l := range lines {
		views[i] = viewLine(l)
	}
	return newList(views, len(views), nil), nil
}

func (s *Service) getLine(ctx context.Context, in *ByCode) (*row[lineView], error) {
	l, err := s.Store.Line(ctx, in.Code)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[lineView]{revision(l.UpdatedAt), viewLine(l)}, nil
}

func (s *Service) deleteLine(ctx context.Context, in *struct {
	ByCode
	Condition
},
) (*struct{}, error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	if err := s.Store.DeleteLine(ctx, in.Code, since); err != nil {
		return nil, s.fault(ctx, err)
	}
	return nil, nil
}
