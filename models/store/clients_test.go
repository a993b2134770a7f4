package store_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/pgtest"
	"pdexbulk/models"
	"pdexbulk/models/store"
)

var clientTestNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openClients(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), pgtest.New(t, store.Migrate))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func testClient(id string) models.Client {
	return models.Client{
		ID: id, Name: "Client " + id, Kind: models.ClientProvider, Organization: "O'Hara & Söhne",
		OrganizationIDs: []string{"http://hl7.org/fhir/sid/us-npi|1234567893", `urn:x|{"a,b"}`},
		Scopes:          []string{"system/*.rs", "system/Patient.read"},
		JWKS:            json.RawMessage(`{"keys": []}`),
		Active:          true, ValueBased: true,
	}
}

func TestUpsertClient(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	_, err := s.Client(t.Context(), "a")
	require.Equal(t, models.KindNotFound, models.KindOf(err))

	want := testClient("a")
	stored, err := s.UpsertClient(t.Context(), want)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), stored.CreatedAt, time.Minute)
	read, err := s.Client(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, stored, read)
	want.CreatedAt, want.UpdatedAt, want.Origin = read.CreatedAt, read.UpdatedAt, models.OriginAdmin
	want.Requested, want.Contacts = []string{}, []string{}
	require.Equal(t, want, read)

	changed := read
	changed.JWKS, changed.JWKSURL = nil, "https://client.example/jwks.json"
	changed.Active, changed.ValueBased, changed.Kind = false, false, models.ClientBackend
	changed.OrganizationIDs, changed.Scopes, changed.Organization = nil, nil, ""
	stored, err = s.UpsertClient(t.Context(), changed)
	require.NoError(t, err)
	require.Equal(t, read.CreatedAt, stored.CreatedAt)
	require.True(t, stored.UpdatedAt.After(read.UpdatedAt))
	read, err = s.Client(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, read.Active)
	require.False(t, read.ValueBased)
	require.Empty(t, read.JWKS)
	require.Empty(t, read.Scopes)
	require.Empty(t, read.OrganizationIDs)
	require.Equal(t, "https://client.example/jwks.json", read.JWKSURL)

	changed.ID = "bad id"
	_, err = s.UpsertClient(t.Context(), changed)
	require.Equal(t, models.KindInvalid, models.KindOf(err))
	for _, id := range []string{"", "bad id", "a\x00", "a'; DROP TABLE clients; --"} {
		_, err = s.Client(t.Context(), id)
		require.Equal(t, models.KindNotFound, models.KindOf(err), id)
	}
}

func TestClientsPages(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	for i := range 7 {
		_, err := s.UpsertClient(t.Context(), testClient(fmt.Sprintf("c%d", 6-i)))
		require.NoError(t, err)
	}
	var seen []string
	after := ""
	for {
		page, err := s.Clients(t.Context(), after, 3)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		require.LessOrEqual(t, len(page), 3)
		for _, c := range page {
			seen = append(seen, c.ID)
		}
		after = page[len(page)-1].ID
	}
	require.Equal(t, []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6"}, seen)
}

func TestUseAssertionOnce(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	expires := clientTestNow.Add(5 * time.Minute)
	var fresh atomic.Int32
	var wg sync.WaitGroup
	errs := make(chan error, 32)
	for range 32 {
		wg.Go(func() {
			ok, err := s.UseAssertion(t.Context(), "a", "j", expires, clientTestNow)
			errs <- err
			if ok {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, fresh.Load())
	ok, err := s.UseAssertion(t.Context(), "b", "j", expires, clientTestNow)
	require.NoError(t, err)
	require.True(t, ok, "a jti is a client's own")
}

func TestUseAssertionPurges(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	use := func(jti string, at time.Time) bool {
		ok, err := s.UseAssertion(t.Context(), "a", jti, at.Add(5*time.Minute), at)
		require.NoError(t, err)
		return ok
	}
	count := func() (n int) {
		require.NoError(t, s.Pool.QueryRow(t.Context(), "SELECT count(*) FROM used_assertions").Scan(&n))
		return n
	}
	for i := range 40 {
		require.True(t, use(fmt.Sprint(i), clientTestNow))
	}
	require.True(t, use("later", clientTestNow.Add(5*time.Minute)))
	require.Equal(t, 41, count(), "nothing is dropped at its last moment")
	after := clientTestNow.Add(5*time.Minute + time.Second)
	for i := range 3 {
		require.True(t, use(fmt.Sprint("x", i), after))
	}
	require.Equal(t, 4, count(), "what expired is gone, what lives is not")
	require.False(t, use("later", after))
}

func TestAddSigningKey(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	key := func(kid string, at time.Time) models.SigningKey {
		return models.SigningKey{KID: kid, Alg: "ES384", Private: []byte(kid), CreatedAt: at, NotAfter: at.Add(25 * time.Hour)}
	}
	add := func(k models.SigningKey) bool {
		added, err := s.AddSigningKey(t.Context(), k, k.CreatedAt.Add(-24*time.Hour))
		require.NoError(t, err)
		return added
	}
	kids := func(at time.Time) (kids []string) {
		keys, err := s.SigningKeys(t.Context(), at)
		require.NoError(t, err)
		for _, k := range keys {
			kids = append(kids, k.KID)
		}
		return kids
	}
	var added atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if add(key(fmt.Sprint("k", i), clientTestNow)) {
				added.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, added.Load(), "those who start together make one key")
	first := kids(clientTestNow)
	require.Len(t, first, 1)
	require.False(t, add(key("early", clientTestNow.Add(23*time.Hour))))
	require.True(t, add(key("next", clientTestNow.Add(24*time.Hour))))
	require.Equal(t, []string{"next", first[0]}, kids(clientTestNow.Add(24*time.Hour)), "the newest first")
	require.Equal(t, []string{"next"}, kids(clientTestNow.Add(25*time.Hour)))
	require.True(t, add(key("third", clientTestNow.Add(48*time.Hour))))
	require.Equal(t, []string{"third", "next"}, kids(clientTestNow), "the first was dropped")
}
