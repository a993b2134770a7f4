package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

func TestUpsertProvider(t *testing.T) {
	t.Parallel()
	s := openClients(t)
	_, err := s.Provider(t.Context(), "1234567893")
	require.Equal(t, models.KindNotFound, models.KindOf(err))

	want := models.Provider{
		NPI: "1234567893", Kind: models.ProviderIndividual, Active: true, InNetwork: true,
		Taxonomies: []string{"207Q00000X", "208D00000X"}, Organizations: []string{"1245319599"},
	}
	stored, err := s.UpsertProvider(t.Context(), want)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), stored.UpdatedAt, time.Minute)
	read, err := s.Provider(t.Context(), want.NPI)
	require.NoError(t, err)
	require.Equal(t, stored, read)
	want.UpdatedAt = read.UpdatedAt
	require.Equal(t, want, read)

	changed := models.Provider{NPI: want.NPI, Kind: models.ProviderOrganization}
	stored, err = s.UpsertProvider(t.Context(), changed)
	require.NoError(t, err)
	require.Greater(t, stored.UpdatedAt, read.UpdatedAt)
	read, err = s.Provider(t.Context(), want.NPI)
	require.NoError(t, err)
	require.Equal(t, stored, read)
	require.Empty(t, read.Taxonomies)

	_, err = s.UpsertProvider(t.Context(), models.Provider{NPI: "1234567890", Kind: models.ProviderIndividual})
	require.Equal(t, models.KindInvalid, models.KindOf(err))
}
