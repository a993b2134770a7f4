package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"pdexbulk/models"
)

// providerRow is a row of providers as bun sees it.
type providerRow struct {
	bun.BaseModel `bun:"table:providers,alias:p"`

	NPI           string              `bun:"npi,pk"`
	Kind          models.ProviderKind `bun:",notnull"`
	Active        bool                `bun:",notnull"`
	InNetwork     bool                `bun:",notnull"`
	Taxonomies    []string            `bun:",array,notnull"`
	Organizations []string            `bun:",array,notnull"`
	UpdatedAt     time.Time           `bun:",notnull"`
}

func (r providerRow) provider() models.Provider {
	return models.Provider{
		NPI: r.NPI, Kind: r.Kind, Active: r.Active, InNetwork: r.InNetwork,
		Taxonomies: r.Taxonomies, Organizations: r.Organizations, UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// UpsertProvider enters a provider into the directory or replaces the entry of its NPI, and returns what is stored.
// UpdatedAt is the database's. Returns KindInvalid for an entry that breaks models.Provider.Validate.
func (s *Store) UpsertProvider(ctx context.Context, p models.Provider) (models.Provider, error) {
	if err := p.Validate(); err != nil {
		return models.Provider{}, err
	}
	row := providerRow{
		NPI: p.NPI, Kind: p.Kind, Active: p.Active, InNetwork: p.InNetwork,
		Taxonomies: orEmpty(p.Taxonomies), Organizations: orEmpty(p.Organizations),
	}
	q := s.DB.NewInsert().Model(&row).
		Value("updated_at", "clock_timestamp()"). // differs between two writes of one transaction
		On("CONFLICT (npi) DO UPDATE")
	for _, column := range []string{"kind", "active", "in_network", "taxonomies", "organizations", "updated_at"} {
		q = q.Set("? = EXCLUDED.?", bun.Ident(column), bun.Ident(column))
	}
	if err := q.Returning("updated_at").Scan(ctx, &row.UpdatedAt); err != nil {
		return models.Provider{}, fmt.Errorf("store provider: %w", err)
	}
	return row.provider(), nil
}

// Provider returns the directory's entry of an NPI. Returns KindNotFound when there is none.
func (s *Store) Provider(ctx context.Context, npi string) (models.Provider, error) {
	var row providerRow
	err := s.DB.NewSelect().Model(&row).Where("p.npi = ?", npi).Scan(ctx)
	if noRows(err) {
		return models.Provider{}, models.Errorf(models.KindNotFound, "no such provider")
	}
	if err != nil {
		return models.Provider{}, fmt.Errorf("read provider: %w", err)
	}
	return row.provider(), nil
}
