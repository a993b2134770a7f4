package blob_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/blob"
)

// bucketFiles lists the keys of all objects and of all unfinished uploads in the bucket, but for Ping's.
func bucketFiles(t *testing.T, mem *s3mem.Backend, url string) []string {
	t.Helper()
	objects, err := mem.ListBucket("files", &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	require.NoError(t, err)
	found := []string{}
	for _, o := range objects.Contents {
		if !strings.HasSuffix(o.Key, ".ping") {
			found = append(found, o.Key)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/files?uploads", http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	var uploads struct {
		Code   string
		Upload []struct{ Key string }
	}
	require.NoError(t, xml.NewDecoder(resp.Body).Decode(&uploads))
	if resp.StatusCode != http.StatusOK {
		require.Equal(t, "NoSuchUpload", uploads.Code, "this server's answer when there never was one")
	}
	for _, u := range uploads.Upload {
		found = append(found, u.Key)
	}
	for i := range found {
		require.True(t, strings.HasPrefix(found[i], "some/where/"), "the store stays within its prefix")
		found[i] = strings.TrimPrefix(found[i], "some/where/")
	}
	slices.Sort(found)
	return found
}

func TestS3SignedURL(t *testing.T) {
	t.Parallel()
	s, _ := openS3(t)
	put(t, s, "a/b", "content")
	signed, err := s.SignedURL(t.Context(), "a/b", time.Minute, blob.Headers{ContentType: "application/fhir+ndjson", ContentEncoding: "gzip"})
	require.NoError(t, err)
	for _, part := range []string{
		"/files/some/where/a/b?", "X-Amz-Expires=60", "X-Amz-Signature=", "response-content-encoding=gzip",
		"response-content-type=application%2Ffhir%2Bndjson",
	} {
		require.Contains(t, signed, part)
	}
	plain, err := s.SignedURL(t.Context(), "a/b", time.Minute, blob.Headers{})
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, plain, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "content", string(body))

	_, err = s.SignedURL(t.Context(), "../b", time.Minute, blob.Headers{})
	requireKind(t, models.KindInvalid, err)
	_, err = s.SignedURL(t.Context(), "b", 0, blob.Headers{})
	requireKind(t, models.KindInvalid, err)
}

func TestS3Unreachable(t *testing.T) {
	t.Parallel()
	s := openURL(t, "s3://files?region=us-east-1&endpoint=http://127.0.0.1:1")
	_, err := s.Open(t.Context(), "a")
	requireKind(t, models.KindUnavailable, err)
	_, err = s.Size(t.Context(), "a")
	requireKind(t, models.KindUnavailable, err)
	requireKind(t, models.KindUnavailable, s.Delete(t.Context(), "a"))
}
