package segment_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/segment"
)

// concatenate packs groups and makes the gzip file of them.
func concatenate(t require.TestingT, level int, groups [][][]byte) (file, raw []byte) {
	p, err := segment.NewPacker(level)
	require.NoError(t, err)
	var total segment.Sum
	file = segment.Header()
	for _, g := range groups {
		var sum segment.Sum
		file, sum, err = p.Pack(file, g...)
		require.NoError(t, err)
		total = total.Add(sum)
		raw = append(raw, bytes.Join(g, nil)...)
	}
	file = append(file, segment.Trailer(total)...)
	require.Equal(t, total.GzipLen(), int64(len(file)))
	require.Equal(t, int64(len(raw)), total.RawLen)
	require.Equal(t, int64(bytes.Count(raw, []byte("\n"))), total.Lines)
	return file, raw
}

// requireOneMember fails unless file is a single gzip member, and nothing after it, that holds raw.
func requireOneMember(t require.TestingT, file, raw []byte) {
	src := bytes.NewReader(file)
	z, err := gzip.NewReader(src)
	require.NoError(t, err)
	z.Multistream(false)
	got, err := io.ReadAll(z)
	require.NoError(t, err)
	require.True(t, bytes.Equal(raw, got), "stdlib reads something else")
	require.Zero(t, src.Len(), "bytes after the member")

	k, err := kgzip.NewReader(bytes.NewReader(file))
	require.NoError(t, err)
	got, err = io.ReadAll(k)
	require.NoError(t, err)
	require.True(t, bytes.Equal(raw, got), "klauspost reads something else")
}

func TestConcatenationIsOneGzipMember(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.IntRange(1, 9).Draw(t, "level")
		file, raw := concatenate(t, level, groupsGen().Draw(t, "groups"))
		requireOneMember(t, file, raw)
	})
}

func TestLargeConcatenation(t *testing.T) {
	t.Parallel()
	var groups [][][]byte
	for i := range uint64(24) {
		groups = append(groups, [][]byte{observations(i, 1+int(i*i)*3)})
	}
	file, raw := concatenate(t, segment.DefaultLevel, groups)
	require.Greater(t, len(raw), 4<<20)
	requireOneMember(t, file, raw)

	gzipTool, err := exec.LookPath("gzip")
	if err != nil {
		t.Skip("no gzip program")
	}
	path := filepath.Join(t.TempDir(), "Observation.ndjson.gz")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	got, err := exec.CommandContext(t.Context(), gzipTool, "-dc", path).Output() // found in PATH
	require.NoError(t, err)
	require.True(t, bytes.Equal(raw, got))
}

func TestEmptyFile(t *testing.T) {
	t.Parallel()
	file := append(segment.Header(), segment.Trailer(segment.Sum{})...)
	require.Len(t, file, segment.HeaderLen+segment.TrailerLen)
	requireOneMember(t, file, []byte{})
}

func TestTrailerLengthIsModulo(t *testing.T) {
	t.Parallel()
	trailer := segment.Trailer(segment.Sum{RawLen: 1<<32 + 5, CRC: 0x01020304})
	require.Equal(t, []byte{3, 0, 4, 3, 2, 1, 5, 0, 0, 0}, trailer)
}
