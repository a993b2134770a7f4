package blob_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/blob"
)

// tree makes files below a new folder: a name ending in a slash is a folder, "a -> b" a link.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		name, target, link := strings.Cut(name, " -> ")
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
		if link {
			require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
			continue
		}
		if strings.HasSuffix(name, "/") {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
			continue
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("content of "+filepath.Base(name)), 0o600))
	}
	return dir
}

func sourceNames(t *testing.T, found []blob.Source) []string {
	t.Helper()
	names := []string{}
	for _, s := range found {
		r, err := s.Open(t.Context())
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.EqualValues(t, len(b), s.Size)
		names = append(names, s.Name)
	}
	return names
}

func TestSourcesLocal(t *testing.T) {
	t.Parallel()
	dir := tree(t, "in/b.ndjson", "in/a.json", "in/sub/c d.json", "in/.hidden", "in/.git/x", "in/alias.json -> b.ndjson", "empty/", "outside")
	roots := []string{"/does-not-exist", "s3://other", filepath.Join(dir, "in"), "file://" + filepath.Join(dir, "empty")}

	for _, location := range []string{filepath.Join(dir, "in"), "file://" + dir + "/in", dir + "/in/", dir + "/in/../in"} {
		found, err := blob.Sources(t.Context(), location, roots)
		require.NoError(t, err)
		require.Equal(t, []string{"a.json", "alias.json", "b.ndjson", "sub/c d.json"}, sourceNames(t, found))
	}
	found, err := blob.Sources(t.Context(), filepath.Join(dir, "in/sub/c d.json"), roots)
	require.NoError(t, err)
	require.Equal(t, []string{"c d.json"}, sourceNames(t, found))
	found, err = blob.Sources(t.Context(), filepath.Join(dir, "empty"), roots)
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestSourcesRefuses(t *testing.T) {
	t.Parallel()
	dir := tree(t, "in/a", "in-too/a", "secret", "in/up -> ../secret", "alias -> in", "broken/dangling -> nowhere", "dirs/a/", "dirs/link -> a")
	in := filepath.Join(dir, "in")
	tests := map[string]struct {
		location string
		roots    []string
		want     models.Kind
	}{
		"no roots":             {in, nil, models.KindForbidden},
		"parent":               {dir, []string{in}, models.KindForbidden},
		"sibling":              {dir + "/in-too", []string{in}, models.KindForbidden},
		"dots":                 {in + "/../secret", []string{in}, models.KindForbidden},
		"missing outside":      {dir + "/none", []string{in}, models.KindForbidden},
		"missing inside":       {in + "/none", []string{in}, models.KindNotFound},
		"link out":             {in + "/up", []string{in}, models.KindForbidden},
		"folder with link out": {in, []string{in}, models.KindForbidden},
		"dangling link":        {dir + "/broken", []string{dir + "/broken"}, models.KindNotFound},
		"link to a folder":     {dir + "/dirs", []string{dir + "/dirs"}, models.KindInvalid},
		"relative":             {"in", []string{in}, models.KindInvalid},
		"other scheme":         {"https://example.org/x", []string{in}, models.KindInvalid},
		"file with host":       {"file://host" + in, []string{in}, models.KindInvalid},
		"NUL":                  {in + "\x00", []string{in}, models.KindInvalid},
		"empty":                {"", []string{in}, models.KindInvalid},
		"missing root":         {dir + "/gone/x", []string{dir + "/gone"}, models.KindForbidden},
		"s3 without root":      {"s3://bucket/x", []string{in, "s3://other"}, models.KindForbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := blob.Sources(t.Context(), tt.location, tt.roots)
			requireKind(t, tt.want, err)
			require.NotContains(t, err.Error(), dir)
		})
	}
	found, err := blob.Sources(t.Context(), dir+"/alias/a", []string{in})
	require.NoError(t, err, "a link to the inside is as good as the inside")
	require.Equal(t, []string{"a"}, sourceNames(t, found))
}

func TestSourcesRefusesPipes(t *testing.T) {
	t.Parallel()
	dir := tree(t, "a")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	_, err := blob.Sources(t.Context(), dir, []string{dir})
	requireKind(t, models.KindInvalid, err)
}

// TestSourcesSwappedLink replaces a listed file by a link out of the root: opening must not follow it.
func TestSourcesSwappedLink(t *testing.T) {
	t.Parallel()
	dir := tree(t, "in/a", "in/b", "secret")
	in := filepath.Join(dir, "in")
	found, err := blob.Sources(t.Context(), in, []string{in})
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.NoError(t, os.Remove(filepath.Join(in, "a")))
	require.NoError(t, os.Symlink("../secret", filepath.Join(in, "a")))
	require.NoError(t, os.Remove(filepath.Join(in, "b")))
	_, err = found[0].Open(t.Context())
	requireKind(t, models.KindForbidden, err)
	_, err = found[1].Open(t.Context())
	requireKind(t, models.KindNotFound, err)
}

func TestSourcesS3(t *testing.T) {
	t.Parallel()
	_, url := fakeS3(t, "drop")
	params := "?region=us-east-1&endpoint=" + url
	s := openURL(t, "s3://drop"+params)
	for _, k := range []string{"in/a.json", "in/sub/b.json", "in2/c.json", "top.json"} {
		put(t, s, k, k)
	}
	tests := map[string]struct {
		location, root string
		want           []string
		kind           models.Kind
	}{
		"folder":              {"s3://drop/in", "s3://drop" + params + "&prefix=in", []string{"a.json", "sub/b.json"}, ""},
		"folder, slash":       {"s3://drop/in/", "s3://drop" + params + "&prefix=in/", []string{"a.json", "sub/b.json"}, ""},
		"file":                {"s3://drop/in/sub/b.json", "s3://drop" + params + "&prefix=in", []string{"b.json"}, ""},
		"bucket":              {"s3://drop", "s3://drop" + params, []string{"in/a.json", "in/sub/b.json", "in2/c.json", "top.json"}, ""},
		"sibling of root":     {"s3://drop/in2", "s3://drop" + params + "&prefix=in", nil, models.KindForbidden},
		"above root":          {"s3://drop", "s3://drop" + params + "&prefix=in", nil, models.KindForbidden},
		"dots":                {"s3://drop/in/../in2", "s3://drop" + params + "&prefix=in", nil, models.KindInvalid},
		"missing":             {"s3://drop/in/none", "s3://drop" + params + "&prefix=in", nil, models.KindNotFound},
		"own server":          {"s3://drop/in?endpoint=http://evil.example", "s3://drop" + params, nil, models.KindInvalid},
		"own credentials":     {"s3://user:pw@drop/in", "s3://drop" + params, nil, models.KindInvalid},
		"bucket without root": {"s3://other/in", "s3://drop" + params, nil, models.KindForbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := blob.Sources(t.Context(), tt.location, []string{"/tmp", tt.root})
			if tt.kind != "" {
				requireKind(t, tt.kind, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, sourceNames(t, found))
		})
	}
}
