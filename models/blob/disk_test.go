package blob_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/blob"
)

// diskFiles lists every file and every empty folder beneath dir, which may be changing, in the order of their names.
func diskFiles(t *testing.T, dir string) []string {
	t.Helper()
	found := []string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, dir), "/")
		if !e.IsDir() {
			found = append(found, rel)
			return nil
		}
		children, err := os.ReadDir(name)
		if err == nil && len(children) == 0 && rel != "" {
			found = append(found, rel+"/")
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

func TestDiskModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "files")
	s := openURL(t, "file://"+dir)
	put(t, s, "a/b", "x")
	for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, "a": fs.ModeDir | 0o700, "a/b": 0o600} {
		fi, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, fi.Mode(), name)
	}
}

func TestDiskLinksDoNotLeadOut(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	s := openURL(t, "file://"+dir)
	_, err := s.Open(t.Context(), "link/secret")
	requireKind(t, models.KindUnavailable, err)
	_, err = s.Create(t.Context(), "link/new")
	requireKind(t, models.KindUnavailable, err)
	require.Error(t, s.Delete(t.Context(), "link/secret"))
	require.NoError(t, s.DeletePrefix(t.Context(), "link"))
	require.FileExists(t, filepath.Join(outside, "secret"))
	require.Empty(t, keys(t, s, ""))
}

func TestDiskKeyIsFileOrFolder(t *testing.T) {
	t.Parallel()
	s, _ := openDisk(t)
	put(t, s, "a", "x")
	_, err := s.Create(t.Context(), "a/b")
	requireKind(t, models.KindUnavailable, err)
	put(t, s, "c/d", "x")
	w, err := s.Create(t.Context(), "c")
	require.NoError(t, err)
	requireKind(t, models.KindUnavailable, w.Commit())
	require.Equal(t, []string{"a", "c/d"}, keys(t, s, ""))
}

func TestDiskCannotSign(t *testing.T) {
	t.Parallel()
	s, _ := openDisk(t)
	_, err := s.SignedURL(t.Context(), "a", time.Minute, blob.Headers{})
	require.ErrorIs(t, err, blob.ErrNotSupported)
}

func TestDiskOpensFiles(t *testing.T) {
	t.Parallel()
	s, _ := openDisk(t)
	put(t, s, "a", "x")
	o, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	require.IsType(t, (*os.File)(nil), o.ReadSeekCloser, "for sendfile")
	require.NoError(t, o.Close())
}

// The benchmarks write 1 GiB in pieces of a megabyte: through the store, and as plainly as a program can with an fsync.
const benchSize = 1 << 30

func BenchmarkDiskWrite(b *testing.B) {
	s, err := blob.Open(b.Context(), "file://"+b.TempDir())
	require.NoError(b, err)
	piece := make([]byte, 1<<20)
	b.SetBytes(benchSize)
	for b.Loop() {
		w, err := s.Create(b.Context(), "a/b/c")
		require.NoError(b, err)
		for range benchSize / len(piece) {
			_, err := w.Write(piece)
			require.NoError(b, err)
		}
		require.NoError(b, w.Commit())
		require.NoError(b, s.Delete(b.Context(), "a/b/c"))
	}
}

func BenchmarkPlainWrite(b *testing.B) {
	name := filepath.Join(b.TempDir(), "c")
	piece := make([]byte, 1<<20)
	b.SetBytes(benchSize)
	for b.Loop() {
		f, err := os.Create(name)
		require.NoError(b, err)
		for range benchSize / len(piece) {
			_, err := f.Write(piece)
			require.NoError(b, err)
		}
		require.NoError(b, f.Sync())
		require.NoError(b, f.Close())
		require.NoError(b, os.Remove(name))
	}
}

// BenchmarkDiskSmallCommit is the price of durability: one small object, its file and four folders synced.
func BenchmarkDiskSmallCommit(b *testing.B) {
	s, err := blob.Open(b.Context(), "file://"+b.TempDir())
	require.NoError(b, err)
	for b.Loop() {
		w, err := s.Create(b.Context(), "a/b/c/d")
		require.NoError(b, err)
		_, err = io.WriteString(w, "x")
		require.NoError(b, err)
		require.NoError(b, w.Commit())
	}
}
