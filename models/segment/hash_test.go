package segment_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/segment"
)

// Hashes are stored, so they may never change. The values are those of XXH64 with seed 0.
func TestHashesAreStable(t *testing.T) {
	t.Parallel()
	require.Equal(t, uint64(0xef46db3751d8e999), segment.Hash(nil))
	require.Equal(t, uint64(0xd24ec4f1a98c6e5b), segment.Hash([]byte("a")))
	require.Equal(t, segment.Hash([]byte("a")), segment.Hash([]byte("a\n")))
	require.NotEqual(t, segment.Hash([]byte("a")), segment.Hash([]byte("a\n\n")))
	require.Equal(t, segment.Hash([]byte("Patient/1")), segment.IDHash("Patient", "1"))
	long := strings.Repeat("x", 500)
	require.Equal(t, segment.Hash([]byte("Patient/"+long)), segment.IDHash("Patient", long))
}

func TestIDHashAllocatesNothing(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, func() {
		segment.IDHash("ExplanationOfBenefit", "af5597a6-304d-4c8f-b596-60d17d445714")
	}))
}

func TestHashSetFindsWhatAMapFinds(t *testing.T) {
	t.Parallel()
	// Few different values, 0 among them, and values that meet in one slot.
	hash := rapid.OneOf(rapid.Uint64Range(0, 20), rapid.Map(rapid.Uint64Range(0, 9), func(v uint64) uint64 { return v << 32 }),
		rapid.Uint64())
	rapid.Check(t, func(t *rapid.T) {
		wanted, stored := rapid.SliceOf(hash).Draw(t, "set"), rapid.SliceOf(hash).Draw(t, "column")
		set, want := segment.NewHashSet(wanted), map[uint64]bool{}
		for _, h := range wanted {
			want[h] = true
		}
		require.Equal(t, len(want), set.Len())
		column := segment.AppendHashes(nil, stored...)
		require.Len(t, column, len(stored)*segment.HashLen)
		found := maps.Collect(set.In(append(column, 1, 2, 3)))
		for i, h := range stored {
			got, ok := found[i]
			require.Equal(t, want[h], ok)
			require.Equal(t, want[h], set.Has(h))
			if ok {
				require.Equal(t, h, got)
			}
		}
	})
}

func TestHashSetStopsWhenTold(t *testing.T) {
	t.Parallel()
	seen := 0
	for range segment.NewHashSet([]uint64{7}).In(segment.AppendHashes(nil, 7, 7, 7)) {
		seen++
		break
	}
	require.Equal(t, 1, seen)
}
