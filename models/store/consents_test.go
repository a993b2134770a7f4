package store_test

import (
	"testing"
	"time"

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

// One payer is known by several numbers, and not each of its clients by all of them: what was said to one is said to the others.
func TestStandingOfOneWithSeveralNumbers(t *testing.T) {
	t.Parallel()
	s := open(t)
	m := hold(t, s, "a")[0]
	start, end := noon.AddDate(0, -1, 0), noon.AddDate(1, 0, 0)
	const npi, tax, other = "http://hl7.org/fhir/sid/us-npi|1982947230", "urn:oid:2.16.840.1.113883.4.4|12-3456789", "urn:another|1"
	submit := func(at time.Time, state store.ConsentState, requesters ...string) {
		job := newMatch(t, s, 1)
		c := store.Consent{
			ID: uuid.New(), Member: m, Requester: requesters[0], Requesters: requesters, ClientID: "client", JobID: job.ID, State: state, Policy: "regular",
			Start: &start, End: &end, Given: &start, SubmittedAt: at, SettledAt: at,
		}
		if state == store.ConsentRevoked {
			c.RevokedAt, c.ClosedAt, c.Policy = &at, &at, ""
		}
		require.NoError(t, s.SaveOutcomes(t.Context(), job.ID, 0, []store.Outcome{{Outcome: store.OutcomeConstrained, Member: &m}}, c))
	}
	standing := func(requester ...string) store.Standing {
		said, err := s.Standing(t.Context(), []uuid.UUID{m}, requester, noon)
		require.NoError(t, err)
		return said[m]
	}
	submit(noon, store.ConsentActive, tax)
	submit(noon.Add(time.Minute), store.ConsentActive, npi, tax)
	require.Equal(t, 1, count(t, s, "consents WHERE state = 'active'"))
	require.NotNil(t, standing(tax).Current)
	submit(noon.Add(time.Hour), store.ConsentRevoked, npi, tax)
	for _, known := range [][]string{{npi, tax}, {tax}, {npi}, {other, tax}} {
		said := standing(known...)
		require.Nil(t, said.Current, known)
		require.NotNil(t, said.RevokedAt, known)
		require.True(t, said.Revoked(noon), known)
	}
	require.Equal(t, store.Standing{}, standing(other))
	require.Equal(t, 0, count(t, s, "consents WHERE state = 'active'"))
}
