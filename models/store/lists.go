package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"pdexbulk/models"
)

// CreateListImport records an accepted load.
func (s *Store) CreateListImport(ctx context.Context, l *models.ListImport) error {
	if _, err := s.DB.NewInsert().Model(l).Exec(ctx); err != nil {
		return fmt.Errorf("insert load: %w", err)
	}
	return nil
}

// ListImport returns one load. KindNotFound when there is none.
func (s *Store) ListImport(ctx context.Context, id string) (*models.ListImport, error) {
	l := new(models.ListImport)
	err := s.DB.NewSelect().Model(l).Where("id = ?", id).Scan(ctx)
	if noRows(err) {
		return nil, models.Errorf(models.KindNotFound, "no load has this id")
	}
	if err != nil {
		return nil, fmt.Errorf("select load: %w", err)
	}
	return l, nil
}

// ListImports lists loads from newest to oldest, at most limit of them, those older than the id before when it is given.
func (s *Store) ListImports(ctx context.Context, before string, limit int) ([]models.ListImport, error) {
	var rows []models.ListImport
	q := s.DB.NewSelect().Model(&rows).OrderBy("id", bun.OrderDesc).Limit(int64(limit))
	if before != "" {
		q = q.Where("id < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("select loads: %w", err)
	}
	return rows, nil
}

// OpenListImports returns the loads that were made before the given moment and have not ended.
func (s *Store) OpenListImports(ctx context.Context, before time.Time) ([]models.ListImport, error) {
	var rows []models.ListImport
	err := s.DB.NewSelect().Model(&rows).Where("state IN ('accepted', 'running')").Where("created_at < ?", before).Order("id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("select open loads: %w", err)
	}
	return rows, nil
}

// ListNeeds reports whether a load that has not ended reads what was uploaded under a key.
func (s *Store) ListNeeds(ctx context.Context, key string) (needed bool, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM list_imports WHERE blob_key = $1 AND state IN ('accepted', 'running'))`, key).Scan(&needed)
	if err != nil {
		return false, fmt.Errorf("look for the load of a file: %w", err)
	}
	return needed, nil
}

// StartListImport moves an accepted load to running. Calling it again changes nothing.
func (s *Store) StartListImport(ctx context.Context, id string) (*models.ListImport, error) {
	if _, err := s.Pool.Exec(ctx, `UPDATE list_imports SET state = 'running' WHERE id = $1 AND state = 'accepted'`, id); err != nil {
		return nil, fmt.Errorf("start load: %w", err)
	}
	return s.ListImport(ctx, id)
}

// FinishListImport closes a load. One that is closed stays as it is.
func (s *Store) FinishListImport(ctx context.Context, id string, state models.State, reason string, now time.Time) error {
	_, err := s.Pool.Exec(ctx, `UPDATE list_imports SET state = $2, error = $3, finished_at = $4 WHERE id = $1 AND state IN ('accepted', 'running')`,
		id, state, reason, millis(now))
	if err != nil {
		return fmt.Errorf("finish load: %w", err)
	}
	return nil
}

// ListRejects returns the rows a load could not take, by line, from the one after the given line on, at most limit of them.
func (s *Store) ListRejects(ctx context.Context, id string, after int64, limit int) ([]models.ListReject, error) {
	rows, err := s.Pool.Query(ctx, `SELECT line, field, reason FROM list_rejects WHERE import_id = $1 AND line > $2 ORDER BY line LIMIT $3`, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("select rejects: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.ListReject])
	if err != nil {
		return nil, fmt.Errorf("read rejects: %w", err)
	}
	return out, nil
}

// Batch is a run of lines of a load. OptOuts, Relationships and Providers stand for the line of the same index in Lines; one of
// the three is filled.
type Batch struct {
	From, To      int64 // lines: what is read goes on behind From, and To is dealt with
	Lines         []int64
	OptOuts       []models.OptOut
	Relationships []models.Relationship
	Providers     []models.Provider
	// Network says that Providers say who is under contract and for whom they work, not who they are.
	Network bool
	Rejects []models.ListReject
}

// MergeBatch takes in a batch of a load and notes how far it has come, together; a batch that is taken in already changes
// nothing. It returns how the load stands. KindConflict when the load is not running.
func (s *Store) MergeBatch(ctx context.Context, id string, b Batch) (*models.ListImport, error) {
	err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var line int64
		var dry bool
		err := tx.QueryRow(ctx, `SELECT line, dry_run FROM list_imports WHERE id = $1 AND state = 'running' FOR UPDATE`, id).Scan(&line, &dry)
		if noRows(err) {
			return models.Errorf(models.KindConflict, "the load is not running")
		}
		if err != nil || line != b.From {
			return err
		}
		var counts models.ListCounts
		var unknown []int64
		merge := func(tx pgx.Tx) error {
			counts, unknown, err = b.merge(ctx, tx)
			return err
		}
		if dry {
			err = tryOut(ctx, tx, merge)
		} else {
			err = merge(tx)
		}
		if err != nil {
			return err
		}
		rejects := slices.Clone(b.Rejects)
		for _, line := range unknown {
			rejects = append(rejects, models.ListReject{Line: line, Field: b.key(), Reason: "nothing is held under it"})
		}
		counts.Rejected = int64(len(rejects))
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"list_rejects"}, []string{"import_id", "line", "field", "reason"},
			pgx.CopyFromSlice(len(rejects), func(i int) ([]any, error) {
				return []any{uuid.MustParse(id), rejects[i].Line, rejects[i].Field, rejects[i].Reason}, nil
			}))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE list_imports SET line = $2, added = added + $3, changed = changed + $4, unchanged = unchanged + $5,
			rejected = rejected + $6 WHERE id = $1`, id, b.To, counts.Added, counts.Changed, counts.Unchanged, counts.Rejected)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take in a batch: %w", err)
	}
	return s.ListImport(ctx, id)
}

