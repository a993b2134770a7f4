package bulk_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/manifest"
	"pdexbulk/models/segment"
)

func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// checksums returns those the manifest gives for its one file, as algorithm/coding.
func (f *filed) checksums(t *testing.T) map[string][]byte {
	t.Helper()
	var m manifest.Manifest
	require.NoError(t, json.Unmarshal([]byte(status(t, f.Caller, f.job).Text), &m))
	require.Len(t, m.Output, 1)
	sums := map[string][]byte{}
	for _, c := range m.Output[0].Extension.Checksum {
		sums[c.Algorithm+"/"+c.Coding] = c.Value
	}
	return sums
}

// The gzip form always tells its digest, the other one when it is asked for or known; the manifest tells what is known.
func TestFileDigests(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	crc := map[string][]byte{"crc32/identity": binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(f.plain)))}
	require.Equal(t, crc, f.checksums(t), "the CRC is known before anybody has asked for the file")

	require.Empty(t, f.get(t, "Accept-Encoding: gzip", "Range: bytes=0-9").Header.Get("Repr-Digest"), "no file is hashed for a range")
	require.Empty(t, f.get(t).Header.Get("Repr-Digest"), "none is inflated unasked")
	for _, none := range []string{"sha-256=0", "sha-512=10", "sha-256", "sha-256=x", ""} {
		require.Empty(t, f.get(t, "Want-Repr-Digest: "+none).Header.Get("Repr-Digest"), none)
	}
	require.Equal(t, crc, f.checksums(t))

	zipped := f.get(t, "Accept-Encoding: gzip")
	require.Equal(t, digestOf(zipped.Text), zipped.Header.Get("Repr-Digest"))
	require.Empty(t, f.get(t).Header.Get("Repr-Digest"), "it is that of the other form")
	plain := f.get(t, "Want-Repr-Digest: sha-512=3, sha-256=10")
	require.Equal(t, f.plain, plain.Text)
	require.Equal(t, digestOf(f.plain), plain.Header.Get("Repr-Digest"))

	for header, want := range map[string]string{"identity": digestOf(f.plain), "gzip": digestOf(zipped.Text)} {
		require.Equal(t, want, f.get(t, "Accept-Encoding: "+header).Header.Get("Repr-Digest"))
		part := f.get(t, "Accept-Encoding: "+header, "Range: bytes=5-9")
		require.Equal(t, http.StatusPartialContent, part.StatusCode)
		require.Equal(t, want, part.Header.Get("Repr-Digest"), "of the whole file")
		require.Equal(t, want, f.Do(t, http.MethodHead, f.path, "", "Accept-Encoding: "+header).Header.Get("Repr-Digest"))
		refused := f.get(t, "Accept-Encoding: "+header, "Range: bytes=999999999-")
		refused.Refused(t, http.StatusRequestedRangeNotSatisfiable)
		require.Empty(t, refused.Header.Get("Repr-Digest"), "an error is not the file")
	}
	gz, raw := sha256.Sum256([]byte(zipped.Text)), sha256.Sum256([]byte(f.plain))
	crc["sha-256/gzip"], crc["sha-256/identity"] = gz[:], raw[:]
	require.Equal(t, crc, f.checksums(t))

	// What is kept is not computed again.
	for _, key := range f.blobs[1:] {
		require.NoError(t, f.Files.Delete(t.Context(), key))
	}
	require.Equal(t, digestOf(zipped.Text), f.get(t, "Accept-Encoding: gzip", "Range: bytes=0-9").Header.Get("Repr-Digest"))
}

// A form whose content cannot be read has no digest, and none is kept.
func TestNoDigestOfDamage(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	name := filepath.Join(f.Dir, f.blobs[1])
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	content[len(content)/4] ^= 0xff
	require.NoError(t, os.WriteFile(name, content, 0o600))
	part := f.get(t, "Range: bytes=0-9", "Want-Repr-Digest: sha-256=1")
	require.Equal(t, f.plain[:10], part.Text)
	require.Empty(t, part.Header.Get("Repr-Digest"))
	require.Contains(t, f.Log(), "could not be hashed")
	require.NotContains(t, f.checksums(t), "sha-256/identity")
}

// A file kept as a whole gzip object is served in both forms like any other.
func TestFileKeptAsGzip(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	zipped := f.get(t, "Accept-Encoding: gzip").Text
	key := "exports/" + f.job.ID + "/gzip/0"
	putBlob(t, f.Caller, key, []byte(zipped))
	_, err := f.Store.DB.NewUpdate().Model((*models.JobFile)(nil)).Set("blob_key = ?", key).Set("format = ?", models.FormatGzip).
		Set("gzip_sha256 = NULL").Where("job_id = ?", f.job.ID).Exec(t.Context())
	require.NoError(t, err)
	for _, blob := range f.blobs {
		require.NoError(t, f.Files.Delete(t.Context(), blob))
	}
	require.Equal(t, f.plain, f.get(t).Text)
	require.Equal(t, f.plain[7:5000], f.get(t, "Range: bytes=7-4999").Text)
	whole := f.get(t, "Accept-Encoding: gzip")
	require.Equal(t, zipped, whole.Text)
	require.Equal(t, digestOf(zipped), whole.Header.Get("Repr-Digest"))
	require.Equal(t, zipped[segment.HeaderLen-3:100], f.get(t, "Accept-Encoding: gzip", "Range: bytes=7-99").Text)
	require.Contains(t, status(t, f.Caller, f.job).Text, f.path, "on a disk nothing is signed")
}
