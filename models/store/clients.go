package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"pdexbulk/models"
)

// clientRow is a row of clients as bun sees it.
type clientRow struct {
	bun.BaseModel `bun:"table:clients,alias:c"`

	ID              string            `bun:",pk"`
	Name            string            `bun:",notnull"`
	Kind            models.ClientKind `bun:",notnull"`
	Organization    string            `bun:",notnull"`
	OrganizationIDs []string          `bun:"organization_ids,array,notnull"`
	Scopes          []string          `bun:",array,notnull"`
	JWKS            json.RawMessage   `bun:"jwks,type:jsonb,nullzero"`
	JWKSURL         string            `bun:"jwks_url,notnull"`
	Active          bool              `bun:",notnull"`
	ValueBased      bool              `bun:",notnull"`

	Origin           models.ClientOrigin `bun:",notnull"`
	Requested        []string            `bun:",array,notnull"`
	Contacts         []string            `bun:",array,notnull"`
	Issuer           string              `bun:",notnull"`
	Community        string              `bun:",notnull"`
	RegistrationHash []byte              `bun:",nullzero"`
	CancelledAt      *time.Time
	Generation       int64 `bun:",notnull"`

	CreatedAt time.Time `bun:",notnull"`
	UpdatedAt time.Time `bun:",notnull"`
}