// tryOut runs fn and undoes what it did.
func tryOut(ctx context.Context, tx pgx.Tx, fn func(pgx.Tx) error) error {
	inner, err := tx.Begin(ctx) // a savepoint
	if err != nil {
		return err
	}
	if err := fn(inner); err != nil {
		return err
	}
	return inner.Rollback(ctx)
}

func (b Batch) key() string {
	if b.Providers != nil {
		return "npi"
	}
	return "patient"
}

func (b Batch) merge(ctx context.Context, tx pgx.Tx) (c models.ListCounts, unknown []int64, err error) {
	switch {
	case b.OptOuts != nil:
		return b.mergeOptOuts(ctx, tx)
	case b.Relationships != nil:
		return b.mergeRelationships(ctx, tx)
	case b.Providers != nil && b.Network:
		return b.mergeNetwork(ctx, tx)
	case b.Providers != nil:
		return b.mergeProviders(ctx, tx)
	}
	return c, nil, nil
}

// column is one column of rows as an array parameter.
func column[T, V any](rows []T, value func(T) V) []V {
	out := make([]V, len(rows))
	for i, row := range rows {
		out[i] = value(row)
	}
	return out
}

// missing returns the lines whose member is not held.
func missing(ctx context.Context, tx pgx.Tx, lines []int64, members []uuid.UUID) ([]int64, error) {
	rows, err := tx.Query(ctx, `SELECT k.line FROM unnest($1::bigint[], $2::uuid[]) AS k(line, id)
		WHERE NOT EXISTS (SELECT FROM members m WHERE m.id = k.id AND m.present)`, lines, members)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

func (b Batch) mergeOptOuts(ctx context.Context, tx pgx.Tx) (c models.ListCounts, unknown []int64, err error) {
	members := column(b.OptOuts, func(o models.OptOut) uuid.UUID { return o.Member })
	if unknown, err = missing(ctx, tx, b.Lines, members); err != nil {
		return c, nil, err
	}
	tag, err := tx.Exec(ctx, `INSERT INTO opt_outs (member_id, id, scope, target, reason, starts_at, ends_at, source, created_by, created_at)
		SELECT k.member, k.id, k.scope, k.target, k.reason, k.starts, coalesce(k.ends, 'infinity'), k.source, k.by, k.at
		FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::text[], $10::timestamptz[])
			AS k(member, id, scope, target, reason, starts, ends, source, by, at)
		JOIN members m ON m.id = k.member AND m.present ON CONFLICT DO NOTHING`,
		members,
		column(b.OptOuts, func(o models.OptOut) string { return o.ID }),
		column(b.OptOuts, func(o models.OptOut) string { return string(o.Scope) }),
		column(b.OptOuts, func(o models.OptOut) string { return o.Target }),
		column(b.OptOuts, func(o models.OptOut) string { return string(o.Reason) }),
		column(b.OptOuts, func(o models.OptOut) time.Time { return millis(o.Start) }),
		column(b.OptOuts, func(o models.OptOut) *time.Time { return o.End }),
		column(b.OptOuts, func(o models.OptOut) string { return string(o.Source) }),
		column(b.OptOuts, func(o models.OptOut) string { return o.CreatedBy }),
		column(b.OptOuts, func(o models.OptOut) time.Time { return o.CreatedAt }))
	c.Added = tag.RowsAffected()
	c.Unchanged = int64(len(b.OptOuts)-len(unknown)) - c.Added
	return c, unknown, err
}

func (b Batch) mergeRelationships(ctx context.Context, tx pgx.Tx) (c models.ListCounts, unknown []int64, err error) {
	members := column(b.Relationships, func(r models.Relationship) uuid.UUID { return r.Member })
	if unknown, err = missing(ctx, tx, b.Lines, members); err != nil {
		return c, nil, err
	}
	if c.Added, c.Changed, err = putRelationships(ctx, tx, b.Relationships); err != nil {
		return c, nil, err
	}
	c.Unchanged = int64(len(b.Relationships)-len(unknown)) - c.Added - c.Changed
	return c, unknown, nil
}

// putRelationships enters relationships of members who are held. One that was there keeps its id. Of several rows of one pair, type and source the last counts.
func putRelationships(ctx context.Context, tx pgx.Tx, rels []models.Relationship) (added, changed int64, err error) {
	err = tx.QueryRow(ctx, `WITH k AS (
			SELECT DISTINCT ON (member, npi, type, source) * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[], $7::timestamptz[], $8::text[])
				WITH ORDINALITY AS k(member, npi, type, source, id, starts, ends, by, n) ORDER BY member, npi, type, source, n DESC),
		put AS (INSERT INTO treatment_relationships AS r (member_id, npi, type, source, id, starts_at, ends_at, created_by, updated_at)
			SELECT k.member, k.npi, k.type, k.source, k.id, k.starts, coalesce(k.ends, 'infinity'), k.by, clock_timestamp()
			FROM k JOIN members m ON m.id = k.member AND m.present
			ON CONFLICT (member_id, npi, type, source) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at,
				created_by = excluded.created_by, updated_at = excluded.updated_at
			WHERE (r.starts_at, r.ends_at) IS DISTINCT FROM (excluded.starts_at, excluded.ends_at)
			RETURNING r.id)
		SELECT count(k.id), count(*) - count(k.id) FROM put LEFT JOIN k USING (id)`,
		column(rels, func(r models.Relationship) uuid.UUID { return r.Member }),
		column(rels, func(r models.Relationship) string { return r.NPI }),
		column(rels, func(r models.Relationship) string { return string(r.Type) }),
		column(rels, func(r models.Relationship) string { return string(r.Source) }),
		column(rels, func(r models.Relationship) string { return r.ID }),
		column(rels, func(r models.Relationship) time.Time { return millis(r.Start) }),
		column(rels, func(r models.Relationship) *time.Time { return r.End }),
		column(rels, func(r models.Relationship) string { return r.CreatedBy })).Scan(&added, &changed)
	return added, changed, err
}

// mergeProviders enters who there is. Lists of codes go as one text each: Postgres has no arrays of arrays of unequal length. Whether somebody is under contract, and for whom they work, is not in the NPPES file, so
// that stays as it is; of who is new it is not so.
func (b Batch) mergeProviders(ctx context.Context, tx pgx.Tx) (c models.ListCounts, unknown []int64, err error) {
	err = tx.QueryRow(ctx, `WITH k AS (
			SELECT DISTINCT ON (npi) npi, kind, active, string_to_array(nullif(codes, ''), ',') AS taxonomies
			FROM unnest($1::text[], $2::text[], $3::bool[], $4::text[]) WITH ORDINALITY AS k(npi, kind, active, codes, n) ORDER BY npi, n DESC),
		put AS (INSERT INTO providers AS p (npi, kind, active, in_network, taxonomies, updated_at)
			SELECT npi, kind, active, false, coalesce(taxonomies, '{}'), clock_timestamp() FROM k
			ON CONFLICT (npi) DO UPDATE SET kind = excluded.kind, active = excluded.active, taxonomies = excluded.taxonomies, updated_at = excluded.updated_at
			WHERE (p.kind, p.active, p.taxonomies) IS DISTINCT FROM (excluded.kind, excluded.active, excluded.taxonomies)
			RETURNING xmax = 0 AS added)
		SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added) FROM put`,
		column(b.Providers, func(p models.Provider) string { return p.NPI }),
		column(b.Providers, func(p models.Provider) string { return string(p.Kind) }),
		column(b.Providers, func(p models.Provider) bool { return p.Active }),
		column(b.Providers, func(p models.Provider) string { return strings.Join(p.Taxonomies, ",") })).Scan(&c.Added, &c.Changed)
	c.Unchanged = int64(len(b.Providers)) - c.Added - c.Changed
	return c, nil, err
}

// mergeNetwork says who of the directory is under contract and for whom they work.
func (b Batch) mergeNetwork(ctx context.Context, tx pgx.Tx) (c models.ListCounts, unknown []int64, err error) {
	rows, err := tx.Query(ctx, `SELECT k.line FROM unnest($1::bigint[], $2::text[]) AS k(line, npi) WHERE NOT EXISTS (SELECT FROM providers p WHERE p.npi = k.npi)`,
		b.Lines, column(b.Providers, func(p models.Provider) string { return p.NPI }))
	if err != nil {
		return c, nil, err
	}
	if unknown, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
		return c, nil, err
	}
	tag, err := tx.Exec(ctx, `UPDATE providers p SET in_network = k.network, organizations = coalesce(k.orgs, '{}'), updated_at = clock_timestamp()
		FROM (SELECT DISTINCT ON (npi) npi, network, string_to_array(nullif(codes, ''), ',') AS orgs
			FROM unnest($1::text[], $2::bool[], $3::text[]) WITH ORDINALITY AS k(npi, network, codes, n) ORDER BY npi, n DESC) k
		WHERE p.npi = k.npi AND (p.in_network, p.organizations) IS DISTINCT FROM (k.network, coalesce(k.orgs, '{}'))`,
		column(b.Providers, func(p models.Provider) string { return p.NPI }),
		column(b.Providers, func(p models.Provider) bool { return p.InNetwork }),
		column(b.Providers, func(p models.Provider) string { return strings.Join(p.Organizations, ",") }))
	c.Changed = tag.RowsAffected()
	c.Unchanged = int64(len(b.Providers)-len(unknown)) - c.Changed
	return c, unknown, err
}
