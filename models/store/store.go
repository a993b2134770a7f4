// Package store is the only place that speaks SQL. It holds the schema (embedded migrations), the packed segments and
// their indexes, the member index, jobs, groups, rosters and the file lists of finished exports.
//
// Small rows go through bun; anything that moves in bulk (segments, COPY, cursors) goes through pgx directly, which reads
// a bytea without copying it. Both share one pool. The package decides nothing: callers pass the instant, the caller and
// the limits in, and get rows or a models.Error back.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/migrate"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the advisory lock key that keeps two processes from migrating one database at once.
const migrationLock = 0x70646578 // "pdex"

// Store gives access to one database. It is safe for concurrent use.
type Store struct {
	Pool *pgxpool.Pool
	DB   *bun.DB
}

// Open connects to the database at dsn (a pgx URL or key=value string). It does not migrate.
func Open(ctx context.Context, dsn string) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("parse the database URL: malformed") // the cause would show the password
	}
	if _, ok := cfg.ConnConfig.RuntimeParams["application_name"]; !ok {
		cfg.ConnConfig.RuntimeParams["application_name"] = "pdex"
	}
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.MaxConns = max(cfg.MaxConns, 16)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	db := bun.NewDB(stdlib.OpenDBFromPool(pool), pgdialect.New(), bun.WithDiscardUnknownColumns())
	return &Store{Pool: pool, DB: db}, nil
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.Pool.Ping(ctx) }

// Close releases every connection.
func (s *Store) Close() {
	_ = s.DB.Close()
	s.Pool.Close()
}

// Migrate brings the database at dsn to the schema this binary was built with. Processes that start together take turns
// on an advisory lock that dies with its session, so a crash leaves nothing locked.
func Migrate(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	migrations := migrate.NewMigrations()
	if err := migrations.Discover(migrationFiles); err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	sqldb := stdlib.OpenDB(*conn.Config().Copy())
	defer sqldb.Close()
	migrator := migrate.NewMigrator(bun.NewDB(sqldb, pgdialect.New()), migrations, migrate.WithMarkAppliedOnSuccess(true))
	if err := migrator.Init(ctx); err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if _, err := migrator.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// inTx runs fn in a transaction of the given isolation and rolls back when fn or the commit fails.
func (s *Store) inTx(ctx context.Context, opts pgx.TxOptions, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.Pool, opts, fn)
}

// noRows reports whether err says that a query found nothing.
func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) || errors.Is(err, pgx.ErrNoRows) }

// millis cuts an instant to the precision FHIR instants are stored with.
func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
