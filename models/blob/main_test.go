package blob_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/blob"
)

// TestMain gives the AWS client the credentials it looks for in the environment, and keeps it from looking elsewhere.
func TestMain(m *testing.M) {
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID":           "test",
		"AWS_SECRET_ACCESS_KEY":       "test",
		"AWS_EC2_METADATA_DISABLED":   "true",
		"AWS_CONFIG_FILE":             "/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		if err := os.Setenv(k, v); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// backend is one kind of store under test.
type backend struct {
	name string
	// open makes an empty store and a check that nothing unfinished is left in it.
	open func(t *testing.T) (blob.Store, func(t *testing.T) []string)
	// hollow opens a store whose folder or bucket does not exist any more.
	hollow func(t *testing.T) blob.Store
}

func backends() []backend {
	return []backend{
		{name: "disk", open: openDisk, hollow: hollowDisk},
		{name: "s3", open: openS3, hollow: hollowS3},
	}
}

func openURL(t *testing.T, url string) blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func openDisk(t *testing.T) (blob.Store, func(t *testing.T) []string) {
	t.Helper()
	dir := t.TempDir()
	return openURL(t, "file://"+dir), func(t *testing.T) []string {
		t.Helper()
		return diskFiles(t, dir)
	}
}

func hollowDisk(t *testing.T) blob.Store {
	t.Helper()
	dir := t.TempDir() + "/files"
	s := openURL(t, "file://"+dir)
	require.NoError(t, os.Remove(dir))
	return s
}

// fakeS3 starts an S3 server in this process and returns it with its address.
func fakeS3(t *testing.T, buckets ...string) (*s3mem.Backend, string) {
	t.Helper()
	mem := s3mem.New()
	for _, b := range buckets {
		require.NoError(t, mem.CreateBucket(b))
	}
	srv := httptest.NewServer(gofakes3.New(mem, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(srv.Close)
	return mem, srv.URL
}

func openS3(t *testing.T) (blob.Store, func(t *testing.T) []string) {
	t.Helper()
	mem, url := fakeS3(t, "files")
	return openURL(t, "s3://files?region=us-east-1&prefix=some/where&endpoint="+url), func(t *testing.T) []string {
		t.Helper()
		return bucketFiles(t, mem, url)
	}
}

func hollowS3(t *testing.T) blob.Store {
	t.Helper()
	_, url := fakeS3(t)
	return openURL(t, "s3://files?region=us-east-1&endpoint="+url)
}

func requireKind(t *testing.T, want models.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, want, models.KindOf(err), "%v", err)
}
