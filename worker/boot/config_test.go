package boot_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/worker/boot"
)

// minimal is the least a production process is started with.
func minimal() []string {
	return []string{
		"PDEX_DATABASE_URL=postgres://pdex:hunter2@db/pdex",
		"PDEX_BLOB_URL=s3://files?region=us-east-1",
		"PDEX_BASE_URL=https://fhir.example.org/r4",
		"PDEX_PAYLOAD_KEYS=" + key("a", 1),
		"HOME=/root",
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c, err := boot.Load(nil)
	require.NoError(t, err)
	require.False(t, c.Dev)
	require.Equal(t, "127.0.0.1:7233", c.Temporal.Address)
	require.Equal(t, "default", c.Temporal.Namespace)
	require.Equal(t, "pdex", c.Temporal.TaskQueue)
	require.Equal(t, "127.0.0.1:8080", c.HTTP.Listen)
	require.Equal(t, "127.0.0.1:8081", c.HTTP.HealthListen)
	require.Equal(t, boot.LogConfig{Level: "info", Format: "json"}, c.Log)
	require.Equal(t, 25*time.Second, c.ShutdownGrace)
	require.Equal(t, boot.WorkConfig{ExportConcurrency: 4}, c.Work)
	require.True(t, c.Database.Migrate)

	err = c.Check(boot.NeedAll)
	require.Error(t, err)
	for _, name := range []string{"PDEX_DATABASE_URL", "PDEX_BLOB_URL", "PDEX_BASE_URL", "PDEX_PAYLOAD_KEYS"} {
		require.ErrorContains(t, err, name+" is missing")
	}
	require.Len(t, strings.Split(err.Error(), "\n"), 4, "everything else has a safe default: %v", err)

	c, err = boot.Load(minimal())
	require.NoError(t, err)
	require.NoError(t, c.Check(boot.NeedAll))
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set  string
		want string // "" when it is fine
	}{
		"list of roots":           {"PDEX_IMPORT_ROOTS=/data/in,s3://drop?prefix=in,file:///srv", ""},
		"relative root":           {"PDEX_IMPORT_ROOTS=data/in", "PDEX_IMPORT_ROOTS"},
		"plain root":              {"PDEX_IMPORT_ROOTS=s3://drop?endpoint=http://minio", "PDEX_IMPORT_ROOTS"},
		"plain S3":                {"PDEX_BLOB_URL=s3://files?endpoint=http://minio:9000", "PDEX_BLOB_URL"},
		"plain S3 by switch":      {"PDEX_BLOB_URL=s3://files?disable_https=true", "PDEX_BLOB_URL"},
		"plain S3 by number":      {"PDEX_BLOB_URL=s3://files?disable_https=1", "PDEX_BLOB_URL"},
		"plain S3 in capitals":    {"PDEX_IMPORT_ROOTS=s3://files?disable_https=T", "PDEX_IMPORT_ROOTS"},
		"https endpoint":          {"PDEX_BLOB_URL=s3://files?endpoint=https://minio:9000", ""},
		"plain base":              {"PDEX_BASE_URL=http://fhir.example.org", "PDEX_BASE_URL"},
		"base with slash":         {"PDEX_BASE_URL=https://fhir.example.org/", "PDEX_BASE_URL"},
		"base with query":         {"PDEX_BASE_URL=https://fhir.example.org?", "PDEX_BASE_URL"},
		"base with user":          {"PDEX_BASE_URL=https://user:hunter2@fhir.example.org", "PDEX_BASE_URL"},
		"relative base":           {"PDEX_BASE_URL=/fhir", "PDEX_BASE_URL"},
		"half a client cert":      {"PDEX_TEMPORAL_TLS_CERT_FILE=/x", "PDEX_TEMPORAL_TLS_KEY_FILE"},
		"small headers":           {"PDEX_HEADER_BYTES=100", "PDEX_HEADER_BYTES"},
		"huge headers":            {"PDEX_HEADER_BYTES=2000000", "PDEX_HEADER_BYTES"},
		"no time for headers":     {"PDEX_HEADER_TIMEOUT=0s", "PDEX_HEADER_TIMEOUT"},
		"no time to idle":         {"PDEX_IDLE_TIMEOUT=-1s", "PDEX_IDLE_TIMEOUT"},
		"half a server cert":      {"PDEX_TLS_KEY_FILE=/x", "PDEX_TLS_CERT_FILE"},
		"address without a port":  {"PDEX_TEMPORAL_ADDRESS=temporal", "PDEX_TEMPORAL_ADDRESS"},
		"empty is not set":        {"PDEX_TASK_QUEUE=", ""},
		"bad keys":                {"PDEX_PAYLOAD_KEYS=a:hunter2", "PDEX_PAYLOAD_KEYS"},
		"no keys":                 {"PDEX_PAYLOAD_KEYS=", "PDEX_PAYLOAD_KEYS"},
		"bad level":               {"PDEX_LOG_LEVEL=loud", "PDEX_LOG_LEVEL"},
		"bad format":              {"PDEX_LOG_FORMAT=xml", "PDEX_LOG_FORMAT"},
		"no concurrency":          {"PDEX_EXPORT_CONCURRENCY=0", "PDEX_EXPORT_CONCURRENCY"},
		"no grace":                {"PDEX_SHUTDOWN_GRACE=0s", "PDEX_SHUTDOWN_GRACE"},
		"no patience":             {"PDEX_START_TIMEOUT=-1s", "PDEX_START_TIMEOUT"},
		"negative delay":          {"PDEX_DRAIN_DELAY=-1s", "PDEX_DRAIN_DELAY"},
		"UI origin":               {"PDEX_TEMPORAL_UI_ORIGIN=https://ui.example.org", ""},
		"UI origin with a path":   {"PDEX_TEMPORAL_UI_ORIGIN=https://ui.example.org/x", "PDEX_TEMPORAL_UI_ORIGIN"},
		"UI origin of everything": {"PDEX_TEMPORAL_UI_ORIGIN=*", "PDEX_TEMPORAL_UI_ORIGIN"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := boot.Load(append(minimal(), tt.set))
			require.NoError(t, err)
			err = c.Check(boot.NeedAll)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "\n", "one fault, one message")
		})
	}
}

