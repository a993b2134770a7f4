package e2e

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// gates is what makes a database hold work where a test wants it: a trigger on each table in which progress is marked,
// that waits for a lock while a row of test_gates tells it to. The mark is then about to be made, and what it stands for,
// such as a chunk's file, has been made.
const gates = `
CREATE TABLE test_gates (client text, place text, after bigint NOT NULL, key bigint NOT NULL, PRIMARY KEY (client, place));
CREATE FUNCTION test_gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	wait bigint;
	who text := 'import';
	passed bigint := 0;
BEGIN
	IF NOT EXISTS (SELECT FROM test_gates WHERE place = TG_TABLE_NAME) THEN
		RETURN NEW;
	END IF;
	IF TG_TABLE_NAME NOT LIKE 'import%' THEN
		SELECT client_id INTO who FROM jobs WHERE id = NEW.job_id;
	END IF;
	CASE TG_TABLE_NAME
	WHEN 'export_chunks' THEN SELECT count(*) INTO passed FROM export_chunks WHERE job_id = NEW.job_id AND attempt IS NOT NULL;
	WHEN 'match_slices' THEN SELECT count(*) INTO passed FROM match_slices WHERE job_id = NEW.job_id AND done;
	WHEN 'import_files' THEN SELECT count(*) INTO passed FROM import_files WHERE import_id = NEW.import_id AND scanned;
	WHEN 'import_buckets' THEN SELECT count(*) INTO passed FROM import_buckets WHERE import_id = NEW.import_id;
	ELSE
	END CASE;
	SELECT key INTO wait FROM test_gates WHERE client = who AND place = TG_TABLE_NAME AND passed >= after;
	IF FOUND THEN
		PERFORM pg_advisory_xact_lock_shared(wait);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER test_gate BEFORE UPDATE ON export_chunks FOR EACH ROW EXECUTE FUNCTION test_gate();
CREATE TRIGGER test_gate BEFORE UPDATE ON match_slices FOR EACH ROW EXECUTE FUNCTION test_gate();
CREATE TRIGGER test_gate BEFORE UPDATE ON import_files FOR EACH ROW EXECUTE FUNCTION test_gate();
CREATE TRIGGER test_gate BEFORE INSERT OR UPDATE ON import_buckets FOR EACH ROW EXECUTE FUNCTION test_gate();
CREATE TRIGGER test_gate BEFORE INSERT ON job_files FOR EACH ROW EXECUTE FUNCTION test_gate();
`

// The places a gate can stand at, by the table in which the progress is marked.
const (
	atScan    = "import_files"   // a file of an import is scanned and spilled
	atMerge   = "import_buckets" // a batch of an import is merged
	atChunk   = "export_chunks"  // a chunk's blob is written
	atSlice   = "match_slices"   // a slice's people are decided
	atPublish = "job_files"      // everything is written, the job is about to be completed
)

// byImport is the client of gates for imports, of which a system runs one at a time.
const byImport = "import"

var gateKeys atomic.Int64

// gate holds the work of one client at one place.
type gate struct {
	t     *testing.T
	r     *running
	conn  *pgx.Conn // its session has the lock
	key   int64
	where []any // client, place
}

// hold closes a gate: whoever of the client's gets to the place once `after` others have passed it waits there. Open it, or
// the end of the test will.
func (r *running) hold(t *testing.T, client, place string, after int) *gate {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.Stack.DatabaseURL)
	require.NoError(t, err)
	g := &gate{t: t, r: r, conn: conn, key: gateKeys.Add(1), where: []any{client, place}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(noCancel(t), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx) // with it the lock goes
	})
	_, err = conn.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, g.key)
	require.NoError(t, err)
	_, err = r.db.Exec(t.Context(), `INSERT INTO test_gates VALUES ($1, $2, $3, $4)`, client, place, after, g.key)
	require.NoError(t, err)
	return g
}

// reached waits until somebody waits at the gate.
func (g *gate) reached() {
	g.t.Helper()
	eventually(g.t, time.Minute, "nobody came to the gate", func() bool {
		return g.r.waiting(g.t, `locktype = 'advisory' AND objid = $1`, g.key)
	})
}

// open lets everybody through from now on.
func (g *gate) open() {
	g.t.Helper()
	g.forget()
	require.NoError(g.t, g.conn.Close(g.t.Context()))
}

// forget opens a gate whose lock went with its session, when the database was stopped.
func (g *gate) forget() {
	g.t.Helper()
	_, err := g.r.db.Exec(g.t.Context(), `DELETE FROM test_gates WHERE client = $1 AND place = $2`, g.where...)
	require.NoError(g.t, err)
}

// waiting reports whether a session waits for a lock of the given kind.
func (r *running) waiting(t *testing.T, which string, args ...any) bool {
	t.Helper()
	var found bool
	err := r.db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND `+which+`)`, args...).Scan(&found)
	require.NoError(t, err)
	return found
}

// bar keeps everybody from reading a table until the returned function is called.
func (r *running) bar(t *testing.T, table string) (waited, open func()) {
	t.Helper()
	tx, err := r.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(noCancel(t)) }) // a no-op once it is open
	_, err = tx.Exec(t.Context(), `LOCK TABLE `+pgx.Identifier{table}.Sanitize()+` IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	waited = func() {
		t.Helper()
		eventually(t, time.Minute, "nobody read "+table, func() bool {
			return r.waiting(t, `locktype = 'relation' AND relation = $1::regclass`, table)
		})
	}
	return waited, func() {
		t.Helper()
		require.NoError(t, tx.Rollback(t.Context()))
	}
}
