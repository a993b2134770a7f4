package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"pdexbulk/dev/stack/postgres"
)

var errNoServer = errors.New("TEST_DATABASE_URL is not set and no Postgres is installed: install postgresql, or name a server")

// databasePrefix begins the name of every database made here. The process's key and a number follow.
const databasePrefix = "pdextest_"

// hosted is this process's use of a server. Its databases are named by a key, and an advisory lock on that key tells
// other processes that it lives: databases whose key nobody holds are left over and are dropped by whoever comes next.
type hosted struct {
	server *url.URL
	key    uint64
	lock   *pgx.Conn // holds the advisory lock for as long as the process lives
	pool   *pgxpool.Pool
	how    string // clause of "create database"
	count  atomic.Int64

	mu        sync.Mutex
	templates map[uintptr]func() (string, error)
}

// host finds or starts the server on first use. It outlives the test that was first, so no test's context bounds it.
var host = sync.OnceValues(func() (*hosted, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := os.Getenv("TEST_DATABASE_URL")
	if server == "" {
		// Never stopped: the server ends and its folder goes with this process.
		local, err := start(ctx)
		if errors.Is(err, postgres.ErrNoBinaries) {
			return nil, errNoServer
		}
		if err != nil {
			return nil, err
		}
		server = local.url
	}
	return open(ctx, server)
})

// open connects to a server, announces this process and drops what processes that are gone left behind.
func open(ctx context.Context, server string) (*hosted, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, errors.New("TEST_DATABASE_URL is not a postgres:// URL") // url.Error would print a password
	}
	h := &hosted{server: u, templates: map[uintptr]func() (string, error){}}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never errs
	h.key = binary.BigEndian.Uint64(random[:])
	if h.lock, err = pgx.Connect(ctx, server); err != nil {
		return nil, fmt.Errorf("connect to the test server: %w", err)
	}
	if _, err := h.lock.Exec(ctx, "select pg_advisory_lock($1)", int64(h.key)); err != nil { // the bits count
		return nil, fmt.Errorf("announce this process: %w", err)
	}
	var durable bool
	if err := h.lock.QueryRow(ctx, "select current_setting('fsync')::bool").Scan(&durable); err != nil {
		return nil, fmt.Errorf("look at the test server: %w", err)
	}
	if !durable {
		h.how = " strategy file_copy" // twice as fast, unless its checkpoints have to reach a disk
	}
	if h.pool, err = pgxpool.New(ctx, server); err != nil {
		return nil, fmt.Errorf("connect to the test server: %w", err)
	}
	return h, h.sweep(ctx)
}

// template returns the name of the database migrate has worked on.
func (h *hosted) template(migrate func(ctx context.Context, dsn string) error) (string, error) {
	if migrate == nil {
		return "template1", nil
	}
	code := reflect.ValueOf(migrate).Pointer()
	h.mu.Lock()
	once, ok := h.templates[code]
	if !ok {
		// The first test in does the work, the others wait for it, and none of their contexts may cut it short.
		once = sync.OnceValues(func() (string, error) { return h.makeTemplate(context.Background(), migrate) })
		h.templates[code] = once
	}
	h.mu.Unlock()
	return once()
}

func (h *hosted) makeTemplate(ctx context.Context, migrate func(ctx context.Context, dsn string) error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	name, err := h.clone(ctx, "template1")
	if err != nil {
		return "", err
	}
	if err := migrate(ctx, h.dsn(name)); err != nil {
		return "", fmt.Errorf("migrate the template: %w", err)
	}
	// A database somebody is connected to cannot be cloned.
	if _, err := h.pool.Exec(ctx, "alter database "+name+" allow_connections false"); err != nil {
		return "", fmt.Errorf("close the template: %w", err)
	}
	return name, nil
}

// clone makes a database from a template.
func (h *hosted) clone(ctx context.Context, template string) (string, error) {
	name := fmt.Sprintf("%s%016x_%d", databasePrefix, h.key, h.count.Add(1))
	if _, err := h.pool.Exec(ctx, "create database "+name+" template "+template+h.how); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return name, nil
}

// drop drops a database, cutting connections the test forgot.
func (h *hosted) drop(ctx context.Context, name string) error {
	if _, err := h.pool.Exec(ctx, "drop database if exists "+name+" with (force)"); err != nil {
		return fmt.Errorf("drop database: %w", err)
	}
	return nil
}

// dsn is the URL of a database on the server.
func (h *hosted) dsn(name string) string {
	u := *h.server
	u.Path = "/" + name
	return u.String()
}

// sweep drops the databases of processes that are gone.
func (h *hosted) sweep(ctx context.Context) error {
	rows, err := h.lock.Query(ctx, "select datname from pg_database where starts_with(datname, $1)", databasePrefix)
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	for _, name := range names {
		key, ok := keyOf(name)
		if !ok || key == h.key {
			continue
		}
		if err := h.dropUnheld(ctx, name, int64(key)); err != nil { // the bits count
			return err
		}
	}
	return nil
}

// dropUnheld drops a database unless the process it belongs to lives.
func (h *hosted) dropUnheld(ctx context.Context, name string, key int64) error {
	var free bool
	if err := h.lock.QueryRow(ctx, "select pg_try_advisory_lock($1)", key).Scan(&free); err != nil {
		return fmt.Errorf("look for the owner of a database: %w", err)
	}
	if !free {
		return nil
	}
	err := h.drop(ctx, name)
	if _, unlockErr := h.lock.Exec(ctx, "select pg_advisory_unlock($1)", key); err == nil && unlockErr != nil {
		err = fmt.Errorf("let go of the owner of a database: %w", unlockErr)
	}
	return err
}

// keyOf reads the process's key from the name of a database.
func keyOf(name string) (uint64, bool) {
	rest, ok := strings.CutPrefix(name, databasePrefix)
	hex, _, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || len(hex) != 16 {
		return 0, false
	}
	key, err := strconv.ParseUint(hex, 16, 64)
	return key, err == nil
}