func TestConfigDev(t *testing.T) {
	t.Parallel()
	c, err := boot.Load(append(minimal(), "PDEX_DEV=true", "PDEX_PAYLOAD_KEYS=", "PDEX_BASE_URL=http://127.0.0.1:8080/fhir",
		"PDEX_BLOB_URL=s3://files?endpoint=http://127.0.0.1:9000", "PDEX_TEMPORAL_UI_ORIGIN=http://127.0.0.1:8233"))
	require.NoError(t, err)
	require.NoError(t, c.Check(boot.NeedAll))
}

func TestConfigNeeds(t *testing.T) {
	t.Parallel()
	c, err := boot.Load([]string{"PDEX_BLOB_URL=file:///srv/files"})
	require.NoError(t, err)
	require.NoError(t, c.Check(boot.NeedBlob))
	require.ErrorContains(t, c.Check(boot.NeedBlob|boot.NeedDatabase), "PDEX_DATABASE_URL is missing")
}

type extra struct {
	Limit int `env:"PDEX_EXTRA_LIMIT" envDefault:"7" help:"a limit"`
	Nest  nested
}

type nested struct {
	Token boot.Secret `env:"PDEX_EXTRA_TOKEN" help:"a token"`
}

func TestLoadExtra(t *testing.T) {
	t.Parallel()
	var x extra
	_, err := boot.Load([]string{"PDEX_EXTRA_TOKEN=hunter2"}, &x)
	require.NoError(t, err)
	require.Equal(t, 7, x.Limit)
	require.Equal(t, "hunter2", x.Nest.Token.Reveal())

	all := boot.Describe(&x)
	require.Equal(t, []boot.Variable{
		{Name: "PDEX_EXTRA_LIMIT", Default: "7", Help: "a limit"},
		{Name: "PDEX_EXTRA_TOKEN", Help: "a token", Secret: true},
	}, all[len(all)-2:])
}

func TestLoadNamesTheVariable(t *testing.T) {
	t.Parallel()
	var x extra
	_, err := boot.Load([]string{"PDEX_EXTRA_LIMIT=hunter2"}, &x)
	require.EqualError(t, err, "PDEX_EXTRA_LIMIT: not a int")
	_, err = boot.Load([]string{"PDEX_SHUTDOWN_GRACE=hunter2", "PDEX_DEV=hunter2"})
	require.EqualError(t, err, "PDEX_DEV: not a bool\nPDEX_SHUTDOWN_GRACE: not a time.Duration")
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	seen := map[string]boot.Variable{}
	for _, v := range boot.Describe() {
		require.True(t, strings.HasPrefix(v.Name, "PDEX_"), v.Name)
		require.NotEmpty(t, v.Help, v.Name)
		require.NotContains(t, seen, v.Name)
		seen[v.Name] = v
	}
	for _, name := range []string{"PDEX_DATABASE_URL", "PDEX_TEMPORAL_API_KEY", "PDEX_PAYLOAD_KEYS", "PDEX_BLOB_URL"} {
		require.True(t, seen[name].Secret, name)
		require.Empty(t, seen[name].Default)
	}
	require.Equal(t, "25s", seen["PDEX_SHUTDOWN_GRACE"].Default)

	// Every variable described is one that Load reads.
	for name, v := range seen {
		_, err := boot.Load([]string{name + "=" + v.Default})
		require.NoError(t, err, name)
		require.Empty(t, boot.Unknown([]string{name + "=x"}))
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	environ := []string{"PDEX_DEV=1", "PDEX_DATABSE_URL=x", "PATH=/bin", "PDEX_EXTRA_LIMIT=1", "PDEX_A"}
	require.Equal(t, []string{"PDEX_A", "PDEX_DATABSE_URL", "PDEX_EXTRA_LIMIT"}, boot.Unknown(environ))
	require.Equal(t, []string{"PDEX_A", "PDEX_DATABSE_URL"}, boot.Unknown(environ, extra{}))
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	c, err := boot.Load(minimal())
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		out := fmt.Sprintf(verb, c)
		require.NotContains(t, out, "hunter2")
		require.NotContains(t, out, "68756e74657232")
	}
	out, err := json.Marshal(c)
	require.NoError(t, err)
	require.NotContains(t, string(out), "hunter2")
	require.Contains(t, string(out), "[redacted]")
	require.Contains(t, c.Database.URL.Reveal(), "hunter2")
}
