package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"pdexbulk/dev/client"
	"pdexbulk/dev/stack"
	"pdexbulk/models"
)

// The credentials of the bucket.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "not-a-secret"
)

// s3 is an S3 server in this process that lets nobody in without a signature: it holds those of signed URLs against what they
// sign and against its clock, as S3 does, and takes no request that has both a signed URL and an Authorization header.
type s3 struct {
	url   string
	later atomic.Int64 // nanoseconds its clock is ahead
}

func startS3(t *testing.T, bucket string) *s3 {
	t.Helper()
	mem := s3mem.New()
	require.NoError(t, mem.CreateBucket(bucket))
	fake := gofakes3.New(mem, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s := &s3{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch header := r.Header.Get("Authorization"); {
		case header != "" && q.Has("X-Amz-Signature"):
			http.Error(w, "only one auth mechanism allowed", http.StatusBadRequest)
		case header == "" && !s.signed(r, q):
			http.Error(w, "access denied", http.StatusForbidden)
		default:
			fake.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// signed makes the signature again and compares.
func (s *s3) signed(r *http.Request, q url.Values) bool {
	at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	seconds, wrong := strconv.Atoi(q.Get("X-Amz-Expires"))
	now := time.Now().Add(time.Duration(s.later.Load()))
	if err != nil || wrong != nil || now.After(at.Add(time.Duration(seconds)*time.Second)) {
		return false
	}
	given := q.Get("X-Amz-Signature")
	for _, name := range []string{"X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders"} {
		q.Del(name)
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, s.url+r.URL.EscapedPath()+"?"+q.Encode(), http.NoBody)
	if err != nil {
		return false
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	uri, _, err := signer.PresignHTTP(r.Context(), aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}, again,
		"UNSIGNED-PAYLOAD", "s3", "us-east-1", at)
	if err != nil {
		return false
	}
	u, err := url.Parse(uri)
	return err == nil && u.Query().Get("X-Amz-Signature") == given
}

// onS3 starts the product with its files in a bucket.
func onS3(t *testing.T, env ...string) (*running, *world, *s3) {
	t.Helper()
	need(t)
	bucket := startS3(t, "files")
	r, w := own(t, stack.Options{}, append([]string{
		"PDEX_BLOB_URL=s3://files?region=us-east-1&prefix=pdex&endpoint=" + bucket.url, "PDEX_POLL_BURST=0",
		"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}, env...)...)
	_, err := r.Import(t.Context(), w.dir, models.ImportBackfill, nil)
	require.NoError(t, err)
	return r, w, bucket
}

// await waits for a job's manifest.
func await(t *testing.T, job *client.Job) *client.Manifest {
	t.Helper()
	m, err := job.Wait(t.Context(), nil)
	require.NoError(t, err)
	return m
}

// checksum returns a file's checksum of a kind, nil when the manifest has none.
func checksum(t *testing.T, f client.File, algorithm, coding string) []byte {
	t.Helper()
	var e struct {
		Checksum []struct {
			Algorithm, Coding string
			Value             []byte
		}
	}
	require.NoError(t, json.Unmarshal(f.Extension, &e))
	for _, c := range e.Checksum {
		if c.Algorithm == algorithm && c.Coding == coding {
			return c.Value
		}
	}
	return nil
}

// plainGet gets a URL as any HTTP client would that is no party to anything, and leaves the coding as it is.
func plainGet(t *testing.T, address string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	req.Header = header
	c := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, body
}

// TestExportOnS3 exports through a bucket without signed URLs: the api serves what the bucket holds.
func TestExportOnS3(t *testing.T) {
	t.Parallel()
	r, w, _ := onS3(t)
	c := r.backend(t, "on-s3")
	job := export(t, c, "$export", nil)
	m := await(t, job)
	require.True(t, m.RequiresAccessToken)
	totals, err := c.DownloadAll(t.Context(), m, 2, client.Sink{})
	require.NoError(t, err)
	require.EqualValues(t, w.made.Resources+1, totals.Lines, "with the Provenance of the transmission")
	first := m.Output[0]
	resp, body := call(t, c, http.MethodGet, first.URL, http.Header{"Accept-Encoding": {"gzip"}}, nil)
	sum := sha256.Sum256(body)
	require.Equal(t, "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":", resp.Header.Get("Repr-Digest"))
	require.NotNil(t, checksum(t, first, "crc32", "identity"))
	again := await(t, job)
	require.Equal(t, sum[:], checksum(t, again.Output[0], "sha-256", "gzip"), "known once it has been served")
}

// TestSignedURLs exports to a bucket that hands the files out by itself.
func TestSignedURLs(t *testing.T) {
	t.Parallel()
	r, w, bucket := onS3(t, "PDEX_PRESIGN=10m")
	c := r.backend(t, "signed")
	for name, args := range map[string]url.Values{"NDJSON": nil, "Parquet": {"_outputFormat": {models.FormatParquet}}} {
		job := export(t, c, "$export", args)
		m := await(t, job)
		require.False(t, m.RequiresAccessToken, name)
		require.WithinDuration(t, time.Now().Add(10*time.Minute), m.Expires, time.Minute, "%s: the links expire before the files", name)
		var lines int64
		for _, f := range m.Output {
			lines += *f.Count
			require.Contains(t, f.URL, bucket.url+"/files/pdex/exports/")
			require.Contains(t, f.URL, "X-Amz-Expires=600")
			resp, body := plainGet(t, f.URL, nil)
			require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
			coding := "gzip"
			if name == "Parquet" {
				coding = "identity"
			}
			sum := sha256.Sum256(body)
			require.Equal(t, sum[:], checksum(t, f, "sha-256", coding), name)
			if name == "Parquet" {
				require.Equal(t, models.FormatParquet, resp.Header.Get("Content-Type"))
				require.Equal(t, "PAR1", string(body[:4]))
				continue
			}
			require.Equal(t, "application/fhir+ndjson", resp.Header.Get("Content-Type"))
			require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
		}
		require.EqualValues(t, w.made.Resources+1, lines, "%s: with the Provenance of the transmission", name)
		if name == "NDJSON" {
			totals, err := c.DownloadAll(t.Context(), m, 2, client.Sink{})
			require.NoError(t, err, "the client reads every line, and sends no token to the bucket")
			require.EqualValues(t, w.made.Resources+1, totals.Lines)
			r.servedToo(t, c, job, m)
		}
		signed := m.Output[0].URL
		resp, _ := plainGet(t, signed, http.Header{"Authorization": {"Bearer x"}})
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, "the bucket of this test would notice a token")
		resp, _ = plainGet(t, signed+"0", nil)
		require.Equal(t, http.StatusForbidden, resp.StatusCode, "it checks signatures")
		require.NoError(t, job.Delete(t.Context()))
		eventually(t, time.Minute, "the objects go with the job", func() bool {
			resp, _ := plainGet(t, signed, nil)
			return resp.StatusCode == http.StatusNotFound
		})
	}

	m := await(t, export(t, c, "Patient/$export", url.Values{"_type": {"Patient"}}))
	require.NotEmpty(t, m.Output)
	bucket.later.Store(int64(11 * time.Minute))
	resp, _ := plainGet(t, m.Output[0].URL, nil)
	require.Equal(t, http.StatusForbidden, resp.StatusCode, "an expired link opens nothing")
}

// servedToo checks that the api serves the files of a manifest with signed URLs as well, to its owner alone.
func (r *running) servedToo(t *testing.T, c *client.Client, job *client.Job, m *client.Manifest) {
	t.Helper()
	address := r.Base + "/bulk-files/" + jobID(job.StatusURL) + "/0." + m.Output[0].Type + ".ndjson"
	resp, served := call(t, c, http.MethodGet, address, http.Header{"Accept-Encoding": {"gzip"}}, nil)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	_, direct := plainGet(t, m.Output[0].URL, nil)
	require.Equal(t, sha256.Sum256(direct), sha256.Sum256(served))
	resp, _ = plainGet(t, address, nil)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}
