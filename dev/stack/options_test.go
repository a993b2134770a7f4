package stack

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOptionsAndEnvironment(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		options Options
		env     map[string]string
		want    Options
		wantErr string
	}{
		{
			name:    "environment fills in",
			options: Options{Dir: "/d"},
			env:     map[string]string{"PDEX_DATABASE_URL": "postgres://e", "PDEX_TEMPORAL_ADDRESS": "e:1", "PDEX_POSTGRES_PORT": "1", "PDEX_TEMPORAL_PORT": "2", "PDEX_TEMPORAL_UI_PORT": "65535"},
			want:    Options{Dir: "/d", DatabaseURL: "postgres://e", TemporalAddress: "e:1", PostgresPort: 1, TemporalPort: 2, TemporalUIPort: 65535},
		},
		{
			name:    "options go first",
			options: Options{Dir: "/d", DatabaseURL: "postgres://o", TemporalAddress: "o:1", PostgresPort: 9},
			env:     map[string]string{"PDEX_DATABASE_URL": "postgres://e", "PDEX_TEMPORAL_ADDRESS": "e:1", "PDEX_POSTGRES_PORT": "1"},
			want:    Options{Dir: "/d", DatabaseURL: "postgres://o", TemporalAddress: "o:1", PostgresPort: 9},
		},
		{name: "not a port", options: Options{Dir: "/d"}, env: map[string]string{"PDEX_TEMPORAL_PORT": "70000"}, wantErr: "PDEX_TEMPORAL_PORT is not a port number"},
		{name: "no port", options: Options{Dir: "/d"}, env: map[string]string{"PDEX_POSTGRES_PORT": "0"}, wantErr: "PDEX_POSTGRES_PORT is not a port number"},
		{name: "ephemeral and kept", options: Options{Dir: "/d", Ephemeral: true}, wantErr: "takes no folder"},
		{name: "ephemeral", options: Options{Ephemeral: true}, want: Options{Ephemeral: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.options.Getenv = func(name string) string { return tt.env[name] }
			got, err := tt.options.complete()
			if tt.wantErr != "" {
				require.ErrorContains(t, err, tt.wantErr)
				return
			}
			require.NoError(t, err)
			got.Getenv, got.Out = nil, nil
			require.Equal(t, tt.want, got)
		})
	}
}

func TestStateIsKeptInTheRepository(t *testing.T) {
	t.Parallel()
	root, err := Root()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "dev", "stack", "options_test.go"))
	got, err := Options{Getenv: func(string) string { return "" }}.complete()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "dev", ".state"), got.Dir)
}

func TestPort(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close() // again, when the test fails before
	taken := l.Addr().(*net.TCPAddr).Port

	_, err = port(taken, 0, "THE_PORT")
	require.ErrorContains(t, err, "asked for with THE_PORT, is taken")
	got, err := port(0, taken, "")
	require.NoError(t, err)
	require.NotEqual(t, taken, got, "the usual port is taken: any other will do")
	require.True(t, free(got))

	require.NoError(t, l.Close())
	for _, asked := range []bool{true, false} {
		if asked {
			got, err = port(taken, 0, "")
		} else {
			got, err = port(0, taken, "")
		}
		require.NoError(t, err)
		require.Equal(t, taken, got)
	}
}

func TestLogIsPutAsideWhenLarge(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.log")
	for range 2 {
		f, err := openLog(path)
		require.NoError(t, err)
		_, err = f.WriteString("a")
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 2, info.Size(), "appended to")
	require.NoError(t, os.Truncate(path, logLimit+1))
	f, err := openLog(path)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	info, err = os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Size())
	require.FileExists(t, path+".old")
}

func TestUsableVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		out  string
		want bool
	}{
		{"temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)\n", true},
		{"temporal version 1.5.0-rc.1 (Server 1.29.0, UI 2.41.0)\n", true},
		{"temporal version 1.10.0 (Server 1.33.0, UI 2.60.0)\n", true},
		{"temporal version 2.0.0 (Server 2.0.0, UI 3.0.0)\n", true},
		{"temporal version 1.4.1 (Server 1.28.0, UI 2.39.0)\n", false},
		{"temporal version 0.0.0-DEV (Server 1.29.1, UI 2.42.1)\n", true},
		{"temporal version 0.0.0-DEV (Server 1.28.2, UI 2.42.1)\n", false},
		{"temporal version 0.13.2 (server 1.24.2) (ui 2.28.0)\n", false},
		{"", false},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, usableVersion(tt.out), tt.out)
	}
}

func FuzzUsableVersion(f *testing.F) {
	f.Add("temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)")
	f.Add("temporal version 0.0.0-DEV (Server 1.29.1, UI 2.42.1)")
	f.Fuzz(func(t *testing.T, out string) {
		if usableVersion(out) {
			require.Regexp(t, `^temporal version \d`, out)
		}
	})
}
