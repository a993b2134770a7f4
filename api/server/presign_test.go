package server_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/api/server"
	"pdexbulk/worker/boot"
)

// Signed URLs that the file store cannot make, or that no client could use, are refused when the api starts.
func TestPresignIsChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		life time.Duration
		blob boot.Secret
		want string // "" when it is fine
	}{
		{0, "file:///srv/files", ""},
		{0, "s3://files", ""},
		{time.Hour, "s3://files?region=us-east-1", ""},
		{7 * 24 * time.Hour, "s3://files", ""},
		{time.Hour, "file:///srv/files", "PDEX_BLOB_URL is not s3://"},
		{-time.Hour, "s3://files", "not within"},
		{time.Millisecond, "s3://files", "not within"},
		{8 * 24 * time.Hour, "s3://files", "not within"},
	} {
		p := &boot.Process{Log: slog.New(slog.DiscardHandler), Health: boot.NewHealth(time.Second)}
		p.Config.Dev = true
		p.Config.HTTP.BaseURL = "https://payer.example/fhir"
		p.Config.Blob.URL = tc.blob
		cfg := new(server.Config)
		_, err := boot.Load([]string{"PDEX_PRESIGN=" + tc.life.String()}, cfg)
		require.NoError(t, err)
		_, _, err = server.Handler(p, cfg)
		if tc.want == "" {
			require.NoError(t, err, "%s %s", tc.life, tc.blob.Reveal())
			continue
		}
		require.ErrorContains(t, err, "PDEX_PRESIGN")
		require.ErrorContains(t, err, tc.want)
	}
}
