package segment_test

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/segment"
)

var (
	idPattern   = regexp.MustCompile(`"id":"([^"]*)"`)
	timePattern = regexp.MustCompile(`"(\d\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))"`)
)

// indexOf makes an index from raw lines. The first instant a line holds stands for its last update and its service date.
func indexOf(tb testing.TB, raw []byte) []segment.Line {
	tb.Helper()
	var lines []segment.Line
	var at int
	for l := range bytes.Lines(raw) {
		line := segment.Line{
			ID: string(idPattern.FindSubmatch(l)[1]), Version: 1, Hash: segment.Hash(l), ServiceStart: segment.NoDate,
			ServiceEnd: segment.NoDate, Offset: uint32(at), Length: uint32(len(l)),
		}
		if m := timePattern.FindSubmatch(l); m != nil {
			ts, err := time.Parse(time.RFC3339Nano, string(m[1]))
			require.NoError(tb, err)
			line.LastUpdated = ts.UnixMilli()
			line.ServiceStart = int32(ts.Unix() / 86400)
			line.ServiceEnd = line.ServiceStart
		}
		lines = append(lines, line)
		at += len(l)
	}
	return lines
}

func textGen(low, high int) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), low, high), func(b []byte) string { return string(b) })
}

func anyLineGen() *rapid.Generator[segment.Line] {
	uuid := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	return rapid.Custom(func(t *rapid.T) segment.Line {
		day := rapid.OneOf(rapid.Just(segment.NoDate), rapid.Int32Range(10_000, 21_000), rapid.Int32())
		return segment.Line{
			ID: rapid.OneOf(uuid, uuid, rapid.Map(uuid, strings.ToUpper), rapid.StringMatching(`-1000\d{4}`),
				textGen(0, 70), textGen(36, 36), textGen(64, 65), textGen(300, 400)).Draw(t, "id"),
			Version:      rapid.Int32().Draw(t, "version"),
			LastUpdated:  rapid.OneOf(rapid.Int64Range(1.5e12, 1.8e12), rapid.Int64()).Draw(t, "updated"),
			ServiceStart: day.Draw(t, "start"),
			ServiceEnd:   day.Draw(t, "end"),
			Flags:        rapid.Uint16().Draw(t, "flags"),
			Hash:         rapid.Uint64().Draw(t, "hash"),
			Offset:       rapid.Uint32().Draw(t, "offset"),
			Length:       rapid.Uint32().Draw(t, "length"),
		}
	})
}

func TestIndexRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(anyLineGen()).Draw(t, "lines")
		encoded := segment.EncodeIndex(lines)
		got, err := segment.DecodeIndex(encoded)
		require.NoError(t, err)
		require.Len(t, got, len(lines))
		for i := range lines {
			require.Equal(t, lines[i], got[i])
		}
		require.Equal(t, encoded, segment.EncodeIndex(got))
	})
}

func TestIndexOfLikelyLinesIsSmall(t *testing.T) {
	t.Parallel()
	lines := indexOf(t, observations(1, 200))
	encoded := segment.EncodeIndex(lines)
	got, err := segment.DecodeIndex(encoded)
	require.NoError(t, err)
	require.Equal(t, lines, got)
	require.Less(t, len(encoded)/len(lines), 36)
}

func TestAppendIndexKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	lines := indexOf(t, observations(1, 5))
	encoded := segment.EncodeIndex(lines[2:])
	got, err := segment.AppendIndex(lines[:2:2], encoded)
	require.NoError(t, err)
	require.Equal(t, lines, got)
	got, err = segment.AppendIndex(lines[:2:2], encoded[:len(encoded)-1])
	require.ErrorIs(t, err, segment.ErrCorrupt)
	require.Equal(t, lines[:2], got)
}

// What is stored must be readable for as long as it is stored.
func TestIndexFormatIsStable(t *testing.T) {
	t.Parallel()
	lines := []segment.Line{
		{
			ID: "af5597a6-304d-4c8f-b596-60d17d445714", Version: 1, LastUpdated: 1_700_000_000_123, ServiceStart: 15_261,
			ServiceEnd: 15_262, Flags: 5, Hash: 0x0102030405060708, Length: 1400,
		},
		{
			ID: "eob-1", Version: 2, LastUpdated: 1_700_000_000_124, ServiceStart: segment.NoDate, ServiceEnd: segment.NoDate,
			Hash: 9, Offset: 1400, Length: 20,
		},
	}
	const stored = "01021d000006" + "0204" + "f6a1abfef96202" + "bbee0100" + "0300" + "0500" + "0000" + "f80a14" + "656f622d31" +
		"0807060504030201" + "0900000000000000" + "af5597a6304d4c8fb59660d17d445714"
	require.Equal(t, stored, hex.EncodeToString(segment.EncodeIndex(lines)))
}

func TestDecodeIndexRefuses(t *testing.T) {
	t.Parallel()
	encoded := segment.EncodeIndex(indexOf(t, observations(1, 30)))
	for n := range encoded {
		_, err := segment.DecodeIndex(encoded[:n])
		require.ErrorIs(t, err, segment.ErrCorrupt, "cut at %d", n)
	}
	_, err := segment.DecodeIndex(append(bytes.Clone(encoded), 0))
	require.ErrorIs(t, err, segment.ErrCorrupt)
	encoded[0]++
	_, err = segment.DecodeIndex(encoded)
	require.ErrorIs(t, err, segment.ErrCorrupt, "another format")
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add([]byte{})
	f.Add(segment.EncodeIndex(nil))
	for n := range 4 {
		f.Add(segment.EncodeIndex(indexOf(f, observations(1, 1+n*n*5))))
	}
	f.Add(segment.EncodeIndex([]segment.Line{{ID: strings.Repeat("x", 100)}, {ID: "-1000", ServiceStart: segment.NoDate}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := segment.DecodeIndex(data)
		if err != nil {
			require.ErrorIs(t, err, segment.ErrCorrupt)
			require.Empty(t, lines)
			return
		}
		require.LessOrEqual(t, len(lines)*segment.HashLen, len(data))
		again, err := segment.DecodeIndex(segment.EncodeIndex(lines))
		require.NoError(t, err)
		require.Len(t, again, len(lines))
		for i := range lines {
			require.Equal(t, lines[i], again[i])
		}
	})
}
