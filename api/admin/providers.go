package admin

import (
	"context"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

type providerBody struct {
	Kind          models.ProviderKind `json:"kind" maxLength:"20" doc:"individual or organization"`
	Active        bool                `json:"active" doc:"false when the NPI was deactivated"`
	InNetwork     bool                `json:"inNetwork" doc:"under contract with us"`
	Taxonomies    []string            `json:"taxonomies,omitempty" doc:"NUCC codes, the primary one first"`
	Organizations []string            `json:"organizations,omitempty" doc:"NPIs of the organisations an individual works for"`
}

type providerView struct {
	NPI string `json:"npi"`
	providerBody
	UpdatedAt time.Time `json:"updatedAt"`
}

func viewProvider(p models.Provider) providerView {
	return providerView{p.NPI, providerBody{p.Kind, p.Active, p.InNetwork, p.Taxonomies, p.Organizations}, p.UpdatedAt}
}

// ByNPI names a provider.
type ByNPI struct {
	NPI string `path:"npi"`
}

func (s *Service) putProvider(ctx context.Context, in *struct {
	ByNPI
	Condition
	Body providerBody
},
) (*row[providerView], error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	p := models.Provider{
		NPI: in.NPI, Kind: in.Body.Kind, Active: in.Body.Active, InNetwork: in.Body.InNetwork,
		Taxonomies: in.Body.Taxonomies, Organizations: in.Body.Organizations,
	}
	if since == nil {
		p, err = s.Store.UpsertProvider(ctx, p)
	} else {
		p, err = s.Store.PutProvider(ctx, p, *since)
	}
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[providerView]{revision(p.UpdatedAt), viewProvider(p)}, nil
}

func (s *Service) getProvider(ctx context.Context, in *ByNPI) (*row[providerView], error) {
	p, err := s.Store.Provider(ctx, in.NPI)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &row[providerView]{revision(p.UpdatedAt), viewProvider(p)}, nil
}

func (s *Service) listProviders(ctx context.Context, in *struct {
	Page
	InNetwork string `query:"inNetwork" enum:"true,false"`
	Taxonomy  string `query:"taxonomy" maxLength:"10" doc:"a NUCC code"`
},
) (*listOf[providerView], error) {
	if in.Cursor != "" && !models.ValidNPI(in.Cursor) {
		return nil, badCursor()
	}
	f := store.ProviderFilter{Taxonomy: in.Taxonomy, After: in.Cursor}
	if in.InNetwork != "" {
		f.InNetwork = new(in.InNetwork == "true")
	}
	rows, err := s.Store.Providers(ctx, f, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	views := make([]providerView, len(rows))
	for i, p := range rows {
		views[i] = viewProvider(p)
	}
	return newList(views, in.Limit, func(p providerView) string { return p.NPI }), nil
}

func (s *Service) deleteProvider(ctx context.Context, in *struct {
	ByNPI
	Condition
},
) (*struct{}, error) {
	since, err := in.since()
	if err != nil {
		return nil, err
	}
	if err := s.Store.DeleteProvider(ctx, in.NPI, since); err != nil {
		return nil, s.fault(ctx, err)
	}
	return nil, nil
}
