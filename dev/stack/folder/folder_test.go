package folder_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/child"
	"pdexbulk/dev/stack/folder"
)

func TestLockLastsAsLongAsItsLastHolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := folder.Lock(path)
	require.NoError(t, err)
	_, err = folder.Lock(path)
	require.ErrorIs(t, err, folder.ErrLocked)

	p, err := child.Start(child.Command{Name: "holder", Path: "/bin/sleep", Args: []string{"600"}, Inherit: []*os.File{lock}})
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	_, err = folder.Lock(path)
	require.ErrorIs(t, err, folder.ErrLocked, "the child has it")

	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = folder.WaitLock(soon, path, nil)
	require.ErrorIs(t, err, folder.ErrLocked)

	waited := 0
	lock, err = folder.WaitLock(t.Context(), path, func() {
		waited++
		require.NoError(t, p.Kill())
	})
	require.NoError(t, err)
	require.Equal(t, 1, waited)
	require.NoError(t, lock.Close())
}

func TestScratchGoesWithItsLastHolder(t *testing.T) {
	t.Parallel()
	s, err := folder.NewScratch(folder.Temp(), "pdex-folder-test-")
	require.NoError(t, err)
	require.True(t, folder.Reachable(s.Path))
	require.NoError(t, os.WriteFile(filepath.Join(s.Path, "something"), nil, 0o600))
	p, err := child.Start(child.Command{Name: "holder", Path: "/bin/sleep", Args: []string{"600"}, Inherit: []*os.File{s.Hold()}})
	require.NoError(t, err)

	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Remove(soon), context.DeadlineExceeded)
	require.DirExists(t, s.Path)

	require.NoError(t, p.Kill())
	require.NoError(t, s.Remove(t.Context()))
	require.NoDirExists(t, s.Path)
}

func TestScratchSweepsWhatIsOldAndUnheld(t *testing.T) {
	t.Parallel()
	const prefix = "pdex-sweep-test-"
	aged := func(age time.Duration) string {
		path, err := os.MkdirTemp(folder.Temp(), prefix)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(path)) })
		lock, err := folder.Lock(filepath.Join(path, "lock"))
		require.NoError(t, err)
		require.NoError(t, lock.Close())
		then := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(path, then, then))
		return path
	}
	old, held, young := aged(25*time.Hour), aged(25*time.Hour), aged(23*time.Hour)
	lock, err := folder.Lock(filepath.Join(held, "lock"))
	require.NoError(t, err)
	defer lock.Close()

	s, err := folder.NewScratch(folder.Temp(), prefix)
	require.NoError(t, err)
	require.NoError(t, s.Remove(t.Context()))
	require.NoDirExists(t, old)
	require.DirExists(t, held)
	require.DirExists(t, young)
}

func TestReachable(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp(folder.Temp(), "pdex-reach-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	inner := filepath.Join(root, "inner")
	require.NoError(t, os.Mkdir(inner, 0o711))

	require.False(t, folder.Reachable(inner), "the outer folder is closed")
	require.NoError(t, os.Chmod(root, 0o701))
	require.True(t, folder.Reachable(inner))
	require.NoError(t, os.Chmod(inner, 0o700))
	require.False(t, folder.Reachable(inner))
	require.False(t, folder.Reachable(filepath.Join(root, "absent")))
}

func TestKeyed(t *testing.T) {
	t.Parallel()
	first := folder.Keyed("x-", "/a")
	require.Equal(t, first, folder.Keyed("x-", "/a"))
	require.NotEqual(t, folder.Keyed("x-", "/a"), folder.Keyed("x-", "/b"))
}
