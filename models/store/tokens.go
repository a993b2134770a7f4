package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"pdexbulk/models"
)

// listenerLease is how long a process may check tokens from memory after it has last read the events, and thus how long a
// process that hangs can hold a revocation up.
const listenerLease = 3 * time.Second

// RevokeToken makes an access token void, for good. The record is kept until expires, when the token is void by itself.
func (s *Store) RevokeToken(ctx context.Context, tokenID string, expires time.Time) error {
	_, err := s.Pool.Exec(ctx, `INSERT INTO auth_events (token_id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, tokenID, expires)
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// TokenRevoked reports whether a token was revoked.
func (s *Store) TokenRevoked(ctx context.Context, tokenID string) (revoked bool, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM auth_events WHERE token_id = $1)`, tokenID).Scan(&revoked)
	if err != nil {
		return false, fmt.Errorf("look up token: %w", err)
	}
	return revoked, nil
}

// AwaitListeners returns when every process that checks tokens from memory knows of all events that are committed by now.
// One that does not answer holds it up until its lease has run out, after which it asks the database.
func (s *Store) AwaitListeners(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listenerLease+2*time.Second)
	defer cancel()
	var seq int64
	if err := s.Pool.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM auth_events`).Scan(&seq); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var behind bool
		err := s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM auth_listeners WHERE acked < $1 AND lease_until > clock_timestamp())`, seq).Scan(&behind)
		if err != nil {
			return fmt.Errorf("read listeners: %w", err)
		}
		if !behind {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("await listeners: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Listener reads the events for one process. It is used by one goroutine at a time and must be closed.
type Listener struct {
	id    string
	conn  *pgx.Conn
	acked int64
}

// Listen opens a listener with a connection of its own.
func (s *Store) Listen(ctx context.Context) (*Listener, error) {
	conn, err := pgx.ConnectConfig(ctx, s.Pool.Config().ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to listen: %w", err)
	}
	if _, err := conn.Exec(ctx, `LISTEN pdex_auth`); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &Listener{id: models.NewID(), conn: conn}, nil
}

// Read renews the lease and hands the events since the last call to apply, then tells that they are known. What apply keeps
// may be relied on for valid, counted from before the call. The first call hands over everything that is still of account.
//
// The lease is committed before the events are read: whoever commits one later sees the lease and waits for it, and whoever
// committed one earlier is read.
func (l *Listener) Read(ctx context.Context, apply func([]models.AuthEvent)) (valid time.Duration, err error) {
	if err := l.lease(ctx); err != nil {
		return 0, err
	}
	rows, err := l.conn.Query(ctx, `SELECT seq, coalesce(token_id, ''), coalesce(client_id, ''), expires_at FROM auth_events
		WHERE seq > $1 ORDER BY seq`, l.acked)
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.AuthEvent, error) {
		var e models.AuthEvent
		err := row.Scan(&e.Seq, &e.TokenID, &e.ClientID, &e.Expires)
		return e, err
	})
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	if len(events) > 0 {
		apply(events)
		l.acked = events[len(events)-1].Seq
		if err := l.lease(ctx); err != nil {
			return 0, err
		}
	}
	return listenerLease - time.Second, nil
}

func (l *Listener) lease(ctx context.Context) error {
	_, err := l.conn.Exec(ctx, `INSERT INTO auth_listeners (id, acked, lease_until) VALUES ($1, $2, clock_timestamp() + $3::interval)
		ON CONFLICT (id) DO UPDATE SET acked = EXCLUDED.acked, lease_until = EXCLUDED.lease_until`, l.id, l.acked, listenerLease)
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	return nil
}

// Wait returns when there are new events, or when ctx ends.
func (l *Listener) Wait(ctx context.Context) error {
	_, err := l.conn.WaitForNotification(ctx)
	return err
}

// Alive reports whether the connection can still be used.
func (l *Listener) Alive() bool { return !l.conn.IsClosed() }

// Close gives the lease up.
func (l *Listener) Close(ctx context.Context) {
	_, _ = l.conn.Exec(ctx, `DELETE FROM auth_listeners WHERE id = $1`, l.id) // else it runs out
	_ = l.conn.Close(ctx)
}

