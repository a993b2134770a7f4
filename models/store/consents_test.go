package store_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/store"
)

// What stands about some members is found by reading their own consents, also while the first match stores so many that Postgres does not
// know how many there are: it keeps a plan that was made when there were none.
func TestStandingReadsOwnConsents(t *testing.T) {
	t.Parallel()
	s := open(t)
	const slice, requester = 500, "http://hl7.org/fhir/sid/us-npi|0123456789"
	exec(t, s, `VACUUM (ANALYZE) consents`)
	conn, err := s.Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	for range 8 {
		members := make([]uuid.UUID, slice)
		for i := range members {
			members[i] = uuid.New()
		}
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		rows, err := tx.Query(t.Context(), store.StandingSQL, members, []string{requester}, noon)
		require.NoError(t, err)
		found, err := pgx.CollectRows(rows, pgx.RowToMap)
		require.NoError(t, err)
		require.Empty(t, found)
		var read int
		require.NoError(t, tx.QueryRow(t.Context(), `SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'consents'`).Scan(&read))
		require.Zero(t, read, "nobody of them has a consent")
		require.NoError(t, tx.Rollback(t.Context()))
		exec(t, s, `INSERT INTO consents (id, member_id, requester, client_id, job_id, idx, state, reason, policy, given_at, submitted_at, revoked_at, document)
			SELECT gen_random_uuid(), id, $2, 'client', $3, n, CASE WHEN n % 10 > 0 THEN 'active' ELSE 'revoked' END, '', 'regular', $4, $4,
			CASE WHEN n % 10 = 0 THEN $4::timestamptz END, '' FROM unnest($1::uuid[]) WITH ORDINALITY AS k(id, n)`, members, requester, models.NewID(), noon)
	}
}