func (r clientRow) client() models.Client {
	return models.Client{
		ID: r.ID, Name: r.Name, Kind: r.Kind,
		Organization: r.Organization, OrganizationIDs: r.OrganizationIDs, Scopes: r.Scopes,
		JWKS: r.JWKS, JWKSURL: r.JWKSURL, Active: r.Active, ValueBased: r.ValueBased,
		Origin: r.Origin, Requested: r.Requested, Contacts: r.Contacts, Issuer: r.Issuer, Community: r.Community,
		RegistrationHash: r.RegistrationHash, CancelledAt: r.CancelledAt, Generation: r.Generation,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

func newClientRow(c models.Client) clientRow {
	if c.Origin == "" {
		c.Origin = models.OriginAdmin
	}
	return clientRow{
		ID: c.ID, Name: c.Name, Kind: c.Kind,
		Organization: c.Organization, OrganizationIDs: orEmpty(c.OrganizationIDs), Scopes: orEmpty(c.Scopes),
		JWKS: c.JWKS, JWKSURL: c.JWKSURL, Active: c.Active, ValueBased: c.ValueBased,
		Origin: c.Origin, Requested: orEmpty(c.Requested), Contacts: orEmpty(c.Contacts), Issuer: c.Issuer, Community: c.Community,
		RegistrationHash: c.RegistrationHash, CancelledAt: c.CancelledAt,
	}
}

// changeable are the columns that a change of a registration may change. Where it came from stays.
var changeable = []string{
	"name", "kind", "organization", "organization_ids", "scopes", "jwks", "jwks_url", "active", "value_based", "requested", "contacts",
	"cancelled_at",
}

// UpsertClient registers a client or replaces the registration with the same id, and returns what is stored. CreatedAt
// and UpdatedAt are the database's and in no need of being set; so is Generation, which goes up when an active client is
// made inactive, so that its tokens never come back. Returns KindInvalid for a registration that breaks
// models.Client.Validate.
func (s *Store) UpsertClient(ctx context.Context, c models.Client) (models.Client, error) {
	if err := c.Validate(); err != nil {
		return models.Client{}, err
	}
	row := newClientRow(c)
	q := s.DB.NewInsert().Model(&row).
		// clock_timestamp, not now(): two writes in one transaction must differ, since UpdatedAt tells versions apart.
		Value("created_at", "clock_timestamp()").
		Value("updated_at", "clock_timestamp()").
		On("CONFLICT (id) DO UPDATE")
	for _, column := range changeable {
		q = q.Set("? = EXCLUDED.?", bun.Ident(column), bun.Ident(column))
	}
	q = q.Set("updated_at = EXCLUDED.updated_at").
		Set("generation = c.generation + (c.active AND NOT EXCLUDED.active)::int")
	if err := q.Returning("*").Scan(ctx); err != nil {
		return models.Client{}, fmt.Errorf("store client: %w", err)
	}
	return row.client(), nil
}

// AddClient registers a client under an id that nobody has. Returns KindConflict when the id is taken, or when a UDAP client of
// the same issuer and community is registered, and KindInvalid as UpsertClient does.
func (s *Store) AddClient(ctx context.Context, c models.Client) (models.Client, error) {
	if err := c.Validate(); err != nil {
		return models.Client{}, err
	}
	row := newClientRow(c)
	err := s.DB.NewInsert().Model(&row).Value("created_at", "clock_timestamp()").Value("updated_at", "clock_timestamp()").
		On("CONFLICT DO NOTHING").Returning("*").Scan(ctx)
	if noRows(err) {
		return models.Client{}, models.Errorf(models.KindConflict, "there is such a client already")
	}
	if err != nil {
		return models.Client{}, fmt.Errorf("add client: %w", err)
	}
	return row.client(), nil
}

// ChangeClient replaces a registration that is still as it was read: c is a client that was read from the store and changed.
// Returns KindConflict when somebody changed it in between, and KindInvalid as UpsertClient does.
func (s *Store) ChangeClient(ctx context.Context, c models.Client) (models.Client, error) {
	if err := c.Validate(); err != nil {
		return models.Client{}, err
	}
	row := newClientRow(c)
	err := s.DB.NewUpdate().Model(&row).Column(changeable...).
		Set("updated_at = clock_timestamp()").
		Set("generation = c.generation + (c.active AND NOT ?)::int", c.Active).
		Where("c.id = ?", c.ID).Where("c.updated_at = ?", c.UpdatedAt).Returning("*").Scan(ctx)
	if noRows(err) {
		return models.Client{}, models.Errorf(models.KindConflict, "the registration was changed in between; read it again")
	}
	if err != nil {
		return models.Client{}, fmt.Errorf("change client: %w", err)
	}
	return row.client(), nil
}

// VoidTokens makes every token of a client void that was issued so far. Returns KindNotFound when there is no such client.
func (s *Store) VoidTokens(ctx context.Context, clientID string) error {
	res, err := s.DB.NewUpdate().TableExpr("clients").Set("generation = generation + 1").Set("updated_at = clock_timestamp()").
		Where("id = ?", clientID).Exec(ctx)
	if err != nil {
		return fmt.Errorf("void tokens: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return models.Errorf(models.KindNotFound, "no such client")
	}
	return nil
}

// UDAPClient returns the client that registered with a software statement of an issuer within a trust community and has not
// given that up. Returns KindNotFound when there is none.
func (s *Store) UDAPClient(ctx context.Context, issuer, community string) (models.Client, error) {
	var row clientRow
	err := s.DB.NewSelect().Model(&row).Where("c.origin = ?", models.OriginUDAP).Where("c.issuer = ?", issuer).
		Where("c.community = ?", community).Where("c.cancelled_at IS NULL").Scan(ctx)
	if noRows(err) {
		return models.Client{}, models.Errorf(models.KindNotFound, "no such client")
	}
	if err != nil {
		return models.Client{}, fmt.Errorf("read client: %w", err)
	}
	return row.client(), nil
}

// orEmpty keeps a nil list from being stored as NULL.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// Client returns the registered client with the given id, active or not. Returns KindNotFound when there is none.
func (s *Store) Client(ctx context.Context, id string) (models.Client, error) {
	if !models.ValidClientID(id) {
		return models.Client{}, models.Errorf(models.KindNotFound, "no such client")
	}
	var row clientRow
	err := s.DB.NewSelect().Model(&row).Where("c.id = ?", id).Scan(ctx)
	if noRows(err) {
		return models.Client{}, models.Errorf(models.KindNotFound, "no such client")
	}
	if err != nil {
		return models.Client{}, fmt.Errorf("read client: %w", err)
	}
	return row.client(), nil
}

// Clients returns at most limit clients in order of id, starting after the given id ("" starts at the first).
func (s *Store) Clients(ctx context.Context, after string, limit int) ([]models.Client, error) {
	var rows []clientRow
	if err := s.DB.NewSelect().Model(&rows).Where("c.id > ?", after).Order("c.id").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list clients: %w", err)
	}
	clients := make([]models.Client, len(rows))
	for i, row := range rows {
		clients[i] = row.client()
	}
	return clients, nil
}

// purgeAssertions is how many expired assertions one UseAssertion drops at most: more than it adds, so that the table
// shrinks back to what is live, and few enough to cost nothing.
const purgeAssertions = 16

// UseAssertion records that an assertion was used and reports whether this was the first time. Any number of processes
// may ask at once about the same one: one of them is told true. The record is kept until expires; now is the caller's
// clock, by which expired records are dropped.
func (s *Store) UseAssertion(ctx context.Context, clientID, jti string, expires, now time.Time) (fresh bool, err error) {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO used_assertions (client_id, jti, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		clientID, jti, expires)
	batch.Queue(`DELETE FROM used_assertions WHERE ctid IN (
		SELECT ctid FROM used_assertions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
		now, purgeAssertions)
	results := s.Pool.SendBatch(ctx, batch)
	inserted, err := results.Exec()
	if err != nil {
		return false, fmt.Errorf("record assertion: %w", closing(results, err))
	}
	if err := results.Close(); err != nil {
		return false, fmt.Errorf("purge assertions: %w", err)
	}
	return inserted.RowsAffected() == 1, nil
}

// closing gives the connection back and keeps the error that ended the batch.
func closing(results pgx.BatchResults, err error) error {
	_ = results.Close()
	return err
}

// SigningKeys returns the server keys that are valid at now, the newest first.
func (s *Store) SigningKeys(ctx context.Context, now time.Time) ([]models.SigningKey, error) {
	rows, err := s.Pool.Query(ctx, `SELECT kid, alg, private_key, created_at, not_after FROM signing_keys
		WHERE not_after > $1 ORDER BY created_at DESC, kid`, now)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.SigningKey, error) {
		var k models.SigningKey
		err := row.Scan(&k.KID, &k.Alg, &k.Private, &k.CreatedAt, &k.NotAfter)
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return keys, nil
}

// signingKeyLock is the advisory lock under which processes take turns at adding a signing key.
const signingKeyLock = 0x7064_6b79 // "pdky"

// AddSigningKey stores a new server key unless one made after newerThan is there already, and reports whether it did.
// Processes that start, or find the key too old, at the same moment take turns, so that one of them adds a key. Keys
// that expired before the new one was made are dropped.
func (s *Store) AddSigningKey(ctx context.Context, key models.SigningKey, newerThan time.Time) (added bool, err error) {
	err = s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, signingKeyLock); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO signing_keys (kid, alg, private_key, created_at, not_after)
			SELECT $1, $2, $3, $4, $5
			WHERE NOT EXISTS (SELECT FROM signing_keys WHERE created_at > $6 AND not_after > $4)`,
			key.KID, key.Alg, key.Private, key.CreatedAt, key.NotAfter, newerThan)
		if err != nil {
			return err
		}
		added = tag.RowsAffected() == 1
		_, err = tx.Exec(ctx, `DELETE FROM signing_keys WHERE not_after < $1`, key.CreatedAt)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("add signing key: %w", err)
	}
	return added, nil
}
