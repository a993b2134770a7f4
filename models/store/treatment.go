package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"pdexbulk/models"
)

const relationshipColumns = `r.id, r.member_id, r.npi, r.type, r.starts_at, nullif(r.ends_at, 'infinity'), r.source, r.created_by, r.updated_at`

func scanRelationship(row pgx.CollectableRow) (r models.Relationship, err error) {
	err = row.Scan(&r.ID, &r.Member, &r.NPI, &r.Type, &r.Start, &r.End, &r.Source, &r.CreatedBy, &r.UpdatedAt)
	return r, err
}

func relationships(ctx context.Context, q querier, sql string, args ...any) ([]models.Relationship, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("select relationships: %w", err)
	}
	out, err := pgx.CollectRows(rows, scanRelationship)
	if err != nil {
		return nil, fmt.Errorf("read relationships: %w", err)
	}
	return out, nil
}

// PutRelationship enters a relationship, or gives the one of the same member, NPI, type and source a new period. It returns what
// is stored. KindNotFound when the member's Patient is not held.
func (s *Store) PutRelationship(ctx context.Context, r models.Relationship) (stored models.Relationship, err error) {
	if err := r.Validate(); err != nil {
		return r, err
	}
	err = s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := present(ctx, tx, r.Member); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `INSERT INTO treatment_relationships AS r (member_id, npi, type, source, id, starts_at, ends_at, created_by, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, 'infinity'::timestamptz), $8, clock_timestamp())
			ON CONFLICT (member_id, npi, type, source) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at,
				created_by = excluded.created_by, updated_at = clock_timestamp()
			RETURNING `+relationshipColumns, r.Member, r.NPI, r.Type, r.Source, r.ID, millis(r.Start), r.End, r.CreatedBy)
		if err != nil {
			return err
		}
		stored, err = pgx.CollectExactlyOneRow(rows, scanRelationship)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("enter relationship: %w", err)
	}
	return stored, nil
}

// ChangeRelationship gives a relationship a new period when it has not changed since the given moment, else it is KindConflict.
func (s *Store) ChangeRelationship(ctx context.Context, r models.Relationship, unchangedSince time.Time) (models.Relationship, error) {
	if err := r.Validate(); err != nil {
		return r, err
	}
	found, err := relationships(ctx, s.Pool, `UPDATE treatment_relationships AS r SET starts_at = $5, ends_at = coalesce($6, 'infinity'::timestamptz),
			created_by = $7, updated_at = clock_timestamp()
		WHERE member_id = $1 AND npi = $2 AND type = $3 AND source = $4 AND updated_at = $8 RETURNING `+relationshipColumns,
		r.Member, r.NPI, r.Type, r.Source, millis(r.Start), r.End, r.CreatedBy, unchangedSince)
	if err == nil && len(found) == 0 {
		err = errChanged()
	}
	if err != nil {
		return r, err
	}
	return found[0], nil
}

// Relationship returns one relationship. KindNotFound when there is none.
func (s *Store) Relationship(ctx context.Context, id string) (models.Relationship, error) {
	found, err := relationships(ctx, s.Pool, `SELECT `+relationshipColumns+` FROM treatment_relationships r WHERE id = $1`, id)
	if err == nil && len(found) == 0 {
		err = models.Errorf(models.KindNotFound, "no relationship has this id")
	}
	if err != nil {
		return models.Relationship{}, err
	}
	return found[0], nil
}

// DeleteRelationship takes a relationship off the list. KindNotFound when there is none, KindConflict when it has changed since
// the given moment, unless that is nil.
func (s *Store) DeleteRelationship(ctx context.Context, id string, unchangedSince *time.Time) error {
	tag, err := s.Pool.Exec(ctx, `DELETE FROM treatment_relationships WHERE id = $1 AND ($2::timestamptz IS NULL OR updated_at = $2)`, id, unchangedSince)
	if err != nil {
		return fmt.Errorf("delete relationship: %w", err)
	}
	if tag.RowsAffected() == 0 {
		if _, err := s.Relationship(ctx, id); err != nil {
			return err
		}
		return errChanged()
	}
	return nil
}

func errChanged() error {
	return models.Errorf(models.KindConflict, "it has been changed by somebody else; read it again").At("If-Match")
}

// RelationshipFilter narrows a list of relationships. What is not set does not matter.
type RelationshipFilter struct {
	Member *uuid.UUID
	NPI    string
	Source models.RelationshipSource
	After  string // continues after the relationship of that id
}

// Relationships lists relationships by id, at most limit of them.
func (s *Store) Relationships(ctx context.Context, f RelationshipFilter, limit int) ([]models.Relationship, error) {
	return relationships(ctx, s.Pool, `SELECT `+relationshipColumns+` FROM treatment_relationships r
		WHERE ($1::uuid IS NULL OR member_id = $1) AND ($2 = '' OR npi = $2) AND ($3 = '' OR source = $3) AND ($4::uuid IS NULL OR id > $4)
		ORDER BY id LIMIT $5`, f.Member, f.NPI, f.Source, nullID(f.After), limit)
}

