package blob_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/blob"
)

var badKeys = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", ".hidden", "a/.tmp-1", "a b", "a\\b", "a\x00b",
	"a\nb", "é", "a%2fb", "a:b", "a*", "~", strings.Repeat("a", 256), strings.Repeat("a/", 256) + "a",
}

func TestValidKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"a", "A-Z_a.z/0", "exports/0190f1c2-7c1e-7abc-8def-0123456789ab/Patient-1.ndjson.gz", "a..b", strings.Repeat("a", 255),
		strings.Repeat("a/", 255) + "ab",
	} {
		require.True(t, blob.ValidKey(key), key)
	}
	for _, key := range badKeys {
		require.False(t, blob.ValidKey(key), key)
	}
}

func FuzzValidKey(f *testing.F) {
	for _, key := range append(badKeys, "a", "a/b.c") {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if !blob.ValidKey(key) {
			return
		}
		require.True(t, filepath.IsLocal(key))
		require.Equal(t, key, filepath.Clean(key))
		require.LessOrEqual(t, len(key), blob.MaxKey)
		require.NotContains(t, "/"+key, "/.")
	})
}

func TestOpenRefusesURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "/var/lib", "file:relative", "file://host/path", "http://bucket", "s3://", "s3://bucket/key", "s3://bucket?prefix=../x",
		"s3://bucket?prefix=a b", "s3://bucket?nonsense=1", "mem://", "%zz",
	} {
		_, err := blob.Open(t.Context(), url)
		requireKind(t, models.KindInvalid, err)
	}
	_, err := blob.Open(t.Context(), "file://"+t.TempDir()+"/missing/parent")
	requireKind(t, models.KindUnavailable, err)
}
