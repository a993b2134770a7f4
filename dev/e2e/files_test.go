package e2e

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// TestFiles downloads a file in both forms, whole and in stretches, with and without conditions (RFC 9110 sections 13, 14).
func TestFiles(t *testing.T) {
	t.Parallel()
	r, w := shared(t)
	c := r.backend(t, "files")
	job := export(t, c, "Patient/$export", url.Values{"_type": {"Coverage,Patient"}})
	_, m := finish(t, c, job)
	var file string
	var count int64
	for _, f := range m.Output {
		if f.Type == "Patient" {
			file, count = f.URL, *f.Count
		}
	}
	require.EqualValues(t, w.o.Members, count)

	get := func(method, encoding string, header http.Header) (*http.Response, []byte) {
		t.Helper()
		h := header.Clone()
		if h == nil {
			h = http.Header{}
		}
		h.Set("Accept-Encoding", encoding)
		return call(t, c, method, file, h, nil)
	}
	identity, plain := get(http.MethodGet, "identity", nil)
	zipped, packed := get(http.MethodGet, "gzip", nil)
	require.Empty(t, identity.Header.Get("Content-Encoding"))
	require.Equal(t, "gzip", zipped.Header.Get("Content-Encoding"))
	require.NotEqual(t, identity.Header.Get("ETag"), zipped.Header.Get("ETag"))
	z, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	z.Multistream(false)
	inflated, err := io.ReadAll(z)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plain, inflated), "both forms hold the same bytes")
	require.Less(t, len(packed), len(plain)/2)
	require.Equal(t, int(count), bytes.Count(plain, []byte("\n")))
	for encoding, want := range map[string]string{"gzip;q=0": "", "*": "gzip", "gzip;q=0, *": "", "br, gzip;q=0.5": "gzip", "br": ""} {
		resp, _ := get(http.MethodHead, encoding, nil)
		require.Equal(t, want, resp.Header.Get("Content-Encoding"), encoding)
	}

	for encoding, whole := range map[string][]byte{"identity": plain, "gzip": packed} {
		full, _ := get(http.MethodGet, encoding, nil)
		head, none := get(http.MethodHead, encoding, nil)
		require.Equal(t, http.StatusOK, head.StatusCode)
		require.Empty(t, none)
		for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "ETag", "Vary", "Accept-Ranges", "Cache-Control"} {
			require.Equal(t, full.Header.Get(name), head.Header.Get(name), name)
		}
		require.Equal(t, "application/fhir+ndjson", full.Header.Get("Content-Type"))
		require.Equal(t, strconv.Itoa(len(whole)), head.Header.Get("Content-Length"))
		require.Equal(t, "bytes", head.Header.Get("Accept-Ranges"))
		require.Contains(t, head.Header.Get("Vary"), "Accept-Encoding")
		require.Equal(t, "no-store", head.Header.Get("Cache-Control"))
		etag := full.Header.Get("ETag")
		require.False(t, strings.HasPrefix(etag, "W/"), "a weak ETag is no use with If-Range")

		n := len(whole)
		stretches := []struct {
			asked    string
			from, to int // of whole, to exclusive
		}{
			{"bytes=0-0", 0, 1},
			{"bytes=0-", 0, n},
			{"bytes=100-1999", 100, 2000},
			{"bytes=-17", n - 17, n},
			{fmt.Sprintf("bytes=%d-", n/2), n / 2, n},
			{fmt.Sprintf("bytes=%d-%d", n/3, n/3*2), n / 3, n/3*2 + 1},
			{fmt.Sprintf("bytes=%d-%d", n-1, n+100), n - 1, n},
			{fmt.Sprintf("bytes=-%d", n+5), 0, n},
		}
		for _, s := range stretches {
			resp, part := get(http.MethodGet, encoding, http.Header{"Range": {s.asked}})
			require.Equal(t, http.StatusPartialContent, resp.StatusCode, s.asked)
			require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", s.from, s.to-1, n), resp.Header.Get("Content-Range"))
			require.Equal(t, etag, resp.Header.Get("ETag"))
			require.True(t, bytes.Equal(whole[s.from:s.to], part), "%s %s", encoding, s.asked)
		}
		resp, several := get(http.MethodGet, encoding, http.Header{"Range": {"bytes=5-9,2000-2099"}})
		require.Equal(t, http.StatusPartialContent, resp.StatusCode)
		_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		require.NoError(t, err)
		parts := multipart.NewReader(bytes.NewReader(several), params["boundary"])
		for _, want := range [][]byte{whole[5:10], whole[2000:2100]} {
			part, err := parts.NextRawPart()
			require.NoError(t, err)
			text, err := io.ReadAll(part)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, text))
		}
		resp, text := get(http.MethodGet, encoding, http.Header{"Range": {fmt.Sprintf("bytes=%d-", n)}})
		refused(t, resp, text, http.StatusRequestedRangeNotSatisfiable)
		require.Equal(t, fmt.Sprintf("bytes */%d", n), resp.Header.Get("Content-Range"))

		conditions := []struct {
			header http.Header
			status int
			length int
		}{
			{http.Header{"If-None-Match": {etag}}, http.StatusNotModified, 0},
			{http.Header{"If-None-Match": {`"another"`}}, http.StatusOK, n},
			{http.Header{"If-Match": {etag}}, http.StatusOK, n},
			{http.Header{"If-Range": {etag}, "Range": {"bytes=10-19"}}, http.StatusPartialContent, 10},
			{http.Header{"If-Range": {`"another"`}, "Range": {"bytes=10-19"}}, http.StatusOK, n},
		}
		for _, c := range conditions {
			resp, text := get(http.MethodGet, encoding, c.header)
			require.Equal(t, c.status, resp.StatusCode, "%v", c.header)
			require.Len(t, text, c.length)
		}
	}

	// A transfer that breaks off is taken up where it ended.
	half, first := get(http.MethodGet, "gzip", http.Header{"Range": {"bytes=0-4999"}})
	_, rest := get(http.MethodGet, "gzip", http.Header{"Range": {"bytes=5000-"}, "If-Range": {half.Header.Get("ETag")}})
	require.True(t, bytes.Equal(packed, append(first, rest...)))

	id := jobID(job.StatusURL)
	for _, path := range []string{
		strings.Replace(file, ".Patient.", ".Coverage.", 1), strings.Replace(file, ".ndjson", ".parquet", 1), strings.Replace(file, id, models.NewID(), 1),
		r.Base + "/bulk-files/" + id + "/999.Patient.ndjson", r.Base + "/bulk-files/" + id + "/-1.Patient.ndjson",
		r.Base + "/bulk-files/" + id + "/..%2F..%2Fsecrets.json", r.Base + "/bulk-files/not-an-id/0.Patient.ndjson",
	} {
		resp, text := call(t, c, http.MethodGet, path, nil, nil)
		refused(t, resp, text, http.StatusNotFound)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		resp, text := call(t, c, method, file, nil, nil)
		refused(t, resp, text, http.StatusMethodNotAllowed)
		require.Contains(t, resp.Header.Get("Allow"), http.MethodGet)
	}
}