// RelationshipsOf returns the relationships of members with any of the given NPIs, in one query.
func (s *Store) RelationshipsOf(ctx context.Context, members []uuid.UUID, npis []string) (map[uuid.UUID][]models.Relationship, error) {
	return relationshipsOf(ctx, s.Pool, members, npis)
}

func relationshipsOf(ctx context.Context, q querier, members []uuid.UUID, npis []string) (map[uuid.UUID][]models.Relationship, error) {
	list, err := relationships(ctx, q, `SELECT `+relationshipColumns+` FROM unnest($1::uuid[]) AS k(id)
		JOIN treatment_relationships r ON r.member_id = k.id WHERE r.npi = ANY($2)`, members, npis)
	if err != nil {
		return nil, err
	}
	out := map[uuid.UUID][]models.Relationship{}
	for _, r := range list {
		out[r.Member] = append(out[r.Member], r)
	}
	return out, nil
}

// Directory returns the directory's entries of the given NPIs, by NPI. Those it does not know are not in the map.
func (s *Store) Directory(ctx context.Context, npis []string) (map[string]models.Provider, error) {
	return directory(ctx, s.Pool, npis)
}

func directory(ctx context.Context, q querier, npis []string) (map[string]models.Provider, error) {
	rows, err := q.Query(ctx, `SELECT npi, kind, active, in_network, taxonomies, organizations, updated_at FROM providers WHERE npi = ANY($1)`, npis)
	if err != nil {
		return nil, fmt.Errorf("select providers: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Provider])
	if err != nil {
		return nil, fmt.Errorf("read providers: %w", err)
	}
	out := make(map[string]models.Provider, len(list))
	for _, p := range list {
		out[p.NPI] = p
	}
	return out, nil
}

const lineColumns = `code, name, payers, selectors, hide_opt_outs, treatment, lookback, updated_at`

func lines(ctx context.Context, q querier, sql string, args ...any) ([]models.LineOfBusiness, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("select lines of business: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.LineOfBusiness])
	if err != nil {
		return nil, fmt.Errorf("read lines of business: %w", err)
	}
	return out, nil
}

// Lines returns all lines of business by code. There are few of them.
func (s *Store) Lines(ctx context.Context) ([]models.LineOfBusiness, error) {
	return lines(ctx, s.Pool, `SELECT `+lineColumns+` FROM lines_of_business ORDER BY code`)
}

// maxLines bounds the lines of business, because decisions read them all.
const maxLines = 1000

// PutLine enters a line of business or replaces the one of its code, and returns what is stored. KindConflict when it has
// changed since the given moment, unless that is nil.
func (s *Store) PutLine(ctx context.Context, l models.LineOfBusiness, unchangedSince *time.Time) (stored models.LineOfBusiness, err error) {
	if err := l.Validate(); err != nil {
		return l, err
	}
	found, err := lines(ctx, s.Pool, `INSERT INTO lines_of_business AS l (code, name, payers, selectors, hide_opt_outs, treatment, lookback, updated_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, clock_timestamp()
		WHERE ($8::timestamptz IS NULL OR EXISTS (SELECT FROM lines_of_business WHERE code = $1)) AND (SELECT count(*) FROM lines_of_business) < $9
		ON CONFLICT (code) DO UPDATE SET name = excluded.name, payers = excluded.payers, selectors = excluded.selectors,
			hide_opt_outs = excluded.hide_opt_outs, treatment = excluded.treatment, lookback = excluded.lookback, updated_at = clock_timestamp()
		WHERE $8::timestamptz IS NULL OR l.updated_at = $8 RETURNING `+lineColumns,
		l.Code, l.Name, orEmpty(l.Payers), append([]models.LineSelector{}, l.Selectors...), l.HideOptOuts, l.Treatment, l.Lookback, unchangedSince, maxLines)
	if err != nil {
		return l, err
	}
	if len(found) == 0 {
		return l, errChanged()
	}
	return found[0], nil
}

// DeleteLine removes a line of business. KindNotFound when there is none, KindConflict for the default line, and when it has changed since
// the given moment, unless that is nil.
func (s *Store) DeleteLine(ctx context.Context, code string, unchangedSince *time.Time) error {
	if code == models.DefaultLine {
		return models.Errorf(models.KindConflict, "the default line of business always exists").At("code")
	}
	tag, err := s.Pool.Exec(ctx, `DELETE FROM lines_of_business WHERE code = $1 AND ($2::timestamptz IS NULL OR updated_at = $2)`, code, unchangedSince)
	if err != nil {
		return fmt.Errorf("delete line of business: %w", err)
	}
	if tag.RowsAffected() == 0 {
		if _, err := s.Line(ctx, code); err != nil {
			return err
		}
		return errChanged()
	}
	return nil
}

// Line returns one line of business. KindNotFound when there is none.
func (s *Store) Line(ctx context.Context, code string) (models.LineOfBusiness, error) {
	found, err := lines(ctx, s.Pool, `SELECT `+lineColumns+` FROM lines_of_business WHERE code = $1`, code)
	if err == nil && len(found) == 0 {
		err = models.Errorf(models.KindNotFound, "no line of business has this code")
	}
	if err != nil {
		return models.LineOfBusiness{}, err
	}
	return found[0], nil
}
