package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// departures returns what left the members and is not back.
func (m *MergeTx) departures(ids []uuid.UUID) ([]Departure, error) {
	rows, err := m.tx.Query(m.ctx, `SELECT member_id, type, resource_id, left_at, class, home_id FROM departures
		WHERE member_id = ANY($1) AND back_at = 'infinity'`, ids)
	if err != nil {
		return nil, fmt.Errorf("select departures: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Departure])
	if err != nil {
		return nil, fmt.Errorf("read departures: %w", err)
	}
	return out, nil
}

// writeDepartures notes what is back, and what has left. Who had a resource before follows where it goes from there.
func (m *Merge) writeDepartures(ctx context.Context, tx pgx.Tx) error {
	b := &pgx.Batch{}
	for _, d := range m.Return {
		b.Queue(`UPDATE departures SET back_at = $4 WHERE member_id = $1 AND type = $2 AND resource_id = $3 AND back_at = 'infinity'`,
			d.Member, d.Type, d.ResourceID, m.At)
	}
	for _, d := range m.Depart {
		b.Queue(`UPDATE departures SET home_id = $3 WHERE type = $1 AND resource_id = $2 AND back_at = 'infinity'`, d.Type, d.ResourceID, d.Home)
		b.Queue(`INSERT INTO departures (member_id, type, resource_id, left_at, class, home_id) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (member_id, type, resource_id, left_at) DO UPDATE SET class = excluded.class, home_id = excluded.home_id, back_at = excluded.back_at`,
			d.Member, d.Type, d.ResourceID, d.LeftAt, int16(d.Class), d.Home)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write departures: %w", err)
	}
	return nil
}
