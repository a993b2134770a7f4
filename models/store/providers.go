package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
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

// PutProvider is UpsertProvider for an entry that is to be as it was at a moment. KindConflict when it has changed since, or
// is not there.
func (s *Store) PutProvider(ctx context.Context, p models.Provider, unchangedSince time.Time) (models.Provider, error) {
	if err := p.Validate(); err != nil {
		return models.Provider{}, err
	}
	err := s.Pool.QueryRow(ctx, `UPDATE providers SET kind = $2, active = $3, in_network = $4, taxonomies = $5, organizations = $6, updated_at = clock_timestamp()
		WHERE npi = $1 AND updated_at = $7 RETURNING updated_at`,
		p.NPI, p.Kind, p.Active, p.InNetwork, orEmpty(p.Taxonomies), orEmpty(p.Organizations), unchangedSince).Scan(&p.UpdatedAt)
	if noRows(err) {
		return models.Provider{}, errChanged()
	}
	if err != nil {
		return models.Provider{}, fmt.Errorf("store provider: %w", err)
	}
	return p, nil
}

// DeleteProvider takes a provider out of the directory. KindNotFound when there is none, KindConflict when it has changed since
// the given moment, unless that is nil.
func (s *Store) DeleteProvider(ctx context.Context, npi string, unchangedSince *time.Time) error {
	tag, err := s.Pool.Exec(ctx, `DELETE FROM providers WHERE npi = $1 AND ($2::timestamptz IS NULL OR updated_at = $2)`, npi, unchangedSince)
	if err != nil {
		return fmt.Errorf("delete provider: %w", err)
	}
	if tag.RowsAffected() == 0 {
		if _, err := s.Provider(ctx, npi); err != nil {
			return err
		}
		return errChanged()
	}
	return nil
}

// ProviderFilter narrows a list of the directory. What is not set does not matter.
type ProviderFilter struct {
	InNetwork *bool
	Taxonomy  string
	After     string // continues after that NPI
}

// Providers lists the directory by NPI, at most limit entries.
func (s *Store) Providers(ctx context.Context, f ProviderFilter, limit int) ([]models.Provider, error) {
	rows, err := s.Pool.Query(ctx, `SELECT npi, kind, active, in_network, taxonomies, organizations, updated_at FROM providers
		WHERE npi > $1 AND ($2::bool IS NULL OR in_network = $2) AND ($3 = '' OR $3 = ANY(taxonomies)) ORDER BY npi LIMIT $4`,
		f.After, f.InNetwork, f.Taxonomy, limit)
	if err != nil {
		return nil, fmt.Errorf("select providers: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Provider])
	if err != nil {
		return nil, fmt.Errorf("read providers: %w", err)
	}
	return out, nil
}
