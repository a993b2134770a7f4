package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/folder"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		out          string
		major, minor int
		ok           bool
	}{
		{"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", 15, 18, true},
		{"postgres (PostgreSQL) 17.0\n", 17, 0, true},
		{"postgres (PostgreSQL) 19beta1\n", 19, 0, true},
		{"psql (PostgreSQL) 15.18\n", 0, 0, false},
		{"", 0, 0, false},
	}
	for _, tt := range tests {
		major, minor, err := parseVersion(tt.out)
		require.Equal(t, tt.ok, err == nil, tt.out)
		require.Equal(t, []int{tt.major, tt.minor}, []int{major, minor}, tt.out)
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)")
	f.Add("postgres (PostgreSQL) 19beta1")
	f.Fuzz(func(t *testing.T, out string) {
		major, minor, err := parseVersion(out)
		require.True(t, major >= 0 && minor >= 0)
		if err != nil {
			require.Zero(t, major+minor)
		}
	})
}

func TestChoose(t *testing.T) {
	t.Parallel()
	found := []Binaries{{"/18", 18, 1}, {"/15b", 15, 18}, {"/15a", 15, 2}}
	empty, made15, made14 := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, version := range map[string]string{made15: "15\n", made14: "14\n"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte(version), 0o600))
	}
	b, err := Choose(found, empty)
	require.NoError(t, err)
	require.Equal(t, "/18", b.Dir)
	b, err = Choose(found, made15)
	require.NoError(t, err)
	require.Equal(t, "/15b", b.Dir)
	_, err = Choose(found, made14)
	require.ErrorContains(t, err, "Postgres 14, which is not installed")
	_, err = Choose(nil, made15)
	require.ErrorIs(t, err, ErrNoBinaries)
}

func TestSharedFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "open")
	require.NoError(t, os.Mkdir(dir, 0o755))
	_, err := private(dir, nil)
	require.ErrorContains(t, err, "not a folder of one user alone")
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(t.TempDir(), link))
	_, err = private(link, nil)
	require.ErrorContains(t, err, "not a folder of one user alone")
}

// The path of the cluster is longer than a socket address may be, initdb was cut short before, and the password needs
// quoting.
func TestServer(t *testing.T) {
	t.Parallel()
	found := Find(t.Context())
	if len(found) == 0 {
		require.NotEqual(t, "true", os.Getenv("CI"), "no Postgres is installed")
		t.Skip("no Postgres is installed")
	}
	scratch, err := folder.NewScratch(folder.Temp(), "pdex-postgres-test-")
	require.NoError(t, err)
	defer scratch.Remove(t.Context()) //nolint:errcheck // it goes with the process
	parent := filepath.Join(scratch.Path, strings.Repeat("long", 25))
	require.NoError(t, os.Mkdir(parent, 0o711))
	dir := filepath.Join(parent, "pg")
	home, err := openCluster(dir)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(home.base, "data.new"), 0o700))
	log, err := os.Create(filepath.Join(scratch.Path, "log"))
	require.NoError(t, err)
	defer log.Close()

	s, err := Start(t.Context(), Config{
		Binaries: found[0], Dir: dir, Password: `it's "p@ss\word`, Ephemeral: true, Log: log,
		Settings: map[string]string{"work_mem": "5MB"}, Inherit: []*os.File{scratch.Hold()},
	})
	require.NoError(t, err)
	require.Empty(t, s.TCPURL(""), "no port was asked for")
	conn, err := pgx.Connect(t.Context(), s.URL(""))
	require.NoError(t, err)
	defer conn.Close(t.Context())

	for name, want := range map[string]string{
		"fsync": "off", "jit": "off", "work_mem": "5MB", "listen_addresses": "", "max_connections": "200",
		"max_wal_size": "4GB", "shared_buffers": "128MB", "is_superuser": "off",
	} {
		var got string
		require.NoError(t, conn.QueryRow(t.Context(), "select current_setting($1)", name).Scan(&got))
		require.Equal(t, want, got, name)
	}
	_, err = conn.Exec(t.Context(), "create table t (name text primary key); insert into t values ('Secretname')")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "insert into t values ('Secretname')")
	require.ErrorContains(t, err, "duplicate key")

	wrong := *s
	wrong.password = "wrong"
	_, err = pgx.Connect(t.Context(), wrong.URL(""))
	require.ErrorContains(t, err, "password authentication failed", "nobody is trusted for being on this machine")

	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, os.Remove(s.socket), "the short folder for the socket")
	logged, err := os.ReadFile(log.Name())
	require.NoError(t, err)
	require.Contains(t, string(logged), "duplicate key")
	require.NotContains(t, string(logged), "Secretname")
}