// PurgeAuth drops events, leases and initial access tokens that no longer matter at now.
func (s *Store) PurgeAuth(ctx context.Context, now time.Time) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM auth_events WHERE expires_at < $1`, now)
	batch.Queue(`DELETE FROM auth_listeners WHERE lease_until < $1`, now.Add(-time.Hour))
	batch.Queue(`DELETE FROM initial_tokens WHERE expires_at < $1`, now.AddDate(0, -1, 0))
	if err := s.Pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("purge tokens: %w", err)
	}
	return nil
}

// initialTokenRow is a row of initial_tokens as bun sees it.
type initialTokenRow struct {
	bun.BaseModel `bun:"table:initial_tokens,alias:t"`

	ID              string            `bun:",pk"`
	Hash            []byte            `bun:",notnull"`
	Note            string            `bun:",notnull"`
	Kind            models.ClientKind `bun:",notnull"`
	Organization    string            `bun:",notnull"`
	OrganizationIDs []string          `bun:"organization_ids,array,notnull"`
	Scopes          []string          `bun:",array,notnull"`
	UsesLeft        int               `bun:",notnull"`
	CreatedAt       time.Time         `bun:",notnull"`
	ExpiresAt       time.Time         `bun:",notnull"`
}

func (r initialTokenRow) token() models.InitialToken {
	return models.InitialToken{
		ID: r.ID, Hash: r.Hash, Note: r.Note, Kind: r.Kind, Organization: r.Organization, OrganizationIDs: r.OrganizationIDs,
		Scopes: r.Scopes, UsesLeft: r.UsesLeft, CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
	}
}

// AddInitialToken stores an initial access token. Returns KindInvalid for one that breaks models.InitialToken.Validate.
func (s *Store) AddInitialToken(ctx context.Context, t models.InitialToken) error {
	if err := t.Validate(); err != nil {
		return err
	}
	row := initialTokenRow{
		ID: t.ID, Hash: t.Hash, Note: t.Note, Kind: t.Kind, Organization: t.Organization, OrganizationIDs: orEmpty(t.OrganizationIDs),
		Scopes: orEmpty(t.Scopes), UsesLeft: t.UsesLeft, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt,
	}
	if _, err := s.DB.NewInsert().Model(&row).Exec(ctx); err != nil {
		return fmt.Errorf("store initial token: %w", err)
	}
	return nil
}

// InitialToken returns the initial access token of a hash that is good at now. Returns KindNotFound for one that is unknown, has
// expired or is used up.
func (s *Store) InitialToken(ctx context.Context, hash []byte, now time.Time) (models.InitialToken, error) {
	var row initialTokenRow
	err := s.DB.NewSelect().Model(&row).Where("t.hash = ?", hash).Where("t.expires_at > ?", now).Where("t.uses_left > 0").Scan(ctx)
	if noRows(err) {
		return models.InitialToken{}, models.Errorf(models.KindNotFound, "no such token")
	}
	if err != nil {
		return models.InitialToken{}, fmt.Errorf("read initial token: %w", err)
	}
	return row.token(), nil
}

// UseInitialToken counts a use of a token and reports whether there was one left at now.
func (s *Store) UseInitialToken(ctx context.Context, id string, now time.Time) (ok bool, err error) {
	tag, err := s.Pool.Exec(ctx, `UPDATE initial_tokens SET uses_left = uses_left - 1 WHERE id = $1 AND uses_left > 0 AND expires_at > $2`, id, now)
	if err != nil {
		return false, fmt.Errorf("use initial token: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// InitialTokens returns at most limit tokens in order of id, starting after the given id.
func (s *Store) InitialTokens(ctx context.Context, after string, limit int) ([]models.InitialToken, error) {
	var rows []initialTokenRow
	if err := s.DB.NewSelect().Model(&rows).Where("t.id > ?", after).Order("t.id").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list initial tokens: %w", err)
	}
	tokens := make([]models.InitialToken, len(rows))
	for i, row := range rows {
		tokens[i] = row.token()
	}
	return tokens, nil
}

// DeleteInitialToken takes a token back. Returns KindNotFound when there is none of that id.
func (s *Store) DeleteInitialToken(ctx context.Context, id string) error {
	tag, err := s.Pool.Exec(ctx, `DELETE FROM initial_tokens WHERE id = $1`, id)
	if err != nil {
		return fmt.Errorf("delete initial token: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return models.Errorf(models.KindNotFound, "no such token")
	}
	return nil
}
